from __future__ import annotations

import errno
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import Source, open_source
from network_atlas.dataset.folder import escape, unescape
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files import retries

MakeConfig = Callable[..., DatasetConfig]
Save = Callable[..., Path]

ODD_NAMES = [
    "with spaces.png",
    "quotes'\".png",
    "<script>alert(1)<",
    "ünï-côde 画像.png",
    "e\u0301-decomposed.png",
    "new\nline.png",
    "hash#1.png",
    "percent%20.png",
    "back\\slash.png",
    "replacement\ufffd and \ufffddc80.png",
]


def ids(source: Source) -> list[str]:
    return [example.example_id for example in source.examples()]


def test_ids_are_sorted_relative_posix_paths_of_images_at_any_depth(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    for name in ("b/c/deep.PNG", "b/a.jpeg", "z.webp", "A.TIF", "b/clip.gif"):
        save(tmp_path / name)
    for name in ("notes.txt", "b/noext", ".hidden.png", ".cache/x.png", "b/.DS_Store"):
        save(tmp_path / name)
    assert ids(open_source(make_config())) == ["A.TIF", "b/a.jpeg", "b/c/deep.PNG", "b/clip.gif", "z.webp"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_kept_and_read(name: str, tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    name = name if name.endswith(".png") else f"{name}.png"
    save(tmp_path / name)
    save(tmp_path / "plain.png")
    source = open_source(make_config())
    assert escape(name) in ids(source)
    assert name.replace("\ufffd", "") == escape(name).replace("\ufffdfffd", "")
    assert source.read(escape(name)).tobytes() == source.read("plain.png").tobytes()


def test_names_that_are_not_unicode_have_utf8_ids_that_lead_back(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    name = os.fsdecode(b"caf\xe9\x80.png")
    try:
        save(tmp_path / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes only Unicode names")
    (name,) = ids(open_source(make_config()))
    assert name == "caf\ufffddce9\ufffddc80.png"
    assert name.encode().decode() == name
    assert open_source(make_config()).read(name).size == (20, 12)


def test_escape_is_reversible() -> None:
    names = ["plain", "\ufffd", "\udc80", "\ufffddc80", "\ufffd\udc80\ufffd", "画像\udcff"]
    assert [unescape(escape(name)) for name in names] == names
    assert len({escape(name) for name in names}) == len(names)
    assert unescape("\ufffd002e\ufffd002f") == "\ufffd002e\ufffd002f"


def test_examples_do_not_depend_on_root_or_on_the_order_of_creation(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    names = ["a/1.png", "b/2.png", "a/3.png", "c.png"]
    for folder, order in (("here", names), ("else/where", names[::-1])):
        for name in order:
            save(tmp_path / folder / name, seed=names.index(name))
    os.utime(tmp_path / "here/c.png", (1, 1))
    here, there = (
        open_source(make_config(root=str(tmp_path / folder), views=3, label="folder"))
        for folder in ("here", "else/where")
    )
    assert here.examples() == there.examples()
    for example_id in ids(here):
        assert here.read(example_id).tobytes() == there.read(example_id).tobytes()


def test_limit_chooses_by_id_and_stays_when_files_are_added(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    for number in range(40):
        save(tmp_path / f"{number}.png", height=2, width=2)
    limited, everything = open_source(make_config(limit=10)), open_source(make_config())
    chosen = ids(limited)
    assert len(chosen) == 10
    assert chosen == sorted(chosen)
    assert chosen != ids(everything)[:10]
    assert set(ids(open_source(make_config(limit=5)))) < set(chosen)
    assert len(ids(open_source(make_config(limit=1000)))) == 40
    for number in range(40, 44):
        save(tmp_path / f"{number}.png", height=2, width=2)
    assert set(ids(limited)) & {f"{number}.png" for number in range(40)} <= set(chosen)


def test_version_changes_with_size_and_with_the_configured_version_only(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    path = save(tmp_path / "a.png")
    (first,) = open_source(make_config()).examples()
    os.utime(path, (1, 1))
    assert open_source(make_config()).examples() == (first,)
    assert open_source(make_config(seed=5)).examples() == (first,)
    assert str(tmp_path) not in first.version
    (other,) = open_source(make_config(version="2")).examples()
    assert other.version != first.version
    save(path, height=30)
    (larger,) = open_source(make_config()).examples()
    assert larger.version != first.version


def test_the_seed_versions_crops_and_not_whole_images(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    save(tmp_path / "a.png")
    before, after = (open_source(make_config(views=2, seed=seed)).examples() for seed in (0, 1))
    assert before[0] == after[0]
    assert before[1].version != after[1].version


def test_views_have_numbered_ids_and_differ(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    save(tmp_path / "x#1.png", height=60, width=90)
    source = open_source(make_config(views=4))
    assert ids(source) == [f"x#1.png#{view}" for view in range(4)]
    assert source.read("x#1.png#0").size == (90, 60)
    assert len({source.read(example_id).tobytes() for example_id in ids(source)}) == 4
    assert source.read("x#1.png#3").tobytes() == open_source(make_config(views=9)).read("x#1.png#3").tobytes()


@pytest.mark.parametrize(
    ("label", "labels"),
    [
        ("none", {"cat/deep/x_tabby_cat.png": "", "top_dog.png": "", "cat/y.png": ""}),
        ("folder", {"cat/deep/x_tabby_cat.png": "cat", "top_dog.png": "", "cat/y.png": "cat"}),
        ("name", {"cat/deep/x_tabby_cat.png": "tabby cat", "top_dog.png": "dog", "cat/y.png": ""}),
    ],
)
def test_labels(label: str, labels: dict[str, str], tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    for name in labels:
        save(tmp_path / name)
    source = open_source(make_config(label=label))
    assert {example.example_id: example.label for example in source.examples()} == labels
    assert {name: source.label(name) for name in labels} == labels
    assert open_source(make_config(label=label, views=2)).label("top_dog.png#1") == labels["top_dog.png"]


def test_reading_needs_no_listing_and_survives_a_pickle(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    save(tmp_path / "a.png")
    source: Source = pickle.loads(pickle.dumps(open_source(make_config())))
    image = source.read("a.png")
    assert (image.mode, image.size) == ("RGB", (20, 12))


def test_unreadable_images_are_listed_and_named_with_reason(
    tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    whole = save(tmp_path / "whole.png", height=60, width=60).read_bytes()
    (tmp_path / "zero.png").touch()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text <b>\n.jpg").write_text("not an image")
    (tmp_path / "png in disguise.jpg").write_bytes(whole)
    source = open_source(make_config())
    assert len(ids(source)) == 5
    assert source.read("png in disguise.jpg").size == (60, 60)
    for name, reason in {"zero.png": "empty", "cut.png": "truncated", "text <b>\n.jpg": "known format"}.items():
        with pytest.raises(UnreadableImageError) as caught:
            source.read(name)
        assert repr(name) in str(caught.value)
        assert reason in str(caught.value)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is not None
    with pytest.raises(UnreadableImageError, match=r"dataset\.max_pixels=100"):
        open_source(make_config(max_pixels=100)).read("whole.png")


@pytest.mark.parametrize(
    "example_id",
    ["../secret.png", "a/../../secret.png", "{outside}", "./a.png", "a//b.png", "", "a\0.png"],
)
def test_an_id_cannot_lead_out_of_the_root(
    example_id: str, tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    secret = save(tmp_path / "secret.png")
    save(tmp_path / "root/a.png")
    source = open_source(make_config(root=str(tmp_path / "root")))
    with pytest.raises(UnreadableImageError):
        source.read(example_id.format(outside=secret))


@pytest.mark.parametrize("example_id", ["a.png", "a.png#", "a.png#2", "a.png#-1", "a.png#01", "a.png#x", "#0"])
def test_an_id_with_a_view_that_is_not_there_is_refused(
    example_id: str, tmp_path: Path, make_config: MakeConfig, save: Save
) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match="cannot read example"):
        open_source(make_config(views=2)).read(example_id)


def test_links_are_followed_and_loops_end(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    outside = save(tmp_path / "outside/b/o.png").parent.parent
    root = tmp_path / "root"
    save(root / "cat/a.png")
    (root / "link.png").symlink_to(root / "cat/a.png")
    (root / "dog").symlink_to(outside, target_is_directory=True)
    (root / "cat/loop").symlink_to(root, target_is_directory=True)
    (outside / "b/self").symlink_to(outside / "b", target_is_directory=True)
    (root / "dead.png").symlink_to(root / "nowhere.png")
    (root / "me.png").symlink_to(root / "me.png")
    source = open_source(make_config(root=str(root)))
    assert ids(source) == ["cat/a.png", "dead.png", "dog/b/o.png", "link.png", "me.png"]
    assert np.array_equal(source.read("link.png"), source.read("cat/a.png"))
    assert source.read("dog/b/o.png").size == (20, 12)
    for name in ("dead.png", "me.png"):
        with pytest.raises(UnreadableImageError):
            source.read(name)


def test_a_missing_or_empty_root_is_named_with_the_fix(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    image = save(tmp_path / "file.png")
    empty = tmp_path / "em'pty"
    save(empty / "notes.txt")
    save(empty / ".hidden/a.png")
    for root, words in {
        str(tmp_path / "absent"): "does not exist",
        str(image): "is not a folder",
        str(empty): "holds no images",
        "": "dataset.root is empty",
    }.items():
        with pytest.raises(DatasetError) as caught:
            open_source(make_config(root=root))
        assert words in str(caught.value)
        assert "set dataset.root to a folder of images" in str(caught.value)
        assert not root or repr(root) in str(caught.value)
    with pytest.raises(DatasetError, match=r"skipped 1 file of another kind: 1 \.txt \('notes\.txt'\)"):
        open_source(make_config(root=str(empty)))


def test_a_folder_that_vanishes_is_a_dataset_error(tmp_path: Path, make_config: MakeConfig, save: Save) -> None:
    root = save(tmp_path / "root/a.png").parent
    source = open_source(make_config(root=str(root)))
    shutil.rmtree(root)
    with pytest.raises(DatasetError, match="cannot be listed"):
        source.examples()


@pytest.mark.parametrize("views", [1, 2])
def test_a_file_that_is_gone_or_may_not_be_read_is_not_an_unreadable_image(
    views: int, tmp_path: Path, make_config: MakeConfig, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png")
    gone = save(tmp_path / "gone.png")
    source = open_source(make_config(views=views))
    end = "#0" if views > 1 else ""
    gone.unlink()
    with pytest.raises(DatasetError, match=r"'gone\.png'.*no such file here.*dataset\.exclude") as caught:
        source.read(f"gone.png{end}")
    assert not isinstance(caught.value, UnreadableImageError)

    def refuse(*_: object) -> None:  # root may read everything, so that rights alone would not show it
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DatasetError, match=r"'a\.png'.*permission denied; give this user the right") as caught:
        source.read(f"a.png{end}")
    assert not isinstance(caught.value, UnreadableImageError)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file whose reading is an I/O error")
def test_an_image_on_a_disk_that_fails_for_a_moment_is_read_when_it_works_again(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "LONGEST_WAIT_SECONDS", 0.05)
    Image.new("RGB", (8, 8), (200, 10, 10)).save(tmp_path / "b.png")
    (tmp_path / "a.png").symlink_to("/proc/self/mem")
    source = open_source(make_config(root=str(tmp_path)))
    with monkeypatch.context() as hurried:
        hurried.setattr(retries, "RETRY_SECONDS", 0.1)
        with pytest.raises(OSError, match="Input/output error") as caught:
            source.read("a.png")
    assert "tried" in caught.value.__notes__[0]

    def repair() -> None:
        (tmp_path / "new").symlink_to(tmp_path / "b.png")
        (tmp_path / "new").replace(tmp_path / "a.png")

    repairing = threading.Timer(0.3, repair)
    repairing.start()
    assert source.read("a.png").tobytes() == source.read("b.png").tobytes()
    repairing.join()
