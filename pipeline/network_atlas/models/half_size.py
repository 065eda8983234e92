"""Whether a model runs on images of half its input size: the first steps of a picture may be made there."""

from __future__ import annotations

import logging

import torch
from torch import nn

from network_atlas.config.schema import InputConfig
from network_atlas.models.batches import sizes_for
from network_atlas.models.load import normalize

log = logging.getLogger(__name__)


@torch.inference_mode()
def takes_half_size(model: nn.Module, config: InputConfig, device: torch.device) -> bool:
    """Say whether a model runs on images of half its input size, as most convolutional ones do."""
    images = torch.zeros(sizes_for(device)[0], config.channels, config.height // 2, config.width // 2, device=device)
    try:
        model(normalize(images, config))
    except Exception as error:  # foreign code: any exception is possible, and means no
        log.info("the model takes no half-size images (%s: %s)", type(error).__name__, error)
        return False
    return True
