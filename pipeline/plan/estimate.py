"""What the missing part of a plan will cost: seconds and bytes, and where the figures come from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.config.schema import RunConfig
from pipeline.plan.tasks import LayerPlan, Plan
from pipeline.units import ModelFacts

BACKWARD_FACTOR = 3.0
"""A step (forward and backward) takes about three times a forward pass."""
PNG_SHARE = 0.85
"""Optimized pictures compress this little as PNG."""
COPIES = 3
"""A picture is kept in its shard, in the atlas table and in the site."""
CROP_BYTES_PER_PIXEL = 0.35
"""A crop as JPEG, quality 90."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Cost of what is missing, on this machine's own processor."""

    seconds: float
    bytes_written: int
    basis: str


def estimate(
    config: RunConfig,
    facts: ModelFacts,
    plan: Plan,
    done: Collection[str],
    *,
    seconds_per_picture: Mapping[str, float],
    read_seconds: float,
) -> Estimate:
    """Return what the missing results cost.

    `seconds_per_picture` are measured means by layer name from earlier receipts (may be empty); `read_seconds` is the
    time to read and prepare one image. Layers without a measurement are estimated from the time of a forward pass.
    """
    tasks = plan.scan_tasks(done)
    scan = sum(
        (task.span.stop - task.span.start)
        * (read_seconds + facts.forward_seconds * max(facts.share[layer.name] for layer in task.layers))
        for task in tasks
    )
    step = facts.forward_seconds * BACKWARD_FACTOR
    optimize = 0.0
    measured = 0
    pictures = 0
    for layer in plan.layers:
        missing = sum(picture.key not in done for picture in layer.pictures)
        pictures += missing
        name = layer.layer.name
        if name in seconds_per_picture:
            measured += missing
            optimize += missing * seconds_per_picture[name]
        else:
            optimize += _steps(config, layer, done) * step * facts.share[name]
    return Estimate(
        seconds=scan + optimize,
        bytes_written=_bytes(config, plan, pictures, len(tasks)),
        basis=_basis(measured, pictures),
    )


def _steps(config: RunConfig, layer: LayerPlan, done: Collection[str]) -> int:
    """Return the steps that a layer's missing pictures take, one for each view."""
    recipes = [config.recipe(picture.recipe) for picture in layer.pictures if picture.key not in done]
    return sum(recipe.steps * recipe.transform.views for recipe in recipes)


def _basis(measured: int, pictures: int) -> str:
    if not pictures or not measured:
        return "a forward pass timed on this machine"
    return (
        "earlier tasks in this root" if measured == pictures else "earlier tasks in this root and a timed forward pass"
    )


def _bytes(config: RunConfig, plan: Plan, pictures: int, spans: int) -> int:
    picture = config.optimize.height_px * config.optimize.width_px * config.model.input.channels * PNG_SHARE
    if not pictures and not spans:
        return 0
    channels = sum(len(layer.channels) for layer in plan.layers)
    crops = channels * (config.scan.top_k + config.scan.bottom_k) * config.assemble.crop_px**2 * CROP_BYTES_PER_PIXEL
    scanned = sum(layer.layer.channels for layer in plan.layers) * spans
    partials = scanned * ((config.scan.top_k + config.scan.bottom_k) * 24 + 100)
    partials += sum(layer.layer.channels for layer in plan.layers) * config.scan.sample * 8
    return int(COPIES * pictures * picture + 2 * crops + partials)
