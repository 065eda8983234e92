"""Pictures that are learned with compiled blocks are the same pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import repeated_blocks
import torch
from conftest import TINY, quietly
from optimizing import made, picture
from torch import Tensor

from network_atlas import open_atlas
from network_atlas.cli.commands.plan import print_plan
from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import RunConfig
from network_atlas.models import compiled
from network_atlas.models.compiled import CompiledBlocks
from network_atlas.models.facts import model_facts
from network_atlas.models.steps import Trial
from network_atlas.pictures.target import Target
from network_atlas.store.root import Store
from network_atlas.units import Channel, ClassLogit, ClassProbability, Direction, Neuron


class TowardsGrey:
    """A pull at the images, between the gradient of the network and that of the parameters."""

    def added(self, gradient: Tensor, images: Tensor, *_: Any) -> Tensor:
        size = gradient.abs().amax((1, 2, 3), keepdim=True)
        return gradient + size * (0.5 - images.detach())


def test_of_each_kind_alone_and_in_a_batch_bit_for_bit_and_as_uncompiled(recipe: OptimizeConfig) -> None:
    model, config = repeated_blocks.maps(), compose([*TINY, "dataset.root=x"]).model
    layers = {layer.name: layer for layer in model_facts(model, config).layers}
    read = tuple(layers[name] for name in ("blocks.1", "blocks.2.conv1", "output"))
    target = Target(model=model, layers=read, input=config.input, device=torch.device("cpu"))
    by_blocks = replace(target, forward=CompiledBlocks(model, rows=4, backend="aot_eager"))
    pictures = [
        picture(Channel(layer="blocks.1", channel=2)),
        picture(Channel(layer="blocks.1", channel=2), sign=-1),
        picture(Neuron(layer="blocks.2.conv1", channel=1, row=2, column=1)),
        picture(Direction(layer="blocks.1", name="two", vector=(1.0, -1.0, *[0.0] * 6), cosine_power=1.0)),
        picture(ClassLogit(layer="output", channel=3)),
        picture(ClassProbability(layer="output", channel=1)),
    ]
    recipe = replace(recipe, steps=8)
    together, own = made(by_blocks, pictures, recipe), made(target, pictures, recipe)
    for number, each in enumerate(pictures):
        (alone,) = made(by_blocks, [each], recipe)
        assert np.array_equal(alone.pixels, together[number].pixels)
        assert np.abs(alone.pixels.astype(int) - own[number].pixels).max() <= 1
    pulled, own_pulled = (made(each, pictures[:1], recipe, pull=TowardsGrey())[0] for each in (by_blocks, target))
    assert not np.array_equal(pulled.pixels, together[0].pixels)
    assert np.abs(pulled.pixels.astype(int) - own_pulled.pixels).max() <= 1


def ways_of(root: Path) -> list[str]:
    """Return how the network ran in the stage that makes pictures, as the record of the root says."""
    return list(json.loads((root / "plan" / "run.json").read_text())["network"]["optimize"])


def pictures_of(root: Path) -> list[Any]:
    return [shown for row in open_atlas(str(root)).table("atlas").to_pylist() for shown in row["visualizations"]]


FEW = ("dataset=none", "dataset.root=''", "dataset.label=none", "sweep.variants=[{objective: channel}]")


def test_a_network_without_blocks_runs_as_ever_and_record_and_plan_say_why(
    tiny: Callable[..., RunConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(*FEW, "sweep.select.0.include=[conv1]", 'sweep.select.0.channels="0:1"', "model.compile=always")
    quietly(config)
    (way,) = ways_of(tmp_path / "atlas")
    assert way == "frozen; steps not compiled: no class of blocks without hooks occurs more than once in the network"
    kept = {"auto": "not compiled", "device": "Card 9", "problem": "no compiler"}
    Store.open(config.store.root).write("plan/compiled/Card_9.json", json.dumps(kept).encode())
    print_plan(config, as_json=False)
    assert "compile   Card 9: not compiled (no compiler)" in capsys.readouterr().out


INDUCTOR = pytest.param(
    "inductor",
    marks=[
        pytest.mark.slow,
        pytest.mark.exhaustive,
        pytest.mark.timeout(1800),  # half a minute of a processor, ten times as long on a busy one
        pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles for processors by g++"),
    ],
)


@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
def test_a_run_with_compiled_steps_makes_the_same_keys_and_pictures_and_the_record_says_so(
    backend: str, tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", backend)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "programs"))
    layers = ("model.name=repeated_blocks:alike", "sweep.select.0.include=[blocks.1]", "sweep.select.0.types=[]")
    with torch._inductor.config.patch(compile_threads=1):  # no processes that stay
        quietly(tiny(*FEW, *layers, "model.compile=always", root=tmp_path / "always"))
    quietly(tiny(*FEW, *layers, "model.compile=never", root=tmp_path / "never"))
    assert ways_of(tmp_path / "never") == ["frozen"]
    assert ways_of(tmp_path / "always") == ["frozen; steps with 2 compiled blocks"]
    for mine, own in zip(pictures_of(tmp_path / "always"), pictures_of(tmp_path / "never"), strict=True):
        assert mine["key"] == own["key"]
        assert mine["score"] == pytest.approx(own["score"], rel=1e-3)


def test_a_machine_without_a_compiler_is_told_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    trial = Trial(
        model=repeated_blocks.maps(),
        input=compose([*TINY, "dataset.root=x"]).model.input,
        device=torch.device("cpu"),
        dtype="float32",
        rows=4,
    )
    with torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",), "compile_threads": 1}):
        steps = trial.steps()
    assert "C++ compiler" in steps.problem
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("network_atlas")]
    assert "\n" not in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_compile_on_a_gpu(dtype: str) -> None:
    device = torch.device("cuda")
    model, given = repeated_blocks.maps().to(device), compose([*TINY, "dataset.root=x"]).model.input
    trial = Trial(model=model, input=given, device=device, dtype=dtype, rows=16, takes_half=True)
    assert trial.steps().says == "steps with 3 compiled blocks"
