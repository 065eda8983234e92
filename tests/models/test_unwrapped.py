from __future__ import annotations

from collections.abc import Callable

import pytest
import tiny_network
import torch
from tiny_network import build
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from network_atlas.config.compose import compose
from network_atlas.models.load import load_model
from network_atlas.models.unwrapped import unwrapped

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def with_fc(wrap: Callable[[nn.Module], object]) -> nn.Module:
    model = build()
    model.fc = wrap(model.fc)
    return model


def with_compiled_forward(model: nn.Module) -> nn.Module:
    model.forward = torch.compile(model.forward)
    return model


def compiled_in_place() -> nn.Module:
    model = build()
    model.compile()
    model.conv1.compile()
    return model


class CompiledForward(tiny_network.Tiny):
    @torch.compile
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images)


def compiled_in_its_class() -> nn.Module:
    model = CompiledForward().eval()
    model.load_state_dict(build().state_dict())
    return model


WRAPPED: dict[str, Callable[[], nn.Module]] = {
    "plain": build,
    "compiled": lambda: torch.compile(build()),
    "parallel": lambda: nn.DataParallel(build()),
    "compiled parallel": lambda: torch.compile(nn.DataParallel(build())),
    "parallel compiled": lambda: nn.DataParallel(torch.compile(build())),
    "compiled part": lambda: with_fc(torch.compile),
    "parallel part": lambda: with_fc(nn.DataParallel),
    "checkpointed part": lambda: with_fc(checkpoint_wrapper),
    "compiled part of compiled": lambda: torch.compile(with_fc(torch.compile)),
    "compiled in place": compiled_in_place,
    "compiled forward": lambda: with_compiled_forward(build()),
    "compiled forward of a part": lambda: with_fc(with_compiled_forward),
    "compiled in its class": compiled_in_its_class,
}


@pytest.mark.parametrize("kind", list(WRAPPED))
def test_a_wrapped_network_is_the_network_itself(
    kind: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    expected, model = build(), unwrapped(WRAPPED[kind]())
    assert [name for name, _ in model.named_modules()] == [name for name, _ in expected.named_modules()]
    monkeypatch.setattr(torch._dynamo.convert_frame.ConvertFrame, "__call__", lambda *_: pytest.fail("compiled"))
    seen = []
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: seen.append(module))
    assert torch.equal(model(IMAGES), expected(IMAGES))
    assert len(seen) == 9  # eight modules, one of them twice


def test_weights_that_two_modules_share_stay_shared() -> None:
    model = nn.Sequential(torch.compile(nn.Linear(4, 4)), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    assert unwrapped(model)[0].weight is model[1].weight


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_another_precision_run_in_float32(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    config = compose(["model=function", "model.name=tiny_network:build", "model.allow_code=true", "dataset=none"]).model
    original = build().to(dtype)
    original.register_buffer("steps", torch.tensor(3))
    expected = original.conv1.weight.float()
    monkeypatch.setattr(tiny_network, "build", lambda: original)
    model = load_model(config)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert model.steps.dtype == torch.int64
    assert torch.equal(model.conv1.weight, expected)
    assert model(IMAGES).dtype == torch.float32
