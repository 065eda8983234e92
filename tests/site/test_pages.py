"""Pages: everything they refer to is there, outside text stays text, and any row can be shown."""

from __future__ import annotations

import dataclasses
import importlib.resources
import io
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from network_atlas.analysis.describe import describe
from network_atlas.layers import OUTPUT
from network_atlas.site.layer_data import script_json
from network_atlas.site.order import similarity_order
from network_atlas.site.packing import CHANNELS_PER_PART, THUMBNAIL_PX
from network_atlas.site.pages import STATIC, AtlasInfo, index_files, layer_facts, layer_files
from network_atlas.site.structure import sections_of
from network_atlas.site.summaries import summary

HOSTILE = "a\"b'<script>alert(1)</script>&amp;\n</script><!-- é 図 / # ? % \\ ..  \u2028"

Make = Callable[..., Any]


def colour(number: int) -> tuple[int, int, int]:
    return number % 256, (number * 91) % 256, (number * 53) % 256


def close(colour: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 6 for a, b in zip(colour, other, strict=True))


def test_a_picture_with_a_prior_names_the_file_of_its_twin_and_how_natural_it_is(
    make_site: Make, make_spec: Make, make_row: Make, layer_data: Make
) -> None:
    spec, row = make_spec("one", 1), make_row(0, pictures={"without": colour(1), "pulled": colour(2)})
    without, pulled = row["visualizations"]
    pulled |= {"twin": without["key"], "naturalness": 40.0}
    files = make_site((spec, [row]))
    (channel,) = layer_data(files, spec)["channels"]
    first, second = channel["pictures"]
    assert (first["twinFile"], second["twinFile"]) == (None, first["file"])
    assert (first["naturalness"], second["naturalness"]) == (None, 40.0)
    assert '<option value="naturalness">' in files[f"layers/{spec.slug}.html"].decode()


def hostile_layer(make_spec: Make, make_row: Make) -> Any:
    rows = [make_row(n, examples=[colour(1), colour(2)], unit=HOSTILE, class_name=HOSTILE) for n in range(6)]
    for row in rows:
        row["examples"] = [example | {"example_id": HOSTILE, "label": HOSTILE} for example in row["examples"]]
        row["visualizations"][0]["variant"] = HOSTILE
    return make_spec(HOSTILE, 7, type=HOSTILE, channels=6), rows


def test_every_file_referred_to_is_there(
    make_site: Make, make_spec: Make, make_row: Make, read_page: Make, targets: Make, layer_data: Make
) -> None:
    first = make_spec("first", 1), [make_row(n, examples=[colour(7)] * 3) for n in range(20)]
    bare = make_spec("bare", 2), [make_row(0, pictures={})]
    hostile = hostile_layer(make_spec, make_row)
    empty = make_spec("x" * 200, 9), []
    files = make_site(first, bare, hostile, empty)
    expected = set()
    for path in [path for path in files if path.endswith(".html")]:
        expected |= targets(path, read_page(files, path))
    for spec, _ in (first, bare, hostile, empty):
        for channel in layer_data(files, spec)["channels"]:
            expected |= {f"layers/{spec.slug}/{shown['file']}.webp" for shown in channel["pictures"]}
    for spec, rows in (first, bare, hostile):
        expected |= {f"layers/{spec.slug}/details-{n:03d}.js" for n in range(-(-len(rows) // CHANNELS_PER_PART))}
    expected.add("assets/search.js")
    assert expected == set(files), "nothing is missing, and nothing is written that nobody sees"


def test_file_names_are_plain_whatever_the_layer_is_called(make_site: Make, make_spec: Make, make_row: Make) -> None:
    files = make_site(hostile_layer(make_spec, make_row))
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", path) for path in files)
    assert not [path for path in files if {"", ".", ".."} & set(path.split("/"))]


def test_outside_text_stays_text_in_pages(
    make_site: Make, make_spec: Make, make_row: Make, read_page: Make, info: Any
) -> None:
    about = dataclasses.replace(info, model=HOSTILE, dataset=HOSTILE, created=HOSTILE, facts=((HOSTILE, HOSTILE),))
    spec, rows = hostile_layer(make_spec, make_row)
    rows[0]["status"] = HOSTILE
    rows[0]["visualizations"].append(rows[0]["visualizations"][0] | {"variant": "second"})
    files = make_site((make_spec(HOSTILE, 1), []), (spec, rows), (make_spec(HOSTILE, 9), []), about=about)
    for path in ("index.html", f"layers/{spec.slug}.html"):
        page = read_page(files, path)
        assert HOSTILE in page.text, path
        assert len(page.all("script")) == (6 if path == "index.html" else 10), path
        assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")], path
    cell = read_page(files, f"layers/{spec.slug}.html").all("a", "cell")[0]
    assert cell["title"] == HOSTILE
    assert cell["href"] == "#channel=0"


def test_outside_text_stays_text_in_data(make_site: Make, make_spec: Make, make_row: Make, layer_data: Make) -> None:
    spec, rows = hostile_layer(make_spec, make_row)
    files = make_site((spec, rows))
    for path in (f"layers/{spec.slug}.js", f"layers/{spec.slug}/details-000.js"):
        assert b"<" not in files[path]
        assert files[path].count(b"\n") == 1
        assert files[path].isascii()
    assert b"<" not in files["assets/search.js"]
    assert files["assets/search.js"].isascii()
    channel = layer_data(files, spec)["channels"][0]
    assert channel["unit"] == channel["className"] == channel["pictures"][0]["variant"] == HOSTILE
    assert {(shown["example_id"], shown["label"]) for shown in channel["examples"]} == {(HOSTILE, HOSTILE)}


def test_an_atlas_without_layers_has_an_index(make_site: Make, read_page: Make) -> None:
    files = make_site()
    assets = {f"assets/{name}" for name in (*STATIC, "search.js")}
    assert set(files) == {"index.html", "compare.html", "columns.html", *assets}
    assert "no layers" in read_page(files, "index.html").text


@pytest.mark.parametrize("examples", [0, 12])
def test_images_are_promised_only_where_there_are_some(
    make_site: Make, read_page: Make, info: AtlasInfo, examples: int
) -> None:
    page = read_page(make_site(about=dataclasses.replace(info, examples=examples)), "index.html")
    assert ("images of the dataset that excite it" in page.text) == bool(examples)


def test_pages_say_what_a_picture_of_many_channels_shows(
    make_site: Make, make_spec: Make, make_row: Make, info: AtlasInfo, read_page: Make
) -> None:
    layer = (make_spec(), [make_row(0)])
    said = "12 channels, which are not colours"
    paths = ("index.html", "compare.html", f"layers/{make_spec().slug}.html")
    satellite = make_site(layer, about=dataclasses.replace(info, channels=12))
    assert all(said in read_page(satellite, path).text for path in paths)
    for channels in (1, 3):
        files = make_site(layer, about=dataclasses.replace(info, channels=channels))
        assert not any("not colours" in read_page(files, path).text for path in paths)


def test_a_layer_without_rows_has_a_page(make_site: Make, make_spec: Make, read_page: Make, layer_data: Make) -> None:
    spec = make_spec()
    files = make_site((spec, []))
    assert "No channels of this layer were selected" in read_page(files, f"layers/{spec.slug}.html").text
    assert "no pictures yet" in read_page(files, "index.html").text
    assert layer_data(files, spec)["channels"] == layer_data(files, spec)["tiles"] == []


def test_a_row_without_pictures_says_so(make_site: Make, make_spec: Make, make_row: Make, read_page: Make) -> None:
    spec = make_spec()
    alone = read_page(make_site((spec, [make_row(3, pictures={})])), f"layers/{spec.slug}.html")
    beside = read_page(make_site((spec, [make_row(2), make_row(3, pictures={})])), f"layers/{spec.slug}.html")
    assert alone.text.count("no picture") == beside.text.count("no picture") == 1
    assert len(beside.all("span", "picture")) == len(beside.all("img", "picture")) == 1


def test_a_row_without_examples_moves_no_others(
    make_site: Make, make_spec: Make, make_row: Make, layer_data: Make, example_files: dict[str, bytes]
) -> None:
    spec = make_spec()
    rows = [make_row(0, examples=[colour(10)]), make_row(1), make_row(2, examples=[colour(20), colour(30)])]
    files = make_site((spec, rows))
    data = layer_data(files, spec)
    assert [len(channel["examples"]) for channel in data["channels"]] == [1, 0, 2]
    with Image.open(io.BytesIO(example_files[f"site/{data['channels'][2]['examples'][1]['file']}"])) as image:
        assert close(image.convert("RGB").getpixel((0, 0)), colour(30))


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_or_not_finite_are_null(
    value: float | None, make_site: Make, make_spec: Make, make_row: Make, layer_data: Make
) -> None:
    spec = make_spec()
    row = make_row(0, examples=[colour(1)], mean=value, variance=value, minimum=value, maximum=value, count=None)
    row["visualizations"][0] |= {"score": value, "percentile": value, "times_maximum": value}
    row["examples"][0]["value"] = value
    channel = layer_data(make_site((spec, [row])), spec)["channels"][0]
    assert set(channel["numbers"].values()) == {None}
    assert channel["pictures"][0]["score"] is channel["pictures"][0]["times_maximum"] is None
    assert channel["examples"][0]["value"] is None


def test_the_same_table_makes_the_same_files(make_site: Make, make_spec: Make, make_row: Make) -> None:
    rows = [make_row(n, examples=[colour(n)] * 4) for n in range(20)]
    files = make_site((make_spec(), rows))
    again = make_site((make_spec(), tuple(rows)))
    assert files == again
    assert list(files) == list(again)


def colour_of(data: bytes) -> tuple[int, ...]:
    with Image.open(io.BytesIO(data)) as image:
        return tuple(image.convert("RGB").getpixel((0, 0)))  # type: ignore[arg-type]


@pytest.mark.parametrize("variants", [("channel+",), ("channel+", "channel-", "neuron+")])
def test_every_channel_and_variant_shows_its_own_picture(
    variants: tuple[str, ...], make_site: Make, make_spec: Make, make_row: Make, layer_data: Make, read_page: Make
) -> None:
    spec = make_spec(channels=30)
    expected = {(n, name): colour(n * len(variants) + i) for n in range(30) for i, name in enumerate(variants)}
    for missing in [(0, variants[-1]), (17, variants[0]), (29, variants[-1])]:
        del expected[missing]
    rows = [
        make_row(n, pictures={name: expected[n, name] for name in variants if (n, name) in expected}) for n in range(30)
    ]
    files = make_site((spec, rows))
    data = layer_data(files, spec)
    columns, places = data["columns"], ["column", "file"]
    assert set(columns) == set(variants)
    in_view = {
        (each["channel"], shown["variant"]): shown["file"] for each in data["channels"] for shown in each["pictures"]
    }
    in_grid = {
        (tile["channel"], columns[column]): file
        for tile in data["tiles"]
        for column, file in ([shown[data["ofPicture"].index(name)] for name in places] for shown in tile["pictures"])
    }
    assert in_view == in_grid
    colours = {cell: colour_of(files[f"layers/{spec.slug}/{file}.webp"]) for cell, file in in_view.items()}
    assert colours.keys() == expected.keys()
    assert all(close(colours[cell], expected[cell]) for cell in expected)
    images = read_page(files, f"layers/{spec.slug}.html").all("img", "picture")
    first = [file for (_, variant), file in in_view.items() if variant == columns[0]]
    assert [image["src"] for image in images] == [f"{spec.slug}/{file}.webp" for file in first]


def test_a_large_picture_is_there_small_and_in_full(
    make_site: Make, make_spec: Make, make_row: Make, layer_data: Make, encoded: Make
) -> None:
    row, spec = make_row(0), make_spec()
    row["visualizations"][0]["image"]["bytes"] = encoded((9, 200, 40), THUMBNAIL_PX, 2 * THUMBNAIL_PX)
    files = make_site((spec, [row]))
    (shown,) = layer_data(files, spec)["channels"][0]["pictures"]
    assert shown["full"]
    sizes = [
        Image.open(io.BytesIO(files[f"layers/{spec.slug}/{shown['file']}{ending}.webp"])).size
        for ending in ("", "-full")
    ]
    assert sizes == [(THUMBNAIL_PX, THUMBNAIL_PX // 2), (2 * THUMBNAIL_PX, THUMBNAIL_PX)]


def test_every_example_says_where_its_crop_and_its_whole_image_lie(
    make_site: Make, make_spec: Make, make_row: Make, layer_data: Make, example_files: dict[str, bytes]
) -> None:
    spec = make_spec(channels=20)
    rows = [make_row(n, examples=[colour(n * 9 + rank) for rank in range(9)]) for n in range(20)]
    for number, example in ((n, example) for n, row in enumerate(rows) for example in row["examples"]):
        example["example_id"] += f" of {number}"
        if number == 3:  # as where only a sheet of crops is stored
            example |= {"image": None, "shown": None, "seen": None}
    files = make_site((spec, rows))
    channels = layer_data(files, spec)["channels"]
    for n, channel in enumerate(channels):
        for rank, shown in enumerate(channel["examples"]):
            with Image.open(io.BytesIO(example_files[f"site/{shown['file']}"])) as image:
                assert close(image.convert("RGB").getpixel((0, 0)), colour(n * 9 + rank)), (n, rank)
            assert shown["cut"][1:] == [6, 8, 14, 16]
            if n == 3:
                assert shown["whole"] is shown["seen"] is None
            else:
                assert (shown["whole"][1:], shown["seen"]) == ([0, 4, 24, 28], [6, 8, 14, 16])


def test_pictures_of_one_name_are_all_shown_each_as_its_own(
    make_site: Make, make_spec: Make, make_row: Make, layer_data: Make
) -> None:
    colours = {"first": (200, 40, 40), "second": (40, 200, 40), "other": (40, 40, 200)}
    row = make_row(0, pictures=colours)
    for shown in row["visualizations"][:2]:
        shown["variant"] = "interpolation 1 of 6"
    spec = make_spec()
    files = make_site((spec, [row]))
    data = layer_data(files, spec)
    assert data["columns"] == ["interpolation 1 of 6", "interpolation 1 of 6 (2)", "other"]
    for shown in data["channels"][0]["pictures"]:
        file = files[f"layers/{spec.slug}/{shown['file']}.webp"]
        assert close(colour_of(file), colours[shown["key"].removeprefix("0: key of ")])


def test_layers_link_to_their_neighbours(make_site: Make, make_spec: Make, make_row: Make, read_page: Make) -> None:
    specs = [make_spec(name, index) for index, name in enumerate(["a", "b", "c"])]
    files = make_site(*((spec, [make_row(0)]) for spec in specs))
    links = {}
    for spec in specs:
        anchors = read_page(files, f"layers/{spec.slug}.html").all("a")
        links[spec.name] = {link["rel"]: link["href"] for link in anchors if "rel" in link}
        assert "../index.html" in [link["href"] for link in anchors]
    assert links == {
        "a": {"next": "0001-b.html"},
        "b": {"prev": "0000-a.html", "next": "0002-c.html"},
        "c": {"prev": "0001-b.html"},
    }


def test_status_is_shown_wherever_it_is_not_ok(
    make_site: Make, make_spec: Make, make_row: Make, read_page: Make, layer_data: Make
) -> None:
    spec = make_spec(channels=4)
    statuses = ["ok", "grey", "diverged", "grey"]
    files = make_site((spec, [make_row(n, status=status) for n, status in enumerate(statuses)]))
    page = read_page(files, f"layers/{spec.slug}.html")
    assert len(page.all("em")) == 3
    assert "grey2 channels" in page.text.replace("\n", "").replace(" " * 4, "")
    assert "diverged1 channel" in page.text.replace("\n", "").replace(" " * 4, "")
    assert "4 channels · 1 diverged · 2 grey" in read_page(files, "index.html").text
    assert [channel["status"] for channel in layer_data(files, spec)["channels"]] == statuses


def test_channels_not_selected_are_counted(make_site: Make, make_spec: Make, make_row: Make, read_page: Make) -> None:
    spec = make_spec(channels=2048)
    files = make_site((spec, [make_row(5)]))
    for path in ("index.html", f"layers/{spec.slug}.html"):
        assert "1 of 2,048 channels" in read_page(files, path).text
    assert "What 1 channel in 1 layer of this network has" in read_page(files, "index.html").text


def test_units_that_are_no_channel_are_counted_apart(
    make_site: Make, make_spec: Make, make_row: Make, read_page: Make
) -> None:
    spec = make_spec(channels=2)
    rows = [*(make_row(n, verdict="trusted") for n in range(2)), make_row(None, unit="a:random-0", verdict="trusted")]
    text = " ".join(read_page(make_site((spec, rows)), f"layers/{spec.slug}.html").text.split())
    assert "Shown2 channels, 1 other unit" in text
    assert "trusted3 units" in text
    index = " ".join(read_page(make_site((spec, rows)), "index.html").text.split())
    assert "What 2 channels and 1 other unit in 1 layer of this network have" in index
    assert "2 channels, 1 other unit · 3 trusted" in index


def test_dead_channels_stand_for_their_layer_only_where_there_are_no_others(make_spec: Make, make_row: Make) -> None:
    rows = [make_row(n, verdict="not to be trusted", status="dead" if n < 3 else "weak") for n in range(12)]
    assert [cover.channel for cover in summary(make_spec(), rows).covers] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert len(summary(make_spec(), rows[:4]).covers) == 4


def test_classes_are_called_by_their_names(make_site: Make, make_spec: Make, make_row: Make, read_page: Make) -> None:
    spec = make_spec(OUTPUT, channels=2, height=None, width=None)
    page = read_page(make_site((spec, [make_row(0, class_name="tench"), make_row(1)])), f"layers/{spec.slug}.html")
    assert "tench" in page.text
    assert "Sort by class" in " ".join(page.text.split())


def test_facts_name_what_is_known(make_spec: Make) -> None:
    assert layer_facts(make_spec()) == [("Type", "Conv2d"), ("Shape", "24 × 7 × 7")]
    tokens = make_spec(height=None, width=None, tokens=197, receptive_field_px=224)
    assert layer_facts(tokens)[1:] == [("Shape", "24 × 197"), ("Sees", "224 × 224 px")]


def test_pages_allow_nothing_but_their_own_files(make_site: Make, make_spec: Make, make_row: Make) -> None:
    files = make_site((make_spec(), [make_row(0)]))
    for path in (path for path in files if path.endswith(".html")):
        assert b"default-src 'none'" in files[path], path
        assert b"script-src 'self'; style-src 'self';" in files[path], path


def test_no_page_has_styles_or_scripts_in_its_markup() -> None:
    templates = importlib.resources.files("network_atlas.site") / "templates"
    pages = {page.name: page.read_text(encoding="utf-8") for page in templates.iterdir()}
    assert {"base.html", "layer.html", "map.html", "diff_layer.html"} <= pages.keys()
    inline = re.compile(r"\sstyle=|<style|\son\w+\s*=|javascript:|<script>|unsafe-", re.IGNORECASE)
    assert not {name: found[0] for name, text in pages.items() if (found := inline.search(text))}


def test_pages_ask_nobody_for_anything(make_site: Make, make_spec: Make, make_row: Make) -> None:
    files = make_site((make_spec(), [make_row(0)]))
    for path, data in files.items():
        if path.endswith((".html", ".css", ".js")):
            assert b"http:" not in data.replace(b"http://www.w3.org/2000/svg", b""), path  # a name, not an address
            assert b"https:" not in data, path
            assert b"innerHTML =" not in data, path


@pytest.mark.parametrize("value", [{"a": [math.nan, (math.inf, 1.5)], "b": {"c": -math.inf}}])
def test_script_json_has_no_numbers_that_json_lacks(value: object) -> None:
    assert script_json(value) == '{"a":[null,[null,1.5]],"b":{"c":null}}'


def test_building_changes_no_row(make_spec: Make, make_row: Make, info: Any) -> None:
    rows, same = ([make_row(n, examples=[colour(n)]) for n in range(3)] for _ in range(2))
    layer_files(info, make_spec(), rows, None, None)
    index_files(info, [])
    assert rows == same


def test_a_unit_that_is_no_channel_has_a_cell_of_its_own(make_row: Make, make_spec: Make, info: Any) -> None:
    spec = make_spec()
    rows = [
        make_row(3),
        make_row(0, pictures={"layer+": (1, 2, 3)}) | {"channel": None, "unit": "blocks.4:*"},
        make_row(0, pictures={"sum+": (9, 2, 3)}) | {"channel": None, "unit": "blocks.4:1 - logit:2"},
    ]
    files = layer_files(info, spec, rows, None, None)
    page, data = files[f"layers/{spec.slug}.html"].decode(), files[f"layers/{spec.slug}.js"].decode()
    assert [f'id="cell-{number}"' in page for number in (3, 24, 25)] == [True] * 3  # 24 channels: others count on
    assert "blocks.4:*" in page
    assert '[24,"blocks.4:*",false,' in data
    assert rows[1]["channel"] is None


def test_the_search_has_every_channel_with_its_texts(
    make_site: Make, make_spec: Make, make_row: Make, search_data: Make
) -> None:
    spec, output = make_spec(), make_spec(OUTPUT, 99, channels=2, height=None, width=None)
    rows = [make_row(n, examples=[colour(n)] * 3, verdict="doubtful", status="grey") for n in range(3)]
    rows[1] |= {"name": "fur", "classes": [{"label": "cat", "count": 2, "mean": 1.0}]}
    by_mean = [each | {"kind": "top_mean"} for each in rows[0]["examples"][:2]]
    rows[0]["examples"] += by_mean
    rows[2]["examples"] = by_mean  # a direction has no others
    data = search_data(make_site((spec, rows), (output, [make_row(0, class_name="tench"), make_row(1, pictures={})])))
    units = data["units"]
    assert [(unit["layer"], unit["channel"]) for unit in units] == [
        *((spec.name, n) for n in range(3)),
        *((OUTPUT, n) for n in range(2)),
    ]
    assert (units[1]["name"], units[1]["classes"], units[1]["status"], units[1]["verdict"]) == (
        *("fur", ["cat"], "grey", "doubtful"),
    )
    assert units[0]["examples"] == ["class0/0.png", "class2/2.png"], "the best images alone, each once"
    assert units[2]["examples"] == ["class0/0.png", "class1/1.png"]
    assert units[3]["caption"] == "tench"
    assert (units[4]["file"], "caption" in units[4]) == (None, False)


def test_similar_channels_stand_side_by_side() -> None:
    partners = {0: [(3, 0.9)], 1: [(4, 0.8)], 2: [], 3: [(0, 0.9), (5, 0.7)], 4: [(1, 0.8)], 5: [(3, 0.7)]}
    rows = [
        {"channel": number, "partners": [{"channel": other, "correlation": close} for other, close in those]}
        for number, those in partners.items()
    ]
    assert similarity_order(rows) == [0, 3, 5, 1, 4, 2]
    assert similarity_order([]) == []


def test_layers_are_grouped_by_stage_and_block(make_spec: Make) -> None:
    names = ["conv1", "bn1", "layer1.0.conv1", "layer1.0", "layer1.1", "encoder.layers.3.mlp", "encoder.norm", "output"]
    sections = sections_of([make_spec(name, number) for number, name in enumerate(names)])
    shape = [(part.name, [(block.name, len(block.layers)) for block in part.blocks]) for part in sections]
    assert shape == [
        ("conv1 to bn1", [("", 2)]),
        ("layer1", [("layer1.0", 2), ("layer1.1", 1)]),
        ("encoder", [("", 2)]),
        ("output", [("", 1)]),
    ]


def test_every_column_of_every_table_is_explained_on_the_site(make_site: Make, read_page: Make) -> None:
    files = make_site()
    page = read_page(files, "columns.html")
    names = {f"{row['table']}.{row['column']}": row["description"] for row in describe().to_pylist()}
    ids = {attributes["id"] for attributes in page.all("tr") if "id" in attributes}
    assert ids == set(names)
    assert all(" ".join(text.split()) in " ".join(page.text.split()) for text in names.values())
    assert "columns.html" in {attributes["href"] for attributes in read_page(files, "index.html").all("a")}
