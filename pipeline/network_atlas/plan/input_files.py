"""The files that tasks read. The code that creates tasks gets their names from an `InputFiles`.

`network_atlas.run.inputs.StoredFiles` finds them in the store; `NOT_YET_WRITTEN` is for tasks that are only counted.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from network_atlas.layers import LayerSpec
from network_atlas.plan.contents import LearnedModel


class InputFiles(Protocol):
    """The files in the store that tasks read."""

    def of_scan(self, layer: LayerSpec) -> tuple[str, ...] | None:
        """Return the files of a layer's scan; None if a span is missing."""
        ...

    def of_images(self) -> str | None:
        """Return the file with the statistics of all images; None if it is not written yet."""
        ...

    def of_layout(self, layout_key: str) -> str | None:
        """Return the file that says where vectors lie on a map; None if it is not laid out yet."""
        ...

    def of_cells(self, layout_key: str) -> str:
        """Return the file with the cells of a finished map."""
        ...

    def of_pictures(self, keys: Collection[str]) -> tuple[str, ...]:
        """Return the files that hold finished pictures, by the pictures' keys."""
        ...

    def of_learned(self, model: LearnedModel) -> LearnedModel | None:
        """Return a model with the file that holds it; None if it is not fitted yet."""
        ...


class _NotYetWritten:
    """No files: for tasks that are only counted or estimated."""

    def of_scan(self, layer: LayerSpec) -> tuple[str, ...] | None:
        return ()

    def of_images(self) -> str | None:
        return ""

    def of_layout(self, layout_key: str) -> str | None:
        return ""

    def of_cells(self, layout_key: str) -> str:
        return ""

    def of_pictures(self, keys: Collection[str]) -> tuple[str, ...]:
        return ()

    def of_learned(self, model: LearnedModel) -> LearnedModel | None:
        return model


NOT_YET_WRITTEN: InputFiles = _NotYetWritten()
