"""The commands from end to end: what they print, their errors and exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import INLINE, TINY
from loaded import loaded_by
from tiny_network import build

from network_atlas.cli.help_texts import SUMMARIES
from network_atlas.cli.main import main
from network_atlas.plan.refusals import in_short
from network_atlas.site.server import make_server
from network_atlas.store.root import Store


@pytest.fixture
def arguments(images: Path, tmp_path: Path) -> list[str]:
    return [*TINY, *INLINE, f'dataset.root="{images}"', f'store.root="{tmp_path / "atlas"}"']


@pytest.mark.parametrize("command", ["", *SUMMARIES])
def test_every_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*([command] if command else []), "--help"])
    assert ended.value.code == 0
    assert f"atlas {command or 'run'}" in capsys.readouterr().out.partition("example")[2]


def test_help_loads_nothing_heavy() -> None:
    program = "import network_atlas.cli.main\ntry: network_atlas.cli.main.main(['--help'])\nexcept SystemExit: pass"
    assert loaded_by(program, ("torch", "ray", "pyarrow", "hydra", "jinja2", "numpy")) == []


LOUD = """
import tiny_network

class Loud(tiny_network.Tiny):
    def forward(self, images):
        print("forward", tuple(images.shape))
        return super().forward(images)

def build():
    print("building")
    return Loud()
"""


@pytest.mark.parametrize("command", ["plan", "doctor"])
def test_json_is_all_that_stdout_holds_whatever_the_model_prints(
    command: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    monkeypatch.syspath_prepend(tmp_path)
    assert main([command, "--json", *arguments, "model.name=loud:build"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["format"]
    assert "forward (4, 3, " in printed.err


def test_plan_shows_the_work_and_changes_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) == 0
    output = capsys.readouterr().out
    for words in (
        "conv2",
        "12 x 8 x 8",
        "3 of 9 layers, 18 channels",
        "36; 0 done, 36 to do in 9 tasks",
        "12 examples",
        "of assembling: names and clarity of 26 channels",
    ):
        assert words in output
    assert not (tmp_path / "atlas").exists()


def test_plan_after_a_run_finds_everything_done(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 0
    assert f"atlas view {tmp_path / 'atlas'}" in capsys.readouterr().out
    assert main(["plan", *arguments]) == 0
    assert "36 done, 0 to do in 0 tasks" in capsys.readouterr().out


def test_multirun_makes_one_atlas_each(arguments: list[str], tmp_path: Path) -> None:
    assert main(["run", "-m", *arguments, "model.seed=1,2", "optimize.steps=1"]) == 0
    assert sorted(path.name for path in (tmp_path / "atlas").iterdir()) == ["model.seed=1", "model.seed=2"]


def test_flags_may_stand_between_overrides(arguments: list[str], tmp_path: Path) -> None:
    half = len(arguments) // 2
    assert main(["plan", *arguments[:half], "-m", *arguments[half:], "optimize.steps=1,2"]) == 0


def test_one_bad_job_of_a_grid_does_not_stop_the_others(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "-m", *arguments, "sweep.select.0.include=[conv1],[conv77],[conv2]"]) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\npictures  ") == 2
    assert "conv77" in captured.err


@pytest.mark.parametrize("unknown", ["--nonsense", "-x"])
def test_an_unknown_flag_is_refused(unknown: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["plan", *arguments, unknown])
    assert ended.value.code == 2
    assert "atlas plan --help" in capsys.readouterr().err


def test_nothing_is_cut_when_another_program_reads(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ["model=torchvision", "model.name=mobilenet_v3_small", "model.weights=none", "dataset.root=x"]
    assert main(["layers", "--all", *overrides]) == 0
    output = capsys.readouterr().out
    assert "…" not in output
    assert "Conv2dNormActivation" in output


def test_a_full_output_is_an_error_without_a_traceback(atlas_root: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "network_atlas", "status", str(atlas_root)]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 1
    assert ended.stderr == "atlas: No space left on device\n"


def test_status_shows_every_stage(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", *arguments])
    assert main(["status", str(tmp_path / "atlas")]) == 0
    output = capsys.readouterr().out
    assert "snapshot 1" in output
    assert [line.split()[:3] for line in output.splitlines() if line.startswith("optimize")] == [
        ["optimize", "36", "36"]
    ]


def test_layers_lists_the_layers_that_a_sweep_can_name(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", "--all", *arguments]) == 0
    output = capsys.readouterr().out
    for words in ("conv2", "Conv2d", "12 x 8 x 8", "output", "shared#1", "shared#2"):
        assert words in output


def test_layers_lists_each_unit_layer_once_with_its_parts(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["layers", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    layers = [line.split() for line in lines[1 : lines.index("")]]
    assert [words[1] for words in layers] == ["conv1", "conv2", "conv3", "output"]
    assert " ".join(layers[1][3:]) == "12 x 8 x 8 shared#1, shared#2 12"
    assert lines[-1].startswith("Not listed: 5 layers without")


def test_modules_that_cannot_be_captured_are_counted_by_reason(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folded = ["model.name=odd_networks:Folded", "sweep.select.0.types=[]", 'sweep.select.0.channels="0:1"']
    line = (
        "2 modules can't be captured, such as attend.{}: its output (64, 16, 6) has 16 rows for each image, such as "
        "windows or heads; take the block around it, whose output has one row for each"
    )
    assert main(["layers", *arguments, *folded]) == 0
    assert line.format("norm") in capsys.readouterr().out.splitlines()
    assert main(["plan", *arguments, *folded]) == 0
    assert line.format("mix") in " ".join(capsys.readouterr().out.split())
    assert main(["plan", *arguments, *folded, "sweep.select.0.include=[attend.norm]"]) != 0
    assert "take the block around it" in " ".join(capsys.readouterr().err.split())
    assert main(["run", *arguments, *folded, "sweep.select.0.include=[head, attend.*]", "optimize.steps=1"]) == 0
    assert "model: " + line.format("mix") in " ".join(capsys.readouterr().err.split())


def test_reasons_that_differ_in_numbers_only_are_of_one_kind() -> None:
    assert in_short({}) == []
    assert in_short(
        {"a": "its output (4, 3) has 5 axes", "b": "runs 2 times", "c": "its output (4, 9) has 6 axes"}
    ) == [
        "2 modules can't be captured, such as a: its output (4, 3) has 5 axes",
        "1 module can't be captured, b: runs 2 times",
    ]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sweep.select.0.include=[conv22]"], ["conv22", "Did you mean 'conv2'", "atlas layers"]),
        (["sweep.select.0.include=[shared]"], ["'shared' runs more than once", "shared#1, shared#2"]),
        (["sweep.select.0.include=[shared#1]"], ["'#'", "needs quotes"]),
        (["sweep.select.0.channels=[3,99]"], ["99", "conv1"]),
        (["sweep.select.0.types=[Conv3d]"], ["Conv3d", "Conv2d"]),
        (["optimise.steps=3"], ["optimise", "optimize"]),
        (["optimize.step=3"], ["unknown setting 'step'", "steps"]),
        (["model=resnet"], ["resnet", "torchvision"]),
        (["optimize.steps=many"], ["optimize.steps", "many"]),
        (["dataset.root=no/such/folder"], ["no/such/folder"]),
        (["model.arguments.classes=many"], ["could not be built"]),
        (["model.input.channels=4", "model.arguments.channels=4"], ["4"]),
    ],
)
def test_a_mistake_is_refused_before_any_work(
    overrides: list[str], words: list[str], arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments, *overrides]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert "Traceback" not in error
    assert not (tmp_path / "atlas").exists()


def test_an_empty_dataset_is_refused(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    assert main(["run", *arguments, f'dataset.root="{tmp_path / "empty"}"']) == 1
    assert "no images" in capsys.readouterr().err.lower()
    assert not (tmp_path / "atlas").exists()


def test_a_dataset_without_a_readable_image_ends_with_a_clear_message(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"nothing")
    assert main(["run", *arguments, f'dataset.root="{tmp_path / "broken"}"']) == 1
    assert "the dataset has 1 image, of which none could be read" in capsys.readouterr().err


def test_a_root_that_cannot_be_written_is_a_clear_error(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["run", *arguments, f'store.root="{tmp_path / "file" / "atlas"}"']) == 1
    assert "file/atlas" in capsys.readouterr().err


def test_view_without_pages_is_a_clear_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path)]) == 1
    assert "has no pages" in capsys.readouterr().err


def test_a_server_for_a_finished_atlas_gets_a_free_port(atlas_root: Path) -> None:
    with make_server(Store.open(str(atlas_root)), port=0) as server:
        assert server.server_address[1] > 0


def test_a_second_sigterm_does_not_interrupt_the_clean_up(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        main(["status", str(tmp_path)])
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("command", ["layers", "plan", "doctor"])
def test_a_checkpoint_below_the_home_folder_is_found_by_every_command(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(build().state_dict(), tmp_path / "x.pth")
    assert main([command, *arguments, "model.weights=~/x.pth"]) == 0
