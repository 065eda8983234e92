"""The commands in jobs/ exist, and its scripts pass signals and exit codes on as they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import needs

from network_atlas.cli.exit_codes import STOPPED
from network_atlas.config.compose import compose

TESTS = Path(__file__).parents[1]
JOBS = TESTS.parent / "jobs"
FILES = sorted(file for file in JOBS.rglob("*") if file.is_file())
SCRIPTS = [file for file in FILES if file.suffix in (".sh", ".sbatch")]
BATCHES = [file for file in FILES if file.suffix == ".sbatch"]
PAGES = sorted(
    [JOBS.parent / "README.md", *(page for name in ("conf", "pipeline") for page in (JOBS.parent / name).glob("*.md"))]
)
COMMAND = re.compile(
    r"""(?:\batlas"?|-m\ network_atlas)\ (?:run|plan|doctor|layers|watch)\b|jobs/\S+\.(?:sh|sbatch)(?=\ )"""
)
OVERRIDE = re.compile(r"[+~]?[a-z_][\w./@]*=")
INLINE = re.compile(r"`([^`\n]+)`")


def commands(file: Path) -> list[list[str]]:
    """Return the overrides of each command in `file`, comments and examples included."""
    lines = []
    for line in file.read_text().replace("\\\n", " ").splitlines():
        for start in COMMAND.finditer(line):
            rest = re.split(r" [>&]|[`)]", line[start.end() :])[0]
            words = shlex.split(rest, comments=True)
            options = [word for before, word in pairwise(words) if before == "--fail-over"]  # its value: drift=.3
            lines.append([word for word in words if OVERRIDE.match(word) and word not in options])
    return lines


def inline_overrides(page: Path) -> list[list[str]]:
    """Return the overrides of each code span of `page` that consists of overrides alone."""
    spans = (
        shlex.split(text.removeprefix("... "))
        for text in INLINE.findall(page.read_text())
        if "'" not in text or text.count("'") % 2 == 0
    )
    return [words for words in spans if words and all(OVERRIDE.match(word) for word in words)]


@pytest.mark.parametrize("file", [*FILES, *PAGES], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_command_composes(file: Path) -> None:
    for overrides in {tuple(words) for words in commands(file)}:
        compose(overrides)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_override_in_a_page_names_keys_that_exist(page: Path) -> None:
    for overrides in {tuple(words) for words in inline_overrides(page)}:
        compose(overrides)


@pytest.mark.parametrize("page", [*PAGES, JOBS / "README.md"], ids=lambda page: f"{page.parent.name}/{page.name}")
def test_every_link_between_pages_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", sorted((JOBS.parent / "pipeline").glob("*.md")), ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    modules = re.findall(r"`((?!tests/)[a-z]+/[a-z_]+\.py)`", page.read_text())
    package = JOBS.parent / "pipeline" / "network_atlas"
    assert [name for name in modules if not (package / name).exists()] == []


def test_every_scheduler_runs_the_atlas() -> None:
    runs = {file.relative_to(JOBS).as_posix() for file in FILES if any(commands(file))}
    assert runs >= {"crontab", "systemd/atlas.service", "kubernetes/rayjob.yaml", "ray/submit.sh", "slurm/nodes.sbatch"}


def test_every_recipe_is_in_the_readme() -> None:
    text = (JOBS / "README.md").read_text()
    assert [file.name for file in FILES if file.name not in text and file.parent.name not in text] == []


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_scripts_are_sound(file: Path) -> None:
    subprocess.run(["bash", "-n", file], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", file], check=True)
    assert file.suffix == ".sbatch" or os.access(file, os.X_OK)


ATLAS = f"""#!{sys.executable}
import os, signal, sys, time
from pathlib import Path
def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(0.5)
    sys.exit({STOPPED})
signal.signal(signal.SIGTERM, stop)
with open(os.environ["NOTES"], "a") as notes:
    print("atlas", *sys.argv[1:], file=notes)
Path(os.environ["STARTED"]).touch()
time.sleep(float(os.environ["SLEEP"]))
sys.exit(int(os.environ["CODE"]))
"""
"""A command in the place of `atlas`: ends with the requested code, or as the real one with 75 after SIGTERM."""
AROUND = {
    "scontrol": 'if [ "$1" = show ]; then echo node7; echo node8; fi',
    "squeue": 'if [ "$CANCELLED" = no ]; then echo "12 main atlas R"; fi',
    "srun": 'set -m; "$@" & echo $! > "$GROUP"; wait $!',
    "ray": 'while [ "$1" != -- ]; do shift; done; shift; "$@"',
    "sbatch": 'wc -l < "$NOTES"',
}
"""Commands in the place of Slurm's and Ray's, as far as the scripts use them. Each records its arguments."""


@pytest.fixture
def commands_around(tmp_path: Path) -> dict[str, str]:
    """An environment with schedulers' commands that only record their arguments."""
    (tmp_path / "atlas").write_text(ATLAS)
    for name, body in AROUND.items():
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\necho "{name} $*" >> "$NOTES"\n{body}\n')
    for name in ("atlas", *AROUND):
        (tmp_path / name).chmod(0o755)
    return {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        **{name: str(tmp_path / name.lower()) for name in ("NOTES", "STARTED", "GROUP")},
        "SLURM_JOB_ID": "12",
        "SLURM_JOB_NODELIST": "node[7-8]",
        "SLURM_NNODES": "2",
        "SLEEP": "0",
        "CODE": "0",
        "CANCELLED": "no",
    }


@pytest.mark.parametrize("batch", BATCHES, ids=lambda file: file.name)
@pytest.mark.parametrize("code", [0, 1, 3, STOPPED])
@pytest.mark.parametrize("cancelled", ["no", "yes"])
def test_slurm_jobs_requeue_themselves_after_a_stop_only(
    batch: Path, code: int, cancelled: str, commands_around: dict[str, str]
) -> None:
    """`scancel` stops a run with the same signal as the end of its time; then Slurm no longer counts it as running."""
    environment = {**commands_around, "CODE": str(code), "CANCELLED": cancelled}
    assert subprocess.run(["bash", batch, "sweep=all"], env=environment, check=False).returncode == code
    requeued = "scontrol requeue 12" in Path(commands_around["NOTES"]).read_text()
    assert requeued == (code == STOPPED and cancelled == "no")


@pytest.mark.parametrize("batch", BATCHES, ids=lambda file: file.name)
def test_the_signal_before_the_time_limit_reaches_atlas(batch: Path, commands_around: dict[str, str]) -> None:
    """With `B:` Slurm sends it to the shell alone, else to all processes that `srun` started."""
    job = subprocess.Popen(["bash", batch], env={**commands_around, "SLEEP": "20"})
    while not Path(commands_around["STARTED"]).exists():
        time.sleep(0.05)
    if "#SBATCH --signal=B:TERM@120" in batch.read_text():
        for _ in range(3):  # Slurm may repeat it
            job.send_signal(signal.SIGTERM)
            time.sleep(0.1)
    else:
        assert "#SBATCH --signal=TERM@120" in batch.read_text()
        os.killpg(int(Path(commands_around["GROUP"]).read_text()), signal.SIGTERM)
    assert job.wait(timeout=15) == STOPPED
    assert "scontrol requeue 12" in Path(commands_around["NOTES"]).read_text()
    assert "#SBATCH --requeue" in batch.read_text()


def test_a_job_of_an_array_does_its_share(commands_around: dict[str, str]) -> None:
    array = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "8"}
    subprocess.run(["bash", JOBS / "slurm/node.sbatch", "sweep=all"], env={**commands_around, **array}, check=True)
    called = Path(commands_around["NOTES"]).read_text().split()
    assert called == ["atlas", "run", "sweep=all", "sweep.share=2/8"]
    assert compose(called[2:]).sweep.share == "2/8"


def test_an_array_ends_with_a_job_that_publishes(commands_around: dict[str, str]) -> None:
    subprocess.run([JOBS / "slurm/array.sh", "8", "sweep=all"], env=commands_around, check=True)
    job = f"{JOBS}/slurm/node.sbatch sweep=all"
    assert Path(commands_around["NOTES"]).read_text().splitlines() == [
        f"sbatch --parsable --array=1-8 {job}",
        f"sbatch --parsable --array=1-8 --dependency=afterany:1 {job}",
        f"sbatch --dependency=afterany:2 {job}",
    ]


@needs("ray")
def test_the_runtime_environment_ships_the_checkout() -> None:
    from ray.runtime_env import RuntimeEnv

    environment = yaml.safe_load((JOBS / "ray/runtime-env.yaml").read_text())
    assert set(RuntimeEnv(**environment)) >= {"working_dir", "excludes", "env_vars"}
    assert not {"pipeline", "conf"} & set(environment["excludes"])
    assert "python -m network_atlas run" in (JOBS / "ray/submit.sh").read_text()


@pytest.mark.parametrize(("code", "commands"), [(0, ["doctor", "run"]), (1, ["doctor"])])
def test_the_local_recipe_runs_what_doctor_lets_pass(
    code: int, commands: list[str], commands_around: dict[str, str]
) -> None:
    words = ["sweep=all", 'dataset.root="two words"']
    environment = {**commands_around, "CODE": str(code)}
    assert subprocess.run([JOBS / "local.sh", *words], env=environment, check=False).returncode == code
    called = Path(commands_around["NOTES"]).read_text().splitlines()
    assert called == [f"atlas {command} {' '.join(words)}" for command in commands]
