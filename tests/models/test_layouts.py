from __future__ import annotations

from collections.abc import Callable

import odd_networks as odd
import pytest
import torch
from conformance import Checked, check_values
from torch import nn

from network_atlas.config.schema import RunConfig
from network_atlas.dataset.crops import seen_box
from network_atlas.errors import ModelError
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.models.capture import capture
from network_atlas.models.facts import model_facts
from network_atlas.models.receptive_field import with_receptive_fields
from network_atlas.models.trace import example_input

Listed = Callable[[nn.Module], tuple[ModelFacts, dict[str, LayerSpec]]]


@pytest.fixture
def listed(tiny: Callable[..., RunConfig]) -> Listed:
    config = tiny().model

    def facts_of(model: nn.Module) -> tuple[ModelFacts, dict[str, LayerSpec]]:
        facts = model_facts(model.eval().requires_grad_(False), config)
        return facts, {layer.name: layer for layer in facts.layers}

    return facts_of


def shapes(layers: dict[str, LayerSpec]) -> dict[str, tuple[int, int, tuple[int, int]]]:
    return {name: (layer.channel_axis, layer.channels, layer.positions) for name, layer in layers.items()}


def test_channels_are_found_in_every_layout(listed: Listed) -> None:
    _, layers = listed(odd.Layouts())
    assert shapes(layers) == {
        "stem": (1, 6, (4, 4)),
        "norm": (1, 6, (4, 4)),
        "kept": (1, 6, (4, 4)),
        "last": (-1, 6, (4, 4)),
        "flat": (1, 6, (16, 1)),
        "conv": (1, 10, (16, 1)),
        "pool": (1, 10, (8, 1)),
        "tokens": (-1, 10, (8, 1)),
        "head": (1, 5, (1, 1)),
        "output": (1, 5, (1, 1)),
    }


def test_captured_maps_are_what_the_modules_returned(listed: Listed, tiny: Callable[..., RunConfig]) -> None:
    model = odd.Layouts()
    facts, _ = listed(model)
    maps, plain = {}, {}
    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: plain.update({name: output.clone()}))
        for name, module in model.named_modules()
    ]
    with (
        torch.no_grad(),
        capture(model, facts.layers, lambda layer, value: maps.update({layer.name: value.clone()})) as run,
    ):
        run(example_input(tiny().model.input, 3))
    for handle in handles:
        handle.remove()
    assert torch.equal(maps["last"], plain["last"].permute(0, 3, 1, 2))
    assert torch.equal(maps["flat"], plain["flat"][..., None])
    assert torch.equal(maps["tokens"], plain["tokens"].transpose(1, 2)[..., None])


@pytest.mark.parametrize("count", [2, 4, 5])
def test_what_does_not_follow_the_number_of_images_is_not_a_layer(count: int, listed: Listed) -> None:
    facts, layers = listed(odd.Registers(count))
    why = "does not keep one row per image; no gradient leads from it to the image, as from what is learned alone"
    assert facts.unsupported == {"registers": f"its output ({count}, 12) {why}"}
    assert shapes(layers)["norm"] == (-1, 12, (16 + count, 1))


def test_a_mixer_has_its_channels_where_its_sum_has_them(listed: Listed) -> None:
    _, layers = listed(odd.Mixer())
    assert shapes(layers)["first"] == (-1, 24, (8, 1))  # hidden units, which look at all tokens
    assert shapes(layers)["act"] == (-1, 24, (8, 1))
    assert shapes(layers)["second"] == (-1, 16, (8, 1))  # of a linear layer, its outputs
    assert shapes(layers)["out"] == (1, 8, (16, 1))


def test_the_first_tensor_of_attention_and_recurrent_layers_is_their_output(listed: Listed) -> None:
    facts, layers = listed(odd.Sequences())
    assert shapes(layers)["lstm"] == (-1, 8, (16, 1))
    assert shapes(layers)["attention"] == (-1, 8, (16, 1))
    assert facts.unsupported["heads"] == (
        "its channels are spread over axes 1 and 3, as those of heads are; take the module around it"
    )
    assert facts.unsupported["attention.out_proj"].startswith("is not called as a module")


@pytest.mark.parametrize("side", [4, 8, 9])
def test_images_behind_the_tokens_are_moved_to_the_front(
    side: int, listed: Listed, tiny: Callable[..., RunConfig]
) -> None:
    # 17 tokens; 5, one more than a batch has images; and 2, as many as the images of the pass that follows axes
    model = odd.SequenceFirst(side)
    facts, layers = listed(model)
    tokens = (16 // side) ** 2 + 1
    for name in ("norm", "attention", "mlp.0", "mlp", "block", "act", "lstm"):
        assert (layers[name].batch_axis, layers[name].channel_axis, layers[name].tokens) == (1, -1, tokens)
    assert (layers["output"].batch_axis, layers["output"].channels) == (0, 5)
    checked = Checked()
    for images in (1, 2, 4, tokens):
        check_values(model, facts, torch.randn(images, 3, 16, 16), checked)
    assert checked.wrong == []
    assert checked.values == 4 * len(layers)
    measured = {layer.name: layer for layer in with_receptive_fields(model, facts.layers, tiny().model.input)}
    # A token's patch; a single one beside the class token is not a grid.
    assert measured["norm"].receptive_field_px == (side if side < 9 else None)


def test_an_image_among_others_is_followed_where_images_come_second(listed: Listed) -> None:
    model = odd.SequenceFirst()
    model.act.register_forward_hook(lambda _, inputs, output: output - output.mean(1, keepdim=True))  # over the images
    facts, layers = listed(model)
    assert "block" in layers
    for name in ("act", "lstm", "output"):
        assert facts.unsupported[name].startswith("an image's values depend on the other images of its batch")


def test_latent_queries_have_no_place_in_the_image(listed: Listed, tiny: Callable[..., RunConfig]) -> None:
    model, config = odd.Latents(), tiny().model.input
    facts, _ = listed(model)
    layers = {layer.name: layer for layer in with_receptive_fields(model, facts.layers, config)}
    assert seen_box(layers["values"], 5, 0, config) == (4, 4, 8, 8)  # of 16 patches, the second of the second row
    for name in ("read", "mlp", "act", "normed"):
        assert (layers[name].tokens, layers[name].receptive_field_px, layers[name].receptive_field) == (16, None, None)
        assert seen_box(layers[name], 5, 0, config) == (0, 0, 16, 16)


def test_a_cell_that_returns_several_values_is_refused_once(listed: Listed) -> None:
    facts, layers = listed(odd.Cells())
    assert set(layers) == {"patch", "head", "output"}
    assert facts.unsupported == {
        "cell": "returns several values or none (tuple: 0, 1), not one tensor, in each of its 4 calls"
    }


def test_only_tokens_that_lie_row_by_row_are_shown_as_patches(listed: Listed, tiny: Callable[..., RunConfig]) -> None:
    _, layers = listed(odd.TokenOrders())
    patches = {name for name in odd.TokenOrders.NAMES if layers[name].is_raster}
    assert patches == {"rows", "with_class", "without_class", "summed"}
    config = tiny().model.input
    for name in patches:
        token = 9 if name == "with_class" else 8
        assert seen_box(layers[name], token, 0, config) == (2, 0, 4, 2)  # the first of the second row of eight
    for name in set(odd.TokenOrders.NAMES) - patches:
        assert seen_box(layers[name], 8, 0, config) == (0, 0, 16, 16)


def test_outputs_that_are_not_real_numbers_or_have_five_axes_are_refused(listed: Listed) -> None:
    facts, layers = listed(odd.NoNumbers())
    assert set(layers) == {"conv", "head", "output"}
    assert facts.unsupported == {
        "volume": "its output (4, 3, 3, 16, 16) has 5 axes; vectors, tokens and maps have 2, 3 and 4",
        "positive": "its output holds bool values, not real numbers",
        "codes": "its output holds int64 values, not real numbers",
        "spectrum": "its output holds complex64 values, not real numbers",
    }


def test_what_lies_behind_something_random_is_refused(listed: Listed) -> None:
    facts, layers = listed(odd.Random())
    assert set(layers) == {"conv"}
    assert "something random is left on before it" in facts.unsupported["output"]


def test_what_torch_cannot_go_back_from_is_refused(listed: Listed) -> None:
    facts, layers = listed(odd.Overwritten())
    assert set(layers) == {"conv", "act"}
    assert facts.unsupported["output"].startswith("no gradient leads from it to the image")
    facts, layers = listed(odd.Detached())
    assert set(layers) == {"skip", "head", "output"}
    assert facts.unsupported["conv"].startswith("no gradient leads from it to the image")


def test_without_any_layer_the_model_is_refused_with_the_reasons(listed: Listed) -> None:
    with pytest.raises(ModelError, match=r"no layer of the model can be captured:\n  0: its output .* has 5 axes"):
        listed(nn.Sequential(nn.Unflatten(1, (1, 3)), nn.Conv3d(1, 2, (1, 3, 3))))


def test_every_channel_of_every_layer_is_each_channel_once(listed: Listed) -> None:
    facts, layers = listed(odd.Blocks())
    assert [name for name in layers if name not in facts.repeats] == [
        "stem.1", "stage.0.body.0", "stage.0", "stage.1.body.0", "stage.1.body.2", "stage.1", "output",
    ]  # fmt: skip
    assert str(facts.repeats["stem.0"]) == "the channels of stem.1, before their normalization"
    assert str(facts.repeats["stem"]) == "the channels of stem.1"
    assert str(facts.repeats["stage.0.body.2"]) == "the same tensor as stage.0"
    assert str(facts.repeats["stage"]) == "the same tensor as stage.1"
    assert str(facts.repeats["fc"]) == "the same tensor as output"
    assert str(facts.repeats["pool"]) == "the channels of the layer before"


class ReadTwice(nn.Module):
    """The second normalization is not the only reader of its convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1)
        self.norm, self.other = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.down = nn.Sequential(nn.Conv2d(6, 4, 1), nn.BatchNorm2d(4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.second(torch.relu(self.norm(self.first(images))))
        return self.down(self.other(maps) + maps).mean((2, 3))


def test_a_convolution_is_one_layer_with_the_normalization_that_alone_reads_it(listed: Listed) -> None:
    facts, layers = listed(ReadTwice())
    assert [name for name in layers if name not in facts.repeats] == ["norm", "second", "down.1", "output"]
    assert str(facts.repeats["first"]) == "the channels of norm, before their normalization"
    assert str(facts.repeats["down"]) == "the channels of down.1"


def test_a_block_is_kept_where_what_it_holds_cannot_be_captured(listed: Listed) -> None:
    facts, _ = listed(odd.Windows())
    assert "mix" in facts.unsupported
    assert set(facts.repeats) == {"head"}


def test_the_first_layer_behind_a_product_that_no_layer_has_shows_its_channels(listed: Listed) -> None:
    facts, layers = listed(odd.OwnWeights())
    assert "volume" in facts.unsupported
    assert [name for name in layers if name not in facts.repeats] == ["flat", "conv", "act", "output"]
    assert str(facts.repeats["norm"]) == "the channels of the layer before"
    assert facts.unsupported["softmax"] == "none of its axes holds channels"


def fields(model: nn.Module, config: RunConfig) -> dict[str, LayerSpec]:
    facts = model_facts(model.eval().requires_grad_(False), config.model)
    return {layer.name: layer for layer in with_receptive_fields(model, facts.layers, config.model.input)}


def test_windows_and_transposed_convolutions_have_no_field_but_a_square(tiny: Callable[..., RunConfig]) -> None:
    layers = fields(odd.Windows(), tiny())
    assert layers["conv"].receptive_field is not None
    for name in ("out", "up"):
        assert layers[name].receptive_field is None
        assert layers[name].receptive_field_px == 4


def test_behind_squeeze_and_excitation_the_square_that_holds_most_counts(tiny: Callable[..., RunConfig]) -> None:
    layers = fields(odd.Excited(), tiny())
    assert layers["conv"].receptive_field_px == 3
    assert layers["after"].receptive_field is None
    assert 3 <= (layers["after"].receptive_field_px or 0) <= 7  # 5 pixels by its kernels; all 16 get some gradient


def test_what_runs_on_images_that_their_values_pick_is_refused(listed: Listed) -> None:
    # Generated images may all be sent to one expert: then nothing in the shapes or the values says so.
    facts, layers = listed(odd.Routed())
    assert set(layers) == {"stem", "router", "all", "last", "head", "output"}
    assert set(facts.unsupported) == {"by_truth", "by_order", "by_number", "gathered"}
    assert all("images that were picked by their values" in reason for reason in facts.unsupported.values())


def test_a_layer_that_gets_only_some_of_the_images_ends_the_pass(listed: Listed) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).mean((2, 3)))

    model = Half().eval()
    _, layers = listed(model)
    model.register_forward_pre_hook(lambda _, inputs: inputs[0][1:])
    refused = pytest.raises(ModelError, match="layer 'conv' returned 3 rows for 4 images")
    with torch.no_grad(), capture(model, [layers["conv"]], lambda layer, maps: None) as run, refused:
        run(torch.randn(4, 3, 16, 16))
