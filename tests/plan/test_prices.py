"""What priors and learned penalties add to the price of a picture, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from network_atlas.config.schema import RunConfig
from network_atlas.plan.estimate import EARLIER, TIMED, Speeds, estimate
from network_atlas.plan.prices import NATURAL_IMAGES, RANGE, seconds_of_denoising, seconds_of_step
from network_atlas.run.prepare import prepare

Tiny = Callable[..., RunConfig]
SPEEDS = Speeds(
    step=0.01, image=1.0, measure=1.0, row=1.0, pictures={}, sources=dict.fromkeys(("scan", "optimize"), TIMED)
)


def of_step(tiny: Tiny, *overrides: str, dtype: str = "float32") -> float:
    config = tiny(*overrides)
    return seconds_of_step(config.optimize, config, dtype)


def test_a_plain_recipe_has_no_price_beside_its_passes(tiny: Tiny) -> None:
    assert of_step(tiny) == 0
    assert of_step(tiny, "optimize/prior=denoiser", "optimize.prior.strength=0") == 0


def test_each_model_has_a_price_that_grows_with_it_and_with_the_picture(tiny: Tiny) -> None:
    denoiser, packaged = "optimize/prior=denoiser", "optimize.prior.weights=packaged"
    assert 0 < of_step(tiny, denoiser) < of_step(tiny, denoiser, packaged)
    assert of_step(tiny, denoiser, dtype="bfloat16") < of_step(tiny, denoiser)
    assert of_step(tiny, denoiser, packaged, dtype="bfloat16") == of_step(tiny, denoiser, packaged)
    large = [denoiser, "optimize.height_px=32"]
    assert of_step(tiny, *large) == pytest.approx(2 * of_step(tiny, denoiser))
    patches, few = "optimize.regularizers=[{name: patches, weight: 1}]", "priors.patches.components=20"
    assert of_step(tiny, patches) == pytest.approx(10 * of_step(tiny, patches, few))
    assert of_step(tiny, "optimize.regularizers=[{name: examples, weight: 1}]") > 0
    assert of_step(tiny, "optimize/parameterization=generator") > 0


def test_prices_are_in_the_plan_with_a_range_unless_earlier_tasks_say_how_long_pictures_take(tiny: Tiny) -> None:
    prepared = prepare(tiny("optimize/prior=denoiser", 'sweep.select.0.include=["conv2"]'), measured=False)

    def optimize(speeds: Speeds) -> tuple[float, float]:
        cost = estimate(prepared.config, prepared.facts, prepared.plan, done=(), measured=(), speeds=speeds)
        stage = next(stage for stage in cost.stages if stage.name == "optimize")
        return stage.seconds, stage.slowdown

    seconds, slowdown = optimize(SPEEDS)
    free, _ = optimize(replace(SPEEDS, step=0.0))
    pictures = sum(not picture.recipe for layer in prepared.plan.layers for picture in layer.pictures)
    config, dtype = prepared.config, prepared.plan.dtypes[""]
    assert free == pytest.approx(pictures * config.optimize.steps * seconds_of_step(config.optimize, config, dtype))
    assert slowdown == pytest.approx((seconds - free + RANGE * free) / seconds)
    assert 1 < slowdown < RANGE
    known = replace(SPEEDS, pictures={"conv2": 2.0}, sources={"optimize": EARLIER})
    assert optimize(known) == (2.0 * 2 * pictures, 1.0)


def test_naturalness_has_a_price_for_each_picture_and_the_images_unless_earlier_measurements_include_it(
    tiny: Tiny,
) -> None:
    words = ('sweep.select.0.include=["conv2"]', "sweep.variants=[{objective: channel}]")

    def calibrate(source: str, naturalness: str) -> tuple[float, float]:
        prepared = prepare(tiny(*words, f"priors.naturalness={naturalness}"), measured=False)
        speeds = replace(SPEEDS, measure=0.0, sources={"calibrate": source})
        cost = estimate(prepared.config, prepared.facts, prepared.plan, done=(), measured=(), speeds=speeds)
        return next(stage.seconds for stage in cost.stages if stage.name == "calibrate"), cost.naturalness_seconds

    config = tiny(*words)
    pictures = len(prepare(config, measured=False).plan.picture_keys)
    seconds = (NATURAL_IMAGES + pictures) * seconds_of_denoising(config.optimize, "trained", config)
    assert calibrate(TIMED, "trained") == (pytest.approx(seconds), pytest.approx(seconds))
    assert calibrate(EARLIER, "trained") == (0, pytest.approx(seconds))
    assert calibrate(TIMED, "none") == (0, 0)
