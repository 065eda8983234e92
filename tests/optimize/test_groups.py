from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from optimizing import made, picture

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.optimize.finished import FinishedPicture
from network_atlas.optimize.groups import neighbour_distance, style_similarity
from network_atlas.pictures.stored import measure, shown
from network_atlas.pictures.target import Target
from network_atlas.plan.pictures import Picture, Together
from network_atlas.units import Channel, Sum, Term

MakeTarget = Callable[..., Target]
ONE = Channel(layer="conv2", channel=1)
OTHER = Channel(layer="conv2", channel=4)


def diverse(count: int, unit: Channel = ONE) -> list[Picture]:
    return [
        picture(
            unit, together=Together(kind="diverse", layer="conv1", index=index, count=count), group=f"{unit.label:0<16}"
        )
        for index in range(count)
    ]


def row(count: int) -> list[Picture]:
    pictures = []
    for index in range(count):
        t = index / (count - 1)
        terms = (Term(weight=1 - t, unit=ONE), Term(weight=t, unit=OTHER))
        place = Together(kind="aligned", layer="conv1", index=index, count=count)
        pictures.append(picture(Sum(terms=terms), together=place, group="ab" * 16, row="from one to the other"))
    return pictures


def grams(target: Target, results: list[FinishedPicture]) -> np.ndarray:
    maps = target.maps(shown(target, np.stack([one.pixels for one in results])))["conv2"]
    return style_similarity(maps).item()


def test_likeness_is_the_mean_cosine_of_gram_matrices() -> None:
    maps = torch.randn(3, 4, 2, 5, generator=torch.Generator().manual_seed(0))
    flat = maps.reshape(3, 4, 10).double().numpy()
    matrices = [one @ one.T / np.linalg.norm(one @ one.T) for one in flat]
    pairs = sum((first * second).sum() for first, second in combinations(matrices, 2))
    assert style_similarity(maps).item() == pytest.approx(2 * pairs / 3, rel=1e-5)


def test_unlikeness_counts_near_neighbours_most() -> None:
    steps = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 2, 3, 3)
    assert neighbour_distance(steps).item() == pytest.approx(1 / 2 + 4 / 4 + 9 / 8)
    assert neighbour_distance(steps[:1] * 0 + 5).item() == 0


def test_a_diverse_set_differs_more_and_still_excites(target: MakeTarget, recipe: OptimizeConfig) -> None:
    where, longer = target("conv2", "conv1"), replace(recipe, steps=60)
    strong = replace(longer, together=replace(longer.together, diversity=2.0))
    weak = replace(longer, together=replace(longer.together, diversity=0.0))
    apart, alike = made(where, diverse(4), strong), made(where, diverse(4), weak)
    assert grams(where, apart) < grams(where, alike) - 0.02
    scores = measure(where, np.stack([one.pixels for one in apart]), [ONE] * 4)
    grey = measure(where, np.full((1, 16, 16, 3), 128, np.uint8), [ONE])[0]
    assert min(scores) > grey + 0.05


def test_a_set_is_the_same_whoever_else_is_in_the_batch(target: MakeTarget, recipe: OptimizeConfig) -> None:
    alone = made(target("conv2", "conv1"), diverse(3), recipe)
    crowd = [picture(OTHER, seed=1), *diverse(3), picture(OTHER, seed=2), *diverse(2, OTHER)]
    for slots in (4, 64):
        together = made(target("conv2", "conv1"), crowd, recipe, slots=slots)[1:4]
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels.astype(int)).max() <= 1


def test_a_set_larger_than_the_slots_is_made_all_the_same(target: MakeTarget, recipe: OptimizeConfig) -> None:
    assert len(made(target("conv2", "conv1"), diverse(5), recipe, slots=2)) == 5


def test_a_row_leads_from_one_unit_to_the_other(target: MakeTarget, recipe: OptimizeConfig) -> None:
    where = target("conv2", "conv1")
    results = made(where, row(4), replace(recipe, steps=60))
    pixels: Any = np.stack([one.pixels for one in results])
    first, last = measure(where, pixels, [ONE] * 4), measure(where, pixels, [OTHER] * 4)
    assert first[0] > first[-1] + 0.1
    assert last[-1] > last[0] + 0.1
    steps = np.abs(np.diff(pixels.astype(float), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(pixels[0].astype(float) - pixels[-1]).mean()


def test_alignment_keeps_neighbours_alike(target: MakeTarget, recipe: OptimizeConfig) -> None:
    where = target("conv2", "conv1")

    def roughness(weight: float) -> float:
        config = replace(recipe, steps=40, together=replace(recipe.together, alignment=weight))
        seen = shown(where, np.stack([one.pixels for one in made(where, row(3), config)]))
        return neighbour_distance(where.maps(seen)["conv1"]).item()

    assert roughness(3.0) < roughness(0.0)
