"""A network's fingerprints are the same however its weights were saved, and change with all that computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import needs
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from network_atlas.config.schema import RunConfig
from network_atlas.models.checkpoint import load_checkpoint
from network_atlas.models.code import code_hash
from network_atlas.models.facts import model_facts
from network_atlas.models.module_hashes import ModuleHashes
from network_atlas.models.upstream import upstream_hashes, upstream_of

LAYERS = ["conv", "norm", "output"]
State = dict[str, Tensor]


class Network(nn.Module):
    def __init__(self, *, traceable: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.traceable = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), traceable

    def forward(self, images: Tensor) -> Tensor:
        x = self.conv(images)
        if not self.traceable and x.sum() > 1e9:
            return x
        return self.norm(x).relu()


def hashes(model: nn.Module) -> dict[str, str]:
    return upstream_hashes(model.eval(), LAYERS, LAYERS)


def loaded(file: Path) -> dict[str, str]:
    model = Network()
    for value in model.state_dict().values():
        value.zero_()
    load_checkpoint(model, str(file))
    return hashes(model)


SAVED: dict[str, Callable[[nn.Module], object]] = {
    "DataParallel": lambda model: nn.DataParallel(model).state_dict(),
    "torch.compile": lambda model: torch.compile(model).state_dict(),
    "averaged": lambda model: AveragedModel(model).state_dict(),
    "Lightning": lambda model: {
        "epoch": 3,
        "state_dict": {f"model.{key}": value for key, value in model.state_dict().items()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}}],
    },
    "EMA beside": lambda model: {
        "model": model.state_dict(),
        "ema": {key: value + 1 for key, value in model.state_dict().items()},
    },
    "trained further without a step": lambda model: {
        **model.state_dict(),
        "norm.num_batches_tracked": torch.tensor(99),
    },
}


@pytest.mark.parametrize("how", list(SAVED))
def test_weights_have_one_fingerprint_however_they_were_saved(how: str, tmp_path: Path) -> None:
    torch.save(SAVED[how](Network()), tmp_path / "saved.pt")
    assert loaded(tmp_path / "saved.pt") == hashes(Network())


@needs("safetensors")
def test_safetensors_have_the_same_fingerprint(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(Network().state_dict(), tmp_path / "saved.safetensors")
    assert loaded(tmp_path / "saved.safetensors") == hashes(Network())


def test_rounded_weights_are_others(tmp_path: Path) -> None:
    torch.save(Network().half().state_dict(), tmp_path / "half.pt")
    assert all(loaded(tmp_path / "half.pt")[name] != hash_ for name, hash_ in hashes(Network()).items())


@pytest.mark.parametrize("traceable", [True, False])
def test_a_running_mean_counts_from_its_layer_on(traceable: bool) -> None:
    model = Network(traceable=traceable)
    before = hashes(model)
    model.norm.running_mean += 0.1  # type: ignore[operator]
    after = hashes(model)
    assert {name for name in LAYERS if before[name] != after[name]} == {"norm", "output"}


@pytest.mark.parametrize("traceable", [True, False])
def test_what_a_hash_covers_is_named(traceable: bool) -> None:
    model, modules = Network(traceable=traceable).eval(), ModuleHashes()
    upstream = upstream_of(model, LAYERS, LAYERS, modules)
    contents = modules.contents(model)
    of_conv, of_norm = {"conv()", "conv.weight", "conv.bias"}, {"norm()", "norm.weight", "norm.running_mean"}
    assert upstream.parts["conv"] >= of_conv
    assert not upstream.parts["conv"] & of_norm
    assert upstream.parts["output"] >= of_conv | of_norm
    assert upstream.parts["output"] <= contents.keys()
    model.conv.stride = (2, 2)
    after = ModuleHashes().contents(model)
    assert {name for name in contents if contents[name] != after[name]} == {"conv()"}


def test_a_version_counts_for_every_layer_and_stands_for_the_code(
    tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny().model
    model = Network(traceable=False).eval()

    def layers(version: str) -> dict[str, str]:
        return dict(model_facts(model, replace(config, version=version)).upstream)

    plain, first = layers(""), layers("1")
    assert all(plain[name] != first[name] for name in LAYERS)
    assert all(layers("2")[name] != first[name] for name in LAYERS)
    monkeypatch.setattr("network_atlas.models.module_hashes.code_hash", lambda target: code_hash(target) and "edited")
    assert layers("1") == first
    assert layers("") != plain


def test_preprocessing_is_a_part_of_the_keys_of_scans_and_pictures(tiny: Callable[..., RunConfig]) -> None:
    from planning import plan_of

    def keys(*overrides: str) -> set[str]:
        plan = plan_of(tiny(*overrides))
        return {*plan.scan_keys, *plan.picture_keys}

    before = keys()
    for override in ("resize=17", "interpolation=nearest", "mean=[0.4]", "std=[0.3]", "value_range=255"):
        assert not keys(f"model.input.{override}") & before
