"""Read all rows that a root's newest manifest names, to compare runs: `differences(snapshot(first), snapshot(second))`.

Rows are compared and not files, since a run that was disturbed may have grouped the same pictures otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from network_atlas.store.manifest import latest
from network_atlas.store.receipts import read_receipts
from network_atlas.store.results import RESULTS
from network_atlas.store.root import STAGING, Store


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The rows of each folder, sorted, and the number of times that each unit is there."""

    rows: Mapping[str, tuple[str, ...]]
    units: Counter[str]
    """Picture key to the number of rows that hold it in the manifest's shards."""
    committed: Counter[tuple[str, str]]
    """Stage and key to the number of receipts that say it is done."""

    def lost(self, whole: Snapshot) -> int:
        """Return the number of units and results of `whole` that are not here."""
        return len(whole.units.keys() - self.units.keys()) + len(whole.committed.keys() - self.committed.keys())

    @property
    def double(self) -> int:
        """Return the number of units and results that are there more than once."""
        return sum(count > 1 for counts in (self.units, self.committed) for count in counts.values())


def snapshot(root: Path) -> Snapshot:
    """Return the rows that the newest manifest under `root` names; every file is read whole."""
    store = Store.open(str(root))
    manifest = latest(store)
    assert manifest is not None, f"nothing is published under {root}"
    rows: dict[str, list[str]] = {}
    units: Counter[str] = Counter()
    for file in manifest.files:
        folder = file.path.split("/")[0]
        if not file.path.endswith(".parquet"):  # an image of an example, named by its content
            data = (root / file.path).read_bytes()
            rows.setdefault(folder, []).append(f"{file.path} {hashlib.sha256(data).hexdigest()}")
            continue
        entries = pq.ParquetFile(root / file.path).read().to_pylist()
        assert len(entries) == file.rows, f"{file.path} has {len(entries)} rows, its manifest says {file.rows}"
        rows.setdefault(folder, []).extend(repr(row) for row in entries)
        if folder == "visualizations":
            units.update(row["key"] for row in entries)
    committed = Counter(
        (stage, key) for stage in RESULTS for receipt in read_receipts(store, stage) for key in receipt.keys
    )
    return Snapshot({name: tuple(sorted(lines)) for name, lines in rows.items()}, units, committed)


def differences(first: Snapshot, second: Snapshot) -> list[str]:
    """Return the folders whose rows are not the same."""
    return [name for name in sorted({*first.rows, *second.rows}) if first.rows.get(name) != second.rows.get(name)]


def partial_files(root: Path) -> list[str]:
    """Return the files with a final name that are not whole: Parquet that can't be read, empty or torn JSON."""
    torn = []
    for path in sorted(root.rglob("*")):
        if STAGING in path.parts or not path.is_file():
            continue
        try:
            if path.suffix == ".parquet":
                pq.read_table(path, partitioning=None)
            elif path.suffix == ".json":
                json.loads(path.read_bytes())
            elif path.suffix == ".jsonl":
                [json.loads(line) for line in path.read_text().splitlines()]
            elif path.suffix == ".html":
                assert path.read_text().rstrip().endswith("</html>")
        except (OSError, ValueError, AssertionError) as error:
            torn.append(f"{path.relative_to(root)}: {error}")
    return torn


def staged(root: Path) -> list[str]:
    """Return the unfinished files that writers left behind."""
    folder = root / STAGING
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
