"""The user's own vectors of images and of concepts, from any model of texts and images, to name units by.

`dataset.embeddings` is a folder with four files: `image_embeddings.npy` (images, depth) and `images.txt` with the id of
each image, one a line; `concepts.npy` (concepts, depth) and `concepts.txt` with the name of each. No such model is
needed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from network_atlas.config.dataset import DatasetConfig
from network_atlas.errors import DatasetError, counted
from network_atlas.fingerprints import fingerprint
from network_atlas.unit_length import unit_length

FILES = ("concepts.npy", "concepts.txt", "image_embeddings.npy", "images.txt")
Matrix = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Vectors of images and of concepts in one space."""

    concepts: tuple[str, ...]
    vectors: Matrix
    """(concepts, depth)"""
    rows: dict[str, int]
    """From an image's id to its row in `images`."""
    images: Matrix
    """(images, depth): read from disk where it is used."""
    content: str
    """A hash of the concepts, and of the size and time of the file of images."""

    def likeness(self, image_ids: list[str]) -> NDArray[np.float64]:
        """Return the cosine of some images with all concepts, (images, concepts).

        Raises DatasetError for an image whose vector is not finite, which would take every unit's description away, or
        all zeros, which would count as an image that is like nothing.
        """
        chosen = np.asarray(self.images[[self.rows[image] for image in image_ids]], np.float64)
        for bad, what in _bad_rows(chosen):
            raise DatasetError(
                f"dataset.embeddings: image_embeddings.npy holds {what} for "
                f"{counted(len(bad), 'image')}, such as {image_ids[bad[0]]!r}; make it again"
            )
        return unit_length(chosen) @ unit_length(np.asarray(self.vectors)).T


def _bad_rows(vectors: NDArray[np.floating]) -> Iterator[tuple[NDArray[np.int64], str]]:
    """Yield the rows that have no direction, and what they hold."""
    for is_bad, what in (
        (~np.isfinite(vectors).all(axis=1), "values that are not finite"),
        (~np.any(vectors, axis=1), "nothing but zeros"),
    ):
        if is_bad.any():
            yield np.flatnonzero(is_bad), what


def read_embeddings(config: DatasetConfig) -> Embeddings | None:
    """Return the vectors that the setting names; None for ''. Raises DatasetError for files that do not fit."""
    if not config.embeddings:
        return None
    folder, where = Path(config.embeddings), f"dataset.embeddings={config.embeddings!r}"
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DatasetError(f"{where} lacks {', '.join(missing)}; it must be a folder with {', '.join(FILES)}")
    vectors, names = _matrix(folder / "concepts.npy", where), _lines(folder / "concepts.txt", where)
    images, ids = _matrix(folder / "image_embeddings.npy", where), _lines(folder / "images.txt", where)
    for name, matrix, texts in (("concepts", vectors, names), ("image_embeddings", images, ids)):
        if len(matrix) != len(texts):
            lines = counted(len(texts), "name") if name == "concepts" else counted(len(texts), "id")
            raise DatasetError(f"{where}: {name}.npy has {len(matrix)} rows for {lines}; give one line to each row")
    if vectors.shape[1] != images.shape[1]:
        raise DatasetError(
            f"{where}: concepts.npy has vectors of {vectors.shape[1]} numbers, image_embeddings.npy of "
            f"{images.shape[1]}; both must come from one model"
        )
    for bad, what in _bad_rows(vectors):
        raise DatasetError(
            f"{where}: concepts.npy holds {what} for {names[bad[0]]!r}; make it again, or leave that out"
        )
    status = (folder / "image_embeddings.npy").stat()
    content = fingerprint("embeddings", names, ids, np.asarray(vectors).tolist(), status.st_size, status.st_mtime_ns)
    rows = {image: row for row, image in enumerate(ids)}
    return Embeddings(concepts=tuple(names), vectors=vectors, rows=rows, images=images, content=content)


def _matrix(path: Path, where: str) -> Matrix:
    try:
        matrix: Matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{where}: can't read {path.name}: {error}; save it with numpy.save") from error
    if matrix.ndim != 2 or not len(matrix) or matrix.dtype.kind != "f":
        raise DatasetError(
            f"{where}: {path.name} has shape {matrix.shape} and type {matrix.dtype}; it must hold rows of floats"
        )
    return matrix


def _lines(path: Path, where: str) -> list[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{where}: can't read {path.name}: {error}; save it as text in UTF-8") from error
    commonest = Counter(lines).most_common(1)
    if commonest and commonest[0][1] > 1:
        raise DatasetError(f"{where}: {path.name} has {commonest[0][0]!r} {commonest[0][1]} times; give each line once")
    return lines


def check_images(embeddings: Embeddings, images: frozenset[str], config: DatasetConfig) -> str:
    """Return a sentence on the images of the dataset that have no vector; '' if all have one.

    Raises DatasetError if none has one.
    """
    unknown = sorted(images - embeddings.rows.keys())
    if not unknown:
        return ""
    where = f"dataset.embeddings={config.embeddings!r}"
    if len(unknown) == len(images):
        raise DatasetError(
            f"{where} has no vector of any image of the dataset; images.txt must hold their ids, such as {unknown[0]!r}"
        )
    verb = "has" if len(unknown) == 1 else "have"
    return f"{len(unknown):,} of {len(images):,} images {verb} no vector in dataset.embeddings, such as {unknown[0]!r}"
