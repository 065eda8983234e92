"""The interface of sources: an example, a listing, and what a source does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One image of the dataset."""

    example_id: str
    label: str
    """'' when unknown."""
    version: str
    """Text that changes when the image does: the file's size, `dataset.version`, and the seed of a crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A dataset's examples, and what was left out of them."""

    examples: tuple[Example, ...]
    """Sorted by id."""
    notices: tuple[str, ...] = ()
    """Sentences for the user: what was skipped and how often, which ids and patterns match nothing."""


class Source(Protocol):
    """A dataset. Reading needs no listing first, and may be done by many threads and workers at once."""

    def listing(self) -> Listing:
        """Return every example, or the `dataset.limit` ones with the smallest hashes, and what was left out."""
        ...

    def examples(self) -> tuple[Example, ...]:
        """Return the examples of a listing."""
        ...

    def read(self, example_id: str, *, side_min_px: int = 0) -> Image.Image:
        """Return the example in RGB, upright and cropped to its view.

        With `side_min_px` it may come reduced, its shorter side never below that.
        Raises UnreadableImageError with the id and the reason, and DatasetError for an image that may be readable at
        another time or on another machine: a file that is gone, or that this user may not read.
        """
        ...

    def origin(self, example_id: str) -> tuple[int, int]:
        """Return where in its image (row, column) the example begins: (0, 0) but for cropped views."""
        ...

    def image(self, example_id: str) -> str:
        """Return the id of the image that the example is a view of; views of one image share it."""
        ...

    def label(self, example_id: str) -> str:
        """Return the example's label, '' when unknown."""
        ...
