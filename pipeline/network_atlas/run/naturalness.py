"""What `priors.naturalness: auto` means in a root: by which denoiser pictures are measured that none was made with.

That of a recipe, where one has a denoiser. Else the packaged one if the machine of the first run has its package
(`store.first_choice`); training one for this alone would take minutes that nobody asked for.
"""

from __future__ import annotations

from network_atlas.config.priors import AUTO, NONE, PACKAGED, DenoiserPrior
from network_atlas.config.schema import RunConfig
from network_atlas.plan.plan import Plan
from network_atlas.priors.opening import is_installed
from network_atlas.store.first_choice import FirstChoice
from network_atlas.store.root import Store

CHOICE = FirstChoice("plan/naturalness.json", (NONE, PACKAGED))
LEARNED = "priors.naturalness=trained learns one from the dataset in minutes"
HOW = f"pip install '.[denoiser]' and give priors.naturalness=packaged, or {LEARNED}"


def otherwise(config: RunConfig, store: Store) -> str:
    """Return what 'auto' means where no recipe has a denoiser: NONE, or PACKAGED where it is there and fits."""
    if not _is_open(config) or config.model.input.channels != 3:
        return NONE
    return CHOICE.kept(store) or (PACKAGED if is_installed() else NONE)


def keep_naturalness(config: RunConfig, store: Store, plan: Plan) -> bool:
    """Keep what 'auto' means from now on, unless it is kept; say whether the plan is made so."""
    return not _is_open(config) or CHOICE.keep(store, PACKAGED if plan.measuring_model else NONE)


def how_to_measure(config: RunConfig, plan: Plan) -> str:
    """Return what to do for pictures to have a naturalness, where 'auto' found no denoiser; else ''."""
    if plan.measuring_model or not _is_open(config):
        return ""
    # The packaged one is for RGB.
    return f"of no picture, as no denoiser is at hand: {HOW if config.model.input.channels == 3 else LEARNED}"


def _is_open(config: RunConfig) -> bool:
    """Say whether 'auto' decides: there are images to compare with, and no recipe has a denoiser."""
    recipes = (config.optimize, *config.recipes.values())
    has_denoiser = any(isinstance(recipe.prior, DenoiserPrior) and recipe.has_prior for recipe in recipes)
    return config.priors.naturalness == AUTO and config.dataset.source != "none" and not has_denoiser
