from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from network_atlas.stats.clarity import BEST, Space, clarity, space_of
from network_atlas.stats.sample import Sample

IMAGES = 240
DEPTH = 12


def sample(means: NDArray[np.float32], ids: list[str]) -> Sample:
    at = np.zeros(means.shape, np.int32)
    return Sample(ids=tuple(ids), spatial_mean=means, spatial_maximum=means, spatial_maximum_at=at, centre=means)


def made(*, views: int = 1) -> tuple[NDArray[np.float32], list[str], list[str], Space]:
    """Return values of channels about one kind of image, two kinds, and nothing; ids, images, and a later space."""
    generator = np.random.default_rng(1)
    kinds = generator.integers(0, 6, IMAGES)
    centres = 3 * generator.normal(size=(6, DEPTH))
    later = np.repeat((centres[kinds] + generator.normal(size=(IMAGES, DEPTH))).astype(np.float32), views, axis=0)
    about = np.stack([kinds == 0, np.isin(kinds, (1, 2)), kinds == 9], axis=1)
    values = np.repeat(about + 0.1 * generator.normal(size=about.shape), views, axis=0).astype(np.float32)
    names = [f"{number // views:03d}" for number in range(IMAGES * views)]
    ids = [f"{name}#{number % views}" for number, name in enumerate(names)]
    return values, ids, names, space_of(sample(later, ids))


@pytest.mark.parametrize("views", [1, 2])
def test_a_channel_about_one_kind_is_clear_and_one_about_two_has_two_clearer_groups(views: int) -> None:
    values, ids, images, space = made(views=views)
    clear = clarity(values, ids, images, space)
    assert clear is not None
    one, two, nothing = clear.together
    assert one > 0.75 > two > clear.chance > nothing
    assert clear.apart.tolist() == [False, True, False]
    assert (clear.groups[1] > 0.75).all()
    assert (clear.sizes.sum(axis=1) == BEST).all()


def test_clarity_is_the_mean_cosine_between_the_best_images() -> None:
    values, ids, images, space = made()
    clear = clarity(values, ids, images, space)
    assert clear is not None
    best = np.argsort(-values[:, 2])[:BEST]
    cosines = [space.vectors[a] @ space.vectors[b] for a in best for b in best if a != b]
    assert clear.together[2] == pytest.approx(np.mean(cosines), abs=1e-9)


def test_images_by_chance_are_seldom_called_two_groups() -> None:
    _, ids, images, space = made()
    values = np.random.default_rng(2).normal(size=(IMAGES, 400)).astype(np.float32)
    clear = clarity(values, ids, images, space)
    assert clear is not None
    assert clear.apart.mean() < 0.03


def test_a_small_sample_says_nothing() -> None:
    values, ids, images, space = made()
    assert clarity(values[:60], ids[:60], images[:60], space) is None
    assert clarity(values, ids, images, space_of(sample(np.empty((0, 3), np.float32), []))) is None
