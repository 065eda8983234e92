"""Which channels of a layer a select takes.

'all'            every channel
'sample:12'      12 of them, chosen by hash: the same ones every time, and the first 12 of 'sample:20'
'start:stop'     half-open, either end may be left out: '0:8', ':8', '8:'
[0, 5, 7]        these
"""

from __future__ import annotations

import hashlib
import re

from network_atlas.errors import ConfigError, SelectionError
from network_atlas.layers import LayerSpec

ALLOWED = "allowed are 'all', 'sample:12', 'start:stop' (half-open, such as '0:8') or a list of numbers"
SAMPLE = re.compile(r"sample:\s*0*([1-9][0-9]*)")
RANGE = re.compile(r"\s*([0-9]*)\s*:\s*([0-9]*)\s*")


def check_channels(channels: str | tuple[int, ...]) -> None:
    """Raise ConfigError unless `channels` is one of the allowed forms, whatever the layer."""
    if isinstance(channels, str):
        if channels != "all" and not SAMPLE.fullmatch(channels) and not RANGE.fullmatch(channels):
            raise ConfigError(f"channels={channels!r} is not understood; {ALLOWED}")
    elif not channels:
        raise ConfigError(f"channels is an empty list; {ALLOWED}")
    elif min(channels) < 0:
        raise ConfigError(f"channels has {min(channels)}, but channels count from 0; {ALLOWED}")


def choose_channels(channels: str | tuple[int, ...], layer: LayerSpec, *, seed: int) -> tuple[int, ...]:
    """Return the chosen channels of the layer, ascending, each once.

    Raises SelectionError where the layer does not have them. `seed` matters to samples only.
    """
    check_channels(channels)
    if not isinstance(channels, str):
        return _listed(channels, layer)
    if channels == "all":
        return tuple(range(layer.channels))
    sample = SAMPLE.fullmatch(channels)
    return _sampled(int(sample[1]), layer, seed) if sample else _ranged(channels, layer)


def _listed(channels: tuple[int, ...], layer: LayerSpec) -> tuple[int, ...]:
    outside = sorted({channel for channel in channels if channel >= layer.channels})
    if outside:
        raise SelectionError(f"channels {outside} are not there: {_has(layer)}")
    return tuple(sorted(set(channels)))


def _sampled(count: int, layer: LayerSpec, seed: int) -> tuple[int, ...]:
    def rank(channel: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{layer.name}\n{channel}".encode()).digest()

    return tuple(sorted(sorted(range(layer.channels), key=rank)[:count]))


def _ranged(text: str, layer: LayerSpec) -> tuple[int, ...]:
    found = RANGE.fullmatch(text)
    assert found is not None
    start, stop = int(found[1] or 0), int(found[2] or layer.channels)
    if stop > layer.channels or start >= layer.channels:
        raise SelectionError(f"channels '{text}' go past the end: {_has(layer)}")
    if start >= stop:
        raise SelectionError(f"channels '{text}' name none: the stop is left out of the range, give one above {start}")
    return tuple(range(start, stop))


def _has(layer: LayerSpec) -> str:
    return f"layer '{layer.name}' has {layer.channels} channels, 0..{layer.channels - 1}"
