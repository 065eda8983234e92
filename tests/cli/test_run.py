"""The last lines of `atlas run`: counts with the right plurals, and the next command."""

from __future__ import annotations

from collections.abc import Callable

from network_atlas.cli.commands.run import outcome, shortfalls
from network_atlas.config.schema import RunConfig
from network_atlas.run.result import Result
from network_atlas.store.manifest import Manifest

Tiny = Callable[..., RunConfig]


def result(**values: int) -> Result:
    manifest = Manifest(number=3, created="now", version="1", config={}, upstream={}, files=())
    counts = {"layers": 1, "pictures": 1, "unreadable": 0, "quarantined": 0} | values
    return Result(manifest=manifest, **counts)


def test_a_count_of_one_is_singular(tiny: Tiny) -> None:
    config = tiny(root="an atlas")
    assert outcome(config, result(), seconds=65)[0] == "1 picture of 1 layer in 1 min 05 s, snapshot 3."
    assert shortfalls(config, result(unreadable=1, quarantined=1)) == [
        "1 image could not be read and was left out: atlas status 'an atlas'",
        "1 picture could not be made and is left out; listed by: atlas status 'an atlas'. "
        "The same command with retry_failed=true tries again.",
    ]


def test_other_counts_are_plural(tiny: Tiny) -> None:
    config = tiny(root="atlas")
    assert outcome(config, result(layers=2, pictures=1200), seconds=5)[0] == (
        "1,200 pictures of 2 layers in 5 s, snapshot 3."
    )
    assert [line.split(" could")[0] for line in shortfalls(config, result(unreadable=2, quarantined=2))] == [
        "2 images",
        "2 pictures",
    ]


def test_a_complete_atlas_has_no_shortfalls(tiny: Tiny) -> None:
    assert shortfalls(tiny(root="atlas"), result()) == []
