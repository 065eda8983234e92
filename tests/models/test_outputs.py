"""Models that return several tensors: which one is the output, how the others are named, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from conftest import quietly
from several_outputs import FORMS, ClassifierOutput, Named, Record
from torch import Tensor

from network_atlas.config.schema import RunConfig
from network_atlas.errors import ModelError, SelectionError
from network_atlas.layers import OUTPUT, ModelFacts
from network_atlas.models.capture import capture
from network_atlas.models.facts import model_facts
from network_atlas.models.first_pass import example_input
from network_atlas.models.load import load_model
from network_atlas.models.outputs import named_tensors, with_part
from network_atlas.run.prepare import prepare

Tiny = Callable[..., RunConfig]


def network(tiny: Tiny, *overrides: str) -> RunConfig:
    return tiny("model.name=several_outputs:several", "sweep.select.0.types=[]", *overrides)


def facts_of(config: RunConfig) -> ModelFacts:
    return model_facts(load_model(config.model), config.model)


def channels(facts: ModelFacts) -> dict[str, int]:
    return {layer.name: layer.channels for layer in facts.layers}


@pytest.mark.parametrize("form", list(FORMS))
def test_the_output_is_the_tensor_that_the_setting_names(form: str, tiny: Tiny) -> None:
    form_of = f"+model.arguments.form='{form}'"
    logits, features = (network(tiny, form_of, f"model.output={name}") for name in ("logits", "features"))
    assert channels(facts_of(logits)) == {"conv": 8, "head": 5, OUTPUT: 5}
    assert channels(facts_of(features)) == {"conv": 8, "head": 5, OUTPUT: 8}
    model, images = load_model(features.model), example_input(features.model.input)
    plain: Any = load_model(network(tiny, form_of).model)(images)
    expected = plain["features"] if isinstance(plain, dict) else plain.features
    output = next(layer for layer in facts_of(features).layers if layer.name == OUTPUT)
    seen: list[Tensor] = []
    with capture(model, [output], lambda _, maps: seen.append(maps.clone())) as run:
        run(images)
    torch.testing.assert_close(seen[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("form", list(FORMS))
def test_without_the_setting_the_output_is_refused_with_the_names(form: str, tiny: Tiny) -> None:
    config = network(tiny, f"+model.arguments.form='{form}'")
    reason = facts_of(config).unsupported[OUTPUT]
    assert reason.endswith("not one tensor; say which of these is the model's output with model.output=NAME")
    for name in ("logits", "features"):
        assert name in reason
    with pytest.raises(SelectionError, match=r"logits.*features.*model\.output=NAME"):
        prepare(network(tiny, "sweep.select.0.include=[output]"), measured=False)


def test_tensors_deep_inside_have_dotted_names(tiny: Tiny) -> None:
    config = tiny("model.name=several_outputs:pair", "model.output=1.1.0")
    assert channels(facts_of(config))[OUTPUT] == 8
    reason = facts_of(tiny("model.name=several_outputs:pair")).unsupported[OUTPUT]
    assert "(tuple: 0, 1.0, 1.1.0)" in reason


def test_a_name_that_the_model_does_not_return_is_refused_with_the_names(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match=r"model.output='logit' .*dict: logits, aux_logits, features.* mean 'logits'"):
        load_model(network(tiny, "model.output=logit").model)
    with pytest.raises(ModelError, match=r"model.output='logits', but the model returns one tensor; leave"):
        load_model(tiny("model.output=logits").model)


@pytest.mark.parametrize("data_dependent", [False, True])
def test_another_choice_changes_the_hash_of_the_output_alone(data_dependent: bool, tiny: Tiny) -> None:
    either = [f"+model.arguments.data_dependent={data_dependent}", "model.arguments.form=dict"]
    first, second = (
        facts_of(network(tiny, *either, f"model.output={name}")).upstream for name in ("logits", "aux_logits")
    )
    assert {name for name in first if first[name] != second[name]} == {OUTPUT}


def test_classes_are_those_of_the_chosen_output(tiny: Tiny, tmp_path: Path) -> None:
    quietly(
        network(
            tiny,
            "model.output=logits",
            "sweep.select.0.include=[output]",
            'sweep.select.0.channels="0:1"',
            "sweep.variants=[{objective: channel}, {objective: probability}]",
        )
    )
    (table,) = (tmp_path / "atlas" / "atlas").glob("*output*.parquet")
    (row,) = pq.read_table(table).to_pylist()
    assert [picture["objective"] for picture in row["visualizations"]] == ["logit", "probability"]
    assert 0 < row["visualizations"][1]["score"] < 1


def test_a_module_that_returns_one_tensor_in_anything_is_captured_and_may_be_changed() -> None:
    first, second = torch.zeros(1), torch.ones(1)
    for form in (
        {"a": None, "b": first},
        [None, first],
        (None, first),
        Named(first, None, None),  # type: ignore[arg-type]
        Record(first, None, None),  # type: ignore[arg-type]
        ClassifierOutput(logits=first),
    ):
        (name,) = named_tensors(form)
        key = int(name) if name.isdecimal() else name
        changed = with_part(form, key, second)
        assert type(changed) is type(form)
        assert named_tensors(changed)[name] is second
        assert named_tensors(form)[name] is first
