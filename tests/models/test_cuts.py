from __future__ import annotations

import shortcuts
import torch
from torch import Tensor, nn

from network_atlas.config.compose import compose
from network_atlas.models.cuts import CutPass, cut_model, passing_on
from network_atlas.models.facts import model_facts
from network_atlas.models.load import ready
from network_atlas.plan.attributions import owners

SIZES = [f"model.input.{name}=16" for name in ("height", "width", "resize")]
CONFIG = compose(["model=function", "model.name=shortcuts:build", "model.allow_code=true", *SIZES]).model
FACTS = model_facts(shortcuts.build(), CONFIG)
LAYERS = {layer.name: layer for layer in FACTS.layers}
OWNERS = owners(FACTS.layers, FACTS.repeats)
IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))


def passed(model: nn.Module, name: str, zero: tuple[str, ...] = ()) -> CutPass:
    cuts = passing_on(model, FACTS.layers, OWNERS, IMAGES, LAYERS[name])
    with cut_model(model, cuts, LAYERS[name], zero=zero) as run:
        return run(IMAGES)


def contribution(whole: CutPass, total: Tensor) -> Tensor:
    """Return the sum of activation times gradient over all channels and positions, (batch,)."""
    gradients = whole.gradients(total)
    return torch.stack([(whole.read_by(name) * gradient).sum((1, 2, 3)) for name, gradient in gradients.items()]).sum(0)


def test_the_parents_are_the_layers_just_before_both_at_a_shortcut() -> None:
    model = shortcuts.build()
    for name, parents in {
        "block.bn1": {"act": "stem"},
        "block.conv2": {"block.act": "block.bn1"},
        "block": {"act": "stem", "block.conv2": "block.conv2"},
        "next": {"block": "block"},
    }.items():
        whole = passed(model, name)
        reached = whole.gradients(whole.maps[:, 1].sum())
        assert {cut: OWNERS[cut] for cut in reached} == parents


def test_the_gradient_at_the_images_is_that_of_the_plain_model() -> None:
    frozen = ready(shortcuts.build(), CONFIG, torch.device("cpu"))
    for name in ("stem", "block", "next", "output"):
        whole = passed(frozen, name)
        whole.gradients(whole.maps[:, 2, 0, 0].sum())
        images = IMAGES.clone().requires_grad_()
        kept: list[Tensor] = []
        model = shortcuts.build()
        module = model if name == "output" else model.get_submodule(name)
        with torch.enable_grad():
            handle = module.register_forward_hook(lambda *seen, kept=kept: kept.append(seen[2]))
            model(images)
            handle.remove()
            kept[0][:, 2].reshape(4, -1)[:, 0].sum().backward()
        assert images.grad is not None
        assert torch.allclose(whole.gradient_of_images(), images.grad, atol=1e-6)


def test_a_layer_that_moves_channels_is_no_cut() -> None:
    assert OWNERS["shuffle"] == "mixed"  # as far as its channels' origin and number say
    cuts = passing_on(shortcuts.build(), FACTS.layers, OWNERS, IMAGES, LAYERS["output"])
    names = [cut.name for cut in cuts]
    assert "shuffle" not in names
    assert {"stem", "act", "block.act", "block", "mixed"} <= set(names)


def test_of_adjacent_linear_layers_the_parts_and_the_base_are_the_value() -> None:
    model = shortcuts.build()
    for name in ("next", "block.conv2", "block"):
        whole = passed(model, name)
        value = whole.maps[:, 0, 3, 2]
        parts = contribution(whole, value.sum())
        base = passed(model, name, zero=tuple(OWNERS)).maps[:, 0, 3, 2]
        assert torch.allclose(base + parts, value, atol=1e-4)


def test_zeroing_a_channel_takes_its_part_away() -> None:
    model = shortcuts.build()
    whole = passed(model, "next")
    value = whole.maps[:, 1, 4, 4]
    gradient = whole.gradients(value.sum())["block"]
    parts = (whole.read_by("block") * gradient).sum((2, 3))
    for channel in range(6):

        def without(module: nn.Module, inputs: object, output: Tensor, channel: int = channel) -> Tensor:
            changed = output.clone()
            changed[:, channel] = 0
            return changed

        handle = model.get_submodule("block").register_forward_hook(without)
        changed = passed(model, "next").maps[:, 1, 4, 4]
        handle.remove()
        assert torch.allclose(changed - value, -parts[:, channel], atol=1e-5)


def test_a_value_that_nothing_drives_has_no_gradient_anywhere() -> None:
    model = shortcuts.build()
    whole = passed(model, "next")
    assert whole.gradients(torch.zeros(())) == {}
    assert not whole.gradient_of_images().any()
