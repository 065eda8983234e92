"""The keys of a layer's scan, one for each span of the dataset. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec, ModelFacts


class Scans:
    """The scans of all layers. Each layer's keys are computed once: thousands of pictures ask for them."""

    def __init__(self, facts: ModelFacts, spans: Sequence[str]) -> None:
        """`spans` has, for each span, a hash of everything that determines its scan except the layer."""
        self._facts, self._spans = facts, spans
        self._layers: dict[str, _LayerScan] = {}

    def keys(self, layer: LayerSpec) -> tuple[str, ...]:
        """Return one key per span, in the order of the spans."""
        return self._of(layer).keys

    def whole(self, layer: LayerSpec) -> str:
        """Return a hash of all keys of the layer's scan."""
        return self._of(layer).whole

    def _of(self, layer: LayerSpec) -> _LayerScan:
        # By name, not by value: the same layer arrives with and without its measured receptive field.
        if layer.name not in self._layers:
            identity = (self._facts.upstream[layer.name], layer.name, layer.index)
            keys = tuple(fingerprint(identity, span) for span in self._spans)
            self._layers[layer.name] = _LayerScan(keys)
        return self._layers[layer.name]


class _LayerScan:
    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys

    @cached_property
    def whole(self) -> str:
        return fingerprint("whole scan", self.keys)
