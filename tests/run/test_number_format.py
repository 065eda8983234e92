"""`dtype: auto` gives one set of keys in a root, whichever machine starts the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.models import device
from network_atlas.run import stages
from network_atlas.run.number_format import FORMAT, dtypes_of, keep
from network_atlas.run.prepare import prepare
from network_atlas.store.root import Store

AUTO = ("optimize.dtype=auto", "sweep.select.0.include=[conv1]", 'sweep.select.0.channels="0:1"', "dataset=none")


def on_a_machine(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    monkeypatch.setattr(device, "_processor_has_bfloat16", lambda: bfloat16)


def test_the_first_run_of_a_root_decides(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(*AUTO, "dataset.root=''", "dataset.label=none")
    on_a_machine(monkeypatch, bfloat16=False)
    assert quietly(config).manifest.number == 1
    keys = prepare(config, measured=False).plan.picture_keys
    on_a_machine(monkeypatch, bfloat16=True)
    assert prepare(config, measured=False).plan.picture_keys == keys
    store = Store.open(str(tmp_path / "new"))
    assert dtypes_of(config, store) == {"": "bfloat16"}
    store.write(FORMAT.file, b"{")  # damaged: chosen and kept anew
    assert keep(config, store, {"": "bfloat16"})
    on_a_machine(monkeypatch, bfloat16=False)
    assert dtypes_of(config, store) == {"": "bfloat16"}
    assert dtypes_of(tiny("optimize.dtype=float32"), store) == {"": "float32"}


def test_of_two_first_runs_one_plans_anew(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(*AUTO, "dataset.root=''", "dataset.label=none")
    on_a_machine(monkeypatch, bfloat16=False)
    original, plans = stages.prepare, []

    def slow(config: RunConfig) -> object:
        plans.append(original(config))
        if len(plans) == 1:  # meanwhile a share starts on another machine
            assert keep(config, Store.open(config.store.root), {"": "bfloat16"})
        return plans[-1]

    monkeypatch.setattr(stages, "prepare", slow)
    quietly(config)
    assert [dict(prepared.plan.dtypes) for prepared in plans] == [{"": "float32"}, {"": "bfloat16"}]
