"""`atlas prior train`: the models of a run without its pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from network_atlas.cli.main import main
from network_atlas.config.compose import compose
from network_atlas.plan.learned import prior_tasks
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done


def train(words: list[str], root: Path, *more: str) -> int:
    return main(["prior", "train", *words, f'store.root="{root}"', *more])


def test_it_trains_once_what_a_run_takes_and_makes_no_pictures(
    prior_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(prior_words, tmp_path) == 0
    assert capsys.readouterr().out.startswith("denoiser  trained on 12 images: noise 25")
    prepared = prepare(compose([*prior_words, f'store.root="{tmp_path}"']), measured=False)
    done = what_is_done(prepared.store)
    assert prior_tasks(prepared.plan, done.prior, prepared.config) == []
    assert not done.optimize
    assert not done.scan
    (file,) = (tmp_path / "priors" / "denoiser").iterdir()
    before = file.stat().st_mtime_ns
    assert train(prior_words, tmp_path) == 0
    assert capsys.readouterr().out.startswith("denoiser  was there, trained on 12 images")
    assert file.stat().st_mtime_ns == before


def test_a_configuration_that_takes_no_model_is_refused_with_those_that_do(
    prior_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(prior_words, tmp_path, "optimize/prior=none") == 1
    assert "optimize/prior=denoiser" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json*"))


def test_there_is_nothing_else_to_do_with_priors(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["prior", "optimize/prior=denoiser"])
    assert ended.value.code == 2
    assert "choose from" in capsys.readouterr().err
