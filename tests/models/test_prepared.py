from __future__ import annotations

import torch
from torch import Tensor, nn

from network_atlas.models.prepared import ListenedBatchNorm2d, make_ready

IMAGES = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))


class Tripled(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        return 3 * super().forward(input)


def network() -> nn.Sequential:
    shared, replaced = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    replaced.forward = lambda maps: maps + 1
    return nn.Sequential(nn.Conv2d(3, 3, 1), shared, nn.Sequential(nn.ReLU(), shared), Tripled(3), replaced).eval()


def test_only_torchs_own_normalizations_are_exchanged_under_all_of_their_names() -> None:
    model = network()
    tripled, replaced = model[3], model[4]
    make_ready(model)
    assert type(model[1]) is ListenedBatchNorm2d
    assert model[1] is model[2][1]
    assert (model[3], model[4]) == (tripled, replaced)


def test_a_model_that_is_ready_has_the_same_output_names_and_weights() -> None:
    model = network()
    before, names, state = model(IMAGES), list(dict(model.named_modules())), model.state_dict()
    make_ready(model)
    assert torch.allclose(model(IMAGES), before, atol=1e-6)
    assert list(dict(model.named_modules())) == names
    assert all(model.state_dict()[name].data_ptr() == tensor.data_ptr() for name, tensor in state.items())


def test_hooks_and_modes_of_the_old_module_hold_for_the_new_one() -> None:
    model = network()
    old, calls = model[1], list[str]()
    old.register_forward_hook(lambda *_: calls.append("before"))
    make_ready(model)
    model[1].register_forward_hook(lambda *_: calls.append("after"))
    model(IMAGES)
    assert calls == ["before", "after"] * 2
    model.train()
    assert old.training


def test_a_listener_returns_the_output_until_it_is_gone() -> None:
    model = network()
    make_ready(model)
    norm = model[1]
    with norm.listened(lambda forward, maps: forward(maps) + 1):
        assert torch.equal(norm(IMAGES), nn.BatchNorm2d.forward(norm, IMAGES) + 1)
    assert torch.equal(norm(IMAGES), nn.BatchNorm2d.forward(norm, IMAGES))
