"""Workers that do almost nothing, so that only the executor is measured. Used by `engine`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from network_atlas.config.schema import RunConfig
from network_atlas.plan.tasks import OptimizeTask
from network_atlas.store.receipts import Receipt, commit
from network_atlas.store.root import Store

FOUR_VARIANTS = (
    '[{objective: channel}, {objective: channel, sign: "-"}, '
    "{objective: channel, seed: 1}, {objective: channel, seed: 2}]"
)
"""Four pictures of each channel, as the value of `sweep.variants`."""


@dataclass(frozen=True)
class Sleep:
    """A task that takes `seconds` and, with a folder, writes there when it began and in which process."""

    id: str
    seconds: float = 0.0
    folder: str = ""
    cached_input: str = ""

    keys: tuple[str, ...] = ()
    items: int = 1
    units: tuple[str, ...] = ()

    def split(self) -> tuple[Sleep, ...]:
        return ()


class Sleeper:
    """A worker for `Sleep` tasks; its receipt is the id of its process."""

    def __init__(self, config: object, *, threads: int) -> None:
        pass

    def run(self, task: Sleep) -> int:
        if task.folder:
            with (Path(task.folder) / task.id).open("a") as file:
                file.write(f"{time.time()} {os.getpid()}\n")
        time.sleep(task.seconds)
        return os.getpid()


class Pretender:
    """A worker that commits a receipt for a block of pictures without making them."""

    def __init__(self, config: RunConfig, *, threads: int) -> None:
        self._store = Store.open(config.store.root)

    def run(self, task: OptimizeTask) -> Receipt:
        keys = tuple(picture.key for picture in task.pictures)
        return commit(self._store, Receipt(stage="optimize", task=task.id, keys=keys, files=(), seconds=0.01))
