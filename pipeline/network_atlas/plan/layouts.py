"""Which layers get a map, the key of each map, and the pictures of its cells. Pure.

How many cells a map has is known when it is laid out. So a plan is made without their pictures, and `with_cells` adds
those of the maps that are there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from network_atlas.config.declare import LAYOUT
from network_atlas.config.determines import determining
from network_atlas.config.layout import LayoutConfig
from network_atlas.config.schema import RunConfig
from network_atlas.errors import SelectionError, did_you_mean
from network_atlas.fingerprints import fingerprint
from network_atlas.layers import OUTPUT
from network_atlas.plan.contents import LayerPlan, LayoutPlan
from network_atlas.plan.input_files import NOT_YET_WRITTEN, InputFiles
from network_atlas.plan.late import late_pictures
from network_atlas.plan.patterns import is_glob, matches
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.tasks import LayoutTask
from network_atlas.units import Cell

LAYOUT_ALGORITHM = 3
"""Raise this number when the same sample gives another map."""

FILLED = 0.7
"""Share of a grid's cells that have enough vectors, as measured on maps of a thousand photos."""
SIZES = (3, 5, 10, 20, 40)
"""Cells along a side, each grid about twice as fine as the one before."""
VECTORS_A_CELL = 4
"""The finest grid has at most one cell for four vectors; as maps have empty regions, its cells hold more of them."""
VECTORS_A_CELL_OF_SMALL = 2.5
"""The same for the second grid, so that maps of few vectors have two: see DECISIONS."""
GRIDS = 3

Place = tuple[int, int, int]
"""A cell's grid, row and column."""


def with_layouts(layers: Sequence[LayerPlan], config: LayoutConfig) -> tuple[LayerPlan, ...]:
    """Return the layers, in their order, those that get a map with its key.

    The maps of one run are aligned to that of its last mapped layer: so their keys cover its key too. Raises
    SelectionError for the name of a layer that the sweep does not select.
    """
    _check_names(layers, config.layers)
    chosen = [layer for layer in layers if layer.scan_keys and _is_chosen(layer.layer.name, config.layers)]
    chosen = chosen[-config.last :] if config.last else chosen
    if not chosen:
        return tuple(layers)
    settings = determining(config, LAYOUT)

    def layout(layer: LayerPlan, reference: str = "") -> LayoutPlan:
        key = fingerprint("layout", LAYOUT_ALGORITHM, layer.scan_keys, reference, settings)
        return LayoutPlan(key=key, reference=reference)

    last = layout(chosen[-1])
    maps = {layer.layer.name: layout(layer, last.key) for layer in chosen[:-1]} | {chosen[-1].layer.name: last}
    return tuple(replace(layer, layout=maps.get(layer.layer.name)) for layer in layers)


def _is_chosen(name: str, patterns: Sequence[str]) -> bool:
    return any(pattern == name if name == OUTPUT else matches(pattern, name) for pattern in patterns)


def _check_names(layers: Sequence[LayerPlan], patterns: Sequence[str]) -> None:
    names = [layer.layer.name for layer in layers]
    for pattern in patterns:
        if not is_glob(pattern) and pattern not in names:
            raise SelectionError(
                f"layout.layers: the sweep selects no layer '{pattern}'.{did_you_mean(pattern, names)} "
                "A map is made of a layer that sweep.select takes; globs may match none"
            )


def grid_sizes(configured: Sequence[int], vectors: int) -> tuple[int, ...]:
    """Return the cells along a side of each grid, from coarse to fine: as configured, or by the number of vectors."""
    if configured:
        return tuple(configured)

    def fits(size: int) -> bool:
        return size**2 * (VECTORS_A_CELL_OF_SMALL if size == SIZES[1] else VECTORS_A_CELL) <= vectors

    fitting = [size for size in SIZES if fits(size)]
    return tuple(fitting[-GRIDS:]) or SIZES[:1]


def layout_tasks(plan: Plan, done: Collection[str], inputs: InputFiles = NOT_YET_WRITTEN) -> list[LayoutTask]:
    """Return a task for each missing map of the share whose scan, and the map that it is aligned to, are there."""
    tasks = []
    for layer in plan.layers:
        if layer.layout is None or layer.layout.key in done or not plan.share.has(layer.layout.key):
            continue
        scan = inputs.of_scan(layer.layer)
        reference = inputs.of_layout(layer.layout.reference) if layer.layout.reference else ""
        if scan is not None and reference is not None:
            task = LayoutTask(layer=layer.layer, key=layer.layout.key, scan_files=scan, reference_file=reference)
            tasks.append(task)
    return tasks


def vectors_of(plan: Plan, layer: LayerPlan, config: RunConfig) -> int:
    """Return the number of vectors that a layer's map stands on, if every image can be read."""
    images = min(config.scan.sample, plan.spans[-1].stop if plan.spans else 0)
    return images if layer.layer.positions == (1, 1) else 2 * images


def with_expected_cells(plan: Plan, done: Collection[str], config: RunConfig) -> Plan:
    """Return the plan with as many pictures of cells as maps that are not yet laid out are expected to have."""

    def expected(layer: LayerPlan) -> list[Place]:
        vectors = vectors_of(plan, layer, config)
        grids = grid_sizes(config.layout.grids, vectors)
        counts = {grid: min(round(FILLED * grid**2), vectors // config.layout.fewest) for grid in grids}
        return [(grid, number // grid, number % grid) for grid, count in counts.items() for number in range(count)]

    missing = [layer for layer in plan.layers if layer.layout and layer.layout.key not in done]
    cells = {layer.layout.key: expected(layer) for layer in missing if layer.layout}
    return with_cells(plan, cells, config) if cells else plan


def with_cells(plan: Plan, cells: Mapping[str, Sequence[Place]], config: RunConfig) -> Plan:
    """Return the plan with a picture of each cell. `cells` has those of the maps that are there, by the map's key."""

    def completed(layer: LayerPlan) -> LayerPlan:
        if layer.layout is None or layer.layout.key not in cells:
            return layer
        others = tuple(picture for picture in layer.pictures if not isinstance(picture.unit, Cell))
        return replace(layer, pictures=others + _icons(layer, layer.layout, cells[layer.layout.key], plan, config))

    return replace(plan, layers=tuple(map(completed, plan.layers)))


def _icons(
    layer: LayerPlan, layout: LayoutPlan, cells: Sequence[Place], plan: Plan, config: RunConfig
) -> tuple[Picture, ...]:
    power = config.sweep.cosine_power
    units = [Cell(layer=layer.layer.name, grid=g, row=r, column=c, cosine_power=power) for g, r, c in cells]
    return late_pictures("icon", units, layout.key, config.layout.recipe, plan, config)
