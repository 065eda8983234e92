"""Linear maps with fixed weights: values, gradients, and the same bits at every place of a batch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from network_atlas.models.frozen.freeze import freeze, frozen_forward, is_frozen
from network_atlas.models.frozen.linears import FORMATS, Linear, Weights
from network_atlas.models.frozen.memory_order import onednn_formats

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 7, 20), (2, 5, 6, 20), (4, 20)])
def test_values_and_gradients_are_those_of_float64(dtype: torch.dtype, bias: bool, shape: tuple[int, ...]) -> None:
    weight, offset, rows = drawn(12, 20), drawn(12) if bias else None, drawn(*shape)
    gradient = drawn(*shape[:-1], 12).to(dtype)
    mine = rows.clone().requires_grad_()
    output = Linear.apply(mine, Weights(weight, offset, dtype))
    output.backward(gradient)
    exact = torch.nn.functional.linear(rows.double(), weight.double(), None if offset is None else offset.double())
    assert output.dtype is dtype
    for got, true in ((output, exact), (mine.grad, gradient.double() @ weight.double())):
        assert float((got.detach().double() - true).norm() / true.norm()) < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(("tokens", "inputs", "outputs"), [(197, 96, 384), (49, 64, 10)])
def test_vectors_have_the_same_bits_at_every_place_of_a_batch(
    dtype: torch.dtype, tokens: int, inputs: int, outputs: int
) -> None:
    if dtype not in onednn_formats():
        pytest.skip(f"this processor has no products in {dtype}")
    weights = Weights(drawn(outputs, inputs), drawn(outputs), dtype)
    rows = drawn(3, tokens, inputs).to(dtype)
    gradient = drawn(3, tokens, outputs).to(dtype)
    assert weights.forward(rows.flip(0)).flip(0).equal(weights.forward(rows))
    back, turned = (weights.backward(each.reshape(-1, outputs)) for each in (gradient, gradient.flip(0)))
    assert turned.view(3, tokens, inputs).flip(0).equal(back.view(3, tokens, inputs))


class TwoMaps(nn.Module):
    """Tokens through a linear map, and through one whose weights ask for a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, 4).requires_grad_(False)
        self.fixed = nn.Linear(8, 8).requires_grad_(False)
        self.learning = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.learning(self.fixed(self.stem(images).flatten(2).mT)).mean(1)


def test_weights_that_ask_for_a_gradient_stay_torchs_own() -> None:
    model, images = TwoMaps().eval(), drawn(2, 3, 16, 16)
    own = model(images)
    assert freeze(model, images)
    output = frozen_forward(model, images)
    torch.testing.assert_close(output, own)
    assert is_frozen(model)
    output.sum().backward()
    assert model.learning.weight.grad is not None
