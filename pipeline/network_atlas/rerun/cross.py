"""Cross-activation: does the old picture still excite the new channel, and the new one the old channel?

The only part of a diff that runs networks; without it nothing loads torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from network_atlas.config.recorded import recorded_model
from network_atlas.errors import ModelError
from network_atlas.layers import LayerSpec
from network_atlas.rerun.sides import Side
from network_atlas.stats.sample import are_comparable, percentile_of

if TYPE_CHECKING:
    from network_atlas.calibrate.cross import ChannelPicture, Network

READ_AT_ONCE = 64
"""Pictures in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of both sides."""

    old: Network
    new: Network


def open_networks(old: Side, new: Side) -> Networks:
    """Load both networks, as their snapshots recorded them.

    Raises ModelError if the weights are no longer those of the snapshot.
    """
    return Networks(old=_network(old), new=_network(new))


def _network(side: Side) -> Network:
    from network_atlas.calibrate.cross import Network

    config = side.manifest.provenance.get("config")
    model = recorded_model(config if isinstance(config, dict) else {})
    network = Network(model)
    changed = [name for name, text in side.manifest.upstream.items() if network.upstream.get(name) != text]
    if changed:
        raise ModelError(
            f"model.weights={model.weights!r} is not what snapshot {side.number} of {side.root!r} was made from: layer "
            f"{changed[0]!r} has another hash. Put that checkpoint back, or compare without --cross."
        )
    return network


def cross_percentiles(pictures: Side, seen_by: Side, network: Network, layer: str, variant: str) -> dict[int, float]:
    """Return by channel the percentile of one side's pictures among the other side's sampled images.

    Both by the spatial mean of the other side's channel of the same number; for minimized pictures, the share of images
    with a higher value. Channels that are constant on the sample are left out.
    """
    sample = seen_by.sample(seen_by.layers[layer])
    if sample is None:
        return {}
    percentiles = {}
    channels = seen_by.layers[layer].channels
    for channel, score in _scores(pictures.pictures(pictures.layers[layer], variant), network, layer, channels):
        values = sample.spatial_mean[:, channel]
        percentile = percentile_of(score, values) if are_comparable(values) else None
        if percentile is not None:
            percentiles[channel] = 100.0 - percentile if variant.startswith("channel-") else percentile
    return percentiles


def _scores(
    pictures: Iterable[ChannelPicture], network: Network, layer: str, channels: int
) -> Iterable[tuple[int, float]]:
    there = (picture for picture in pictures if picture[0] < channels)
    while part := list(islice(there, READ_AT_ONCE)):
        yield from network.scores(layer, part).items()


def cross_columns(
    old: Side, new: Side, networks: Networks, layer: LayerSpec, variant: str
) -> dict[str, dict[int, float]]:
    """Return both columns of cross-activation of a layer, by channel."""
    return {
        "old_picture_in_new": cross_percentiles(old, new, networks.new, layer.name, variant),
        "new_picture_in_old": cross_percentiles(new, old, networks.old, layer.name, variant),
    }
