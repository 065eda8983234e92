"""Find layers on the way to a layer: where a picture is compared with its unit's best examples. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from network_atlas.layers import LayerSpec
from network_atlas.plan.sweep import spread


def earlier_layers(
    layers: Iterable[LayerSpec], repeats: Collection[str], layer: LayerSpec, count: int
) -> tuple[LayerSpec, ...]:
    """Return up to `count` of the layers that run before `layer`, evenly spaced, the last of them included.

    Layers inside of it, such as the last convolution of a block, and those that only pass on another's channels
    (`repeats`) may hold its own channels: there every picture would be like the images that excite the unit.
    """
    earlier = sorted(
        (
            spec
            for spec in layers
            if spec.index < layer.index and not spec.name.startswith(f"{layer.name}.") and spec.name not in repeats
        ),
        key=lambda spec: spec.index,
    )
    # `spread` always includes the first layer: it is one too many, and dropped.
    return tuple(spread(earlier, count + 1)[1:]) if len(earlier) > count else tuple(earlier)
