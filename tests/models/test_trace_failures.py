"""Messages about a model that can't be run on a batch of images."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import needs
from torch import Tensor, nn

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ModelError
from network_atlas.models import trace
from network_atlas.models.axes import rules
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, mask: Tensor) -> Tensor:
        return images * mask


class RequiredKeyword(nn.Module):
    def forward(self, images: Tensor, *, mode: str) -> Tensor:
        return images


class HalfInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images.half())


class HalfHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean(dim=(2, 3)).to(torch.bfloat16))


class OtherSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.flatten(1))


class Asserts(nn.Module):
    """A network that checks the height of its input."""

    def __init__(self, message: str, height: int) -> None:
        super().__init__()
        self.message, self.height = message, height

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[2] != self.height:
            raise AssertionError(self.message)
        return images


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (TwoInputs(), "called with a batch of images and nothing else"),
        (RequiredKeyword(), "called with a batch of images and nothing else"),
        (HalfInside(), "run in float32"),
        (HalfHead(), "run in float32"),
        (OtherSize(), r"another size: set model\.input\.height and model\.input\.width"),
        (nn.Conv2d(1, 4, 3), r"Set model\.input\.channels to .*model\.input\.mean"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 15)), r"too small for the model: set model\.input\.height"),
        (nn.Sequential(nn.MaxPool2d(4), nn.MaxPool2d(4), nn.MaxPool2d(4)), r"too small .* model\.input\.height"),
        (Asserts("", 1), r"checks its input\. If another size is meant: set model\.input\.height"),
        (
            Asserts("Wrong image height! Expected 224 but got 16!", 1),
            r"another size: set model\.input\.height.*img_size",
        ),
        (Asserts("Input height (16) doesn't match model (224).", 1), r"another size: set model\.input\.height"),
        (Asserts("height 16 must be divisible by grid 7", 1), r"another size: set model\.input\.height"),
        (Asserts("embed_dim must be 4", 1), r"embed_dim must be 4\. The model checks its input"),
    ],
)
def test_the_advice_fits_the_cause(tiny: Callable[..., RunConfig], model: nn.Module, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        model_facts(model, tiny().model)


@needs("timm", "torchvision")
@pytest.mark.parametrize(
    ("source", "name"),
    [("torchvision", "vit_b_32"), ("timm", "vit_tiny_patch16_224"), ("timm", "swin_tiny_patch4_window7_224")],
)
def test_a_library_model_for_another_size_leads_to_the_settings_of_the_input(
    tiny: Callable[..., RunConfig], source: str, name: str
) -> None:
    config = tiny(f"model.source={source}", f"model.name={name}", "model.weights=none")
    with pytest.raises(ModelError, match=r"built for images of another size: set model\.input\.height.*img_size"):
        load_model(config.model)


class Flips(nn.Module):
    """A network with an operation behind its first convolution, and a branch without it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.flip = Flip()
        self.late = nn.Conv2d(4, 4, 3)
        self.branch = nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.late(self.flip(self.conv(images))) + self.branch(images)[..., 1:-1, 1:-1]


class Flip(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.flip(-1)


def test_a_fault_of_our_own_rules_is_not_the_models_and_leaves_out_what_it_concerns(
    tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("dims")

    monkeypatch.setitem(rules.RULES, "flip", broken)
    facts = model_facts(Flips().eval(), tiny().model)
    assert {layer.name for layer in facts.layers} >= {"conv", "branch"}
    (reason,) = {facts.unsupported["flip"]}
    assert reason.startswith("network_atlas itself failed at the operation aten::flip (KeyError: 'dims'")
    assert reason.endswith("this is not a fault of the model: please report it with this line")
    assert "flip" not in {layer.name for layer in facts.layers}


def test_a_fault_in_our_own_hooks_leaves_out_the_layer_and_names_it(
    tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tensor: Tensor) -> Tensor:
        if tensor.shape[1:] == (4, 14, 14):
            raise IndexError("no such position")
        return tensor.flatten().clone()

    monkeypatch.setattr(trace, "_some_values", broken)
    facts = model_facts(Flips().eval(), tiny().model)
    assert facts.unsupported["conv"].startswith(
        "network_atlas itself failed on what conv (Conv2d) returns (IndexError: "
    )
    assert {layer.name for layer in facts.layers} == {"late", "output"}


def test_other_faults_of_our_own_refuse_the_model_without_blaming_it(
    tiny: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "TIMED_CONTRASTS", None)
    with pytest.raises(ModelError, match=r"^network_atlas itself failed .*trace.*please report"):
        model_facts(Flips().eval(), tiny().model)


class Between(nn.Module):
    """A convolution, a layer that a function makes of its output, and a head that reads plain values again."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.function = function

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        read = self.function(self, maps)
        return maps + read if read.shape == maps.shape else maps


def in_vmap(network: nn.Module, maps: Tensor) -> Tensor:
    return torch.vmap(network.act)(maps)


def in_gradient(network: nn.Module, maps: Tensor) -> Tensor:
    return torch.func.grad(lambda values: network.act(values).square().sum())(maps)


def sparse(network: nn.Module, maps: Tensor) -> Tensor:
    return network.act(maps.to_sparse()).to_dense()


def nested(network: nn.Module, maps: Tensor) -> Tensor:
    return network.act(torch.nested.as_nested_tensor(maps)).to_padded_tensor(0.0)


def without_values(network: nn.Module, maps: Tensor) -> Tensor:
    network.act(maps.to("meta"))
    return maps


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (in_vmap, "its output is made inside of torch.vmap or another transform of torch.func"),
        (in_gradient, "its output is made inside of torch.vmap or another transform of torch.func"),
        (sparse, "its output is a tensor in the layout torch.sparse_coo"),
        (nested, "its output is a nested tensor"),
        (without_values, "its output lies on the device 'meta' and has no values"),
    ],
)
def test_a_layer_whose_values_cant_be_read_is_refused_for_what_it_returns(
    function: Callable[[nn.Module, Tensor], Tensor], reason: str, tiny: Callable[..., RunConfig]
) -> None:
    facts = model_facts(Between(function).eval(), tiny().model)
    assert facts.unsupported["act"].startswith(reason)
    assert {layer.name for layer in facts.layers} >= {"conv"}
    assert not [why for why in facts.unsupported.values() if "network_atlas itself" in why]
