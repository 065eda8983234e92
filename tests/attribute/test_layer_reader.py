from __future__ import annotations

import numpy as np
import pytest
import shortcuts
import torch
from torch import nn

from network_atlas.attribute.layer_reader import LayerReader, Pixels
from network_atlas.config.compose import compose
from network_atlas.models.facts import model_facts
from network_atlas.models.load import normalize, ready
from network_atlas.plan.attributions import owners

SIZES = [f"model.input.{name}=16" for name in ("height", "width", "resize")]
CONFIG = compose(["model=function", "model.name=shortcuts:build", "model.allow_code=true", *SIZES]).model
FACTS = model_facts(shortcuts.build(), CONFIG)
LAYERS = {layer.name: layer for layer in FACTS.layers}
OWNERS = owners(FACTS.layers, FACTS.repeats)
CPU = torch.device("cpu")


def reader_of(name: str, model: nn.Module | None = None) -> LayerReader:
    network = ready(model or shortcuts.build(), CONFIG, CPU)
    cuts = [LAYERS[cut] for cut in OWNERS if LAYERS[cut].index < LAYERS[name].index]
    return LayerReader(network, LAYERS[name], layers=cuts, owners=OWNERS, config=CONFIG.input, device=CPU)


@pytest.fixture(scope="module")
def images() -> list[Pixels]:
    generator = np.random.default_rng(2)
    return [generator.integers(0, 256, (16, 16, 3), dtype=np.uint8) for _ in range(6)]


def test_a_planted_difference_of_channels_is_found_exactly(images: list[Pixels]) -> None:
    reader = reader_of("next")
    assert [parent.name for parent in reader.parents] == ["block"]
    (made,) = reader.attributions(images[:1], [[(3, 4, 4)]])[0]
    read = reader_of("block").attributions(images[:1], [[(4, 8, 8), (1, 8, 8)]])[0]
    expected = np.zeros(6)
    expected[4], expected[1] = 2 * read[0].value, -read[1].value
    np.testing.assert_allclose(made.parents, expected, atol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(reader.weights([3])[0]), [1, 4])
    np.testing.assert_allclose(reader.weights([3])[0][[4, 1]], [2.0, -1.0], rtol=1e-6)


@pytest.mark.parametrize(("name", "read", "at"), [("next", "block", (2, 3, 4)), ("block.bn1", "act", (5, 6, 1))])
def test_parts_are_captums_gradient_times_activation(
    images: list[Pixels], name: str, read: str, at: tuple[int, int, int]
) -> None:
    captum = pytest.importorskip("captum.attr")
    network, outputs = shortcuts.build().eval(), []
    network.get_submodule(name).register_forward_hook(
        lambda _, __, output: outputs.append(output.clone())
    )  # before an activation in place

    def value(pixels: torch.Tensor) -> torch.Tensor:
        outputs.clear()
        network(pixels)
        channel, row, column = at
        return outputs[0][:, channel, row, column]

    batch = torch.stack([torch.from_numpy(image).permute(2, 0, 1).float() / 255 for image in images])
    oracle = captum.LayerGradientXActivation(value, network.get_submodule(read))
    expected = oracle.attribute(normalize(batch, CONFIG.input).requires_grad_()).sum((2, 3)).detach().numpy()
    made = reader_of(name).attributions(images, [[at]] * len(images))
    np.testing.assert_allclose([each.parents for (each,) in made], expected, rtol=1e-4, atol=1e-6)


def test_value_is_base_and_the_sum_of_its_parts_for_layers_that_are_linear(images: list[Pixels]) -> None:
    for name in ("next", "block", "block.conv2", "output"):
        reader = reader_of(name)
        at = (1, 0, 0)
        for (made,) in reader.attributions(images, [[at]] * len(images)):
            assert made.value == pytest.approx(float(reader.base[at]) + made.parents.sum(), abs=1e-4)


def test_weights_are_kernels_times_the_scale_of_the_normalization() -> None:
    model = shortcuts.build()
    norm, kernel = model.get_submodule("block.bn1"), model.get_submodule("block.conv1").weight
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    expected = kernel.sum((2, 3)) * scale[:, None]
    got = reader_of("block.bn1").weights(range(8))
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_weights_of_many_channels_take_few_passes_and_have_the_bits_of_each_alone() -> None:
    model = shortcuts.build()
    reader = reader_of("block.bn1", model)
    alone = np.concatenate([reader.weights([channel]) for channel in range(7)])
    passes: list[int] = []
    with model.register_forward_pre_hook(lambda _, images: passes.append(len(images[0]))):
        together = reader.weights(range(7))
    np.testing.assert_array_equal(together, alone)
    assert passes == [4] * 4


def test_weights_are_unknown_where_the_layer_is_not_linear_in_what_it_reads() -> None:
    assert np.isnan(reader_of("last").weights([0])).sum() == 0  # a shuffle moves channels, and is linear

    class Gated(shortcuts.Shortcut):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            x = self.next(self.block(self.act(self.stem(images))))
            y: torch.Tensor = self.last(self.shuffle(self.mixed(x.tanh()))).mean((2, 3))
            return y

    model = Gated()
    model.load_state_dict(shortcuts.build().state_dict())
    assert np.isnan(reader_of("mixed", model.eval().requires_grad_(False)).weights([0])).all()


def test_an_image_has_the_same_bits_alone_and_with_others(images: list[Pixels]) -> None:
    for name in ("next", "block"):
        reader = reader_of(name)
        asked = [[(number % 5, 1, 2), ((number + 1) % 5, 0, 1)][: 1 + number % 2] for number in range(len(images))]
        together = reader.attributions(images, asked)
        for image, positions, expected in zip(images, asked, together, strict=True):
            for number, position in enumerate(positions):
                (made,) = reader.attributions([image], [[position]])[0]
                assert made.value == expected[number].value
                for part in ("parents", "pixels", "map"):
                    np.testing.assert_array_equal(getattr(made, part), getattr(expected[number], part))


def test_other_weights_give_other_maps(images: list[Pixels]) -> None:
    at = [[(2, 4, 4)]] * len(images)
    ours, others = (reader_of("next", shortcuts.build(seed)).attributions(images, at) for seed in (3, 4))
    correlations = [
        np.corrcoef(mine.pixels.ravel(), theirs.pixels.ravel())[0, 1]
        for (mine,), (theirs,) in zip(ours, others, strict=True)
    ]
    assert np.abs(correlations).mean() < 0.5


def test_means_are_those_of_what_is_read(images: list[Pixels]) -> None:
    reader, before = reader_of("block.bn1"), reader_of("stem")
    stem = before.attributions(images, [[(2, 0, 0)]] * len(images))
    expected = np.mean([made.map.clip(0, 6) for (made,) in stem])  # behind its ReLU6
    assert reader.means(images, at_once=4)[2] == pytest.approx(float(expected), rel=1e-5)
