"""A finished atlas of the tiny network whose pictures have a prior, shared by the tests of priors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import INLINE, TINY, composed, quietly

from network_atlas.config.schema import RunConfig

SMALL = [
    "priors.denoiser.features=8",
    "priors.denoiser.convolutions=3",
    "priors.denoiser.patch_px=8",
    "priors.denoiser.batch=4",
    "priors.denoiser.steps=6",
    "priors.denoiser.checkpoint_every=2",
]
WITH_PRIOR = [
    "optimize/prior=denoiser",
    *SMALL,
    "sweep.variants=[{objective: channel}]",
    'sweep.select.0.channels=":2"',
    'sweep.select.0.include=["conv2","conv3"]',
]


@pytest.fixture(scope="session")
def prior_words(images: Path) -> list[str]:
    """The overrides of that run, but for its root."""
    return [*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", *WITH_PRIOR]


@pytest.fixture(scope="session")
def composed_prior(images: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a run of the tiny network with a denoiser trained on the synthetic images."""
    return lambda *overrides: composed(images, (*WITH_PRIOR, *overrides))


@pytest.fixture(scope="session")
def prior_root(composed_prior: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished atlas with a prior, to read only."""
    root = tmp_path_factory.mktemp("prior") / "atlas"
    quietly(composed_prior(f'store.root="{root}"'))
    return root
