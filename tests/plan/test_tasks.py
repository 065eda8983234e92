from __future__ import annotations

from collections.abc import Callable

import pytest

from network_atlas.config.schema import RunConfig
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.make import Dataset, make_plan
from network_atlas.plan.plan import Plan
from network_atlas.plan.sweep import expand_sweep

LAYERS = tuple(
    LayerSpec(index=index, name=name, type="Conv2d", channels=8, height=4, width=4)
    for index, name in enumerate(("first", "second", "third"))
)
EXAMPLES = [(f"{number:03d}.png", "1kB") for number in range(12)]


def facts(**upstream: str) -> ModelFacts:
    hashes = {layer.name: f"hash-of-{layer.name}" for layer in LAYERS} | upstream
    return ModelFacts(
        layers=LAYERS,
        bases={layer.name: ("Conv2d",) for layer in LAYERS},
        unsupported={},
        repeats={},
        upstream=hashes,
        share={layer.name: 0.5 for layer in LAYERS},
        forward_seconds=0.01,
        class_names=(),
    )


def plan_of(
    config: RunConfig, *, model_facts: ModelFacts | None = None, examples: list[tuple[str, str]] = EXAMPLES
) -> Plan:
    model_facts = model_facts or facts()
    sweep = expand_sweep(model_facts, config.sweep)
    return make_plan(
        config,
        model_facts,
        sweep.selections,
        Dataset(examples=examples, sample_limit="f", images_limit="f"),
        dtypes={"": "float32"},
    )


def keys(plan: Plan, layer: str) -> set[str]:
    return {key for layer_plan in plan.layers if layer_plan.layer.name == layer for key in layer_plan.scan_keys} | {
        picture.key for layer_plan in plan.layers if layer_plan.layer.name == layer for picture in layer_plan.pictures
    }


@pytest.mark.parametrize(
    "override",
    [
        "scan.batch=2",
        "optimize.batch=3",
        "sweep.block=2",
        "executor.threads=2",
        "store.root=elsewhere",
        "dataset.readers=1",
        "assemble.crop_px=32",
    ],
)
def test_settings_that_change_no_result_change_no_key(tiny: Callable[..., RunConfig], override: str) -> None:
    before, after = plan_of(tiny()), plan_of(tiny(override))
    assert before.picture_keys == after.picture_keys
    assert before.scan_keys == after.scan_keys


@pytest.mark.parametrize(
    "override",
    [
        "optimize.steps=5",
        "optimize.learning_rate=0.1",
        "optimize.height_px=32",
        "optimize.transform.jitter_px=2",
        "optimize.parameterization.decay=0.9",
        "model.input.mean=[0.5]",
    ],
)
def test_settings_that_change_a_picture_change_its_key(tiny: Callable[..., RunConfig], override: str) -> None:
    before, after = plan_of(tiny()), plan_of(tiny(override))
    assert not set(before.picture_keys) & set(after.picture_keys)


@pytest.mark.parametrize(
    "override", ["scan.top_k=2", "dataset.seed=3", "dataset.max_pixels=9", "model.input.resize=20"]
)
def test_settings_that_change_a_scan_change_its_key(tiny: Callable[..., RunConfig], override: str) -> None:
    before, after = plan_of(tiny()), plan_of(tiny(override))
    assert not set(before.scan_keys) & set(after.scan_keys)


def test_a_wider_sweep_keeps_the_earlier_keys(tiny: Callable[..., RunConfig]) -> None:
    narrow = plan_of(tiny("sweep.select.0.include=[second]", "sweep.select.0.channels=[1,5]"))
    wide = plan_of(tiny("sweep.select.0.channels=all"))
    assert set(narrow.picture_keys) < set(wide.picture_keys)
    assert set(narrow.scan_keys) < set(wide.scan_keys)


def test_every_picture_has_a_key_of_its_own(tiny: Callable[..., RunConfig]) -> None:
    plan = plan_of(tiny())
    assert len(set(plan.picture_keys)) == len(plan.picture_keys) == 3 * 6 * 2
    assert len(set(plan.scan_keys)) == len(plan.scan_keys) == 3 * len(plan.spans)


def test_retraining_a_layer_changes_only_later_layers(tiny: Callable[..., RunConfig]) -> None:
    before = plan_of(tiny())
    after = plan_of(tiny(), model_facts=facts(third="retrained"))
    assert keys(before, "first") == keys(after, "first")
    assert not keys(before, "third") & keys(after, "third")


def test_a_changed_image_changes_its_span_only(tiny: Callable[..., RunConfig]) -> None:
    changed = [*EXAMPLES[:-1], (EXAMPLES[-1][0], "2kB")]
    before, after = plan_of(tiny()), plan_of(tiny(), examples=changed)
    assert [old == new for old, new in zip(before.layers[0].scan_keys, after.layers[0].scan_keys, strict=True)] == [
        True,
        False,
    ]


def test_spans_cover_the_examples_in_order(tiny: Callable[..., RunConfig]) -> None:
    plan = plan_of(tiny())
    assert [(span.start, span.stop) for span in plan.spans] == [(0, 6), (6, 12)]
    assert [name for span in plan.spans for name in span.example_ids] == [name for name, _ in EXAMPLES]


def test_only_missing_results_become_tasks(tiny: Callable[..., RunConfig]) -> None:
    plan = plan_of(tiny())
    everything = {*plan.picture_keys, *plan.scan_keys, *plan.statistics_keys}
    assert plan.scan_tasks(everything) == []
    assert plan.optimize_tasks(everything) == []
    missing = {plan.layers[1].scan_keys[1], plan.layers[2].pictures[0].key}
    (scan,) = plan.scan_tasks(everything - missing)
    assert [layer.name for layer in scan.layers] == ["second"]
    assert scan.span == plan.spans[1]
    (optimize,) = plan.optimize_tasks(everything - missing)
    assert [picture.key for picture in optimize.pictures] == [plan.layers[2].pictures[0].key]


def test_a_finished_block_does_not_regroup_the_others(tiny: Callable[..., RunConfig]) -> None:
    plan = plan_of(tiny())
    tasks = plan.optimize_tasks(set())
    done = {picture.key for picture in tasks[1].pictures}
    assert plan.optimize_tasks(done) == [tasks[0], *tasks[2:]]


def test_one_forward_pass_serves_all_layers(tiny: Callable[..., RunConfig]) -> None:
    assert all(len(task.layers) == 3 for task in plan_of(tiny()).scan_tasks(set()))
