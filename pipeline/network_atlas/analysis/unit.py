"""One unit of an atlas, to look at: its pictures, its examples and its numbers.

unit = atlas.unit("conv2:3")
unit.picture()                  # a PIL image
unit                            # at the end of a notebook's cell: pictures, crops of its examples, numbers
"""

from __future__ import annotations

import base64
import html
import io
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from network_atlas.analysis.example_files import ExampleFiles
from network_atlas.analysis.shown import shown
from network_atlas.errors import StoreError, did_you_mean

CROPS = 8
"""Examples of a kind that a notebook shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A row of `atlas`: a channel, or another unit that pictures describe."""

    row: Mapping[str, Any]
    """With the images of its pictures."""
    files: ExampleFiles
    """Where the images of its examples are read."""

    @property
    def label(self) -> str:
        """Return its text form, such as 'conv2:3'."""
        return str(self.row["unit"])

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the names of its pictures."""
        return tuple(picture["variant"] for picture in self.row["visualizations"])

    def picture(self, variant: str | None = None) -> Image.Image:
        """Return a picture, as it is stored, the first one by default. Raises StoreError if it has none so called."""
        return Image.open(io.BytesIO(self._stored(variant)["image"]["bytes"]))

    def crops(self, kind: str = "top") -> list[Image.Image]:
        """Return the crops of its examples of a kind, best first; `examples` in `describe()` lists the kinds."""
        return [self.files.crop(example) for example in self._examples(kind)]

    def images(self, kind: str = "top") -> list[Image.Image | None]:
        """Return the whole images of its examples of a kind, best first; None where only the crop is stored."""
        return [self.files.whole(example) for example in self._examples(kind)]

    def show(self) -> None:
        """Show the unit in a notebook; elsewhere its first picture, in this machine's viewer."""
        notebook = sys.modules.get("IPython.display")
        if notebook is None:
            Image.open(io.BytesIO(shown(self._stored(None)))).show(title=self.label)
        else:
            notebook.display(self)

    def _stored(self, variant: str | None) -> Mapping[str, Any]:
        pictures: dict[str, Mapping[str, Any]] = {picture["variant"]: picture for picture in self.row["visualizations"]}
        if not pictures:
            raise StoreError(f"{self.label!r} has no picture: its status is {self.row['status']!r}")
        name = next(iter(pictures)) if variant is None else variant
        if name not in pictures:
            close = did_you_mean(name, pictures)
            raise StoreError(f"{self.label!r} has no picture {name!r}; it has {', '.join(pictures)}.{close}")
        return pictures[name]

    def _examples(self, kind: str) -> list[Mapping[str, Any]]:
        return [example for example in self.row["examples"] if example["kind"] == kind]

    def _repr_png_(self) -> bytes | None:
        return shown(self._stored(None)) if self.row["visualizations"] else None

    def _repr_html_(self) -> str:
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        name = self.row["class_name"]
        yield f"<b>{html.escape(self.label)}</b> {html.escape(name or '')} ({html.escape(self.row['status'])})<div>"
        for picture in self.row["visualizations"]:
            words = [picture["variant"], *(_words(key, picture[key]) for key in ("score", "percentile", "rank"))]
            yield _figure("png", shown(picture), ", ".join(word for word in words if word))
        yield "</div>"
        for kind in dict.fromkeys(example["kind"] for example in self.row["examples"]):
            yield f"<div>{html.escape(kind)}<br>"
            for example in self._examples(kind)[:CROPS]:
                words = [example["example_id"], example["label"], _words("value", example["value"])]
                yield _figure(
                    "webp", self.files.crop_bytes(example), ", ".join(word for word in words if word), side_px=64
                )
            yield "</div>"


def _words(name: str, value: float | None) -> str:
    return "" if value is None else f"{name} {value:.4g}"


def _figure(form: str, data: bytes, title: str, *, side_px: int = 160) -> str:
    source = f"data:image/{form};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" title="{html.escape(title)}" height="{side_px}" style="margin:2px">'
