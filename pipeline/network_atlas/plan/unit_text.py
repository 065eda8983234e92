"""Read units that are written as text, as in `sweep.combine` and `sweep.interpolate`. Pure.

    read_unit("blocks.4:12 - 0.5*logit:207", layers)    # Sum(...)

The signs between terms need spaces around them, since a layer's name may contain '-'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from network_atlas.errors import ConfigError, did_you_mean
from network_atlas.layers import OUTPUT, LayerSpec, calls_meant
from network_atlas.units import Channel, ClassLogit, ClassProbability, Layer, Neuron, Single, Sum, Term

FORMS = "'layer:12', 'layer:12@row,column', 'layer:*', 'logit:12', 'probability:12', or sums: 'a:1 + b:2 - 0.5*c:3'"
SIGNS = re.compile(r"\s+([+-])\s+")
# The layer's name is greedy: a name may contain ':' itself, and the last one counts.
TERM = re.compile(
    r"(?P<minus>-)?(?:(?P<weight>\d+(?:\.\d+)?)\*)?(?P<layer>.+):(?P<what>\*|\d+)(?:@(?P<place>\d+,\d+))?"
)


def read_unit(text: str, layers: Mapping[str, LayerSpec]) -> Single | Sum:
    """Return the unit that `text` names in a model with these layers, by name.

    Raises ConfigError for text of another form, unknown layers, and channels or positions that a layer does not have.
    """
    parts = SIGNS.split(text.strip())
    terms = [_term(parts[0], text, layers)]
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        term = _term(part, text, layers)
        terms.append(Term(weight=-term.weight if sign == "-" else term.weight, unit=term.unit))
    if len(terms) == 1 and terms[0].weight == 1:
        return terms[0].unit
    return Sum(terms=tuple(terms))


def _term(text: str, full_text: str, layers: Mapping[str, LayerSpec]) -> Term:
    match = TERM.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{full_text!r}: can't read {text!r}; write {FORMS}, with spaces around + and -")
    weight = float(match["weight"] or 1) * (-1 if match["minus"] else 1)
    return Term(weight=weight, unit=_unit(match, full_text, layers))


def _unit(match: re.Match[str], full_text: str, layers: Mapping[str, LayerSpec]) -> Single:
    name, channel_text = match["layer"], match["what"]
    # A layer of the model may itself be called 'logit' or 'probability': then its name counts.
    of_class = name in ("logit", "probability") and name not in layers
    layer = layers.get(OUTPUT if of_class else name)
    if layer is None:
        guess = calls_meant(name, layers) or did_you_mean(name, layers)
        raise ConfigError(
            f"{full_text!r}: the model has no layer {name!r} that can be captured.{guess} "
            "In sums, write spaces around + and -"
        )
    if channel_text == "*":
        return Layer(layer=layer.name)
    channel = int(channel_text)
    if channel >= layer.channels:
        raise ConfigError(
            f"{full_text!r}: layer {layer.name!r} has the channels 0..{layer.channels - 1}, not {channel}"
        )
    if of_class and name == "probability":
        return ClassProbability(layer=layer.name, channel=channel)
    if layer.name == OUTPUT:
        return ClassLogit(layer=layer.name, channel=channel)
    if match["place"] is None:
        return Channel(layer=layer.name, channel=channel)
    row, column = map(int, match["place"].split(","))
    check_position(layer, row, column, full_text)
    return Neuron(layer=layer.name, channel=channel, row=row, column=column)


def check_position(layer: LayerSpec, row: int, column: int, written: str) -> None:
    """Raise ConfigError if a layer has no such position; `written` is the user's text, for the message."""
    rows, columns = layer.positions
    if row >= rows or column >= columns:
        raise ConfigError(
            f"{written!r}: layer {layer.name!r} has rows 0..{rows - 1} and columns 0..{columns - 1}, not {row},{column}"
        )
