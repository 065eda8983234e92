"""The bases of a layer where the sample has too few images to compare them by."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from network_atlas.assemble.bases import Bases
from network_atlas.assemble.naming import Naming
from network_atlas.layers import LayerSpec
from network_atlas.stats.clarity import Space, space_of
from network_atlas.stats.merge import LayerScan
from network_atlas.stats.sample import Sample

LAYER = LayerSpec(index=0, name="conv", type="Conv2d", channels=3, height=1, width=1)


def sample(count: int) -> Sample:
    values = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    ids, at = tuple(f"{number}.png" for number in range(count)), np.zeros((count, 3), np.int32)
    return Sample(ids=ids, spatial_mean=values, spatial_maximum=values, spatial_maximum_at=at, centre=values)


@pytest.mark.parametrize(
    ("space", "images"),
    [
        (space_of(sample(0)), 5),  # the layer that compares had values that are not finite on every image
        (space_of(sample(1)), 1),  # a dataset of one image
        (Space(rows={"other.png": 0}, vectors=np.ones((1, 2))), 5),
    ],
)
def test_without_images_to_compare_no_channel_has_a_score(space: Space, images: int) -> None:
    bases = Bases(
        layer=LAYER,
        scan=cast(LayerScan, SimpleNamespace(sample=sample(images))),
        naming=cast(Naming, None),
        space_layer=LAYER,
        space=space,
        embeddings=None,
        image=lambda name: name,
    )
    assert np.isnan(bases.monosemanticity()).all()
    assert bases.clarity() is None
    assert bases.rows(np.empty((0, 3))) == []
