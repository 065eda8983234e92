"""Capture the outputs of layers while the model runs.

A module's output is handed over inside its forward hook, before a later in-place operation can change it, with its
channels first: (batch, channels, rows, columns). Token layers come as one column of tokens, vectors as one
position. The receiver must reduce or copy at once; it must not keep a view across an in-place layer.

    with capture(model, [layer], receive, stop=True) as run:
        run(images)        # stops behind the layer; receive(layer, maps) has been called

Hooks are gone when the context ends, however it ends.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from network_atlas.errors import ModelError
from network_atlas.layers import OUTPUT, LayerSpec, split_call
from network_atlas.models.frozen.freeze import frozen_forward
from network_atlas.models.outputs import parts_of, with_part

ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Mish,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Tanh,
)
FIRST_OF_SEVERAL = (nn.MultiheadAttention, nn.RNNBase)
"""Modules that return a tuple whose first tensor is their output."""

Receive = Callable[[LayerSpec, Tensor], None]
"""Takes a layer and its maps, (batch, channels, rows, columns)."""


Replace = Callable[[LayerSpec, Tensor], Tensor]
"""Takes a layer and its output, in the shape and axis order of its module; returns what goes on in its place."""


class Forward(Protocol):
    """Runs a model as `models.frozen.freeze.frozen_forward` does."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        *,
        outputs: Iterable[nn.Module] = ...,
        inputs: Iterable[nn.Module] = ...,
    ) -> Any: ...


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Leaves the forward pass once every layer was captured."""


def tensor_of(module: nn.Module, output: object) -> Tensor | None:
    """Return the tensor, of any shape, that a module's output is, or holds alone; None if it holds none, or several.

    Of attention and recurrent layers, which return more beside it, the first tensor is the output.
    """
    if isinstance(output, Tensor):
        return output
    values = list(parts_of(output).values())
    if values and isinstance(module, FIRST_OF_SEVERAL):
        return values[0] if isinstance(values[0], Tensor) else None
    tensors = [value for value in values if value is not None]
    return tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Tensor) else None


def _with_tensor(output: object, tensor: Tensor) -> object:
    """Return a module's output with `tensor` in the place of the one that `tensor_of` returns."""
    first = next((key for key, value in parts_of(output).items() if value is not None), None)
    return tensor if first is None else with_part(output, first, tensor)


def module_of(model: nn.Module, name: str) -> nn.Module:
    """Return the module of a layer; the output's module is the model itself."""
    return call_of(model, name)[0]


def call_of(model: nn.Module, name: str) -> tuple[nn.Module, int | None]:
    """Return a layer's module, and which of its calls in a pass the layer is: 2 for 'relu#2', None for 'relu'.

    A module whose own name ends in a number sign and a number goes before another's call of that name.
    """
    if name == OUTPUT:
        return model, None
    module, number = split_call(name)
    if number is None or _has_submodule(model, name):
        return model.get_submodule(name), None
    return model.get_submodule(module), number


def _has_submodule(model: nn.Module, name: str) -> bool:
    try:
        model.get_submodule(name)
    except AttributeError:
        return False
    return True


def as_maps(output: Tensor, layer: LayerSpec) -> Tensor:
    """Return a layer's output, in the axis order of its module, as (batch, channels, rows, columns)."""
    if layer.batch_axis:
        output = output.movedim(layer.batch_axis, 0)
    if output.ndim == 4 and layer.channel_axis == 1:
        return output
    maps = output.movedim(layer.channel_axis, 1) if output.ndim > 2 else output
    return maps.reshape(*maps.shape[:2], *_positions(maps))


def _positions(maps: Tensor) -> tuple[int, int]:
    if maps.ndim == 4:
        return maps.shape[2], maps.shape[3]
    return (maps.shape[2] if maps.ndim == 3 else 1), 1


def is_activation(module: nn.Module) -> bool:
    """Say whether a module is one of torch's pointwise activations, whose input has the shape of its output."""
    return isinstance(module, ACTIVATIONS)


class _Turns:
    """Counts the calls of modules in a pass, for layers that are one call of several."""

    def __init__(self, model: nn.Module, layers: Sequence[LayerSpec]) -> None:
        self._model = model
        numbers = {layer.name: call_of(model, layer.name)[1] for layer in layers}
        self._numbers = {name: number for name, number in numbers.items() if number is not None}
        self._calls: Counter[str] = Counter()

    def is_turn_of(self, layer: LayerSpec) -> bool:
        """Say whether this call of a layer's module, which it counts, is the layer."""
        self._calls[layer.name] += 1
        return self._numbers.get(layer.name, self._calls[layer.name]) == self._calls[layer.name]

    @contextlib.contextmanager
    def counted(self, images: Tensor) -> Iterator[None]:
        """Count from 1 again whenever the model starts with `images`: a frozen pass that fails is run anew."""

        def start(module: nn.Module, inputs: tuple[object, ...]) -> None:
            if inputs and inputs[0] is images:  # not where a model calls itself with a part of them
                self._calls.clear()

        self._calls.clear()
        if not self._numbers:  # torch leaves out its faster ways where a module has hooks
            yield
            return
        handle = self._model.register_forward_pre_hook(start, prepend=True)
        try:
            yield
        finally:
            handle.remove()


class _Capture:
    """One use of `capture`: the layers that a pass still has to hand over, and how."""

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[LayerSpec],
        receive: Receive,
        *,
        stop: bool,
        before: bool,
        replace: Replace | None,
        forward: Forward,
    ) -> None:
        self._model = model
        self._layers = layers
        self._receive = receive
        self._stop, self._before, self._replace, self._forward = stop, before, replace, forward
        self._turns = _Turns(model, layers)
        self._images = 0
        self._waiting: set[str] = set()
        self._modules = {layer.name: module_of(model, layer.name) for layer in layers}

    def hook(self, layer: LayerSpec) -> RemovableHandle:
        """Hook a layer's module, so that its call hands over the layer's maps."""
        module, is_entered = self._modules[layer.name], self._is_entered(layer)

        def look(module: nn.Module, inputs: tuple[Tensor, ...], output: object = None) -> object:
            if not self._turns.is_turn_of(layer):
                return None
            tensor = inputs[0].clone() if is_entered else tensor_of(module, output)
            self._hand_over(layer, tensor)
            if is_entered or self._replace is None or tensor is None:
                return None
            return _with_tensor(output, self._replace(layer, tensor))

        return module.register_forward_pre_hook(look) if is_entered else module.register_forward_hook(look)

    def run(self, images: Tensor) -> None:
        """Run the model on images, (batch, channels, height, width)."""
        self._waiting.update(layer.name for layer in self._layers)
        self._images = len(images)
        entered = [self._modules[layer.name] for layer in self._layers if self._is_entered(layer)]
        with self._turns.counted(images), contextlib.suppress(_Stopped):
            self._forward(self._model, images, outputs=self._modules.values(), inputs=entered)
        if self._waiting:
            raise ModelError(f"layers {sorted(self._waiting)} did not run in this forward pass")

    def _hand_over(self, layer: LayerSpec, value: object) -> None:
        assert isinstance(value, Tensor)
        if value.shape[layer.batch_axis] != self._images:
            raise ModelError(
                f"layer {layer.name!r} returned {value.shape[layer.batch_axis]} rows for {self._images} images: the "
                "model runs it on some of them only, which their values choose; leave it out of the sweep"
            )
        with torch._C.DisableTorchFunction():  # reading is no part of the pass, frozen or not
            self._receive(layer, as_maps(value, layer))
        self._waiting.discard(layer.name)
        if self._stop and not self._waiting:
            raise _Stopped

    def _is_entered(self, layer: LayerSpec) -> bool:
        return self._before and is_activation(self._modules[layer.name])


@contextlib.contextmanager
def capture(
    model: nn.Module,
    layers: Sequence[LayerSpec],
    receive: Receive,
    *,
    stop: bool = False,
    keep: bool = False,
    before: bool = False,
    replace: Replace | None = None,
    forward: Forward = frozen_forward,
) -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that runs the model on images, (batch, channels, height, width), and hands over layers' maps.

    With `stop`, the pass ends behind the last of `layers`. With `keep`, the receiver may keep the maps: later modules
    get a copy, or what `replace` returns. With `before`, layers that are activations hand over their input. The model
    runs by `forward`: frozen where it can (`models.frozen`), and anew as it is where it can't. A layer that is handed
    over twice counts the second time. Raises ModelError when a layer did not run, or not on every image.
    """
    replace = replace or (_copied if keep else None)
    layers_of_pass = _Capture(model, layers, receive, stop=stop, before=before, replace=replace, forward=forward)
    handles = [layers_of_pass.hook(layer) for layer in layers]
    try:
        yield layers_of_pass.run
    finally:
        for handle in handles:
            handle.remove()


def _copied(_: LayerSpec, output: Tensor) -> Tensor:
    return output.clone()
