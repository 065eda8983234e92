"""Plan a second picture beside each one that a prior pulls at: the same without the prior.

A prior can hide what a unit really answers to. So no such picture is shown alone: every variant, combination,
interpolation and direction whose recipe has a denoiser, a generator, or a penalty that learns from the dataset what is
natural, comes twice: first with the recipe `without_prior`, then as it was asked for. Where a page shows a single
picture of a channel, it is the first. The samples of a chain have one twin together: the picture that climbs.

A chain without a prior has a twin as well, which the sweep doesn't ask for: units that a run finds, such as the groups
of a channel's examples, have pictures that climb (`plan.late`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from network_atlas.config.priors import NoPrior
from network_atlas.config.recipe import LEARNED, GeneratorConfig, OptimizeConfig, Regularizer
from network_atlas.config.sampler import NoSampler
from network_atlas.config.schema import RunConfig
from network_atlas.config.sweep import VariantConfig
from network_atlas.errors import ConfigError

SUFFIX = "without_prior"


class _Asking(Protocol):
    @property
    def recipe(self) -> str: ...


_T = TypeVar("_T", bound=_Asking)


def twin_of(recipe: str) -> str:
    """Return the name of a recipe's twin, which has no prior."""
    return f"{recipe}_{SUFFIX}" if recipe else SUFFIX


def without_prior(recipe: OptimizeConfig) -> OptimizeConfig:
    """Return a recipe for the same pictures, which nothing learned shapes, and which climb."""
    kind = recipe.parameterization
    if isinstance(kind, GeneratorConfig):
        free = kind.without_prior
        recipe = replace(
            recipe,
            parameterization=free.parameterization,
            transform=free.transform,
            ascent=free.ascent,
            learning_rate=free.learning_rate,
        )
    return replace(
        recipe, prior=NoPrior(name="none"), sampler=NoSampler(name="none"), regularizers=_not_learned(recipe)
    )


def with_twins(config: RunConfig) -> RunConfig:
    """Return the configuration with a picture without prior before each one with a prior; the same one if none has.

    Raises ConfigError where a recipe of the user's has the name of a twin and other settings.
    """
    recipes = {"": config.optimize, **config.recipes}
    twins = {name: without_prior(recipe) for name, recipe in recipes.items() if recipe.is_shaped or recipe.chain}
    if not twins:
        return config
    named = {twin_of(name): recipe for name, recipe in twins.items()}
    shaped = {name for name in twins if recipes[name].is_shaped}
    for name, recipe in named.items():
        if config.recipes.get(name, recipe) != recipe:
            raise ConfigError(f"recipes.{name} is the name of a picture without prior; give your recipe another name")
    sweep = config.sweep
    return replace(
        config,
        recipes=config.recipes | named,
        sweep=replace(
            sweep,
            variants=_doubled(sweep.variants, shaped),
            combine=_doubled(sweep.combine, shaped),
            interpolate=_doubled(sweep.interpolate, shaped),
        ),
    )


def _not_learned(recipe: OptimizeConfig) -> tuple[Regularizer, ...]:
    """Return the penalties of a recipe that learn nothing from the dataset."""
    return tuple(each for each in recipe.regularizers if each.name not in LEARNED)


def _doubled(items: Sequence[_T], shaped: Collection[str]) -> tuple[_T, ...]:
    doubled: list[_T] = []
    for item in items:
        if item.recipe in shaped:
            twin = replace(item, recipe=twin_of(item.recipe))  # type: ignore[type-var]
            if isinstance(twin, VariantConfig):
                twin = replace(twin, samples=0)
            doubled += [] if twin in items or twin in doubled else [twin]
        doubled.append(item)
    return tuple(doubled)
