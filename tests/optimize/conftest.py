from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny_network import build

from pipeline.config.recipe import OptimizeConfig
from pipeline.config.schema import RunConfig
from pipeline.models.layers import model_facts
from pipeline.optimize.target import Target


@pytest.fixture
def target(tiny: Callable[..., RunConfig]) -> Callable[..., Target]:
    """Return a function from names of layers to the tiny network, read in these layers."""
    model, config = build(), tiny().model
    layers = {layer.name: layer for layer in model_facts(model, config).layers}

    def make(*names: str) -> Target:
        return Target(
            model=model, layers=[layers[name] for name in names], input=config.input, device=torch.device("cpu")
        )

    return make


@pytest.fixture
def recipe(tiny: Callable[..., RunConfig]) -> OptimizeConfig:
    return tiny("optimize.steps=24").optimize
