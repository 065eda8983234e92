"""Fit a recipe to the depth of the layer that a picture is of. Pure.

    fitted(recipe, layer, model_input)    # Fitted(depth="early", recipe=...): what the picture is made by

What a unit sees has a size. Shifts, zooms and turns that suit a dog's face are far too large for an edge of seven
pixels: they blur it, and the border of the picture is out of sight in most steps. So *early* layers, whose receptive
field is a small part of the input, get small zooms and turns, and a picture without borders. *Late* layers have few
positions left, or one: their units are of whole objects, which take more steps, and which fill the picture where the
model is shown it at about its own size. All others, *middle*, have the recipe as it stands; so have layers whose
receptive field is not known, as that of tokens.

Depth follows from the network up to the layer and from the size of the input. Keys of pictures cover both, and the
recipe's settings. A layer is late by its shape alone, so a plan without receptive fields has the right costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import InputConfig
from network_atlas.layers import LayerSpec, ModelFacts

Depth = Literal["early", "middle", "late", ""]
"""'' where the recipe does not follow the depth."""

OWN_SIZE = 0.8
"""The model is shown a picture at half its input size only where that is not far below the picture's own size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A recipe as it is for one layer."""

    depth: Depth
    recipe: OptimizeConfig


def fitted(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> Fitted:
    """Return the recipe for pictures of a layer."""
    depth = depth_of(recipe, layer, model_input)
    if depth == "early":
        return Fitted(depth=depth, recipe=_early(recipe, _share(layer, model_input)))
    return Fitted(depth=depth, recipe=_late(recipe, model_input) if depth == "late" else recipe)


def depth_of(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> Depth:
    """Return the depth of a layer, as far as the recipe follows it."""
    if not recipe.depth.follow:
        return ""
    if layer.tokens is None and max(layer.positions) <= recipe.depth.late_positions:
        return "late"
    return "early" if _share(layer, model_input) < recipe.depth.early_field else "middle"


def field_px(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> float:
    """Return the side of the receptive field in pixels of the picture; infinity where depth or field do not count."""
    if depth_of(recipe, layer, model_input) != "early":
        return math.inf
    return _share(layer, model_input) * max(recipe.height_px, recipe.width_px)


def passes_of(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig, facts: ModelFacts) -> float:
    """Return the largest number of passes of a picture through the network up to the layer, in passes at full size."""
    made_by = fitted(recipe, layer, model_input).recipe
    # A quarter of the pixels.
    saved = 0.75 * made_by.coarse if facts.takes_half else 0.0
    return made_by.steps * made_by.transform.views * (1 - saved)


def _share(layer: LayerSpec, model_input: InputConfig) -> float:
    """Return the side of the receptive field as a share of the input's, at most 1; 1 where it is not known."""
    if layer.tokens is not None or layer.receptive_field_px is None:
        return 1.0
    return min(1.0, layer.receptive_field_px / min(model_input.height, model_input.width))


def _early(recipe: OptimizeConfig, share: float) -> OptimizeConfig:
    """Return a recipe whose zooms and turns shrink with the receptive field, for a picture without borders."""
    transform, part = recipe.transform, share / recipe.depth.early_field
    transform = replace(
        transform,
        fill="wrap",
        scale_min=transform.scale_min**part,
        scale_max=transform.scale_max**part,
        rotate_degrees=transform.rotate_degrees * part,
    )
    return replace(recipe, transform=transform)


def _late(recipe: OptimizeConfig, model_input: InputConfig) -> OptimizeConfig:
    """Return a recipe with more steps, most of which show the model the picture at about its own size."""
    rows, columns = model_input.height // 2, model_input.width // 2
    halves = rows >= OWN_SIZE * recipe.height_px and columns >= OWN_SIZE * recipe.width_px
    coarse = max(recipe.coarse, recipe.depth.late_coarse) if halves else recipe.coarse
    return replace(recipe, steps=round(recipe.steps * recipe.depth.late_steps), coarse=coarse)
