"""Capture what layers put out, while the model runs.

Whatever a module returns is handed over inside its forward hook, before a later in-place operation can change it,
with its channels first: (batch, channels, rows, columns). Token layers come as one column of tokens, vectors as one
position. The receiver must reduce or copy at once; it must not keep a view across an in-place layer.

    with capture(model, [layer], receive, stop=True) as run:
        run(images)        # stops behind the layer; receive(layer, maps) has been called

Hooks are gone when the context ends, however it ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor, nn

from pipeline.errors import ModelError
from pipeline.units import OUTPUT, LayerSpec

Receive = Callable[[LayerSpec, Tensor], None]


class _Stopped(Exception):  # noqa: N818 - a signal, not an error
    """Leaves the forward pass once every wanted layer has spoken."""


def module_of(model: nn.Module, name: str) -> nn.Module:
    """Return the module of a layer; the output's module is the model itself."""
    return model if name == OUTPUT else model.get_submodule(name)


def as_maps(output: Tensor, layer: LayerSpec) -> Tensor:
    """Return a layer's own output as (batch, channels, rows, columns)."""
    maps = output.movedim(layer.channel_axis, 1) if output.ndim > 2 else output
    return maps.reshape(*maps.shape[:2], *_positions(maps))


def _positions(maps: Tensor) -> tuple[int, int]:
    if maps.ndim == 4:
        return maps.shape[2], maps.shape[3]
    return (maps.shape[2] if maps.ndim == 3 else 1), 1


@contextlib.contextmanager
def capture(
    model: nn.Module, layers: Sequence[LayerSpec], receive: Receive, *, stop: bool = False
) -> Iterator[Callable[[Tensor], None]]:
    """Yield a function that runs the model on a batch and hands over each layer's maps as they appear.

    With `stop`, the pass ends behind the last of the wanted layers. Raises ModelError when a layer did not run.
    """
    waiting: set[str] = set()

    def hook_for(layer: LayerSpec) -> Callable[[nn.Module, object, object], None]:
        def hook(module: nn.Module, inputs: object, output: object) -> None:
            assert isinstance(output, Tensor)
            receive(layer, as_maps(output, layer))
            waiting.discard(layer.name)
            if stop and not waiting:
                raise _Stopped

        return hook

    def run(images: Tensor) -> None:
        waiting.update(layer.name for layer in layers)
        with contextlib.suppress(_Stopped):
            model(images)
        if waiting:
            raise ModelError(f"layers {sorted(waiting)} did not run in this forward pass")

    handles = [module_of(model, layer.name).register_forward_hook(hook_for(layer)) for layer in layers]
    try:
        yield run
    finally:
        for handle in handles:
            handle.remove()
