"""Vectors of the user's own: which files are refused, and that they describe units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from network_atlas.assemble.describing import descriptions
from network_atlas.config.dataset import DatasetConfig
from network_atlas.config.schema import RunConfig
from network_atlas.dataset.embeddings import Embeddings, check_images, read_embeddings
from network_atlas.errors import DatasetError
from network_atlas.run.prepare import prepare

IMAGES, DEPTH = 150, 6


def write(folder: Path) -> Path:
    """Write vectors of images, each near one of four concepts, and return the folder."""
    generator = np.random.default_rng(0)
    concepts = np.linalg.qr(generator.normal(size=(DEPTH, DEPTH)))[0][:4]
    images = concepts[np.arange(IMAGES) % 4] + 0.2 * generator.normal(size=(IMAGES, DEPTH))
    np.save(folder / "concepts.npy", concepts.astype(np.float32))
    np.save(folder / "image_embeddings.npy", images.astype(np.float32))
    (folder / "concepts.txt").write_text("red\ngreen\nblue\nround\n")
    (folder / "images.txt").write_text("".join(f"{number:03d}.png\n" for number in range(IMAGES)))
    return folder


def config(folder: Path) -> DatasetConfig:
    return DatasetConfig(source="folder", root="images", label="none", embeddings=str(folder))


def read(folder: Path) -> Embeddings:
    embeddings = read_embeddings(config(folder))
    assert embeddings is not None
    return embeddings


@pytest.mark.parametrize("views", [1, 2])
def test_a_unit_is_described_by_the_concept_that_it_follows(views: int, tmp_path: Path) -> None:
    embeddings = read(write(tmp_path))
    likeness = embeddings.likeness([f"{number:03d}.png" for number in range(IMAGES)])
    generator = np.random.default_rng(1)
    values = np.stack([likeness[:, 2] + 0.1 * generator.normal(size=IMAGES), generator.normal(size=IMAGES)], axis=1)
    ids = [f"{number:03d}.png#{view}" for number in range(IMAGES) for view in range(views)]
    blue, nothing = descriptions(
        np.repeat(values, views, axis=0).astype(np.float32), ids, embeddings, lambda name: name.partition("#")[0]
    )
    assert blue["description"] == "blue"
    assert blue["description_score"] == pytest.approx(np.corrcoef(values[:, 0], likeness[:, 2])[0, 1], abs=1e-6)
    assert next(each["name"] for each in blue["descriptions"]) == "blue"
    assert nothing["description"] is None
    assert nothing["description_score"] <= nothing["description_by_chance"]


def test_images_without_a_vector_are_left_out(tmp_path: Path) -> None:
    embeddings = read(write(tmp_path))
    values = np.random.default_rng(0).normal(size=(IMAGES + 1, 1)).astype(np.float32)
    ids = [f"{number:03d}.png" for number in range(IMAGES + 1)]
    kept = descriptions(values[:IMAGES], ids[:IMAGES], embeddings, str)
    assert descriptions(values, ids, embeddings, str) == kept
    assert descriptions(values[:10], ids[:10], embeddings, str)[0]["description_score"] is None


@pytest.mark.parametrize(("value", "message"), [(np.nan, "not finite"), (0.0, "nothing but zeros")])
def test_a_vector_without_a_direction_is_named(value: float, message: str, tmp_path: Path) -> None:
    vectors = np.load(write(tmp_path) / "image_embeddings.npy")
    vectors[7] = value
    np.save(tmp_path / "image_embeddings.npy", vectors)
    ids = [f"{number:03d}.png" for number in range(IMAGES)]
    assert read(tmp_path).likeness(ids[:7]).shape[0] == 7
    with pytest.raises(DatasetError, match=rf"{message} for 1 image, such as '007\.png'"):
        read(tmp_path).likeness(ids)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("images.txt", None, "lacks images.txt"),
        ("concepts.txt", "red\ngreen\n", "4 rows for 2 names"),
        ("concepts.txt", "red\nred\nblue\nround\n", "'red' 2 times"),
        ("images.txt", "one.png\n", "150 rows for 1 id"),
        ("concepts.npy", "no array", "can't read concepts.npy"),
        ("concepts.npy", np.zeros((4, 3), np.float32), "vectors of 3 numbers"),
        ("concepts.npy", np.zeros(4, np.float32), "must hold rows of floats"),
        ("concepts.npy", np.zeros((4, DEPTH), np.int64), "must hold rows of floats"),
        ("concepts.npy", np.full((4, DEPTH), np.nan, np.float32), "not finite for 'red'"),
        ("concepts.npy", np.eye(4, DEPTH, k=-1, dtype=np.float32), "nothing but zeros for 'red'"),
    ],
)
def test_files_that_do_not_fit_are_refused(name: str, content: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path) / name
    path.unlink()
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        np.save(path, content)
    with pytest.raises(DatasetError) as refused:
        read_embeddings(config(tmp_path))
    assert message in str(refused.value)


def test_images_of_the_dataset_without_a_vector_are_counted(tmp_path: Path) -> None:
    embeddings, settings = read(write(tmp_path)), config(tmp_path)
    assert check_images(embeddings, frozenset({"000.png"}), settings) == ""
    assert check_images(embeddings, frozenset({"000.png", "other.png"}), settings).startswith("1 of 2 images has no")


def test_vectors_of_other_images_are_refused_before_any_work(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no vector of any image"):
        prepare(tiny(f"dataset.embeddings={write(tmp_path)}"))
