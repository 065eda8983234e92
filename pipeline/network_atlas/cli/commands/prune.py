"""`atlas prune`: remove old snapshots, with the files that nothing else uses."""

from __future__ import annotations

import argparse

from network_atlas.cli.amounts import size
from network_atlas.cli.console import output
from network_atlas.cli.exit_codes import DONE
from network_atlas.cli.roots import root_of
from network_atlas.errors import counted
from network_atlas.store.lease import Lease
from network_atlas.store.prune import PrunePlan, plan_prune, prune
from network_atlas.store.root import Store


def command(options: argparse.Namespace) -> int:
    """Print what would be removed; with --yes, remove it. Return the exit code."""
    store = Store.open(root_of(options.root, command="prune"))
    plan = plan_prune(store, keep=options.keep)
    if not options.yes:
        for line in in_words(plan):
            output().print(line, markup=False)
        if plan.removed or plan.orphans:
            output().print("nothing was removed; the same command with --yes removes it", markup=False)
        return DONE
    with Lease(store):
        plan = plan_prune(store, keep=options.keep)  # again: a run may have ended in between
        prune(store, plan)
    for line in in_words(plan):
        output().print(line, markup=False)
    if plan.removed or plan.orphans:
        output().print("removed", markup=False)
    return DONE


def in_words(plan: PrunePlan) -> list[str]:
    """Return the lines that say what stays and what goes."""
    if not plan.removed and not plan.orphans:
        return [f"{counted(len(plan.kept), 'snapshot')}; nothing to remove"]
    files = counted(len(plan.files), "file")
    numbers = ", ".join(map(str, plan.removed)) or "none"
    return [
        f"kept      {counted(len(plan.kept), 'snapshot')}: {', '.join(map(str, plan.kept))}",
        f"removed   {counted(len(plan.removed), 'snapshot')}: {numbers}; {files} that only they use",
        f"          {counted(len(plan.orphans), 'file')} that nothing uses, left behind by killed writers",
        f"freed     {size(plan.size_bytes)}",
    ]
