"""The photos that come inside scikit-image, scikit-learn and foolbox: small, real, and available without a download.

The packages are looked up, not imported. Only true photographs are taken (some through a microscope or a
telescope): no drawings, test charts or second views of the same scene. A photo that the installed version of a package
does not have is counted and left out. foolbox may be missing: its photos, one or two of each of 19 ImageNet classes,
are then left out too.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from network_atlas.dataset.skipped import Reason, Skipped
from network_atlas.errors import DatasetError, UnreadableImageError

CLASS_NAMES = {
    22: "bald eagle",
    99: "goose",
    129: "spoonbill",
    243: "bull mastiff",
    251: "dalmatian",
    305: "dung beetle",
    317: "leafhopper",
    438: "beaker",
    455: "bottlecap",
    471: "cannon",
    541: "drum",
    559: "folding chair",
    609: "jeep",
    630: "Loafer",
    741: "prayer rug",
    853: "thatch",
    915: "yurt",
    949: "strawberry",
    990: "buckeye",
}
"""Index and name of the ImageNet classes of foolbox's photos."""
IMAGENET = (243, 559, 438, 990, 949, 853, 609, 609, 915, 455, 541, 630, 741, 471, 129, 99, 251, 22, 317, 305)
"""The class of each of foolbox's photos, as their names have it: 'imagenet_00_243.jpg'."""
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
    *(f"foolbox/imagenet_{number:02d}_{index}.jpg" for number, index in enumerate(IMAGENET)),
)
FOLDERS = {"skimage": "data", "sklearn": "datasets/images", "foolbox": "data"}
"""Package to the folder of its photos."""
OPTIONAL = ("foolbox",)
MISSING = Reason("photo", " that no installed package has")
FIX = "pip install 'network-atlas[demo]', or use dataset=folder with your own images"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoFiles:
    """The packaged photos; their paths are '<package>/<file name>'."""

    labelled: bool

    def check(self) -> None:
        """Raise DatasetError unless the packages that are not optional are there, with at least one photo."""
        missing = [package for package in FOLDERS if package not in OPTIONAL and _folder(package) is None]
        if missing:
            raise DatasetError(f"the packaged photos need {' and '.join(missing)}; {FIX}")
        if next(self.sizes(Skipped()), None) is None:
            raise DatasetError(f"{' and '.join(FOLDERS)} hold none of the packaged photos; {FIX}")

    def sizes(self, skipped: Skipped) -> Iterator[tuple[str, int | None]]:
        """Yield (path, size in bytes) of every photo that is there."""
        for path in PHOTOS:
            package, _, name = path.partition("/")
            folder = _folder(package)
            file = None if folder is None else folder / name
            if file is not None and file.is_file():
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
        """Return the photo's ImageNet class where its file says it, else the file's name without its suffix."""
        if not self.labelled:
            return ""
        stem = PurePosixPath(path).stem
        return CLASS_NAMES[int(stem.rpartition("_")[2])] if path.startswith("foolbox/") else stem


def _folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / FOLDERS[package]
