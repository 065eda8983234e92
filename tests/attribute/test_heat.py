from __future__ import annotations

from dataclasses import replace

import numpy as np

from network_atlas.attribute.heat import SIDE, heat_map, own_map
from network_atlas.config.compose import compose
from network_atlas.layers import LayerSpec, ReceptiveField

INPUT = replace(compose([]).model.input, height=64, width=96)
WHOLE = (0.0, 0.0, 64.0, 96.0)
LAYER = LayerSpec(index=3, name="conv", type="Conv2d", channels=2, height=8, width=12)


def test_the_hottest_point_is_where_the_gradient_is() -> None:
    pixels = np.zeros((64, 96), np.float32)
    pixels[20, 70], pixels[50, 10] = -3.0, 1.5
    drawn = heat_map(pixels, WHOLE)
    assert drawn.shape == (SIDE, SIDE)
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (10, 23)  # 20.5 of 64 px, 70.5 of 96 px
    assert drawn.max() == 255
    assert 110 < drawn[20:30, :10].max() < 145
    assert drawn[0, 0] == 0


def test_a_heat_map_shows_the_box_alone() -> None:
    pixels = np.zeros((64, 96), np.float32)
    pixels[20, 70], pixels[50, 10] = 3.0, 1.0
    drawn = heat_map(pixels, (40.0, 0.0, 64.0, 32.0))
    assert np.unravel_index(drawn.argmax(), drawn.shape) == (13, 10)
    assert drawn.max() == 255


def test_no_gradient_and_numbers_that_are_not_finite_are_no_heat() -> None:
    for value in (0.0, np.nan, np.inf):
        assert (heat_map(np.full((64, 96), value, np.float32), WHOLE) == 0).all()


def test_the_own_map_lies_where_its_positions_are_in_the_image() -> None:
    values = np.zeros((8, 12), np.float32)
    values[2, 9] = 5.0
    drawn = own_map(values, LAYER, WHOLE, INPUT)
    assert drawn is not None
    assert np.unravel_index(drawn.argmax(), drawn.shape) in {(9, 24), (9, 25), (10, 24), (10, 25)}
    # A network whose first position lies at its corner, not half a step inside.
    field = ReceptiveField(size_px=(20.0, 20.0), stride_px=(8.0, 8.0), centre_px=(0.0, 0.0))
    moved = own_map(values, replace(LAYER, receptive_field=field), WHOLE, INPUT)
    assert moved is not None
    assert np.unravel_index(moved.argmax(), moved.shape) in {(7, 23), (8, 23), (7, 24), (8, 24)}


def test_tokens_and_vectors_have_no_map_of_their_own() -> None:
    tokens = replace(LAYER, height=None, width=None, tokens=16)
    assert own_map(np.ones((16, 1), np.float32), tokens, WHOLE, INPUT) is None
    assert own_map(np.ones((1, 1), np.float32), replace(tokens, tokens=None), WHOLE, INPUT) is None
