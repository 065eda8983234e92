"""Every source on a real S3 endpoint (moto's server on this machine): the same ids and pixels as in a local folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from example_shards import IMAGES, NAMES, write_folder, write_parquet, write_tar
from faulty_proxy import FaultyProxy
from pyarrow import fs
from s3_server import ENVIRONMENT, needs_s3, s3_server, uri

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.errors import DatasetError, UnreadableImageError
from network_atlas.files import filesystems, retries
from network_atlas.files.filesystems import open_filesystem

MakeConfig = Callable[..., DatasetConfig]

pytestmark = needs_s3


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with s3_server() as port:
        yield port


@pytest.fixture(scope="module")
def bucket(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Fill a bucket, and return what makes a path in it a URI."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        local = tmp_path_factory.mktemp("bucket")
        write_folder(local / "folder")
        for number in range(3):
            write_tar(local / f"tar/train-{number:03d}.tar", [(name, IMAGES[name]) for name in NAMES[number::3]])
            write_parquet(local / f"parquet/{number}.parquet", NAMES[number::3], row_group_size=2)
        filesystem, _ = open_filesystem(uri(port, "atlas-images/"))
        filesystem.create_dir("atlas-images")
        fs.copy_files(str(local), "atlas-images", fs.LocalFileSystem(), filesystem)
        yield lambda path: uri(port, f"atlas-images/{path}")


def test_every_source_gives_the_same_examples_from_s3_as_from_a_folder(
    bucket: Callable[[str], str], make_config: MakeConfig, tmp_path: Path
) -> None:
    local = open_source(make_config(root=str(write_folder(tmp_path)), label="folder"))
    examples = local.examples()
    for source, path in (
        ("folder", "folder"),
        ("tar", "tar"),
        ("tar", "tar/train-{000..002}.tar"),
        ("tar", "tar/*.tar"),
        ("parquet", "parquet"),
    ):
        remote = open_source(make_config(source=source, root=bucket(path), label="folder"))
        examples_there = remote.examples()
        assert [(example.example_id, example.label) for example in examples_there] == [
            (example.example_id, example.label) for example in examples
        ]
        assert source == "parquet" or examples_there == examples
        for name in NAMES:
            assert remote.read(name).tobytes() == local.read(name).tobytes()
            assert remote.label(name) == local.label(name)


def test_what_a_remote_folder_leaves_out_is_counted_and_named(
    bucket: Callable[[str], str], make_config: MakeConfig
) -> None:
    listing = open_source(make_config(root=bucket(""))).listing()
    assert len(listing.examples) == len(NAMES)
    shards = "3 .parquet (such as 'parquet/0.parquet'), 3 .tar (such as 'tar/train-000.tar')"
    assert listing.notices == (f"skipped 6 files of other kinds: {shards}",)


def test_what_is_not_there_is_said_so(bucket: Callable[[str], str], make_config: MakeConfig) -> None:
    source = open_source(make_config(root=bucket("folder")))
    for name in ("../tar/train-000.tar", ""):
        with pytest.raises(UnreadableImageError):
            source.read(name)
    with pytest.raises(DatasetError, match=r"can't read 'absent\.png'") as caught:
        source.read("absent.png")
    assert not isinstance(caught.value, UnreadableImageError)
    with pytest.raises(DatasetError, match="does not exist"):
        open_source(make_config(root=bucket("nowhere")))
    with pytest.raises(DatasetError, match="holds no images"):
        open_source(make_config(root=bucket("tar")))


def test_a_server_that_is_gone_is_not_the_images_fault(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "RETRY_SECONDS", 0)
    dead = "s3://x/y?endpoint_override=127.0.0.1:9&scheme=http&request_timeout=1&connect_timeout=1"
    with pytest.raises(DatasetError, match=r"dataset\.root='s3://x/y.*can't") as caught:
        open_source(make_config(root=dead, source="folder"))
    assert not isinstance(caught.value, UnreadableImageError)
    assert isinstance(caught.value.__cause__, OSError | pa.ArrowException)


def test_every_source_is_read_through_a_network_that_fails(
    port: int, bucket: Callable[[str], str], make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(filesystems, "S3_TRIES", 1)
    local = open_source(make_config(root=str(write_folder(tmp_path)), label="folder"))
    ids = [example.example_id for example in local.examples()]
    with FaultyProxy(port) as proxy:
        proxy.spoil(0.3, "500", "503", "reset", "cut", seed=2)
        for source in ("folder", "tar", "parquet"):
            remote = open_source(
                make_config(source=source, root=uri(proxy.port, f"atlas-images/{source}"), label="folder")
            )
            assert [example.example_id for example in remote.examples()] == ids
            assert all(remote.read(name).tobytes() == local.read(name).tobytes() for name in NAMES)
        assert sum(1 for _, _, fault in proxy.requests if fault) > 10
