"""A run with nothing to do answers from stamps; any change of what it was made from sends it the long way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import INLINE, TINY, composed, quietly, write_images
from processes import PYTHON_PATH
from tiny_network import build

from network_atlas.config.schema import RunConfig
from network_atlas.dataset import open_source
from network_atlas.run import unchanged
from network_atlas.run.read_files import stop_watching, watch_reading
from network_atlas.run.result import Result
from network_atlas.run.unchanged import RECORD, Watching


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunConfig, Result]:
    """A complete run from a file of weights, and its result."""
    folder = tmp_path_factory.mktemp("unchanged")
    (folder / "images").mkdir()
    torch.save(build().state_dict(), folder / "weights.pt")
    config = composed(write_images(folder / "images"), (f'model.weights="{folder}/weights.pt"',))
    config = replace(config, store=replace(config.store, root=str(folder / "atlas")))
    return config, quietly(config)


@pytest.fixture(autouse=True)
def only_pythons_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have loaded a library that opens files unseen."""
    monkeypatch.setattr(unchanged, "UNSEEN", ())


def test_a_library_that_opens_files_unseen_leaves_no_record(
    run: tuple[RunConfig, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, root, _folder = again(run)
    (root / RECORD).unlink()
    monkeypatch.setattr(unchanged, "UNSEEN", ("safetensors",))
    monkeypatch.setitem(sys.modules, "safetensors", unchanged)
    Watching(config).keep(run[1])
    assert not (root / RECORD).exists()


def again(run: tuple[RunConfig, Result]) -> tuple[RunConfig, Path, Path]:
    """Record the run as it is now; return its settings, its root, and the folder with its files."""
    config, result = run
    Watching(config).keep(replace(result, examples=open_source(config.dataset).examples()))
    assert Watching(config).answer() is not None
    root = Path(config.store.root)
    return config, root, root.parent


def test_an_unchanged_run_has_the_result_of_the_run_before(run: tuple[RunConfig, Result]) -> None:
    config, _root, _folder = again(run)
    answer = Watching(config).answer()
    assert answer is not None
    assert replace(answer, examples=run[1].examples) == run[1]


def _touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "weights": lambda root, folder: torch.save(build().state_dict(), folder / "weights.pt"),
    "times of the weights": lambda root, folder: _touch(folder / "weights.pt"),
    "another file under the same name": lambda root, folder: os.replace(
        folder / "images" / "class0_00.png", folder / "images" / "class0_03.png"
    ),
    "a new image": lambda root, folder: (folder / "images" / "new.png").write_bytes(
        (folder / "images" / "class1_01.png").read_bytes()
    ),
    "a shard": lambda root, folder: _touch(next((root / "visualizations").rglob("*.parquet"))),
    "a lost shard": lambda root, folder: next((root / "scan").rglob("*.parquet")).unlink(),
    "a lost page": lambda root, folder: (root / "site" / "index.html").unlink(),
    "a new file in the root": lambda root, folder: (root / "failures.json").write_text("{}"),
    "the lease of another run": lambda root, folder: (root / "lease.json").write_text("{}"),
    "a damaged record": lambda root, folder: (root / RECORD).write_text("{"),
    "a cut record": lambda root, folder: (root / RECORD).write_text("{}"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_any_file_sends_the_run_the_long_way(
    run: tuple[RunConfig, Result], change: Callable[[Path, Path], object]
) -> None:
    config, root, folder = again(run)
    change(root, folder)
    assert Watching(config).answer() is None
    (root / "lease.json").unlink(missing_ok=True)


def test_other_settings_environment_or_modules_send_it_the_long_way(
    run: tuple[RunConfig, Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config, _root, _folder = again(run)
    assert Watching(replace(config, scan=replace(config.scan, batch=2))).answer() is None
    monkeypatch.setenv("WIDTH_OF_MY_NETWORK", "2")
    assert Watching(config).answer() is None
    monkeypatch.delenv("WIDTH_OF_MY_NETWORK")
    for name in ("SSH_TTY", "TMUX_PANE", "XDG_SESSION_ID"):  # of another login
        monkeypatch.setenv(name, "9")
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert Watching(config).answer() is not None
    (tmp_path / "torch.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert Watching(config).answer() is None


def test_the_folder_of_the_root_is_not_taken_for_a_new_package(
    run: tuple[RunConfig, Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    config = replace(run[0], store=replace(run[0].store, root="atlases/tiny"))
    watching = Watching(config)
    shutil.copytree(run[0].store.root, tmp_path / "atlases" / "tiny")
    watching.keep(replace(run[1], examples=open_source(config.dataset).examples()))
    assert Watching(config).answer() is not None


def test_incomplete_results_and_shares_leave_no_record(run: tuple[RunConfig, Result]) -> None:
    config, root, _folder = again(run)
    (root / RECORD).unlink()
    share = replace(config, sweep=replace(config.sweep, share="1/2"))
    for settings, result in [
        (config, replace(run[1], quarantined=1)),
        (config, replace(run[1], manifest=None)),
        (share, run[1]),
        (replace(config, store=replace(config.store, root="s3://bucket/atlas")), run[1]),
    ]:
        Watching(settings).keep(result)
        assert not (root / RECORD).exists()
        assert Watching(settings).answer() is None


def test_a_file_that_changes_after_it_was_read_leaves_no_record(run: tuple[RunConfig, Result]) -> None:
    config, root, folder = again(run)
    (root / RECORD).unlink()
    watching = Watching(config)
    torch.save(build().state_dict(), folder / "weights.pt")
    watching.keep(run[1])
    assert not (root / RECORD).exists()


def test_files_that_python_opens_are_stamped_but_not_those_it_writes(tmp_path: Path) -> None:
    for name in ("before.txt", "read.txt", "after.txt"):
        (tmp_path / name).touch()
    stamps = watch_reading()
    (tmp_path / "read.txt").read_text()
    os.close(os.open(tmp_path / "read.txt", os.O_RDONLY))
    (tmp_path / "written.txt").write_text("x")
    stop_watching()
    (tmp_path / "after.txt").read_text()
    assert [path for path in stamps if path.startswith(str(tmp_path))] == [str(tmp_path / "read.txt")]


def test_nothing_to_do_loads_neither_torch_nor_ray(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    settings = [*TINY, *INLINE, f'dataset.root="{write_images(tmp_path / "images")}"', f'store.root="{tmp_path}/atlas"']
    code = (
        "import sys; from network_atlas.cli.main import main; code = main(sys.argv[1:]); "
        "print('loaded:', *[name for name in ('torch', 'ray', 'numba') if name in sys.modules]); sys.exit(code)"
    )
    for loaded in ("loaded: torch", "loaded:\n"):
        process = subprocess.run(
            [sys.executable, "-c", code, "run", *settings],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": PYTHON_PATH},
        )
        assert loaded in process.stdout
    assert "nothing has changed" in process.stderr
