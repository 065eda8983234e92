"""Compiled blocks give the network's own numbers, in the passes that they are for, and never more than that.

Torch traces the blocks as ever, but most tests hand its graphs to a compiler that only counts which of them run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import repeated_blocks
import torch
from torch import Tensor, nn

from network_atlas.layers import LayerSpec
from network_atlas.models.capture import capture
from network_atlas.models.comparison import difference, numbers_of
from network_atlas.models.compiled import CompiledBlocks, NotCompiledError, blocks_of
from network_atlas.models.frozen.freeze import freeze, frozen_forward

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).contiguous(
    memory_format=torch.channels_last
)
BUILDS = {"maps": repeated_blocks.maps, "tokens": repeated_blocks.tokens}


class Counting:
    """A compiler of torch's graphs that leaves them as they are, and counts how often they run."""

    def __init__(self) -> None:
        self.made = self.ran = 0

    def __call__(self, graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., Any]:
        self.made += 1

        def run(*arguments: Any) -> Any:
            self.ran += 1
            return graph.forward(*arguments)

        return run


def refusing(_graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., Any]:
    raise RuntimeError("no compiler here\nand a second line")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return our own lines: torch's compiler logs hundreds."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("network_atlas")]


def spec(name: str) -> LayerSpec:
    return LayerSpec(index=1, name=name, type="Conv2d", channels=8, height=16, width=16)


def read(model: nn.Module, name: str, forward: Any, images: Tensor = IMAGES) -> tuple[Tensor, Tensor]:
    """Return a layer's maps, and the gradient of a score of theirs at the images."""
    images, maps = images.clone().requires_grad_(), []
    with capture(model, [spec(name)], lambda _, found: maps.append(found), stop=True, forward=forward) as run:
        run(images)
    (gradient,) = torch.autograd.grad(maps[-1].square().mean((2, 3)).sum(), images)
    return maps[-1].detach(), gradient


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_values_and_gradients_are_the_networks_own(build: Callable[[], nn.Module]) -> None:
    model = build()
    forward = CompiledBlocks(model, rows=4, backend="aot_eager")
    for images in (IMAGES, IMAGES[:, :, :8, :8]):  # a second form, as half-size steps have
        own_values, own = numbers_of(model, images)
        values, gradient = numbers_of(partial(forward, model), images)
        assert difference(values[0], own_values[0]) < 1e-5
        assert difference(gradient, own) < 1e-5
    assert forward.says == f"steps with {len(blocks_of(model))} compiled blocks"


@pytest.mark.parametrize(
    ("name", "ran"),
    [("stem", 0), ("blocks.0", 1), ("blocks.1.conv1", 1), ("blocks.1", 2), ("blocks.2.norm", 2), ("output", 3)],
)
def test_a_layer_is_captured_behind_compiled_blocks_and_in_one_that_runs_as_it_is(name: str, ran: int) -> None:
    model, counting = repeated_blocks.maps(), Counting()
    if name == "output":
        forward = CompiledBlocks(model, rows=4, backend=counting)
        numbers_of(partial(forward, model), IMAGES)
    else:
        own, mine = (
            read(model, name, forward) for forward in (frozen_forward, CompiledBlocks(model, rows=4, backend=counting))
        )
        assert difference(mine[0], own[0]) < 1e-5
        assert difference(mine[1], own[1]) < 1e-5
    assert counting.ran == ran


def test_blocks_of_one_form_share_a_program_for_all_layers() -> None:
    model, counting = repeated_blocks.maps(), Counting()
    forward = CompiledBlocks(model, rows=4, backend=counting)
    for name in ("blocks.2", "blocks.1", "blocks.2.conv2", "blocks.2"):
        read(model, name, forward)
    assert counting.made <= 3, "one for each form of a block and of its maps"


def test_other_passes_run_as_ever_and_nothing_stays_in_the_model() -> None:
    model, counting = repeated_blocks.maps(), Counting()
    forward = CompiledBlocks(model, rows=4, backend=counting)
    with torch.no_grad():
        assert torch.equal(forward(model, IMAGES), model(IMAGES))
    read(model, "blocks.2", forward, IMAGES[:3])
    assert counting.ran == 0
    read(model, "blocks.2", forward)
    assert counting.ran == 3
    with pytest.raises(RuntimeError):
        forward(model, IMAGES[:, :2].clone().requires_grad_())
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_network_that_is_frozen_stays_so_in_the_other_passes() -> None:
    model = repeated_blocks.maps()
    own = read(model, "blocks.2.conv2", frozen_forward)
    assert freeze(model, IMAGES)
    forward = CompiledBlocks(model, rows=4, backend=Counting())
    for mine in (read(model, "blocks.2.conv2", forward), read(model, "blocks.2.conv2", frozen_forward)):
        assert difference(mine[0], own[0]) < 1e-4
        assert difference(mine[1], own[1]) < 1e-3


def test_hooks_of_the_models_own_run_around_a_compiled_block_and_in_one_that_is_not() -> None:
    model, counting = repeated_blocks.maps(), Counting()
    model.get_submodule("blocks.1").register_forward_hook(lambda *arguments: arguments[-1] * 2)
    model.get_submodule("blocks.0.conv1").register_forward_hook(lambda *arguments: arguments[-1] * 3)
    own, _ = numbers_of(model, IMAGES)
    values, _ = numbers_of(partial(CompiledBlocks(model, rows=4, backend=counting), model), IMAGES)
    assert difference(values[0], own[0]) < 1e-5
    assert counting.ran == 2


def test_what_cant_be_compiled_runs_once_more_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    model = repeated_blocks.maps()
    forward = CompiledBlocks(model, rows=4, backend=refusing)
    own = read(model, "blocks.2", frozen_forward)
    for _ in range(2):
        mine = read(model, "blocks.2", forward)
        assert torch.equal(mine[0], own[0])
        assert torch.equal(mine[1], own[1])
    (line,) = lines_of(caplog)
    assert "no compiler here" in line
    assert "\n" not in line
    assert forward.says.startswith("steps not compiled: ")


def test_a_network_without_repeated_blocks_is_not_compiled() -> None:
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))
    with pytest.raises(NotCompiledError, match="occurs more than once"):
        CompiledBlocks(model, rows=4)
