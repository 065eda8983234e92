"""Train a network by steps that can be stopped and gone on with, to the same weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from network_atlas.config.priors import NetworkTraining
from network_atlas.models.device import training_dtype
from network_atlas.priors.fitting import Fitting

HELD_OUT = 16
"""One image in so many is kept from training, to measure the result."""
WARM_UP = 0.05
"""Share of the steps in which the rate rises; then it falls to zero along a cosine."""


def train(fitting: Fitting, training: NetworkTraining, network: nn.Module, loss: Callable[[int], Tensor]) -> None:
    """Train a network by Adam on the loss of each step, on from the last checkpoint if there is one.

    `loss` must draw every random number of a step from a generator of that step's own: then a training that goes on
    from a checkpoint gives the same weights, bit for bit, as one that was never stopped.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=training.learning_rate)
    dtype = training_dtype(training.dtype, fitting.device)
    autocast = torch.autocast(fitting.device.type, dtype=dtype, enabled=dtype != torch.float32)
    with torch.enable_grad():
        for step in range(_resumed(fitting, network, optimizer), training.steps):
            for group in optimizer.param_groups:
                group["lr"] = training.learning_rate * rate(step / training.steps)
            optimizer.zero_grad()
            with autocast:
                value = loss(step)
            torch.autograd.backward(value)
            optimizer.step()
            if (step + 1) % training.checkpoint_every == 0 and step + 1 < training.steps:
                state = {"step": step + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
                fitting.checkpoints.write(state)


def _resumed(fitting: Fitting, network: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Load the last checkpoint, if there is one, and return the step to go on with."""
    state: Any = fitting.checkpoints.read()
    if state is None:
        return 0
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def rate(progress: float) -> float:
    """Return the rate as a share of the largest, from the share of the steps that are done."""
    if progress < WARM_UP:
        return (progress + 0.001) / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))
