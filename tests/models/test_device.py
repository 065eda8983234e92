"""Which device a worker takes, and how much of it. Where there is no GPU, CUDA is stood in for."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import INLINE

from network_atlas.config.compose import compose
from network_atlas.config.executor import RayConfig
from network_atlas.errors import ConfigError
from network_atlas.models.device import use_device, use_exact_products


def ray_config(gpus: float) -> RayConfig:
    config = compose(["executor=ray", f"executor.gpus_per_worker={gpus}"]).executor
    assert isinstance(config, RayConfig)
    return config


def test_worker_that_reserves_no_gpu_takes_none() -> None:
    assert use_device(ray_config(0), threads=0) == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_gpu_that_is_not_there_is_an_error_that_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"executor\.gpus_per_worker=1.*torch sees no CUDA device"):
        use_device(ray_config(1), threads=0)


@pytest.mark.parametrize(("gpus", "held"), [(0.25, [0.25]), (1, []), (2, [])])
def test_worker_with_a_part_of_a_gpu_is_held_to_that_part_of_its_memory(
    gpus: float, held: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", asked.append)
    assert use_device(ray_config(gpus), threads=0) == torch.device("cuda")
    assert asked == held


def test_products_in_float32_are_not_rounded_on_a_gpu() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        use_exact_products()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_inline_takes_what_there_is() -> None:
    config = compose(INLINE).executor
    assert use_device(dataclasses.replace(config), threads=0).type == ("cuda" if torch.cuda.is_available() else "cpu")
