"""Steps of pictures run compiled where that is asked for or pays, and a root keeps what was found to pay."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import repeated_blocks
import torch
from conftest import TINY
from torch import Tensor

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig
from network_atlas.models import steps
from network_atlas.models.compiled import CompiledBlocks
from network_atlas.models.frozen.freeze import frozen_forward
from network_atlas.models.steps import COMPILED, NOT_COMPILED, Trial, choices_of, chosen_steps, may_compile
from network_atlas.store.root import Store

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model_config() -> ModelConfig:
    return replace(compose([*TINY, "dataset.root=x"]).model, name="repeated_blocks:maps")


def trial(config: ModelConfig, backend: Any = "eager", **fields: Any) -> Trial:
    given = {"dtype": "float32"} | fields
    return Trial(model=repeated_blocks.maps(), input=config.input, device=CPU, rows=4, backend=backend, **given)


def refusing(_graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
    raise RuntimeError("no compiler here")


def wrong(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        return [each * 1.01 if isinstance(each, Tensor) else each for each in graph.forward(*arguments)]

    return run


def unreached(_graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
    raise AssertionError("nothing is compiled here")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_compiled_steps_are_tried_at_full_and_half_size_in_their_number_format(
    model_config: ModelConfig, dtype: str
) -> None:
    shapes = set[tuple[int, ...]]()

    def noting(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        shapes.update(tuple(each.shape) for each in inputs if each.ndim == 4 and len(each) == 4)
        return graph.forward

    found = trial(model_config, noting, dtype=dtype, takes_half=True).steps()
    assert found.says == "steps with 3 compiled blocks"
    assert {(4, 8, 16, 16), (4, 8, 8, 8)} <= shapes


@pytest.mark.parametrize(("backend", "says"), [(refusing, "no compiler here"), (wrong, "its values would differ by")])
def test_steps_that_cant_be_compiled_or_differ_run_as_all_passes_do_and_say_why(
    model_config: ModelConfig, backend: Any, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = trial(model_config, backend).steps()
    assert found.forward is frozen_forward
    assert says in found.says
    assert says in caplog.text


def test_a_missing_compiler_is_said_in_a_line(model_config: ModelConfig, caplog: pytest.LogCaptureFixture) -> None:
    found = trial(model_config, "no such backend").steps()
    assert found.forward is frozen_forward
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("network_atlas")]
    assert "\n" not in line
    assert found.says.startswith("steps not compiled: ")


@pytest.mark.parametrize(
    ("setting", "device", "is_large", "may"),
    [
        ("always", "cpu", False, True),
        ("never", "cuda", True, False),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("auto", "cpu", True, False),
    ],
)
def test_auto_is_for_large_atlases_on_gpus(setting: str, device: str, is_large: bool, may: bool) -> None:
    assert may_compile(setting, torch.device(device), is_large=is_large) is may


@pytest.mark.parametrize(
    ("seconds", "chosen"), [([1.0, 0.5], COMPILED), ([1.0, 0.95], NOT_COMPILED), ([0.5, 1.0], NOT_COMPILED)]
)
def test_the_first_measurement_decides_for_its_kind_of_device(
    model_config: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: list[float], chosen: str
) -> None:
    store = Store.open(str(tmp_path))
    monkeypatch.setattr(Trial, "seconds", lambda *_: seconds)
    first = chosen_steps(trial(model_config), store)
    assert isinstance(first.forward, CompiledBlocks) is (chosen == COMPILED)
    monkeypatch.setattr(Trial, "seconds", lambda *_: seconds[::-1])
    later = chosen_steps(trial(model_config, "eager" if chosen == COMPILED else unreached), store)
    assert isinstance(later.forward, CompiledBlocks) is (chosen == COMPILED), "kept, and not measured again"
    monkeypatch.setattr(steps, "device_name", lambda _: "Another Card 9")
    monkeypatch.setattr(Trial, "seconds", lambda *_: [1.0, 0.1])
    assert isinstance(chosen_steps(trial(model_config), store).forward, CompiledBlocks)
    kept = json.loads(store.read("plan/compiled/processor.json"))
    assert (kept["auto"], kept["step_seconds"], kept["compiled_step_seconds"]) == (chosen, *seconds)
    another, here = choices_of(store)
    assert another.startswith("Another Card 9: compiled (1 s a step of 4 images, compiled 0.1 s after ")
    assert here.startswith(f"processor: {chosen} (")


def test_a_root_keeps_that_compiling_failed(model_config: ModelConfig, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    assert "no compiler here" in chosen_steps(trial(model_config, refusing), store).says
    assert chosen_steps(trial(model_config, unreached), store).forward is frozen_forward
    assert list(choices_of(store)) == ["processor: not compiled (RuntimeError: no compiler here)"]


def test_a_step_is_timed_by_each_way(model_config: ModelConfig) -> None:
    ways = []

    def forward(model: Any, images: Tensor, **_: Any) -> Any:
        ways.append(images.shape)
        return model(images)

    seconds = trial(model_config).seconds(forward, frozen_forward)
    assert len(seconds) == 2
    assert min(seconds) > 0
    assert ways == [(4, 3, 16, 16)] * steps.ROUNDS
