from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.dataset.photos import CLASS_NAMES, FOLDERS, IMAGENET, OPTIONAL, PHOTOS
from network_atlas.errors import DatasetError, UnreadableImageError

MakeConfig = Callable[..., DatasetConfig]

needs_photos = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in FOLDERS if package not in OPTIONAL),
    reason="needs pip install 'network-atlas[demo]'",
)


@needs_photos
def test_every_photo_is_there_and_can_be_read(make_config: MakeConfig) -> None:
    source = open_source(make_config(source="photos", root="", label="name", max_pixels=10_000_000))
    examples = source.examples()
    there = [path for path in PHOTOS if importlib.util.find_spec(path.partition("/")[0])]
    assert [example.example_id for example in examples] == sorted(there)
    for example in examples:
        image = source.read(example.example_id)
        assert image.mode == "RGB"
        assert min(image.size) >= 150
    assert source.label("skimage/hubble_deep_field.jpg") == "hubble_deep_field"
    assert open_source(make_config(source="photos", root="")).label("sklearn/china.jpg") == ""


@needs_photos
def test_photos_have_views(make_config: MakeConfig) -> None:
    source = open_source(make_config(source="photos", root="", views=16, limit=7))
    assert len(source.examples()) == 7
    assert source.read("skimage/chelsea.png#0").size == (451, 300)
    assert source.read("skimage/chelsea.png#3").size != (451, 300)


@needs_photos
@pytest.mark.parametrize("example_id", ["skimage/__init__.py", "skimage/../data/moon.png", "os/moon.png", "moon.png"])
def test_only_the_photos_can_be_read(example_id: str, make_config: MakeConfig) -> None:
    with pytest.raises(UnreadableImageError, match="not one of the packaged photos"):
        open_source(make_config(source="photos", root="")).read(example_id)


@needs_photos
def test_without_foolbox_its_photos_are_counted_and_left_out(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "foolbox" else real(name))
    listing = open_source(make_config(source="photos", root="", label="name")).listing()
    assert {example.example_id.partition("/")[0] for example in listing.examples} == {"skimage", "sklearn"}
    assert any("20 photos" in notice for notice in listing.notices)


def test_foolboxs_photos_have_the_class_that_their_name_says(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("network_atlas.dataset.photos._folder", lambda package: tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "imagenet_17_22.jpg")
    source = open_source(make_config(source="photos", root="", label="name"))
    assert [source.label(example.example_id) for example in source.examples()] == ["bald eagle"]
    assert set(IMAGENET) == set(CLASS_NAMES)


def test_missing_packages_are_named_with_the_fix(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DatasetError, match=r"skimage and sklearn; pip install 'network-atlas\[demo\]'"):
        open_source(make_config(source="photos", root=""))


@needs_photos
def test_a_photo_that_a_version_lacks_is_left_out(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("network_atlas.dataset.photos.PHOTOS", ("skimage/moon.png", "skimage/not_yet.png"))
    (example,) = open_source(make_config(source="photos", root="")).examples()
    assert example.example_id == "skimage/moon.png"


def test_a_root_that_would_not_be_read_is_refused(make_config: MakeConfig) -> None:
    with pytest.raises(DatasetError, match=r"reads nothing from dataset\.root='my/images'.*dataset=folder"):
        open_source(make_config(source="photos", root="my/images"))


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, network_atlas.dataset; "
        "print([name for name in ('torch', 'pyarrow', 'hydra', 'ray', 'skimage', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
