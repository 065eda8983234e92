"""Make the local paths among the settings absolute. Only this module knows which settings are paths."""

from __future__ import annotations

import os
from dataclasses import replace

from network_atlas.config.priors import AUTO, NONE, RECIPE, SOURCES, DenoiserPrior
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Return the configuration with absolute local paths, '~' expanded: workers may run in another folder."""
    model, dataset = config.model, config.dataset
    return replace(
        config,
        model=replace(
            model,
            weights=absolute(model.weights, "default", "none"),
            classes=absolute(model.classes, "imagenet", "none"),
        ),
        dataset=replace(
            dataset,
            root=absolute(dataset.root),
            only=absolute(dataset.only),
            embeddings=absolute(dataset.embeddings),
            hierarchy=absolute(dataset.hierarchy, "imagenet"),
        ),
        store=replace(config.store, root=absolute(config.store.root)),
        optimize=_with_absolute_prior(config.optimize),
        recipes={name: _with_absolute_prior(recipe) for name, recipe in config.recipes.items()},
        priors=replace(config.priors, naturalness=absolute(config.priors.naturalness, *SOURCES, AUTO, RECIPE, NONE)),
    )


def _with_absolute_prior(recipe: OptimizeConfig) -> OptimizeConfig:
    prior = recipe.prior
    if not isinstance(prior, DenoiserPrior):
        return recipe
    return replace(recipe, prior=replace(prior, weights=absolute(prior.weights, *SOURCES)))


def absolute(path: str, *words: str) -> str:
    """Return an absolute local path. One of `words`, a URI and '' stay as they are."""
    is_local = path and path not in words and "://" not in path
    return os.path.abspath(os.path.expanduser(path)) if is_local else path
