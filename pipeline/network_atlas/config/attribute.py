"""The settings of attribution: where on an image a channel looks, and which channels before it drive it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from network_atlas.config.declare import ATTRIBUTE, HASHED, setting, settings


@settings
class AttributeConfig:
    """Heat maps of a channel's best examples, and its edges: the channels just before it that drive it most."""

    layers: tuple[str, ...] = setting(HASHED, may_change=True)
    """Globs over the names of the layers that the sweep selects, the output among them."""
    edges: Annotated[int, Field(ge=1, le=256)] = setting(ATTRIBUTE, may_change=True, default=8)
    """Edges of each sign that are kept, for each layer just before."""
