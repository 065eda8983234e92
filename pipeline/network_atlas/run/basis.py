"""Keep what a snapshot's results follow from, and compare the next run with it: `basis/00003-….json` for snapshot 3.

The manifest has settings and upstream hashes. This file adds the parts of the network and of the dataset one by one,
so that a run can name what changed. It explains and decides nothing: what is missing follows from keys alone.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from network_atlas.config.determines import recorded
from network_atlas.fingerprints import fingerprint
from network_atlas.plan.expansion import PICTURE_ALGORITHM
from network_atlas.plan.reasons import Basis, Reason, reasons
from network_atlas.plan.spans import SCAN_ALGORITHM, STATISTICS_ALGORITHM
from network_atlas.run.prepare import Prepared
from network_atlas.store.manifest import Manifest, latest
from network_atlas.store.root import Store

log = logging.getLogger(__name__)


def reasons_of(prepared: Prepared, done: Collection[str]) -> tuple[Reason, ...]:
    """Return for each layer why its results are reused, new or made again, compared with the newest snapshot."""
    return reasons_since(latest(prepared.store), prepared, done)


def reasons_since(manifest: Manifest | None, prepared: Prepared, done: Collection[str]) -> tuple[Reason, ...]:
    """Return the reasons compared with a snapshot, or with none."""
    before = read_basis(prepared.store, manifest) if manifest else None
    return reasons(prepared.plan, prepared.facts, done, before=before, now=basis_of(prepared))


def basis_of(prepared: Prepared) -> Basis:
    """Return what the results of this run follow from."""
    plan = prepared.plan
    return Basis(
        upstream={layer.layer.name: layer.upstream for layer in plan.layers},
        contents=prepared.facts.contents,
        settings=recorded(prepared.config),
        algorithms={"scan": SCAN_ALGORITHM, "pictures": PICTURE_ALGORITHM, "statistics": STATISTICS_ALGORITHM},
        dtypes=plan.dtypes,
        examples=len(prepared.examples),
        spans=tuple(fingerprint(span.content, span.named) for span in plan.spans),
        sampled=tuple(span.sampled for span in plan.spans),
    )


def put_basis(prepared: Prepared, manifest: Manifest) -> None:
    """Write what a snapshot's results follow from, unless it is there. A crash before that costs only explanations."""
    if not prepared.store.exists(_path(manifest)):
        prepared.store.write(_path(manifest), json.dumps(asdict(basis_of(prepared))).encode())


def read_basis(store: Store, manifest: Manifest) -> Basis:
    """Return what a snapshot's results follow from: as written, or else only what its manifest has."""
    data = store.read_if_there(_path(manifest))
    try:
        raw: dict[str, Any] = json.loads(data) if data else {}
        raw.pop("sample", None)  # earlier versions kept the sample's limit
        raw |= {name: tuple(raw[name]) for name in ("spans", "sampled") if name in raw}
        return Basis(**raw) if raw else _of_manifest(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning(
            "%s can't be read (%s); changes since snapshot %d are not named", _path(manifest), error, manifest.number
        )
        return _of_manifest(manifest)


def _of_manifest(manifest: Manifest) -> Basis:
    return Basis(
        upstream=manifest.upstream,
        contents={},
        settings=manifest.config,
        algorithms={},
        dtypes={},
        examples=0,
        spans=(),
    )


def _path(manifest: Manifest) -> str:
    # With its identity: a number is given again where the newest manifest was deleted.
    return f"basis/{manifest.number:05d}-{manifest.identity[:8]}.json"
