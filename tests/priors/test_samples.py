"""Samples of a chain in an atlas: several pictures of one channel, with one twin, at the price of one chain."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import quietly

from network_atlas import open_atlas
from network_atlas.config.schema import RunConfig
from network_atlas.config.twins import with_twins
from network_atlas.errors import ConfigError
from network_atlas.plan.estimate import steps_of
from network_atlas.run.prepare import prepare

Composed = Callable[..., RunConfig]
CHAIN = [
    "optimize/sampler=chain",
    "optimize.sampler.restarts=2",
    "optimize.sampler.sample_every=2",
    "optimize.sampler.burn_in=0.5",
    "optimize.steps=8",
    'sweep.select.0.include=["conv2"]',
    "sweep.variants=[{objective: channel, samples: 3}]",
    "store.allow_changes=true",
]


OF_X = "{objective: channel, samples: 2, recipe: x}"


def test_samples_stand_behind_their_twin_in_the_row_of_the_channel(finished: Path, composed_prior: Composed) -> None:
    result = quietly(composed_prior(*CHAIN, f'store.root="{finished}"'))
    assert not result.quarantined
    atlas = open_atlas(str(finished))
    rows: list[Any] = atlas.table("atlas").to_pylist()
    stored = {row["key"]: row["image"]["bytes"] for row in atlas.table("visualizations").to_pylist()}
    for row in (row for row in rows if row["layer"] == "conv2"):
        twin, *samples = row["visualizations"]
        names = ["channel+ sample-0", "channel+ sample-1", "channel+ sample-2"]
        assert [shown["variant"] for shown in (twin, *samples)] == ["channel+ (without_prior)", *names]
        assert {shown["twin"] for shown in samples} == {twin["key"]}
        assert twin["twin"] is None
        assert len({stored[shown["key"]] for shown in samples}) == 3
        assert all(shown["steps"] in (6, 8, 14, 16) for shown in samples)
        assert all(shown["percentile"] is not None for shown in samples)


def test_a_chain_costs_its_starts_and_its_samples_share_them(composed_prior: Composed) -> None:
    config = with_twins(composed_prior(*CHAIN))
    prepared = prepare(config, measured=False)
    (layer,) = prepared.plan.layers
    twins = [picture for picture in layer.pictures if picture.recipe]
    chains = len(layer.pictures) - len(twins)
    assert chains == 3 * len(twins)
    of_twins = steps_of(replace(layer, pictures=tuple(twins)), config, prepared.facts)
    assert steps_of(layer, config, prepared.facts) == pytest.approx(of_twins * 3)  # two starts for all three samples
    tasks = prepared.plan.optimize_tasks(set())
    passes = {
        name: sum(task.passes(config, prepared.facts) for task in tasks if task.recipe == name)
        for name in ("", "without_prior")
    }
    assert passes[""] == pytest.approx(2 * passes["without_prior"])


def test_the_scan_is_part_of_what_a_sample_is(composed_prior: Composed) -> None:
    def keys(*overrides: str) -> set[str]:
        plan = prepare(composed_prior(*CHAIN, "optimize/prior=none", *overrides), measured=False).plan
        return set(plan.picture_keys)

    assert not keys() & keys("dataset.limit=11")
    assert keys("optimize.sampler.percentile=0") == keys("optimize.sampler.percentile=0", "dataset.limit=11")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["+optimize@recipes.x=fast", "sweep.variants=[{objective: channel, samples: 2, recipe: x}]"],
            "those of a chain",
        ),
        (["sweep.variants=[{objective: channel, samples: 5}]"], "samples=5, but the chain takes 4; raise"),
        (["sweep.variants=[{objective: channel, diverse: 2}]"], "give samples in place of diverse"),
        (["sweep.variants=[{objective: channel, diverse: 2, samples: 2}]"], "give each a variant of its own"),
        (["sweep.variants=[{objective: layer, samples: 2}]"], "are of channels, neurons and classes"),
        (["sweep.directions.include=[conv2]"], "sweep.directions.recipe: a chain"),
        (["optimize.sampler.strength_range=[2, 1]"], "give the smaller number first"),
        (['sweep.combine=[{unit: "conv2:1 + conv2:2"}]'], "of channels, classes and the neuron at the centre alone"),
        (["sweep.variants=[{objective: neuron, position: [0, 1]}]"], "the neuron at the centre alone"),
        (["dataset=none", "dataset.label=none", "optimize/prior=none"], "give sampler.percentile=0"),
    ],
)
def test_what_a_chain_cant_make_is_refused_with_what_can(
    composed_prior: Composed, overrides: list[str], said: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        prepare(composed_prior(*CHAIN, *overrides), measured=False)
