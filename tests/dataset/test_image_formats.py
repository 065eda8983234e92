"""Every suffix that is listed can be read, and every mode that Pillow writes and decodes has the right colours."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from network_atlas.config.dataset import DatasetConfig
from network_atlas.dataset import open_source
from network_atlas.dataset.decode import decode
from network_atlas.dataset.image_formats import FORMATS, SUFFIXES, is_image_name

MakeConfig = Callable[..., DatasetConfig]

WIDTH, HEIGHT = 32, 16  # what the smallest block of every codec divides
LOSSY = {"JPEG", "JPEG2000", "MPO", "AVIF", "WEBP"}
BLACK_AND_WHITE = {".bw", ".pgm", ".pbm"}
"""Suffixes of formats whose writer takes no colours."""


def picture() -> Image.Image:
    """Return an image with a dark red left half and a light blue right half."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (120, 20, 30))
    image.paste((150, 200, 250), (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def pixels(file: bytes | Path) -> np.ndarray:
    """Return the decoded pixels, (rows, columns, 3)."""
    return np.asarray(decode(file, max_pixels=10_000)).astype(int)


def psd(image: Image.Image) -> bytes:
    """Return an uncompressed Photoshop file, which Pillow reads and does not write."""
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, image.height, image.width, 8, 3)
    planes = np.asarray(image).transpose(2, 0, 1).tobytes()
    return header + struct.pack(">III", 0, 0, 0) + struct.pack(">H", 0) + planes


def written(suffix: str) -> tuple[bytes, Image.Image]:
    """Return a file for a suffix, and the image that it shows."""
    kind = Image.registered_extensions()[suffix]
    image = picture()
    if suffix == ".pbm":
        image = image.convert("L").point(lambda value: 255 * (value > 100)).convert("1")
    elif suffix in (".pgm", ".bw"):
        image = image.convert("L")
    elif suffix == ".pfm":
        image = Image.fromarray(np.asarray(image.convert("L"), np.float32) / 255)
        return encode(image, kind), picture().convert("L")
    if kind == "PSD":
        return psd(image), image
    return encode(image, kind, **options_of(kind)), image


def options_of(kind: str) -> dict[str, object]:
    """Return what keeps size and colours when Pillow writes a format."""
    return {"sizes": [(WIDTH, HEIGHT)]} if kind == "ICO" else {"quality": 95} if kind in LOSSY else {}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("upper", [False, True])
def test_a_file_of_every_suffix_is_listed_and_read(
    suffix: str, upper: bool, tmp_path: Path, make_config: MakeConfig
) -> None:
    name = f"a{suffix.upper() if upper else suffix}"
    file, image = written(suffix)
    (tmp_path / name).write_bytes(file)
    listing = open_source(make_config()).listing()
    assert [example.example_id for example in listing.examples] == [name]
    assert listing.notices == ()
    shown = np.asarray(open_source(make_config()).read(name)).astype(int)
    tolerance = 12 if Image.registered_extensions()[suffix] in LOSSY else 0
    # Half of the image on either side of the edge, where a lossy codec smears.
    for columns in (slice(0, 12), slice(20, 32)):
        expected = np.asarray(image.convert("RGB")).astype(int)[:, columns]
        assert np.abs(shown[:, columns] - expected).max() <= tolerance


def test_the_list_covers_what_people_keep_photos_in_and_nothing_that_is_not_a_picture() -> None:
    for name in (".jpe", ".JFIF", ".ppm", ".pgm", ".jp2", ".j2k", ".tiff", ".WebP", ".mpo", ".apng", ".tga", ".bmp"):
        assert is_image_name("a" + name)
    for name in (".heic", ".eps", ".ps", ".pdf", ".h5", ".mpg", ".wmf", ".txt", "jpg"):
        assert not is_image_name("a" + name)
    assert {"BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"} <= set(FORMATS)


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "I;16B", "F"]


def in_mode(mode: str) -> tuple[Image.Image, np.ndarray]:
    """Return the picture in a mode, and its colours as 8-bit RGB, (rows, columns, 3)."""
    image, grey = picture(), np.asarray(picture().convert("L"))
    if mode in ("I", "I;16", "I;16B"):
        wide = grey.astype({"I": np.int32, "I;16": "<u2", "I;16B": ">u2"}[mode]) * 257
        changed = Image.fromarray(wide) if mode != "I;16B" else Image.frombytes(mode, image.size, wide.tobytes())
        return changed, np.stack([grey] * 3, axis=-1)
    if mode == "F":
        return Image.fromarray(grey.astype(np.float32) / 255), np.stack([grey] * 3, axis=-1)
    if mode in ("1", "L", "LA"):
        changed = image.convert("L").convert(mode, dither=Image.Dither.NONE)
        return changed, np.asarray(changed.convert("L").convert("RGB"))
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        changed = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
        assert isinstance(changed, Image.Image)
        return changed, np.asarray(image)
    if mode in ("P", "PA"):  # a palette of its own; `convert` would dither into fixed colours
        image = image.quantize(4)
    return image.convert(mode), np.asarray(picture())


def held() -> list[tuple[str, str]]:
    """Return each format with each mode that Pillow writes to it and that keeps its values."""
    pairs = []
    for kind in (kind for kind in FORMATS if kind in Image.SAVE):
        for mode in MODES:
            if kind in ("AVIF", "WEBP", "GIF") and (mode.startswith("I") or mode == "F"):
                continue  # Pillow cuts values off at 255 while it writes them
            try:
                encode(in_mode(mode)[0], kind, **options_of(kind))
            except (OSError, ValueError, KeyError, RuntimeError):
                continue
            pairs.append((kind, mode))
    return pairs


HELD = held()


def test_every_mode_is_held_by_some_format_except_one_that_only_memory_has() -> None:
    assert set(MODES) - {mode for _, mode in HELD} <= {"HSV"}
    assert len(HELD) > 50


@pytest.mark.parametrize(("kind", "mode"), HELD)
def test_every_mode_that_a_format_holds_has_the_right_colours(kind: str, mode: str) -> None:
    image, expected = in_mode(mode)
    file = encode(image, kind, **options_of(kind))
    tolerance = 14 if kind in LOSSY else 3 if mode in ("LAB", "HSV", "YCbCr") else 1
    shown = pixels(file)
    for columns in (slice(0, 12), slice(20, 32)):
        assert np.abs(shown[:, columns] - expected.astype(int)[:, columns]).max() <= tolerance


def with_tags(image: Image.Image, **tags: int) -> bytes:
    """Return a little-endian TIFF in which some 16-bit tags (`tag_262=0`) have other values."""
    file = bytearray(encode(image, "TIFF"))
    (start,) = struct.unpack_from("<I", file, 4)
    for number in range(struct.unpack_from("<H", file, start)[0]):
        entry = start + 2 + 12 * number
        value = tags.get(f"tag_{struct.unpack_from('<H', file, entry)[0]}")
        if value is not None:
            struct.pack_into("<H", file, entry + 8, value)
    return bytes(file)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "F"])
def test_a_tiff_in_which_zero_is_white_is_turned_round(mode: str) -> None:
    image, expected = in_mode(mode)
    file = with_tags(image, tag_262=0)
    assert np.abs(pixels(file) - (255 - expected.astype(int))).max() <= 1


def test_twelve_bits_are_scaled() -> None:
    # Two values in three bytes: 0, 819 (a fifth), 4095, 2048.
    packed = bytes.fromhex("000333FFF800")
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 6}.items():
        tags[tag] = value
    stream = io.BytesIO()
    # `tobytes` moves the offset of the pixels (tag 273) to the end of the tags.
    stream.write(b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8) + packed)
    assert pixels(stream.getvalue())[0, :, 0].tolist() == [0, 51, 255, 128]


def test_sixteen_bit_grey_with_a_transparent_value_is_white_there() -> None:
    grey = Image.fromarray(np.array([[0, 25700, 65535]], np.uint16))
    assert pixels(encode(grey, "PNG", transparency=25700))[0, :, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once_in_every_format(kind: str, orientation: int) -> None:
    if kind not in FORMATS:
        pytest.skip(f"this Pillow reads no {kind}")
    corners = Image.new("RGB", (WIDTH, HEIGHT), "white")
    corners.paste((0, 0, 0), (0, 0, WIDTH // 2, HEIGHT // 2))  # where the file begins
    exif = Image.Exif()
    exif[0x0112] = orientation
    shown = pixels(encode(corners, kind, exif=exif.tobytes(), **options_of(kind)))
    turned = orientation > 4
    assert shown.shape == ((WIDTH, HEIGHT, 3) if turned else (HEIGHT, WIDTH, 3))
    rows, columns = shown.shape[0] // 4, shown.shape[1] // 4
    dark = {
        (top, left): shown[top * 3 * rows or rows, left * 3 * columns or columns, 0] < 100
        for top in (0, 1)
        for left in (0, 1)
    }
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[orientation]
    assert [at for at, is_dark in dark.items() if is_dark] == [corner]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_the_first_frame_counts_also_where_it_is_transparent(kind: str) -> None:
    if kind not in FORMATS:
        pytest.skip(f"this Pillow reads no {kind}")
    first = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 0))
    first.paste((120, 20, 30, 255), (0, 0, WIDTH // 2, HEIGHT))
    others = [Image.new("RGBA", (WIDTH, HEIGHT), (0, 200, 0, 255))]
    file = bytearray(encode(first, kind, save_all=True, append_images=others))
    if kind == "WEBP":
        file[20] |= 0x10  # "has transparency", which Pillow's writer of animations leaves out
    shown = pixels(bytes(file))
    assert np.abs(shown[4, 4] - (120, 20, 30)).max() <= 12
    assert shown[4, 28].min() >= 250
