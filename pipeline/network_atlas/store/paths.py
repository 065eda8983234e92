"""The paths of tables in a root. They are relative to it.

    tables/atlas/layer_slug=0042-blocks.4/part-<content hash>.parquet    as manifests list them: never overwritten
    atlas/layer=0042-blocks.4.parquet                                    the same, of the newest snapshot only

Manifests list files that are named by their content, so that older snapshots stay whole. People and globs read the
second kind; `store.current` keeps it up to date.
"""

from __future__ import annotations

from network_atlas.files.filesystems import split_query
from network_atlas.layers import LayerSpec

TABLES = "tables"
"""Folder of the joined tables of all snapshots."""
LAYERS_DIRECTORY = f"{TABLES}/layers"
CURRENT = ("atlas", "channel_stats", "activation_atlas", "concepts", "bases")
"""Folders below `tables/` whose newest files also have a fixed name, in a folder of the same name in the root."""
PAGES = "site"
EDGES = "edges"
CIRCUITS = "circuits"
EXAMPLE_IMAGES = f"{PAGES}/examples"
"""Folder of the images that examples are shown by: tables name these files, and pages show them."""
DERIVED = (TABLES, PAGES)
"""Folders of what is made of results, and made again when the results behind them change."""


def visualizations_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's pictures.

    Readers of partitioned folders add the part before '=' as a column. It is not 'layer', which would hide the column
    of that name in the files.
    """
    return f"visualizations/layer_slug={layer.slug}"


def atlas_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's joined tables."""
    return f"{TABLES}/atlas/layer_slug={layer.slug}"


def activation_atlas_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's joined tables of the cells of its map."""
    return f"{TABLES}/activation_atlas/layer_slug={layer.slug}"


def layout_directory(folder: str, layer: LayerSpec) -> str:
    """Return the folder of a layer's map: `folder` is 'layouts' (where each vector lies) or 'cells'."""
    return f"{folder}/layer_slug={layer.slug}"


def attributions_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's attributions."""
    return f"attributions/layer_slug={layer.slug}"


def circuits_directory(layer: LayerSpec) -> str:
    """Return the folder of what drives a layer's channels on groups of their examples."""
    return f"{CIRCUITS}/layer_slug={layer.slug}"


def edges_directory(layer: LayerSpec, parent: LayerSpec) -> str:
    """Return the folder of the edges from a layer to one just before it."""
    return f"{EDGES}/layer_slug={layer.slug}/parent_slug={parent.slug}"


def ends_of_edges(path: str) -> tuple[str, str] | None:
    """Return the slugs of the layer and of the one just before it whose edges a file holds; None for other files."""
    parts = path.split("/")
    if len(parts) != 4 or parts[0] != EDGES:
        return None
    return parts[1].removeprefix("layer_slug="), parts[2].removeprefix("parent_slug=")


def statistics_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's tables with the statistics of all channels."""
    return f"{TABLES}/channel_stats/layer_slug={layer.slug}"


def concepts_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's tables of the concepts that its channels are named after."""
    return f"{TABLES}/concepts/layer_slug={layer.slug}"


def bases_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's tables of its bases."""
    return f"{TABLES}/bases/layer_slug={layer.slug}"


def example_image_path(sha256: str, size: tuple[int, int]) -> str:
    """Return the path of a file of images of examples, of `size` (height, width): named by its content and its size."""
    return f"{EXAMPLE_IMAGES}/{sha256[:32]}-{size[1]}x{size[0]}.webp"


def current_path(path: str) -> str | None:
    """Return the fixed name of a table that the newest snapshot lists as `path`; None for files that have none.

    'tables/atlas/layer_slug=0042-blocks.4/part-5f3a.parquet' is 'atlas/layer=0042-blocks.4.parquet'.
    """
    parts = path.split("/")
    if len(parts) != 4 or parts[0] != TABLES or parts[1] not in CURRENT:
        return None
    return f"{parts[1]}/layer={parts[2].removeprefix('layer_slug=')}.parquet"


def diff_folder(root: str, name: str) -> str:
    """Return the folder of a diff beside the newer root: 'atlases/resnet50.diff/2-3'."""
    path, query = split_query(root)
    return f"{path.rstrip('/')}.diff/{name}{query}"
