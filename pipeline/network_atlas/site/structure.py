"""The network's own structure, read off the dotted names of its layers: stages, and blocks in them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from network_atlas.layers import LayerSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Layers that follow each other and share the beginning of their names."""

    name: str
    """'layer1.0'; '' for layers that are in no block."""
    layers: tuple[LayerSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The layers below one of the network's own modules."""

    name: str
    blocks: tuple[Block, ...]

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Return the layers of all blocks."""
        return tuple(layer for block in self.blocks for layer in block.layers)


def sections_of(layers: Sequence[LayerSpec]) -> list[Section]:
    """Return the layers by the first part of their names ('layer1'), and in it by numbered block ('layer1.0').

    Layers stay in order of execution. First parts that hold a single layer and stand side by side ('conv1', 'bn1') are
    one section, which is named after the first and the last of them.
    """
    runs = [(name, tuple(run)) for name, run in groupby(layers, key=lambda layer: layer.name.split(".")[0])]
    sections: list[Section] = []
    for is_single, group in groupby(runs, key=lambda run: len(run[1]) == 1):
        items = list(group)
        if is_single:
            first, last = items[0][0], items[-1][0]
            name = first if first == last else f"{first} to {last}"
            alone = tuple(layer for _, run in items for layer in run)
            sections.append(Section(name=name, blocks=(Block(name="", layers=alone),)))
        else:
            sections.extend(Section(name=name, blocks=_blocks(run)) for name, run in items)
    return sections


def _blocks(layers: Sequence[LayerSpec]) -> tuple[Block, ...]:
    runs = [(name, tuple(run)) for name, run in groupby(layers, key=_block_name)]
    if all(len(run) == 1 for _, run in runs):
        return (Block(name="", layers=tuple(layers)),)
    return tuple(Block(name=name, layers=run) for name, run in runs)


def _block_name(layer: LayerSpec) -> str:
    """Return the name up to its first number: 'encoder.layers.3' of 'encoder.layers.3.mlp'; '' if there is none."""
    parts = layer.name.split(".")
    number = next((position for position, part in enumerate(parts) if part.isdecimal()), None)
    return "" if number is None else ".".join(parts[: number + 1])
