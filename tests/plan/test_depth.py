"""Recipes that follow the depth of a layer: which layers are early and late, what changes, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.depth import field_px, fitted, passes_of
from network_atlas.run.prepare import prepare

INPUT = compose([]).model.input  # 224 px
DEFAULT = compose([]).optimize


def layer(side: int, field: int | None) -> LayerSpec:
    spec = LayerSpec(
        index=0, name="layer", type="Conv2d", channels=8, height=side, width=side, receptive_field_px=field
    )
    return replace(spec, receptive_field_px=field)


VECTOR = LayerSpec(index=1, name=OUTPUT, type="Net", channels=8, receptive_field_px=224)
TOKENS = LayerSpec(index=2, name="tokens", type="Block", channels=8, tokens=197, receptive_field_px=16)


@pytest.mark.parametrize(
    ("spec", "depth"),
    [
        (layer(112, 7), "early"),
        (layer(28, 67), "early"),
        (layer(14, 202), "middle"),
        (layer(14, 224), "plain"),  # sees the whole input
        (layer(112, None), "plain"),  # not measured
        (layer(7, 182), "late"),
        (layer(7, 20), "late"),
        (VECTOR, "late"),
        (TOKENS, "plain"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.shape}, sees {value.receptive_field_px}",
)
def test_a_layer_is_early_by_what_it_sees_and_late_by_how_few_positions_it_has(spec: LayerSpec, depth: str) -> None:
    assert fitted(DEFAULT, spec, INPUT).depth == depth
    off = replace(DEFAULT, depth=replace(DEFAULT.depth, follow=False))
    assert fitted(off, spec, INPUT).depth == ""
    assert fitted(off, spec, INPUT).recipe == off


def test_middle_layers_have_no_border_and_tokens_have_the_recipe_as_it_stands() -> None:
    middle = fitted(DEFAULT, layer(14, 202), INPUT).recipe
    assert middle == replace(DEFAULT, transform=replace(DEFAULT.transform, fill="wrap"))
    assert fitted(DEFAULT, TOKENS, INPUT).recipe == fitted(DEFAULT, layer(14, 224), INPUT).recipe == DEFAULT


def test_zooms_and_turns_of_early_layers_grow_with_the_receptive_field() -> None:
    def ranges(field: int) -> tuple[float, float, float]:
        transform = fitted(DEFAULT, layer(56, field), INPUT).recipe.transform
        assert transform.fill == "wrap"
        return 1 / transform.scale_min, transform.scale_max, transform.rotate_degrees

    seven, thirty, sixty, hundred = ranges(7), ranges(30), ranges(60), ranges(100)
    assert seven == thirty == (pytest.approx(0.7**-0.5), pytest.approx(1.4**0.5), 15)
    assert all(1 < small < large for small, large in zip(seven, sixty, strict=True))
    assert all(small < large for small, large in zip(sixty, hundred, strict=True))
    whole = DEFAULT.transform
    assert hundred[2] < whole.rotate_degrees
    assert hundred[1] < whole.scale_max
    assert field_px(DEFAULT, layer(56, 28), INPUT) == 16  # of 128, as 28 of 224
    assert field_px(DEFAULT, layer(14, 224), INPUT) == float("inf")


def test_late_layers_have_more_steps_most_of_them_at_about_the_pictures_size() -> None:
    late = fitted(DEFAULT, VECTOR, INPUT).recipe
    assert late == replace(DEFAULT, steps=round(1.5 * DEFAULT.steps), coarse=DEFAULT.depth.late_coarse)
    # Half of 32 px would be far smaller than the picture, and a picture of 512 px is shown smaller already.
    small = fitted(DEFAULT, VECTOR, replace(INPUT, height=32, width=32, resize=32)).recipe
    large = fitted(replace(DEFAULT, height_px=512), VECTOR, INPUT).recipe
    assert small.coarse == large.coarse == DEFAULT.coarse


def test_a_picture_costs_the_steps_of_its_depth(tiny: Callable[..., RunConfig]) -> None:
    prepared = prepare(tiny("optimize.depth.follow=true"), measured=False)
    assert prepared.facts.takes_half
    assert passes_of(DEFAULT, layer(14, 202), INPUT, takes_half=True) == DEFAULT.steps
    assert DEFAULT.steps < passes_of(DEFAULT, VECTOR, INPUT, takes_half=True) < 1.3 * DEFAULT.steps
    assert passes_of(DEFAULT, VECTOR, INPUT, takes_half=False) == 1.5 * DEFAULT.steps
