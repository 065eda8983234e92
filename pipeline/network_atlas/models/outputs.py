"""What a module returns: one tensor, or several in a mapping, a tuple, a named tuple or a dataclass, at any depth.

    named_tensors({"logits": a, "aux": (b, c)})     # {"logits": a, "aux.0": b, "aux.1": c}

Where the model itself returns several, `model.output` names the one that is its output, and `pick_output` makes the
model return it alone.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from network_atlas.errors import ModelError, did_you_mean

SHOWN = 12
"""Names that a message lists."""


def parts_of(value: object) -> dict[object, object]:
    """Return the parts of a mapping, tuple, list or dataclass by key, number or name; {} for any other value."""
    if isinstance(value, Mapping):  # first: the outputs of Hugging Face's models are dataclasses too
        return dict(value.items())
    if isinstance(value, tuple | list):
        return dict(zip(getattr(value, "_fields", range(len(value))), value, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def with_part(value: object, key: object, part: object) -> object:
    """Return a copy of a mapping, tuple, list or dataclass that holds another part under `key`."""
    if isinstance(value, tuple | list):
        parts = [part if name == key else item for name, item in parts_of(value).items()]
        named: Callable[..., object] | None = getattr(value, "_make", None)  # a named tuple takes its parts one by one
        return named(parts) if named else type(value)(parts)
    changed = copy.copy(value)
    if isinstance(changed, Mapping):
        changed[key] = part  # type: ignore[index]
    else:
        object.__setattr__(changed, str(key), part)  # not setattr, which a frozen dataclass forbids
    return changed


def named_tensors(value: object) -> dict[str, Tensor]:
    """Return the tensors inside what a module returned, by dotted names; '' for one that is not inside anything."""
    return dict(_named_tensors(value, ()))


def _named_tensors(value: object, path: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield ".".join(path), value
    for key, part in parts_of(value).items():
        yield from _named_tensors(part, (*path, str(key)))


def described_output(value: object) -> str:
    """Return the type of what a module returned, and the names of the tensors in it: 'dict: logits, features'."""
    names = [name for name in named_tensors(value) if name]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return type(value).__name__ + (f": {', '.join(names[:SHOWN])}{more}" if names else "")


def unreadable(tensor: Tensor) -> str:
    """Say in words why the values of a tensor can't be read one by one, and what to do; '' where they can."""
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return (
            "is made inside of torch.vmap or another transform of torch.func, which shows a module one image at a "
            "time or other values; call the module on the whole batch"
        )
    if tensor.is_nested:
        return "is a nested tensor, whose rows have sizes of their own; pad them to one size"
    if tensor.layout is not torch.strided:
        return f"is a tensor in the layout {tensor.layout}, not one of plain values; end the module with to_dense()"
    if tensor.is_meta:
        return "lies on the device 'meta' and has no values; compute it on the images' device"
    return ""


class _Picked:
    """A hook that replaces what a model returns by one of its tensors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: nn.Module, inputs: object, output: object) -> Tensor:
        tensors = named_tensors(output)
        if self.name in tensors:
            return tensors[self.name]
        if isinstance(output, Tensor):
            raise ModelError(f"model.output={self.name!r}, but the model returns one tensor; leave model.output out")
        raise ModelError(
            f"model.output={self.name!r} is not a tensor that the model returns ({described_output(output)})."
            + did_you_mean(self.name, tensors)
        )


def pick_output(model: nn.Module, name: str) -> None:
    """Let `model` return the tensor of this name instead of all that it returns.

    Its passes raise ModelError where there is no such tensor. Call this before other hooks are added: those see the
    tensor alone.
    """
    model.register_forward_hook(_Picked(name))


def picked_output(model: nn.Module) -> str:
    """Return the name that `pick_output` was given; '' if it was not called."""
    return next((hook.name for hook in model._forward_hooks.values() if isinstance(hook, _Picked)), "")
