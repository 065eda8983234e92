"""Units written as text, as `sweep.combine` and `sweep.interpolate` have them. Pure.

    read_unit("blocks.4:12 - 0.5*logit:207", layers)    # Sum(...)

Signs between terms stand between spaces, since names of layers may hold '-'. What a layer's name is, the model says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from network_atlas.errors import ConfigError, did_you_mean
from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.units import Channel, ClassLogit, ClassProbability, Layer, Neuron, Single, Sum, Term

FORMS = "'layer:12', 'layer:12@row,column', 'layer:*', 'logit:12', 'probability:12', or sums: 'a:1 + b:2 - 0.5*c:3'"
SIGNS = re.compile(r"\s+([+-])\s+")
TERM = re.compile(
    r"(?P<minus>-)?(?:(?P<weight>\d+(?:\.\d+)?)\*)?(?P<layer>.+):(?P<what>\*|\d+)(?:@(?P<place>\d+,\d+))?"
)


def read_unit(text: str, layers: Mapping[str, LayerSpec]) -> Single | Sum:
    """Return the unit that `text` names in a model with these layers, by name.

    Raises ConfigError for text of another form, unknown layers, and channels or positions that a layer lacks.
    """
    parts = SIGNS.split(text.strip())
    terms = [_term(parts[0], text, layers)]
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        term = _term(part, text, layers)
        terms.append(Term(weight=-term.weight if sign == "-" else term.weight, unit=term.unit))
    if len(terms) == 1 and terms[0].weight == 1:
        return terms[0].unit
    return Sum(terms=tuple(terms))


def _term(text: str, whole: str, layers: Mapping[str, LayerSpec]) -> Term:
    found = TERM.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{whole!r}: can't read {text!r}; write {FORMS}, with spaces around + and -")
    weight = float(found["weight"] or 1) * (-1 if found["minus"] else 1)
    return Term(weight=weight, unit=_unit(found, whole, layers))


def _unit(found: re.Match[str], whole: str, layers: Mapping[str, LayerSpec]) -> Single:
    name, what = found["layer"], found["what"]
    of_class = name in ("logit", "probability") and name not in layers
    layer = layers.get(OUTPUT if of_class else name)
    if layer is None:
        guess = did_you_mean(name, layers)
        raise ConfigError(
            f"{whole!r}: the model has no layer {name!r} that can be captured.{guess} "
            "In sums, write spaces around + and -"
        )
    if what == "*":
        return Layer(layer=layer.name)
    channel = int(what)
    if channel >= layer.channels:
        raise ConfigError(f"{whole!r}: layer {layer.name!r} has the channels 0..{layer.channels - 1}, not {channel}")
    if of_class and name == "probability":
        return ClassProbability(layer=layer.name, channel=channel)
    if layer.name == OUTPUT:
        return ClassLogit(layer=layer.name, channel=channel)
    if found["place"] is None:
        return Channel(layer=layer.name, channel=channel)
    row, column = map(int, found["place"].split(","))
    check_position(layer, row, column, whole)
    return Neuron(layer=layer.name, channel=channel, row=row, column=column)


def check_position(layer: LayerSpec, row: int, column: int, said: str) -> None:
    """Raise ConfigError when a layer has no such position."""
    rows, columns = layer.positions
    if row >= rows or column >= columns:
        raise ConfigError(
            f"{said!r}: layer {layer.name!r} has rows 0..{rows - 1} and columns 0..{columns - 1}, not {row},{column}"
        )
