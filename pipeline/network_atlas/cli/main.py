"""The entry point of `atlas`: run one command, and turn errors and signals into messages and exit codes.

`network_atlas.cli.arguments` reads the arguments, each command is a module in `network_atlas.cli.commands`, and
`network_atlas.cli.exit_codes` has the exit codes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType

from network_atlas.cli.arguments import parse
from network_atlas.cli.console import results_alone
from network_atlas.cli.exit_codes import DONE, FAILED, STOPPED
from network_atlas.cli.extras import check_libraries, refusal_of
from network_atlas.errors import AtlasError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, _stop)
    try:
        check_libraries(options.name)
        with results_alone() if _is_read_by_programs(options) else contextlib.nullcontext():
            return _command(options.name)(options)
    except AtlasError as error:
        return _failed(str(error))
    except ModuleNotFoundError as error:
        return _failed(str(refusal_of(error, options.name)))
    except KeyboardInterrupt:
        return _stopped(options)
    except BrokenPipeError:
        _close_output()  # the reader of our output has ended, as in `atlas layers | head`: not an error
        return DONE
    except OSError as error:
        _close_output()
        return _failed(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))


def _is_read_by_programs(options: argparse.Namespace) -> bool:
    return bool(getattr(options, "json", False) or getattr(options, "id", False))


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Return a command by name. Only this loads its module: `atlas --help` must not wait for torch."""
    command: Callable[[argparse.Namespace], int] = import_module(f"network_atlas.cli.commands.{name}").command
    return command


def _failed(message: str) -> int:
    print(f"atlas: {message}", file=sys.stderr)  # noqa: T201
    return FAILED


def _close_output() -> None:
    """Discard the output that is still buffered: otherwise Python would fail again when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(signum: int, frame: FrameType | None) -> None:
    """Stop the run, as Ctrl-C does.

    Later SIGTERMs are ignored, so that none interrupts the clean-up: Slurm's `scancel` sends one to each process.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stopped(options: argparse.Namespace) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if options.name in ("run", "prior"):
        print("atlas: stopped; finished work is kept. Give the same command again to resume.", file=sys.stderr)  # noqa: T201
    return STOPPED


if __name__ == "__main__":
    sys.exit(main())
