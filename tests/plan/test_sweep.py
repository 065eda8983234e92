from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from network_atlas.config.compose import compose
from network_atlas.config.sweep import SelectConfig, SweepConfig, VariantConfig
from network_atlas.errors import SelectionError
from network_atlas.layers import LayerSpec, ModelFacts, Repeat
from network_atlas.plan.patterns import matches
from network_atlas.plan.sweep import Selection, Sweep, expand_sweep, spread
from network_atlas.plan.variants import unit_of
from network_atlas.units import Channel, ClassLogit, Neuron, Unit


def layer(index: int, name: str, kind: str = "Conv2d", channels: int = 8, **sizes: int) -> LayerSpec:
    sizes = sizes or {"height": 6, "width": 4}
    return LayerSpec(index=index, name=name, type=kind, channels=channels, **sizes)


LAYERS = (
    layer(0, "conv1"),
    layer(1, "layer1.0.conv1"),
    layer(2, "layer1.0", "BasicBlock"),
    layer(3, "layer1.1.conv1", channels=4),
    layer(4, "layer1.1", "BasicBlock"),
    layer(6, "layer2.0", "BasicBlock", channels=16),
    layer(7, "tokens", "Block", tokens=17),
    LayerSpec(index=8, name="fc", type="Linear", channels=10),
    LayerSpec(index=9, name="output", type="output", channels=10),
)
BASES = {item.name: (item.type, "Module") for item in LAYERS if item.name != "output"} | {
    "odd": ("Odd", "Module"),
    "twice": ("ReLU", "Module"),
}
UNSUPPORTED = {"odd": "returns a tuple", "twice": "used 3 times"}
VARIANTS = (VariantConfig(objective="channel"), VariantConfig(objective="neuron"))


def expand(*selects: SelectConfig, layers: Sequence[LayerSpec] = LAYERS, seed: int = 0) -> Sweep:
    config = SweepConfig(select=selects, variants=VARIANTS, block=4, seed=seed)
    return expand_sweep(facts(layers), config)


def facts(layers: Sequence[LayerSpec] = LAYERS, unsupported: Mapping[str, str] = UNSUPPORTED) -> ModelFacts:
    return ModelFacts(
        layers=tuple(layers),
        bases=BASES,
        unsupported=unsupported,
        repeats={"layer1.0": Repeat("the channels of layer1.0.conv1"), "fc": Repeat("the same tensor as output")},
        upstream={},
        share={},
        forward_seconds=0.01,
        class_names=(),
    )


def select(*include: str, **settings: object) -> SelectConfig:
    return SelectConfig(include=include, **settings)  # type: ignore[arg-type]


def names(*selects: SelectConfig) -> list[str]:
    return [item.layer.name for item in expand(*selects).selections]


def channels(text: str | tuple[int, ...], name: str = "conv1", **keywords: int) -> tuple[int, ...]:
    return expand(select(name, channels=text), **keywords).selections[0].channels  # type: ignore[arg-type]


def problem(*selects: SelectConfig) -> str:
    with pytest.raises(SelectionError) as caught:
        expand(*selects)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a*", "a.b", False),
        ("a.**", "a.b.c", True),
        ("a.**", "a", False),
        ("**", "a.b.c", True),
        ("**.c", "a.b.c", True),
        ("**.c", "c", True),
        ("**.c", "abc", False),
        ("a**.c", "ab.c", True),
        ("a**.c", "ac", False),
        ("layer?.0", "layer1.0", True),
        ("layer?0", "layer.0", False),
        ("l[1-3]", "l2", True),
        ("l[!1-3]", "l2", False),
        ("l[!1-3]0", "l.0", False),
        ("l[^1]", "l^", True),
        ("l[[]", "l[", True),
        ("l[9-0]", "l5", False),
        ("l[", "l[", True),
        ("a.b", "axb", False),
        ("A*", "a", False),
        ("layer{1,3}.*", "layer3.0", True),
        ("layer{1,3}.*", "layer2.0", False),
        ("_blocks.{10..12}", "_blocks.11", True),
    ],
)
def test_globs(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_selections_come_in_the_order_of_the_layers() -> None:
    assert names(select("fc"), select("layer1.*"), select("conv1")) == ["conv1", "layer1.0", "layer1.1", "fc"]


def test_exclude_wins_over_include() -> None:
    assert names(select("layer1.**", exclude=("**.conv1",))) == ["layer1.0", "layer1.1"]


def test_types_match_any_base() -> None:
    assert names(select("**", types=("Basic*",))) == ["layer1.0", "layer1.1", "layer2.0"]
    assert len(names(select("**", types=("Module",)))) == len(LAYERS) - 1


def test_output_is_taken_by_its_exact_name_only() -> None:
    assert "output" not in names(select("**"), select("*"), select("[a-z]*"))
    assert "matches no layer" in problem(select("outpu?"))
    assert names(select("**", "output", types=("Linear",))) == ["fc", "output"]


def test_a_glob_passes_over_modules_that_cannot_be_captured() -> None:
    sweep = expand(select("*"))
    assert dict(sweep.passed_over) == UNSUPPORTED
    assert not {"odd", "twice"} & {item.layer.name for item in sweep.selections}
    assert dict(expand(select("**", types=("Conv2d",))).passed_over) == {}


def test_an_exact_name_that_cannot_be_captured_is_refused() -> None:
    text = problem(select("odd"))
    assert "sweep.select.0" in text
    assert "returns a tuple" in text


def test_an_unknown_name_gets_a_guess() -> None:
    text = problem(select("layr1.0", exclude=("con1",)))
    assert "Did you mean 'layer1.0'" in text
    assert "Did you mean 'conv1'" in text
    assert "atlas layers" in text


def test_a_select_without_match_lists_the_layers_of_the_model() -> None:
    text = problem(select("conv1"), select("_blocks.*", types=("Conv3d",)))
    assert "sweep.select.1 matches no layer" in text
    for part in ("_blocks.*", "Conv3d", "Conv2d", "BasicBlock", "model.main_layers", "sweep.select.1.include"):
        assert part in text
    assert "layer1.0" in problem(select("layers.1.?"))
    assert "returns a tuple" in problem(select("odd*"))
    assert "matches no layer" in problem(select())


def test_types_that_leave_nothing_are_named_beside_the_types_of_the_model() -> None:
    text = problem(select("layer1.?", "tokens", types=("Conv2d",)))
    assert "Its include matches layer1.0, layer1.1, tokens, but its types leave none" in text
    assert "of type BasicBlock, Block; set sweep.select.0.types" in text
    assert "Linear" not in text


def test_an_output_that_cannot_be_captured_comes_with_the_sweep_without_it() -> None:
    def refused(*selects: SelectConfig) -> str:
        config = SweepConfig(select=selects, variants=VARIANTS, block=4, seed=0)
        with pytest.raises(SelectionError, match="layer 'output' cannot be captured: returns a tuple") as caught:
            expand_sweep(facts(LAYERS[:-1], {"output": "returns a tuple"}), config)
        return str(caught.value)

    demo = refused(select("layer?.*", spread=5, channels="sample:12"), select("output", channels="sample:12"))
    advice = """'sweep.select=[{include: ["layer?.*"], spread: 5, channels: "sample:12"}]'"""
    assert demo.startswith("sweep.select.1.include: ")
    assert demo.endswith(advice)
    kept = compose([advice.strip("'")]).sweep.select
    assert kept == (select("layer?.*", spread=5, channels="sample:12"),)
    assert """[{include: ["**"]}]""" in refused(select("output"))
    assert """[{include: ["fc"], channels: [1, 2]}]""" in refused(select("fc", "output", channels=(1, 2)))


def test_all_problems_are_reported_together() -> None:
    text = problem(select("nope"), select("conv1", channels="some"), select("odd"), select("fc", channels=(10,)))
    assert [f"sweep.select.{index}" in line for index, line in enumerate(text.splitlines())] == [True] * 4


def test_channels_are_chosen_as_written() -> None:
    assert channels("all") == tuple(range(8))
    assert channels("2:5") == (2, 3, 4)
    assert channels(":2") == (0, 1)
    assert channels("6:") == (6, 7)
    assert channels(":") == tuple(range(8))
    assert channels((5, 1, 5)) == (1, 5)
    assert channels("sample:99") == tuple(range(8))


@pytest.mark.parametrize("text", ["", "some", "sample", "sample:0", "sample:-1", "1:2:3", "-3:", "a:b", "3", ()])
def test_channels_of_an_unknown_form_are_refused(text: str | tuple[int, ...]) -> None:
    assert "'sample:12', 'start:stop'" in problem(select("conv1", channels=text))


@pytest.mark.parametrize("text", ["0:9", "8:", "12:20", (8,), (0, 100)])
def test_channels_outside_the_layer_are_refused(text: str | tuple[int, ...]) -> None:
    assert "layer 'conv1' has 8 channels, 0..7" in problem(select("conv1", channels=text))


def test_an_empty_range_is_refused() -> None:
    assert "name no channel" in problem(select("conv1", channels="3:3"))


def test_samples_depend_on_seed_and_layer_name() -> None:
    wide = (layer(0, "a", channels=500), layer(1, "b", channels=500))
    samples = [
        item.channels
        for seed in (0, 1)
        for item in expand(select("*", channels="sample:9"), layers=wide, seed=seed).selections
    ]
    assert len(set(samples)) == 4


def test_samples_stay_the_same_for_ever() -> None:
    """Stored atlases have these channels: after a change, every run with a sample would do its work again."""
    assert channels("sample:3") == (3, 4, 6)


def test_spread_keeps_first_and_last() -> None:
    assert [item.name for item in spread(LAYERS, 3)] == ["conv1", "layer1.1", "output"]
    assert [item.name for item in spread(LAYERS, 1)] == ["conv1"]
    assert spread(LAYERS, 0) == spread(LAYERS, 99) == list(LAYERS)
    assert names(select("layer?.*", spread=2)) == ["layer1.0", "layer2.0"]


@given(st.integers(1, 60), st.integers(1, 60))
def test_spread_is_distinct_and_ascending(count: int, there: int) -> None:
    many = [layer(index, f"l{index}") for index in range(there)]
    indices = [item.index for item in spread(many, count)]
    assert indices == sorted(set(indices))
    assert len(indices) == min(count, there)
    assert indices[0] == 0
    assert count == 1 or indices[-1] == there - 1


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_samples_are_nested(fewer: int, more: int, seed: int) -> None:
    fewer, more = sorted((fewer, more))
    wide = (layer(0, "conv1", channels=32),)
    small, large = (channels(f"sample:{count}", layers=wide, seed=seed) for count in (fewer, more))  # type: ignore[arg-type]
    assert set(small) <= set(large)
    assert list(large) == sorted(set(large))
    assert len(small) == min(fewer, 32)


SELECTS = st.builds(
    select,
    st.sampled_from(["*", "**", "layer1.*", "conv1", "output", "**.conv1"]),
    spread=st.integers(0, 4),
    channels=st.sampled_from(["all", "sample:3", "0:4", ":2", (0, 3)]),
)


@given(st.lists(SELECTS, min_size=1, max_size=4).flatmap(lambda made: st.tuples(st.just(made), st.permutations(made))))
def test_the_order_of_selects_does_not_matter(selects: tuple[list[SelectConfig], list[SelectConfig]]) -> None:
    given_order, other_order = selects
    assert expand(*given_order) == expand(*other_order)
    for item in expand(*given_order).selections:
        alone = [expand(select).selections for select in given_order]
        united = {
            channel for select in alone for other in select if other.layer == item.layer for channel in other.channels
        }
        assert set(item.channels) == united


def test_the_order_of_the_models_layers_does_not_matter() -> None:
    chosen = select("**", spread=3, channels="sample:2")
    assert expand(chosen, layers=LAYERS[::-1]) == expand(chosen)


def units_of(selection: Selection) -> tuple[tuple[Unit | None, VariantConfig], ...]:
    return tuple(
        (unit_of(selection.layer, channel, variant), variant)
        for channel in selection.channels
        for variant in selection.variants
    )


def test_neurons_stand_at_the_centre() -> None:
    [item] = expand(select("conv1", channels=(2,))).selections
    assert [unit for unit, _ in units_of(item)] == [
        Channel(layer="conv1", channel=2),
        Neuron(layer="conv1", channel=2, row=3, column=2),
    ]
    [item] = expand(select("tokens", channels=(2,))).selections
    assert units_of(item)[1][0] == Neuron(layer="tokens", channel=2, row=8, column=0)


def test_a_single_position_makes_no_second_picture() -> None:
    sweep = expand(select("fc", "output", channels=(2,)))
    assert [units_of(item) for item in sweep.selections] == [
        ((Channel(layer="fc", channel=2), VARIANTS[0]),),
        ((ClassLogit(layer="output", channel=2), VARIANTS[0]),),
    ]


def test_a_sign_that_only_neurons_have_is_kept() -> None:
    config = SweepConfig(
        select=(select("fc", channels=(2,)),),
        variants=(VARIANTS[0], VariantConfig(objective="neuron", sign="-", seed=3)),
        block=1,
        seed=0,
    )
    sweep = expand_sweep(facts(), config)
    assert [variant.name for _, variant in units_of(sweep.selections[0])] == ["channel+", "channel-@3"]


def test_distinct_leaves_out_layers_without_channels_of_their_own_but_never_the_output() -> None:
    everything = names(select("**"), select("output"))
    distinct = names(select("**", distinct=True), select("output", distinct=True))
    assert set(everything) - set(distinct) == {"layer1.0", "fc"}
    assert "output" in distinct


CALLS = tuple(
    layer(index, name, "ReLU" if "relu" in name else "Conv2d")
    for index, name in enumerate(("stem", "layer1.0.relu#1", "layer1.0.relu#2", "layer1.0.relu#3", "layer1.0.conv"))
)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["layer1.0.relu#2"], ["layer1.0.relu#2"]),
        (["layer1.0.relu#[12]"], ["layer1.0.relu#1", "layer1.0.relu#2"]),
        (["**.relu"], ["layer1.0.relu#1", "layer1.0.relu#2", "layer1.0.relu#3"]),
        (["layer1.*.relu"], ["layer1.0.relu#1", "layer1.0.relu#2", "layer1.0.relu#3"]),
        (["layer1.0.*"], ["layer1.0.relu#1", "layer1.0.relu#2", "layer1.0.relu#3", "layer1.0.conv"]),
    ],
)
def test_calls_of_a_module_are_chosen_by_their_name_and_by_globs_of_the_modules(
    patterns: list[str], names: list[str]
) -> None:
    chosen = expand(SelectConfig(include=tuple(patterns)), layers=CALLS)
    assert [selection.layer.name for selection in chosen.selections] == names


@pytest.mark.parametrize("name", ["layer1.0.relu", "layer1.0.relu#4"])
@pytest.mark.parametrize("side", ["include", "exclude"])
def test_the_module_of_several_calls_is_no_layer_and_the_message_lists_these(name: str, side: str) -> None:
    sides = {"include": ("**",), side: (name,)}
    message = f"no layer '{name}'.* 'layer1.0.relu' runs more than once .*#1, layer1.0.relu#2, layer1.0.relu#3"
    with pytest.raises(SelectionError, match=message):
        expand(SelectConfig(**sides), layers=CALLS)


def test_a_glob_leaves_all_calls_of_a_module_out() -> None:
    chosen = expand(SelectConfig(include=("**",), exclude=("**.relu",)), layers=CALLS)
    assert [selection.layer.name for selection in chosen.selections] == ["stem", "layer1.0.conv"]
