from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torchvision.models import VisionTransformer

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig
from network_atlas.models.batches import ROWS, ROWS_ON_GPU, filled, pieces, place_difference
from network_atlas.models.facts import model_facts
from network_atlas.models.load import load_model, ready
from network_atlas.pictures.target import Target

CPU = torch.device("cpu")
TOLERANCE = 1e-4
"""Of an image's numbers between batches of different sizes, relative to the largest: measured up to 1.4e-6 in float32
on one kind of processor; others may choose other code."""


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 21])
def test_pieces_cover_every_image_once_in_batches_of_a_fixed_size(count: int) -> None:
    parts = list(pieces(count, CPU))
    assert [number for part, _ in parts for number in range(count)[part]] == list(range(count))
    assert {rows for _, rows in parts} == set(ROWS)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (3, [4]), (12, [16]), (32, [32]), (70, [64, 16]), (131, [64, 64, 4])]
)
def test_a_gpu_has_a_small_batch_for_a_short_tail(count: int, sizes: list[int]) -> None:
    assert [rows for _, rows in pieces(count, torch.device("cuda"))] == sizes
    assert set(sizes) <= set(ROWS_ON_GPU)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_batch_is_in_channels_last_order_however_much_of_it_is_copies(count: int) -> None:
    images = torch.arange(4 * 3 * 5 * 5.0).reshape(4, 5, 5, 3).permute(0, 3, 1, 2)[:count]
    whole = filled(images, 4)
    assert whole.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(whole[:count], images)
    assert all(torch.equal(copy, images[-1]) for copy in whole[count:])


def test_copies_that_fill_a_batch_get_no_gradient() -> None:
    images = torch.ones(3, 2, 1, 1, requires_grad=True)
    filled(images, 4).sum().backward()
    assert images.grad is not None
    assert torch.equal(images.grad, torch.ones(3, 2, 1, 1))


NETWORKS = ("efficientnet", "resnet", "transformer")


SIZE = [f"model.input.{name}=64" for name in ("resize", "height", "width")]


def built(kind: str) -> tuple[torch.nn.Module, ModelConfig]:
    if kind == "efficientnet":
        pytest.importorskip("efficientnet_lite_pytorch")
        config = compose(["dataset=none", *SIZE]).model
        return load_model(config), config
    overrides = ["model=torchvision", "model.name=resnet18", "model.weights=none"]
    config = compose(["dataset=none", *overrides, *SIZE]).model
    if kind == "resnet":
        return load_model(config), config
    torch.manual_seed(0)
    transformer = VisionTransformer(64, 16, num_layers=3, num_heads=4, hidden_dim=256, mlp_dim=1024, num_classes=10)
    torch.nn.init.normal_(transformer.heads.head.weight)
    return transformer.eval().requires_grad_(False), config


@pytest.fixture(scope="module", params=NETWORKS)
def target(request: pytest.FixtureRequest) -> Target:
    model, config = built(request.param)
    layers = model_facts(model, config).layers[-1:]
    return Target(model=ready(model, config, CPU), layers=layers, input=config.input, device=CPU)


def random_images(target: Target, count: int) -> torch.Tensor:
    size = (count, 3, target.input.height, target.input.width)
    return torch.rand(size, generator=torch.Generator().manual_seed(0))


def read(target: Target, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the model's output, and the gradient of one class, for each image."""
    pixels = images.clone().requires_grad_()
    (logits,) = target.maps(pixels).values()
    (gradient,) = torch.autograd.grad(logits[:, 7].sum(), pixels)
    return logits.detach(), gradient


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_image_has_the_same_bits_alone_and_among_any_others(
    target: Target, threads: int, dtype: torch.dtype
) -> None:
    images = random_images(target, 6)
    with torch_threads(threads), torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        together = read(target, images)
        assert all(numbers.ne(0).any() for numbers in together)
        for index in (1, 5):  # in the first batch of four, and in one that copies fill
            for alone, all_six in zip(read(target, images[index : index + 1]), together, strict=True):
                assert torch.equal(alone[0], all_six[index])


def test_batches_of_another_size_agree_within_a_tolerance(target: Target) -> None:
    images = random_images(target, 9)
    with torch.no_grad():
        nine, two = target.model(images), target.model(images[:2])
    assert float((nine[:2] - two).abs().max() / nine.abs().max()) < TOLERANCE


def test_a_model_that_mixes_its_images_is_found_out() -> None:
    class Mixed(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=(2, 3)) + images.mean()

    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert place_difference(Mixed(), images) > 1e-3
    assert place_difference(torch.nn.Conv2d(3, 4, 3), images) == 0.0
