"""The photos that come inside scikit-image and scikit-learn: small, real, and available without a download.

The packages are looked up, not imported. Only true photographs are taken (some through a microscope or a
telescope): no drawings, test charts or second views of the same scene. A photo that the installed version of a package
does not have is counted and left out.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from network_atlas.dataset.skipped import Reason, Skipped
from network_atlas.errors import DatasetError, UnreadableImageError

PHOTOS = (
    "skimage/astronaut.png",
    "skimage/brick.png",
    "skimage/camera.png",
    "skimage/cell.png",
    "skimage/chelsea.png",
    "skimage/clock_motion.png",
    "skimage/coffee.png",
    "skimage/coins.png",
    "skimage/grass.png",
    "skimage/gravel.png",
    "skimage/hubble_deep_field.jpg",
    "skimage/ihc.png",
    "skimage/moon.png",
    "skimage/motorcycle_left.png",
    "skimage/page.png",
    "skimage/retina.jpg",
    "skimage/rocket.jpg",
    "skimage/text.png",
    "sklearn/china.jpg",
    "sklearn/flower.jpg",
)
FOLDERS = {"skimage": "data", "sklearn": "datasets/images"}
"""Package to the folder of its photos."""
MISSING = Reason("photo", " that the installed package lacks")
FIX = "pip install 'network-atlas[demo]', or use dataset=folder with your own images"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFiles:
    """The packaged photos; their paths are '<package>/<file name>'."""

    labelled: bool

    def check(self) -> None:
        """Raise DatasetError unless both packages are there, with at least one photo."""
        missing = [package for package in FOLDERS if _folder(package) is None]
        if missing:
            raise DatasetError(f"the packaged photos need {' and '.join(missing)}; {FIX}")
        if next(self.sizes(Skipped()), None) is None:
            raise DatasetError(f"{' and '.join(FOLDERS)} hold none of the packaged photos; {FIX}")

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of every photo that is there."""
        for path in PHOTOS:
            file = self.content(path)
            if file.is_file():
                yield path, file.stat().st_size
            else:
                skipped.add(path, MISSING)

    def content(self, path: str) -> Path:
        """Return where the photo is; raise UnreadableImageError for anything else."""
        package, _, name = path.partition("/")
        folder = _folder(package) if path in PHOTOS else None
        if folder is None:
            raise UnreadableImageError("not one of the packaged photos, or its package is missing")
        return folder / name

    def label(self, path: str) -> str:
        """Return the file's name without its suffix."""
        return PurePosixPath(path).stem if self.labelled else ""


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / FOLDERS[package]
