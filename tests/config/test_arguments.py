from __future__ import annotations

import pickle

import pytest

from network_atlas.config.arguments import frozen, keywords
from network_atlas.config.compose import compose
from network_atlas.config.determines import fixed_settings
from network_atlas.errors import ConfigError

NESTED = "model.arguments={img_size: [160, 224], head: {sizes: [1, {a: null}]}}"


def test_lists_and_mappings_reach_the_function_as_pythons_own() -> None:
    arguments = compose([NESTED]).model.arguments
    assert keywords(arguments) == {"img_size": [160, 224], "head": {"sizes": [1, {"a": None}]}}
    keywords(arguments)["img_size"].append(3)
    assert keywords(arguments)["img_size"] == [160, 224]


def test_a_configuration_with_nested_arguments_has_a_hash_and_survives_pickling() -> None:
    config = compose([NESTED])
    assert hash(config.model) == hash(compose([NESTED]).model)
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_root_refuses_another_value_of_a_nested_argument() -> None:
    other = NESTED.replace("224", "240")
    assert fixed_settings(compose([NESTED])) != fixed_settings(compose([other]))


@pytest.mark.parametrize("override", ["model.arguments=3", "model.arguments=[1]"])
def test_arguments_without_names_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match="must be a mapping"):
        compose([override])


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}])
def test_values_that_json_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        frozen({"x": value})
