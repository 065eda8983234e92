"""The picture as phases: how strong each frequency is comes from photographs, where it lies is learned.

MACO (Fel et al. 2023, "Unlocking Feature Visualization for Deeper Networks with MAgnitude Constrained Optimization"):

    x = F⁻¹(r · exp(i φ))        only the phase φ is learned; the magnitude r is fixed, so noise can't grow

r is the mean of |F(image)| over photographs, in decorrelated colours: those of the run's own dataset
(`scanned_magnitude`) or those that come with the package (`packaged_magnitude`).

The rest of the method is in parts that other recipes share: `conf/optimize/maco.yaml` has the paper's settings; crops
that shrink and gather around the middle are `transforms.draw_crops`; the map of what mattered, Σ |∂score/∂x| over all
steps, is added up in `optimize.loop` and becomes the picture's opacity in `stored.opacity_of`.

Departures: phases are standardized to the spread of evenly drawn ones (π / √3), not to one, so that every picture can
be reached; and contrast follows from the magnitude alone, where the authors standardize the picture after the inverse
transform.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from network_atlas.config.recipe import MacoConfig
from network_atlas.errors import StoreError
from network_atlas.pictures.colours import decorrelate, to_image
from network_atlas.store.root import Store
from network_atlas.store.shards import read_rows

PACKAGED = "photos_magnitude.npy"
"""Mean magnitude of the demo photos, (3, 128, 65), float16; made by scripts/make_magnitude."""
EVEN_SPREAD = math.pi / math.sqrt(3)
"""Standard deviation of phases drawn evenly from -π..π."""
SLOPE = 4.0
"""One over the sigmoid's slope at grey: small values keep their contrast through the sigmoid."""
SMALLEST = 1e-8


class Maco:
    """Parameters of shape (batch, channels, height, width // 2 + 1): phases, up to a shift and a factor."""

    def __init__(
        self,
        config: MacoConfig,
        *,
        channels: int,
        height: int,
        width: int,
        device: torch.device,
        magnitude: Float[Tensor, "channels rows frequencies"] | None = None,
    ) -> None:
        assert magnitude is not None, "the caller loads the magnitude that the recipe names"
        self._size = (height, width)
        self._device = device
        # A magnitude of three colours serves models of one channel, or of more, by its mean.
        if len(magnitude) != channels:
            magnitude = magnitude.mean(dim=0, keepdim=True).expand(channels, -1, -1)
        self._magnitude = resized(magnitude, height, width).to(device)

    def start(self, generators: Sequence[torch.Generator]) -> Float[Tensor, "batch channels height frequencies"]:
        """Return phases drawn evenly from -π..π, each picture's from its own generator."""
        drawn = [torch.rand(self._magnitude.shape, generator=generator) for generator in generators]
        return ((torch.stack(drawn) * 2 - 1) * math.pi).to(self._device)

    def image(
        self, parameters: Float[Tensor, "batch channels height frequencies"]
    ) -> Float[Tensor, "batch channels height width"]:
        """Return images on 0..1."""
        phase = standardized(parameters)
        coefficients = torch.polar(self._magnitude.expand_as(phase), phase)
        planes = torch.fft.irfft2(coefficients, s=self._size, norm="ortho")
        return to_image(SLOPE * planes, decorrelated=True)

    def parameters_of(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels height frequencies"]:
        """Return the phases of images on 0..1; their magnitudes are lost."""
        return _coefficients(images).angle()


def standardized(
    phase: Float[Tensor, "batch channels height frequencies"],
) -> Float[Tensor, "batch channels height frequencies"]:
    """Return each picture's phases with mean zero and the spread of evenly drawn ones.

    Without it, steps of one size would mean less and less as phases grow.
    """
    flat = phase.flatten(1)
    mean, spread = flat.mean(dim=1, keepdim=True), flat.std(dim=1, keepdim=True)
    return ((flat - mean) / (spread + SMALLEST) * EVEN_SPREAD).reshape(phase.shape)


def magnitude_for(
    parameterization: Any, store: Store, statistics_file: str
) -> Float[Tensor, "channels height frequencies"] | None:
    """Return the magnitude that a parameterization's configuration asks for; None for those that take none."""
    source = getattr(parameterization, "magnitude", None)
    if source is None:
        return None
    return packaged_magnitude() if source == "packaged" else scanned_magnitude(store, statistics_file)


def packaged_magnitude() -> Float[Tensor, "3 height frequencies"]:
    """Return the magnitude that comes with the package."""
    file = importlib.resources.files("network_atlas.pictures") / PACKAGED
    with file.open("rb") as stream:
        return torch.from_numpy(np.load(stream, allow_pickle=False).astype(np.float32))


def scanned_magnitude(store: Store, path: str) -> Float[Tensor, "channels height frequencies"]:
    """Return the mean magnitude of the run's dataset, as the scan left it. Raises StoreError where it left none."""
    rows = read_rows(store, path)
    if not rows or not rows[0]["count"]:
        raise StoreError(
            f"{path} under store.root={store.root!r} holds no statistics of the dataset; run the scan again"
        )
    row: Any = rows[0]
    shape = (-1, int(row["height"]), int(row["width"]) // 2 + 1)
    return torch.tensor(row["magnitude"], dtype=torch.float32).reshape(shape)


def magnitude_of(images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height freq"]:
    """Return each image's own magnitude |F(image)|, which the scan averages over the dataset."""
    return _coefficients(images).abs()


def _coefficients(images: Float[Tensor, "batch channels height width"]) -> Tensor:
    # About grey, so that the coefficient of the mean is near zero; `resized` drops it.
    planes = images - 0.5
    coefficients: Tensor = torch.fft.rfft2(decorrelate(planes) if images.shape[1] == 3 else planes, norm="ortho")
    return coefficients


def resized(
    magnitude: Float[Tensor, "channels rows frequencies"], height: int, width: int
) -> Float[Tensor, "channels height new_frequencies"]:
    """Return a magnitude for pictures of another size: the same at equal cycles per pixel.

    Below the lowest frequency that was measured it goes on as 1 / frequency. The mean colour is left free (zero).
    """
    channels, rows, _ = magnitude.shape
    if magnitude.shape[1:] == (height, width // 2 + 1):
        result = magnitude.clone()
    else:
        ordered = torch.fft.fftshift(magnitude, dim=1)  # rows from lowest to highest frequency
        grid = _sampling_grid(height, width, rows)
        # Logarithms: magnitudes fall over three decades, and a mean of neighbours would follow the larger one.
        logs = ordered.clamp(min=SMALLEST).log()[None]
        result = F.grid_sample(logs, grid[None], mode="bilinear", padding_mode="border", align_corners=True)[0].exp()
        result = result * _below_lowest(height, width, rows)
    result[:, 0, 0] = 0.0
    return result.reshape(channels, height, width // 2 + 1)


def _sampling_grid(height: int, width: int, rows: int) -> Float[Tensor, "height frequencies 2"]:
    """Return where each frequency of the new size lies among the measured ones, as grid_sample counts: (x, y)."""
    down, along = _frequencies(height, width)
    push = _below_lowest(height, width, rows)  # what lies below the lowest is read from there
    # An even number of rows has no frequency +0.5, only -0.5: `high` is below 0.5, and what lies above reads there.
    measured = torch.fft.fftshift(torch.fft.fftfreq(rows))
    low, high = float(measured[0]), float(measured[-1])
    y = ((down * push).clamp(low, high) - low) / (high - low) * 2 - 1
    x = (along * push / 0.5).clamp(0, 1) * 2 - 1
    return torch.stack([x, y], dim=-1)


def _below_lowest(height: int, width: int, rows: int) -> Float[Tensor, "height frequencies"]:
    """Return by what factor each frequency lies below the lowest that was measured; 1 where it does not."""
    down, along = _frequencies(height, width)
    lowest = 1.0 / rows
    return (lowest / (down**2 + along**2).sqrt().clamp(min=SMALLEST)).clamp(min=1.0)


def _frequencies(
    height: int, width: int
) -> tuple[Float[Tensor, "height frequencies"], Float[Tensor, "height frequencies"]]:
    """Return the frequency of every coefficient in cycles per pixel, down the rows and along the columns."""
    down, along = torch.fft.fftfreq(height)[:, None], torch.fft.rfftfreq(width)[None]
    return down.expand(-1, width // 2 + 1), along.expand(height, -1)
