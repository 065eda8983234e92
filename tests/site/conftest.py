"""Synthetic rows and layers, and a reader of pages, for the tests of the site."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

import pytest
from PIL import Image, ImageStat

from network_atlas.layers import LayerSpec
from network_atlas.site.pages import AtlasInfo, index_files, layer_files
from network_atlas.site.sheets import Place
from network_atlas.site.summaries import summary
from network_atlas.store.paths import example_image_path

Colour = tuple[int, int, int]
Row = dict[str, Any]
Files = dict[str, bytes]


class Page(HTMLParser):
    """A parsed page: its text, its tags with attributes, and the files that it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str, class_name: str = "") -> list[dict[str, str]]:
        """Return the attributes of every such element."""
        return [
            attributes for name, attributes in self.tags if name == tag and class_name in ["", *_classes(attributes)]
        ]

    def references(self) -> Iterator[str]:
        """Yield every address the page refers to."""
        for _, attributes in self.tags:
            yield from (attributes[name] for name in ("href", "src") if name in attributes)


def _classes(attributes: Mapping[str, str]) -> list[str]:
    return attributes.get("class", "").split()


@pytest.fixture
def read_page() -> Callable[[Files, str], Page]:
    """Return a function that parses one of the files."""
    return lambda files, path: Page(files[path].decode())


@pytest.fixture
def parse() -> Callable[[str], Page]:
    """Return a function that parses HTML."""
    return Page


@pytest.fixture
def targets() -> Callable[[str, Page], set[str]]:
    """Return a function that says which files a page at a path refers to."""

    def find(path: str, page: Page) -> set[str]:
        paths = set()
        for reference in page.references():
            address = urllib.parse.urlsplit(reference)
            if address.scheme == "data":
                continue
            assert not address.scheme, reference
            assert not address.netloc, reference
            assert not address.query, reference
            inside = urllib.parse.unquote(address.path)
            paths.add(posixpath.normpath(posixpath.join(posixpath.dirname(path), inside)) if inside else path)
        return paths

    return find


def unpacked(part: dict[str, Any]) -> list[Row]:
    """Return the channels of a file of details: examples have names, and the crop's file instead of its number."""
    channels: list[Row] = part["channels"]
    for channel in channels:
        examples = [dict(zip(part["ofExample"], values, strict=True)) for values in channel["examples"]]
        for example in examples:
            example["file"] = f"examples/{part['files'][example['cut'][0]]}.webp"
            example["whole"] = dict(part["wholes"]).get(example["example_id"])
        channel["examples"] = examples
    return channels


@pytest.fixture
def layer_data() -> Callable[[Files, LayerSpec], dict[str, Any]]:
    """Return a function that reads the scripts of a layer: the grid's data, with the details of all channels."""

    def read(files: Files, spec: LayerSpec) -> dict[str, Any]:
        script = files[f"layers/{spec.slug}.js"].decode("ascii")
        assert script.startswith("window.ATLAS_LAYER=")
        assert script.endswith(";\n")
        data: dict[str, Any] = json.loads(script.removeprefix("window.ATLAS_LAYER=").removesuffix(";\n"))
        data["tiles"] = [dict(zip(data["fields"], tile, strict=True)) for tile in data["tiles"]]
        parts = sorted(path for path in files if path.startswith(f"layers/{spec.slug}/details-"))
        details = [json.loads(files[path].decode("ascii").partition("]=")[2].removesuffix(";\n")) for path in parts]
        return data | {"channels": [channel for part in details for channel in unpacked(part)]}

    return read


@pytest.fixture
def search_data() -> Callable[[Files], dict[str, Any]]:
    """Return a function that reads the data of the search, each unit with its texts in place of their numbers."""

    def read(files: Files) -> dict[str, Any]:
        script = files["assets/search.js"].decode("ascii")
        data: dict[str, Any] = json.loads(script.removeprefix("window.ATLAS_SEARCH=").removesuffix(";\n"))
        units = [dict(zip(data["fields"], unit, strict=False)) for unit in data["units"]]
        for unit in units:
            unit |= {"layer": data["layers"][unit["layer"]][1], "status": data["words"][unit["status"]]}
            unit |= {"verdict": data["words"][unit["verdict"]], "classes": [data["labels"][n] for n in unit["classes"]]}
            unit["examples"] = [data["examples"][n][0] for n in unit["examples"]]
        return data | {"units": units}

    return read


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Return a function that makes a picture of one colour."""

    def encode(colour: Colour, height: int = 8, width: int = 8, form: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (width, height), colour).save(buffer, format=form)
        return buffer.getvalue()

    return encode


@pytest.fixture
def seen() -> Callable[[bytes, Place], Colour]:
    """Return a function that says which colour lies at a place of a sheet."""

    def look(sheet: bytes, place: Place) -> Colour:
        left, top, width, height = place.box
        with Image.open(io.BytesIO(sheet)) as image:
            assert image.size == (place.width_px, place.height_px)
            inner = (left + 2, top + 2, left + width - 2, top + height - 2)
            mean = ImageStat.Stat(image.convert("RGB").crop(inner)).mean
        return round(mean[0]), round(mean[1]), round(mean[2])

    return look


@pytest.fixture(scope="session")
def make_spec() -> Callable[..., LayerSpec]:
    """Return a function that makes a layer."""

    def make(name: str = "blocks.4", index: int = 42, **changes: Any) -> LayerSpec:
        known = {"type": "Conv2d", "channels": 24, "height": 7, "width": 7}
        return LayerSpec(index=index, name=name, **(known | changes))

    return make


@pytest.fixture(scope="session")
def example_files() -> Files:
    """The files that the examples of `make_row` lie in, by path in the root."""
    return {}


@pytest.fixture(scope="session")
def make_row(encoded: Callable[..., bytes], example_files: Files) -> Callable[..., Row]:
    """Return a function that makes a row of an atlas table; pictures and examples are given by their colours."""

    def picture(variant: str, colour: Colour) -> Row:
        about = {
            "key": f"key of {variant}",
            "objective": "channel",
            "recipe": "",
            "score": 3.5,
            "percentile": 99.5,
            "times_maximum": 1.25,
            "steps": 8,
            "depth": "early",
            "seed": 0,
        }
        return about | {
            "variant": variant,
            "image": {"bytes": encoded(colour), "path": None},
        }

    def example(rank: int, colour: Colour) -> Row:
        about = {"kind": "bottom" if rank % 2 else "top", "rank": rank // 2, "value": 2.0 - rank, "row": 1, "column": 2}
        named = {"example_id": f"class{rank}/{rank}.png", "label": f"class{rank}"}
        data = encoded(colour, 24, 32, form="WEBP")
        path = example_image_path(hashlib.sha256(data).hexdigest(), (24, 32))
        example_files[path] = data
        seen = box(6.0, 8.0, 14.0, 16.0)
        stored = {"image": path, "shown": box(0.0, 4.0, 24.0, 28.0), "seen": seen, "crop": {"file": path, **seen}}
        return about | named | stored

    def box(*edges: float) -> Row:
        return dict(zip(("top", "left", "bottom", "right"), edges, strict=True))

    def make(
        channel: int, *, pictures: Mapping[str, Colour] | None = None, examples: Sequence[Colour] = (), **changes: Any
    ) -> Row:
        shown = {"channel+": (200, 40, 40)} if pictures is None else pictures
        pictures_of = [picture(variant, colour) for variant, colour in shown.items()]
        row = {
            "channel": channel,
            "unit": f"blocks.4:{channel}",
            "class_name": None,
            "status": "ok",
            "visualizations": [each | {"key": f"{channel}: {each['key']}"} for each in pictures_of],
            "examples": [example(rank, colour) for rank, colour in enumerate(examples)],
            "count": 12,
            "mean": 0.5,
            "variance": 2.25,
            "minimum": -1.0,
            "maximum": 2.0,
        }
        return row | changes

    return make


@pytest.fixture(scope="session")
def info() -> AtlasInfo:
    """Facts about the atlas that the pages show."""
    facts = (("Weights", "default"), ("Snapshot", "1"))
    return AtlasInfo(
        model="tiny", dataset="photos (12 examples)", examples=12, created="2026-01-02T03:04:05Z", facts=facts
    )


@pytest.fixture(scope="session")
def make_site(info: AtlasInfo) -> Callable[..., Files]:
    """Return a function that makes all files of a site from layers with their rows."""

    def make(*layers: tuple[LayerSpec, Sequence[Row]], about: AtlasInfo = info) -> Files:
        specs: list[LayerSpec | None] = [None, *(spec for spec, _ in layers), None]
        files: Files = {}
        for number, (spec, rows) in enumerate(layers):
            files |= layer_files(about, spec, rows, specs[number], specs[number + 2])
        return files | index_files(about, [summary(spec, rows) for spec, rows in layers])

    return make
