"""Plans of a network that exists only as a list of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from network_atlas.config.schema import RunConfig
from network_atlas.layers import OUTPUT, LayerSpec, ModelFacts
from network_atlas.plan.make import Dataset, make_plan
from network_atlas.plan.pictures import Picture
from network_atlas.plan.plan import Plan
from network_atlas.plan.sweep import expand_sweep

LAYERS = (
    LayerSpec(index=0, name="first", type="Conv2d", channels=8, height=4, width=4),
    LayerSpec(index=1, name="second", type="Conv2d", channels=8, height=4, width=4),
    LayerSpec(index=2, name="tokens", type="Block", channels=8, tokens=17, channel_axis=-1),
    LayerSpec(index=3, name=OUTPUT, type="Net", channels=8),
)
ALL = 'sweep.select.0.include=["**", output]'
EXAMPLES = [(f"{number:03d}.png", "1kB") for number in range(12)]
Tiny = Callable[..., RunConfig]


def plan_of(config: RunConfig, *, examples: list[tuple[str, str]] = EXAMPLES, **upstream: str) -> Plan:
    """Return the plan of a network with these layers; `upstream` replaces the hashes of some of them."""
    known = ModelFacts(
        layers=LAYERS,
        bases={layer.name: (layer.type,) for layer in LAYERS},
        unsupported={},
        repeats={},
        upstream={layer.name: f"hash-of-{layer.name}" for layer in LAYERS} | upstream,
        share={layer.name: 0.5 for layer in LAYERS},
        forward_seconds=0.01,
        class_names=(),
    )
    config = replace(config, sweep=replace(config.sweep, select=(replace(config.sweep.select[0], types=()),)))
    sweep = expand_sweep(known, config.sweep)
    dtypes = dict.fromkeys(("", *config.recipes), "float32")
    return make_plan(
        config, known, sweep.selections, Dataset(examples=examples, sample_limit="f", images_limit="f"), dtypes=dtypes
    )


def pictures(plan: Plan, layer: str = "") -> list[Picture]:
    """Return the pictures of one layer, or of all."""
    return [picture for part in plan.layers for picture in part.pictures if layer in ("", part.layer.name)]


def variants(*fields: str) -> str:
    """Return the override for variants with these fields."""
    return f"sweep.variants=[{', '.join(f'{{{variant}}}' for variant in fields)}]"
