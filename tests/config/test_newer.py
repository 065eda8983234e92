"""A setting that an older version did not know is no change; one that a user gave is."""

from __future__ import annotations

import pytest
from conftest import INLINE

from network_atlas.config.compose import compose
from network_atlas.config.determines import recorded
from network_atlas.config.newer import declared_defaults, in_common


@pytest.fixture(scope="module")
def settings() -> dict[str, object]:
    return recorded(compose([*INLINE, "store.root=x", "+optimize@recipes.maco=maco", "dataset.hierarchy=imagenet"]))


@pytest.mark.parametrize(
    ("path", "defaults"),
    [
        ("dataset.views", (1,)),
        ("dataset.include", ([],)),
        ("sweep.directions.method", ("k_means",)),
        ("sweep.variants.7.sign", ("+",)),
        ("optimize.steps", ()),
        ("recipes.maco.steps", ()),
        ("optimize.prior.strength", ()),
        ("optimize.nonsense", None),
        ("model.arguments.depth", None),
        ("sweep.variants.0.position.row", None),
        ("gone.with.it", None),
    ],
)
def test_defaults_are_those_of_the_declarations(path: str, defaults: tuple[object, ...] | None) -> None:
    assert declared_defaults(path) == defaults


def test_every_recorded_setting_is_declared_but_for_the_users_own_names(settings: dict[str, object]) -> None:
    assert [path for path in settings if declared_defaults(path) is None] == []


@pytest.mark.parametrize(
    "unknown", ["sweep.directions.", "layout.examples", "optimize.depth.late_coarse", "scan.class_k", "dataset.views"]
)
def test_what_an_older_version_did_not_know_is_left_out(settings: dict[str, object], unknown: str) -> None:
    old = {path: value for path, value in settings.items() if not path.startswith(unknown)}
    assert old != settings
    given = {"dataset.views": 16} if unknown == "dataset.views" else {}  # of `photos`, and not the default
    assert in_common(settings, old) == {**old, **given}
    assert in_common(old, settings) == old


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"dataset.limit": 5}, {"dataset.limit": 5}),
        ({"model.arguments.depth": 3}, {"model.arguments.depth": 3}),
        ({"sweep.select.1.include": ["a"], "sweep.select.1.types": []}, {"sweep.select.1.include": ["a"]}),
        ({"recipes.lucid.steps": 4}, {"recipes.lucid.steps": 4}),
    ],
)
def test_what_a_user_gave_stays(given: dict[str, object], left: dict[str, object]) -> None:
    old: dict[str, object] = {"dataset.root": "", "model.arguments.width": 1, "recipes.maco.steps": 4}
    assert in_common({**old, **given}, old) == {**old, **left}
