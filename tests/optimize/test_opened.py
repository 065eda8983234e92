"""Models of tasks are read once, and stay open as long as tasks take the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from network_atlas.optimize import opened
from network_atlas.optimize.opened import OpenedModels
from network_atlas.plan.contents import LearnedModel
from network_atlas.priors.patches import fit_mixture, sample_patches
from network_atlas.store.root import Store


def test_a_mixture_is_read_once_until_another_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [torch.randint(0, 256, (20, 20, 3), generator=torch.Generator().manual_seed(0)).byte().numpy()]
    state, _ = fit_mixture(sample_patches(images, 40, seed=0), components=2, iterations=1, noise=0.02, seed=0)
    read: list[str] = []
    monkeypatch.setattr(opened, "read_state", lambda _, model: read.append(model.key) or state)
    models = OpenedModels(Store.open(str(tmp_path)), channels=3, device=torch.device("cpu"))
    first, second = (LearnedModel(kind="patches", key=key, source="trained") for key in ("a", "b"))
    mixture = models.mixture([first])
    assert mixture is not None
    assert models.mixture([first]) is mixture
    assert models.mixture([second]) is not mixture
    assert read == ["a", "b"]
    assert models.mixture([]) is None
