from __future__ import annotations

import json

from pydantic import TypeAdapter

from network_atlas.config.compose import compose
from network_atlas.config.plain import differences, flatten, folder_name, to_plain
from network_atlas.config.schema import RunConfig


def test_plain_survives_json_and_makes_the_same_config() -> None:
    config = compose(["model.arguments.width=2", "executor=inline"])
    plain = json.loads(json.dumps(to_plain(config)))
    assert plain == to_plain(config)
    assert TypeAdapter(RunConfig).validate_python(plain) == config


def test_differences_name_path_and_both_values() -> None:
    old, new = to_plain(compose([])), to_plain(compose(["model.name=resnet18", "dataset.version=b", "store.root=x"]))
    assert differences({"model": old["model"]}, {"model": new["model"]}) == [
        "model.name: efficientnet_lite0 -> resnet18"
    ]
    assert 'dataset.version: "" -> b' in differences(old, new)
    assert differences(old, old) == []


def test_differences_show_settings_that_are_only_on_one_side() -> None:
    assert differences({"a": 1}, {"b": [1, 2]}) == ["b: (not there) -> [1, 2]", "a: 1 -> (not there)"]
    assert differences({"a": None}, {"a": True}) == ["a: null -> true"]
    assert differences({"a": {}}, {"a": {"b": 1}}) == ["a.b: (not there) -> 1"]
    assert differences({"a": {}, "c": 1}, {"c": 1}) == ["a: {} -> (not there)"]


def test_flatten_opens_lists_of_dictionaries_only() -> None:
    assert flatten({"a": [{"b": 1}, {"b": 2}], "c": [1, 2], "d": {}}) == {"a.0.b": 1, "a.1.b": 2, "c": [1, 2], "d": {}}


def test_folder_name_is_readable_where_it_can_be() -> None:
    assert folder_name(["seed=3", "model.name=resnet18"]) == "model.name=resnet18,seed=3"
    assert folder_name(["a=b/c"]) != folder_name(["a=b_c"])
    assert "/" not in folder_name(["a=../../etc"])
    assert len(folder_name(["a=" + "x" * 500])) < 140
