"""The exit codes of `atlas`. Schedulers act on them, so they keep their meaning."""

from __future__ import annotations

DONE = 0
FAILED = 1
"""An error that the message says how to fix; also a `doctor` that reports a line that is not ok."""
USAGE = 2
"""The command line itself is wrong. argparse uses the same number."""
INCOMPLETE = 3
"""Everything is published except pictures that could not be made."""
STOPPED = 75
"""EX_TEMPFAIL of sysexits.h: the run was stopped; the same command resumes it."""
