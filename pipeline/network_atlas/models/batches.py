"""Run a network in batches of fixed sizes, so that an image's numbers don't depend on how many others there are.

Libraries choose other code for other numbers of rows, and that code rounds differently. In a batch of one size an
image's numbers, and its gradient, depend neither on its position nor on the other images. So incomplete batches are
filled with copies of their last image, whose outputs are dropped.

    for part, rows in pieces(len(images), device):
        output = model(filled(images[part], rows))[: part.stop - part.start]

The tests check this on the processor; `place_difference` measures it on the device at hand, for `atlas
doctor` and for the record of a run.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from network_atlas.models.frozen.freeze import frozen_forward

ROWS = (4,)
"""On a processor. Maps of so few images are still in the cache when the next layer reads them: EfficientNet-Lite0 takes
as long for each image as in batches of 8 or 16, forward and backward, with one thread and with two."""
ROWS_ON_GPU = (1, 4, 16, 32, 64)
"""A GPU wants large batches, and a tail of a few images should not cost a pass of 64, nor a block of 32 pictures."""


def sizes_for(device: torch.device) -> tuple[int, ...]:
    """Return the sizes of batches that run on a device, smallest first."""
    return ROWS if device.type == "cpu" else ROWS_ON_GPU


def pieces(count: int, device: torch.device) -> Iterator[tuple[slice, int]]:
    """Yield the parts in which `count` images run, each with the size of the batch that it fills or is filled up to."""
    sizes = sizes_for(device)
    start = 0
    while start < count:
        # The smallest size that holds what is left; the largest, again and again, while more is left.
        rows = next((size for size in sizes if size >= count - start), sizes[-1])
        yield slice(start, min(start + rows, count)), rows
        start += rows


def filled(images: Tensor, rows: int) -> Tensor:
    """Return `images`, (images, channels, height, width), filled up to (rows, ...) with copies of the last one.

    The copies get no gradient. The result is always in channels-last order: sums over the pixels round otherwise in
    another order, and `cat` takes the order of the longer part, which may be the copies.
    """
    missing = rows - len(images)
    whole = torch.cat([images, images[-1:].detach().expand(missing, *images.shape[1:])]) if missing else images
    return whole.contiguous(memory_format=torch.channels_last)


def changed_companions(images: Tensor) -> Tensor:
    """Return a batch, (images, ...), whose first image is the last of `images`; the others are changed."""
    changed = images.flip(0)
    changed[1:] = changed[1:] * 0.5 + 0.25
    return changed


@torch.no_grad()
def place_difference(model: nn.Module, images: Tensor) -> float:
    """Return the largest difference of an image's output when its position in the batch and the other images change.

    `images` is a batch of a fixed size, (rows, channels, height, width), on the model's device. The difference is
    relative to the largest output; 0.0 means the same bits. NaN where the model does not return one tensor.
    """
    outputs = frozen_forward(model, images)
    moved = frozen_forward(model, changed_companions(images))
    if not isinstance(outputs, Tensor) or not isinstance(moved, Tensor):
        return float("nan")
    largest = outputs.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    return float((outputs[-1] - moved[0]).abs().max() / largest)
