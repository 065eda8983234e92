"""What the missing part of a plan will cost: work, seconds by number of workers, bytes, money. Pure.

Seconds are those of one worker like the one that was measured (`Speeds`). A stage's tasks are shared out among
workers, so it takes at least as long as its longest task, and no more workers help than it has tasks; stages follow
each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from network_atlas.config.schema import InlineConfig, RunConfig
from network_atlas.layers import ModelFacts
from network_atlas.plan.calibration import calibrate_tasks
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.stages import STAGES
from network_atlas.plan.tasks import OptimizeTask, StageTask

PNG_SHARE = 0.85
"""Optimized pictures compress this little as PNG."""
COPIES = 3
"""A picture is kept in its shard, in the atlas table and in the site."""
CROP_BYTES_PER_PIXEL = 0.35
"""A crop as JPEG, quality 90."""
WORKERS = (1, 8, 64)
"""Numbers of workers that a plan gives times for, beside the run's own."""
SECONDS_AN_HOUR = 3600

EARLIER, TIMED = "earlier tasks in this root", "a short calibration on this machine"


def workers_of(config: RunConfig) -> tuple[int, ...]:
    """Return the numbers of workers to give times for; the run's own is one of them where it is known."""
    executor = config.executor
    own = 1 if isinstance(executor, InlineConfig) else executor.workers  # 0: as many as the cluster has
    return tuple(sorted({*WORKERS, own} - {0}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Seconds that one worker takes, and for each stage where they come from."""

    step: float
    """A step of one picture through the whole network; less in a layer that comes before its end."""
    image: float
    """Reading one image and passing it through the whole network."""
    measure: float
    """Measuring one finished picture in the last layer."""
    row: float
    """Joining one channel's row: its examples are read and cut."""
    pictures: Mapping[str, float]
    """One picture, by layer, where earlier tasks tell."""
    sources: Mapping[str, str]
    slowdown: float = 1.0
    """How many times as long timed work took when other work slowed the machine down most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What is missing of one stage. `seconds` are of one worker, `longest` of its longest task."""

    name: str
    unit: str
    total: int
    reused: int
    tasks: int
    seconds: float
    longest: float
    source: str
    slowdown: float = 1.0
    """How many times as long it may take."""

    def seconds_with(self, workers: int) -> float:
        """Return the seconds that this many workers take."""
        return max(self.longest, self.seconds / max(1, min(workers, self.tasks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Cost of what is missing."""

    stages: tuple[StageCost, ...]
    forward_passes: float
    """Work in passes of one image through the whole network; a step counts as three."""
    bytes_written: int

    def seconds(self, workers: int) -> float:
        """Return the seconds that a run with this many workers takes, without starting up."""
        return sum(stage.seconds_with(workers) for stage in self.stages)

    def seconds_at_most(self, workers: int) -> float:
        """Return the seconds that it takes where other work slows each worker down as it did while it was timed."""
        return sum(stage.seconds_with(workers) * stage.slowdown for stage in self.stages)

    def price(self, workers: int, per_hour: float) -> float:
        """Return what this many workers cost, from the first task to the last, idle ones included."""
        return workers * per_hour * self.seconds(workers) / SECONDS_AN_HOUR


def estimate(
    config: RunConfig,
    facts: ModelFacts,
    plan: Plan,
    *,
    done: Collection[str],
    measured: Collection[str],
    speeds: Speeds,
) -> Estimate:
    """Return what the missing results cost; `done` are keys of the scan and of pictures, `measured` of calibrations.

    Pictures stop when their score has flattened, so what comes from a timed step is an upper bound.
    """
    scans, blocks = plan.scan_tasks(done), plan.optimize_tasks(done)
    calibrations = calibrate_tasks(plan, made=plan.own_pictures, done=measured)
    rows = [] if config.sweep.share else [len(layer.channels) for layer in plan.layers]
    # Which tables change is known only when the pictures are there: all do, or none does.
    tables = [(1, count * speeds.row) for count in rows] if scans or blocks or calibrations else []
    seconds = {
        "scan": [(1, task.passes(config, facts) * speeds.image) for task in scans],
        "optimize": [(task.items, task.items * _picture_seconds(task, config, facts, speeds)) for task in blocks],
        "calibrate": [
            (task.items, task.items * speeds.measure * facts.share[task.layer.name]) for task in calibrations
        ],
        "assemble": tables,
    }
    pictures = len(plan.own_pictures)
    totals = {"scan": len(plan.own_spans), "optimize": pictures, "calibrate": pictures, "assemble": len(rows)}
    work: list[StageTask] = [*scans, *blocks, *calibrations]
    missing = {key for task in blocks for key in task.keys}
    return Estimate(
        stages=tuple(_stage(name, speeds, total=totals[name], tasks=tasks) for name, tasks in seconds.items()),
        forward_passes=sum(task.passes(config, facts) for task in work),
        bytes_written=bytes_of(config, plan, len(missing), len(scans)),
    )


def _stage(name: str, speeds: Speeds, *, total: int, tasks: Sequence[tuple[int, float]]) -> StageCost:
    """Return the cost of a stage; `tasks` are pairs of (items, seconds)."""
    return StageCost(
        name=name,
        unit=STAGES[name].items,
        total=total,
        reused=max(0, total - sum(items for items, _ in tasks)),
        tasks=len(tasks),
        seconds=sum(seconds for _, seconds in tasks),
        longest=max((seconds for _, seconds in tasks), default=0.0),
        source=speeds.sources[name],
        slowdown=speeds.slowdown if speeds.sources[name] == TIMED else 1.0,
    )


def _picture_seconds(task: OptimizeTask, config: RunConfig, facts: ModelFacts, speeds: Speeds) -> float:
    known = speeds.pictures.get(task.layer.name)
    return task.passes_of_picture(config, facts) * speeds.step if known is None else known


def steps_of(pictures: Collection[Picture], config: RunConfig) -> int:
    """Return the steps that pictures take at most, one for each view."""
    recipes = [config.recipe(picture.recipe) for picture in pictures]
    return sum(recipe.steps * recipe.transform.views for recipe in recipes)


def bytes_of(config: RunConfig, plan: Plan, pictures: int, spans: int) -> int:
    """Return how many bytes the missing pictures, and the scan of the missing spans, add to the root."""
    picture = config.optimize.height_px * config.optimize.width_px * config.model.input.channels * PNG_SHARE
    if not pictures and not spans:
        return 0
    channels = sum(len(layer.channels) for layer in plan.layers)
    crops = channels * (config.scan.top_k + config.scan.bottom_k) * config.assemble.crop_px**2 * CROP_BYTES_PER_PIXEL
    scanned = sum(layer.layer.channels for layer in plan.layers) * spans
    partials = scanned * ((config.scan.top_k + config.scan.bottom_k) * 24 + 100)
    partials += sum(layer.layer.channels for layer in plan.layers) * config.scan.sample * 8
    return int(COPIES * pictures * picture + 2 * crops + partials)
