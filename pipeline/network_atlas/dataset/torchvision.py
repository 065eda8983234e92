"""Datasets that torchvision knows by name.

    dataset=torchvision dataset.name=CIFAR10 dataset.root=data/ 'dataset.arguments={train: false}'

The torchvision in use decodes and numbers the images. An id is the image file's path below the root where the dataset
lists its files, else '<name>/<arguments>/<number>' by the dataset's own published order, which is fixed. Nothing is
downloaded unless `dataset.download` says so.
"""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from network_atlas.dataset.labels import label_text
from network_atlas.dataset.skipped import Skipped
from network_atlas.errors import DatasetError, UnreadableImageError, did_you_mean

LISTS = ("samples", "imgs", "_samples", "_image_files", "_images", "images")
"""Names under which torchvision's datasets keep the paths of their files."""

Arguments = tuple[tuple[str, str | int | float | bool | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchvisionFiles:
    """The images of torchvision's dataset `name`."""

    name: str
    root: str
    arguments: Arguments
    download: bool
    labelled: bool

    def check(self) -> None:
        """Raise DatasetError unless the dataset can be opened and holds an image."""
        if not len(_opened(self)):
            raise DatasetError(f"torchvision's {self.name} in dataset.root={self.root!r} holds no images")

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (id, size): that of the file, or 0 where there is none of its own."""
        paths = _paths(self)
        for number in range(len(_opened(self))):
            yield self._id(number), os.path.getsize(paths[number]) if paths else 0

    def content(self, path: str) -> Path | bytes:
        """Return the image's file, or its pixels as a PNG where it has none of its own."""
        number = self._number(path)
        paths = _paths(self)
        if paths:
            return Path(paths[number])
        image = _opened(self)[number][0]
        if not isinstance(image, Image.Image):
            raise UnreadableImageError(f"torchvision's {self.name} gives a {type(image).__name__}, not an image")
        stream = io.BytesIO()
        image.save(stream, format="PNG", compress_level=0)
        return stream.getvalue()

    def label(self, path: str) -> str:
        """Return the name or number of the image's class, or ''."""
        if not self.labelled:
            return ""
        dataset, number = _opened(self), self._number(path)
        targets = next(
            (getattr(dataset, name) for name in ("targets", "_labels", "labels") if hasattr(dataset, name)), None
        )
        target = targets[number] if targets is not None else dataset[number][1]
        return label_text(
            _plain(target), _class_names(self), where=f"the target of {path!r} in torchvision's {self.name}"
        )

    def _id(self, number: int) -> str:
        paths = _paths(self)
        if paths:
            return Path(os.path.relpath(paths[number], self.root)).as_posix()
        chosen = "-".join(f"{name}={value}" for name, value in sorted(self.arguments))
        return "/".join(part for part in (self.name, chosen, f"{number:08d}") if part)

    def _number(self, path: str) -> int:
        number = _numbers(self).get(path)
        if number is None:
            raise UnreadableImageError(f"torchvision's {self.name} has no such image")
        return number


@lru_cache(maxsize=2)
def _class_names(files: TorchvisionFiles) -> tuple[str, ...]:
    """Return the names of the classes, in the order of their numbers; ImageNet has several words for each."""
    names = getattr(_opened(files), "classes", None) or ()
    return tuple(", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name) for name in names)


def _plain(target: Any) -> object:
    """Return a tensor, an array or a NumPy number as Python's numbers and lists."""
    return target.tolist() if hasattr(target, "tolist") else target


@lru_cache(maxsize=2)
def _opened(files: TorchvisionFiles) -> Any:
    try:
        # By name: only such a dataset needs torch.
        datasets = importlib.import_module("torchvision.datasets")
    except ImportError as error:
        raise DatasetError("dataset=torchvision needs torchvision: pip install torchvision") from error
    kind = getattr(datasets, files.name, None)
    if files.name not in datasets.__all__ or kind is None:
        raise DatasetError(
            f"dataset.name={files.name!r}: torchvision has no such dataset.{did_you_mean(files.name, datasets.__all__)}"
        )
    arguments: dict[str, Any] = dict(files.arguments) | ({"download": True} if files.download else {})
    try:
        return kind(files.root, **arguments) if files.root else kind(**arguments)
    except Exception as error:  # whatever the dataset's own code raises: no files, no network, wrong arguments
        advice = "check the network" if files.download else "dataset.download=true fetches it, where there is internet"
        raise DatasetError(
            f"torchvision's {files.name} can't be opened in dataset.root={files.root!r}: {type(error).__name__}: "
            f"{' '.join(str(error).split())}; {advice}, or check dataset.arguments={dict(files.arguments)}"
        ) from error


@lru_cache(maxsize=2)
def _paths(files: TorchvisionFiles) -> Sequence[str]:
    """Return the files of the images; empty when the dataset keeps its images otherwise."""
    dataset = _opened(files)
    for name in LISTS:
        items = getattr(dataset, name, None)
        if not isinstance(items, list | tuple) or len(items) != len(dataset):
            continue
        paths = [str(item[0] if isinstance(item, tuple | list) else item) for item in items]
        if all(os.path.isabs(path) and os.path.isfile(path) for path in paths[:1]):
            return paths
    return ()


@lru_cache(maxsize=2)
def _numbers(files: TorchvisionFiles) -> dict[str, int]:
    return {files._id(number): number for number in range(len(_opened(files)))}
