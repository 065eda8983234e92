"""Run a network with its repeated blocks compiled: each block's forward and backward pass is one program of torch's.

    forward = CompiledBlocks(model, rows=64)
    forward(model, images, outputs=[module])      # as `frozen_forward`, which has all passes that are not for it

A block is a module with modules of its own whose class occurs more than once, such as a bottleneck of a ResNet or an
encoder block of a ViT. Blocks, and not the network up to a layer: compiling takes seconds to minutes, and a block is
compiled once for all layers that pictures are made of. Blocks of one form share a program. A block in which a layer is
captured runs as it is, since a program has no place for a hook; so does all code between blocks. Passes with gradients
in the full batch alone are compiled, as most of a picture's time is spent there, and each further form of a batch would
be compiled again.

While a compiled pass runs, blocks have their compiled code as their `forward`; nothing else of the model changes.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from network_atlas.models.first_pass import described
from network_atlas.models.frozen.freeze import frozen_forward
from network_atlas.models.seen import is_scripted

log = logging.getLogger(__name__)

Backend = str | Callable[..., Any]
"""A name that `torch.compile` knows, or a function that takes a graph and its example inputs."""

BACKEND: Backend = "inductor"
"""What makes programs of torch's graphs: its own compiler."""
PROGRAMS = 256
"""Programs that torch may keep of one class's blocks before it runs them as they are: one for each form of a block and
of its maps, in two number formats and two sizes. Its own limit, 8, is less than the 16 blocks of a ResNet-50 need."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    module: nn.Module
    compiled: Callable[..., Any]
    inside: frozenset[int]
    """The `id`s of all modules below it."""


class CompiledBlocks:
    """Runs a model with its blocks compiled, in passes with gradients of `rows` images; other passes run frozen.

    Programs are made by `backend`, or else BACKEND, when a block first runs on maps of a form. Gradients go through a
    pass once, as torch reuses its memory. Raises NotCompiledError where torch can't compile at all, or the model has no
    blocks.
    """

    def __init__(self, model: nn.Module, *, rows: int, backend: Backend | None = None) -> None:
        self._rows = rows
        self._forms = set[tuple[torch.Size, bool]]()
        """Those of batches that have run: their shape, and whether in mixed precision."""
        self.problem = ""
        """Why it runs all passes frozen, if it does."""
        modules = blocks_of(model)
        if not modules:
            raise NotCompiledError("no class of blocks without hooks occurs more than once in the network")
        try:
            self._blocks = [_block(module, backend or BACKEND) for module in modules]
        except RuntimeError as error:  # torch without a compiler for this version of Python
            raise NotCompiledError(in_one_line(error)) from error

    def __call__(
        self, model: nn.Module, images: Tensor, *, outputs: Iterable[nn.Module] = (), inputs: Iterable[nn.Module] = ()
    ) -> Any:
        """Return what the model returns for `images`, (batch, channels, rows, columns); see `frozen_forward`.

        A pass that can't be compiled runs once more, frozen, as do all later ones.
        """
        outputs, inputs = list(outputs), list(inputs)
        if not self.problem and self._takes(images):
            seen = {id(module) for module in (*outputs, *inputs)}
            whole = [block for block in self._blocks if not seen & block.inside]
            try:
                with self._settings(images), _compiled(whole):
                    return model(images)
            except torch._dynamo.exc.TorchDynamoException as error:
                self.problem = in_one_line(error)
                log.warning("the network's blocks run uncompiled from now on: %s", self.problem)
        return frozen_forward(model, images, outputs=outputs, inputs=inputs)

    @property
    def says(self) -> str:
        """Return how steps run, for records."""
        if self.problem:
            return not_compiled(self.problem)
        return f"steps with {len(self._blocks)} compiled blocks"

    def _takes(self, images: Tensor) -> bool:
        return torch.is_grad_enabled() and images.requires_grad and len(images) == self._rows

    @contextlib.contextmanager
    def _settings(self, images: Tensor) -> Iterator[None]:
        """Let torch compile as many programs as there are blocks, and not warn where it does.

        Its compiler reads the gradients of maps, against which torch itself warns.
        """
        form = images.shape, torch.is_autocast_enabled(images.device.type)
        limits = {"cache_size_limit": PROGRAMS, "accumulated_cache_size_limit": 4 * PROGRAMS}
        with contextlib.ExitStack() as settings:
            settings.enter_context(torch._dynamo.config.patch(limits))
            if form not in self._forms:  # in every pass, this would show a network's own warnings again and again
                settings.enter_context(warnings.catch_warnings())
                warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.")
                self._forms.add(form)
            yield


class NotCompiledError(Exception):
    """The network can't be compiled."""


def not_compiled(problem: str) -> str:
    """Return how steps run, for records, where they were to be compiled and are not."""
    return f"steps not compiled: {problem}"


def in_one_line(error: BaseException) -> str:
    """Return what went wrong in torch's compiler in one line: its messages have many, with advice for developers."""
    inner = getattr(error, "inner_exception", None) or error
    return described(inner).partition("\n")[0]


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Return the largest modules, containers apart, with modules of their own whose class occurs more than once.

    Not those with hooks inside: torch gives blocks of one form one program, whatever hooks some of them have.
    """
    counts = Counter(type(module) for module in model.modules())

    def below(module: nn.Module) -> Iterator[nn.Module]:
        for child in module.children():
            is_block = counts[type(child)] > 1 and type(child) not in CONTAINERS and not is_scripted(child)
            if is_block and next(child.children(), None) is not None:
                yield child
            else:
                yield from below(child)

    return [block for block in dict.fromkeys(below(model)) if not _has_hooks_inside(block)]


def _has_hooks_inside(block: nn.Module) -> bool:
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    return any(getattr(module, name) for module in block.modules() if module is not block for name in hooks)


def _block(module: nn.Module, backend: Backend) -> _Block:
    compiled = torch.compile(module.forward, backend=backend, dynamic=False)
    return _Block(module, compiled, frozenset(map(id, module.modules())) - {id(module)})


@contextlib.contextmanager
def _compiled(blocks: Sequence[_Block]) -> Iterator[None]:
    """Let blocks run their compiled code; their own hooks run around it, as around any `forward`."""
    own = [vars(block.module).get("forward") for block in blocks]
    try:
        for block in blocks:
            vars(block.module)["forward"] = block.compiled
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            if forward is None:
                vars(block.module).pop("forward", None)
            else:
                vars(block.module)["forward"] = forward
