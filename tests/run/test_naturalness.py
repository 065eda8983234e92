"""`priors.naturalness: auto` measures wherever a denoiser is at hand, and as the root's first run did."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import quietly

from network_atlas import open_atlas
from network_atlas.cli.commands.plan import print_plan
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.priors import opening
from network_atlas.priors.denoiser import Denoiser
from network_atlas.run import naturalness
from network_atlas.run.naturalness import CHOICE, how_to_measure, keep_naturalness
from network_atlas.run.prepare import prepare
from network_atlas.store.root import Store

Tiny = Callable[..., RunConfig]
AUTO = (
    "priors.naturalness=auto",
    "sweep.select.0.include=[conv2]",
    'sweep.select.0.channels="0:2"',
    "sweep.variants=[{objective: channel}]",
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Return a function that has the package of the packaged denoiser there, with small weights, or not there."""
    torch.manual_seed(0)
    weights = tmp_path / opening.FILE
    torch.save(Denoiser(3, 8, 3, gives_noise=False).state_dict(), weights)
    monkeypatch.setattr(opening, "SHA256", opening.hashlib.sha256(weights.read_bytes()).hexdigest())

    real = opening.packaged_file

    def switch(there: bool) -> None:
        def of(package: str) -> str:
            if there:
                return opening.VERSION
            raise importlib.metadata.PackageNotFoundError(package)

        monkeypatch.setattr(opening.importlib.metadata, "version", of)
        monkeypatch.setattr(opening.importlib.metadata, "files", of)
        monkeypatch.setattr(opening, "packaged_file", (lambda: weights) if there else real)

    return switch


def source_of(config: RunConfig) -> str:
    model = prepare(config, measured=False).plan.measuring_model
    return model.source if model else ""


def test_a_run_without_a_prior_measures_by_the_installed_package(
    tiny: Tiny, installed: Callable[[bool], None], tmp_path: Path
) -> None:
    installed(True)
    config = tiny(*AUTO)
    quietly(config)
    (pictures,) = [row["visualizations"] for row in open_atlas(config.store.root).table("atlas").to_pylist()][:1]
    assert all(0 <= shown["naturalness"] <= 100 for shown in pictures)
    without = tiny(*AUTO, "priors.naturalness=none", f'store.root="{tmp_path / "other"}"')
    keys = [prepare(each, measured=False).plan.picture_keys for each in (config, without)]
    assert keys[0] == keys[1], "what measures pictures is no part of them"
    installed(False)
    with pytest.raises(ConfigError, match=r"priors\.naturalness=none"):
        prepare(config, measured=False)


def test_a_recipes_own_denoiser_comes_first(tiny: Tiny, installed: Callable[[bool], None]) -> None:
    installed(True)
    assert source_of(tiny(*AUTO)) == "packaged"
    assert source_of(tiny(*AUTO, "optimize/prior=denoiser")) == "trained"
    assert source_of(tiny(*AUTO, "optimize/prior=denoiser", "optimize.prior.strength=0")) == "packaged"
    assert source_of(tiny(*AUTO, "dataset=none", "dataset.root=''", "dataset.label=none")) == ""


def test_a_root_without_the_package_stays_without_and_the_plan_says_how_to_get_it(
    tiny: Tiny, installed: Callable[[bool], None], capsys: pytest.CaptureFixture[str]
) -> None:
    installed(False)
    config = tiny(*AUTO, "optimize.steps=1")
    store = Store.open(config.store.root)
    plan = prepare(config, measured=False).plan
    assert plan.measuring_model is None
    assert "priors.naturalness=packaged" in how_to_measure(config, plan)
    print_plan(config, as_json=False)
    assert "natural   of no picture" in capsys.readouterr().out
    assert keep_naturalness(config, store, plan)
    installed(True)
    assert source_of(config) == "", "what the first run chose holds"
    assert source_of(tiny(*AUTO, "priors.naturalness=packaged")) == "packaged"
    assert not how_to_measure(tiny(*AUTO, "priors.naturalness=none"), plan)


def test_of_two_first_runs_the_later_one_plans_anew(tiny: Tiny, installed: Callable[[bool], None]) -> None:
    installed(True)
    config = tiny(*AUTO)
    plan = prepare(config, measured=False).plan
    assert CHOICE.keep(Store.open(config.store.root), "none")
    assert not keep_naturalness(config, Store.open(config.store.root), plan)


def test_the_package_is_looked_for_where_it_is_installed() -> None:
    try:
        importlib.metadata.version(opening.PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        assert not opening.is_installed()
    else:
        assert naturalness.is_installed()
