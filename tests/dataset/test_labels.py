"""Labels: one text for each, whichever file they come from, and none where there is none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_shards import png, write_tar

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.dataset.labels import label_text
from network_atlas.errors import DatasetError

MakeConfig = Callable[..., DatasetConfig]
Metadata = dict[str, object]


def tar_labels(tmp_path: Path, make_config: MakeConfig, members: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """Return the labels of a tar's images, which must not depend on the order of its members."""
    labels = []
    for name, ordered in (("forward", members), ("backward", members[::-1])):
        write_tar(tmp_path / f"{name}/x.tar", ordered)
        source = open_source(make_config(source="tar", label="beside", root=str(tmp_path / name)))
        labels.append({example.example_id: example.label for example in source.examples()})
    assert labels[0] == labels[1]
    return labels[0]


def parquet_labels(
    tmp_path: Path, make_config: MakeConfig, labels: Sequence[object], feature: Metadata | None = None
) -> list[str]:
    """Return the labels of a Parquet file's rows, in order."""
    rows = [{"image": {"bytes": png(n), "path": f"{n}.png"}, "label": label} for n, label in enumerate(labels)]
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature or {}}}})}
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(metadata), tmp_path / "a.parquet")
    source = open_source(make_config(source="parquet", label="column", label_column="label"))
    return [example.label for example in source.examples()]


def test_names_with_dots_have_labels_of_their_own_in_a_tar(tmp_path: Path, make_config: MakeConfig) -> None:
    members = [(f"{n}.5/img 2.0 (v{n}).final.{kind}", data) for n in range(3) for kind, data in pair(n)]
    members += [(f"a.{n}.{kind}", data) for n in range(3) for kind, data in pair(n)]
    labels = tar_labels(tmp_path, make_config, members)
    assert labels == {
        **{f"a.{n}.png": f"class {n}" for n in range(3)},
        **{f"{n}.5/img 2.0 (v{n}).final.png": f"class {n}" for n in range(3)},
    }


def pair(number: int) -> list[tuple[str, bytes]]:
    return [("png", png(number)), ("cls", f"class {number}".encode())]


def test_a_label_of_the_whole_sample_is_that_of_its_images_without_a_label(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    members = [
        ("x.v1.rgb.png", png(0)),
        ("x.v1.cls", b"first"),
        ("x.v2.rgb.png", png(1)),
        ("x.cls", b"sample"),
        ("y.png", png(2)),
        ("y.meta.json", b'{"class": "alone"}'),
        ("z.png", png(3)),
        ("z.v2.png", png(4)),
        ("z.v2.cls", b"second"),
        ("both.png", png(5)),
        ("both.json", b'{"label": "from json"}'),
        ("both.cls", b"from cls"),
    ]
    assert tar_labels(tmp_path, make_config, members) == {
        "both.png": "from cls",
        "x.v1.rgb.png": "first",
        "x.v2.rgb.png": "sample",
        "y.png": "alone",
        "z.png": "",
        "z.v2.png": "second",
    }


@pytest.mark.parametrize(
    ("name", "content", "label"),
    [
        ("a.cls", b"\xef\xbb\xbfcat\r\n", "cat"),
        ("a.json", b'\xef\xbb\xbf{"label": "cat"}', "cat"),
        ("a.cls", b"-1", ""),
        ("a.json", b'{"label": -1}', ""),
        ("a.json", b'{"label": 0}', "0"),
        ("a.json", b'{"label": null, "cls": 3}', "3"),
        ("a.json", b'{"label": ["cat"]}', "cat"),
        ("a.json", b'{"label": []}', ""),
        ("a.json", b'{"label": 2.0}', "2"),
        ("a.json", b'["cat"]', ""),
    ],
)
def test_what_a_file_beside_an_image_says(
    name: str, content: bytes, label: str, tmp_path: Path, make_config: MakeConfig
) -> None:
    assert tar_labels(tmp_path, make_config, [("a.png", png(0)), (name, content)]) == {"a.png": label}


@pytest.mark.parametrize("content", [b'{"label": ["cat", "dog"]}', b'{"label": {"id": 3}}'])
def test_several_labels_in_a_tar_are_refused_with_the_file(
    content: bytes, tmp_path: Path, make_config: MakeConfig
) -> None:
    with pytest.raises(DatasetError, match=r"'a\.json' in 'x\.tar'.*one label an image, or dataset\.label=none"):
        tar_labels(tmp_path, make_config, [("a.png", png(0)), ("a.json", content)])


def test_a_file_of_a_label_that_can_not_be_read_is_counted_and_names_none(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    contents = {"a.cls": "cat".encode("utf-16"), "b.json": b'{"label": ', "c.json": b"\xff\xfe", "d.cls": b"dog"}
    members = [(f"{name}.png", png(seed)) for seed, name in enumerate("abcd")]
    labels = tar_labels(tmp_path, make_config, [*members, *contents.items()])
    assert labels == {"a.png": "", "b.png": "", "c.png": "", "d.png": "dog"}
    source = open_source(make_config(source="tar", label="beside", root=str(tmp_path / "forward")))
    (notice,) = source.listing().notices
    assert notice == "skipped 3 unreadable labels (no text in UTF-8, or no JSON), such as 'a.cls'"


CLASSES: Metadata = {"names": ["cat", "dog"], "_type": "ClassLabel"}


@pytest.mark.parametrize("feature", [{}, CLASSES])
def test_a_negative_or_missing_number_is_unlabelled_in_parquet(
    feature: Metadata, tmp_path: Path, make_config: MakeConfig
) -> None:
    labels = parquet_labels(tmp_path, make_config, [-1, 0, 1, None, 7], feature)
    assert labels == ["", "cat" if feature else "0", "dog" if feature else "1", "", "7"]


@pytest.mark.parametrize("kind", ["Sequence", "List"])
def test_a_list_of_one_label_is_that_label_and_several_are_refused(
    kind: str, tmp_path: Path, make_config: MakeConfig
) -> None:
    feature: Metadata = {"feature": CLASSES, "_type": kind}
    assert parquet_labels(tmp_path, make_config, [[1], [], None, [0], [-1]], feature) == ["dog", "", "", "cat", ""]
    with pytest.raises(DatasetError, match=r"row 1 of 'a\.parquet' \(column 'label'\) holds 2 labels.*dataset\.label"):
        parquet_labels(tmp_path, make_config, [[1], [0, 1]], feature)


def test_a_column_of_lists_is_read_by_nobody_where_labels_are_not_asked_for(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.label=none"):
        parquet_labels(tmp_path, make_config, [[0, 1]])
    source = open_source(make_config(source="parquet", label="none", label_column="label"))
    assert [example.label for example in source.examples()] == [""]


@pytest.mark.parametrize("label", [{"id": 1}, b"cat"])
def test_what_is_not_a_label_is_refused(label: object, tmp_path: Path, make_config: MakeConfig) -> None:
    with pytest.raises(DatasetError, match="a label is a text or a number"):
        parquet_labels(tmp_path, make_config, [label])


def test_text_of_labels() -> None:
    values = [None, math.nan, -1, -3.0, 0, 2.0, 2.5, True, " tabby cat ", "", [], (4,), 10**30]
    texts = ["", "", "", "", "zero", "2", "2.5", "True", "tabby cat", "", "", "4", str(10**30)]
    assert [label_text(value, ["zero", "one"], where="here") for value in values] == texts
