"""A network small enough to run everything in seconds, with the traps that real ones have."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Tiny(nn.Module):
    """16 x 16 images to 5 classes: in-place activations, a shared module, a dead channel, a channel below zero."""

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 8, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.shared = nn.Identity()
        self.conv3 = nn.Conv2d(12, 6, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(6, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.act(self.conv1(images))
        x = self.shared(self.shared(self.conv2(x)))
        x = self.conv3(torch.relu(x))
        return self.fc(self.pool(x).flatten(1))


def build(channels: int = 3, classes: int = 5) -> nn.Module:
    """Return the network with the same weights every time; channel 2 of conv2 is dead, 3 is always negative."""
    generator = torch.Generator().manual_seed(1)
    model = Tiny(channels, classes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
        model.conv2.weight[2], model.conv2.bias[2] = 0.0, 0.0
        model.conv2.weight[3], model.conv2.bias[3] = model.conv2.weight[3] * 0.01, -5.0
    return model.eval().requires_grad_(False)


def asleep() -> nn.Module:
    """Return the network with a first activation that is zero on nearly every image: nothing flows back through it."""
    model = build()
    assert isinstance(model, Tiny)
    with torch.no_grad():
        model.conv1.bias.fill_(-12.0)
    return model


class Cramped(nn.Module):
    """The network on a device whose memory holds four images, when there are gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build()

    def forward(self, images: Tensor) -> Tensor:
        if images.requires_grad and len(images) > 4:
            raise torch.OutOfMemoryError(f"not enough memory for {len(images)} images")
        return self.inner(images)


class Tight(nn.Module):
    """The network on a device whose memory holds four images, in any pass; runs out behind its first layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = build()

    def forward(self, images: Tensor) -> Tensor:
        inner = self.inner
        x = torch.relu(inner.conv2(inner.act(inner.conv1(images))))
        if len(images) > 4:
            raise torch.OutOfMemoryError(f"not enough memory for {len(images)} images")
        return inner.fc(inner.pool(inner.conv3(x)).flatten(1))


def tight() -> nn.Module:
    return Tight().eval().requires_grad_(False)


def cramped() -> nn.Module:
    return Cramped().eval().requires_grad_(False)


class Standardized(nn.Module):
    """The network behind a division by each image's own spread, which is zero for an even image."""

    def __init__(self, centred: bool) -> None:
        super().__init__()
        self.centred = centred
        self.stem = nn.Conv2d(3, 3, 1)
        self.inner = build()

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x - x.mean((2, 3), keepdim=True) if self.centred else x
        return self.inner(x / x.std((2, 3), keepdim=True))


def standardized(centred: bool = True) -> nn.Module:
    """Return a network whose output for even images is NaN if `centred`, else infinite."""
    torch.manual_seed(0)
    return Standardized(centred).eval().requires_grad_(False)
