"""What Pillow warns of is said once, by the file's name, in the log."""

from __future__ import annotations

import logging
import struct
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.dataset.pillow_warnings import named

MakeConfig = Callable[..., DatasetConfig]

# Warnings are errors in the tests; here they go where they go in a run.
pytestmark = pytest.mark.filterwarnings("always::UserWarning")

# A directory of tags that begins far behind the end of the file.
BROKEN_EXIF = b"Exif\0\0II*\0" + struct.pack("<I", 5000)


def write_broken(path: Path, value: int = 0) -> None:
    Image.new("RGB", (8, 8), (value, 0, 0)).save(path, exif=BROKEN_EXIF)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "network_atlas.dataset.pillow_warnings"]


def test_a_warning_is_said_once_for_each_file_and_by_its_name(
    tmp_path: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        write_broken(tmp_path / f"{number}.jpg")
    Image.new("RGB", (8, 8)).save(tmp_path / "good.jpg")
    source = open_source(make_config(views=2))
    with caplog.at_level(logging.WARNING):
        for example in source.examples() * 2:
            source.read(example.example_id)
    said = messages(caplog)
    assert [message.partition(":")[0] for message in said] == ["0.jpg", "1.jpg", "2.jpg"]
    assert all("Corrupt EXIF data" in message and "\n" not in message for message in said)
    assert "UserWarning" not in capfd.readouterr().err


def test_each_thread_names_its_own_file(
    tmp_path: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    names = [f"thread {number}.jpg" for number in range(8)]
    for name in names:
        write_broken(tmp_path / name)
    source = open_source(make_config())
    threads = [threading.Thread(target=source.read, args=(name,)) for name in names]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(message.partition(":")[0] for message in messages(caplog)) == names


def test_warnings_about_other_things_are_shown_as_before() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with named("a.jpg"):
            pass
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["something else"]
