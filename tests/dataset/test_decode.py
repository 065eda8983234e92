from __future__ import annotations

import errno
import io
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from network_atlas.dataset.decode import decode, pixel_limit
from network_atlas.dataset.image_formats import FORMATS
from network_atlas.errors import UnreadableImageError

MAX_PIXELS = 1_000_000
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def pixels_of(file: bytes | Path) -> np.ndarray:
    image = decode(file, max_pixels=MAX_PIXELS)
    assert image.mode == "RGB"
    return np.asarray(image)


def reason(file: bytes | Path, max_pixels: int = MAX_PIXELS) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        decode(file, max_pixels=max_pixels)
    return str(caught.value)


def png_header(height: int, width: int) -> bytes:
    """Return a PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    )


def noise(height: int = 40, width: int = 60) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000"])
def test_every_lossless_format_gives_back_its_pixels(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"irreversible": False} if kind == "JPEG2000" else {}
    assert kind in FORMATS
    assert np.array_equal(pixels_of(encode(noise(), kind, **options)), np.asarray(noise()))


def test_path_and_bytes_agree_and_the_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encode(noise()))
    assert np.array_equal(pixels_of(path), pixels_of(path.read_bytes()))


def test_grey_becomes_three_equal_channels() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(pixels_of(encode(Image.fromarray(grey))), np.stack([grey] * 3, axis=-1))
    assert pixels_of(encode(Image.new("1", (2, 3), 1))).min() == 255


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_sixteen_bits_are_scaled_and_not_clipped(kind: str, order: str) -> None:
    grey = np.array([[0, 257, 25700, 65535]], dtype=order)
    mode = "I;16B" if order == ">u2" else "I;16"
    file = encode(Image.frombytes(mode, (4, 1), grey.tobytes()), kind)
    assert pixels_of(file)[0, :, 1].tolist() == [0, 1, 100, 255]


def test_thirty_two_bits_and_floats_are_scaled() -> None:
    as_16_bits = Image.fromarray(np.array([[0, 25700, 65535]], dtype=np.int32))
    larger = Image.fromarray(np.array([[-1000, 99_000, 199_000]], dtype=np.int32))
    floats = Image.fromarray(np.array([[0.0, 0.2, 1.0]], dtype=np.float32))
    assert pixels_of(encode(as_16_bits, "TIFF"))[0, :, 0].tolist() == [0, 100, 255]
    assert pixels_of(encode(larger, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    assert pixels_of(encode(floats, "TIFF"))[0, :, 0].tolist() == [0, 51, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_a_value_that_is_not_finite_makes_an_image_unreadable(kind: str, value: float) -> None:
    file = encode(Image.fromarray(np.array([[0.2, 0.5, value]], dtype=np.float32)), kind)
    assert reason(file) == "1 of 3 pixels is not finite (NaN or infinity)"


def test_alpha_is_laid_over_white() -> None:
    image = Image.new("RGBA", (3, 1))
    for column, alpha in enumerate((0, 128, 255)):
        image.putpixel((column, 0), (255, 0, 0, alpha))
    assert pixels_of(encode(image))[0].tolist() == [[255, 255, 255], [255, 127, 127], [255, 0, 0]]
    assert pixels_of(encode(Image.new("LA", (1, 1), (0, 0))))[0, 0].tolist() == [255, 255, 255]


def test_palette_with_transparency_is_laid_over_white() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([*BLACK, *RED, 0, 0, 255])
    image.putdata([0, 1, 2])
    for transparency in (0, bytes([0, 255, 255])):
        assert pixels_of(encode(image, transparency=transparency))[0].tolist() == [[*WHITE], [*RED], [0, 0, 255]]
    assert pixels_of(encode(image))[0].tolist() == [[*BLACK], [*RED], [0, 0, 255]]


@pytest.mark.parametrize(("mode", "colour"), [("1", 0), ("L", 0), ("RGB", BLACK)])
def test_a_single_transparent_colour_becomes_white(mode: str, colour: object) -> None:
    file = encode(Image.new(mode, (2, 2), colour), transparency=colour)
    assert pixels_of(file).min() == 255


def test_cmyk_jpeg_keeps_its_colours() -> None:
    for colour in (WHITE, BLACK, RED):
        file = encode(Image.new("RGB", (16, 16), colour).convert("CMYK"), "JPEG", quality=95)
        assert np.abs(pixels_of(file).astype(int) - colour).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.asarray(noise())
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encode(Image.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes())
    assert np.array_equal(pixels_of(file), upright)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, as in a real run
@pytest.mark.parametrize("exif", [b"MM\0*\0\0", b"nonsense", b"II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_broken_exif_does_not_hide_the_image(exif: bytes) -> None:
    assert pixels_of(encode(noise(), "JPEG", exif=b"Exif\0\0" + exif)).shape == (40, 60, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLACK, WHITE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    file = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert pixels_of(file)[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_a_truncated_file_is_unreadable(kind: str, share: float) -> None:
    file = encode(noise(), kind)
    assert reason(file[: int(len(file) * share)])


def damaged(whole: bytes, generator: np.random.Generator) -> bytes:
    file = bytearray(whole)
    for position in generator.integers(0, min(len(file), 400), 4):
        file[position] = generator.integers(0, 256)
    return bytes(file)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, as in a real run
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"])
def test_damaged_bytes_never_raise_anything_else(kind: str) -> None:
    generator, whole, reasons = np.random.default_rng(0), encode(noise(), kind), set()
    for _ in range(60):
        try:
            assert decode(damaged(whole, generator), max_pixels=MAX_PIXELS).mode == "RGB"
        except UnreadableImageError as error:
            reasons.add(str(error))
    assert not [reason for reason in reasons if " at 0x" in reason]


def test_reasons_say_what_is_wrong_without_paths_or_addresses(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    assert reason(b"") == reason(tmp_path / "empty.png") == "the file is empty (0 bytes)"
    assert reason(b"<script>alert(1)</script>").startswith("not an image in a known format (AVIF, BMP, DDS")
    for path in (tmp_path / "absent.png", tmp_path):
        assert str(tmp_path) not in reason(path)
    assert "truncated" in reason(encode(noise())[:3000])


def test_the_cause_is_kept() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        decode(b"text", max_pixels=1)
    assert isinstance(caught.value.__cause__, OSError)


def test_postscript_is_not_run() -> None:
    assert "not an image" in reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


@pytest.mark.parametrize(("height", "width"), [(1001, 1000), (1500, 1000), (30_000, 30_000), (1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header_and_by_our_limit(height: int, width: int) -> None:
    assert reason(png_header(height, width)) == (
        "the image has more pixels than dataset.max_pixels=1000000; raise it to allow them"
    )


def test_our_limit_may_be_above_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert pixels_of(encode(noise())).shape == (40, 60, 3)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_pillows_limit_is_put_back_by_the_last_thread() -> None:
    before = Image.MAX_IMAGE_PIXELS
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with pixel_limit(7):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    with pixel_limit(9):
        assert Image.MAX_IMAGE_PIXELS == 9
    assert Image.MAX_IMAGE_PIXELS == 7
    leave.set()
    thread.join()
    assert before == Image.MAX_IMAGE_PIXELS


def test_a_broken_machine_is_not_the_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        decode(tmp_path / "image.png", max_pixels=1)


def test_files_are_closed(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(encode(noise()))
    bad.write_bytes(encode(noise())[:500])
    decode(good, max_pixels=MAX_PIXELS)  # an open file would warn, and warnings are errors
    reason(bad)


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_thin_images_decode(size: tuple[int, int]) -> None:
    assert decode(encode(Image.new("RGB", size)), max_pixels=MAX_PIXELS).size == size


def smooth(height: int, width: int) -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(
    ("side_min_px", "size"), [(0, (800, 600)), (301, (800, 600)), (300, (400, 300)), (75, (100, 75)), (1, (100, 75))]
)
def test_a_jpeg_is_reduced_only_as_far_as_allowed(side_min_px: int, size: tuple[int, int]) -> None:
    file = encode(smooth(600, 800), "JPEG", quality=95)
    reduced = decode(file, max_pixels=MAX_PIXELS, side_min_px=side_min_px)
    assert reduced.size == size
    expected = np.asarray(smooth(600, 800).resize(size, Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(reduced) - expected).mean() < 3


def test_reducing_keeps_orientation_colours_and_other_formats() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(smooth(600, 800), "JPEG", exif=exif.tobytes())
    assert decode(turned, max_pixels=MAX_PIXELS, side_min_px=150).size == (150, 200)
    cmyk = encode(smooth(600, 800).convert("CMYK"), "JPEG", quality=95)
    whole, reduced = (decode(cmyk, max_pixels=MAX_PIXELS, side_min_px=side) for side in (0, 300))
    assert reduced.size == (400, 300)
    assert np.abs(np.asarray(whole.resize((400, 300))).astype(int) - np.asarray(reduced)).mean() < 3
    assert decode(encode(smooth(60, 80)), max_pixels=MAX_PIXELS, side_min_px=5).size == (80, 60)


def test_reducing_does_not_hide_a_tear_or_a_bomb() -> None:
    file = encode(smooth(600, 800), "JPEG", quality=95)
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(file[: len(file) // 2], max_pixels=MAX_PIXELS, side_min_px=75)
    with pytest.raises(UnreadableImageError, match="more pixels"):
        decode(file, max_pixels=100_000, side_min_px=75)


def test_a_phones_picture_with_a_second_one_inside_shows_the_first() -> None:
    pytest.importorskip("PIL.MpoImagePlugin")
    file = encode(smooth(60, 80), "MPO", save_all=True, append_images=[Image.new("RGB", (80, 60))])
    assert np.abs(pixels_of(file).astype(int) - np.asarray(smooth(60, 80))).mean() < 5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "La", "RGBa", "HSV", "LAB", "YCbCr"])
def test_every_mode_that_tiff_holds_becomes_rgb_or_a_reason(mode: str) -> None:
    try:
        file = encode(smooth(20, 30).convert(mode), "TIFF")
    except (ValueError, OSError, KeyError):
        pytest.skip("this Pillow makes no such TIFF")
    assert pixels_of(file).shape == (20, 30, 3)


def test_sixteen_bit_colour_is_scaled() -> None:
    """Pillow holds no 16-bit RGB: it keeps the upper byte."""
    row = struct.pack(">B6H", 0, 0, 25700, 65535, 65535, 0, 128 * 257)
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert pixels_of(file)[0].tolist() == [[0, 100, 255], [255, 0, 128]]
