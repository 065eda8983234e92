"""The limits of the verdict on a picture, as a frozen value; `conf/assemble/` explains them to users."""

from __future__ import annotations

from network_atlas.config.declare import ASSEMBLE, setting, settings

TRUSTED, DOUBTFUL, DISTRUSTED = "trusted", "doubtful", "not to be trusted"
WORDS = (TRUSTED, DOUBTFUL, DISTRUSTED)
"""The verdicts, the best first."""
Limit = tuple[float, float]
"""Beyond the first value a picture is doubtful, beyond the second not to be trusted."""


@settings
class VerdictConfig:
    """When a picture is doubtful, and when not to be trusted. Other limits join the tables anew and make no picture."""

    percentile_below: Limit = setting(ASSEMBLE, may_change=True)
    """Of images that excite the unit less than the picture does, in percent."""
    path_percentile_below: Limit = setting(ASSEMBLE, may_change=True)
    """Of images that are less like the unit's best images than the picture is, in the layers before, in percent."""
    channels_above: Limit = setting(ASSEMBLE, may_change=True)
    """Of the layer's channels that the picture excites more than its own, in standard deviations, in percent."""
    class_rank_above: Limit = setting(ASSEMBLE, may_change=True)
    """Of a class on its own picture, among all classes."""
    agreement_below: Limit = setting(ASSEMBLE, may_change=True)
    """Of pictures from several seeds."""
    robustness_loss_above: Limit = setting(ASSEMBLE, may_change=True)
    """Share of the score that is lost when the picture is moved."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            doubtful, distrusted = getattr(self, name)
            if (doubtful < distrusted) if name.endswith("below") else (doubtful > distrusted):
                raise ValueError(
                    f"{name}=[{doubtful}, {distrusted}] calls no picture doubtful; the first value is the milder one: "
                    f"give [{distrusted}, {doubtful}]"
                )
