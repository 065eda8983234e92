from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from network_atlas.config.dataset import DatasetConfig
from network_atlas.config.schema import RunConfig
from network_atlas.dataset.hierarchy import Hierarchy, parse, read_hierarchy, unknown_labels
from network_atlas.errors import AtlasError, DatasetError
from network_atlas.run.prepare import prepare

PETS = "# pets\nbeagle\tdog\npoodle\tdog\tpoodle|poodle dog\ndog\tanimal\ncat\tanimal\ncat\tpet\n"


def dataset(hierarchy: str = "", label: str = "folder") -> DatasetConfig:
    return DatasetConfig(source="folder", root="images", label=label, hierarchy=hierarchy)  # type: ignore[arg-type]


def imagenet() -> Hierarchy:
    return read_hierarchy(dataset("imagenet"))


def test_a_label_is_of_all_that_lies_above() -> None:
    hierarchy = parse(PETS, where="pets.tsv")
    assert hierarchy.nodes("beagle") == ("beagle", "dog", "animal")
    assert hierarchy.nodes("cat") == ("cat", "animal", "pet")
    assert hierarchy.nodes("Poodle Dog") == ("poodle", "dog", "animal")
    assert hierarchy.nodes("stone") == ("stone",)


def test_folders_are_a_hierarchy_of_their_own() -> None:
    assert read_hierarchy(dataset(label="folders")).nodes("animals/dogs/beagle") == (
        "animals/dogs/beagle",
        "animals/dogs",
        "animals",
    )


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("n02088364", ["beagle", "hound", "hunting dog", "dog"]),
        ("beagle", ["beagle", "hound", "hunting dog", "dog"]),
        ("162", ["beagle", "hound", "hunting dog", "dog"]),
        ("great white shark", ["great white shark", "mackerel shark"]),
        ("giant panda", ["giant panda", "procyonid"]),
        ("Cardigan", ["Cardigan", "corgi", "dog"]),  # the dog, not the garment
        ("cardigan", ["cardigan", "sweater"]),
        ("dog", ["dog", "canine", "domestic animal"]),
    ],
)
def test_imagenets_labels_are_known_in_any_form(label: str, names: list[str]) -> None:
    hierarchy = imagenet()
    assert [hierarchy.name(node) for node in hierarchy.nodes(label)][: len(names)] == names


def test_every_class_of_imagenet_is_an_entity() -> None:
    hierarchy = imagenet()
    assert len(hierarchy.numbered) == 1000
    assert all("entity" in map(hierarchy.name, hierarchy.nodes(wnid)) for wnid in hierarchy.numbered)
    dogs = [wnid for wnid in hierarchy.numbered if "dog" in map(hierarchy.name, hierarchy.nodes(wnid))]
    assert len(dogs) == 118


def test_a_name_of_two_classes_is_a_concept_of_its_own() -> None:
    assert imagenet().nodes("crane") == ("crane",)  # a bird and a machine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no line"),
        ("# nothing\n\n", "holds no line"),
        ("dog animal\n", "line 1: 'dog animal' has 1 column;"),
        ("dog\tanimal\n\tplant\n", "line 2"),
        ("a\tb\tc\td\n", "has 4 columns"),
        ("dog\tanimal\nanimal\tthing\nthing\tdog\n", "dog > animal > thing > dog"),
        ("dog\tdog\n", "kind of itself"),
    ],
)
def test_bad_files_are_refused_with_the_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "hierarchy.tsv"
    path.write_text(text)
    with pytest.raises(DatasetError) as refused:
        read_hierarchy(dataset(str(path)))
    assert message in str(refused.value)


@pytest.mark.parametrize("content", [None, b"dog\t\xff\n"])
def test_files_that_cannot_be_read_are_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "hierarchy.tsv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetError, match="read dataset"):
        read_hierarchy(dataset(str(path)))


def test_labels_that_are_not_in_the_file_are_counted() -> None:
    hierarchy = parse(PETS, where="pets.tsv")
    assert unknown_labels(hierarchy, frozenset({"beagle", "cat", ""}), dataset("pets.tsv")) == ""
    assert unknown_labels(hierarchy, frozenset({"beagle", "stone"}), dataset("pets.tsv")).startswith("1 of 2 labels is")
    assert unknown_labels(Hierarchy(), frozenset({"stone"}), dataset()) == ""
    with pytest.raises(DatasetError, match="knows none of the dataset's labels"):
        unknown_labels(hierarchy, frozenset({"stone", ""}), dataset("pets.tsv"))


def test_a_hierarchy_without_labels_says_so() -> None:
    said = unknown_labels(imagenet(), frozenset({""}), dataset("imagenet", "none"))
    assert said.startswith("dataset.hierarchy='imagenet' has nothing to name: no image has a label")
    assert "dataset.label" in said
    assert unknown_labels(Hierarchy(), frozenset({""}), dataset(label="none")) == ""


def test_a_run_is_refused_before_any_work(tiny: Callable[..., RunConfig], tmp_path: Path) -> None:
    path = tmp_path / "hierarchy.tsv"
    path.write_text("a\tb\n")
    config = tiny()
    with pytest.raises(AtlasError, match="knows none"):
        prepare(replace(config, dataset=replace(config.dataset, hierarchy=str(path))))
