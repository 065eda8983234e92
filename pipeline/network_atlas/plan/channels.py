"""Choose channels of a layer, as `sweep.select.N.channels` describes them.

'all'            every channel
'sample:12'      12 channels, chosen by hash: always the same ones; 'sample:20' adds 8 to them
'start:stop'     from start up to, not including, stop; both may be left out: '0:8', ':8', '8:'
[0, 5, 7]        these channels
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from network_atlas.errors import ConfigError, SelectionError
from network_atlas.layers import LayerSpec

ALLOWED = "allowed are 'all', 'sample:12', 'start:stop' (half-open, such as '0:8') or a list of numbers"
SAMPLE = re.compile(r"sample:\s*0*([1-9][0-9]*)")
RANGE = re.compile(r"\s*([0-9]*)\s*:\s*([0-9]*)\s*")


def check_channels(channels: str | tuple[int, ...]) -> None:
    """Raise ConfigError unless `channels` has one of the allowed forms. Does not ask whether a layer has them."""
    if isinstance(channels, str):
        if channels != "all" and not SAMPLE.fullmatch(channels) and not RANGE.fullmatch(channels):
            raise ConfigError(f"channels={channels!r} is not understood; {ALLOWED}")
    elif not channels:
        raise ConfigError(f"channels is an empty list; {ALLOWED}")
    elif min(channels) < 0:
        raise ConfigError(f"channels has {min(channels)}, but channels count from 0; {ALLOWED}")


def choose_channels(channels: str | tuple[int, ...], layer: LayerSpec, *, seed: int) -> tuple[int, ...]:
    """Return the chosen channels of the layer, ascending, without repeats.

    Raises SelectionError if the layer does not have them. Only samples use `seed`.
    """
    check_channels(channels)
    if not isinstance(channels, str):
        return _listed(channels, layer)
    if channels == "all":
        return tuple(range(layer.channels))
    sample = SAMPLE.fullmatch(channels)
    return _sampled(int(sample[1]), layer, seed, range(layer.channels)) if sample else _ranged(channels, layer)


def choose_among(
    channels: str | tuple[int, ...], layer: LayerSpec, selected: tuple[int, ...], *, seed: int
) -> tuple[int, ...]:
    """Return those of a layer's `selected` channels that `channels` names, ascending; a sample is taken of these."""
    if channels == "all":
        return selected
    sample = SAMPLE.fullmatch(channels) if isinstance(channels, str) else None
    if sample:
        return _sampled(int(sample[1]), layer, seed, selected)
    chosen = set(channels) if not isinstance(channels, str) else set(_numbers(channels, layer))
    return tuple(channel for channel in selected if channel in chosen)


def _listed(channels: tuple[int, ...], layer: LayerSpec) -> tuple[int, ...]:
    outside = sorted({channel for channel in channels if channel >= layer.channels})
    if outside:
        raise SelectionError(f"channels {outside} do not exist: {_has(layer)}")
    return tuple(sorted(set(channels)))


def _sampled(count: int, layer: LayerSpec, seed: int, channels: Sequence[int]) -> tuple[int, ...]:
    # A hash for each channel, not a random generator: so a larger sample contains the smaller one.
    def rank(channel: int) -> bytes:
        return hashlib.sha256(f"{seed}\n{layer.name}\n{channel}".encode()).digest()

    return tuple(sorted(sorted(channels, key=rank)[:count]))


def _ranged(text: str, layer: LayerSpec) -> tuple[int, ...]:
    numbers = _numbers(text, layer)
    start, stop = numbers.start, numbers.stop
    if stop > layer.channels or start >= layer.channels:
        raise SelectionError(f"channels '{text}' go past the last channel: {_has(layer)}")
    if start >= stop:
        raise SelectionError(f"channels '{text}' name no channel: a range ends before its stop; give one above {start}")
    return tuple(numbers)


def _numbers(text: str, layer: LayerSpec) -> range:
    match = RANGE.fullmatch(text)
    assert match is not None
    return range(int(match[1] or 0), int(match[2] or layer.channels))


def _has(layer: LayerSpec) -> str:
    return f"layer '{layer.name}' has {layer.channels} channels, 0..{layer.channels - 1}"
