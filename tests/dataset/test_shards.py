"""Tar shards and Parquet files: the same ids and pixels as a folder with the same images."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from example_shards import IMAGES, NAMES, png, write_folder, write_parquet, write_tar

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import Source, open_source
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files.finding import find_files

MakeConfig = Callable[..., DatasetConfig]


def ids(source: Source) -> list[str]:
    return [example.example_id for example in source.examples()]


def test_a_folder_tars_and_parquet_with_the_same_images_are_the_same_dataset(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    write_folder(tmp_path / "folder")
    for number in range(3):
        write_tar(tmp_path / f"tar/{number}.tar", [(name, IMAGES[name]) for name in NAMES[number::3][::-1]])
        write_parquet(tmp_path / f"parquet/x{number}.parquet", NAMES[number::3][::-1], row_group_size=2)
    folder, tar, parquet = (
        open_source(make_config(source=source, root=str(tmp_path / source), label="folder"))
        for source in ("folder", "tar", "parquet")
    )
    assert tar.examples() == folder.examples()
    assert ids(parquet) == ids(folder) == sorted(NAMES)
    for name in NAMES:
        assert tar.read(name).tobytes() == parquet.read(name).tobytes() == folder.read(name).tobytes()
        assert tar.label(name) == parquet.label(name) == name[:3]


def test_examples_do_not_depend_on_shard_boundaries_order_and_folders(tmp_path: Path, make_config: MakeConfig) -> None:
    write_tar(tmp_path / "whole/all.tar", IMAGES.items())
    for number in range(4):
        write_tar(tmp_path / f"parts/deep/{number}.tar", [(name, IMAGES[name]) for name in NAMES[number::4]])
    whole, parts = (open_source(make_config(source="tar", root=str(tmp_path / root))) for root in ("whole", "parts"))
    assert whole.examples() == parts.examples()
    assert [whole.read(name).tobytes() for name in NAMES] == [parts.read(name).tobytes() for name in NAMES]


def test_reading_a_tar_survives_a_pickle_and_sees_a_tar_written_anew(tmp_path: Path, make_config: MakeConfig) -> None:
    path = write_tar(tmp_path / "a.tar", [("a.png", png(1))])
    source: Source = pickle.loads(pickle.dumps(open_source(make_config(source="tar"))))
    before = source.read("a.png").tobytes()
    path.unlink()
    write_tar(path, [("first.png", png(3)), ("a.png", png(2))])
    assert ids(source) == ["a.png", "first.png"]
    assert source.read("a.png").tobytes() != before


def test_labels_lie_beside_the_image_in_a_tar(tmp_path: Path, make_config: MakeConfig) -> None:
    members = [
        ("a.cls", b"7\n"),
        ("a.png", png(0)),
        ("b.seg.png", png(1)),
        ("b.json", b'{"label": "tabby", "width": 3}'),
        ("c.png", png(2)),
        ("c.json", b"not json"),
        ("d.png", png(3)),
    ]
    write_tar(tmp_path / "x.tar", members)
    source = open_source(make_config(source="tar", label="beside"))
    labels = {example.example_id: example.label for example in source.examples()}
    assert labels == {"a.png": "7", "b.seg.png": "tabby", "c.png": "", "d.png": ""}
    assert source.label("a.png") == "7"


@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
def test_a_torn_tar_gives_what_came_before_the_tear_and_one_failure(
    share: float, tmp_path: Path, make_config: MakeConfig
) -> None:
    path = write_tar(tmp_path / "shards/torn.tar", IMAGES.items())
    whole = path.read_bytes()
    end = whole.index(IMAGES[NAMES[-1]]) + len(IMAGES[NAMES[-1]])
    path.write_bytes(whole[: int(end * share)])
    before = [name for name in NAMES if whole.index(IMAGES[name]) + len(IMAGES[name]) <= int(end * share)]
    source = open_source(make_config(source="tar", root=str(tmp_path / "shards")))
    assert 0 < len(before) < len(NAMES)
    assert ids(source) == [*sorted(before), "torn.tar"]
    for name in before:
        assert source.read(name).size == (20, 12)
    with pytest.raises(UnreadableImageError, match=r"torn\.tar.*the tar is torn"):
        source.read("torn.tar")


@pytest.mark.parametrize("content", [b"", b"not a tar at all" * 100])
def test_a_file_that_is_not_a_tar_is_one_failure_beside_the_others(
    content: bytes, tmp_path: Path, make_config: MakeConfig
) -> None:
    write_tar(tmp_path / "good.tar", [("a.png", png(0))])
    (tmp_path / "bad.tar").write_bytes(content)
    source = open_source(make_config(source="tar"))
    assert ids(source) == ["a.png", "bad.tar"]
    with pytest.raises(UnreadableImageError, match="torn, or not a tar"):
        source.read("bad.tar")


def test_a_member_cannot_escape(tmp_path: Path, make_config: MakeConfig) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(9))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name in ("../secret.png", "/etc/a.png", "ok/../../b.png", "./plain.png"):
            info = tarfile.TarInfo(name)
            info.size = len(png(0))
            tar.addfile(info, io.BytesIO(png(0)))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            link = tarfile.TarInfo(f"link{kind.decode()}.png")
            link.type, link.linkname = kind, str(secret)
            tar.addfile(link)
    source = open_source(make_config(source="tar"))
    readable = []
    for name in ids(source):
        try:
            source.read(name)
            readable.append(name)
        except UnreadableImageError:
            pass
    assert readable == ["plain.png"]
    assert len(ids(source)) == 6
    for name in (str(secret), "secret.png", "x.tar", "", "plain.png/"):
        with pytest.raises(UnreadableImageError):
            source.read(name)


@pytest.mark.parametrize("name", ["e\u0301 画像.png", "new\nline.png", "<script>'\".png", "x" * 300 + ".png"])
def test_odd_member_names_are_kept(name: str, tmp_path: Path, make_config: MakeConfig) -> None:
    write_tar(tmp_path / "x.tar", [(name, png(0))])
    source = open_source(make_config(source="tar"))
    assert ids(source) == [name]
    assert source.read(name).size == (20, 12)


def test_names_in_two_shards_need_the_shards_name(tmp_path: Path, make_config: MakeConfig) -> None:
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", [("000.png", png(number))])
        rows = [{"image": {"bytes": png(number), "path": "000.png"}}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{number}.parquet")
    for source in ("tar", "parquet"):
        with pytest.raises(
            DatasetError, match=rf"'000\.png', in '0\.{source}' and '1\.{source}'; .*dataset\.ids=shard"
        ):
            open_source(make_config(source=source))
        named = open_source(make_config(source=source, ids="shard"))
        assert ids(named) == [f"0.{source}/000.png", f"1.{source}/000.png"]
        first, second = (named.read(name).tobytes() for name in ids(named))
        assert first != second


def test_a_compressed_tar_and_a_root_without_shards_are_refused_with_the_fix(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    with pytest.raises(DatasetError, match=r"holds no \.tar files; set dataset\.root"):
        open_source(make_config(source="tar"))
    (tmp_path / "a.tar.gz").touch()
    with pytest.raises(DatasetError, match=r"'a\.tar\.gz' is compressed.*unpack it"):
        open_source(make_config(source="tar"))
    with pytest.raises(DatasetError, match="does not exist"):
        open_source(make_config(source="tar", root=str(tmp_path / "absent")))
    write_tar(tmp_path / "a.tar", [("notes.txt", b"")])
    with pytest.raises(DatasetError, match="hold no images"):
        open_source(make_config(source="tar"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{tmp}", ["a/000.tar", "a/001.tar", "a/010.tar", "b/000.tar", "b/c/000.tar"]),
        ("{tmp}/a", ["000.tar", "001.tar", "010.tar"]),
        ("{tmp}/a/001.tar", ["001.tar"]),
        ("{tmp}/a/{{000..001}}.tar", ["000.tar", "001.tar"]),
        ("{tmp}/{{a,b}}/000.tar", ["a/000.tar", "b/000.tar"]),
        ("{tmp}/*/0?0.tar", ["a/000.tar", "a/010.tar", "b/000.tar"]),
        ("{tmp}/**/000.tar", ["a/000.tar", "b/000.tar", "b/c/000.tar"]),
    ],
)
def test_a_root_may_be_a_folder_a_file_or_a_pattern(pattern: str, expected: list[str], tmp_path: Path) -> None:
    for name in ("a/000.tar", "a/001.tar", "a/010.tar", "b/000.tar", "b/c/000.tar", ".hidden/000.tar", "a/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [file.name for file in find_files(pattern.format(tmp=tmp_path), (".tar",))] == expected


def test_signs_of_globs_in_the_folders_before_a_pattern_are_plain_text(tmp_path: Path) -> None:
    folder = tmp_path / "run [v2]!"
    for name in ("train-0.tar", "train-1.tar", "other.tar"):
        folder.mkdir(exist_ok=True)
        (folder / name).touch()
    assert [file.name for file in find_files(f"{folder}/train-*.tar", (".tar",))] == ["train-0.tar", "train-1.tar"]


def test_a_shard_that_a_list_names_and_is_not_there_is_an_error(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [])
    with pytest.raises(DatasetError, match=r"1\.tar' does not exist"):
        find_files(f"{tmp_path}/{{0..1}}.tar", (".tar",))


def test_parquet_labels_are_class_names_from_the_metadata(tmp_path: Path, make_config: MakeConfig) -> None:
    write_parquet(tmp_path / "a.parquet", NAMES, row_group_size=5)
    source = open_source(make_config(source="parquet", label="column", label_column="label"))
    assert {example.label for example in source.examples()} == {"a cat", "a dog"}
    assert source.label(NAMES[-1]) == "a dog"


def test_parquet_without_names_goes_by_content_and_rows_may_be_empty(tmp_path: Path, make_config: MakeConfig) -> None:
    table = pa.table({"picture": pa.array([png(0), png(1), png(0), None], pa.binary()), "key": ["a", "b", "c", "d"]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"dataset\.name_column, or dataset\.ids=content"):
        open_source(make_config(source="parquet", image_column="picture"))
    by_content = open_source(make_config(source="parquet", image_column="picture", ids="content"))
    hashes = [hashlib.sha256(data).hexdigest() for data in (png(0), png(1))]
    assert ids(by_content) == sorted([*hashes, "a.parquet/row 3"])
    named = open_source(make_config(source="parquet", image_column="picture", name_column="key"))
    assert ids(named) == ["a", "b", "c", "d"]
    assert named.read("b").tobytes() == by_content.read(hashlib.sha256(png(1)).hexdigest()).tobytes()
    with pytest.raises(UnreadableImageError, match="no image"):
        named.read("d")


def test_parquet_that_does_not_fit_is_named_with_its_columns(tmp_path: Path, make_config: MakeConfig) -> None:
    write_parquet(tmp_path / "a.parquet", NAMES[:2])
    with pytest.raises(DatasetError, match=r"no column 'img'; it has image, label"):
        open_source(make_config(source="parquet", image_column="img"))
    with pytest.raises(DatasetError, match=r"column 'label' of 'a\.parquet' is int64; images are binary"):
        open_source(make_config(source="parquet", image_column="label"))
    twice = pa.Table.from_arrays([pa.array([b""]), pa.array([1]), pa.array([2])], names=["image", "label", "label"])
    (tmp_path / "twice").mkdir()
    pq.write_table(twice, tmp_path / "twice/a.parquet")
    with pytest.raises(DatasetError, match=r"'a\.parquet' .* has 2 columns 'label'; rename them"):
        open_source(make_config(source="parquet", root=str(tmp_path / "twice"), label="column", label_column="label"))
    (tmp_path / "b.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DatasetError, match=r"can't read 'b\.parquet'"):
        open_source(make_config(source="parquet"))


@pytest.mark.parametrize("source", ["folder", "tar", "parquet"])
def test_subsets_by_glob_and_by_list(source: str, tmp_path: Path, make_config: MakeConfig) -> None:
    root = tmp_path / "data"
    write_folder(root)
    write_tar(root / "a.tar", IMAGES.items())
    write_parquet(root / "a.parquet", NAMES)
    listed = tmp_path / "split.txt"
    listed.write_text("\n".join([NAMES[7], NAMES[0], "absent.png"]))

    def chosen(**changes: object) -> list[str]:
        return ids(open_source(make_config(source=source, root=str(root), **changes)))

    assert chosen(include=("dog/*",)) == NAMES[6:]
    assert chosen(exclude=("dog/*", "*/00*")) == NAMES[1:6]
    assert chosen(include=("cat/*",), exclude=("*03*",), limit=2)
    assert chosen(only=str(listed)) == [NAMES[0], NAMES[7]]
    assert chosen(only=str(listed), views=2) == [f"{name}#{view}" for name in (NAMES[0], NAMES[7]) for view in (0, 1)]
    with pytest.raises(DatasetError, match=r"passes dataset\.include"):
        chosen(include=("bird/*",))
    with pytest.raises(DatasetError, match=r"dataset\.only='.*absent\.txt' can't be read"):
        chosen(only=str(tmp_path / "absent.txt"))


def test_labels_and_ids_that_a_source_does_not_have_are_refused(make_config: MakeConfig) -> None:
    with pytest.raises(
        ValueError, match="label='beside' does not fit source='folder'; give one of none, folder, folders, name"
    ):
        make_config(label="beside")
    with pytest.raises(ValueError, match="needs label_column"):
        make_config(source="parquet", label="column")
    with pytest.raises(ValueError, match="ids='content' is for Parquet"):
        make_config(source="tar", ids="content")


def test_a_password_in_the_root_is_refused_and_not_repeated(make_config: MakeConfig) -> None:
    with pytest.raises(DatasetError, match="by the environment") as caught:
        open_source(make_config(root="s3://AKIAKEY:hush@bucket/images"))
    assert "hush" not in str(caught.value)
    assert "AKIAKEY" not in str(caught.value)


def test_of_a_name_that_comes_twice_in_one_tar_the_last_counts(tmp_path: Path, make_config: MakeConfig) -> None:
    write_tar(tmp_path / "twice.tar", [("a.png", png(1)), ("./a.png", png(2))])
    write_tar(tmp_path / "once/once.tar", [("a.png", png(2))])
    twice, once = (open_source(make_config(source="tar", root=str(tmp_path / root))) for root in ("twice.tar", "once"))
    assert twice.examples() == once.examples()
    assert twice.read("a.png").tobytes() == once.read("a.png").tobytes()


def test_damage_anywhere_in_a_tar_is_reported_and_costs_no_image_before_it(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    path = write_tar(tmp_path / "x/x.tar", IMAGES.items())
    whole = path.read_bytes()
    header = whole.index(NAMES[5].encode())
    for at, junk in ((0, b"\xff" * 8), (124, b"\x80" + b"\xff" * 11), (148, b"junkjunk"), (124, b"zzzzzzzzzzz")):
        path.write_bytes(whole[: header + at] + junk + whole[header + at + len(junk) :])
        source = open_source(make_config(source="tar", root=str(path.parent)))
        assert [example.example_id for example in source.examples()] == [*NAMES[:5], "x.tar"]
        assert source.read(NAMES[4]).size == (20, 12)
