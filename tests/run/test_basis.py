"""A run says of each layer why its results are reused, new or made again, compared with the newest snapshot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import quietly
from PIL import Image
from tiny_network import build
from torch import nn

from network_atlas.config.schema import RunConfig
from network_atlas.plan.reasons import Reason, in_groups
from network_atlas.run.basis import reasons_of
from network_atlas.run.prepare import prepare
from network_atlas.store.results import what_is_done
from network_atlas.store.root import Store

Tiny = Callable[..., RunConfig]


def why(config: RunConfig) -> list[Reason]:
    prepared = prepare(config, measured=False)
    return list(reasons_of(prepared, what_is_done(prepared.store).keys))


def checkpoint(folder: Path, change: Callable[[nn.Module], object]) -> str:
    """Save the tiny network's weights after a change; return the override that loads them."""
    model = build()
    change(model)
    torch.save(model.state_dict(), folder / "changed.pth")
    return f"model.weights={folder / 'changed.pth'}"


def changed(model: nn.Module, name: str) -> None:
    with torch.no_grad():
        model.get_parameter(name)[0] += 0.5


def test_the_same_weights_reuse_everything(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    assert in_groups(why(tiny())) == ["reused      conv1 to conv3 (3 layers)"]
    # In a file of its own, and wrapped as a training script does.
    assert {reason.state for reason in why(tiny(checkpoint(tmp_path, lambda _: None)))} == {"reused"}


def test_layers_behind_a_changed_weight_name_it_and_the_others_are_reused(
    finished: Path, tiny: Tiny, tmp_path: Path
) -> None:
    each = why(tiny(checkpoint(tmp_path, lambda model: changed(model, "conv2.bias"))))
    assert [reason.state for reason in each] == ["reused", "recomputed", "recomputed"]
    assert each[1].changed == each[2].changed == ("conv2.bias",)
    assert in_groups(each) == [
        "reused      conv1 (1 layer)",
        "recomputed  conv2 to conv3 (2 layers): conv2.bias changed",
    ]


def test_a_changed_head_makes_only_the_head(tiny: Tiny, tmp_path: Path) -> None:
    whole = ["sweep.select.0.include=[conv3, output]", "sweep.select.0.types=[]", "sweep.select.0.channels=[0]"]
    quietly(tiny(*whole))
    head = tiny(*whole, checkpoint(tmp_path, lambda model: changed(model, "fc.weight")))
    assert in_groups(why(head)) == [
        "reused      conv3 (1 layer)",
        "recomputed  output (1 layer): fc.weight changed",
    ]


def test_a_trained_network_is_one_line(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    def trained(model: nn.Module) -> None:
        for name, _ in model.named_parameters():
            changed(model, name)

    assert in_groups(why(tiny(checkpoint(tmp_path, trained)))) == [
        "recomputed  conv1 to conv3 (3 layers): conv1.weight changed, and 5 other parts of the network up to there"
    ]


@pytest.mark.parametrize(
    ("override", "state"),
    [
        ("optimize.steps=5", "recomputed  conv1 to conv3 (3 layers, pictures only): optimize.steps: 4 -> 5"),
        ("scan.top_k=5", "recomputed  conv1 to conv3 (3 layers, scan only): scan.top_k: 4 -> 5"),
        ("model.version=v2", 'recomputed  conv1 to conv3 (3 layers): model.version: "" -> v2'),
        ("model.input.resize=17", "recomputed  conv1 to conv3 (3 layers): model.input.resize: 16 -> 17"),
    ],
)
def test_a_setting_is_named_with_both_values(finished: Path, tiny: Tiny, override: str, state: str) -> None:
    assert in_groups(why(tiny(override, "store.allow_changes=true"))) == [state]


def test_settings_that_an_older_version_did_not_know_are_named_only_where_nothing_else_changed(
    finished: Path, tiny: Tiny
) -> None:
    (basis,) = (finished / "basis").iterdir()
    record = json.loads(basis.read_bytes())
    del record["settings"]["optimize.coarse"]
    basis.write_text(json.dumps(record))
    assert in_groups(why(tiny())) == ["reused      conv1 to conv3 (3 layers)"]
    changed_too = in_groups(why(tiny("optimize.steps=5", "store.allow_changes=true")))
    assert changed_too == ["recomputed  conv1 to conv3 (3 layers, pictures only): optimize.steps: 4 -> 5"]
    for file in (finished / "visualizations").rglob("*.parquet"):
        file.unlink()
    (line,) = in_groups(why(tiny()))
    assert line.endswith("or a setting counts that the snapshot's version did not have: optimize.coarse")


def test_the_number_format_is_named(finished: Path, tiny: Tiny) -> None:
    (line,) = in_groups(why(tiny("optimize.dtype=bfloat16", "store.allow_changes=true")))
    assert line.startswith("recomputed  conv1 to conv3 (3 layers, pictures only): ")
    assert "number format of the recipe: float32 -> bfloat16" in line


def test_new_images_and_lost_files_are_named(finished: Path, tiny: Tiny, images: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(images, tmp_path / "more"))
    Image.new("RGB", (20, 20)).save(more / "zz_last.png")
    (line,) = in_groups(why(tiny(f"dataset.root={more}", "store.allow_changes=true")))
    assert line == (
        "recomputed  conv1 to conv3 (3 layers, scan only): dataset: 12 -> 13 examples, 1 of 3 spans changed"
    )
    next((finished / "visualizations/layer_slug=0002-conv2").iterdir()).unlink()
    lost = why(tiny())[1]
    assert (lost.state, lost.missing) == ("recomputed", ("pictures",))
    assert "missing or damaged" in lost.text


def test_a_run_says_why_in_its_log_and_keeps_the_basis_of_its_snapshot(
    finished: Path, tiny: Tiny, tmp_path: Path
) -> None:
    config = tiny(checkpoint(tmp_path, lambda model: changed(model, "conv3.weight")), "store.allow_changes=true")
    assert quietly(config).manifest.number == 2
    newest = max((finished / "logs").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    lines = [json.loads(line) for line in newest.read_text().splitlines()]
    assert [line["message"] for line in lines if line["event"] == "layers"] == [
        "reused      conv1 to conv2 (2 layers)",
        "recomputed  conv3 (1 layer): conv3.weight changed",
    ]
    assert [path.name[:6] for path in sorted((finished / "basis").iterdir())] == ["00001-", "00002-"]
    assert in_groups(why(config)) == ["reused      conv1 to conv3 (3 layers)"]


def test_a_run_reads_the_newest_manifest_before_it_works_and_when_it_publishes(
    finished: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Store.read

    def noted(self: Store, path: str) -> bytes:
        read.append(path)
        return original(self, path)

    monkeypatch.setattr(Store, "read", noted)
    quietly(tiny())
    assert len([path for path in read if path.startswith("manifests/")]) == 2


def test_a_lost_basis_costs_only_the_names(finished: Path, tiny: Tiny, tmp_path: Path) -> None:
    config = tiny(checkpoint(tmp_path, lambda model: changed(model, "conv2.bias")))
    (basis,) = (finished / "basis").iterdir()
    for content in ("{", '{"spans": 5}', ""):
        basis.write_text(content)
        each = why(config)
        assert [reason.state for reason in each] == ["reused", "recomputed", "recomputed"]
        assert each[1].text == "the network up to it changed"


def test_a_new_root_says_so(tiny: Tiny) -> None:
    assert in_groups(why(tiny())) == ["new         conv1 to conv3 (3 layers): nothing is published yet"]
