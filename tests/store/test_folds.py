"""Folding never changes the receipts that readers see, even if it is interrupted or another process folds too."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from network_atlas.errors import StoreError
from network_atlas.store import receipts
from network_atlas.store.folds import decode, encode
from network_atlas.store.receipts import FOLDS_AT_MOST, Receipt, commit, fold, read_receipts
from network_atlas.store.root import Store
from network_atlas.store.shards import FileEntry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root"))


def receipt(number: int, *, stage: str = "optimize", files: int = 1) -> Receipt:
    return Receipt(
        stage=stage,
        task=f"{number:032x}",
        keys=(f"key-{number}", f"other-{number}"),
        files=tuple(FileEntry(path=f"x/{number}-{k}", size_bytes=5, sha256="0", rows=2) for k in range(files)),
        seconds=1.5,
        unreadable=number % 2,
    )


def names(store: Store) -> tuple[int, int]:
    """Return the numbers of single receipts and of folds."""
    return len(store.list("receipts/optimize")), len(store.list("receipts/folded/optimize"))


_TEXT = some.text(alphabet="abcdef/.-0123456789", min_size=1, max_size=12)
_FILES = some.builds(
    FileEntry, path=_TEXT, size_bytes=some.integers(0, 2**40), sha256=_TEXT, rows=some.integers(0, 2**31)
)
_RECEIPTS = some.builds(
    Receipt,
    stage=some.just("scan"),
    task=_TEXT,
    keys=some.lists(_TEXT, max_size=4).map(tuple),
    files=some.lists(_FILES, max_size=3).map(tuple),
    seconds=some.floats(0, 1e6),
    unreadable=some.integers(0, 1000),
    finished=some.floats(0, 4e9),
)


@given(some.lists(_RECEIPTS, max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_receipts_come_back_from_a_fold_as_they_were(receipts: list[Receipt]) -> None:
    assert [Receipt(stage="scan", **fields) for fields in decode(encode(receipts))] == receipts


def test_folding_does_not_change_the_receipts_that_are_read(store: Store) -> None:
    receipts = [commit(store, receipt(number, files=number % 3)) for number in range(7)]
    assert fold(store, "optimize", at_least=7) == 7
    assert names(store) == (0, 1)
    assert read_receipts(store, "optimize") == receipts
    later = commit(store, receipt(100))
    assert read_receipts(store, "optimize") == [*receipts, later]


def test_few_receipts_stay_single(store: Store) -> None:
    commit(store, receipt(1))
    assert fold(store, "optimize", at_least=2) == 0
    assert names(store) == (1, 0)


def test_many_folds_become_one(store: Store) -> None:
    receipts = []
    for number in range(FOLDS_AT_MOST + 1):
        receipts.append(commit(store, receipt(number)))
        fold(store, "optimize", at_least=1)
    assert names(store) == (0, 1)
    assert read_receipts(store, "optimize") == receipts


def test_a_task_done_again_counts_with_its_latest_receipt(store: Store) -> None:
    commit(store, receipt(1, files=1))
    fold(store, "optimize", at_least=1)
    anew = commit(store, receipt(1, files=2))
    assert read_receipts(store, "optimize") == [anew]
    fold(store, "optimize", at_least=1)
    assert read_receipts(store, "optimize") == [anew]


@pytest.mark.parametrize("survivors", [0, 1, 4])
def test_a_kill_while_folding_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, survivors: int) -> None:
    """The kill comes before the fold is written (0), right after it, or during the deletions."""
    made = [commit(store, receipt(number)) for number in range(5)]
    steps = iter(range(survivors))
    write, delete = Store.write, Store.delete

    def killed(original: object) -> object:
        def step(self: Store, *arguments: object) -> None:
            if next(steps, None) is None:
                raise KeyboardInterrupt
            original(self, *arguments)  # type: ignore[operator]

        return step

    monkeypatch.setattr(Store, "write", killed(write))
    monkeypatch.setattr(Store, "delete", killed(delete))
    with pytest.raises(KeyboardInterrupt):
        fold(store, "optimize", at_least=5)
    monkeypatch.undo()
    assert read_receipts(store, "optimize") == made
    fold(store, "optimize", at_least=1)
    assert read_receipts(store, "optimize") == made


def test_a_reader_sees_every_receipt_whenever_another_run_folds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run folds all at once just after the reader has listed the single receipts."""
    made = [commit(store, receipt(number)) for number in range(5)]
    listed = receipts._single_paths

    def then_folded(store: Store, stage: str) -> list[str]:
        paths = listed(store, stage)
        monkeypatch.undo()
        fold(store, "optimize", at_least=1)
        return paths

    monkeypatch.setattr(receipts, "_single_paths", then_folded)
    assert read_receipts(store, "optimize") == made


def test_a_reader_sees_every_receipt_when_folds_become_one(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for number in range(FOLDS_AT_MOST):
        made.append(commit(store, receipt(number)))
        fold(store, "optimize", at_least=1)
    made.append(commit(store, receipt(FOLDS_AT_MOST)))
    listed = receipts._fold_paths

    def then_merged(store: Store, stage: str) -> list[str]:
        paths = listed(store, stage)
        monkeypatch.undo()
        fold(store, "optimize", at_least=1)
        return paths

    monkeypatch.setattr(receipts, "_fold_paths", then_merged)
    assert read_receipts(store, "optimize") == made


def test_two_runs_that_fold_the_same_receipts_lose_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [commit(store, receipt(number)) for number in range(5)]
    write = Store.write

    def then_the_other(self: Store, path: str, data: bytes) -> None:
        monkeypatch.undo()
        write(self, path, data)
        fold(self, "optimize", at_least=1)

    monkeypatch.setattr(Store, "write", then_the_other)
    fold(store, "optimize", at_least=1)
    assert names(store) == (0, 1)
    assert read_receipts(store, "optimize") == made


def test_a_damaged_fold_counts_as_missing_and_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    commit(store, receipt(1))
    fold(store, "optimize", at_least=1)
    (path,) = store.list("receipts/folded/optimize")
    store.write(path, store.read(path)[:-9])
    assert read_receipts(store, "optimize") == []
    assert path in caplog.text


def test_a_receipt_has_the_time_of_its_commit(store: Store) -> None:
    before = round(time.time(), 3)
    made = commit(store, receipt(1))
    assert before <= made.finished <= time.time() + 0.001
    assert read_receipts(store, "optimize") == [made]


def test_a_root_that_cannot_be_read_is_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(store, receipt(1))

    def broken(self: Store, path: str) -> bytes:
        raise StoreError("input/output error")

    monkeypatch.setattr(Store, "read", broken)
    with pytest.raises(StoreError, match="input/output"):
        read_receipts(store, "optimize")
