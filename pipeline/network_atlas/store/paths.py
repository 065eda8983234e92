"""The paths of tables in a root. They are relative to it."""

from __future__ import annotations

from network_atlas.layers import LayerSpec

DERIVED = ("atlas", "channel_stats", "activation_atlas", "site")
"""Folders whose files are made again, under the same names, when the results behind them change."""


def visualizations_directory(layer: LayerSpec) -> str:
    """Return the folder of a layer's pictures.

    Readers of partitioned folders add the part before '=' as a column. It is not 'layer', which would hide the column
    of that name in the files.
    """
    return f"visualizations/layer_slug={layer.slug}"


def statistics_path(layer: LayerSpec) -> str:
    """Return the path of a layer's table with the statistics of all channels."""
    return f"channel_stats/layer={layer.slug}.parquet"


def atlas_path(layer: LayerSpec) -> str:
    """Return the path of a layer's joined table."""
    return f"atlas/layer={layer.slug}.parquet"


def activation_atlas_path(layer: LayerSpec) -> str:
    """Return the path of a layer's joined table of the cells of its map."""
    return f"activation_atlas/layer={layer.slug}.parquet"


def layout_directory(folder: str, layer: LayerSpec) -> str:
    """Return the folder of a layer's map: `folder` is 'layouts' (where each vector lies) or 'cells'."""
    return f"{folder}/layer_slug={layer.slug}"
