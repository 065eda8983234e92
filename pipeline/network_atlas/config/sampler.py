"""The settings of samplers: whether a picture climbs its objective, or is a sample of a chain (`optimize.chain`)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field

from network_atlas.config.declare import NOTHING, OPTIMIZE, AboveZero, NotNegative, Positive, setting, settings


@settings
class NoSampler:
    """Each step goes uphill by the rule of ascent; the picture is the one after the last step."""

    name: Literal["none"] = setting(NOTHING)


@settings
class ChainConfig:
    """Pictures are samples of a Langevin chain (after PPGN; Nguyen et al. 2017, equation 5).

    A step adds three things: the prior's gradient, the objective's, and noise. The weight of the first over that of the
    second is `optimize.prior.strength`. `optimize.steps` is the number of steps from one start to the next.
    """

    name: Literal["chain"] = setting(OPTIMIZE)
    step: AboveZero = setting(OPTIMIZE)
    """Size of what the gradients add to a parameter in one step: root mean square over a picture's parameters."""
    noise: NotNegative = setting(OPTIMIZE)
    """Standard deviation of what noise adds to a parameter in one step."""
    restarts: Positive = setting(OPTIMIZE)
    """Starts of the chain, each from new noise."""
    strength_range: tuple[AboveZero, AboveZero] = setting(OPTIMIZE)
    """`optimize.prior.strength` is multiplied by a factor that each start draws from this range, evenly in its
    logarithm."""
    burn_in: Annotated[float, Field(ge=0, lt=1)] = setting(OPTIMIZE)
    """Share of the steps after a start of which no sample is taken."""
    sample_every: Positive = setting(OPTIMIZE)
    """Steps from one sample to the next."""
    percentile: Annotated[float, Field(ge=0, le=100)] = setting(OPTIMIZE)
    """Samples are kept if they excite the unit more than this percentage of the dataset's images; 0 keeps all."""

    def __post_init__(self) -> None:
        low, high = self.strength_range
        if low > high:
            raise ValueError(f"strength_range={[low, high]} falls; give the smaller number first")

    @property
    def temperature(self) -> float:
        """Return the temperature that follows from step and noise, as `optimize.chain` defines it."""
        return self.noise**2 / (2 * self.step)

    def burned_in(self, steps: int) -> int:
        """Return the steps after a start of which no sample is taken, of `steps` from one start to the next."""
        return min(steps - 1, int(self.burn_in * steps))

    def samples(self, steps: int) -> int:
        """Return how many samples all starts give together."""
        return self.restarts * math.ceil((steps - self.burned_in(steps)) / self.sample_every)


Sampler = Annotated[NoSampler | ChainConfig, Field(discriminator="name")]
