from __future__ import annotations

import pytest
from planning import ALL, EXAMPLES, Tiny, pictures, plan_of, variants

from network_atlas.errors import ConfigError, SelectionError
from network_atlas.layers import OUTPUT
from network_atlas.plan.pictures import grouped
from network_atlas.plan.variants import random_direction
from network_atlas.units import ClassProbability, Coactive, Direction, Layer, Neuron, Sum


def test_each_objective_is_made_only_in_layers_that_it_fits(tiny: Tiny) -> None:
    kinds = variants(
        "objective: channel",
        "objective: neuron, position: class_token",
        "objective: probability",
        "objective: layer",
        "objective: direction, directions: 3",
        "objective: coactive",
    )
    plan = plan_of(tiny(ALL, kinds, "sweep.select.0.channels=[5]"))
    names = {layer.layer.name: [picture.variant for picture in layer.pictures] for layer in plan.layers}
    of_channels = ["channel+", "coactive+"]
    whole = ["layer+", *["direction+"] * 3]
    assert names["first"] == of_channels + whole
    assert names["tokens"] == ["channel+", "neuron+ class_token", "coactive+", *whole]
    assert names[OUTPUT] == ["channel+", "probability+", "coactive+"]
    kinds_of_units = {type(picture.unit) for picture in pictures(plan)}
    assert {Layer, Direction, Coactive, ClassProbability, Neuron} < kinds_of_units
    assert len(set(plan.picture_keys)) == len(plan.picture_keys)


def test_a_class_token_is_the_first_token(tiny: Tiny) -> None:
    plan = plan_of(tiny(ALL, variants("objective: neuron, position: class_token")))
    units = {picture.unit for picture in pictures(plan, "tokens")}
    assert {(unit.row, unit.column) for unit in units if isinstance(unit, Neuron)} == {(0, 0)}


@pytest.mark.parametrize(
    ("variant", "include"),
    [
        ("objective: probability", "first"),
        ("objective: neuron, position: class_token", "first"),
        ("objective: layer", "output"),
    ],
)
def test_a_variant_that_fits_no_selected_layer_is_refused(tiny: Tiny, variant: str, include: str) -> None:
    with pytest.raises(ConfigError, match="fits none of the selected layers"):
        plan_of(tiny(f"sweep.select.0.include=[{include}]", variants(variant)))


def test_positions_outside_a_layer_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"rows 0\.\.3"):
        plan_of(tiny("sweep.select.0.include=[first]", variants("objective: neuron, position: [4, 0]")))


def test_random_directions_are_unit_vectors_that_seeds_change(tiny: Tiny) -> None:
    first, second = random_direction(8, seed="0/0"), random_direction(8, seed="1/0")
    assert first == random_direction(8, seed="0/0") != second
    assert sum(value**2 for value in first) == pytest.approx(1, abs=1e-6)


def test_sets_are_groups_and_stay_in_one_task(tiny: Tiny) -> None:
    sets = variants("objective: channel, diverse: 3", "objective: channel, facets: 2")
    plan = plan_of(tiny(ALL, sets, "sweep.select.0.channels=[1,2,3]", "sweep.block=4"))
    members = pictures(plan, "first")
    assert [len(group) for group in grouped(members)] == [3, 1, 1] * 3
    names = [picture.variant for picture in members[:5]]
    assert names == [f"channel+ {name}" for name in ("diverse-0", "diverse-1", "diverse-2", "facet-0", "facet-1")]
    for task in plan.optimize_tasks(set()):
        for group in {picture.group for picture in task.pictures if picture.group}:
            assert sum(picture.group == group for picture in task.pictures) == 3
    missing_one = set(plan.picture_keys) - {members[1].key}
    (task,) = plan.optimize_tasks(missing_one)
    assert task.pictures == tuple(members[:3])


def test_diverse_sets_are_compared_in_a_layer_with_positions(tiny: Tiny) -> None:
    plan = plan_of(tiny(ALL, variants("objective: channel, diverse: 2")))
    layers = {name: pictures(plan, name)[0].together for name in ("first", "tokens", OUTPUT)}
    assert {name: together and together.layer for name, together in layers.items()} == {
        "first": "first",
        "tokens": "tokens",
        OUTPUT: "tokens",
    }
    with pytest.raises(ConfigError, match="Did you mean 'first'"):
        plan_of(tiny(variants("objective: channel, diverse: 2"), "optimize.together.diversity_layer=fist"))


def test_sums_and_rows_belong_to_the_last_layer_they_are_read_from(tiny: Tiny) -> None:
    extra = [
        'sweep.combine=[{unit: "first:1 - 0.5*logit:2"}]',
        'sweep.interpolate=[{first: "first:1", last: "second:3", pictures: 3}]',
    ]
    plan = plan_of(tiny("sweep.select.0.include=[first]", variants("objective: channel"), *extra))
    assert [layer.layer.name for layer in plan.layers] == ["first", "second", OUTPUT]
    (combined,) = pictures(plan, OUTPUT)
    assert (combined.subject, combined.channel) == ("first:1 - 0.5*logit:2", None)
    row = pictures(plan, "second")
    assert [picture.subject for picture in row] == ["first:1 → second:3"] * 3
    weights = [[term.weight for term in picture.unit.terms] for picture in row if isinstance(picture.unit, Sum)]
    assert weights == [[1.0], [0.5, 0.5], [1.0]]
    (task,) = [task for task in plan.optimize_tasks(set()) if task.layer.name == OUTPUT]
    assert [layer.name for layer in task.others] == ["first"]


def test_recipes_side_by_side_are_made_in_tasks_of_their_own(tiny: Tiny) -> None:
    config = tiny(
        "+optimize@recipes.classic=lucid",
        "sweep.select.0.include=[first]",
        variants("objective: channel", "objective: channel, recipe: classic"),
    )
    plan = plan_of(config)
    assert [picture.variant for picture in pictures(plan)[:2]] == ["channel+", "channel+ (classic)"]
    assert {task.recipe for task in plan.optimize_tasks(set())} == {"", "classic"}
    assert all(len({picture.recipe for picture in task.pictures}) == 1 for task in plan.optimize_tasks(set()))


def test_only_pictures_that_use_the_scan_change_with_the_dataset(tiny: Tiny) -> None:
    kinds = variants("objective: channel", "objective: channel, start: example", "objective: coactive")
    more = [*EXAMPLES, ("zz.png", "1kB")]
    before, after = (pictures(plan_of(tiny(kinds), examples=examples)) for examples in (EXAMPLES, more))
    changed = {old.variant for old, new in zip(before, after, strict=True) if old.key != new.key}
    assert changed == {"channel+ from example", "coactive+"}


def test_the_datasets_magnitude_belongs_to_a_pictures_key(tiny: Tiny) -> None:
    def keys(kind: str, examples: list[tuple[str, str]]) -> set[str]:
        config = tiny("optimize/parameterization=maco", f"optimize.parameterization.magnitude={kind}")
        return set(plan_of(config, examples=examples).picture_keys)

    fewer = EXAMPLES[:-1]
    assert not keys("dataset", EXAMPLES) & keys("dataset", fewer)
    assert keys("packaged", EXAMPLES) == keys("packaged", fewer)


def test_retraining_a_layer_changes_the_pictures_that_are_compared_in_it(tiny: Tiny) -> None:
    config = tiny(variants("objective: channel, diverse: 2"), "optimize.together.diversity_layer=first")
    before, after = plan_of(config), plan_of(config, first="retrained")
    assert not {picture.key for picture in pictures(before, "second")} & {
        picture.key for picture in pictures(after, "second")
    }


def test_an_unknown_recipe_is_refused_with_the_way_to_add_it(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"\+optimize@recipes\.big=lucid"):
        tiny(variants("objective: channel, recipe: big"))


@pytest.mark.parametrize(
    "pair",
    [
        ("objective: channel", "objective: channel"),
        ("objective: channel, diverse: 2", "objective: channel, diverse: 3"),
        ("objective: direction, directions: 2", "objective: direction, directions: 4"),
    ],
)
def test_two_pictures_of_one_name_are_refused(tiny: Tiny, pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="appear twice"):
        tiny(variants(*pair))


def test_sets_beside_single_pictures_are_accepted(tiny: Tiny) -> None:
    tiny(variants("objective: channel", "objective: channel, diverse: 2", "objective: channel, facets: 2"))


@pytest.mark.parametrize(
    ("channels", "expected"), [("sample:2", 2), ("'1:3'", 2), ("[2]", 1), ("all", 5), ("sample:99", 5)]
)
def test_a_variant_may_be_for_some_of_the_selected_channels(tiny: Tiny, channels: str, expected: int) -> None:
    both = variants("objective: channel", f"objective: channel, seed: 1, channels: {channels}")
    plan = plan_of(tiny(ALL, "sweep.select.0.channels=[1,2,3,4,5]", both))
    made = pictures(plan, "first")
    of_seed = {seed: {picture.channel for picture in made if picture.seed == seed} for seed in (0, 1)}
    assert of_seed[0] == {1, 2, 3, 4, 5}
    assert len(of_seed[1]) == expected
    assert of_seed[1] <= of_seed[0]


def test_channels_of_a_variant_in_no_known_form_are_refused(tiny: Tiny) -> None:
    with pytest.raises(SelectionError, match=r"sweep.variants.0.channels: channels='few' is not understood"):
        plan_of(tiny(ALL, variants("objective: channel, channels: few")))
