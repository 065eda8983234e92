"""The exit codes of `atlas`. Their meaning must not change: schedulers act on them."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""An error, whose message says how to fix it; also if `atlas doctor` has a line that is not ok."""
USAGE = 2
"""The command line itself is wrong. argparse uses the same code."""
INCOMPLETE = 3
"""Everything is published except pictures that could not be made."""
DRIFTED = 4
"""`atlas diff`: a measure is above what --fail-over allows."""
STOPPED = 75
"""The run was stopped; the same command resumes it. EX_TEMPFAIL of sysexits.h."""
