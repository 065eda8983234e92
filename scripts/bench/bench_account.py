"""Where a scan spends the processor: the time of each thread in each part of the worker, without the parts inside."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from network_atlas.models import capture
from network_atlas.scan import span, worker
from network_atlas.scan.images import ImageStatistics
from network_atlas.scan.reducers import Reducer
from network_atlas.scan.worker import ScanWorker
from network_atlas.stats.classes import ClassSums
from network_atlas.stats.histogram import Histogram
from network_atlas.stats.moments import Moments
from network_atlas.stats.partial import Partial
from network_atlas.stats.reduced import Reduced
from network_atlas.stats.sampled import RunningSample
from network_atlas.stats.topk import TopClasses, TopK

PARTS: Mapping[str, Sequence[tuple[Any, str]]] = {
    "the pass, all layers captured": [(capture, "frozen_forward")],
    "reading, decoding, preprocessing": [(ScanWorker, "_read")],
    "pixels to the network's input": [(ScanWorker, "_images")],
    "maps to numbers": [(Reducer, "receive")],
    "lists of best examples": [(TopK, "update"), (TopClasses, "update")],
    "other statistics of channels": [
        *((kind, "update") for kind in (Moments, Histogram, ClassSums, RunningSample)),
        (Partial, "_add_spread"),
        (Reduced, "without_non_finite"),
        (Reducer, "taken"),
        (span.SpanScan, "__init__"),
    ],
    "the images' own statistics": [(ImageStatistics, "add")],
    "committing: statistics": [(worker, "put_partial")],
    "committing: values of sampled images": [(worker, "put_sample")],
    "committing: sums of classes": [(worker, "put_class_sums")],
    "committing: the rest": [(worker, "put_examples"), (worker, "put_shard"), (worker, "commit")],
    "the worker's loop": [(ScanWorker, "run")],
}
REST = "torch's other threads, and the rest"


class Account:
    """Seconds of the processor by part: one `Counter` for each span that was scanned since the last `clear`."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, Counter[str]]] = []
        """The number of images of each span, and its seconds."""
        self._seconds: Counter[str] = Counter()
        self._inside = threading.local()
        for part, places in PARTS.items():
            for owner, name in places:
                setattr(owner, name, self._watched(getattr(owner, name), part))

    @contextmanager
    def span(self, images: int) -> Iterator[None]:
        """Count what happens meanwhile as the scan of a span."""
        self._seconds = Counter()
        started = time.process_time()
        yield
        self._seconds[REST] = time.process_time() - started - self._seconds.total()
        self.spans.append((images, self._seconds))

    def clear(self) -> list[tuple[int, Counter[str]]]:
        """Return the spans, and forget them."""
        spans, self.spans = self.spans, []
        return spans

    def _watched(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def watched(*arguments: Any, **named: Any) -> Any:
            outer: list[float] = self._inside.__dict__.setdefault("seconds", [])
            outer.append(0.0)
            started = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                seconds = time.thread_time() - started
                self._seconds[part] += seconds - outer.pop()
                if outer:
                    outer[-1] += seconds

        return watched


def rows_of(spans: Sequence[tuple[int, Counter[str]]], bare: float) -> list[dict[str, object]]:
    """Return the table: processor ms an image of each part, beside `bare`, those of the bare pass."""
    columns = {"first span": spans[:1], "later spans": spans[1:], "all": spans}
    tables = {name: _per_image(part) for name, part in columns.items()}
    names = sorted(tables["all"], key=lambda part: -tables["all"][part])
    rows = [{"ms an image": part, **{name: table.get(part) for name, table in tables.items()}} for part in names]
    totals = {name: sum(table.values()) or None for name, table in tables.items()}
    return [
        *(
            {**row, "% of all": 100 * tables["all"][part] / totals["all"]}
            for part, row in zip(names, rows, strict=True)
        ),
        {"ms an image": "the scan", **totals, "% of all": 100.0},
        {
            "ms an image": "the bare pass, by itself",
            **dict.fromkeys(columns, bare),
            "% of all": 100 * bare / totals["all"],
        },
    ]


def _per_image(spans: Sequence[tuple[int, Counter[str]]]) -> dict[str, float]:
    images = sum(count for count, _ in spans)
    return (
        {part: 1e3 * sum(seconds[part] for _, seconds in spans) / images for part in (*PARTS, REST)} if images else {}
    )
