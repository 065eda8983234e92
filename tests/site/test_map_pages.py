"""Pages of activation atlases: what is on them, which files they use, and that names stay text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from network_atlas.layers import LayerSpec
from network_atlas.plan.tasks import MapLinks
from network_atlas.site.map_pages import map_files
from network_atlas.site.pages import AtlasInfo

HOSTILE = "</script><img src=x onerror=alert(1)>"
Row = dict[str, Any]


@pytest.fixture
def cell(encoded: Callable[..., bytes]) -> Callable[..., Row]:
    """Return a function that makes a row of an activation atlas."""

    def make(grid: int, row: int, column: int, *, label: str = "cat", icon: bool = True, crops: int = 1) -> Row:
        def example(number: int) -> Row:
            image = {"bytes": encoded((10, 200, 10), 16, 16, form="JPEG"), "path": None}
            about = {"example_id": f"{label}-{number}.png", "label": label, "row": 1, "column": 2, "cosine": 0.5}
            return about | {"crop": image if number < crops else None}

        return {
            "vectors": 80,
            "images": 40,
            "grid": grid,
            "row": row,
            "column": column,
            "count": 4,
            "labels": [{"label": label, "count": 3}],
            "icon": {"bytes": encoded((200, 10, 10)), "path": None} if icon else None,
            "icon_status": "ok" if icon else None,
            "score": 2.0 if icon else None,
            "percentile": 99.0 if icon else None,
            "classes": [
                {"class": 7, "class_name": label, "value": 3.5},
                {"class": 8, "class_name": None, "value": 1.5},
            ],
            "class_by_chance": 2.0,
            "examples": [example(number) for number in range(2)],
        }

    return make


def data_of(files: dict[str, bytes], spec: LayerSpec) -> dict[str, Any]:
    script = files[f"maps/{spec.slug}.js"].decode("ascii")
    data: dict[str, Any] = json.loads(script.removeprefix("window.ATLAS_MAP=").removesuffix(";\n"))
    return data


def test_the_script_has_every_cell_by_grid_and_every_sheet_is_there(
    cell: Any, info: AtlasInfo, make_spec: Callable[..., LayerSpec]
) -> None:
    spec = make_spec()
    rows = [cell(2, 0, 1), *(cell(30, row, 3, icon=row != 5, crops=2) for row in range(30))]
    files = map_files(info, spec, rows, MapLinks(table=""))
    data = data_of(files, spec)
    assert [(level["grid"], len(level["cells"])) for level in data["levels"]] == [(2, 1), (30, 30)]
    assert [item["icon"] for item in data["levels"][1]["cells"]].index(False) == 5
    assert (
        sum(example["crop"] for level in data["levels"] for item in level["cells"] for example in item["examples"])
        == 61
    )
    for name, sheet, cells in (
        ("icons-030-000.jpg", data["levels"][1]["sheets"][0], 30),
        ("crops-000.jpg", data["crops"]["sheets"][0], 61),
    ):
        with Image.open(io.BytesIO(files[f"maps/{spec.slug}/{name}"])) as image:
            assert sheet["columns"] * sheet["rows"] >= cells
            assert image.width % sheet["columns"] == 0


def test_the_page_refers_only_to_files_of_the_site_and_says_what_it_stands_on(
    cell: Any, info: AtlasInfo, make_spec: Callable[..., LayerSpec], read_page: Any, targets: Any
) -> None:
    spec, other = make_spec(), make_spec("blocks.5 & more", 43)
    files = map_files(info, spec, [cell(2, 0, 1)], MapLinks(table="", following=other))
    page = read_page(files, f"maps/{spec.slug}.html")
    linked = targets(f"maps/{spec.slug}.html", page)
    elsewhere = {"index.html", f"layers/{spec.slug}.html", f"maps/{other.slug}.html", "assets/atlas.css"}
    assert linked <= elsewhere | set(files)
    assert {"assets/map.css", "assets/map.js", f"maps/{spec.slug}.js"} <= linked
    assert "80 vectors of 40 images" in page.text
    assert "few vectors" in page.text
    assert "1, in a grid of 2 × 2" in page.text
    assert not [attributes for _, attributes in page.tags if "style" in attributes or "onclick" in attributes]


def test_hostile_names_of_layers_labels_and_images_stay_text(
    cell: Any, info: AtlasInfo, make_spec: Callable[..., LayerSpec], read_page: Any
) -> None:
    spec = make_spec(HOSTILE)
    files = map_files(info, spec, [cell(2, 0, 0, label=HOSTILE)], MapLinks(table="", previous=spec))
    assert not read_page(files, f"maps/{spec.slug}.html").all("img")
    assert b"<" not in files[f"maps/{spec.slug}.js"]
    assert data_of(files, spec)["levels"][0]["cells"][0]["labels"] == [[HOSTILE, 3]]
    assert "innerHTML =" not in files["assets/map.js"].decode()


def test_classes_above_chance_are_shown_and_those_without_a_name_by_their_number(
    cell: Any, info: AtlasInfo, make_spec: Callable[..., LayerSpec]
) -> None:
    def shown(row: Row) -> Any:
        data = data_of(map_files(info, make_spec(), [row], MapLinks(table="")), make_spec())
        return data["levels"][0]["cells"][0]["classes"], data["hasClasses"]

    row = cell(2, 0, 0)
    assert shown(row) == ([["cat", 3.5]], True)
    assert shown(row | {"class_by_chance": 1.0}) == ([["cat", 3.5], ["class 8", 1.5]], True)
    assert shown(row | {"class_by_chance": 4.0}) == ([], True)
    assert shown(row | {"classes": None, "class_by_chance": None}) == ([], False)
    del row["classes"], row["class_by_chance"]  # as in tables of earlier versions
    assert shown(row) == ([], False)


def test_the_layers_page_shows_the_icons_of_one_grid_in_their_places(
    cell: Any, info: AtlasInfo, make_spec: Callable[..., LayerSpec]
) -> None:
    def overview(*rows: Row) -> Image.Image:
        spec = make_spec()
        files = map_files(info, spec, rows, MapLinks(table=""))
        return Image.open(io.BytesIO(files[f"maps/{spec.slug}/overview.webp"]))

    image = overview(cell(2, 0, 0), cell(5, 1, 3), cell(5, 2, 0, icon=False), cell(20, 7, 7))
    assert image.size == (400, 400)
    opaque = np.array(image)[..., 3] > 0
    assert opaque[80:160, 240:320].all()  # row 1, column 3 of the finest grid that is not too fine
    assert opaque.sum() == 80 * 80
    red, green, blue, _ = np.array(image)[120, 280].tolist()
    assert red > 180 > 40 > max(green, blue)
    assert np.array(overview(cell(20, 7, 7)))[150, 150, 3]  # where all are finer, the coarsest


def test_a_map_without_cells_says_why(info: AtlasInfo, make_spec: Callable[..., LayerSpec], read_page: Any) -> None:
    page = read_page(map_files(info, make_spec(), [], MapLinks(table="")), f"maps/{make_spec().slug}.html")
    assert "layout.fewest=1" in page.text
    assert not page.all("canvas")
