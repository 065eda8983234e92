"""What a listing leaves out is counted and named: files of other kinds, rows, ids and patterns that match nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_shards import IMAGES, NAMES, png, write_folder, write_parquet, write_tar

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import Source, open_source
from network_atlas.dataset.folder import reaches
from network_atlas.errors import DatasetError, UnreadableImageError

MakeConfig = Callable[..., DatasetConfig]


def ids(source: Source) -> list[str]:
    return [example.example_id for example in source.examples()]


def test_files_of_other_kinds_are_counted_and_named_in_a_folder_and_in_a_tar(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    names = ["a/v.HEIC", "a/w.heic", "notes.txt", "a/LICENSE", "x.svg"]
    write_folder(tmp_path / "folder")
    for name in names:
        (tmp_path / "folder" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(b"x")
    write_tar(tmp_path / "tar/x.tar", [*IMAGES.items(), *((name, b"x") for name in names)])
    expected = (
        "skipped 5 files of other kinds: 2 .heic (such as 'a/v.HEIC'), 1 without a suffix ('a/LICENSE'), "
        "1 .svg ('x.svg'), 1 .txt ('notes.txt')",
    )
    for source in ("folder", "tar"):
        listing = open_source(make_config(source=source, root=str(tmp_path / source))).listing()
        assert listing.notices == expected
        assert len(listing.examples) == len(NAMES)


def test_labels_beside_the_images_of_a_tar_are_not_skipped_files(tmp_path: Path, make_config: MakeConfig) -> None:
    write_tar(tmp_path / "x.tar", [("a.png", png(0)), ("a.cls", b"1"), ("a.txt", b"a caption")])
    assert open_source(make_config(source="tar", label="beside")).listing().notices == (
        "skipped 1 file of another kind: 1 .txt ('a.txt')",
    )


def test_many_kinds_are_counted_and_a_few_are_named(tmp_path: Path, make_config: MakeConfig) -> None:
    write_folder(tmp_path)
    for number in range(20):
        (tmp_path / f"x.k{number:02d}").touch()
    (tmp_path / "version 1.2 of a long name").touch()
    (notice,) = open_source(make_config()).listing().notices
    assert notice.startswith(
        "skipped 21 files of other kinds: 1 without a suffix ('version 1.2 of a long name'), 1 .k00"
    )
    assert notice.endswith("15 others")


def test_hidden_images_loops_and_special_files_are_counted(tmp_path: Path, make_config: MakeConfig) -> None:
    write_folder(tmp_path)
    (tmp_path / "._a.jpg").touch()
    (tmp_path / "cat/loop").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.png")
    listing = open_source(make_config()).listing()
    assert listing.notices == (
        "skipped 1 hidden image, '._a.jpg'",
        "skipped 1 looping link, 'cat/loop/'",
        "skipped 1 special file, 'pipe.png'",
    )
    assert len(listing.examples) == len(NAMES)


def test_nothing_is_said_where_nothing_is_left_out(tmp_path: Path, make_config: MakeConfig) -> None:
    write_folder(tmp_path)
    assert open_source(make_config()).listing().notices == ()
    assert open_source(make_config(source="none", label="none")).listing().notices == ()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_list_of_ids_may_begin_with_a_mark_and_end_its_lines_in_either_way(
    mark: bytes, end: bytes, tmp_path: Path, make_config: MakeConfig
) -> None:
    write_folder(tmp_path / "images")
    listed = tmp_path / "only.txt"
    listed.write_bytes(mark + end.join(name.encode() for name in (NAMES[3], NAMES[8], "")))
    listing = open_source(make_config(root=str(tmp_path / "images"), only=str(listed))).listing()
    assert [example.example_id for example in listing.examples] == [NAMES[3], NAMES[8]]
    assert listing.notices == ()


@pytest.mark.parametrize("source", ["folder", "tar", "parquet"])
def test_ids_and_patterns_that_match_nothing_are_named(source: str, tmp_path: Path, make_config: MakeConfig) -> None:
    root = tmp_path / "data"
    write_folder(root / "folder")
    write_tar(root / "tar/a.tar", IMAGES.items())
    write_parquet(root / "parquet/a.parquet", NAMES)
    listed = tmp_path / "only.txt"
    listed.write_text("\n".join([NAMES[0], "absent.png", "gone.png", NAMES[0] + "#0"]))
    config = make_config(
        source=source, root=str(root / source), only=str(listed), include=("cat/*", "bird/*"), exclude=("*_bad*",)
    )
    listing = open_source(config).listing()
    assert [example.example_id for example in listing.examples] == [NAMES[0]]
    assert listing.notices == (
        "dataset.include: 'bird/*' matches no image",
        "dataset.exclude: '*_bad*' matches no image",
        f"dataset.only: 3 of 4 ids match no image, such as 'absent.png', '{NAMES[0]}#0', 'gone.png'",
    )


def test_a_list_that_matches_nothing_or_lists_nothing_is_refused_with_its_ids(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    write_folder(tmp_path / "images")
    listed = tmp_path / "only.txt"
    for text, words in {"cat.png": "1 of 1 id matches no image, 'cat.png'", "\n": "lists no ids"}.items():
        listed.write_text(text)
        with pytest.raises(DatasetError, match=words):
            open_source(make_config(root=str(tmp_path / "images"), only=str(listed))).examples()
    listed.write_bytes("cat".encode("utf-16"))
    with pytest.raises(DatasetError, match="give a text file in UTF-8"):
        open_source(make_config(root=str(tmp_path / "images"), only=str(listed))).examples()


def write_rows(path: Path, rows: list[dict[str, object] | None], labels: list[str] | None = None) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(rows, kind)} | ({"label": pa.array(labels)} if labels else {})
    pq.write_table(pa.table(columns), path, row_group_size=3)


def test_names_that_repeat_in_one_parquet_file_are_refused_with_what_helps(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    write_rows(tmp_path / "a.parquet", [{"bytes": png(n), "path": "image.jpg"} for n in range(4)])
    for names in ("name", "shard"):
        with pytest.raises(DatasetError, match=r"image\.jpg', in 'a\.parquet'; give dataset\.ids=content"):
            open_source(make_config(source="parquet", ids=names))
    assert len(ids(open_source(make_config(source="parquet", ids="content")))) == 4


def test_rows_with_the_same_image_are_counted_by_whether_their_labels_agree(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    rows = [{"bytes": png(n), "path": None} for n in (0, 0, 0, 1, 1)]
    write_rows(tmp_path / "a.parquet", rows, ["cat", "cat", "cat", "cat", "dog"])
    config = make_config(source="parquet", ids="content", label="column", label_column="label")
    listing = open_source(config).listing()
    assert [example.label for example in listing.examples] == ["cat", "cat"]
    agreeing, other = listing.notices
    assert agreeing.startswith("skipped 2 repeated images, such as '")
    assert other.startswith("skipped 1 repeated image with another label, '")


@pytest.mark.parametrize("null", [None, {"bytes": None, "path": None}, {"bytes": None, "path": "3.png"}])
@pytest.mark.parametrize("names", ["name", "shard", "content"])
def test_a_row_without_an_image_is_one_unreadable_example(
    null: dict[str, object] | None, names: str, tmp_path: Path, make_config: MakeConfig
) -> None:
    rows: list[dict[str, object] | None] = [{"bytes": png(n), "path": f"{n}.png"} for n in range(5)]
    rows[3] = null
    write_rows(tmp_path / "a.parquet", rows)
    source = open_source(make_config(source="parquet", ids=names))
    unreadable = []
    for example_id in ids(source):
        try:
            source.read(example_id)
        except UnreadableImageError:
            unreadable.append(example_id)
    assert len(ids(source)) == 5
    if names == "content":
        assert source.listing().notices == ("skipped 1 unreadable image, 'a.parquet/row 3'",)
    named = {"name": "3.png", "shard": "a.parquet/3.png"} if null and null["path"] else {}
    assert unreadable == [named.get(names, "a.parquet/row 3")]
    with pytest.raises(UnreadableImageError, match=r"the row holds no image \(null\)"):
        source.read(unreadable[0])


def test_a_folder_reaches_what_lies_in_it_and_what_its_links_lead_to(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    (data / "a/b").mkdir(parents=True)
    (other / "deep").mkdir(parents=True)
    assert reaches(data, data / "atlas/x")
    assert reaches(data, data)
    assert not reaches(data, other / "atlas")
    assert not reaches(data, tmp_path)
    (data / "a/b/link").symlink_to(other, target_is_directory=True)
    (other / "back").symlink_to(data, target_is_directory=True)
    assert reaches(data, other / "atlas")
    assert reaches(data, other / "deep/atlas")
    (tmp_path / "alias").symlink_to(data, target_is_directory=True)
    assert reaches(tmp_path / "alias", data / "atlas")
    assert reaches(data, tmp_path / "alias/atlas")
