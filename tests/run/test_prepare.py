"""What a run takes over from what the last one wrote about the layers."""

from __future__ import annotations

from collections.abc import Callable

from network_atlas.config.schema import RunConfig
from network_atlas.layers import LayerSpec
from network_atlas.models.receptive_field import FIELD_ALGORITHM
from network_atlas.run.prepare import Loaded, Prepared, prepare
from network_atlas.run.record import layer_rows
from network_atlas.store import schemas
from network_atlas.store.results import LAYERS_FILE
from network_atlas.store.shards import put_table


def specs(prepared: Prepared) -> list[LayerSpec]:
    return [layer.layer for layer in prepared.plan.layers]


def test_stored_receptive_fields_are_taken_over_if_they_were_measured_in_the_same_way(
    tiny: Callable[..., RunConfig],
) -> None:
    loaded = Loaded(tiny("dataset=none", "dataset.root=''", "dataset.label=none"))
    first = prepare(loaded.config, loaded=loaded)
    assert all(spec.receptive_field for spec in specs(first))

    def with_rows(number: int | None) -> list[LayerSpec]:
        """Return the layers after a run whose fields are written as 5 pixels wide and measured in that way."""
        other = {"receptive_field": None, "receptive_field_px": 5, "receptive_field_algorithm": number}
        put_table(first.store, LAYERS_FILE, [row | other for row in layer_rows(first)], schemas.LAYERS)
        return specs(prepare(loaded.config, loaded=loaded))

    assert {spec.receptive_field_px for spec in with_rows(FIELD_ALGORITHM)} == {5}
    assert with_rows(FIELD_ALGORITHM - 1) == specs(first)
    assert with_rows(None) == specs(first)  # as roots of earlier versions have it
