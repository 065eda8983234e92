"""Every picture of a plan has its own key and, in its row of the atlas, its own name, for any sweep."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from planning import Tiny, pictures, plan_of, variants

from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import CombineConfig, InterpolateConfig, VariantConfig
from network_atlas.plan.plan import Plan

RECIPES = ["+optimize@recipes.same=default", "+optimize@recipes.classic=lucid", "optimize=default"]
UNITS = (
    "first:1", "first:1@2,2", "first:1@0,3", "first:*", "second:1", "tokens:1@0,0", "logit:1", "probability:1",
    "output:1", "first:1 + second:1", "second:1 + first:1", "0.3333333*first:1", "0.33333334*first:1", "-first:1",
)  # fmt: skip
POSITIONS = {"first": ("centre", (2, 2), (0, 0), (0, 3)), "**": ("centre", "class_token", (0, 0))}
"""Positions by selected layers, since a layer of tokens has one column; (2, 2) is the centre of the first layer."""

KINDS = (
    some.builds(dict, objective=some.sampled_from(["channel", "coactive", "layer"])),
    some.builds(dict, objective=some.just("channel"), start=some.just("example")),
    some.builds(dict, objective=some.just("channel"), diverse=some.sampled_from([2, 3])),
    some.builds(dict, objective=some.just("channel"), facets=some.sampled_from([2, 3])),
    some.builds(dict, objective=some.just("direction"), directions=some.sampled_from([1, 2])),
)
seeds, signs = some.sampled_from([0, 1]), some.sampled_from(["+", "-"])
recipes = some.sampled_from(["", "same", "classic"])
Composed = dict[str, RunConfig]
any_combination = some.builds(CombineConfig, unit=some.sampled_from(UNITS), sign=signs, seed=seeds, recipe=recipes)
any_row = some.builds(
    InterpolateConfig,
    first=some.sampled_from(UNITS), last=some.sampled_from(UNITS), pictures=some.sampled_from([2, 3]),
    seed=seeds, recipe=recipes,
)  # fmt: skip


def any_variants(selected: str) -> some.SearchStrategy[list[VariantConfig]]:
    positions = some.sampled_from(POSITIONS[selected])
    neurons = some.builds(dict, objective=some.just("neuron"), position=positions)
    kinds = some.one_of(*KINDS, neurons, neurons)
    variant = some.builds(
        lambda kind, **options: VariantConfig(**kind, **options), kinds, sign=signs, seed=seeds, recipe=recipes
    )
    # A sweep with two variants of one name is refused.
    return some.lists(variant, max_size=6, unique_by=lambda variant: variant.named(""))


@pytest.fixture
def composed(tiny: Tiny) -> Composed:
    """A configuration for each selection of layers."""
    return {
        name: tiny(f'sweep.select.0.include=["{name}"]', "sweep.select.0.channels=[1]", *RECIPES) for name in POSITIONS
    }


def rows(plan: Plan) -> Counter[tuple[str, object, str]]:
    """Return the number of pictures by layer, row and name."""
    return Counter(
        (layer.layer.name, picture.channel if picture.channel in layer.channels else picture.subject, picture.variant)
        for layer in plan.layers
        for picture in layer.pictures
    )


@pytest.mark.parametrize("selected", POSITIONS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_every_picture_has_a_key_and_a_name_of_its_own(
    composed: Composed, selected: str, data: some.DataObject
) -> None:
    config, draw = composed[selected], data.draw
    sweep = replace(
        config.sweep,
        variants=tuple(draw(any_variants(selected))) or (VariantConfig(objective="channel"),),
        combine=tuple(draw(some.lists(any_combination, max_size=4))),
        interpolate=tuple(draw(some.lists(any_row, max_size=3))),
    )
    plan = plan_of(replace(config, sweep=sweep))
    assert [key for key, count in Counter(plan.picture_keys).items() if count > 1] == []
    assert [name for name, count in rows(plan).items() if count > 1] == []


def test_a_combined_unit_that_is_selected_too_is_made_once(tiny: Tiny) -> None:
    plan = plan_of(
        tiny(
            "sweep.select.0.include=[first]",
            "sweep.select.0.channels=[1]",
            variants("objective: channel"),
            'sweep.combine=[{unit: "first:1"}, {unit: "first:1", seed: 2}, {unit: "first:1"}]',
        )
    )
    assert [picture.variant for picture in pictures(plan)] == ["channel+", "channel+@2"]


def test_interpolations_of_different_seeds_or_recipes_have_different_names(tiny: Tiny) -> None:
    row = 'first: "first:1", last: "first:2", pictures: 2'
    plan = plan_of(
        tiny(
            "sweep.select.0.include=[first]",
            variants("objective: layer"),
            "+optimize@recipes.classic=lucid",
            f"sweep.interpolate=[{{{row}}}, {{{row}, seed: 1}}, {{{row}, recipe: classic}}]",
        )
    )
    names = [picture.variant for picture in pictures(plan)]
    assert names == [
        "layer+",
        *(f"interpolation{rest}" for rest in (" 1 of 2", " 2 of 2", "@1 1 of 2", "@1 2 of 2")),
        *(f"interpolation {number} of 2 (classic)" for number in (1, 2)),
    ]


def test_random_directions_have_a_label_per_seed_whatever_the_sign(tiny: Tiny) -> None:
    ways = [f"objective: direction, directions: 2, seed: {seed}, sign: {sign}" for seed in (0, 5) for sign in "+-"]
    plan = plan_of(tiny("sweep.select.0.include=[first]", variants("objective: layer", *ways)))
    labels = Counter(picture.unit.label for picture in pictures(plan))
    assert {label: count for label, count in labels.items() if "random" in label} == {
        "first:random-0": 2,
        "first:random-1": 2,
        "first:random-0@5": 2,
        "first:random-1@5": 2,
    }


@pytest.mark.parametrize("examples", [12, 40])
def test_a_layers_scan_keys_are_computed_once_for_all_its_pictures(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    from network_atlas.plan import scans

    computed: list[object] = []

    def counting(*parts: object) -> str:
        computed.append(parts)
        return fingerprint(*parts)

    fingerprint = scans.fingerprint
    monkeypatch.setattr(scans, "fingerprint", counting)
    images = [(f"{number:03d}.png", "1kB") for number in range(examples)]
    plan = plan_of(tiny(variants("objective: channel, start: example")), examples=images)
    assert len(plan.picture_keys) > len(plan.layers)
    assert len(computed) == len(plan.layers) * (len(plan.spans) + 1)
