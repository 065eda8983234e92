"""How much work a task is, in passes of one image through the whole network. Pure.

A layer's share of a pass is timed once, while layers are listed; so the figures tell tasks apart, not seconds.
"""

from __future__ import annotations

from network_atlas.config.schema import RunConfig
from network_atlas.layers import ModelFacts
from network_atlas.plan.calibration import CalibrateTask
from network_atlas.plan.joining import AssembleTask
from network_atlas.plan.tasks import OptimizeTask, ScanTask

BACKWARD_FACTOR = 3.0
"""A step (forward and backward) takes about three times a forward pass."""
CALIBRATION_PASSES = 16
"""Forward passes that measuring a picture takes: eight moved views, itself, and the images that it is compared with."""


def work_of(task: object, config: RunConfig, facts: ModelFacts) -> float:
    """Return a task's passes; of a table, which needs none, its rows."""
    match task:
        case ScanTask():
            return images_of(task) * scan_share(task, facts)
        case OptimizeTask():
            return BACKWARD_FACTOR * len(task.pictures) * passes_of_picture(task, config, facts)
        case CalibrateTask():
            return CALIBRATION_PASSES * len(task.pictures) * facts.share[task.layer.name]
        case AssembleTask():
            return len(task.plan.channels)
    return 0.0


def images_of(task: ScanTask) -> int:
    """Return how many images a span has."""
    return task.span.stop - task.span.start


def scan_share(task: ScanTask, facts: ModelFacts) -> float:
    """Return the part of a pass that the scan needs; none where only the images' own statistics are missing."""
    return max((facts.share[layer.name] for layer in task.layers), default=0.0)


def passes_of_picture(task: OptimizeTask, config: RunConfig, facts: ModelFacts) -> float:
    """Return the passes forward that each picture of a block takes, as parts of the whole network."""
    recipe = config.recipe(task.recipe)
    share = max(facts.share[layer.name] for layer in (task.layer, *task.others))
    return recipe.steps * recipe.transform.views * share
