"""`atlas doctor`: print a line for each check of a run, or one JSON object."""

from __future__ import annotations

import argparse

from network_atlas.cli.checks import checkup
from network_atlas.cli.configurations import config_of
from network_atlas.cli.console import output, print_json
from network_atlas.cli.exit_codes import DONE, FAILED

FORMAT = 1
"""Version of the JSON object. Fields may be added; none is renamed or gets another meaning."""


def command(options: argparse.Namespace) -> int:
    """Print each check as it is done; return an exit code that says whether all are ok."""
    checks = []
    for check in checkup(config_of(options)):
        checks.append(check)
        if not options.json:
            output().print(f"{'ok' if check.ok else 'NOT OK':<8}{check.name:<12}{check.says}", markup=False)
    all_ok = all(check.ok for check in checks)
    if options.json:
        plain = [{"name": check.name, "ok": check.ok, "says": check.says} for check in checks]
        print_json({"format": FORMAT, "ok": all_ok, "checks": plain})
    return DONE if all_ok else FAILED
