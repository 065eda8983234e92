from __future__ import annotations

import pytest
import torch

from network_atlas.config.arguments import frozen
from network_atlas.config.recipe import FourierConfig, GeneratorConfig, TransformConfig, WithoutGenerator
from network_atlas.errors import ConfigError, ModelError
from network_atlas.pictures.generators import users_generator
from network_atlas.pictures.parameterizations.generated import Generated

STILL = TransformConfig(
    pad_px=0, fill="grey", jitter_px=0, scale_min=1, scale_max=1, rotate_degrees=0, crop=None, views=1, noise_std=0
)
TWIN = WithoutGenerator(
    parameterization=FourierConfig(name="fourier", decay=1.0, std=0.01, decorrelated=True),
    transform=STILL,
    ascent="adam",
    learning_rate=0.03,
)


def config(function: str = "tiny_generator:build", *, allow_code: bool = True, **arguments: object) -> GeneratorConfig:
    return GeneratorConfig(
        name="generator",
        function=function,
        arguments=frozen(arguments),
        allow_code=allow_code,
        limit=3.0,
        decay=0.9,
        without_prior=TWIN,
    )


def generated(channels: int = 3, size: tuple[int, int] = (16, 20)) -> Generated:
    settings = config(channels=channels)
    built = users_generator(settings, channels)
    return Generated(
        settings, channels=channels, height=size[0], width=size[1], device=torch.device("cpu"), generator=built
    )


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_a_users_generator_draws_pictures_of_every_size(channels: int) -> None:
    learned = generated(channels, (15, 9))
    codes = learned.start([torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)])
    assert codes.shape == (2, 6)
    assert learned.image(codes).shape == (2, channels, 15, 9)


def test_a_picture_is_the_same_bits_alone_and_in_a_batch() -> None:
    learned = generated()
    codes = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(learned.image(codes)[3:4], learned.image(codes[3:4]))


def test_codes_move_back_to_their_mean_and_stay_within_the_limit() -> None:
    assert generated().kept(torch.tensor([[0.0, 1.0, -2.0, 9.0, -9.0, 3.2]])).tolist() == [
        pytest.approx([0.0, 0.9, -1.8, 3.0, -3.0, 2.88])
    ]


def test_its_identity_covers_its_weights_and_its_statistics() -> None:
    identity = users_generator(config(), 3).identity
    assert users_generator(config(), 3).identity == identity
    assert users_generator(config(seed=1), 3).identity != identity


@pytest.mark.parametrize(
    ("settings", "channels", "error", "message"),
    [
        (config(allow_code=False), 3, ConfigError, r"parameterization\.allow_code=true"),
        (config("tiny_generator"), 3, ConfigError, "give module:function"),
        (config("tiny_generator:missing"), 3, ModelError, "can't be imported"),
        (config("tiny_generator:network_alone"), 3, ModelError, r"must return \(network, mean, deviation\)"),
        (config("tiny_generator:of_other_codes"), 3, ModelError, r"fails on the mean of its codes, of shape \(5,\)"),
        (config("tiny_generator:of_negative_deviation"), 3, ModelError, "a deviation below 0"),
        (config(), 7, ModelError, r"returned \(1, 3, 12, 12\).*channels=7"),
    ],
)
def test_what_is_no_generator_is_refused(
    settings: GeneratorConfig, channels: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        users_generator(settings, channels)


def test_it_starts_from_no_image() -> None:
    with pytest.raises(ConfigError, match="can't start from an image"):
        generated().parameters_of(torch.zeros(1, 3, 16, 20))
