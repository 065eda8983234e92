"""Train a decoder from a layer's activations back to images of the run's dataset (Dosovitskiy, Brox 2016).

Images pass the atlas's network once, up to the layer. The decoder learns to give back what the network was shown, by
the mean absolute error, which leaves edges sharper than the square of the error. Every random number of a step is
drawn from a generator of that step's own (`network_atlas.priors.training`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from network_atlas.config.priors import DecoderTraining
from network_atlas.dataset import Preprocessing, open_source
from network_atlas.errors import DatasetError, UnreadableImageError, counted
from network_atlas.layers import LayerSpec
from network_atlas.models.batches import filled, pieces
from network_atlas.models.capture import capture
from network_atlas.models.load import normalize
from network_atlas.models.worker_setup import set_up_worker
from network_atlas.priors.decoder import NETWORK, Decoder, doublings
from network_atlas.priors.fitting import Fitted, Fitting
from network_atlas.priors.training import HELD_OUT, train

SMALLEST = 1e-6
"""Least standard deviation of a channel: a dead one stays at zero."""


class _Pairs(NamedTuple):
    codes: Float[Tensor, "images channels rows columns"]
    images: UInt8[Tensor, "images colours height width"]


def fit_decoder(fitting: Fitting) -> Fitted:
    """Return a decoder, and its mean absolute error on images that it has not seen, beside that of a mean image."""
    training = fitting.config.priors.decoder
    assert fitting.layer is not None
    pairs = _pairs(fitting, fitting.layer, training)
    channels = (0, 2, 3)
    mean = pairs.codes.mean(dim=channels, keepdim=True)
    deviation = pairs.codes.std(dim=channels, keepdim=True, unbiased=False).clamp(min=SMALLEST)
    pairs = _Pairs((pairs.codes - mean) / deviation, pairs.images)
    held_out = torch.arange(len(pairs.codes)) % HELD_OUT == 0
    seen = ~held_out if held_out.sum() > 1 else torch.ones_like(held_out)
    network = _trained(fitting, training, _Pairs(pairs.codes[seen], pairs.images[seen]))
    report = {"error": _error(network, _Pairs(pairs.codes[held_out], pairs.images[held_out]), fitting.device)}
    report["error_of_mean"] = _spread(pairs.images)
    state = {f"{NETWORK}{name}": value.contiguous() for name, value in network.cpu().state_dict().items()}
    state |= {"code": torch.tensor(pairs.codes.shape[1:]), "image": torch.tensor(pairs.images.shape[1:])}
    return Fitted(state=state | {"features": torch.tensor([training.features])}, images=int(seen.sum()), report=report)


def _pairs(fitting: Fitting, layer: LayerSpec, training: DecoderTraining) -> _Pairs:
    """Return the layer's maps of each image, and the image as the network is shown it, at the decoder's size."""
    shown = _shown(fitting)
    height, width = shown.shape[-2:]
    rows, columns = layer.positions
    times = doublings((rows, columns), wished_size(training, height, width))
    size = (rows * 2**times, columns * 2**times)
    device, model, _ = set_up_worker(fitting.config, threads=fitting.threads)
    codes: list[Tensor] = []
    images: list[Tensor] = []
    with torch.no_grad(), capture(model, [layer], lambda _, maps: codes.append(maps), stop=True) as run:
        for part, count in pieces(len(shown), device):
            pixels = shown[part].float() / 255
            run(filled(normalize(pixels.to(device), fitting.config.model.input), count))
            codes[-1] = codes[-1][: len(pixels)].float().cpu()
            small = nn.functional.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
            images.append((small * 255).round().clamp(0, 255).byte())
    return _Pairs(torch.cat(codes), torch.cat(images))


def wished_size(training: DecoderTraining, height: int, width: int) -> tuple[int, int]:
    """Return the (height, width) of the network's input, made smaller until the shorter side is `side_px`."""
    scale = min(1.0, training.side_px / min(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _shown(fitting: Fitting) -> UInt8[Tensor, "images colours height width"]:
    """Return the images as the network is shown them; those that can't be read are left out, as in the scan."""
    source, preprocessing = open_source(fitting.config.dataset), Preprocessing(fitting.config.model.input)
    images = []
    for example_id in fitting.example_ids:
        try:
            images.append(torch.from_numpy(np.array(preprocessing.apply(source.read(example_id)))))
        except UnreadableImageError:  # the scan names it, with the reason
            continue
    if not images:
        raise DatasetError(
            f"none of {counted(len(fitting.example_ids), 'image')} could be read, so that no decoder can be learned "
            "from them; `atlas status` says why"
        )
    return torch.stack(images).permute(0, 3, 1, 2)


def _trained(fitting: Fitting, training: DecoderTraining, pairs: _Pairs) -> Decoder:
    """Return a decoder that has learned the pairs; it goes on from the last checkpoint, if there is one."""
    colours, *size = pairs.images.shape[1:]
    code = (pairs.codes.shape[1], pairs.codes.shape[2], pairs.codes.shape[3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = Decoder(code=code, channels=colours, size=(size[0], size[1]), features=training.features)
    network = network.to(fitting.device).to(memory_format=torch.channels_last)

    def loss(step: int) -> Tensor:
        codes, images = _batch(pairs, training, step, fitting.device)
        error: Tensor = (network(codes) - images).abs().mean()
        return error

    train(fitting, training, network, loss)
    network.eval().requires_grad_(False)
    return network


def _batch(pairs: _Pairs, training: DecoderTraining, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    chosen = np.random.default_rng([training.seed, step]).integers(len(pairs.codes), size=training.batch)
    codes = pairs.codes[chosen].to(device, memory_format=torch.channels_last)
    return codes, pairs.images[chosen].to(device).float() / 255


@torch.no_grad()
def _error(network: Decoder, pairs: _Pairs, device: torch.device) -> float:
    """Return the mean absolute error over the pairs, on 0..1."""
    errors = [
        (network(code[None].to(device)).cpu() - image.float() / 255).abs().mean()
        for code, image in zip(pairs.codes, pairs.images, strict=True)
    ]
    return float(torch.stack(errors).mean())


def _spread(images: UInt8[Tensor, "images colours height width"]) -> float:
    """Return the mean absolute difference of the images from their mean, on 0..1."""
    values = images.float() / 255
    return float((values - values.mean(dim=0)).abs().mean())
