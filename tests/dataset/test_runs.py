"""Datasets in whole runs of the tiny network: what is said, refused and left out; and packing changes nothing."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import INLINE, TINY, quietly
from example_shards import write_tar
from PIL import Image

from network_atlas.cli.main import main
from network_atlas.config.schema import RunConfig
from network_atlas.errors import ConfigError, TasksFailedError
from network_atlas.models.load import class_names
from network_atlas.run.prepare import prepare
from network_atlas.run.status import read_status

Tiny = Callable[..., RunConfig]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def odd_images() -> dict[str, bytes]:
    """Return images of many kinds, two of them unreadable, in folders that are their classes; some names have dots."""
    generator = np.random.default_rng(0)
    noise = [Image.fromarray(generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for _ in range(12)]
    turned = Image.Exif()
    turned[0x0112] = 6
    wide = Image.fromarray(generator.integers(0, 65536, (20, 24), dtype=np.uint16))
    broken = Image.fromarray(np.full((20, 24), np.nan, np.float32))
    return {
        "cat/a.0.jpg": encoded(noise[0], "JPEG", exif=turned.tobytes()),
        "cat/a.1.jpe": encoded(noise[1].convert("CMYK"), "JPEG"),
        "cat/a.2.png": encoded(wide, "PNG"),
        "cat/v1.0 (final).PNG": encoded(noise[2].convert("LA"), "PNG"),
        "cat/b.ppm": encoded(noise[3], "PPM"),
        "dog/a.0.gif": encoded(noise[4], "GIF", save_all=True, append_images=noise[5:7]),
        "dog/a.1.tif": encoded(noise[7].convert("YCbCr"), "TIFF"),
        "dog/a.2.webp": encoded(noise[8], "WEBP", lossless=True),
        "dog/b.bmp": encoded(noise[9].quantize(16), "BMP"),
        "dog/c.jp2": encoded(noise[10], "JPEG2000"),
        "dog/broken.tiff": encoded(broken, "TIFF"),
        "dog/cut.png": encoded(noise[11], "PNG")[:200],
    }


def write_in_every_way(root: Path, images: dict[str, bytes]) -> dict[str, tuple[str, ...]]:
    """Write images as a folder, as tars and as Parquet files; return the overrides that name each."""
    names = sorted(images)
    classes = ["cat", "dog"]
    for name in names:
        (root / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "folder" / name).write_bytes(images[name])
    metadata = {"huggingface": json.dumps({"info": {"features": {"y": {"names": classes, "_type": "ClassLabel"}}}})}
    (root / "parquet").mkdir()
    for number in range(3):
        part = names[number::3][::-1]
        members = [(f"{name.rpartition('.')[0]}.cls", name.partition("/")[0].encode()) for name in part]
        write_tar(root / f"tar/{number}.tar", [*members, *((name, images[name]) for name in part)])
        rows = [
            {"image": {"bytes": images[name], "path": name}, "y": classes.index(name.partition("/")[0])}
            for name in part
        ]
        table = pa.Table.from_pylist(rows).replace_schema_metadata(metadata)
        pq.write_table(table, root / f"parquet/{number}.parquet", row_group_size=2)
    return {
        "folder": ("dataset=folder", f"dataset.root={root}/folder", "dataset.label=folder"),
        "tar": ("dataset=tar", f"dataset.root={root}/tar", "dataset.label=beside"),
        "parquet": (
            "dataset=parquet",
            f"dataset.root={root}/parquet",
            "dataset.label=column",
            "dataset.label_column=y",
        ),
    }


def tables(root: Path) -> dict[str, list[dict[str, object]]]:
    """Return the rows of the atlas and of its statistics, images included."""
    paths = sorted(path for folder in ("atlas", "channel_stats") for path in (root / folder).iterdir())
    return {f"{path.parent.name}/{path.name}": pq.read_table(path).to_pylist() for path in paths}


def test_images_of_many_kinds_make_the_same_atlas_as_a_folder_as_tars_and_as_parquet(
    tiny: Tiny, tmp_path: Path
) -> None:
    ways = write_in_every_way(tmp_path / "data", odd_images())
    results = {way: quietly(tiny(*overrides, root=tmp_path / way)) for way, overrides in ways.items()}
    folder = tables(tmp_path / "folder")
    assert {row["count"] for rows in folder.values() for row in rows if "count" in row} == {10}
    labels = {example["label"] for rows in folder.values() for row in rows for example in row.get("examples", ())}
    assert labels == {"cat", "dog"}
    for way, result in results.items():
        assert tables(tmp_path / way) == folder
        assert result.unreadable == 2
        unreadable = dict(read_status(str(tmp_path / way)).unreadable)
        assert set(unreadable) == {"dog/broken.tiff", "dog/cut.png"}
        assert "not finite" in unreadable["dog/broken.tiff"]


def test_what_the_listing_leaves_out_is_said_by_plan_and_run_and_in_the_log(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, only = tmp_path / "images", tmp_path / "only.txt"
    shutil.copytree(images, folder)
    (folder / "photo.heic").write_bytes(b"x")
    only.write_text("\n".join(["absent.png", *(path.name for path in sorted(images.iterdir())[:6])]))
    overrides = [
        *TINY,
        *INLINE,
        f'dataset.root="{folder}"',
        f'dataset.only="{only}"',
        f'store.root="{tmp_path / "atlas"}"',
    ]
    overrides.append("sweep.select.0.include=[conv1]")
    notices = [
        "skipped 1 file of another kind: 1 .heic ('photo.heic')",
        "dataset.only: 1 of 7 ids matches no image, 'absent.png'",
    ]
    assert main(["plan", *overrides]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(notice in said for notice in notices)
    assert main(["plan", *overrides, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset_notices"] == notices
    assert main(["run", *overrides]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert all(notice in said for notice in notices)
    (log,) = (tmp_path / "atlas/logs").iterdir()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["message"] for line in lines if line["event"] == "dataset"] == notices


@pytest.mark.parametrize("link", [False, True])
def test_a_root_inside_the_dataset_is_refused_also_behind_a_link(
    link: bool, tiny: Tiny, images: Path, tmp_path: Path
) -> None:
    folder, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    shutil.copytree(images, folder)
    elsewhere.mkdir()
    if link:
        (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    root = elsewhere / "atlas" if link else folder / "atlas"
    with pytest.raises(ConfigError, match=r"lies in dataset\.root=.*Give a store\.root outside"):
        prepare(tiny(f'dataset.root="{folder}"', root=root))
    assert prepare(tiny(f'dataset.root="{folder}"', root=tmp_path / "outside")).examples


def test_names_of_classes_may_begin_with_a_mark(tiny: Tiny, tmp_path: Path) -> None:
    names = tmp_path / "classes.txt"
    names.write_bytes(b"\xef\xbb\xbfcat\r\ndog\r\nfox\r\nowl\r\nbee\r\n")
    assert class_names(tiny(f"model.classes={names}").model) == ("cat", "dog", "fox", "owl", "bee")


def test_an_image_that_breaks_after_the_scan_fails_the_table_with_the_reason_and_leaves_no_gap(
    tiny: Tiny, images: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    config = tiny(f'dataset.root="{folder}"', "sweep.select.0.include=[conv1]", "assemble.crop_px=16")
    quietly(config)
    whole = tables(tmp_path / "atlas")
    (path,) = (tmp_path / "atlas/atlas").iterdir()
    shown = whole[f"atlas/{path.name}"][0]["examples"][0]["example_id"]
    content = (folder / shown).read_bytes()
    (folder / shown).write_bytes(bytes(len(content)))  # of the same size: the listing can't tell
    next((tmp_path / "atlas/tables/atlas").rglob("*.parquet")).unlink()  # the table is made again
    with pytest.raises(TasksFailedError) as caught:
        quietly(config)
    assert shown in str(caught.value)
    assert "restore it" in str(caught.value)
    (folder / shown).write_bytes(content)
    quietly(config)
    assert tables(tmp_path / "atlas") == whole
