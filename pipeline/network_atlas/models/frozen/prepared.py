"""A model's calls with fixed weights, made ready for frozen passes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from network_atlas.models.frozen.convolutions import Kernels, can_be_uneven
from network_atlas.models.frozen.followers import Recording
from network_atlas.models.frozen.geometry import Geometry, geometry_of
from network_atlas.models.frozen.linears import Weights
from network_atlas.models.frozen.norms import Factors, Norm


@dataclass(slots=True)
class Frozen:
    """A model's calls with fixed weights, made ready. Keys are `id`s of tensors that `recording` keeps."""

    recording: Recording
    has_attention: bool = False
    """Whether a pass without gradients is faster by the model's own code."""
    formats_of_sums: frozenset[torch.dtype] = frozenset()
    """The number formats in which convolutions wait for the sums behind them."""
    geometries: dict[int, Geometry] = field(default_factory=dict)
    factors: dict[int, Factors] = field(default_factory=dict)
    paddings: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By their keys, the zeros of those that the convolution behind them can add itself."""
    _kernels: dict[tuple[int, int | None, tuple[int, ...] | None], Kernels] = field(default_factory=dict)
    _norms: dict[int, Norm] = field(default_factory=dict)
    _weights: dict[tuple[int, int, torch.dtype], Weights] = field(default_factory=dict)

    @classmethod
    def of(cls, recording: Recording) -> Frozen:
        """Return the calls of a recorded pass that can be frozen, made ready."""
        frozen = cls(recording)
        for key, call in recording.convolutions.items():
            geometry = geometry_of(call) if call.weight.ndim == 4 and is_fixed(call.weight, call.bias) else None
            if geometry is not None:
                frozen.geometries[key] = geometry
        for pad_key, (key, pad) in recording.padded.items():
            whole = frozen.geometries[key].padded(pad) if key in frozen.geometries else None
            if whole is not None and can_be_uneven(recording.convolutions[key].weight, whole):
                frozen.paddings[pad_key] = pad
        for key, norm in recording.norms.items():
            factors = Factors.of(norm) if is_fixed(norm.weight, norm.bias, norm.running_mean) else None
            if factors is not None:
                frozen.factors[key] = factors
        return frozen

    def kernels(self, key: int, norm: int | None, pad: tuple[int, ...] | None = None) -> Kernels:
        """Return the weights of a convolution, with the normalization of key `norm` and the padding folded in."""
        if (key, norm, pad) not in self._kernels:
            call = self.recording.convolutions[key]
            weight, bias = call.weight.detach(), call.bias
            if norm is not None:
                weight, bias = self.factors[norm].folded(weight, bias)
            geometry = self.geometries[key] if pad is None else self.geometries[key].padded(pad)
            assert geometry is not None
            self._kernels[key, norm, pad] = Kernels(weight, bias, geometry)
        return self._kernels[key, norm, pad]

    def norm(self, key: int) -> Norm:
        """Return a normalization by fixed numbers."""
        if key not in self._norms:
            self._norms[key] = Norm(self.recording.norms[key], self.factors[key])
        return self._norms[key]

    def weights(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Weights:
        """Return the weights of a linear map, (outputs, inputs), and its bias in a number format."""
        key = id(weight), id(bias), dtype
        if key not in self._weights:
            self._weights[key] = Weights(weight, bias, dtype)
        return self._weights[key]

    def ends_at(self, outputs: Iterable[nn.Module], inputs: Iterable[nn.Module]) -> frozenset[int]:
        """Return the keys of the calls whose own output must be seen: by modules' outputs, or by modules' inputs."""
        seen = [self.recording.outputs.get(id(module), frozenset()) for module in outputs]
        seen += [self.recording.inputs.get(id(module), frozenset()) for module in inputs]
        return frozenset().union(*seen)


def is_fixed(*tensors: Tensor | None) -> bool:
    """Say whether no weight among some tensors, which may be None, asks for a gradient."""
    return all(tensor is None or (not tensor.requires_grad and tensor.is_floating_point()) for tensor in tensors)
