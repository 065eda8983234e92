"""Check the layers of any network by independent references: plain hooks, a second input size, and changed pixels.

Nothing here uses the code that it checks. A plain hook shows what a module returns. The axis of the channels is the
one whose size stays when the input grows. Which positions see a pixel is measured by changing it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from network_atlas.config.schema import ModelConfig
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts
from network_atlas.models.capture import capture
from network_atlas.models.frozen.freeze import freeze
from network_atlas.models.receptive_field import with_receptive_fields

Build = Callable[[int, int], nn.Module]
"""Makes the network for inputs of (height, width)."""


@dataclass(slots=True)
class Checked:
    """The number of layers that each reference found right, and the errors."""

    values: int = 0
    axes: int = 0
    axes_undecided: int = 0
    fields: int = 0
    wrong: list[str] = field(default_factory=list)


def plain_outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return a copy of what each module returns, the first tensor of a tuple, by plain hooks.

    Of a module that runs more than once, each call is one: 'relu#1', 'relu#2'.
    """
    outputs: dict[str, list[Tensor]] = {}

    def hook(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, Tensor):
                outputs.setdefault(name, []).append(first.detach().clone())

        return keep

    handles = [module.register_forward_hook(hook(name or OUTPUT)) for name, module in model.named_modules()]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    single = {name: calls[0] for name, calls in outputs.items() if len(calls) == 1}
    several = {
        f"{name}#{number}": output
        for name, calls in outputs.items()
        if len(calls) > 1
        for number, output in enumerate(calls, start=1)
    }
    return several | single  # a name of its own goes before a call


def check_values(model: nn.Module, facts: ModelFacts, images: Tensor, checked: Checked) -> None:
    """Compare every captured layer, and its channels and sizes, with what a plain hook sees."""
    plain, captured = plain_outputs(model, images), {}
    with (
        torch.no_grad(),
        capture(model, facts.layers, lambda layer, maps: captured.update({layer.name: maps.clone()})) as run,
    ):
        run(images)
    for layer in facts.layers:
        output = plain[layer.name].movedim(layer.batch_axis, 0)
        rows, columns = layer.positions
        expected = output.movedim(layer.channel_axis, 1) if output.ndim > 2 else output
        expected = expected.reshape(len(images), layer.channels, rows, columns)
        if torch.allclose(captured[layer.name], expected, atol=1e-5, equal_nan=True):
            checked.values += 1
        else:
            checked.wrong.append(f"{layer.name}: values differ from those of a plain hook")


def check_frozen(model: nn.Module, layers: Sequence[LayerSpec], images: Tensor, checked: Checked) -> None:
    """Compare what a frozen pass hands over, and its gradient, with the model's own, for each layer alone.

    Alone, so that all that the pass may merge before the layer and behind it is merged.
    """
    plain = captured_alone(model, layers, images)
    if not freeze(model, images):
        checked.wrong.append("the network does not run frozen")
    for layer, before, after in zip(layers, plain, captured_alone(model, layers, images), strict=True):
        for what, mine, own, allowed in zip(("values", "gradient"), after, before, (1e-4, 2e-2), strict=True):
            if (mine - own).norm() > allowed * own.norm() + 1e-6:
                checked.wrong.append(f"{layer.name}: {what} of the frozen pass differ")


def captured_alone(model: nn.Module, layers: Sequence[LayerSpec], images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return the maps of each layer, captured in a pass that ends there, and the gradient of a sum of them."""
    found = []
    for layer in layers:
        maps: dict[str, Tensor] = {}
        leaf = images.clone().requires_grad_()
        with (
            torch.enable_grad(),
            capture(model, [layer], lambda layer, read, into=maps: into.update({layer.name: read}), stop=True) as run,
        ):
            run(leaf * 1.0)
            read = maps[layer.name]
            weights = torch.randn(read.shape, generator=torch.Generator().manual_seed(0))
            (gradient,) = torch.autograd.grad((read * weights).sum(), leaf)
        found.append((read.detach(), gradient))
    return found


def channels_by_parameters(module: nn.Module) -> tuple[int, int] | None:
    """Return the channel axis and the number of channels where a module's own parameters show them; else None."""
    kind = type(module)
    if kind in (nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d):
        return 1, module.out_channels  # type: ignore[return-value]
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return 1, module.num_features  # type: ignore[return-value]
    if kind is nn.Linear:
        return -1, module.out_features  # type: ignore[return-value]
    if kind is nn.LayerNorm and len(module.normalized_shape) == 1:  # type: ignore[arg-type]
        return -1, module.normalized_shape[0]  # type: ignore[index]
    return None


def check_axes(
    model: nn.Module, facts: ModelFacts, outputs: dict[str, Tensor], larger: dict[str, Tensor], checked: Checked
) -> None:
    """Compare each layer's channel axis with its parameters, else with the one axis that a larger input leaves."""
    modules = {name or OUTPUT: module for name, module in model.named_modules()}
    for layer in facts.layers:
        shape = outputs[layer.name].shape
        axis = layer.channel_axis % len(shape)
        by_parameters = channels_by_parameters(modules[layer.name.partition("#")[0]])
        if by_parameters is not None:
            right = (by_parameters[0] % len(shape), by_parameters[1]) == (axis, layer.channels)
        elif layer.name in larger and larger[layer.name].ndim == len(shape):
            grown = larger[layer.name].shape
            same = [number for number in range(1, len(shape)) if shape[number] == grown[number]]
            if len(same) != 1:
                checked.axes_undecided += 1
                continue
            right = same == [axis]
        else:
            checked.axes_undecided += 1
            continue
        if right:
            checked.axes += 1
        else:
            checked.wrong.append(f"{layer.name} {tuple(shape)}: channels on axis {layer.channel_axis}")


def check_fields(
    model: nn.Module, layers: Sequence[LayerSpec], config: ModelConfig, checked: Checked, *, pixels: int = 3
) -> None:
    """Change single pixels: only positions whose receptive field holds the pixel may change."""
    measured = with_receptive_fields(model, layers, config.input)
    generator = torch.Generator().manual_seed(1)
    height, width = config.input.height, config.input.width
    image = torch.randn(1, config.input.channels, height, width, generator=generator)
    before = plain_outputs(model, image)
    moved: dict[str, list[tuple[int, int, Tensor]]] = {}
    for _ in range(pixels):
        row, column = (int(torch.randint(size, (1,), generator=generator)) for size in (height, width))
        changed = image.clone()
        changed[:, :, row, column] += 3.0
        for name, output in plain_outputs(model, changed).items():
            moved.setdefault(name, []).append((row, column, output))
    for layer in measured:
        problem = _field_problem(layer, before[layer.name], moved[layer.name])
        if problem:
            checked.wrong.append(f"{layer.name}: {problem}")
        elif layer.receptive_field is not None:
            checked.fields += 1


def _field_problem(layer: LayerSpec, before: Tensor, moved: Sequence[tuple[int, int, Tensor]]) -> str:
    if layer.receptive_field is None:
        return "" if layer.receptive_field_px is None or layer.receptive_field_px > 0 else "a field without size"
    if min(*layer.receptive_field.size_px, *layer.receptive_field.stride_px) <= 0:
        return f"{layer.receptive_field}"
    channel_axis = layer.channel_axis % before.ndim
    for row, column, after in moved:
        differs = (after != before).any(dim=channel_axis)[0].reshape(layer.positions)
        for position in differs.nonzero().tolist():
            top, left, bottom, right = layer.receptive_field.box(*position)
            if not (top <= row < bottom and left <= column < right):
                box = (top, left, bottom, right)
                return f"pixel ({row}, {column}) moves position {tuple(position)}, whose box is {box}"
    return ""
