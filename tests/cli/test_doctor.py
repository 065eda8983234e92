"""The lines of `atlas doctor` about real faults; it leaves no file behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import INLINE, TINY
from torch import nn

from network_atlas.cli import run_checks
from network_atlas.cli.checks import Check, checkup
from network_atlas.cli.commands.plan import print_plan
from network_atlas.cli.machine_checks import versions_fit
from network_atlas.cli.main import main
from network_atlas.config.schema import InputConfig, RunConfig
from network_atlas.dataset import Listing
from network_atlas.dataset.sources import FileSource
from network_atlas.errors import SetupError
from network_atlas.models import load
from network_atlas.models.first_pass import run_once

LINES = [
    "versions",
    "device",
    "threads",
    "cluster",
    "store",
    "model",
    "frozen",
    "repeatable",
    "dataset",
    "plan",
    "space",
]
Tiny = Callable[..., RunConfig]


def checked(config: RunConfig) -> dict[str, Check]:
    return {check.name: check for check in checkup(config)}


def only_wrong(config: RunConfig, name: str) -> str:
    """Return the text of the only line that is not ok, apart from the plan, which depends on the others."""
    checks = checked(config)
    wrong = {check.name: check.says for check in checks.values() if not check.ok}
    assert list(wrong) in ([name], [name, "plan"]), wrong
    return wrong[name]


def test_without_faults_every_line_says_ok_and_no_file_is_left(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "deep" / "atlas"}"']
    assert main(["doctor", *overrides]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", name] for name in LINES]
    assert list(tmp_path.iterdir()) == []


def test_the_json_says_the_same(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*TINY, *INLINE, f'dataset.root="{tmp_path / "nowhere"}"', f'store.root="{tmp_path / "atlas"}"']
    assert main(["doctor", *overrides, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["format"], report["ok"]) == (1, False)
    assert [check["name"] for check in report["checks"]] == LINES[:-1]  # without a plan there is nothing to weigh
    assert all(list(check) == ["name", "ok", "says"] for check in report["checks"])
    assert main(["doctor", *overrides]) == 1
    assert "NOT OK  dataset" in capsys.readouterr().out


def test_an_existing_atlas_is_not_changed(atlas_root: Path, tiny: Tiny) -> None:
    before = sorted(atlas_root.rglob("*"))
    assert all(check.ok for check in checkup(tiny(root=atlas_root)))
    assert sorted(atlas_root.rglob("*")) == before


def test_a_package_of_another_version_is_named(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "old" / "numpy-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(str(tmp_path / "old"))
    assert "numpy is 0.1, but numpy>=1.26 is needed" in only_wrong(tiny(), "versions")


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "ours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: ours\nVersion: 1.0\nRequires-Dist: not-there>=2\n"
        'Requires-Dist: nor-this; extra == "more"\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(SetupError, match=r"^not-there is missing, but not-there>=2 is needed\. Install"):
        versions_fit("ours")
    with pytest.raises(SetupError, match="pip install"):
        versions_fit("no-such-distribution")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_named(tiny: Tiny) -> None:
    says = only_wrong(tiny("executor=ray", "~executor.threads", "executor.gpus_per_worker=1"), "device")
    assert "set executor.gpus_per_worker=0" in says


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["executor.threads=5000"], ["executor.threads=5000", "processors", "or 0"]),
        (
            ["executor=ray", "~executor.threads", "executor.workers=5000"],
            ["executor.workers=5000", "executor.workers=0"],
        ),
    ],
)
def test_more_threads_than_processors_are_named(tiny: Tiny, overrides: list[str], words: list[str]) -> None:
    says = only_wrong(tiny(*overrides), "threads")
    assert all(word in says for word in words), says


def test_a_cluster_that_does_not_answer_is_named(tiny: Tiny) -> None:
    config = tiny("executor=ray", "~executor.threads", "executor.address=127.0.0.1:9")
    says = only_wrong(config, "cluster")
    assert "127.0.0.1:9" in says
    assert "ray start --head" in says


def test_a_root_that_cannot_be_written_is_named(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = checked(tiny(root=tmp_path / "file" / "atlas"))["store"]
    assert not check.ok
    assert "file/atlas" in check.says


def test_weights_that_cannot_be_read_are_named(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(b"PK no checkpoint")
    assert "torn.pth" in only_wrong(tiny(f'model.weights="{tmp_path / "torn.pth"}"'), "model")


def test_a_model_that_cannot_be_imported_is_named(tiny: Tiny) -> None:
    assert "no_such_module" in only_wrong(tiny("model.name=no_such_module:build"), "model")


def test_the_model_is_really_run_to_see_whether_its_numbers_are_repeatable(tiny: Tiny) -> None:
    check = checked(tiny())["repeatable"]
    assert check.ok
    assert check.says.startswith("an image's numbers ")


def test_equal_bits_are_reported(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "place_difference", lambda model, images: 0.0)
    says = checked(tiny())["repeatable"].says
    assert says.startswith("an image's numbers do not depend on the others in its batch (batches of ")


def test_numbers_that_depend_on_the_batch_are_reported_as_ok(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "place_difference", lambda model, images: 2.4e-7)
    check = checked(tiny())["repeatable"]
    assert check.ok
    assert "an image's numbers differ by up to 2e-7 (relative)" in check.says


def test_a_network_that_returns_no_tensor_is_not_measured(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "place_difference", lambda model, images: float("nan"))
    assert checked(tiny())["repeatable"].says.startswith("not measured: ")


def test_nothing_is_measured_without_a_model(tiny: Tiny) -> None:
    check = checked(tiny("model.name=no_such_module:build"))["repeatable"]
    assert check.ok
    assert check.says.startswith("not measured: ")


def test_frozen_passes_are_tried_and_what_hinders_them_is_said(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked(tiny())["frozen"].says.startswith("yes: ")
    assert checked(tiny("model.frozen=false"))["frozen"].says == "no: model.frozen=false"
    monkeypatch.setattr("network_atlas.models.frozen.freeze.VALUES_DIFFER", -1.0)
    check = checked(tiny())["frozen"]
    assert check.ok
    assert check.says.startswith("no, the network runs as it is, which takes longer: its values would differ by ")


@pytest.fixture
def mixed(tmp_path: Path, images: Path) -> Callable[[int, int], str]:
    """Return a function that makes a folder of broken images followed by good ones."""

    def make(broken: int, whole: int) -> str:
        folder = tmp_path / "mixed"
        folder.mkdir()
        for number in range(broken):
            (folder / f"a{number}.png").write_bytes(b"no image")
        for path in sorted(images.iterdir())[:whole]:
            (folder / path.name).write_bytes(path.read_bytes())
        return f'dataset.root="{folder}"'

    return make


def test_images_that_cannot_be_read_are_named(tiny: Tiny, mixed: Callable[[int, int], str]) -> None:
    says = only_wrong(tiny(mixed(5, 5)), "dataset")
    assert "none of the first 5 images" in says
    assert "a0.png" in says


def test_some_broken_images_are_mentioned_and_ok(tiny: Tiny, mixed: Callable[[int, int], str]) -> None:
    checks = checked(tiny(mixed(2, 6)))
    assert all(check.ok for check in checks.values())
    assert "3 of the first 5 read; a0.png" in checks["dataset"].says


def test_files_that_the_listing_of_the_dataset_leaves_out_are_named_and_ok(
    tiny: Tiny, mixed: Callable[[int, int], str], tmp_path: Path
) -> None:
    folder = mixed(0, 6)
    (tmp_path / "mixed/photo.heic").write_bytes(b"x")
    checks = checked(tiny(folder, 'dataset.exclude=["dog/*"]'))
    assert all(check.ok for check in checks.values())
    assert checks["dataset"].says.endswith(
        "read; skipped 1 file of another kind: 1 .heic ('photo.heic'); dataset.exclude: 'dog/*' matches no image"
    )


def test_a_folder_that_is_not_there_is_named(tiny: Tiny, tmp_path: Path) -> None:
    assert "nowhere" in only_wrong(tiny(f'dataset.root="{tmp_path / "nowhere"}"'), "dataset")


def test_a_sweep_that_fits_nothing_is_named(tiny: Tiny) -> None:
    assert "conv77" in only_wrong(tiny("sweep.select.0.include=[conv77]"), "plan")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_without_space_is_named(tiny: Tiny, small_disk: Path) -> None:
    big = ["optimize.height_px=512", "optimize.width_px=512"]
    says = only_wrong(tiny(*big, root=small_disk / "atlas"), "space")
    assert "free and the plan writes" in says
    assert list(small_disk.iterdir()) == []


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The loads of a model and the listings of a dataset in this process, in order."""
    calls: list[str] = []

    def run(model: nn.Module, config: InputConfig) -> None:
        calls.append("model")
        run_once(model, config)

    def listing(source: FileSource) -> Listing:
        calls.append("dataset")
        return listed(source)

    listed = FileSource.listing
    monkeypatch.setattr(load, "run_once", run)  # a part of each loading
    monkeypatch.setattr(FileSource, "listing", listing)
    return calls


def test_the_model_is_loaded_and_the_dataset_is_listed_once(tiny: Tiny, calls: list[str]) -> None:
    assert all(check.ok for check in checkup(tiny()))
    assert calls == ["model", "dataset"]


def test_a_plan_that_times_a_calibration_loads_and_lists_once(
    tiny: Tiny, calls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_plan(tiny(), as_json=True) == 0
    assert calls == ["model", "dataset"]


def test_modules_that_cannot_be_captured_are_counted_with_a_reason(tiny: Tiny) -> None:
    assert "can't be captured" not in checked(tiny())["model"].says
    says = checked(tiny("model.name=odd_networks:Random", "sweep.select.0.include=[conv]"))["model"].says
    assert "; 2 modules can't be captured, such as output: two passes over the same images differ" in says
