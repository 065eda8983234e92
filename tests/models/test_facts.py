from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conformance import Checked, check_fields
from tiny_network import build
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from network_atlas.config.compose import compose
from network_atlas.config.schema import ModelConfig, RunConfig
from network_atlas.errors import ConfigError, ModelError
from network_atlas.layers import LayerSpec, ModelFacts, ReceptiveField, Repeat
from network_atlas.models.capture import capture
from network_atlas.models.facts import model_facts
from network_atlas.models.first_pass import example_input
from network_atlas.models.load import load_model
from network_atlas.models.receptive_field import with_receptive_fields
from network_atlas.models.upstream import upstream_hashes


def facts_of(name: str, side: int = 224) -> ModelFacts:
    config = torchvision_config(name, side)
    return model_facts(load_model(config), config)


def torchvision_config(name: str, side: int = 224) -> ModelConfig:
    size = [f"model.input.{name}={side}" for name in ("resize", "height", "width")]
    return compose(
        ["model=torchvision", f"model.name={name}", "model.weights=none", "dataset=folder", "dataset.root=x", *size]
    ).model


def by_name(facts: ModelFacts) -> dict[str, LayerSpec]:
    return {layer.name: layer for layer in facts.layers}


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_layers_come_in_order_of_execution_with_shapes(tiny: Callable[..., RunConfig]) -> None:
    facts = model_facts(build(), tiny().model)
    names = [layer.name for layer in facts.layers]
    assert names == ["conv1", "act", "conv2", "shared#1", "shared#2", "conv3", "pool", "fc", "output"]
    conv2 = by_name(facts)["conv2"]
    assert (conv2.type, conv2.channels, conv2.height, conv2.width) == ("Conv2d", 12, 8, 8)
    assert conv2.centre == (4, 4)
    assert by_name(facts)["output"].channels == 5
    assert by_name(facts)["output"].height is None


def test_a_module_that_runs_twice_is_a_layer_for_each_call(tiny: Callable[..., RunConfig]) -> None:
    facts = model_facts(build(), tiny().model)
    assert facts.unsupported == {}
    assert [facts.repeats[f"shared#{number}"] for number in (1, 2)] == [Repeat("the channels of conv2", "conv2")] * 2


def test_numbers_stay_when_other_layers_cannot_be_captured(tiny: Callable[..., RunConfig]) -> None:
    facts = model_facts(build(), tiny().model)
    assert by_name(facts)["conv2"].index == 2
    assert by_name(facts)["conv3"].index == 5  # 3 and 4 are the shared module's calls


def test_hooks_are_gone_afterwards_also_after_errors(tiny: Callable[..., RunConfig]) -> None:
    model, config = build(), tiny().model
    facts = model_facts(model, config)

    def fail(layer: LayerSpec, maps: Tensor) -> None:
        raise RuntimeError("receiver broke")

    with pytest.raises(RuntimeError, match="receiver broke"), capture(model, facts.layers, fail) as run:
        run(example_input(config.input))
    assert hooks(model) == 0


def test_maps_are_what_the_layer_put_out_before_in_place_activations(tiny: Callable[..., RunConfig]) -> None:
    model, config = build(), tiny().model
    layers = by_name(model_facts(model, config))
    images = example_input(config.input)
    seen: dict[str, float] = {}

    def receive(layer: LayerSpec, maps: Tensor) -> None:
        seen[layer.name] = float(maps.min())

    with torch.inference_mode(), capture(model, [layers["conv1"], layers["act"]], receive) as run:
        run(images)
    assert seen["conv1"] == float(model.conv1(images).min()) < 0
    assert seen["act"] == 0.0


def test_the_pass_stops_behind_the_target(tiny: Callable[..., RunConfig]) -> None:
    model, config = build(), tiny().model
    layers = by_name(model_facts(model, config))
    ran: list[str] = []
    model.conv3.register_forward_hook(lambda *_: ran.append("conv3"))
    with capture(model, [layers["conv2"]], lambda *_: None, stop=True) as run:
        run(example_input(config.input))
    assert ran == []


def test_a_layer_that_does_not_run_is_an_error(tiny: Callable[..., RunConfig]) -> None:
    model, config = build(), tiny().model
    ghost = LayerSpec(index=0, name="conv3", type="Conv2d", channels=6)
    model.forward = lambda images: model.conv1(images)
    with pytest.raises(ModelError, match="conv3"), capture(model, [ghost], lambda *_: None) as run:
        run(example_input(config.input))


def test_token_and_channels_last_layers_have_their_channels_right() -> None:
    swin = by_name(facts_of("swin_t", 64))
    assert (swin["features.1.0"].channels, swin["features.1.0"].height) == (96, 16)
    assert swin["features.1.0"].channel_axis == -1
    assert (swin["features.0.0"].channels, swin["features.0.0"].channel_axis) == (96, 1)
    convnext = by_name(facts_of("convnext_tiny", 64))
    assert (convnext["features.1.0.block.3"].channels, convnext["features.1.0.block.3"].channel_axis) == (384, -1)
    assert (convnext["features.1.0"].channels, convnext["features.1.0"].channel_axis) == (96, 1)
    assert (convnext["classifier.0"].channels, convnext["classifier.0"].channel_axis) == (768, 1)


def test_vit_layers_have_tokens() -> None:
    model = VisionTransformer(
        image_size=64, patch_size=16, num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=48, num_classes=5
    )
    layers = by_name(model_facts(model.eval(), torchvision_config("vit_b_16", 64)))
    mlp = layers["encoder.layers.encoder_layer_1.mlp.0"]
    assert (mlp.channels, mlp.tokens, mlp.height) == (48, 17, None)
    assert mlp.positions == (17, 1)
    attention = layers["encoder.layers.encoder_layer_0.self_attention"]
    assert (attention.channels, attention.tokens) == (32, 17)


def test_a_wrong_input_size_is_explained(tiny: Callable[..., RunConfig]) -> None:
    config = tiny("model.arguments.channels=7").model
    with pytest.raises(ModelError, match=r"3 x 16 x 16.*model\.input"):
        model_facts(load_model(config), config)


def test_receptive_fields_are_measured(tiny: Callable[..., RunConfig]) -> None:
    model, config = build(), tiny().model
    measured = {
        layer.name: layer.receptive_field_px
        for layer in with_receptive_fields(model, model_facts(model, config).layers, config.input)
    }
    # 3; 3 + 2; 5 + 2 * 2; everything
    assert (measured["conv1"], measured["conv2"], measured["conv3"], measured["fc"]) == (3, 5, 9, 16)


class Strided(nn.Module):
    """Strides, a pooling layer, kernels that are not square, a branch: fields that can be computed by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.wide = nn.Conv2d(8, 8, (1, 5), padding=(0, 2))
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.pool(torch.relu(self.stem(images))))
        x = self.down(x + self.wide(x))
        return self.head(torch.relu(x)).mean(dim=(2, 3))


def test_every_position_has_its_place_and_its_field(tiny: Callable[..., RunConfig]) -> None:
    torch.manual_seed(0)
    config = tiny("model.input.height=96", "model.input.width=128", "model.input.resize=128").model
    model = Strided().eval()
    fields = {
        layer.name: layer.receptive_field
        for layer in with_receptive_fields(model, model_facts(model, config).layers, config.input)
    }
    # size: 7; + 2 * 2; + (0, 4 * 4); + 2 * 4; + 2 * 8. The first position of each looks at the first pixel.
    expected = {
        "stem": ((7, 7), (2, 2), (0.5, 0.5)),
        "pool": ((11, 11), (4, 4), (0.5, 0.5)),
        "wide": ((11, 27), (4, 4), (0.5, 0.5)),
        "down": ((19, 35), (8, 8), (0.5, 0.5)),
        "head": ((35, 51), (8, 8), (0.5, 0.5)),
    }
    for name, (size, stride, centre) in expected.items():
        assert fields[name] == ReceptiveField(size_px=size, stride_px=stride, centre_px=centre), name
    assert fields["output"] is None  # all of the input


class Moved(nn.Module):
    """Maps that are turned, mirrored, rolled, or have rows in the place of columns; and a pool of odd sizes."""

    NAMES = ("turned", "mirrored", "swapped", "over_the_other_diagonal", "rolled", "gated_and_turned", "uneven")

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.uneven = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 6), nn.AdaptiveAvgPool2d((5, 3))
        for name in self.NAMES[:-1]:
            self.add_module(name, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        gate = self.gate(maps.mean((2, 3))).sigmoid()[:, :, None, None]
        seen = [
            self.turned(maps.rot90(1, (2, 3))),
            self.mirrored(maps.flip(3)),
            self.swapped(maps.transpose(2, 3)),
            self.over_the_other_diagonal(maps.flip((2, 3)).transpose(2, 3)),
            self.rolled(maps.roll(8, 2)),
            self.gated_and_turned(maps.rot90(1, (2, 3)) * gate),
            self.uneven(maps),
        ]
        return torch.stack([each.mean((2, 3)) for each in seen]).sum(0)


def test_a_box_holds_every_pixel_that_moves_its_position_or_is_not_given(tiny: Callable[..., RunConfig]) -> None:
    torch.manual_seed(0)
    config = tiny("model.input.height=32", "model.input.width=32", "model.input.resize=32").model
    model, checked = Moved().eval(), Checked()
    facts = model_facts(model, config)
    check_fields(model, facts.layers, config, checked)
    assert checked.wrong == []
    measured = {layer.name: layer for layer in with_receptive_fields(model, facts.layers, config.input)}
    for name in Moved.NAMES[:-1]:  # a square about the position's own place would show another part of the image
        assert (measured[name].receptive_field_px, measured[name].receptive_field) == (None, None), name
    for name in ("conv", "uneven"):
        assert measured[name].receptive_field is not None, name


class Unpooled(nn.Module):
    """Puts the largest value of each window back where it was; the other positions are zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2, return_indices=True)
        self.unpool, self.last = nn.MaxUnpool2d(2), nn.Conv2d(8, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        pooled, places = self.pool(self.conv(images))
        return self.last(self.unpool(pooled, places))


def test_a_position_of_max_unpooling_sees_its_whole_window(tiny: Callable[..., RunConfig]) -> None:
    torch.manual_seed(0)
    config = tiny("model.input.height=32", "model.input.width=32", "model.input.resize=32").model
    model, checked = Unpooled().eval(), Checked()
    facts = model_facts(model, config)
    check_fields(model, facts.layers, config, checked, pixels=20)
    assert checked.wrong == []
    measured = {layer.name: layer for layer in with_receptive_fields(model, facts.layers, config.input)}
    for name in ("unpool", "last"):  # two positions see the same pixels, so no box moves with the position
        assert (measured[name].receptive_field_px, measured[name].receptive_field) == (4, None)


def test_a_field_is_what_has_a_gradient(tiny: Callable[..., RunConfig]) -> None:
    torch.manual_seed(0)
    config = tiny("model.input.height=96", "model.input.width=128", "model.input.resize=128").model
    model = Strided().eval()
    for layer in with_receptive_fields(model, model_facts(model, config).layers, config.input):
        if layer.receptive_field is None:
            continue
        rows, columns = layer.positions
        for row, column in ((0, columns - 1), (rows // 3, columns // 2), (rows - 1, 1)):
            images = torch.randn(8, 3, 96, 128, requires_grad=True)
            maps: dict[str, Tensor] = {}
            with capture(
                model, [layer], lambda captured, value, maps=maps: maps.update({captured.name: value}), stop=True
            ) as run:
                run(images)
            (gradient,) = torch.autograd.grad(maps[layer.name][:, :, row, column].square().sum(), images)
            where = gradient.ne(0).any(dim=0).any(dim=0)
            down, along = where.any(dim=1).nonzero(), where.any(dim=0).nonzero()
            top, left, bottom, right = layer.receptive_field.box(row, column)
            assert (int(down[0]), int(along[0])) == (max(0, top), max(0, left)), layer.name
            assert (int(down[-1]) + 1, int(along[-1]) + 1) == (min(96, bottom), min(128, right)), layer.name


def hashes(model: nn.Module, config: ModelConfig) -> dict[str, str]:
    return dict(model_facts(model, config).upstream)


def test_a_changed_weight_changes_the_hashes_from_there_on(tiny: Callable[..., RunConfig]) -> None:
    config = tiny().model
    before, model = hashes(build(), config), build()
    model.conv3.weight[0, 0, 0, 0] += 0.001
    after = hashes(model, config)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"conv3", "pool", "fc", "output"}


def test_a_changed_setting_changes_the_hash(tiny: Callable[..., RunConfig]) -> None:
    config = tiny().model
    before, model = hashes(build(), config), build()
    model.conv2.stride = (1, 1)
    after = hashes(model, config)
    assert before["conv1"] == after["conv1"]
    assert before["conv2"] != after["conv2"]


def test_hashes_are_the_same_every_time(tiny: Callable[..., RunConfig]) -> None:
    config = tiny().model
    assert hashes(build(), config) == hashes(build(), config)


class Untraceable(nn.Module):
    """Control flow that depends on data: torch.fx can't trace it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images)
        return self.second(x) if x.sum() > -1e9 else x


def test_an_untraceable_model_is_hashed_by_order() -> None:
    torch.manual_seed(0)
    model = Untraceable()
    order = ["first", "second", "output"]
    before = upstream_hashes(model, order, order)
    with torch.no_grad():
        model.second.weight += 1
    after = upstream_hashes(model, order, order)
    assert before["first"] == after["first"]
    assert before["second"] != after["second"]
    assert before["output"] != after["output"]


class Named(nn.Module):
    """Has a module called as the model's own output is."""

    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.output(images).mean(dim=(2, 3)))


def test_a_module_called_output_does_not_stand_for_the_models_own(tiny: Callable[..., RunConfig]) -> None:
    torch.manual_seed(0)
    model, config = Named().eval(), tiny().model
    facts = model_facts(model, config)
    assert [layer.name for layer in facts.layers] == ["head", "output"]
    assert by_name(facts)["output"].channels == 5
    assert facts.unsupported == {"output (Conv2d)": "has the name that is reserved for the model's own output"}
    assert [layer.receptive_field_px for layer in with_receptive_fields(model, facts.layers, config.input)] == [16, 16]
    with torch.no_grad():
        model.head.bias += 1
    assert model_facts(model, config).upstream["output"] != facts.upstream["output"]


@pytest.mark.parametrize(("classes", "names"), [("imagenet", 0), ("none", 0)])
def test_names_that_are_for_other_classes_are_left_out(
    tiny: Callable[..., RunConfig], classes: str, names: int
) -> None:
    assert len(model_facts(build(), tiny(f"model.classes={classes}").model).class_names) == names


@pytest.mark.parametrize("count", [4, 6])
def test_a_file_with_another_number_of_names_is_refused(
    tiny: Callable[..., RunConfig], tmp_path: Path, count: int
) -> None:
    (tmp_path / "names.txt").write_text("\n".join(str(number) for number in range(count)))
    with pytest.raises(ConfigError, match=f"{count} names, the model has 5 outputs"):
        model_facts(build(), tiny(f'model.classes="{tmp_path / "names.txt"}"').model)


class WithoutGradient(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.conv(images)


def test_a_model_without_gradients_is_explained(tiny: Callable[..., RunConfig]) -> None:
    model, config = WithoutGradient().eval(), tiny().model
    with pytest.raises(ModelError, match="gives no gradients"):
        with_receptive_fields(model, model_facts(model, config).layers, config.input)


class Quits(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        raise SystemExit(3)


def test_a_model_that_quits_or_does_not_fit_memory_is_explained(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(ModelError, match="SystemExit: 3"):
        model_facts(Quits(), tiny().model)
    huge = tiny("model.input.height=10000000", "model.input.width=10000000", "model.input.resize=10000000")
    with pytest.raises(ModelError, match="3 x 10000000 x 10000000"):
        model_facts(build(), huge.model)


def test_nothing_is_run_where_every_receptive_field_is_known() -> None:
    class Refusing(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise AssertionError("this must not run")

    assert with_receptive_fields(Refusing(), [], compose([]).model.input) == ()
