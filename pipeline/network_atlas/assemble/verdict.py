"""How far a picture can be trusted: one word, and the reasons for it. Pure.

A picture is *trusted* while no measurement speaks against it. Each limit of `VerdictConfig` has two values: beyond the
first a picture is *doubtful*, beyond the second *not to be trusted*. One measurement is enough, as each catches
something else:

    percentile          real images excite the unit more: the ascent did not arrive
    path_percentile     the picture is less like the unit's best images than images by chance, in the layers before.
                        Networks made to fool give such pictures: another path leads to the unit for pictures than for
                        images (Geirhos et al. 2024, "Don't trust your eyes"; Bareeva et al. 2024, "Manipulating feature
                        visualizations with gradient slingshots")
    standardized_rank   the picture excites most channels of the layer as much, as in a network that learned nothing
    rank of a class     the network sees other classes in the picture of this one
    agreement           pictures from other seeds excite other channels
    robustness_loss     the score hangs on single pixels
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from network_atlas.config.verdict import DISTRUSTED, DOUBTFUL, TRUSTED, WORDS, Limit, VerdictConfig
from network_atlas.plan.pictures import Picture
from network_atlas.stats.merge import LayerScan
from network_atlas.units import Channel, ClassLogit

SPOILT = {
    "dead": "nothing excites the unit",
    "diverged": "its numbers did not stay finite",
    "grey": "it is of one colour",
    "saturated": "most of its values are at an end of the range",
}
"""Statuses of a picture that failed, and what each says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How far a picture can be trusted."""

    word: str
    reasons: tuple[str, ...]
    """Why it is not 'trusted', the weightiest first."""


Reason = tuple[str, str]
"""A word of `WORDS` and the sentence for it."""


def verdict(picture: Picture, shown: Mapping[str, Any], *, channels: int, limits: VerdictConfig) -> Verdict:
    """Return the verdict on a picture from its columns (`shown`), in a layer of so many channels."""
    reasons = sorted(_reasons(picture, shown, channels, limits), key=lambda reason: -WORDS.index(reason[0]))
    return Verdict(word=reasons[0][0] if reasons else TRUSTED, reasons=tuple(text for _, text in reasons))


def worst(words: list[str]) -> str | None:
    """Return the worst of some verdicts; None without any."""
    return max(words, key=WORDS.index, default=None)


def _reasons(picture: Picture, shown: Mapping[str, Any], channels: int, limits: VerdictConfig) -> Iterator[Reason]:
    if shown["picture_status"] in SPOILT:
        yield DISTRUSTED, SPOILT[shown["picture_status"]]
    yield from _of_images(picture, shown, limits)
    yield from _of_channels(picture, shown, channels, limits)
    yield from _of_repeats(shown, limits)


def _of_images(picture: Picture, shown: Mapping[str, Any], limits: VerdictConfig) -> Iterator[Reason]:
    """Yield what the comparison with images of the dataset says."""
    percentile, path = shown["percentile"], shown["path_percentile"]
    if percentile is None:
        yield DOUBTFUL, "there are no images to compare its score with, or its value is the same on all"
    elif word := _below(percentile, limits.percentile_below):
        yield word, f"{100 - percentile:.3g} % of the images excite the unit {_further(picture)}"
    if path is not None and (word := _below(path, limits.path_percentile_below)):
        more = f"{100 - path:.3g} % of images chosen by chance are more like the unit's best images"
        yield word, f"it excites the unit in another way than images do: in the layers before, {more}"


def _of_channels(picture: Picture, shown: Mapping[str, Any], channels: int, limits: VerdictConfig) -> Iterator[Reason]:
    """Yield what the comparison with other channels of the layer says."""
    rank, standardized = shown["rank"], shown["standardized_rank"]
    of_class = picture.objective in ("logit", "probability") and picture.sign > 0
    if of_class and rank is not None and (word := _above(rank, limits.class_rank_above)):
        yield word, f"the network gives {rank - 1:,} other {'class' if rank == 2 else 'classes'} a higher value"
    # One channel is let pass: most have a near neighbour.
    if standardized is not None and (word := _above(100 * (standardized - 2) / channels, limits.channels_above)):
        others = f"{standardized - 1:,} other channels of {channels:,}"
        yield word, f"{others} are excited {_further(picture)}, for what each is used to"


def _of_repeats(shown: Mapping[str, Any], limits: VerdictConfig) -> Iterator[Reason]:
    """Yield what other pictures of the unit, and the same picture moved, say."""
    agreement, loss = shown["agreement"], shown["robustness_loss"]
    if agreement is not None and (word := _below(agreement, limits.agreement_below)):
        yield word, f"pictures from other seeds excite other channels (agreement {agreement:.2f})"
    if loss is not None and (word := _above(loss, limits.robustness_loss_above)):
        yield word, f"it loses {100 * loss:.0f} % of its score when it is moved a little"


def _further(picture: Picture) -> str:
    """Return where a picture should be ahead: a minimized one is to excite its unit least."""
    return "more" if picture.sign > 0 else "less"


def _below(value: float, limit: Limit) -> str | None:
    return DISTRUSTED if value < limit[1] else DOUBTFUL if value < limit[0] else None


def _above(value: float, limit: Limit) -> str | None:
    return DISTRUSTED if value > limit[1] else DOUBTFUL if value > limit[0] else None


def standardized_rank(picture: Picture, activations: list[float] | None, scan: LayerScan | None) -> int | None:
    """Return the rank of the unit's channel among all of its layer on its own picture, from 1, in standard deviations.

    `activations`, (channels,), are the channels' spatial means on the picture. Each is counted from the channel's mean
    over the dataset, in its standard deviations: so channels that are large for every image count for no more than
    others. Minimized pictures are ranked from below. None for units of no single channel or of one position, and for
    channels that are constant.
    """
    is_ranked = picture.circuit is not None or isinstance(picture.unit, Channel | ClassLogit)
    channel = picture.channel if is_ranked else None
    if channel is None or activations is None or scan is None:
        return None
    moments = scan.whole.spatial_mean
    with np.errstate(divide="ignore", invalid="ignore"):
        deviations = picture.sign * (np.array(activations) - moments.mean) / np.sqrt(moments.variance)
    if not np.isfinite(deviations[channel]):
        return None
    return 1 + int(np.count_nonzero(deviations[np.isfinite(deviations)] > deviations[channel]))
