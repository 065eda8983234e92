"""Fit a recipe to the depth of the layer that a picture is of. Pure.

    fitted(recipe, layer, model_input)    # Fitted(depth="early", recipe=...): what the picture is made by

What a unit sees has a size. Zooms and turns that suit a dog's face are far too large for an edge of seven pixels and
blur it; and the border of a picture that is shifted, zoomed and turned is out of sight in many steps. So

* *early* layers, whose receptive field is less than half of the input's side, get small zooms and turns, and a picture
  without borders;
* *middle* layers, whose receptive field is smaller than the input, get a picture without borders;
* *late* layers have few positions left, or one: their units are of whole objects, which take more steps, and which
  fill the picture where the model is shown it at about its own size;
* all others are *plain* and have the recipe as it stands: maps whose units see the whole input, tokens, and layers
  whose receptive field is not known.

Depth follows from the network up to the layer and from the size of the input. Keys of pictures cover both, and the
recipe's settings. A layer is late by its shape alone, so a plan without receptive fields has the right costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from network_atlas.config.recipe import OptimizeConfig
from network_atlas.config.schema import InputConfig
from network_atlas.layers import LayerSpec

Depth = Literal["early", "middle", "late", "plain", ""]
"""'' where the recipe does not follow the depth."""

OWN_SIZE = 0.8
"""The model is shown a picture at half its input size only where that is not far below the picture's own size."""
HALF_SIZE_COST = 0.6
"""As a share of a step at full size, as measured on processors: a quarter of the pixels, but as many layers."""
SMALLEST_PART = 0.5
"""Zooms and turns shrink to this part of their range: nearly without them, large areas stay as they saturated first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A recipe as it is for one layer."""

    depth: Depth
    recipe: OptimizeConfig


def fitted(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> Fitted:
    """Return the recipe for pictures of a layer."""
    depth = depth_of(recipe, layer, model_input)
    if depth in ("early", "middle"):
        return Fitted(depth=depth, recipe=_without_border(recipe, _share(layer, model_input)))
    return Fitted(depth=depth, recipe=_late(recipe, model_input) if depth == "late" else recipe)


def depth_of(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> Depth:
    """Return the depth of a layer, as far as the recipe follows it."""
    if not recipe.depth.follow:
        return ""
    if layer.tokens is None and max(layer.positions) <= recipe.depth.late_positions:
        return "late"
    share = _share(layer, model_input)
    if share == 1:
        return "plain"
    return "early" if share < recipe.depth.early_field else "middle"


def field_px(recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig) -> float:
    """Return the side of the receptive field in pixels of the picture; infinity where it does not count."""
    if depth_of(recipe, layer, model_input) not in ("early", "middle"):
        return math.inf
    return _share(layer, model_input) * max(recipe.height_px, recipe.width_px)


def passes_of(
    recipe: OptimizeConfig, layer: LayerSpec, model_input: InputConfig, *, takes_half: bool, steps: int | None = None
) -> float:
    """Return the largest number of passes of a picture through the network up to the layer, in passes at full size.

    `takes_half`: the model can see the picture at half its input size (`Target.takes_half`, `Picture.has_place`).
    `steps`: those of a picture that starts from an earlier one. Samples of a chain share its passes, all starts of it.
    """
    made_by = fitted(recipe, layer, model_input).recipe
    saved = (1 - HALF_SIZE_COST) * made_by.coarse if takes_half else 0.0
    starts = made_by.chain.restarts if made_by.chain else 1
    return (steps or made_by.steps) * starts * made_by.transform.views * (1 - saved)


def _share(layer: LayerSpec, model_input: InputConfig) -> float:
    """Return the side of the receptive field as a share of the input's, at most 1; 1 where it is not known."""
    if layer.tokens is not None or layer.receptive_field_px is None:
        return 1.0
    return min(1.0, layer.receptive_field_px / min(model_input.height, model_input.width))


def _without_border(recipe: OptimizeConfig, share: float) -> OptimizeConfig:
    """Return a recipe for pictures without borders, whose zooms and turns shrink with a small receptive field."""
    transform, part = recipe.transform, share / recipe.depth.early_field
    part = min(1.0, max(SMALLEST_PART, part))
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
