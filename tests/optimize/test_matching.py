"""The penalty 'examples': pictures are matched with the examples that excite their unit most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import quietly

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.optimize.worker import OptimizeWorker
from network_atlas.plan.learned import prior_tasks
from network_atlas.priors.worker import PriorWorker
from network_atlas.run.inputs import StoredFiles
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status
from network_atlas.store.results import what_is_done

Tiny = Callable[..., RunConfig]
UNITS = ["sweep.select.0.include=[conv3]", "sweep.select.0.channels=[0,1,4]"]
STEPS = ["optimize.steps=6", "store.allow_changes=true", "sweep.block=12", "optimize.transform.scale_min=0.6"]


def examples(weight: float, **settings: object) -> str:
    more = "".join(f", {name}: {value}" for name, value in settings.items())
    return f"optimize.regularizers=[{{name: examples, weight: {weight}{more}}}]"


def pictures(config: RunConfig, root: Path) -> list[dict[str, Any]]:
    """Return the rows of the pictures that are asked for, without their twins, from the scan in `root`."""
    prepared = prepare(replace(config, store=replace(config.store, root=str(root))))
    inputs = StoredFiles(prepared, what_is_done(prepared.store))
    worker = OptimizeWorker(prepared.config, threads=1)
    return [
        row for task in prepared.plan.optimize_tasks(set(), inputs) if not task.recipe for row in worker._rows(task)
    ]


GREY = ["model.input.mean=[0.5]", "model.input.std=[0.2]"]
PATCHES = ["priors.patches.components=3", "priors.patches.patches=200", "priors.patches.iterations=2"]


def with_mixture(config: RunConfig, root: Path) -> list[dict[str, Any]]:
    """Return the rows of the sweep's pictures, which are compared with a mixture that is fitted first."""
    prepared = prepare(replace(config, store=replace(config.store, root=str(root))))
    worker = PriorWorker(prepared.config, threads=1)
    for task in prior_tasks(prepared.plan, what_is_done(prepared.store).prior, prepared.config):
        worker.run(task)
    return pictures(config, root)


@pytest.mark.parametrize("size", [(16, 16), (15, 21)])
def test_pictures_with_likely_patches_are_equal_alone_and_in_a_batch(
    tiny: Tiny, finished: Path, size: tuple[int, int]
) -> None:
    sized = [f"optimize.height_px={size[0]}", f"optimize.width_px={size[1]}", *UNITS, *STEPS, *PATCHES]
    rare = "optimize.regularizers=[{name: patches, weight: 1}, {name: l2, weight: 0.1}]"
    together = images(with_mixture(tiny(*sized, rare), finished))
    assert images(with_mixture(tiny(*sized, rare, "optimize.batch=1"), finished)) == together
    idle = "optimize.regularizers=[{name: patches, weight: 0}, {name: l2, weight: 0.1}]"
    without = images(pictures(tiny(*sized, "optimize.regularizers=[{name: l2, weight: 0.1}]"), finished))
    assert images(pictures(tiny(*sized, idle), finished)) == without != together


def test_a_mixture_follows_from_the_dataset_and_its_own_settings(tiny: Tiny) -> None:
    settings = [*UNITS, "optimize.regularizers=[{name: patches, weight: 1}]"]
    (model,) = prepare(tiny(*settings), measured=False).plan.learned
    for other in ("dataset.limit=9", "priors.patches.noise=0.03"):
        plan = prepare(tiny(*settings, other), measured=False).plan
        assert [each.kind for each in plan.learned] == ["patches"]
        assert plan.learned[0].key != model.key
    (same,) = prepare(tiny(*settings, "optimize.steps=9", "priors.denoiser.steps=9"), measured=False).plan.learned
    assert same.key == model.key


def images(rows: list[dict[str, Any]]) -> list[bytes]:
    return [row["image"]["bytes"] for row in rows]


@pytest.mark.parametrize("match", ["moments", "sorted"])
def test_pictures_alone_and_in_a_batch_are_equal_bit_for_bit(tiny: Tiny, atlas_root: Path, match: str) -> None:
    variants = "sweep.variants=[{objective: channel}, {objective: neuron}, {objective: channel, sign: '-'}]"
    settings = [*UNITS, *STEPS, variants, examples(1.0, match=match)]
    together = pictures(tiny(*settings), atlas_root)
    alone = pictures(tiny(*settings, "optimize.batch=1"), atlas_root)
    assert images(together) == images(alone)
    assert len(set(images(together))) == 9
    twins = {each.recipe for each in prepare(tiny(*settings), measured=False).plan.layers[0].pictures}
    assert twins == {"", "without_prior"}


def test_without_weight_pictures_are_those_of_the_recipe_without_it(tiny: Tiny, atlas_root: Path) -> None:
    without = images(pictures(tiny(*UNITS, *STEPS), atlas_root))
    assert images(pictures(tiny(*UNITS, *STEPS, examples(0.0)), atlas_root)) == without
    assert images(pictures(tiny(*UNITS, *STEPS, examples(1.0)), atlas_root)) != without


def test_first_layers_have_no_layer_in_which_they_are_matched(tiny: Tiny) -> None:
    first = prepare(tiny("sweep.select.0.include=[conv1]", *STEPS, examples(5.0)), measured=False).plan
    assert {task.matched for task in first.optimize_tasks(set())} == {()}


def test_half_size_steps_are_matched_with_examples_of_half_the_size(tiny: Tiny, atlas_root: Path) -> None:
    coarse = [*UNITS, *STEPS, "optimize.coarse=0.5"]
    assert images(pictures(tiny(*coarse, examples(1.0)), atlas_root)) != images(pictures(tiny(*coarse), atlas_root))


def test_pictures_of_which_the_scan_keeps_no_example_are_left_out_and_say_why(tiny: Tiny) -> None:
    config = tiny(*UNITS, examples(1.0), "sweep.variants=[{objective: channel, sign: '-'}]", "scan.bottom_k=0")
    assert quietly(config).quarantined == 3
    (optimize,) = [stage for stage in read_status(config.store.root).stages if stage.name == "optimize"]
    assert all("the scan keeps no example" in failure for failure in optimize.failures)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sweep.variants=[{objective: layer}]"], r"keeps for channels alone"),
        (
            ['sweep.combine=[{unit: "conv3:1 - conv3:2"}]'],
            r"conv3:1 - .*conv3:2.*give this picture a recipe without it",
        ),
    ],
)
def test_units_without_examples_are_refused_by_name(tiny: Tiny, overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(tiny(*UNITS, *overrides, examples(1.0)), measured=False)


def test_recipes_that_can_have_no_examples_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match="dataset=none"):
        tiny("dataset=none", "dataset.label=none", "model.input.channels=7", *GREY, examples(1.0))
    with pytest.raises(ConfigError, match=r"'patches' of optimize.*dataset=none"):
        tiny("dataset=none", "dataset.label=none", "optimize.regularizers=[{name: patches, weight: 1}]")
    with pytest.raises(ConfigError, match="not of cells"):
        tiny("layout=main_layers", "layout.recipe=''", examples(1.0))
    with pytest.raises(ConfigError, match="'examples' 2 times"):
        tiny("optimize.regularizers=[{name: examples, weight: 1}, {name: examples, weight: 2}]")
    with pytest.raises(ConfigError, match="weight"):
        tiny("optimize.regularizers=[{name: examples}]")


def test_keys_cover_the_examples_only_where_pictures_are_matched_with_them(tiny: Tiny) -> None:
    plans = {
        (weight, limit): prepare(tiny(*UNITS, examples(weight), f"dataset.limit={limit}"), measured=False).plan
        for weight in (0.0, 1.0)
        for limit in (0, 9)
    }
    asked = {
        name: {each.key for layer in plan.layers for each in layer.pictures if not each.recipe}
        for name, plan in plans.items()
    }
    assert asked[0.0, 0] == asked[0.0, 9]
    assert not asked[1.0, 0] & asked[1.0, 9]
    matched = {task.recipe: [layer.name for layer in task.matched] for task in plans[1.0, 0].optimize_tasks(set())}
    assert matched == {"": ["conv1", "conv2"], "without_prior": []}
    assert all(task.matched == () for task in plans[0.0, 0].optimize_tasks(set()))


def test_grey_images_and_other_numbers_of_layers(tiny: Tiny, tmp_path: Path) -> None:
    grey = ["model.arguments={channels: 1}", "model.input.channels=1", *GREY]
    odd = ["optimize.height_px=15", "optimize.width_px=21", "optimize.steps=2"]
    quietly(tiny(*UNITS, *grey, *odd, examples(1.0, layers=1, examples=2), root=tmp_path / "grey"))
    assert (tmp_path / "grey" / "atlas").is_dir()
