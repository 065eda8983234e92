"""The pages in a real browser, from disk and from a server: search, sort, filter, addresses, keys, maps, axe."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from network_atlas.layers import OUTPUT, LayerSpec
from network_atlas.plan.tasks import MapLinks
from network_atlas.site.map_pages import map_files
from network_atlas.site.server import HOST, make_server
from network_atlas.store.root import Store

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

HOSTILE = "</script><img src=x onerror=alert(1)>'\"&amp; é 図"
SCORES = [5.0, 1.0, 4.0, 2.0, 6.0, 3.0]
VERDICTS = ["trusted", "doubtful", "not to be trusted"]
LAYERS = {"conv": "layer1.0.conv1", "hostile": f"layer1.0.{HOSTILE}", OUTPUT: OUTPUT}
Make = Callable[..., Any]


def specs() -> dict[str, LayerSpec]:
    """Return the layers of the atlas that all tests share."""
    sizes = {"type": "Conv2d", "channels": 6, "height": 7, "width": 7, "receptive_field_px": 20}
    conv, hostile = (LayerSpec(index=n, name=LAYERS[name], **sizes) for n, name in enumerate(["conv", "hostile"]))
    return {"conv": conv, "hostile": hostile, OUTPUT: LayerSpec(index=9, name=OUTPUT, type="Linear", channels=6)}


def channel_row(make_row: Make, layer: str, number: int) -> dict[str, Any]:
    """Return a row: the scores of channels differ, neighbours move together, and equal numbers like the same images."""
    name = {"hostile": HOSTILE, OUTPUT: f"tench {number}"}.get(layer)
    row = make_row(number, pictures={"channel+": (40 * number, 90, 60), "channel-": (60, 90, 40 * number)})
    shown = [make_row(number, examples=[(9, 9, number), (30 * number, 9, 9)])["examples"][0] for _ in range(2)]
    row |= {
        "unit": f"logit:{number}" if layer == OUTPUT else f"{LAYERS[layer]}:{number}",
        "class_name": name,
        "name": "striped fur" if (layer, number) == ("conv", 2) else None,
        "status": "dead" if (layer, number) == ("conv", 5) else "ok",
        "verdict": VERDICTS[number % 3],
        "partners": [{"channel": (number + 2) % 6, "correlation": 0.9, "unit": "", "class_name": name}],
        "classes": [{"label": f"class of {number}", "count": 2, "mean": 1.0}],
        "examples": [
            each | {"rank": rank, "kind": "top", "example_id": f"photo{number}-{rank}.png", "label": f"label{number}"}
            for rank, each in enumerate(shown, start=1)
        ],
    }
    for picture in row["visualizations"]:
        picture |= {"score": SCORES[number], "picture_verdict": row["verdict"], "robustness_loss": 0.25}
    return dict(row)


@pytest.fixture(scope="session")
def pages(
    make_site: Make, make_row: Make, info: Any, encoded: Make, example_files: Make, tmp_path_factory: Make
) -> Path:
    """Folder of a small atlas's pages: a convolution, a layer with hostile names, classes, and two maps."""
    layers = [(spec, [channel_row(make_row, name, number) for number in range(6)]) for name, spec in specs().items()]
    files = make_site(*layers)
    conv, hostile = specs()["conv"], specs()["hostile"]
    files |= map_files(info, conv, map_rows(encoded), MapLinks(table="", following=hostile))
    files |= map_files(info, hostile, map_rows(encoded, mirrored=True), MapLinks(table="", previous=conv))
    root = tmp_path_factory.mktemp("a site #1")
    for path, data in ({f"site/{path}": data for path, data in files.items()} | example_files).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def map_rows(encoded: Make, *, mirrored: bool = False) -> list[dict[str, Any]]:
    """Return the cells of a map of two grids; those of each quarter hold the same image."""
    picture = {"bytes": encoded((200, 10, 10)), "path": None}
    example = {"label": HOSTILE, "row": 1, "column": 2, "cosine": 0.5, "crop": picture}
    about = {"vectors": 80, "images": 40, "count": 4, "icon": picture, "icon_status": "ok", "score": 2.0}

    def image(grid: int, row: int, column: int) -> dict[str, Any]:
        left = (2 * column // grid) ^ mirrored
        return example | {"example_id": f"{2 * row // grid}-{left}.png"}

    return [
        about
        | {"grid": grid, "row": row, "column": column, "labels": [{"label": f"cat {row}", "count": 3}]}
        | {"percentile": 99.0, "examples": [image(grid, row, column)], "class_by_chance": 2.0}
        | {"classes": [{"class": 7, "class_name": f"tench {column}", "value": 3.5 if grid == 8 else 1.0}]}
        for grid in (2, 8)
        for row in range(grid)
        for column in range(grid)
    ]


@pytest.fixture(scope="session")
def homes(pages: Path) -> Iterator[dict[str, str]]:
    """The address of the pages from disk and from a server."""
    server = make_server(Store.open(str(pages)), port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield {"disk": (pages / "site").as_uri(), "server": f"http://{HOST}:{server.server_address[1]}"}
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["disk", "server"])
def home(request: pytest.FixtureRequest, homes: dict[str, str]) -> str:
    """The address of the pages."""
    return homes[request.param]


@pytest.fixture
def open_page(browser: Any, homes: dict[str, str]) -> Iterator[Make]:
    """Return a function that opens an address; at the end no page had an error, or asked anybody else for anything."""
    problems: list[str] = []
    contexts = []

    def watch(address: str) -> None:
        if not address.startswith((*homes.values(), "data:")):
            problems.append(f"asked for {address}")

    def start(address: str, **options: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on(
            "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(f"a name ran as a script: {dialog.message}"))
        page.on("request", lambda request: watch(request.url))
        page.on("requestfailed", lambda request: problems.append(f"{request.url} is missing"))
        page.goto(address)
        if "/maps/" not in address and "/columns.html" not in address:
            page.wait_for_function("() => document.body.dataset.ready === 'true'")
        return page

    yield start
    for context in contexts:
        context.close()
    assert not problems


def layer_address(home: str, name: str) -> str:
    return f"{home}/layers/{specs()[name].slug}.html"


def shown_channels(page: Any) -> list[int]:
    return [int(cell.get_attribute("data-channel")) for cell in page.query_selector_all("#grid .cell:not([hidden])")]


def test_the_search_finds_channels_of_all_layers(open_page: Make, home: str) -> None:
    page = open_page(f"{home}/index.html")
    finds = {
        "tench 4": 1,
        "striped": 1,
        "layer1.0.conv1": 6,
        "class of 2": 3,
        "label3": 3,
        "dead": 1,
        "conv1 4": 1,
        "nothing": 0,
    }
    for words, count in finds.items():
        page.fill("#search", words)
        page.wait_for_function(
            f"() => document.getElementById('matched').textContent === '{count} channel{'s' * (count != 1)}'"
        )
        assert page.locator("#results .cell").count() == count, words
    page.fill("#search", "tench")
    page.select_option("#verdict", "doubtful")
    page.wait_for_function("() => document.getElementById('matched').textContent === '2 channels'")
    assert page.url.endswith("#find=tench&verdict=doubtful")
    page.reload()
    page.wait_for_selector("#results .cell")
    assert page.locator("#results .cell").count() == 2
    page.locator("#results .cell").first.click()
    page.wait_for_selector("#view[open]")
    assert page.title() == "tench 1 · output"


def test_a_layer_is_sorted_and_filtered_by_controls_and_address(open_page: Make, home: str) -> None:
    page = open_page(layer_address(home, "conv"))
    assert shown_channels(page) == [0, 1, 2, 3, 4, 5]
    page.select_option("#sort", "score")
    assert shown_channels(page) == [4, 0, 2, 5, 3, 1], "the largest first"
    page.select_option("#verdict", "trusted")
    page.fill("#to", "4.5")
    assert shown_channels(page) == [3]
    assert "1 of 6 shown" in page.inner_text("#found")
    page.reload()
    page.wait_for_function("() => document.body.dataset.ready === 'true'")
    assert shown_channels(page) == [3], "the address holds the choice"
    page.select_option("#picture", "channel-")
    assert "picture=channel-" in page.url, "a name, since its place may be another's when the atlas is made again"
    page.goto(f"{layer_address(home, 'conv')}#sort=similarity")
    page.wait_for_function("() => document.getElementById('sort').value === 'similarity'")
    order = shown_channels(page)
    assert {number % 2 for number in order[:3]} != {0, 1}, "channels that move together stand side by side"


def test_a_channel_has_an_address_and_keys(open_page: Make, home: str) -> None:
    page = open_page(f"{layer_address(home, 'conv')}#channel=3")
    page.wait_for_selector("#view[open]")
    for text in ("Channel 3", "Scores 2 after 8 steps", "Excite it most", "doubtful" if 3 % 3 == 1 else "trusted"):
        assert text in page.text_content("#view"), text
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.hash === '#channel=4'")
    page.wait_for_function("() => document.getElementById('view-title').textContent === 'Channel 4'")
    page.locator("#view .elsewhere").scroll_into_view_if_needed()
    page.wait_for_selector("#view .elsewhere .cell")
    assert "tench 4, output (2 images)" in page.inner_text("#view .elsewhere")
    page.locator("#view .examples .open").first.click()
    page.wait_for_selector("#zoom[open]")
    page.wait_for_function("() => document.querySelector('#zoom img.whole').naturalWidth === 32")
    frames = {name: page.locator(f"#zoom rect.{name}").get_attribute("x") for name in ("input", "field")}
    assert frames == {"input": "4", "field": "8"}, "what the model is shown of the whole image, and the position sees"
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.wait_for_selector("#view", state="hidden")
    page.wait_for_function("() => location.href.endsWith('.html')")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.channel") == "5", "arrow keys go on in the grid"
    page.keyboard.press("Enter")
    page.wait_for_selector("#view[open]")


def test_a_set_of_pictures_is_no_opposite(
    open_page: Make, pages: Path, homes: dict[str, str], make_site: Make, make_row: Make, info: Any
) -> None:
    row = make_row(0, pictures={"channel+ diverse-0": (9, 9, 9), "channel+ diverse-1": (99, 9, 9)})
    spec = LayerSpec(index=0, name="a", type="Conv2d", channels=1)
    unknown = dict.fromkeys(("count", "mean", "variance", "minimum", "maximum"))
    direction = {**make_row(None, unit="a:random-0"), **unknown}
    files = make_site((spec, [row, direction]), about=replace(info, command="atlas run sweep=select"))
    for path, data in files.items():
        (pages / "site" / "sets" / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / "site" / "sets" / path).write_bytes(data)
    page = open_page(f"{homes['disk']}/sets/layers/{spec.slug}.html#channel=0")
    page.wait_for_selector("#view[open]")
    text = page.text_content("#view")
    assert "Its opposite, the picture that excites it least, was not made" in text
    assert "{objective: channel, seed: 0}" in text, "it was maximized"
    page.goto(page.url.replace("channel=0", "channel=1"))
    page.wait_for_function("() => document.getElementById('view-title').textContent === 'a:random-0'")
    assert "On the dataset" not in page.text_content("#view"), "a direction has no numbers of its own there"
    assert page.url.endswith("#channel=a%3Arandom-0"), "its number may be another's when the atlas is made again"
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => location.hash === '#channel=0'")
    page.goto(page.url.replace("channel=0", "channel=a%3Arandom-1"))
    page.wait_for_selector("#view", state="hidden")
    assert page.inner_text("#found") == "This atlas has no channel or unit a:random-1 of this layer."


def test_hostile_names_are_text(open_page: Make, homes: dict[str, str]) -> None:
    home = homes["disk"]
    address = layer_address(home, "hostile")
    page = open_page(f"{address}#channel=2")
    page.wait_for_selector("#view[open]")
    assert page.inner_text("#view-title") == HOSTILE
    page.goto(f"{home}/index.html#find=onerror")
    page.wait_for_selector("#results .cell")
    assert HOSTILE in page.inner_text("#results")
    page.fill("#search", "e\u0301")  # as macOS writes it; the names have one character for it
    page.wait_for_function("() => document.getElementById('matched').textContent === '6 channels'")
    page.goto(f"{home}/compare.html#a=layer1.0.{HOSTILE.replace('#', '%23').replace('&', '%26')}")
    page.wait_for_selector(".side h2")
    assert HOSTILE in page.inner_text(".side h2")


def test_on_a_phone_no_button_of_a_channel_is_cut_off(open_page: Make, homes: dict[str, str]) -> None:
    page = open_page(f"{layer_address(homes['disk'], 'hostile')}#channel=2")
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_selector("#view[open]")
    shown, all_of_it = page.evaluate("() => [view.clientWidth, view.scrollWidth]")
    assert all_of_it <= shown


def test_of_a_long_name_is_cut_and_never_its_verdict(open_page: Make, homes: dict[str, str]) -> None:
    cut_short = "words => words.filter((each) => each.scrollWidth > each.clientWidth).length"
    hidden = """marks => marks.filter((mark) => mark.getBoundingClientRect().right >
        mark.closest('.cell').getBoundingClientRect().right).length"""
    for address in (layer_address(homes["disk"], "hostile"), f"{homes['disk']}/index.html#find=hostile"):
        page = open_page(address.replace("=hostile", f"={urllib.parse.quote(HOSTILE.split()[0])}"))
        page.wait_for_selector(".cell .verdict")
        assert page.eval_on_selector_all(".cell .words", cut_short)
        assert page.locator(".cell .verdict").count() == 4
        assert page.eval_on_selector_all(".cell .verdict", hidden) == 0


def test_on_a_phone_nothing_said_of_a_column_is_outside_the_window(open_page: Make, homes: dict[str, str]) -> None:
    page = open_page(f"{homes['disk']}/columns.html")
    page.set_viewport_size({"width": 390, "height": 800})
    shown, all_of_it = page.evaluate(
        "() => { const table = document.querySelector('.wide-table'); return [table.clientWidth, table.scrollWidth]; }"
    )
    assert all_of_it <= shown


def test_two_channels_or_layers_are_compared(open_page: Make, homes: dict[str, str]) -> None:
    home = homes["disk"]
    page = open_page(f"{home}/compare.html#a=layer1.0.conv1:1&b=output:1&pb=channel-")
    page.wait_for_selector("#both table")
    assert page.title() == "layer1.0.conv1:1 and output:1 · Compare · tiny"
    assert [heading.inner_text() for heading in page.query_selector_all(".side h2")] == ["layer1.0.conv1:1", "tench 1"]
    assert page.locator(".side").nth(1).locator(".shown img").get_attribute("alt") == "channel- of logit:1"
    assert "2 of their best images are the same" in page.inner_text("#both")
    page.click("#swap")
    page.wait_for_function("() => document.querySelector('.side h2').textContent === 'tench 1'")
    assert re.search(r"a=output%3A1.*pa=channel-", page.url)
    page.fill("#a", "layer1.0.conv1")
    page.press("#a", "Enter")
    page.fill("#b", "output")
    page.press("#b", "Enter")
    page.wait_for_function("() => document.querySelectorAll('.row-of .cell').length === 12")
    assert "Loss when moved, middle" in page.inner_text("#both")
    page.goto(f"{home}/compare.html#a=nowhere:3")
    page.wait_for_function("() => document.querySelector('.side').textContent.includes('no layer or unit nowhere:3')")


def test_a_cell_is_followed_to_another_map(open_page: Make, homes: dict[str, str]) -> None:
    conv, hostile = (specs()[name].slug for name in ("conv", "hostile"))
    page = open_page(f"{homes['disk']}/maps/{urllib.parse.quote(conv)}.html#cell=2/0,0&find=cat%200")
    assert page.input_value("#find") == "cat 0"
    page.locator("#cell a", has_text=HOSTILE).click()
    page.wait_for_selector(".followed")
    assert f"/{urllib.parse.quote(hostile)}.html" in page.url
    words = (
        f"Followed from {LAYERS['conv']}: cat 0, cell 2/0,0. Of its 1 nearest image 1 lies in 16 cells of the finest"
    )
    assert words in page.text_content(".followed")
    page.get_by_text("Go to most of them").click()
    page.wait_for_function("() => /cell=8\\/[0-3],[4-7]&.*follow=/.test(location.hash)")  # the mirrored quarter
    page.get_by_text("Stop following").click()
    page.wait_for_function("() => !location.hash.includes('follow=')")
    page.goto(f"{page.url.split('#')[0]}#follow={urllib.parse.quote(conv)}/2/9,9")
    page.wait_for_function("() => document.getElementById('cell').textContent.includes('has no cell 2/9,9')")


def test_a_map_zooms_and_its_cells_have_addresses(open_page: Make, homes: dict[str, str]) -> None:
    home = homes["disk"]
    page = open_page(f"{home}/maps/{specs()['conv'].slug}.html", color_scheme="dark")
    box = page.locator("#map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -600)
    page.wait_for_function("() => location.hash.startsWith('#view=')")
    page.focus("#map")
    page.keyboard.press("0")
    page.wait_for_function("() => !location.hash.includes('view=')")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => location.hash.startsWith('#cell=')")
    assert "Nearest to its mean" in page.text_content("#cell")
    assert HOSTILE in page.inner_text("#cell")
    assert "tench 3 +3.5" in page.inner_text("#cell")
    name = page.url.partition("#")[2]
    page.reload()
    page.wait_for_function("() => document.querySelector('#cell h2') !== null")
    assert page.title().startswith(f"cell {name.removeprefix('cell=')} · ")
    page.fill("#find", "cat 1")
    assert page.inner_text("#matched") == "8 cells of the finest grid"
    page.fill("#find", "TENCH 5")
    assert page.inner_text("#matched") == "8 cells of the finest grid"
    page.goto(f"{page.url.split('#')[0]}#cell=2/0,0")
    page.wait_for_function("() => document.querySelector('#cell .measure').textContent.startsWith('No class')")


def test_no_page_has_a_serious_fault_of_accessibility(open_page: Make, homes: dict[str, str]) -> None:
    home = homes["disk"]
    compared = f"{home}/compare.html#a=layer1.0.conv1:1&b=output:1"
    pages = {f"{home}/index.html": "body", f"{home}/index.html#find=tench": "#results .cell", compared: "#both table"}
    pages |= {layer_address(home, "conv"): "body", f"{layer_address(home, 'conv')}#channel=1": "#view[open]"}
    pages |= {f"{home}/maps/{specs()['conv'].slug}.html": "body", f"{home}/columns.html": "#atlas td"}
    quickly = {"resultTypes": ["violations"], "preload": False}
    for address, there in pages.items():
        page = open_page(address)
        page.wait_for_selector(there)
        serious = faults(page, quickly)
        page.emulate_media(color_scheme="dark")
        serious += faults(page, quickly | {"runOnly": ["color-contrast"]})
        assert not serious, (address, serious)


def faults(page: Any, options: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the serious faults that axe finds on a page, with the elements that have them."""
    found = axe.Axe().run(page, options=options).response["violations"]
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [(fault["id"], [node["html"][:200] for node in fault["nodes"]]) for fault in serious]
