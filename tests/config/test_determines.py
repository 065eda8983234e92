"""Every setting says which results it determines; keys, refusals and snapshots follow from that."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
import yaml

from network_atlas.config.compose import config_folder
from network_atlas.config.declare import ASSEMBLE, ATTRIBUTE, HASHED, LAYOUT, NOTHING, OPTIMIZE, PRIOR, ROLES, SCAN
from network_atlas.config.determines import determining, fixed_settings, recorded
from network_atlas.config.schema import RunConfig
from network_atlas.errors import RootMismatchError
from network_atlas.plan.plan import Plan
from network_atlas.run.inputs import assemble_task
from network_atlas.run.prepare import Prepared, check_settings, prepare
from network_atlas.run.record import record_plan
from network_atlas.store.results import RUN_FILE, Done

KNOWN = {SCAN, LAYOUT, PRIOR, OPTIMIZE, ATTRIBUTE, ASSEMBLE, HASHED, NOTHING}


def groups(kind: Any) -> Iterator[type]:
    """Yield the settings classes that a type holds, at any depth."""
    if get_origin(kind) in (Union, UnionType, tuple, dict, Annotated):
        for inner in get_args(kind):
            yield from groups(inner)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind, include_extras=True).values():
            yield from groups(hint)


GROUPS = sorted(set(groups(RunConfig)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", GROUPS, ids=lambda kind: kind.__name__)
def test_every_setting_says_which_results_it_determines(kind: type) -> None:
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if any(True for _ in groups(hints[field.name])) and ROLES not in field.metadata:
            continue  # a group: its own settings say it
        assert set(field.metadata.get(ROLES, ())) <= KNOWN, field.name
        assert field.metadata.get(ROLES), f"{kind.__name__}.{field.name} says nothing"
        assert NOTHING not in field.metadata[ROLES] or len(field.metadata[ROLES]) == 1


def changed(value: object, kind: Any) -> Iterator[object]:
    """Yield other allowed values of a setting."""
    if isinstance(value, bool):
        yield not value
    elif get_origin(kind) is Literal:
        yield from (choice for choice in get_args(kind) if choice != value)
    elif isinstance(value, int | float):
        yield from (value + 1, value * 2, value / 2, 0.3)
    elif isinstance(value, str):
        yield f"{value}x"
    elif isinstance(value, tuple) and value and isinstance(value[0], float):
        yield tuple(number + 1 for number in value)


def variations(config: RunConfig, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], RunConfig]]:
    """Yield (dotted path, roles, configuration), each with one changed setting below `path`."""
    group: Any = config
    for name in path:
        group = getattr(group, name)
    hints = typing.get_type_hints(type(group))
    for field in dataclasses.fields(group):
        value = getattr(group, field.name)
        if dataclasses.is_dataclass(value):
            yield from variations(config, (*path, field.name))
            continue
        for other in changed(value, hints[field.name]):
            try:
                variation = replaced(config, (*path, field.name), other)
            except ValueError:
                continue  # no such combination
            yield ".".join((*path, field.name)), field.metadata.get(ROLES, ()), variation
            break


def replaced(group: Any, path: tuple[str, ...], value: object) -> Any:
    name, *rest = path
    inner = replaced(getattr(group, name), tuple(rest), value) if rest else value
    return dataclasses.replace(group, **{name: inner})


def test_a_setting_of_the_recipe_changes_the_keys_of_pictures_or_nothing(tiny: Callable[..., RunConfig]) -> None:
    config = tiny()
    before = prepare(config, measured=False).plan
    for path, roles, other in variations(config, ("optimize",)):
        after = prepare(other, measured=False).plan
        warm = path == "optimize.warm_steps"  # changes nothing as long as there is no snapshot to start from
        assert (before.picture_keys != after.picture_keys) == (NOTHING not in roles and not warm), path
        assert before.scan_keys == after.scan_keys, path


def test_a_setting_of_the_scan_changes_the_keys_of_spans_or_nothing(tiny: Callable[..., RunConfig]) -> None:
    config = tiny("scan.sample=3")
    before = prepare(config, measured=False).plan
    for path, roles, other in variations(config, ("scan",)):
        after = prepare(other, measured=False).plan
        assert (before.scan_keys != after.scan_keys) == (NOTHING not in roles), path


NO_RESULTS = Done(scan={}, layout={}, optimize={}, calibrate={}, statistics={})


def tables(prepared: Prepared) -> list[str]:
    plan: Plan = prepared.plan
    done = dataclasses.replace(prepared, plan=dataclasses.replace(plan, spans=(), statistics_keys=()))
    bare = [dataclasses.replace(layer, scan_keys=(), pictures=()) for layer in plan.layers]
    return [assemble_task(layer, done, NO_RESULTS).key for layer in bare]


@pytest.mark.parametrize("group", ["scan", "layout", "attribute", "assemble", "executor", "store"])
def test_a_setting_changes_the_keys_of_tables_only_if_it_says_so(tiny: Callable[..., RunConfig], group: str) -> None:
    prepared = prepare(tiny())
    before = tables(prepared)
    for path, roles, other in variations(prepared.config, (group,)):
        after = tables(dataclasses.replace(prepared, config=other))
        assert (before != after) == (ASSEMBLE in roles), path


def test_settings_that_determine_nothing_are_neither_fixed_nor_recorded(tiny: Callable[..., RunConfig]) -> None:
    config = tiny("+optimize@recipes.other=fast")
    for settings in (fixed_settings(config), recorded(config)):
        assert not [path for path in settings if path.startswith(("executor", "store", "retry_failed"))]
        assert not {"scan.batch", "optimize.batch", "recipes.other.batch", "dataset.readers"} & set(settings)
        assert {"scan.top_k", "optimize.steps", "recipes.other.steps", "model.input.height"} <= set(settings)
    assert not {"model.weights", "dataset.version", "sweep.cosine_power"} & set(fixed_settings(config))
    assert {"model.weights", "dataset.version", "sweep.cosine_power"} <= set(recorded(config))


def test_settings_are_told_apart_by_stage(tiny: Callable[..., RunConfig]) -> None:
    config = tiny()
    assert "batch" not in determining(config.optimize, OPTIMIZE)
    assert determining(config.optimize, OPTIMIZE)["transform.scale_max"] == config.optimize.transform.scale_max
    assert determining(config.scan, SCAN).keys() == {"top_k", "bottom_k", "spectrum_k", "class_k"}


def defaults(kind: type) -> dict[str, object]:
    return {
        field.name: field.default_factory() if field.default is dataclasses.MISSING else field.default  # type: ignore[misc]
        for field in dataclasses.fields(kind)
        if not (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
    }


@pytest.mark.parametrize(
    "file", sorted(config_folder().rglob("*.yaml")), ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_no_file_repeats_a_default_of_the_schema(file: Path) -> None:
    hints = typing.get_type_hints(RunConfig)
    group = file.parent.name
    values = yaml.safe_load(file.read_text()) or {}
    if group not in hints or not isinstance(values, Mapping):
        return
    for kind in groups(hints[group]):
        if "name" in values and get_origin(typing.get_type_hints(kind).get("name")) is Literal:
            continue  # of a union: another member may have no such default
        repeated = {name for name, value in defaults(kind).items() if name in values and values[name] == value}
        assert not repeated, f"{file} repeats {repeated}"


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ([], ["+optimize@recipes.a=fast"], False),
        (["+optimize@recipes.a=fast"], [], False),
        (["+optimize@recipes.a=fast"], ["+optimize@recipes.b=fast"], False),
        (["+optimize@recipes.a=fast"], ["+optimize@recipes.a=fast", "recipes.a.steps=3"], True),
        (["+optimize@recipes.a=fast"], ["+optimize@recipes.a=fast", "recipes.a.batch=3"], False),
        ([], ["scan.batch=2", "sweep.block=2", "model.weights=none", "assemble.crop_px=32"], False),
        ([], ["optimize.transform.jitter_px=2"], True),
    ],
)
def test_a_root_refuses_other_settings_of_the_same_recipe_and_no_further_recipes(
    tiny: Callable[..., RunConfig], before: list[str], now: list[str], refused: bool
) -> None:
    prepared = prepare(tiny(*before), measured=False)
    record_plan(prepared)
    if refused:
        with pytest.raises(RootMismatchError, match=r"steps: |jitter_px: "):
            check_settings(prepared.store, tiny(*now))
    else:
        check_settings(prepared.store, tiny(*now))


def test_a_root_of_an_older_version_is_taken_with_settings_that_it_did_not_know(
    tiny: Callable[..., RunConfig],
) -> None:
    prepared = prepare(tiny(), measured=False)
    record_plan(prepared)
    record = json.loads(prepared.store.read(RUN_FILE))
    for path in ("optimize.transform.views", "dataset.max_pixels"):
        del record["fixed"][path]
    prepared.store.write(RUN_FILE, json.dumps(record).encode())
    check_settings(prepared.store, tiny())
    with pytest.raises(RootMismatchError, match="max_pixels: "):
        check_settings(prepared.store, tiny("dataset.max_pixels=5000"))
