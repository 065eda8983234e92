"""The calls of torch's functions that a frozen pass takes over, and the arguments that it needs of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Function = Callable[..., Any]

READ_ONLY = frozenset(
    [Tensor.dim, Tensor.size, Tensor.numel, Tensor.stride, Tensor.is_contiguous, Tensor.is_floating_point]
    + [Tensor.is_complex, Tensor.element_size, Tensor.get_device, Tensor.nelement, Tensor.ndimension, Tensor.__len__]
    + [torch._assert, torch.numel, torch.is_floating_point, torch.is_complex]
    + [getattr(Tensor, name).__get__ for name in ("shape", "ndim", "dtype", "device", "requires_grad", "layout")]
    + [getattr(Tensor, name).__get__ for name in ("is_cuda", "is_cpu", "is_nested", "is_sparse", "is_quantized")]
)
"""Functions that ask for a tensor's form and not for its values."""

UNCOUNTED = frozenset(
    (
        *(getattr(Tensor, name).__get__ for name in ("data",)),
        *(Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr, Tensor.untyped_storage),
    )
)
"""Functions that give a way to a tensor's memory on which torch does not count changes."""

ADDS = (torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__iadd__)
"""Functions that add."""

IN_PLACE_ADDS = (Tensor.add_, Tensor.__iadd__)
"""Those that change their first argument."""


class ConvolutionCall(NamedTuple):
    """The arguments of a two-dimensional convolution, as `torch.conv2d` names them."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | str = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1


class NormCall(NamedTuple):
    """The arguments of a batch normalization, as `torch.nn.functional.batch_norm` names them."""

    input: Tensor
    running_mean: Tensor | None
    running_var: Tensor | None
    weight: Tensor | None = None
    bias: Tensor | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5


class PadCall(NamedTuple):
    """The arguments of padding, as `torch.nn.functional.pad` names them."""

    input: Tensor
    pad: tuple[int, ...]
    mode: str = "constant"
    value: float | None = None

    @property
    def is_zeros(self) -> bool:
        """Say whether it puts zeros around maps, and takes nothing off."""
        return self.mode == "constant" and not self.value and len(self.pad) == 4 and min(self.pad) >= 0


class SumCall(NamedTuple):
    """Two maps of one shape that are added."""

    first: Tensor
    second: Tensor
    in_place: bool

    @classmethod
    def of(cls, function: Function, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> SumCall | None:
        """Return the maps that a call adds; None for calls of other functions, and for other sums."""
        if function not in ADDS or keywords or len(arguments) != 2:
            return None
        first, second = arguments
        is_of_maps = isinstance(first, Tensor) and isinstance(second, Tensor) and first is not second
        return (
            cls(first, second, function in IN_PLACE_ADDS)
            if is_of_maps and first.ndim == 4 and first.shape == second.shape
            else None
        )


class LinearCall(NamedTuple):
    """The arguments of a linear map, as `torch.nn.functional.linear` names them."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None = None


class MixCall(NamedTuple):
    """The arguments of attention, as `torch.nn.functional.scaled_dot_product_attention` names them."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False


@dataclass(frozen=True, slots=True)
class Activation:
    """A pointwise nonlinearity with its numbers: two that are equal compute the same."""

    name: str
    """The name that oneDNN's fused convolutions know it by."""
    numbers: tuple[float, ...] = ()
    variant: str = ""

    @property
    def has_gradient_of_output(self) -> bool:
        """Say whether its derivative follows from its output alone, so that its input need not be kept."""
        return self.name in ("relu", "hardtanh")

    @property
    def keeps_nan(self) -> bool:
        """Say whether oneDNN's version returns NaN for NaN, as torch's does; its bounds turn NaN into a bound."""
        return self.name not in ("relu", "hardtanh")

    def is_exact(self, dtype: torch.dtype) -> bool:
        """Say whether a number format has its numbers: bounds may be taken before or after rounding then."""
        return torch.tensor(self.numbers, dtype=dtype).tolist() == list(self.numbers)


RELU = Activation("relu")


def _relu(_input: Tensor, inplace: bool = False) -> Activation:
    return RELU


def _relu6(_input: Tensor, inplace: bool = False) -> Activation:
    return Activation("hardtanh", (0.0, 6.0))


def _hardtanh(_input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Activation:
    return Activation("hardtanh", (float(min_val), float(max_val)))


def _silu(_input: Tensor, inplace: bool = False) -> Activation:
    return Activation("swish")


def _hardswish(_input: Tensor, inplace: bool = False) -> Activation:
    return Activation("hardswish")


def _gelu(_input: Tensor, approximate: str = "none") -> Activation:
    return Activation("gelu", variant=approximate)


ACTIVATIONS: dict[Function, Callable[..., Activation]] = {
    F.relu: _relu,
    torch.relu: _relu,
    torch.relu_: _relu,
    Tensor.relu: _relu,
    Tensor.relu_: _relu,
    F.relu6: _relu6,
    F.hardtanh: _hardtanh,
    F.silu: _silu,
    F.hardswish: _hardswish,
    F.gelu: _gelu,
}


def activation_of(function: Function, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Activation | None:
    """Return the activation that a call computes; None for other functions, and for arguments we don't know."""
    describe = ACTIVATIONS.get(function)
    if describe is None or "out" in keywords:
        return None
    given = {name: value for name, value in keywords.items() if name != "input"}
    return describe(*arguments, **given) if arguments else describe(keywords["input"], **given)


def is_in_place(function: Function, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Say whether a call of `torch.nn.functional.silu` changes its input; calls of other functions: no."""
    return function is F.silu and bool(keywords.get("inplace", arguments[1] if len(arguments) > 1 else False))


def input_of(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Return the first argument of a call, which these functions name `input`."""
    return arguments[0] if arguments else keywords.get("input")


def is_convolution(function: Function) -> bool:
    """Say whether a function is torch's two-dimensional convolution."""
    return function is torch.conv2d


def is_norm(function: Function) -> bool:
    """Say whether a function is torch's batch normalization."""
    return function is F.batch_norm


def is_pad(function: Function) -> bool:
    """Say whether a function is torch's padding."""
    return function is F.pad


def is_linear(function: Function) -> bool:
    """Say whether a function is torch's linear map."""
    return function is F.linear


def flat(arguments: Any, keywords: Any) -> Iterable[Any]:
    """Yield the arguments of a call, and the members of lists among them."""
    for value in (*arguments, *keywords.values()):
        if isinstance(value, tuple | list):
            yield from value
        else:
            yield value
