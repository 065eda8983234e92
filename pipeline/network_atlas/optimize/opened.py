"""The learned models that a worker's pictures take: each is read once, and stays open from task to task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from network_atlas.config.priors import DenoiserPrior
from network_atlas.config.recipe import GeneratorConfig, OptimizeConfig
from network_atlas.optimize.pull import Pull
from network_atlas.pictures.generators import Generator, decoder_of, users_generator
from network_atlas.pictures.patches import PatchMixture
from network_atlas.plan.contents import LearnedModel
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.opening import open_denoiser
from network_atlas.priors.stored import read_state
from network_atlas.store.root import Store

T = TypeVar("T")


class OpenedModels:
    """Opens the models of tasks; of each kind, the last one is kept."""

    def __init__(self, store: Store, *, channels: int, device: torch.device) -> None:
        self._store, self._channels, self._device = store, channels, device
        self._latest: dict[str, tuple[LearnedModel, object]] = {}

    def pull(self, config: OptimizeConfig, models: Sequence[LearnedModel], dtype: str) -> Pull | None:
        """Return the recipe's denoiser with its settings, in a number format; None for a recipe without a prior."""
        if not isinstance(config.prior, DenoiserPrior):
            return None
        denoiser = self._opened("denoiser", models, self._denoiser)
        return Pull(denoiser, config.prior, dtype) if denoiser else None

    def mixture(self, models: Sequence[LearnedModel]) -> PatchMixture | None:
        """Return the mixture of the dataset's patches, for recipes that compare pictures with it."""
        return self._opened(
            "patches", models, lambda model: PatchMixture.of(read_state(self._store, model), self._device)
        )

    def generator(self, config: OptimizeConfig, models: Sequence[LearnedModel]) -> Generator | None:
        """Return the generator of a recipe that has one: the user's own, or the decoder that the run trained."""
        kind = config.parameterization
        if isinstance(kind, GeneratorConfig) and kind.function:
            return self._opened("generator", models, lambda _: users_generator(kind, self._channels))
        return self._opened("decoder", models, lambda model: decoder_of(read_state(self._store, model)))

    def _denoiser(self, model: LearnedModel) -> Denoiser | None:
        return open_denoiser(self._store, [model], channels=self._channels, device=self._device)

    def _opened(self, kind: str, models: Sequence[LearnedModel], open_it: Callable[[LearnedModel], T]) -> T | None:
        """Return the model of a kind among those of a task; None if there is none."""
        model = next((model for model in models if model.kind == kind), None)
        if model is None:
            return None
        latest = self._latest.get(kind)
        if latest is None or latest[0] != model:
            latest = self._latest[kind] = (model, open_it(model))
        return latest[1]  # type: ignore[return-value]
