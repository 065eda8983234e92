"""A small network for scikit-learn's digits, trained for some steps, and the digits as images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn


def build() -> nn.Module:
    """Return the untrained network: 8 x 8 grey images to 10 classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    ).eval()


def train(model: nn.Module, *, steps: int) -> float:
    """Train the network further, on all digits at once; return the share that it names rightly."""
    digits = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] / 16
    labels = torch.from_numpy(digits.target)
    adam = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(steps):
        adam.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        adam.step()
    return float((model(images).argmax(1) == labels).float().mean())


def write_digits(folder: Path, count: int) -> None:
    """Write digits as PNG files, in folders by class."""
    digits = load_digits()
    for number in range(count):
        path = folder / str(digits.target[number]) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[number] * 15.9375).astype(np.uint8)).save(path)
