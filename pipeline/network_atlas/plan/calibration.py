"""Which pictures must be measured against the network and the dataset, and what names the result. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from network_atlas.fingerprints import fingerprint
from network_atlas.layers import LayerSpec
from network_atlas.plan.pictures import Picture
from network_atlas.plan.sweep import spread
from network_atlas.plan.tasks import LayerPlan, Plan

CALIBRATION_ALGORITHM = 1
"""Raise when the same picture gets other numbers."""
PATH_LAYERS = 4
"""Layers before a unit's own in which its picture and its best examples are compared."""
RANDOM_EXAMPLES = 16
"""Examples that say how alike any two images are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateTask:
    """Finished pictures of one layer that are to be measured."""

    layer: LayerSpec
    pictures: tuple[Picture, ...]
    keys: tuple[str, ...]
    """One key per picture: of the measurement, not of the picture."""
    path: tuple[LayerSpec, ...]
    others: tuple[LayerSpec, ...]
    """Further layers that the pictures' units are read from."""
    random_ids: tuple[str, ...]
    picture_files: tuple[str, ...] = ()
    scan_files: tuple[str, ...] = ()
    statistics_file: str = ""

    @property
    def id(self) -> str:
        return fingerprint("calibrate", self.keys)

    @property
    def cached_input(self) -> str:
        """Return the layer, where its scan is read."""
        return self.layer.name if self.scan_files else ""

    def halves(self) -> tuple[CalibrateTask, ...]:
        """Return the task in two; () if it is one picture."""
        middle = len(self.pictures) // 2
        parts = (slice(None, middle), slice(middle, None)) if middle else ()
        return tuple(replace(self, pictures=self.pictures[part], keys=self.keys[part]) for part in parts)

    def key_of(self, picture: Picture) -> str:
        """Return the key of a picture's measurement."""
        return self.keys[self.pictures.index(picture)]

    def layers_of(self, picture: Picture) -> tuple[LayerSpec, ...]:
        """Return the layers that a picture's unit is read from."""
        return tuple(layer for layer in (self.layer, *self.others) if layer.name in picture.layers)


def calibration_keys(plan: Plan, layer: LayerPlan) -> dict[str, str]:
    """Return the keys of measurements by their pictures': they name the picture, the scan, and the way to the layer."""
    path = [one.name for one in path_to(plan, layer.layer)]
    shared = fingerprint("calibration", CALIBRATION_ALGORITHM, layer.scan_keys, path, plan.random_ids)
    return {picture.key: fingerprint(shared, picture.key) for picture in layer.pictures}


def calibrate_tasks(plan: Plan, made: Collection[str], done: Collection[str]) -> list[CalibrateTask]:
    """Return the measurements that are missing of pictures that are `made`, in blocks."""
    tasks = []
    for layer in plan.layers:
        path, keys_of = path_to(plan, layer.layer), calibration_keys(plan, layer)
        missing = [one for one in layer.pictures if one.key in made and keys_of[one.key] not in done]
        for start in range(0, len(missing), plan.block):
            pictures = tuple(missing[start : start + plan.block])
            names = sorted({name for picture in pictures for name in picture.layers} - {layer.layer.name})
            tasks.append(
                CalibrateTask(
                    layer=layer.layer,
                    pictures=pictures,
                    keys=tuple(keys_of[picture.key] for picture in pictures),
                    path=path,
                    others=tuple(plan.known[name] for name in names),
                    random_ids=plan.random_ids,
                )
            )
    return tasks


def path_to(plan: Plan, layer: LayerSpec) -> tuple[LayerSpec, ...]:
    """Return layers on the way to `layer`, evenly spaced over all that ran before it."""
    before = sorted((one for one in plan.known.values() if one.index < layer.index), key=lambda one: one.index)
    return tuple(spread(before, PATH_LAYERS + 1)[1:]) if len(before) > PATH_LAYERS else tuple(before)
