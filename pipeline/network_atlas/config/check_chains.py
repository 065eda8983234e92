"""Refuse what a chain can't make: pictures that act on each other, more samples than it takes, or those of no scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.sweep import VariantConfig

if TYPE_CHECKING:
    from network_atlas.config.schema import RunConfig


def check_chains(config: RunConfig) -> None:
    """Raise ValueError where the sampler of a recipe and what is asked of it do not fit."""
    for variant in config.sweep.variants:
        recipe = config.recipe(variant.recipe)
        if recipe.chain is not None and variant.diverse:
            raise ValueError(
                f"sweep: variant {variant.name!r} is a set whose pictures act on each other, and those of a chain "
                "don't; give samples in place of diverse, or a recipe with optimize/sampler=none"
            )
        _check_samples(variant, recipe)
    other = {"sweep.interpolate": [row.recipe for row in config.sweep.interpolate]}
    other["sweep.directions.recipe"] = [config.sweep.directions.recipe] if config.sweep.directions.include else []
    other["layout.recipe"] = [config.layout.recipe] if config.layout.layers else []
    for setting, names in other.items():
        if any(config.recipe(name).chain for name in names):
            raise ValueError(
                f"{setting}: a chain makes pictures of channels, neurons and classes; name a recipe with "
                "optimize/sampler=none"
            )
    for name, recipe in {"optimize": config.optimize, **config.recipes}.items():
        if recipe.chain is not None and recipe.chain.percentile and config.dataset.source == "none":
            raise ValueError(
                f"sampler.percentile={recipe.chain.percentile:g} of {name} compares samples with images, and "
                "dataset=none has none; give sampler.percentile=0"
            )


def _check_samples(variant: VariantConfig, recipe: OptimizeConfig) -> None:
    if not variant.samples:
        return
    if recipe.chain is None:
        raise ValueError(
            f"sweep: samples={variant.samples} of variant {variant.named('')!r} are those of a chain, and its recipe "
            "has none; give it one with optimize/sampler=chain, such as optimize=chain"
        )
    if variant.samples > (most := recipe.chain.samples(recipe.steps)):
        raise ValueError(
            f"sweep: samples={variant.samples}, but the chain takes {most}; raise sampler.restarts or steps, or lower "
            "sampler.sample_every or sampler.burn_in"
        )
