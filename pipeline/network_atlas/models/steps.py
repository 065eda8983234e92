"""Choose how the steps of pictures run the network: as all passes do, or with its blocks compiled (`models.compiled`).

`model.compile: auto` compiles on a GPU, for large atlases, if a short measurement there says that it pays. The first
worker to measure decides for its kind of device in this root, so that all workers and later runs take the same way and
pictures keep their bits. No key covers it: numbers differ by rounding alone, which is checked before the first step.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from network_atlas.config.schema import InputConfig
from network_atlas.models.capture import Forward
from network_atlas.models.comparison import difference, numbers_of
from network_atlas.models.compiled import Backend, CompiledBlocks, NotCompiledError, in_one_line, not_compiled
from network_atlas.models.first_pass import example_input
from network_atlas.models.frozen.freeze import frozen_forward
from network_atlas.store.first_choice import FirstChoice
from network_atlas.store.root import Store

log = logging.getLogger(__name__)

ALWAYS, NEVER = "always", "never"
COMPILED, NOT_COMPILED = "compiled", "not compiled"
LEAST_GAIN = 1.1
"""How many times as fast a compiled step must be: each worker compiles anew, for seconds to minutes."""
ROUNDS = 5
"""Steps of each kind that are timed, in turns; the fastest counts."""
VALUES_DIFFER, GRADIENTS_DIFFER = 1e-3, 5e-2
"""Relative differences, as for frozen passes (`models.frozen.freeze`). Values and gradients may differ from the
network's own in float32 by so much, and twice what they differ by without compiling: in bfloat16 that is much by
itself."""

FOLDER = "plan/compiled"
"""Where a root keeps what was chosen, in a file for each kind of device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """How steps run the network."""

    forward: Forward = frozen_forward
    problem: str = ""
    """Why blocks that were to be compiled are not."""

    @property
    def says(self) -> str:
        """Return what is special about the steps, for records; '' if they run as all passes do."""
        if isinstance(self.forward, CompiledBlocks):
            return self.forward.says
        return not_compiled(self.problem) if self.problem else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Steps on generated images, of the form that a recipe's have."""

    model: nn.Module
    """On its device, and frozen where it is to be."""
    input: InputConfig
    device: torch.device
    dtype: str
    """'float32' or 'bfloat16': what the network computes in."""
    rows: int
    """Images in a full batch."""
    takes_half: bool = False
    """Whether steps also show the model images of half its input size."""
    backend: Backend | None = None
    """See `CompiledBlocks`."""

    def steps(self) -> Steps:
        """Return steps with compiled blocks, which have run in all forms; uncompiled ones, with the problem, else.

        It is a problem too if numbers differ by more than rounding.
        """
        try:
            compiled = CompiledBlocks(self.model, rows=self.rows, backend=self.backend)
            problem = self._problem(compiled)
            if compiled.problem:  # which it has logged itself
                return Steps(problem=compiled.problem)
        except NotCompiledError as error:
            problem = str(error)
        except Exception as error:  # foreign code, compiled by more of it: any exception is possible
            problem = in_one_line(error)
        if problem:
            log.warning("the network's blocks are not compiled for the steps of pictures: %s", problem)
            return Steps(problem=problem)
        return Steps(forward=compiled)

    def seconds(self, *forwards: Forward) -> list[float]:
        """Return the seconds that a step of the full batch takes by each of some ways."""
        images = self._images(1)
        rounds = [[self._seconds(forward, images) for forward in forwards] for _ in range(ROUNDS)]
        return [min(seconds) for seconds in zip(*rounds, strict=True)]

    def _seconds(self, forward: Forward, images: Tensor) -> float:
        began = time.perf_counter()
        _, gradient = self._numbers(forward, images, self.dtype)
        gradient.sum().item()  # on a GPU this waits for the step
        return time.perf_counter() - began

    def _problem(self, compiled: CompiledBlocks) -> str:
        """Return how compiled steps differ from the network's own, '' if by no more than rounding or not compiled."""
        for halved in (1, 2) if self.takes_half else (1,):
            images = self._images(halved)
            values, gradient = self._numbers(compiled, images, self.dtype)
            if compiled.problem:
                return ""
            now_values, now_gradient = self._numbers(frozen_forward, images, self.dtype)
            exact_values, exact_gradient = self._numbers(_own, images, "float32")
            pairs = [("values", VALUES_DIFFER, *each) for each in zip(values, now_values, exact_values, strict=True)]
            pairs.append(("gradients", GRADIENTS_DIFFER, gradient, now_gradient, exact_gradient))
            for name, allowed, mine, now, exact in pairs:
                mine_differs, now_differs = difference(mine, exact), difference(now, exact)
                if not mine_differs <= allowed + 2 * now_differs:
                    return f"its {name} would differ by {mine_differs:.2g} (uncompiled: {now_differs:.2g})"
        return ""

    def _numbers(self, forward: Forward, images: Tensor, dtype: str) -> tuple[list[Tensor], Tensor]:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            return numbers_of(partial(forward, self.model), images)

    def _images(self, halved: int) -> Tensor:
        images = example_input(self.input, self.rows)[:, :, : self.input.height // halved, : self.input.width // halved]
        return images.to(self.device).contiguous(memory_format=torch.channels_last)


def may_compile(setting: str, device: torch.device, *, is_large: bool) -> bool:
    """Say whether steps may run compiled by `model.compile`, which is `setting`: 'auto', 'never' or 'always'.

    `is_large` says that the atlas has so many pictures that compiling may pay.
    """
    return setting == ALWAYS or (setting != NEVER and device.type != "cpu" and is_large)


def chosen_steps(trial: Trial, store: Store) -> Steps:
    """Return the way to take steps that the root has chosen for this kind of device; measure if it has chosen none."""
    name = device_name(trial.device)
    choice = FirstChoice(f"{FOLDER}/{re.sub(r'[^A-Za-z0-9.-]+', '_', name)}.json", (COMPILED, NOT_COMPILED))
    kept = choice.kept(store)
    if kept == NOT_COMPILED:
        return Steps()
    began = time.perf_counter()
    steps = trial.steps()
    if not kept:
        facts = {"device": name, "torch": torch.__version__, "rows": trial.rows, "dtype": trial.dtype}
        chosen, measured = _measured(trial, steps, time.perf_counter() - began)
        choice.keep(store, chosen, **facts, **measured)
    return steps if steps.problem or choice.kept(store) == COMPILED else Steps()


def _measured(trial: Trial, steps: Steps, compiling: float) -> tuple[str, dict[str, object]]:
    """Return what is faster, and by which numbers."""
    if steps.problem:
        return NOT_COMPILED, {"problem": steps.problem}
    before, after = trial.seconds(frozen_forward, steps.forward)
    seconds = {"step_seconds": before, "compiled_step_seconds": after, "compiling_seconds": compiling}
    chosen = COMPILED if before >= LEAST_GAIN * after else NOT_COMPILED
    return chosen, {name: round(value, 6) for name, value in seconds.items()}


def choices_of(store: Store) -> Iterator[str]:
    """Yield what a root has chosen, a sentence for each kind of device."""
    for path in store.list(FOLDER):
        try:
            kept: dict[str, Any] = json.loads(store.read(path))
            yield f"{kept['device']}: {kept['auto']} ({_why(kept)})"
        except (ValueError, TypeError, KeyError):  # damaged: the next run chooses anew
            continue


def _why(kept: dict[str, Any]) -> str:
    if "problem" in kept:
        return str(kept["problem"])
    return (
        f"{kept['step_seconds']:.3g} s a step of {kept['rows']} images, compiled {kept['compiled_step_seconds']:.3g} s "
        f"after {kept['compiling_seconds']:.0f} s"
    )


def device_name(device: torch.device) -> str:
    """Return the name of a kind of device, such as that of a graphics card."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"


def _own(
    model: nn.Module, images: Tensor, *, outputs: Iterable[nn.Module] = (), inputs: Iterable[nn.Module] = ()
) -> Any:
    """Return what a model returns by its own code."""
    return model(images)
