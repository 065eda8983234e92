"""The settings of the activation atlas: which layers get a map, how it is laid out, and how its icons are made."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from network_atlas.config.declare import ASSEMBLE, HASHED, LAYOUT, Count, NotNegative, Positive, Seed, setting, settings


@settings
class LayoutConfig:
    """Maps of layers: their sampled activation vectors, laid out so that similar ones lie close together."""

    layers: tuple[str, ...] = setting(HASHED, may_change=True)
    """Globs over the names of the layers that the sweep selects; the output is matched only by its exact name."""
    last: Count = setting(HASHED, may_change=True, default=0)
    """Only this many of the matching layers, the latest; 0 takes all."""
    grids: tuple[Annotated[int, Field(ge=2, le=160)], ...] = setting(LAYOUT, may_change=True, default=())
    """Cells along a side, from coarse to fine; () chooses by the number of vectors."""
    fewest: Positive = setting(LAYOUT, may_change=True, default=3)
    """A cell with fewer vectors is left empty."""
    neighbours: Annotated[int, Field(ge=2, le=500)] = setting(LAYOUT, may_change=True, default=50)
    """Neighbours of each vector that UMAP keeps close to it; fewer where there are few vectors."""
    distance: NotNegative = setting(LAYOUT, may_change=True, default=0.05)
    """UMAP's `min_dist`: how close together vectors may lie."""
    alignment: NotNegative = setting(LAYOUT, may_change=True, default=0.3)
    """What the place of the same vector on the last map counts in all other maps, where the vector itself counts 1."""
    seed: Seed = setting(LAYOUT, may_change=True, default=0)
    recipe: str = setting(HASHED, may_change=True, default="")
    """Recipe of the icons; '' is `optimize`."""
    examples: Count = setting(ASSEMBLE, may_change=True, default=6)
    """Crops of each cell's images that are kept, those nearest to its mean first."""

    def __post_init__(self) -> None:
        if list(self.grids) != sorted(set(self.grids)):
            raise ValueError(
                f"grids={list(self.grids)} are not from coarse to fine; give each once, the smallest first"
            )
