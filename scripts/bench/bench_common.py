"""What the benchmarks share: clocks, a table, a JSON file, and words for the machine."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "bench"
"""Kept results and the peers' environment; git ignores it."""

Row = Mapping[str, object]


@dataclass
class Seconds:
    """How long something took: by the clock, and the processor's seconds of all threads of this process.

    Other work on the machine lengthens the first at once, the second only through shared caches and memory.
    """

    clock: float = 0.0
    cpu: float = 0.0


@contextlib.contextmanager
def timed() -> Iterator[Seconds]:
    """Yield seconds that are filled in when the block ends."""
    seconds = Seconds()
    clock, cpu = time.perf_counter(), time.process_time()
    yield seconds
    seconds.clock, seconds.cpu = time.perf_counter() - clock, time.process_time() - cpu


def parser_of(documentation: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows the script's documentation and knows --json."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    return parser


def machine() -> dict[str, object]:
    """Return what the numbers depend on beside the code: processor, its wide instructions, load, versions."""
    import torch

    text = Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    names = re.findall(r"^model name\s*: (.*)$", text, re.MULTILINE)
    flags = set(re.findall(r"\b(?:avx2|avx512\w*|amx_\w+)\b", text))
    return {
        "processor": names[0] if names else platform.processor(),
        "features": sorted(flags),
        "torch_uses": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "numpy", "ray")},
    }


def print_machine() -> None:
    """Print the machine in two lines, before the table."""
    facts = machine()
    wide = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in facts["features"]]  # type: ignore[operator]
    print(f"{facts['processor']}, {facts['cores']} cores, {', '.join(wide) or 'neither AVX-512 nor AMX'}; ", end="")
    print(f"load {facts['load_average']:.1f}; torch {facts['torch']}, Python {facts['python']}", flush=True)


def print_table(rows: Sequence[Row]) -> None:
    """Print rows of the same columns; numbers to the right."""
    if not rows:
        return
    lines = [list(rows[0]), *([_text(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    right = [not isinstance(value, str) for value in rows[0].values()]
    for line in lines:
        cells = zip(line, widths, right, strict=True)
        print("  ".join(f"{cell:>{width}}" if to_right else f"{cell:<{width}}" for cell, width, to_right in cells))
    sys.stdout.flush()


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def write_json(file: Path | None, rows: Sequence[Row], summary: Mapping[str, object] | None = None) -> None:
    """Write results with the machine, the command and the date; nothing without a file."""
    if file is None:
        return
    written = {
        "command": shlex.join(sys.argv),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "summary": dict(summary or {}),
        "rows": [dict(row) for row in rows],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(written, indent=2) + "\n")
