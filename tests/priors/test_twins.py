"""A picture that a prior pulls at has the same picture without it right before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from network_atlas import open_atlas
from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.config.twins import with_twins
from network_atlas.errors import ConfigError
from network_atlas.plan.directions import with_expected_directions
from network_atlas.run.prepare import prepare
from network_atlas.units import Direction


def test_a_configuration_without_priors_stays_the_same(tiny: Callable[..., RunConfig]) -> None:
    config = tiny()
    assert with_twins(config) is config
    weak = tiny("optimize/prior=denoiser", "optimize.prior.strength=0")
    assert with_twins(weak) is weak


def test_strength_zero_makes_the_very_picture_of_no_prior(tiny: Callable[..., RunConfig]) -> None:
    without, weak, strong = (
        prepare(tiny(*overrides), measured=False).plan
        for overrides in (
            (),
            ("optimize/prior=denoiser", "optimize.prior.strength=0"),
            ("optimize/prior=denoiser",),
        )
    )
    assert without.picture_keys == weak.picture_keys
    assert set(without.picture_keys) < set(strong.picture_keys)
    assert len(strong.picture_keys) == 2 * len(without.picture_keys)


def test_every_kind_of_picture_gets_its_twin(tiny: Callable[..., RunConfig]) -> None:
    config = tiny(
        "+optimize@recipes.calm=fast",
        "optimize/prior@recipes.calm.prior=denoiser",
        "sweep.variants=[{objective: channel}, {objective: channel, recipe: calm, diverse: 2}]",
        'sweep.combine=[{unit: "conv2:1 + conv2:2", recipe: calm}]',
        'sweep.interpolate=[{first: "conv2:1", last: "conv2:3", pictures: 2, recipe: calm}]',
    )
    sweep = with_twins(config).sweep
    assert [variant.recipe for variant in sweep.variants] == ["", "calm_without_prior", "calm"]
    assert [item.recipe for item in (*sweep.combine, *sweep.interpolate)] == ["calm_without_prior", "calm"] * 2
    assert with_twins(with_twins(config)) == with_twins(config)


def test_a_generators_picture_has_the_twin_that_its_settings_name(tiny: Callable[..., RunConfig]) -> None:
    config = with_twins(tiny("optimize=generator", "optimize.parameterization.without_prior.learning_rate=.07"))
    twin = config.recipe("without_prior")
    assert (twin.parameterization.name, twin.ascent, twin.learning_rate) == ("fourier", "adam", 0.07)
    assert [variant.recipe for variant in config.sweep.variants][:2] == ["without_prior", ""]


@pytest.mark.parametrize("name", ["denoiser", "generator", "patches", "examples"])
def test_the_twin_of_each_shipped_recipe_is_the_default_one(name: str) -> None:
    config = with_twins(compose([f"optimize={name}", f"+optimize@recipes.other={name}"]))
    assert config.recipe("without_prior") == config.recipe("other_without_prior") == compose([]).optimize


def test_samples_of_a_chain_have_one_twin_that_climbs(tiny: Callable[..., RunConfig]) -> None:
    variants = "sweep.variants=[{objective: channel, samples: 3}, {objective: channel}]"
    config = with_twins(tiny("optimize=chain", variants))
    assert [variant.names for variant in config.sweep.variants] == [
        ("channel+ (without_prior)",),
        ("channel+ sample-0", "channel+ sample-1", "channel+ sample-2"),
        ("channel+",),
    ]
    assert config.recipe("without_prior").chain is None


def test_a_chain_without_a_prior_has_a_twin_for_units_that_are_found_and_none_in_the_sweep(
    tiny: Callable[..., RunConfig],
) -> None:
    asked = tiny("optimize/sampler=chain", "sweep.variants=[{objective: channel, samples: 2}]")
    config = with_twins(asked)
    assert config.sweep == asked.sweep
    assert config.recipe("without_prior").chain is None
    assert with_twins(config) == config


def test_found_directions_have_twins_and_icons_of_maps_refuse_priors(tiny: Callable[..., RunConfig]) -> None:
    prior = ("optimize/prior=denoiser", "sweep.directions.include=[conv2]", "sweep.directions.count=2")
    prepared = prepare(tiny(*prior), measured=False)
    plan = with_expected_directions(prepared.plan, (), prepared.config)
    found = [picture for layer in plan.layers for picture in layer.pictures if isinstance(picture.unit, Direction)]
    assert [picture.recipe for picture in found] == ["without_prior", ""] * 2
    assert len({picture.key for picture in found}) == 4
    with pytest.raises(ConfigError, match=r"layout: icons of a map"):
        tiny("optimize=generator", "layout=last_layer", "layout.recipe=''")


def test_a_recipe_of_the_users_is_never_replaced(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match="give your recipe another name"):
        with_twins(tiny("optimize/prior=denoiser", "+optimize@recipes.without_prior=lucid"))


def test_the_atlas_names_the_twin_and_says_how_natural_both_are(prior_root: Path) -> None:
    atlas = open_atlas(str(prior_root))
    rows: list[Any] = atlas.table("atlas").to_pylist()
    stored = {row["key"]: row["image"]["bytes"] for row in atlas.table("visualizations").to_pylist()}
    for row in rows:
        without, pulled = row["visualizations"]
        assert (without["recipe"], pulled["recipe"]) == ("without_prior", "")
        assert (without["twin"], pulled["twin"]) == (None, without["key"])
        assert all(0 <= shown["naturalness"] <= 100 for shown in (without, pulled))
        assert stored[without["key"]] != stored[pulled["key"]]
