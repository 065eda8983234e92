"""The output of `atlas status`, for single and folded receipts, with and without a run on the root."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import quietly
from loaded import loaded_by

from network_atlas.cli.main import main
from network_atlas.config.schema import RunConfig
from network_atlas.run import running
from network_atlas.run.status import StageStatus, read_status
from network_atlas.store.receipts import fold
from network_atlas.store.root import Store


def by_name(root: Path) -> dict[str, StageStatus]:
    return {stage.name: stage for stage in read_status(str(root)).stages}


def test_every_stage_of_a_finished_run_is_done(atlas_root: Path) -> None:
    stages = by_name(atlas_root)
    assert {name: (stage.done, stage.total) for name, stage in stages.items()} == {
        "scan": (9, 9),
        "optimize": (36, 36),
        "calibrate": (36, 36),
        "assemble": (3, 3),
        "site": (3, 3),
    }
    for stage in stages.values():
        assert stage.seconds_left == 0
        assert stage.per_second is not None
        assert stage.last is not None
        assert 0 <= time.time() - stage.last < 3600


def test_half_done_says_how_long_the_rest_takes(finished: Path) -> None:
    for path in sorted((finished / "receipts" / "optimize").glob("*.json"))[:5]:
        path.unlink()
    stage = by_name(finished)["optimize"]
    assert 0 < stage.done < 36
    assert stage.total == 36
    assert stage.per_second is not None
    assert stage.seconds_left == pytest.approx((36 - stage.done) / stage.per_second)


def test_folded_receipts_count_the_same(finished: Path) -> None:
    before = read_status(str(finished))
    store = Store.open(str(finished))
    for stage in ("scan", "optimize", "calibrate"):
        assert fold(store, stage, at_least=1)
    assert read_status(str(finished)) == before


def test_a_run_folds_and_a_second_one_finds_everything(
    tiny: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = []

    def eager(store: Store, stage: str) -> int:
        folds.append(fold(store, stage, at_least=1))
        return folds[-1]

    monkeypatch.setattr(running, "fold", eager)
    monkeypatch.setattr(running, "FOLD_AT", 4)
    quietly(tiny())
    assert sum(folds) > 9
    assert not list((tmp_path / "atlas" / "receipts" / "optimize").glob("*.json"))
    assert by_name(tmp_path / "atlas")["optimize"].done == 36
    assert quietly(tiny()).manifest.number == 1


def test_a_root_without_a_lease_is_free(atlas_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(atlas_root)]) == 0
    output = capsys.readouterr().out
    assert "nobody is working on it" in output
    assert output.endswith("; finished\n")


def test_a_root_with_a_lost_result_is_not_finished(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next((finished / "receipts" / "optimize").iterdir()).unlink()
    assert main(["status", str(finished)]) == 0
    assert capsys.readouterr().out.endswith("; not finished: the same command goes on\n")


@pytest.mark.parametrize(("ago", "words"), [(3, "has been working on it for"), (300, "ended without notice")])
def test_the_holder_of_the_root_is_named(
    finished: Path, ago: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    lease = {"host": "node7", "pid": 42, "run": "r1", "since": now - 900, "heartbeat": now - ago}
    (finished / "lease.json").write_text(json.dumps(lease | {"processes": "", "pid_started": None}))
    assert main(["status", str(finished)]) == 0
    output = capsys.readouterr().out
    assert "process 42 on node7 (run r1)" in output
    assert words in output
    assert main(["status", str(finished), "--json"]) == 0
    holder = json.loads(capsys.readouterr().out)["holder"]
    assert (holder["host"], holder["pid"], holder["alive"]) == ("node7", 42, ago == 3)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"host": "x"}', '{"host": 1, "pid": "x", "run": 1, "since": 0}'])
def test_a_damaged_lease_is_free(finished: Path, content: str) -> None:
    (finished / "lease.json").write_text(content)
    assert read_status(str(finished)).holder is None


def test_the_json_has_the_fields_that_the_help_names(atlas_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(atlas_root), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert list(status) == [
        "format", "root", "model", "dataset", "examples", "stages", "holder", "holders", "unreadable", "snapshot",
    ]  # fmt: skip
    assert [list(stage) for stage in status["stages"]] == 5 * [
        ["name", "unit", "done", "total", "failures", "per_second", "seconds_left", "last_activity"]
    ]
    assert status["format"] == 1
    assert status["snapshot"]["number"] == 1


def test_status_loads_none_of_the_large_libraries(atlas_root: Path) -> None:
    program = f"import network_atlas.cli.main\nnetwork_atlas.cli.main.main(['status', {str(atlas_root)!r}])"
    assert loaded_by(program, ("torch", "ray", "hydra", "torchvision", "pandas", "polars", "scipy")) == []
