from __future__ import annotations

import pytest

from network_atlas.errors import ConfigError
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.unit_text import read_unit
from network_atlas.units import Channel, ClassLogit, ClassProbability, Layer, Neuron, Sum, Term

LAYERS = {
    "layer3.5": LayerSpec(index=0, name="layer3.5", type="Conv2d", channels=8, height=4, width=6),
    "a-b/c": LayerSpec(index=1, name="a-b/c", type="Conv2d", channels=8, height=4, width=4),
    "relu#2": LayerSpec(index=3, name="relu#2", type="ReLU", channels=8, height=4, width=4),
    OUTPUT: LayerSpec(index=2, name=OUTPUT, type="Net", channels=10),
}


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("layer3.5:7", Channel(layer="layer3.5", channel=7)),
        (" layer3.5:7@3,5 ", Neuron(layer="layer3.5", channel=7, row=3, column=5)),
        ("layer3.5:*", Layer(layer="layer3.5")),
        ("logit:9", ClassLogit(layer=OUTPUT, channel=9)),
        ("output:9", ClassLogit(layer=OUTPUT, channel=9)),
        ("probability:9", ClassProbability(layer=OUTPUT, channel=9)),
        ("a-b/c:1", Channel(layer="a-b/c", channel=1)),
        ("relu#2:5", Channel(layer="relu#2", channel=5)),
        ("relu#2:5@1,2", Neuron(layer="relu#2", channel=5, row=1, column=2)),
    ],
)
def test_single_units_are_read(text: str, unit: object) -> None:
    assert read_unit(text, LAYERS) == unit


def test_sums_keep_each_terms_own_weight_and_sign() -> None:
    unit = read_unit("2*a-b/c:1 - 0.5*logit:3 + layer3.5:0", LAYERS)
    assert unit == Sum(
        terms=(
            Term(weight=2.0, unit=Channel(layer="a-b/c", channel=1)),
            Term(weight=-0.5, unit=ClassLogit(layer=OUTPUT, channel=3)),
            Term(weight=1.0, unit=Channel(layer="layer3.5", channel=0)),
        )
    )
    assert unit.label == "2*a-b/c:1 - 0.5*logit:3 + layer3.5:0"


@pytest.mark.parametrize("text", ["layer3.5:1 - a-b/c:2", "-logit:1", "2*layer3.5:1@0,0 + logit:2 - 0.25*logit:3"])
def test_a_units_label_reads_back_as_the_unit(text: str) -> None:
    unit = read_unit(text, LAYERS)
    assert read_unit(unit.label, LAYERS) == unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer3.4:1", "Did you mean 'layer3.5'"),
        ("relu:1", "'relu' runs more than once in a pass; its calls are the layers relu#2"),
        ("layer3.5:8", "0..7, not 8"),
        ("layer3.5:1@4,0", "rows 0..3 and columns 0..5, not 4,0"),
        ("layer3.5", "can't read 'layer3.5'"),
        ("layer3.5:1+logit:2", "spaces around"),
        ("logit:10", "0..9, not 10"),
        ("", "can't read"),
        ("x*logit:1", "no layer 'x*logit'"),
    ],
)
def test_text_that_cannot_be_read_is_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_unit(text, LAYERS)
    assert message in str(caught.value)
