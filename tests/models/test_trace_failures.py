"""Messages about a model that can't be run on a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ModelError
from network_atlas.models.facts import model_facts


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        return images * mask


class RequiredKeyword(nn.Module):
    def forward(self, images: Tensor, *, mode: str) -> Tensor:
        return images


class HalfInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images.half())


class HalfHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean(dim=(2, 3)).to(torch.bfloat16))


class OtherSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (TwoInputs(), "called with a batch of images and nothing else"),
        (RequiredKeyword(), "called with a batch of images and nothing else"),
        (HalfInside(), "run in float32"),
        (HalfHead(), "run in float32"),
        (OtherSize(), r"Check model\.input"),
    ],
)
def test_the_advice_fits_the_cause(tiny: Callable[..., RunConfig], model: nn.Module, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        model_facts(model, tiny().model)
