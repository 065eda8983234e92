"""Estimate the cost of the missing part of a plan: work, seconds by number of workers, bytes, money. Pure.

Seconds are those of one worker like the one that was measured (`Speeds`). The tasks of a stage are divided among the
workers. So a stage takes at least as long as its longest task, and more workers than tasks do not help. Stages run
one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from network_atlas.config.executor import InlineConfig
from network_atlas.config.schema import RunConfig
from network_atlas.layers import ModelFacts
from network_atlas.plan.attributions import attribute_tasks
from network_atlas.plan.calibration import calibrate_tasks
from network_atlas.plan.contents import LayerPlan
from network_atlas.plan.depth import passes_of
from network_atlas.plan.directions import direction_tasks, with_expected_directions
from network_atlas.plan.estimate_bytes import bytes_of
from network_atlas.plan.layouts import layout_tasks, vectors_of, with_expected_cells
from network_atlas.plan.learned import fitted_here, prior_tasks
from network_atlas.plan.plan import Plan
from network_atlas.plan.prices import RANGE, seconds_of_naturalness, seconds_of_picture
from network_atlas.plan.stages import STAGES
from network_atlas.plan.tasks import BACKWARD_FACTOR, CalibrateTask, DirectionsTask, LayoutTask, OptimizeTask, StageTask

WORKERS = (1, 8, 64)
"""Numbers of workers for which a plan gives times, besides the run's own number."""
SECONDS_AN_HOUR = 3600

EARLIER, TIMED = "earlier tasks in this root", "a short calibration on this machine"
TYPICAL = "a typical machine"
RARE = ("layout", "prior", "attribute")
"""Stages that few runs have: for maps, and for learned models."""
NAMING, CLARITY = 0.0019, 0.0008
"""Seconds to name a channel, and to say how alike its best images are, by a sample of a thousand images."""
LAYOUT_START, LAYOUT_OF_VECTOR = 18.0, 0.006
"""Seconds that UMAP takes to load and compile, and for each vector of a thousand channels."""


def workers_of(config: RunConfig) -> tuple[int, ...]:
    """Return the numbers of workers to give times for, the run's own among them if it is fixed."""
    executor = config.executor
    configured = 1 if isinstance(executor, InlineConfig) else executor.workers  # 0: as many as the cluster has
    return tuple(sorted({*WORKERS, configured} - {0}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Speeds:
    """Seconds that one worker needs for each kind of work, and the source of each figure."""

    step: float
    """One step of one picture through the whole network; a picture of an earlier layer takes a share of it."""
    image: float
    """Reading one image and passing it through the whole network."""
    measure: float
    """One pass of one image through the whole network while a finished picture is measured."""
    row: float
    """Making one channel's row: its examples are read and cropped."""
    pictures: Mapping[str, float]
    """One picture, by layer, for layers that earlier tasks have made pictures of."""
    sources: Mapping[str, str]
    attribute: float | None = None
    """One pass of one image through the whole network while channels are attributed, where a step counts as three; None
    for a third of `step`."""
    slowdown: float = 1.0
    """Slowest timed round over the fastest: other work on the machine slows a run down that much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """The missing work of one stage. `seconds` is the time of one worker, `longest` that of the longest task."""

    name: str
    unit: str
    total: int
    reused: int
    tasks: int
    seconds: float
    longest: float
    source: str
    slowdown: float = 1.0
    """The stage may take up to this many times as long."""

    def seconds_with(self, workers: int) -> float:
        """Return the seconds that this many workers take."""
        return max(self.longest, self.seconds / max(1, min(workers, self.tasks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The cost of everything that is missing."""

    stages: tuple[StageCost, ...]
    forward_passes: float
    """Work in passes of one image through the whole network; a step counts as three."""
    bytes_written: int
    naming_seconds: float = 0.0
    """Of those of the tables: names and clarity of all channels, whether or not they have pictures."""
    naturalness_seconds: float = 0.0
    """Of those of the measurements: how natural pictures look, by one worker."""

    def seconds(self, workers: int) -> float:
        """Return the seconds that a run with this many workers takes, start-up not included."""
        return sum(stage.seconds_with(workers) for stage in self.stages)

    def seconds_at_most(self, workers: int) -> float:
        """Return the seconds of a run on a machine that stays as busy as it was in the slowest timed round."""
        return sum(stage.seconds_with(workers) * stage.slowdown for stage in self.stages)

    def price(self, workers: int, per_hour: float) -> float:
        """Return the price of this many workers from the first task to the last, idle workers included."""
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
    """Return the cost of the missing results. `done` has the keys of scans and pictures, `measured` of calibrations.

    Pictures stop when their score has flattened, so a figure that comes from a timed step is an upper bound.
    """
    plan = with_expected_directions(with_expected_cells(plan, done, config), done, config)
    scans, blocks = plan.scan_tasks(done), plan.optimize_tasks(done)
    laid_out: list[LayoutTask | DirectionsTask] = [*layout_tasks(plan, done), *direction_tasks(plan, done)]
    calibrations = calibrate_tasks(plan, finished=plan.share_pictures, done=measured)
    attributed = [] if config.sweep.share else attribute_tasks(plan, done)
    rows = [] if config.sweep.share else [len(layer.channels) for layer in plan.layers]
    # Which tables change is only known once the pictures exist. So all tables count, or none.
    are_made = bool(scans or blocks or calibrations)
    naming = [_naming_seconds(layer, plan, config) for layer in plan.layers] if rows and are_made else []
    # Earlier tables were named too: their rows hold the time.
    further = [0.0] * len(naming) if speeds.sources.get("assemble") == EARLIER else naming
    tables = [(1, count * speeds.row + extra) for count, extra in zip(rows, further, strict=False)]
    attribute_pass = speeds.step / BACKWARD_FACTOR if speeds.attribute is None else speeds.attribute
    natural = _naturalness_seconds(calibrations, plan, config)
    # Earlier measurements included it: their seconds hold the time.
    measured_before = speeds.sources.get("calibrate") == EARLIER
    seconds = {
        "scan": [(1, task.passes(config, facts) * speeds.image) for task in scans],
        "layout": [(1, _layout_seconds(task, config, plan)) for task in laid_out],
        "prior": [(1, task.seconds) for task in prior_tasks(plan, done, config)],
        "optimize": [(task.items, task.items * _picture_seconds(task, config, facts, speeds)) for task in blocks],
        "calibrate": _calibrate_costs(calibrations, 0.0 if measured_before else natural, config, facts, speeds),
        "attribute": [(task.items, task.passes(config, facts) * attribute_pass) for task in attributed],
        "assemble": tables,
    }
    pictures = len(plan.share_pictures)
    maps = sum(plan.share.has(part.key) for layer in plan.layers for part in layer.laid_out)
    totals = {
        "scan": len(plan.share_spans),
        "prior": len(fitted_here(plan)),
        "layout": maps,
        "optimize": pictures,
        "calibrate": pictures,
        "attribute": 0 if config.sweep.share else sum(map(len, plan.attributions.values())),
        "assemble": len(rows),
    }
    work: list[StageTask] = [*scans, *blocks, *calibrations, *attributed]
    missing = {key for task in blocks for key in task.keys}
    optimize_seconds = sum(each for _, each in seconds["optimize"])
    slowdowns = {"optimize": _optimize_slowdown(blocks, optimize_seconds, config, speeds)}
    return Estimate(
        stages=tuple(
            _stage(name, speeds, total=totals[name], tasks=tasks, slowdown=slowdowns.get(name))
            for name, tasks in seconds.items()
            if totals[name] or name not in RARE
        ),
        forward_passes=sum(task.passes(config, facts) for task in work),
        bytes_written=bytes_of(config, plan, len(missing), len(scans)),
        naming_seconds=sum(naming),
        naturalness_seconds=natural,
    )


def _stage(
    name: str, speeds: Speeds, *, total: int, tasks: Sequence[tuple[int, float]], slowdown: float | None = None
) -> StageCost:
    """Return the cost of a stage; `tasks` are pairs of (items, seconds)."""
    source = speeds.sources.get(name, TYPICAL)
    timed = speeds.slowdown if source == TIMED else 1.0
    return StageCost(
        name=name,
        unit=STAGES[name].items,
        total=total,
        reused=max(0, total - sum(items for items, _ in tasks)),
        tasks=len(tasks),
        seconds=sum(seconds for _, seconds in tasks),
        longest=max((seconds for _, seconds in tasks), default=0.0),
        source=source,
        slowdown=timed if slowdown is None else slowdown,
    )


def _naming_seconds(layer: LayerPlan, plan: Plan, config: RunConfig) -> float:
    """Return the seconds to name a layer's channels and to say how clear they are; 0 without images."""
    images = min(config.scan.sample, plan.spans[-1].stop if plan.spans else 0)
    labelled = any(label for span in plan.spans for label in span.labels)
    return layer.layer.channels * images / 1000 * (CLARITY + (NAMING if labelled else 0.0))


def _naturalness_seconds(calibrations: Sequence[CalibrateTask], plan: Plan, config: RunConfig) -> float:
    """Return the seconds that a worker takes to say how natural the pictures of some tasks look; 0 if none does."""
    pictures = [picture for task in calibrations for picture in task.pictures]
    if plan.measuring_model is None or not pictures:
        return 0.0
    return seconds_of_naturalness(
        [config.recipe(picture.recipe) for picture in pictures], plan.measuring_model.source, config
    )


def _calibrate_costs(
    calibrations: Sequence[CalibrateTask], natural: float, config: RunConfig, facts: ModelFacts, speeds: Speeds
) -> list[tuple[int, float]]:
    """Return pairs of (pictures, seconds); `natural` seconds, of all tasks, are divided evenly among pictures."""
    each = natural / sum(task.items for task in calibrations) if calibrations else 0.0
    return [(task.items, task.passes(config, facts) * speeds.measure + task.items * each) for task in calibrations]


def _layout_seconds(task: LayoutTask | DirectionsTask, config: RunConfig, plan: Plan) -> float:
    layer = next(layer for layer in plan.layers if layer.layer.name == task.layer.name)
    return LAYOUT_START + LAYOUT_OF_VECTOR * vectors_of(plan, layer, config)


def _picture_seconds(task: OptimizeTask, config: RunConfig, facts: ModelFacts, speeds: Speeds) -> float:
    seconds = speeds.pictures.get(task.layer.name)
    if seconds is not None:
        return seconds
    return task.passes_of_picture(config, facts) * speeds.step + _beside(task, config, speeds)


def _beside(task: OptimizeTask, config: RunConfig, speeds: Speeds) -> float:
    """Return the seconds of a picture beside its passes; 0 where earlier tasks say how long its layer's take."""
    if task.layer.name in speeds.pictures:
        return 0.0
    first = task.pictures[0]
    steps = first.predecessor.steps if first.predecessor else None
    seconds = seconds_of_picture(config.recipe(task.recipe), task.layer, config, task.dtype, steps=steps)
    return seconds / first.of_one_chain


def _optimize_slowdown(blocks: Sequence[OptimizeTask], seconds: float, config: RunConfig, speeds: Speeds) -> float:
    """Return how many times as long the pictures may take, by timed rounds and by the range of `plan.prices`."""
    beside = sum(task.items * _beside(task, config, speeds) for task in blocks)
    timed = speeds.slowdown if speeds.sources.get("optimize", TYPICAL) == TIMED else 1.0
    return (timed * (seconds - beside) + RANGE * beside) / seconds if seconds else 1.0


def beside_of(layer: LayerPlan, config: RunConfig, dtypes: Mapping[str, str]) -> float:
    """Return the seconds of a layer's pictures beside their passes, by the table of prices.

    `dtypes` has the number format of each recipe.
    """
    kinds = Counter((picture.recipe, picture.of_one_chain) for picture in layer.pictures)
    return sum(
        count * seconds_of_picture(config.recipe(name), layer.layer, config, dtypes[name]) / sharing
        for (name, sharing), count in kinds.items()
    )


def steps_of(layer: LayerPlan, config: RunConfig, facts: ModelFacts) -> float:
    """Return the largest number of steps at full size that a layer's pictures can take; each view of a step counts."""
    kinds = Counter(
        (picture.recipe, facts.takes_half and not picture.has_place, picture.of_one_chain) for picture in layer.pictures
    )
    return sum(
        count * passes_of(config.recipe(name), layer.layer, config.model.input, takes_half=halves) / sharing
        for (name, halves, sharing), count in kinds.items()
    )
