"""The picture as phases: how strong each frequency is comes from photographs, where it lies is learned.

MACO (Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization"):
noise can't grow, since the energy of every frequency is fixed. The magnitude is the mean over a dataset of
|rfft2| of its images in decorrelated colours.

Departures: phases are standardized to the spread of even ones (pi / sqrt(3)), not to one, so that every picture can be
reached; and contrast follows from the magnitude alone, where the authors standardize the picture after the transform.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from network_atlas.config.recipe import MacoConfig
from network_atlas.pictures.colours import decorrelate, to_image

EVEN_SPREAD = math.pi / math.sqrt(3)
SLOPE = 4.0
"""One over the sigmoid's slope at grey."""
SMALLEST = 1e-8


class Maco:
    """Parameters of shape (batch, channels, height, width // 2 + 1): phases, up to shift and scale."""

    def __init__(
        self,
        config: MacoConfig,
        *,
        channels: int,
        height: int,
        width: int,
        device: torch.device,
        magnitude: Tensor | None = None,
    ) -> None:
        assert magnitude is not None, "the caller loads the magnitude that the recipe names"
        self._size = (height, width)
        self._device = device
        if len(magnitude) != channels:
            magnitude = magnitude.mean(dim=0, keepdim=True).expand(channels, -1, -1)
        self._magnitude = resized(magnitude, height, width).to(device)

    def start(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Return phases drawn evenly from -pi..pi."""
        drawn = [torch.rand(self._magnitude.shape, generator=generator) for generator in generators]
        return ((torch.stack(drawn) * 2 - 1) * math.pi).to(self._device)

    def image(self, parameters: Tensor) -> Tensor:
        """Return images on 0..1."""
        phases = _standardized(parameters)
        coefficients = torch.polar(self._magnitude.expand_as(phases), phases)
        planes = torch.fft.irfft2(coefficients, s=self._size, norm="ortho")
        return to_image(SLOPE * planes, decorrelated=True)

    def parameters_of(self, images: Tensor) -> Tensor:
        """Return the phases of given images; their magnitudes are lost."""
        planes = images - 0.5
        coefficients: Tensor = torch.fft.rfft2(decorrelate(planes) if images.shape[1] == 3 else planes)
        return coefficients.angle()


def resized(magnitude: Tensor, height: int, width: int) -> Tensor:
    """Return a magnitude (channels, h, w // 2 + 1) for pictures of another size: the same at equal cycles per pixel.

    Below the lowest frequency that was measured it goes on as 1 / frequency. The mean colour is left free (zero).
    """
    channels, rows, _ = magnitude.shape
    if magnitude.shape[1:] == (height, width // 2 + 1):
        result = magnitude.clone()
    else:
        ordered = torch.fft.fftshift(magnitude, dim=1)  # rows from lowest to highest frequency
        grid = _places(height, width, rows)
        logs = ordered.clamp(min=SMALLEST).log()[None]
        result = F.grid_sample(logs, grid[None], mode="bilinear", padding_mode="border", align_corners=True)[0].exp()
        result = result * _beyond(height, width, rows)
    result[:, 0, 0] = 0.0
    return result.reshape(channels, height, width // 2 + 1)


def _frequencies(height: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.fft.fftfreq(height)[:, None].expand(-1, width // 2 + 1), torch.fft.rfftfreq(width)[None].expand(
        height, -1
    )


def _places(height: int, width: int, rows: int) -> Tensor:
    """Return where each frequency of the new size lies among the measured ones, as grid_sample counts (x, y)."""
    down, along = _frequencies(height, width)
    lowest = 1.0 / rows
    size = (down**2 + along**2).sqrt()
    push = (lowest / size.clamp(min=SMALLEST)).clamp(min=1.0)  # what lies below the lowest is read from there
    measured = torch.fft.fftshift(torch.fft.fftfreq(rows))
    low, high = float(measured[0]), float(measured[-1])
    y = ((down * push).clamp(low, high) - low) / (high - low) * 2 - 1
    x = (along * push / 0.5).clamp(0, 1) * 2 - 1
    return torch.stack([x, y], dim=-1)


def _beyond(height: int, width: int, rows: int) -> Tensor:
    down, along = _frequencies(height, width)
    return (1.0 / rows / (down**2 + along**2).sqrt().clamp(min=SMALLEST)).clamp(min=1.0)


def _standardized(parameters: Tensor) -> Tensor:
    flat = parameters.flatten(1)
    mean, spread = flat.mean(dim=1, keepdim=True), flat.std(dim=1, keepdim=True)
    return ((flat - mean) / (spread + SMALLEST) * EVEN_SPREAD).reshape(parameters.shape)
