"""Make one executor of each kind, shared by all tests here: starting Ray takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from executors.example_workers import ray_config

from network_atlas.config.executor import InlineConfig
from network_atlas.executors import open_executor
from network_atlas.executors.base import Executor


@pytest.fixture(scope="session")
def inline_executor() -> Iterator[Executor]:
    with open_executor(InlineConfig(name="inline", threads=1)) as executor:
        yield executor


@pytest.fixture(scope="session")
def ray_executor() -> Iterator[Executor]:
    with open_executor(ray_config()) as executor:
        yield executor


@pytest.fixture(params=["inline", pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest) -> Executor:
    return request.getfixturevalue(f"{request.param}_executor")
