"""What `atlas status` says about a single snapshot: how it was made, and whether its files are as they were written."""

from __future__ import annotations

import shlex
from typing import Any

from network_atlas.cli.amounts import size
from network_atlas.cli.commands.snapshots import network_of
from network_atlas.errors import counted
from network_atlas.store.manifest import Manifest
from network_atlas.store.verify import Fault


def provenance_lines(manifest: Manifest) -> list[str]:
    """Return the lines that say when, from what and by which command a snapshot was made."""
    about: Any = manifest.provenance
    config = about["config"]
    dataset = " ".join(part for part in (config["dataset"]["source"], config["dataset"]["root"]) if part)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    network = network_of(manifest)
    return [
        f"snapshot  {manifest.number}, {manifest.created}",
        f"model     {config['model']['name']}, weights {config['model']['weights']}, network {network}",
        f"dataset   {dataset} ({counted(about['examples'], 'example')})",
        f"layers    {counted(len(manifest.upstream), 'layer')}",
        f"files     {counted(len(manifest.files), 'file')}, {size(manifest.size_bytes)}",
        f"run       {about['run']}: {shlex.join(about['command'])}",
        f"versions  network-atlas {manifest.version}, {versions}",
    ]


def plain_snapshot(manifest: Manifest) -> dict[str, object]:
    """Return the same as plain values."""
    return {
        "number": manifest.number,
        "created": manifest.created,
        "version": manifest.version,
        "layers": list(manifest.upstream),
        "files": len(manifest.files),
        "size_bytes": manifest.size_bytes,
        **manifest.provenance,
    }


def fault_lines(manifest: Manifest, faults: list[Fault]) -> list[str]:
    """Return the lines of damaged files, and what to do."""
    files = counted(len(manifest.files), "file")
    if not faults:
        return [f"verified: {files} of snapshot {manifest.number} as they were written"]
    return [
        *(f"damaged: {fault.path}: {fault.reason}" for fault in faults),
        f"{len(faults)} of {files} of snapshot {manifest.number} damaged. Delete them and run again: results of the "
        "newest snapshot are made again; for an older one, restore them from a copy.",
    ]
