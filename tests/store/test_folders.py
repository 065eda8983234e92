"""Folders that one process removes while another is about to write there."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from network_atlas.store.root import STAGING, Store
from network_atlas.store.swap import open_swap

ROUNDS = 150


def write_and_delete(root: str, name: str) -> int:
    """Write into folders that become empty again and again, and return the number of writes."""
    store = Store.open(root).within(0)
    swap = open_swap(store)
    for _ in range(ROUNDS):
        path = f"failures/optimize/{name}.json"
        store.write(path, b"1")
        assert store.read(path) == b"1"
        assert path in store.list("")
        store.delete(path)
        assert swap.replace(f"leases/{name}.json", b"{}", None)
        store.delete(f"leases/{name}.json")
        with contextlib.suppress(OSError):  # as `atlas doctor` does in a new root
            os.rmdir(f"{root}/{STAGING}")
    return ROUNDS


def test_writers_that_write_and_delete_in_the_same_folders_do_not_disturb_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(write_and_delete, [str(tmp_path / "root")] * 4, "abcd")
        assert list(done) == [ROUNDS] * 4


def make_and_remove(folder: str) -> None:
    while True:
        os.makedirs(f"{folder}/inner")
        os.rmdir(f"{folder}/inner")
        os.rmdir(folder)


def test_a_folder_is_listed_while_another_process_makes_and_removes_it_and_what_is_in_it(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path)).within(0)
    other = multiprocessing.get_context("spawn").Process(target=make_and_remove, args=(str(tmp_path / "leases"),))
    other.start()
    try:
        while not store.filesystem.get_file_info(str(tmp_path / "leases")).type.value:
            time.sleep(0.01)
        end, listed = time.monotonic() + 0.7, 0
        while time.monotonic() < end or listed < 3000:
            assert store.list("leases") == []
            listed += 1
    finally:
        other.kill()
        other.join()


def test_the_root_itself_stays_when_its_last_file_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/lease.json").write_text("{}")
    Store.open(str(tmp_path / "root")).delete("lease.json")
    assert list(tmp_path.iterdir()) == [tmp_path / "root"]
