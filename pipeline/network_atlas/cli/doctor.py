"""What `atlas doctor` prints: a line for each thing that a run needs, or one JSON object."""

from __future__ import annotations

import json

from network_atlas.cli.checks import checkup
from network_atlas.cli.console import output
from network_atlas.config.schema import RunConfig

FORMAT = 1
"""Of the JSON object. Fields may be added; none is renamed or given another meaning."""


def doctor_command(config: RunConfig, *, as_json: bool = False) -> int:
    """Print a line for each thing that a run needs; return 1 if any is not as it must be."""
    checks = []
    for check in checkup(config):
        checks.append(check)
        if not as_json:
            output().print(f"{'ok' if check.ok else 'NOT OK':<8}{check.name:<10}{check.says}", markup=False)
    fine = all(check.ok for check in checks)
    if as_json:
        plain = [{"name": check.name, "ok": check.ok, "says": check.says} for check in checks]
        print(json.dumps({"format": FORMAT, "ok": fine, "checks": plain}, indent=1))  # noqa: T201
    return 0 if fine else 1
