"""Synthetic images, a tiny network's configuration, and whole small runs, shared by all tests."""

from __future__ import annotations

import importlib.util
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import Forking
from hypothesis import settings
from PIL import Image
from processes import without_fsync
from rich.console import Console
from tiny_network import build

from network_atlas.cli.progress import Progress
from network_atlas.config.compose import compose
from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import ModelConfig, RunConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.facts import model_facts
from network_atlas.pictures.target import Target
from network_atlas.run.result import Result
from network_atlas.run.stages import make_atlas

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 has its workers wait for all other tests
# pytest uses every core already. Further threads of torch wait for each other: a test may take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
without_fsync()
settings.register_profile("any machine", deadline=None)  # a busy one may take seconds for what takes milliseconds
settings.load_profile("any machine")

TESTS = Path(__file__).parent
PHOTOS = Path(os.environ.get("ATLAS_TEST_PHOTOS", TESTS.parent.parent / "shared" / "data" / "photos"))
CHECKPOINTS = Path(os.environ.get("ATLAS_TEST_CHECKPOINTS", PHOTOS.parent / "checkpoints"))

TINY = [
    "model=function",
    "model.name=tiny_network:build",
    "model.allow_code=true",
    "model.input.height=16",
    "model.input.width=16",
    "model.input.resize=16",
    "dataset=folder",
    "scan.span=4",
    "scan.batch=4",
    "scan.top_k=4",
    "scan.bottom_k=3",
    "sweep=select",
    'sweep.select.0.include=["**"]',
    "sweep.select.0.types=[Conv2d]",
    "sweep.select.0.spread=0",
    'sweep.select.0.channels="0:6"',
    "sweep.block=4",
    "optimize.height_px=16",
    "optimize.width_px=16",
    "optimize.steps=4",
    "optimize.dtype=float32",
    "optimize/transform=classic",
    "optimize.transform.jitter_px=1",
    "optimize.depth.follow=false",
    "assemble.crop_px=16",
    "priors.naturalness=recipe",  # whatever packages are installed
]
INLINE = ["executor=inline", "executor.threads=1"]
RAY = ["executor=ray", "executor.workers=2"]


def pytest_addoption(parser: pytest.Parser) -> None:
    about = "also what takes long and has a quicker test of its kind"
    parser.addoption("--exhaustive", action="store_true", help=about)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is exhaustive unless it is asked for, and have long tests come first.

    At the end each core then takes over short ones, and none waits for a long one.
    """
    if not config.getoption("--exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items[:] = dealt(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


@pytest.fixture(scope="session")
def exhaustive(request: pytest.FixtureRequest) -> bool:
    """Whether everything is to be tried, and not only a part."""
    return bool(request.config.getoption("--exhaustive"))


def dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the tests so that xdist, which gives each worker a piece of the list, spreads the long ones.

    Those of Ray are all the first one's: two local clusters never share the cores. Those of a folder stay together, as
    they share a cluster. The last worker has short ones only: long tests start processes of their own, and wait for
    these half of their time.
    """
    groups: dict[Path, list[pytest.Item]] = {}
    short = []
    for item in items:
        if any(item.get_closest_marker(name) for name in ("slow", "ray")):
            groups.setdefault(item.path if item.path.parent == TESTS else item.path.parent, []).append(item)
        else:
            short.append(item)
    pieces: list[list[pytest.Item]] = [[] for _ in range(workers)]
    without_ray = itertools.cycle(pieces[1:-1] or pieces[:1])
    for group in groups.values():
        has_ray = any(item.get_closest_marker("ray") for item in group)
        (pieces[0] if has_ray else next(without_ray)).extend(group)
    left, rest = len(items), iter(short)
    for number, piece in enumerate(pieces):
        size = left // (workers - number)  # as xdist's worksteal cuts the list
        left -= size
        piece += itertools.islice(rest, max(0, size - len(piece)))
    return [*itertools.chain.from_iterable(pieces), *rest]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 small images, the same every time."""
    return write_images(tmp_path_factory.mktemp("images"))


def write_images(folder: Path) -> Path:
    """Write 12 small images, the same every time, and return their folder."""
    generator = np.random.default_rng(0)
    for number in range(12):
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((20, 24), Image.Resampling.BICUBIC)
        image.save(folder / f"class{number % 3}_{number:02d}.png")
    return folder


@pytest.fixture
def tiny(images: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return a function that composes a run of the tiny network over the synthetic images, with further overrides."""

    def make(*overrides: str, root: str | Path | None = None) -> RunConfig:
        config = composed(images, overrides)
        if any(override.startswith("store.root=") for override in overrides):
            return config
        return replace(config, store=replace(config.store, root=str(root or tmp_path / "atlas")))

    return make


@cache
def composed(images: Path, overrides: tuple[str, ...]) -> RunConfig:
    """Compose a run of the tiny network. It takes a tenth of a second, and many tests give the same overrides."""
    return compose([*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", "store.root=atlas", *overrides])


def quietly(config: RunConfig) -> Result:
    """Run without a display."""
    with Progress(console=Console(file=io.StringIO())) as progress:
        return make_atlas(config, progress)


@pytest.fixture(scope="session")
def atlas_root(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished atlas of the tiny network, to read only."""
    root = tmp_path_factory.mktemp("finished") / "atlas"
    quietly(compose([*TINY, *INLINE, f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']))
    return root


@pytest.fixture
def finished(atlas_root: Path, tmp_path: Path) -> Path:
    """A finished atlas of the tiny network, to change: the root that `tiny()` names."""
    return Path(shutil.copytree(atlas_root, tmp_path / "atlas"))


@pytest.fixture(scope="session")
def retrained_root(atlas_root: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished atlas with two snapshots, to read only: in the second one, conv3 has other weights."""
    folder = tmp_path_factory.mktemp("retrained")
    model = build()
    model.get_submodule("conv3").weight.mul_(-1.5)
    torch.save(model.state_dict(), folder / "weights.pth")
    root = Path(shutil.copytree(atlas_root, folder / "atlas"))
    weights = f'model.weights="{folder / "weights.pth"}"'
    names = [f'dataset.root="{images}"', "dataset.label=name", f'store.root="{root}"']
    quietly(compose([*TINY, *INLINE, *names, weights]))
    return root


@pytest.fixture
def retrained(retrained_root: Path, tmp_path: Path) -> Path:
    """A finished atlas with two snapshots, to change."""
    return Path(shutil.copytree(retrained_root, tmp_path / "atlas"))


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """Where tests start `atlas` as a process of its own, in hundredths of a second."""
    with Forking(tmp_path_factory.mktemp("forked")) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One browser for all tests: a process can drive no second one at the same time."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright (pip install playwright)")
    chromium = shutil.which("chromium") or pytest.skip("needs chromium")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def watched_page(browser: Any, *, files: bool = False, warnings: bool = False) -> Iterator[Any]:
    """Open a page; at the end it had no error, nor a missing file or a warning where these are watched for."""
    problems: list[str] = []
    told = ("error", "warning") if warnings else ("error",)
    with browser.new_page() as page:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type in told else None)
        if files:
            page.on("requestfailed", lambda request: problems.append(f"{request.url} is missing"))
        yield page
        assert problems == []


@pytest.fixture(scope="session")
def photos() -> Path:
    """The folder of 993 labelled photos, if this machine has it."""
    if not PHOTOS.is_dir():
        pytest.skip("needs the folder of labelled photos (ATLAS_TEST_PHOTOS)")
    return PHOTOS


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """The folder of CIFAR-10 checkpoints, if this machine has it."""
    if not CHECKPOINTS.is_dir():
        pytest.skip("needs the folder of checkpoints (ATLAS_TEST_CHECKPOINTS)")
    return CHECKPOINTS


def needs(*modules: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test where one of the modules is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.fixture
def target(tiny: Callable[..., RunConfig]) -> Callable[..., Target]:
    """Return a function from names of layers to the tiny network, read in these layers."""
    model, config = build(), tiny().model
    layers = tiny_layers(config)

    def make(*names: str) -> Target:
        return Target(
            model=model, layers=[layers[name] for name in names], input=config.input, device=torch.device("cpu")
        )

    return make


@cache
def tiny_layers(config: ModelConfig) -> dict[str, LayerSpec]:
    return {layer.name: layer for layer in model_facts(build(), config).layers}


@pytest.fixture
def recipe(tiny: Callable[..., RunConfig]) -> OptimizeConfig:
    return tiny("optimize.steps=24").optimize
