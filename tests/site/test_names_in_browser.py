"""Real names in a real browser: scikit-learn's digits, a network trained on them, and vectors of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import INLINE, quietly, watched_page
from digits_network import build, train, write_digits
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from network_atlas import open_atlas
from network_atlas.analysis.atlas import Atlas
from network_atlas.config.compose import compose

IMAGES = 240
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
KINDS = {"round": "0689", "angular": "147", "open": "235"}
"""A hierarchy over the digits, by how they are written."""
RUN = [
    *("model=function", "model.name=digits_network:build", "model.allow_code=true", *INLINE),
    *(f"model.input.{name}=8" for name in ("height", "width", "resize")),
    *("model.input.channels=1", "model.input.mean=[0.0]", "model.input.std=[1.0]"),
    *("dataset=folder", "dataset.label=folder", "scan.top_k=6", "scan.bottom_k=1", "attribute=all", "sweep=select"),
    *('sweep.select.0.include=["**", output]', 'sweep.select.0.types=["Conv2d"]', "sweep.select.0.channels=all"),
    *("sweep.variants=[{objective: channel}]", "optimize.height_px=8", "optimize.width_px=8", "optimize.steps=2"),
    *("optimize.dtype=float32", "optimize/transform=classic", "optimize.transform.jitter_px=1"),
    *("optimize.depth.follow=false", "assemble.crop_px=16"),
]


def write_vectors(folder: Path) -> None:
    """Write what a model of texts and images would give: images as principal components, digits as their means."""
    digits = load_digits()
    images = PCA(12, random_state=0).fit(digits.data).transform(digits.data)
    concepts = np.stack([images[digits.target == digit].mean(axis=0) for digit in range(10)])
    ids = [f"{digits.target[number]}/{number:04d}.png" for number in range(IMAGES)]
    np.save(folder / "image_embeddings.npy", images[:IMAGES].astype(np.float32))
    np.save(folder / "concepts.npy", concepts.astype(np.float32))
    (folder / "images.txt").write_text("\n".join(ids) + "\n")
    (folder / "concepts.txt").write_text("".join(f"handwritten {word}\n" for word in WORDS))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished atlas of the trained network, whose classes are the digits."""
    folder = tmp_path_factory.mktemp("digits")
    for name in ("images", "vectors"):
        (folder / name).mkdir()
    write_digits(folder / "images", IMAGES)
    write_vectors(folder / "vectors")
    lines = [f"{digit}\t{kind}\t{WORDS[int(digit)]}\n" for kind, digits in KINDS.items() for digit in digits]
    (folder / "kinds.tsv").write_text("".join(lines))
    model = build()
    assert train(model, steps=60) > 0.9
    torch.save(model.state_dict(), folder / "weights.pth")
    paths = {"model.weights": "weights.pth", "dataset.root": "images", "dataset.hierarchy": "kinds.tsv"}
    paths |= {"dataset.embeddings": "vectors", "store.root": "atlas"}
    quietly(compose([*RUN, *(f'{name}="{folder / path}"' for name, path in paths.items())]))
    return folder / "atlas"


@pytest.fixture(scope="module")
def atlas(root: Path) -> Atlas:
    return open_atlas(str(root))


@pytest.fixture(scope="module")
def page(root: Path, browser: Any) -> Iterator[Any]:
    """A page of a browser; at the end none had an error."""
    with watched_page(browser, files=True) as page:
        yield page


def channels(atlas: Atlas) -> list[dict[str, Any]]:
    columns = ["layer", "channel", "unit", "name", "unnamed", "name_score", "description", "descriptions"]
    rows: list[dict[str, Any]] = atlas.table("atlas", columns).to_pylist()
    return rows


def test_classes_are_named_after_their_digits_by_labels_and_by_vectors(atlas: Atlas) -> None:
    logits = [row for row in channels(atlas) if row["layer"] == "output"]
    assert sum(row["name"] == WORDS[row["channel"]] for row in logits) >= 8
    assert sum(row["description"] == f"handwritten {WORDS[row['channel']]}" for row in logits) >= 8
    assert all(row["name_score"] > 0.5 for row in logits)


def test_some_channels_are_about_a_kind_of_digits(atlas: Atlas) -> None:
    names = [row["name"] for row in channels(atlas) if row["layer"] != "output"]
    assert {name for name in names if name} & set(KINDS)


def test_the_search_finds_names_and_leads_to_what_a_channel_is_about(page: Any, atlas: Atlas, root: Path) -> None:
    kind = next(row["name"] for row in channels(atlas) if row["layer"] != "output" and row["name"] in KINDS)
    named = {row["unit"] for row in channels(atlas) if row["name"] == kind}
    page.goto(f"{(root / 'site' / 'index.html').as_uri()}#find={kind}")
    page.wait_for_selector("#results .cell")
    captions = page.locator("#results .cell").all_inner_texts()
    assert len(captions) == len(named)
    assert all(kind in text for text in captions)
    page.fill("#search", "seven")
    logit = next(row["unit"] for row in channels(atlas) if row["name"] == "seven" and row["layer"] == "output")
    page.locator("#results .cell", has_text="output").first.click()
    page.wait_for_selector("#view[open] .names")
    text = page.inner_text("#view")
    assert logit.partition(":")[2] in page.url
    assert "seven scores" in text
    assert "by chance one channel in a hundred has" in text
    assert "By the given concept vectors: handwritten seven" in text


def test_a_named_channel_shows_where_it_looks_and_leads_down_and_up(page: Any, root: Path) -> None:
    output = next((root / "site" / "layers").glob("*-output.html"))
    page.goto(f"{output.as_uri()}#channel=7")
    page.wait_for_selector("#view[open] .overlays")
    overlays = page.locator("#view .examples .overlay:visible")
    assert overlays.count() == 6
    page.check(".overlays input[value='']")
    assert overlays.count() == 0
    page.check(".overlays input[value=heat]")
    assert overlays.count() == 6
    down = page.locator(".circuit a.cell").first
    below = down.get_attribute("href")
    down.click()
    page.wait_for_url(f"**/{below.rpartition('/')[2]}")
    up = page.locator(".circuit a.cell[href*='-output.html']")
    up.first.wait_for()
    up.first.click()
    page.wait_for_url("**-output.html#channel=*")
    page.wait_for_selector("#view[open] .names")
