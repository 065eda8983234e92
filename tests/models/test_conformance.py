"""Networks of other families: whatever is listed is right by an independent reference; the rest is refused by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from conformance import Checked, check_axes, check_fields, check_frozen, check_values, plain_outputs
from optimizing import made, picture
from torch import nn

from network_atlas.config.schema import ModelConfig, RunConfig
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.models.facts import model_facts
from network_atlas.models.first_pass import example_input
from network_atlas.pictures.target import Target
from network_atlas.units import Channel

CORE = (
    "efficientnet_b0", "shufflenet_v2_x0_5",
    *("timm/xcit_nano_12_p16_224", "timm/levit_128s", "timm/pvt_v2_b0", "timm/edgenext_xx_small"),
)  # fmt: skip
"""A second each or a few. The rest takes minutes and is exhaustive."""
TORCHVISION = {
    "alexnet": (64, 96),
    "convnext_tiny": (64, 96),
    "densenet121": (64, 96),
    "efficientnet_b0": (64, 96),
    "googlenet": (64, 96),
    "inception_v3": (96, 128),
    "maxvit_t": (224, 448),
    "mnasnet0_5": (64, 96),
    "mobilenet_v2": (64, 96),
    "mobilenet_v3_small": (64, 96),
    "regnet_y_400mf": (64, 96),
    "resnet18": (64, 96),
    "shufflenet_v2_x0_5": (64, 96),
    "squeezenet1_1": (64, 96),
    "swin_t": (64, 96),
    "swin_v2_t": (64, 96),
    "vgg11_bn": (64, 96),
    "vit_b_32": (64, 96),
}
"""A small member of each family, and the sizes of the two inputs."""
TIMM = {
    "vit_tiny_patch16_224": (64, 96),
    "deit_tiny_distilled_patch16_224": (64, 96),
    "beit_base_patch16_224": (64, 96),
    "swin_tiny_patch4_window7_224": (112, 224),
    "mixer_s32_224": (64, 96),
    "resmlp_12_224": (64, 96),
    "gmlp_ti16_224": (64, 96),
    "xcit_nano_12_p16_224": (64, 96),
    "cait_xxs24_224": (64, 96),
    "levit_128s": (64, 128),
    "pvt_v2_b0": (64, 96),
    "poolformer_s12": (64, 96),
    "convmixer_768_32": (64, 96),
    "sequencer2d_s": (64, 96),
    "mambaout_femto": (64, 96),
    "hiera_tiny_224": (224, 256),
    "efficientformer_l1": (224, 224),
    "mobilevit_xxs": (64, 96),
    "edgenext_xx_small": (64, 96),
    "nest_tiny": (224, 448),
    "crossvit_tiny_240": (240, 240),
    "focalnet_tiny_srf": (64, 96),
    "davit_tiny": (64, 96),
    "volo_d1_224": (64, 96),
    "fastvit_t8": (64, 96),
    "coatnet_nano_rw_224": (64, 96),
    "mvitv2_tiny": (64, 96),
}
SIZED = ("vit", "deit", "beit", "swin", "mixer", "resmlp", "gmlp", "levit", "hiera", "nest", "crossvit", "volo", "cait")
SIZED += ("coatnet", "mvitv2")
"""Of timm: built for one size of input."""
FIELDS = 8
"""Layers of each network whose receptive fields are probed."""
FROZEN = 12
"""Layers of each network whose values and gradients are compared in a frozen pass."""


def built(name: str, size: int) -> nn.Module:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries warn of when they build a network is theirs
        if name.startswith("timm/"):
            timm = pytest.importorskip("timm")
            kind = name.removeprefix("timm/")
            arguments = {"img_size": size} if kind.startswith(SIZED) else {}
            model: nn.Module = timm.create_model(kind, pretrained=False, num_classes=7, **arguments)
        else:
            from torchvision import models

            arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
            arguments |= {"image_size": size} if name.startswith("vit") else {}
            arguments |= {"input_size": (size, size)} if name.startswith("maxvit") else {}
            model = models.get_model(name, weights=None, num_classes=7, **arguments)
    for module in model.modules():
        weight = getattr(module, "weight", None)
        # Heads, gates and branches that start from zero, or nearly so, pass nothing on.
        if isinstance(weight, torch.Tensor) and weight.abs().max() < 1e-3:
            nn.init.normal_(weight, std=0.02) if weight.ndim > 1 else nn.init.ones_(weight)
    return with_statistics(model.eval().requires_grad_(False), size)


def with_statistics(model: nn.Module, size: int) -> nn.Module:
    """Give normalizations the statistics of generated images; with untrained ones values fade away."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(torch.randn(4, 3, size, size, generator=torch.Generator().manual_seed(1)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.eval().momentum = momentum
    return model


def config_of(config: ModelConfig, size: int) -> ModelConfig:
    return replace(
        config,
        input=replace(config.input, channels=3, height=size, width=size, resize=size, mean=(0.5,) * 3, std=(0.25,) * 3),
        classes="none",
    )


def spread(layers: tuple[LayerSpec, ...], count: int) -> list[LayerSpec]:
    return [layers[number] for number in np.linspace(0, len(layers) - 1, count).round().astype(int)]


NETWORKS = [
    pytest.param(
        name, *sizes, id=name, marks=[] if name in CORE else [pytest.mark.exhaustive, pytest.mark.timeout(1200)]
    )
    for name, sizes in {**TORCHVISION, **{f"timm/{name}": sizes for name, sizes in TIMM.items()}}.items()
]


@pytest.mark.parametrize(("name", "size", "larger"), NETWORKS)
def test_every_layer_that_is_listed_is_right(name: str, size: int, larger: int, tiny: Callable[..., RunConfig]) -> None:
    model, config = built(name, size), config_of(tiny().model, size)
    facts = model_facts(model, config)
    checked = Checked()
    images = example_input(config.input, 2)
    check_values(model, facts, images, checked)
    other = plain_outputs(built(name, larger), example_input(config_of(config, larger).input, 2))
    check_axes(model, facts, plain_outputs(model, images), other, checked)
    check_fields(model, spread(facts.layers, FIELDS), config, checked)
    check_frozen(model, spread(facts.layers, FROZEN), images, checked)
    print(f"{name}: {len(facts.layers)} listed, {len(facts.unsupported)} refused, {checked}")  # noqa: T201 - with -s
    assert checked.wrong == []
    least = 0.25 if size == larger else 0.3  # of the others both inputs show several axes that stay
    assert checked.axes > least * len(facts.layers)
    assert_scores_rise(model, facts, config, tiny("optimize/transform=none", "optimize.parameterization.std=1"))


def assert_scores_rise(model: nn.Module, facts: ModelFacts, config: ModelConfig, run: RunConfig) -> None:
    """Learn pictures of five channels of three layers: in two layers at least, one of the five must climb.

    Not all do: some means are constant (over the features behind a layer norm, over the keys of attention). Steps are
    short, since scores of random networks are rough, and pictures start with the contrast of the images from which the
    normalizations have their statistics: a faint start may switch all of a random network off.
    """
    distinct = [layer for layer in facts.layers if layer.name not in facts.repeats]
    climbed = []
    for layer in (distinct[len(distinct) * quarter // 4] for quarter in (1, 2, 3)):
        target = Target(model=model, input=config.input, layers=(layer,), device=torch.device("cpu"))
        numbers = {(layer.channels - 1) * part // 4 for part in range(5)}
        pictures = [picture(Channel(layer=layer.name, channel=number)) for number in sorted(numbers)]
        results = made(target, pictures, replace(run.optimize, steps=12, learning_rate=0.005))
        climbed.append(any(result.curve[-1]["score"] > result.curve[0]["score"] for result in results))
    assert sum(climbed) >= 2
