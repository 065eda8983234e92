"""Pages of a diff: everything they refer to is there, outside text stays text, each box shows its own picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import watched_page
from PIL import Image

from network_atlas.site.diff_pages import (
    LayerLine,
    Pair,
    Shown,
    Versus,
    diff_index_files,
    diff_layer_files,
    page_path,
    with_neighbours,
)
from network_atlas.site.sheets import Place
from network_atlas.store.diff_schemas import DIFF_LAYERS

HOSTILE = "a\"b'<script>alert(1)</script>&amp;\n</script><!-- é 図 / # ? % \\ ..  \u2028"
Make = Callable[..., Any]
RED, GREEN, BLUE = (220, 30, 30), (30, 200, 40), (20, 40, 210)
ABOUT = Versus(model=HOSTILE, old=HOSTILE, new=HOSTILE, facts=((HOSTILE, HOSTILE),))


def _pair(encoded: Make, channel: int, **changes: Any) -> Pair:
    values: dict[str, Any] = {
        "channel": channel,
        "caption": HOSTILE,
        "old": Shown(picture=encoded(RED), crops=(encoded(GREEN), encoded(BLUE))),
        "new": Shown(picture=encoded(BLUE), crops=(encoded(RED),)),
        "match": None,
        "matched": None,
        "drift": 0.25,
        "badges": (HOSTILE,),
        "facts": ((HOSTILE, HOSTILE, HOSTILE),),
    }
    return Pair(**(values | changes))


@pytest.fixture
def files(encoded: Make, make_spec: Make) -> dict[str, bytes]:
    """A diff of two layers: one with three pairs, one that was reused."""
    moved = {"match": 5, "matched": Shown(picture=encoded(GREEN), crops=())}
    pairs = [_pair(encoded, 0), _pair(encoded, 3, **moved), _pair(encoded, 4, new=None, drift=None)]
    spec, reused = make_spec(HOSTILE, 7), make_spec(HOSTILE, 8)
    row = dict.fromkeys(DIFF_LAYERS.names) | {
        "state": "recomputed",
        "drift": 0.4,
        "identity": "lost",
        "notes": [HOSTILE],
    }
    lines = [
        LayerLine(spec=spec, row=row, facts=(HOSTILE,), covers=((encoded(RED), encoded(BLUE)), (None, encoded(GREEN)))),
        LayerLine(spec=reused, row=row | {"state": "reused"}, facts=(), covers=()),
    ]
    return diff_layer_files(ABOUT, spec, [(HOSTILE,) * 3], [HOSTILE], pairs) | diff_index_files(ABOUT, [HOSTILE], lines)


def close(colour: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 12 for a, b in zip(colour, other, strict=True))


def _pages(files: dict[str, bytes]) -> list[str]:
    return [path for path in files if path.endswith(".html")]


def test_pages_refer_to_files_that_are_there(files: dict[str, bytes], read_page: Make, targets: Make) -> None:
    assert len(_pages(files)) == 2
    referred = {target for path in _pages(files) for target in targets(path, read_page(files, path))}
    assert referred <= files.keys()
    assert files.keys() - referred <= {"index.html"}


def test_outside_text_stays_text_and_scripts_are_forbidden(files: dict[str, bytes], read_page: Make) -> None:
    for path in _pages(files):
        page = read_page(files, path)
        assert HOSTILE in page.text
        assert not page.all("script")
        (policy,) = (tag["content"] for tag in page.all("meta") if tag.get("http-equiv") == "Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "script-src" not in policy


def test_each_box_shows_its_own_picture(
    files: dict[str, bytes], read_page: Make, seen: Callable[[bytes, Place], tuple[int, int, int]], make_spec: Make
) -> None:
    folder = f"layers/{make_spec(HOSTILE, 7).slug}"
    page = read_page(files, f"{folder}.html")
    shown: dict[str, list[tuple[int, int, int]]] = {"pictures": [], "examples": []}
    boxes = [tuple(map(int, box["viewbox"].split())) for box in page.all("svg", "picture")]
    for box, image in zip(boxes, page.all("image"), strict=True):
        name = image["href"].rpartition("/")[2].removesuffix(".jpg")
        place = Place(box=box, width_px=int(image["width"]), height_px=int(image["height"]))
        shown[name].append(seen(files[f"{folder}/{name}.jpg"], place))
    pictures, examples = [RED, BLUE, RED, BLUE, GREEN, RED], [GREEN, BLUE, RED] * 2 + [GREEN, BLUE]
    assert all(close(a, b) for a, b in zip(shown["pictures"], pictures, strict=True))
    assert all(close(a, b) for a, b in zip(shown["examples"], examples, strict=True))


def test_a_browser_shows_each_picture_in_its_place(files: dict[str, bytes], browser: Any, tmp_path: Path) -> None:
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    with watched_page(browser, warnings=True) as page:  # what the policy forbids is an error on the console
        for path, count in zip(_pages(files), (14, 3), strict=True):
            page.goto((tmp_path / path).as_uri())
            boxes = page.locator("svg.picture")
            assert boxes.count() == count
            with Image.open(io.BytesIO(boxes.first.screenshot())) as shot:
                middle = shot.convert("RGB").getpixel((shot.width // 2, shot.height // 2))
            assert close(middle, RED)


def test_a_diff_without_changes_says_so(read_page: Make) -> None:
    page = read_page(diff_index_files(ABOUT, [], []), "index.html")
    assert "No layer was made again." in page.text


def test_a_layer_links_to_the_layers_before_and_behind_it(encoded: Make, make_spec: Make, parse: Make) -> None:
    spec, before, after = (make_spec(name, index) for index, name in enumerate(["a", HOSTILE, "c"]))
    page = diff_layer_files(ABOUT, spec, [], [], [_pair(encoded, 1)])[page_path(spec)]
    links = {
        link["rel"]: link["href"]
        for link in parse(with_neighbours(page, before, after).decode()).all("a")
        if "rel" in link
    }
    assert links == {"prev": f"{before.slug}.html", "next": f"{after.slug}.html"}
    alone = with_neighbours(page, None, None)
    assert b'rel="prev"' not in alone
    assert b'rel="next"' not in alone
    assert HOSTILE in parse(with_neighbours(page, before, after).decode()).text
