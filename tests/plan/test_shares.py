from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError
from network_atlas.layers import LayerSpec, ModelFacts
from network_atlas.plan.make import Dataset, make_plan
from network_atlas.plan.plan import Plan
from network_atlas.plan.shares import Share
from network_atlas.plan.sweep import expand_sweep

COUNTS = (1, 2, 3, 8)


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 20))
def test_every_key_is_in_exactly_one_share(keys: list[str], count: int) -> None:
    shares = [Share.of(f"{number}/{count}") for number in range(1, count + 1)]
    assert all(sum(share.has(key) for share in shares) == 1 for key in keys)


def test_a_share_is_the_same_on_every_machine() -> None:
    keys = [f"key-{number}" for number in range(12)]
    assert [key for key in keys if Share.of("2/3").has(key)] == ["key-1", "key-2", "key-9", "key-11"]


def test_shares_of_many_keys_are_even_to_a_tenth() -> None:
    share = Share.of("3/8")
    assert 1125 < sum(share.has(f"key-{number}") for number in range(10_000)) < 1375


def plan_of(config: RunConfig) -> Plan:
    layers = tuple(
        LayerSpec(index=index, name=f"layer{index}", type="Conv2d", channels=8, height=4, width=4) for index in range(5)
    )
    facts = ModelFacts(
        layers=layers,
        bases={layer.name: ("Conv2d",) for layer in layers},
        unsupported={},
        repeats={},
        upstream={layer.name: f"hash-of-{layer.name}" for layer in layers},
        share={layer.name: 0.5 for layer in layers},
        forward_seconds=0.01,
        class_names=(),
    )
    sweep = expand_sweep(facts, config.sweep)
    examples = [(f"{number:03d}.png", "1kB") for number in range(62)]
    return make_plan(
        config,
        facts,
        sweep.selections,
        Dataset(examples=examples, sample_limit="f", images_limit="f"),
        dtypes={"": "float32"},
    )


@pytest.mark.parametrize("count", COUNTS)
def test_shares_together_are_the_whole_plan_and_no_task_is_in_two(tiny: Callable[..., RunConfig], count: int) -> None:
    whole = plan_of(tiny())
    shares = [plan_of(tiny(f"sweep.share={number}/{count}")) for number in range(1, count + 1)]
    for tasks in ("optimize_tasks", "scan_tasks"):
        ids = [task.id for share in shares for task in getattr(share, tasks)(())]
        assert sorted(ids) == sorted(task.id for task in getattr(whole, tasks)(()))
    assert sorted(key for share in shares for key in share.share_pictures) == sorted(whole.picture_keys)
    assert sorted(span.start for share in shares for span in share.share_spans) == [span.start for span in whole.spans]


def test_a_share_names_the_same_results_as_the_whole(tiny: Callable[..., RunConfig]) -> None:
    share, whole = plan_of(tiny("sweep.share=2/3")), plan_of(tiny())
    assert share.picture_keys == whole.picture_keys
    assert share.scan_keys == whole.scan_keys


def test_results_of_other_shares_move_no_block_to_another_share(tiny: Callable[..., RunConfig]) -> None:
    plan = plan_of(tiny("sweep.share=1/2"))
    first, *rest = plan.optimize_tasks(())
    done = {picture.key for picture in first.pictures} | (set(plan.picture_keys) - plan.share_pictures)
    assert plan.optimize_tasks(done) == rest


@pytest.mark.parametrize("text", ["0/8", "9/8", "1/0", "1", "a/b", "1/8/2", "-1/8", "1.5/8", "01/8", "٢/٨"])
def test_text_that_is_not_a_share_is_refused(tiny: Callable[..., RunConfig], text: str) -> None:
    with pytest.raises(ConfigError, match="is not a share; give '1/8' to '8/8'"):
        tiny(f"sweep.share='{text}'")


def test_a_share_does_not_empty_the_quarantine_of_all_shares(tiny: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match=r"leave sweep\.share out"):
        tiny("sweep.share=1/2", "retry_failed=true")
