"""Generators: what makes a picture of a code, and what is known of its codes. One is the user's own, or a decoder.

A function of the user's returns a `torch.nn.Module` from codes (batch, *shape) to images on 0..1, (batch, channels,
rows, columns), of any size, with the mean and the standard deviation of its codes over real images: tensors of `shape`,
or of as many axes with sizes of one where it is the same along an axis.

    def build() -> tuple[nn.Module, Tensor, Tensor]:
        return Generator(), torch.zeros(512), torch.ones(512)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from network_atlas.config.arguments import keywords
from network_atlas.config.recipe import GeneratorConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.fingerprints import fingerprint
from network_atlas.models.code import code_hash
from network_atlas.models.first_pass import described
from network_atlas.models.load import imported
from network_atlas.priors.decoder import NETWORK, Decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """A network from codes to images on 0..1, ready to be read, and its codes' shape and statistics."""

    network: nn.Module
    shape: tuple[int, ...]
    mean: Tensor
    deviation: Tensor
    identity: str = ""
    """Hash of the code and the weights of a generator of the user's."""


def users_generator(config: GeneratorConfig, channels: int) -> Generator:
    """Return the generator that the user's function builds, which is tried once.

    Raises ConfigError where the user does not allow code, ModelError where the function does not give what it should.
    """
    if not config.allow_code:
        raise ConfigError(
            f"parameterization.function={config.function!r} would import and run your code; say that you mean it: "
            "optimize.parameterization.allow_code=true"
        )
    build = imported(config.function, "parameterization.function")
    try:
        built = build(**keywords(config.arguments))
        network, mean, deviation = built
    except Exception as error:  # foreign code: any exception is possible
        raise ModelError(
            f"parameterization.function={config.function!r} must return (network, mean, deviation): {described(error)}"
        ) from error
    if not isinstance(network, nn.Module) or not isinstance(mean, Tensor) or not isinstance(deviation, Tensor):
        kinds = ", ".join(type(part).__name__ for part in (network, mean, deviation))
        raise ModelError(
            f"parameterization.function={config.function!r} returned ({kinds}); expected a torch.nn.Module and "
            "two tensors"
        )
    if not mean.isfinite().all() or not (deviation.isfinite() & (deviation >= 0)).all():
        raise ModelError(
            f"parameterization.function={config.function!r} returned a mean or a deviation that is not finite, or a "
            "deviation below 0; give the mean and the standard deviation of the codes of real images"
        )
    return _tried(config, network, mean.float(), deviation.float(), channels)


def _tried(config: GeneratorConfig, network: nn.Module, mean: Tensor, deviation: Tensor, channels: int) -> Generator:
    """Return the generator after it has made one image."""
    network = network.float().eval().requires_grad_(False)
    try:
        shape = tuple((mean + deviation).shape)
        with torch.no_grad():
            image = network(mean.expand(shape)[None])
    except Exception as error:  # foreign code: any exception is possible
        raise ModelError(
            f"parameterization.function={config.function!r}: the network fails on the mean of its codes, of "
            f"shape {tuple(mean.shape)}: {described(error)}"
        ) from error
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[:2] != (1, channels):
        got = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
        raise ModelError(
            f"parameterization.function={config.function!r}: the network returned {got}; expected one image of "
            f"model.input.channels={channels} channels: (1, {channels}, rows, columns)"
        )
    return Generator(
        network=network, shape=shape, mean=mean, deviation=deviation, identity=_identity(network, mean, deviation)
    )


def _identity(network: nn.Module, mean: Tensor, deviation: Tensor) -> str:
    tensors = {**network.state_dict(), "mean of codes": mean, "deviation of codes": deviation}
    hashes = {
        name: (list(value.shape), hashlib.sha256(value.detach().cpu().contiguous().numpy().tobytes()).hexdigest())
        for name, value in tensors.items()
        if isinstance(value, Tensor)
    }
    code = sorted({code_hash(type(module)) for module in network.modules()})
    return fingerprint("generator", str(network), hashes, code)


def decoder_of(state: Mapping[str, Tensor]) -> Generator:
    """Return the generator that `priors.decoder_training.fit_decoder` left, whose codes are standardized."""
    code, image, features = (tuple(state[name].tolist()) for name in ("code", "image", "features"))
    network = Decoder(code=code, channels=image[0], size=image[1:], features=features[0])
    network.load_state_dict({name[len(NETWORK) :]: value for name, value in state.items() if name.startswith(NETWORK)})
    mean = torch.zeros(code)
    network = network.eval().requires_grad_(False)
    return Generator(network=network, shape=code, mean=mean, deviation=torch.ones_like(mean))
