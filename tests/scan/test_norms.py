"""A network whose layers are normalized next, in the ways that must not be mistaken for one another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from network_atlas.layers import LayerSpec
from network_atlas.models.capture import capture
from network_atlas.models.load import on_device
from network_atlas.models.prepared import ListenedBatchNorm2d
from network_atlas.scan.norms import reduced
from network_atlas.scan.reducers import Reducer
from network_atlas.stats.reduced import FIELDS

CHANNELS = 12


class Network(nn.Module):
    """Normalized at once; after an in-place change; twice by one module; never; and behind the last layer."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("plain", "changed", "shared", "bare", "last"):
            setattr(self, name, nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1))
        self.norm, self.after_change, self.twice, self.end = (nn.BatchNorm2d(CHANNELS) for _ in range(4))
        self.changes_in_place = False

    def forward(self, images: Tensor) -> Tensor:
        maps = self.plain(images)
        if self.changes_in_place:
            maps.mul_(2)
        maps = torch.relu(self.norm(maps) + maps)  # read once more: it must still be there
        maps = self.after_change(self.changed(maps).relu_())
        maps = self.twice(self.shared(maps))
        maps = self.bare(self.twice(maps))
        return self.end(self.last(maps))


@pytest.fixture
def model() -> Network:
    torch.manual_seed(0)
    model = Network()
    with torch.no_grad():
        for norm in (model.norm, model.after_change, model.twice, model.end):
            norm.weight.uniform_(0.5, 2), norm.bias.normal_()
            norm.running_mean.normal_(), norm.running_var.uniform_(0.1, 3)
    return on_device(model, torch.device("cpu")).eval()


LAYERS = [
    LayerSpec(index=index, name=name, type="Conv2d", channels=CHANNELS, height=9, width=7)
    for index, name in enumerate(("plain", "changed", "shared", "bare", "last"))
]


def batches(count: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(2, CHANNELS, 9, 7, generator=generator) for _ in range(count)]
    return [batch.contiguous(memory_format=torch.channels_last) for batch in images]


def at_once(model: nn.Module, batched: Iterable[Tensor]) -> dict[str, np.ndarray]:
    reducer = Reducer(LAYERS, 2)
    return gathered(reducer, capture(model, LAYERS, reducer.receive), batched)


def in_one_pass(model: nn.Module, batched: Iterable[Tensor]) -> dict[str, np.ndarray]:
    reducer = Reducer(LAYERS, 2)
    return gathered(reducer, reduced(model, LAYERS, reducer), batched)


def gathered(
    reducer: Reducer, opened: AbstractContextManager[Callable[[Tensor], None]], batched: Iterable[Tensor]
) -> dict[str, np.ndarray]:
    with torch.no_grad(), opened as run:
        for images in batched:
            reducer.start([(0, "a")])
            run(images)
            reducer.end(2)
    numbers = reducer.taken()
    return {name: getattr(numbers, name).copy() for name in (*FIELDS, "vectors", "centre")}


def same(numbers: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(numbers[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


def test_every_layer_has_the_numbers_that_it_has_when_reduced_at_once(model: Network) -> None:
    same(in_one_pass(model, batches()), at_once(model, batches()))


def test_normalizing_in_the_same_pass_is_used_and_gives_what_torch_gives(
    model: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, Tensor, Tensor]] = []
    original = Reducer.receive_scaled

    def seen(self: Reducer, layer: LayerSpec, maps: Tensor, *factors: np.ndarray) -> Tensor:
        scaled = original(self, layer, maps, *factors)
        made.append((layer.name, maps.clone(), scaled.clone()))
        return scaled

    monkeypatch.setattr(Reducer, "receive_scaled", seen)
    in_one_pass(model, batches())
    assert [name for name, _, _ in made] == ["plain", "shared"] * 2  # seen in the first batch, used in two
    for (name, maps, scaled), norm in zip(made, [model.norm, model.twice] * 2, strict=True):
        torch.testing.assert_close(scaled, norm(maps), rtol=1e-6, atol=1e-6, msg=name)


def test_the_model_is_left_as_it_was(model: Network) -> None:
    images = batches(1)[0]
    before = model(images)
    in_one_pass(model, batches())
    assert isinstance(model.norm, ListenedBatchNorm2d)
    assert model.norm.listener is None
    assert torch.equal(model(images), before)


def test_a_map_that_is_changed_before_it_was_reduced_is_computed_again(model: Network) -> None:
    first, *others = batches(4)
    changing = copy.deepcopy(model)
    changing.changes_in_place = True
    expected = [at_once(model, [first]), at_once(changing, others)]

    def changing_batches() -> Iterator[Tensor]:
        yield first
        model.changes_in_place = True  # no batch before did
        yield from others

    numbers = in_one_pass(model, changing_batches())
    same(numbers, {name: np.concatenate([part[name] for part in expected]) for name in numbers})


@pytest.mark.parametrize("change", ["training", "half", "numbers of the batch"])
def test_a_module_that_does_not_normalize_by_fixed_numbers_is_left_to_torch(model: Network, change: str) -> None:
    if change == "training":
        model.norm.momentum = 0.0
        model.norm.train()
    elif change == "half":
        model.bfloat16()
    else:
        model.norm.running_mean = model.norm.running_var = None
    batched = [images.to(model.plain.weight.dtype) for images in batches()]
    same(in_one_pass(model, batched), at_once(model, batched))


def test_a_layer_that_another_normalization_follows_than_before_is_reduced_all_the_same(model: Network) -> None:
    def changing_batches() -> Iterator[Tensor]:
        for images in batches(4):
            yield images
            model.norm, model.after_change = model.after_change, model.norm

    same(in_one_pass(model, changing_batches()), at_once(model, changing_batches()))


def test_a_normalization_whose_forward_was_replaced_keeps_it(model: Network) -> None:
    original = model.norm.forward
    model.norm.forward = tripled = lambda maps: original(maps) * 3
    expected = at_once(model, batches())
    same(in_one_pass(model, batches()), expected)
    assert model.norm.forward is tripled


def test_a_normalization_may_be_given_its_input_by_name(model: Network) -> None:
    model.norm.register_forward_pre_hook(lambda _, inputs, __: ((), {"input": inputs[0]}), with_kwargs=True)
    same(in_one_pass(model, batches()), at_once(model, batches()))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.enable_grad])
def test_a_model_may_choose_for_itself_whether_there_are_gradients(
    model: Network, mode: Callable[[], AbstractContextManager[None]]
) -> None:
    expected = at_once(model, batches())
    original = model.forward

    def forward(images: Tensor) -> Tensor:
        with mode():
            return original(images.detach().requires_grad_(mode is torch.enable_grad))

    model.forward = forward
    same(in_one_pass(model, batches()), expected)


@pytest.mark.parametrize("change", ["in place", "replaced", "training", "trained"])
def test_a_normalization_whose_numbers_change_during_the_scan_is_left_to_torch(model: Network, change: str) -> None:
    norm = model.norm
    start = copy.deepcopy(norm.state_dict())

    def changing_batches() -> Iterator[Tensor]:
        norm.load_state_dict(start)
        norm.eval()
        norm.momentum = 0.5 if change == "trained" else 0.0
        for images in batches():
            yield images
            if change == "in place":
                norm.running_mean.add_(1)
            elif change == "replaced":
                norm.running_mean = norm.running_mean + 1
            elif change == "training":
                norm.train()
            else:
                norm.train()(images)
                norm.eval()

    same(in_one_pass(model, changing_batches()), at_once(model, changing_batches()))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_nan_and_infinity_are_passed_on_without_a_warning(model: Network) -> None:
    norm = model.norm
    norm.running_var[:3], norm.running_mean[3], norm.running_mean[4] = torch.tensor([-1, np.inf, 3e38]), np.nan, 3e38
    norm.weight.data[4] = 3e38
    expected = at_once(model, batches())
    numbers = in_one_pass(model, batches())
    same(numbers, expected)
    assert np.isnan(numbers["spatial_maximum"]).any()
