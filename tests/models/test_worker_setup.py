"""Workers of one process share their model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from network_atlas.config.schema import RunConfig
from network_atlas.models.load import load_model
from network_atlas.models.worker_setup import set_up_worker

Tiny = Callable[..., RunConfig]


def test_workers_of_one_process_share_one_model_while_any_of_them_holds_it(tiny: Tiny) -> None:
    config = tiny()
    scan, optimize = set_up_worker(config, threads=1), set_up_worker(replace(config, retry_failed=True), threads=1)
    assert scan.model is optimize.model
    other = set_up_worker(replace(config, model=replace(config.model, seed=7)), threads=1)
    assert other.model is not scan.model


def test_a_checkpoint_that_was_written_anew_is_another_model(tiny: Tiny, tmp_path: Path) -> None:
    config, file = tiny(), tmp_path / "weights.pth"
    state = load_model(config.model).state_dict()
    torch.save(state, file)
    config = replace(config, model=replace(config.model, weights=str(file)))
    before = set_up_worker(config, threads=1)
    torch.save({name: values + 1 for name, values in state.items()}, file)
    os.utime(file, ns=(0, 1))
    after = set_up_worker(config, threads=1)
    assert after.model is not before.model
    assert any(
        not torch.equal(old, new) for old, new in zip(before.model.parameters(), after.model.parameters(), strict=True)
    )


def test_other_files_behind_the_same_index_are_another_model(tiny: Tiny, tmp_path: Path) -> None:
    config, index, part = tiny(), tmp_path / "model.bin.index.json", tmp_path / "model-1.bin"
    state = load_model(config.model).state_dict()
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, part.name)}))
    config = replace(config, model=replace(config.model, weights=str(index)))
    torch.save(state, part)
    before = set_up_worker(config, threads=1)
    same = set_up_worker(config, threads=1)
    assert same.model is before.model
    torch.save({name: values + 1 for name, values in state.items()}, part)
    os.utime(part, ns=(0, 1))
    after = set_up_worker(config, threads=1)
    for old, new in zip(before.model.parameters(), after.model.parameters(), strict=True):
        assert torch.allclose(old + 1, new)
