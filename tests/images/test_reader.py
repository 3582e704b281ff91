"""Every kind of picture, made byte by byte or by Pillow, must come out as the gray values that are in it."""

import io
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from picture_files import apng, chunk, exif, gif, png, tiff
from PIL import Image

from convfilter.errors import InputError, UsageError
from convfilter.images.reader import Header, is_picture, read_header, read_pictures

GRAYS = np.array([[0, 1, 127], [128, 254, 255]], np.uint8)
COLOURS = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[10, 20, 30], [0, 0, 0], [255, 255, 255]]], np.uint8)
COLOURS_GRAY = [[76, 150, 29], [18, 0, 255]]  # Pillow's convert("L")
ALPHA = np.array([[0, 128, 255], [255, 0, 64]], np.uint8)
DEEP = np.array([[0, 1, 256], [4660, 65534, 65535]], np.uint16)


def read(data: bytes, **options: object) -> list:
    return list(read_pictures(io.BytesIO(data), **options))


def values(data: bytes, **options: object) -> list:
    (picture,) = read(data, **options)
    return picture.values.tolist()


def saved(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def over(gray: int, alpha: int, background: int) -> int:
    return (gray * alpha + background * (255 - alpha) + 127) // 255


# --- gray PNG of every depth ----------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_gray_png_of_fewer_bits_fills_the_whole_range(bits: int) -> None:
    top = 2**bits - 1
    samples = [[0, top, top // 2], [1, 0, top]]
    picture = read(png(samples, 0, bits))[0]
    assert picture.values.tolist() == [[255 * v // top for v in row] for row in samples]
    assert (picture.values.dtype, picture.white) == (np.uint8, 255)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_gray_of_a_png_is_matched_at_its_own_depth(bits: int) -> None:
    top = 2**bits - 1
    data = png([[0, top]], 0, bits, before=chunk(b"tRNS", struct.pack(">H", top)))
    assert values(data, background="#404040") == [[0, 64]]


def test_a_16_bit_png_keeps_its_precision() -> None:
    picture = read(png(DEEP, 0, 16))[0]
    assert picture.values.tolist() == DEEP.tolist()
    assert (picture.values.dtype, picture.white) == (np.uint16, 65535)


def test_the_transparent_gray_of_a_16_bit_png_shows_the_background() -> None:
    data = png(DEEP, 0, 16, before=chunk(b"tRNS", struct.pack(">H", 4660)))
    assert values(data, background="#010101") == [[0, 1, 256], [257, 65534, 65535]]


# --- colour, palettes, transparency ---------------------------------------------------------------


def test_colour_is_pillows_gray_to_the_last_bit() -> None:
    cube = np.arange(256**3 // 64, dtype=np.uint32) * 61 % 256**3
    rgb = np.stack([cube >> 16, cube >> 8 & 255, cube & 255], axis=-1).astype(np.uint8).reshape(512, 512, 3)
    image = Image.fromarray(rgb)
    assert values(saved(image, "BMP")) == np.asarray(image.convert("L")).tolist()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_png_is_gray_by_its_upper_8_bits(bits: int) -> None:
    samples = COLOURS.astype(int) * (257 if bits == 16 else 1)
    picture = read(png(samples, 2, bits))[0]
    assert picture.values.tolist() == COLOURS_GRAY
    assert bool(picture.notes) == (bits == 16)


def test_the_transparent_colour_of_a_png_shows_the_background() -> None:
    key = chunk(b"tRNS", struct.pack(">HHH", 0, 255, 0))
    assert values(png(COLOURS, 2, 8, before=key), background="#646464") == [[76, 100, 29], [18, 0, 255]]
    key = chunk(b"tRNS", struct.pack(">HHH", 0, 65535, 0))
    assert values(png(COLOURS.astype(int) * 257, 2, 16, before=key), background="#646464") == [
        [76, 100, 29],
        [18, 0, 255],
    ]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_png_is_gray_by_its_colours(bits: int) -> None:
    palette = chunk(b"PLTE", bytes([255, 0, 0, 10, 20, 30]))
    assert values(png([[0, 1, 0]], 3, bits, before=palette)) == [[76, 18, 76]]


@pytest.mark.parametrize(
    ("transparency", "expected"), [(b"\0", [200, 18]), (b"\xff\x80", [76, 109]), (b"\x80\0", [138, 200])]
)
def test_a_palette_png_with_transparent_entries_shows_the_background(transparency: bytes, expected: list) -> None:
    before = chunk(b"PLTE", bytes([255, 0, 0, 10, 20, 30])) + chunk(b"tRNS", transparency)
    assert values(png([[0, 1]], 3, 8, before=before), background="#c8c8c8") == [expected]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("background", [0, 100, 255])
def test_gray_with_alpha_lies_over_the_background(bits: int, background: int) -> None:
    samples = np.stack([GRAYS, ALPHA], axis=-1).astype(int) * (257 if bits == 16 else 1)
    expected = [[over(*pixel, background) for pixel in row] for row in np.dstack([GRAYS, ALPHA]).tolist()]
    assert values(png(samples, 4, bits), background=f"rgb({background},{background},{background})") == expected


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("background", [(255, 255, 255), (255, 0, 128)])
def test_colour_with_alpha_lies_over_the_background_channel_by_channel(bits: int, background: tuple) -> None:
    samples = np.concatenate([COLOURS, ALPHA[..., None]], axis=-1)
    laid = [[[over(p[i], p[3], background[i]) for i in range(3)] for p in row] for row in samples.tolist()]
    expected = np.asarray(Image.fromarray(np.array(laid, np.uint8)).convert("L")).tolist()
    data = png(samples.astype(int) * (257 if bits == 16 else 1), 6, bits)
    assert values(data, background="rgb({},{},{})".format(*background)) == expected


def test_hidden_colours_of_transparent_pixels_stay_hidden() -> None:
    hidden = np.zeros((4, 4, 4), np.uint8)
    hidden[..., 0] = np.arange(16).reshape(4, 4) * 16
    assert values(png(hidden, 6, 8)) == [[255] * 4] * 4


def test_full_alpha_changes_nothing() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    opaque = np.dstack([rgb, np.full((40, 30), 255, np.uint8)])
    expected = np.asarray(Image.fromarray(rgb).convert("L")).tolist()
    assert values(png(opaque, 6, 8)) == values(png(rgb, 2, 8)) == expected


@pytest.mark.parametrize("name", ["TIFF", "WEBP", "TGA", "ICO", "JPEG2000", "DDS", "QOI", "BMP"])
def test_transparency_is_seen_in_every_format_that_has_it(name: str, tmp_path: Path) -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 8, 16))
    path = tmp_path / f"picture.{name.lower()}"
    options = {"WEBP": {"lossless": True}, "ICO": {"sizes": [(16, 16)]}}.get(name, {})
    if name == "BMP":  # Pillow writes no alpha there
        masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head = struct.pack("<IiiHHIIiiII", 56, 16, 16, 1, 32, 3, 1024, 0, 0, 0, 0) + masks
        rows = (bytes([0, 0, 0, 255]) * 8 + bytes(32)) * 16
        path.write_bytes(b"BM" + struct.pack("<IHHI", 70 + 1024, 0, 0, 70) + head + rows)
    else:
        image.save(path, name, **options)
    (picture,) = read_pictures(path, background="#808080")
    assert picture.values.tolist() == [[0] * 8 + [128] * 8] * 16


@pytest.mark.parametrize("background", ["whit", "", "#12", "rgba(0,0,0,0)", "#ffffff80", None])
def test_a_background_must_be_an_opaque_colour(background: object) -> None:
    with pytest.raises(UsageError, match="opaque colour"):
        read_pictures(io.BytesIO(png(GRAYS, 0, 8)), background=background)  # type: ignore[arg-type]


# --- TIFF -----------------------------------------------------------------------------------------

TIFFS: dict[str, tuple[bytes, list, float]] = {
    "8 bits": (tiff([GRAYS]), GRAYS.tolist(), 255),
    "8 bits, white is 0": (tiff([GRAYS], 0), (255 - GRAYS).tolist(), 255),
    "8 bits, a strip a row": (tiff([GRAYS], rows_per_strip=1), GRAYS.tolist(), 255),
    "8 bits, deflated": (tiff([GRAYS], deflate=True), GRAYS.tolist(), 255),
    "8 bits, BigTIFF": (tiff([GRAYS], big=True), GRAYS.tolist(), 255),
    "1 bit": (tiff([GRAYS], bits=(1,), packed=b"\x40\xa0"), [[0, 255, 0], [255, 0, 255]], 255),
    "1 bit, white is 0": (tiff([GRAYS], 0, bits=(1,), packed=b"\x40\xa0"), [[255, 0, 255], [0, 255, 0]], 255),
    "4 bits": (tiff([GRAYS], bits=(4,), packed=b"\x01\x70\x8e\xf0"), [[0, 17, 119], [136, 238, 255]], 255),
    "12 bits": (
        tiff([GRAYS], bits=(12,), packed=b"\0\0\1\x7f\xf0\x80\x0f\xfe\xff\xf0"),
        [[0, 1, 2047], [2048, 4094, 4095]],
        4095,
    ),
    "16 bits": (tiff([DEEP]), DEEP.tolist(), 65535),
    "16 bits, big-endian": (tiff([DEEP], order=">"), DEEP.tolist(), 65535),
    "16 bits, deflated": (tiff([DEEP], deflate=True), DEEP.tolist(), 65535),
    "16 bits, deflated, big-endian": (tiff([DEEP], deflate=True, order=">"), DEEP.tolist(), 65535),
    "16 bits, white is 0": (tiff([DEEP], 0), (65535 - DEEP).tolist(), 65535),
    "16 bits, signed": (tiff([DEEP.astype(np.int16)]), DEEP.astype(np.int16).tolist(), 32767),
    "32 bits, small": (tiff([DEEP.astype(np.int32)]), DEEP.tolist(), 65535),
    "32 bits, signed": (tiff([np.array([[-5, 2**31 - 1]], np.int32)]), [[-5, 2**31 - 1]], 2**31 - 1),
    "32 bits, signed, big-endian": (tiff([np.array([[-5, 70000]], np.int32)], order=">"), [[-5, 70000]], 2**31 - 1),
    "32 bits, unsigned": (tiff([np.array([[7, 70000]], np.uint32)]), [[7, 70000]], 2**32 - 1),
    "32 bits, unsigned, high": (tiff([np.array([[0, 2**32 - 1]], np.uint32)]), [[0.0, 2.0**32]], 2**32 - 1),
    "float": (tiff([np.array([[0, 0.25, 1]], np.float32)]), [[0, 0.25, 1]], 1),
    "float, big-endian": (tiff([np.array([[0, 0.25, 1]], np.float32)], order=">"), [[0, 0.25, 1]], 1),
    "float, white is 0": (tiff([np.array([[0, 0.25, 1]], np.float32)], 0), [[1, 0.75, 0]], 1),
    "float past 1": (tiff([np.array([[-2, 0.25, 300]], np.float32)]), [[-2, 0.25, 300]], 1),
    "RGB": (tiff([COLOURS], 2), COLOURS_GRAY, 255),
    "RGB of 16 bits": (tiff([COLOURS.astype(np.uint16) * 257], 2), COLOURS_GRAY, 255),
    "RGB of 16 bits, big-endian": (tiff([COLOURS.astype(np.uint16) * 257], 2, order=">"), COLOURS_GRAY, 255),
    "RGB, deflated": (tiff([COLOURS], 2, deflate=True), COLOURS_GRAY, 255),
    "palette": (
        tiff([GRAYS // 200], 3, tags={320: (65535, 2570, *[0] * 254, 0, 5140, *[0] * 254, 0, 7710, *[0] * 254)}),
        [[76, 76, 76], [76, 18, 18]],
        255,
    ),
    "CMYK": (tiff([np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 255, 0, 0]]], np.uint8)], 5), [[255, 0, 29]], 255),
    "YCbCr": (tiff([np.array([[[0, 128, 128], [77, 200, 30], [255, 128, 128]]], np.uint8)], 6), [[0, 77, 255]], 255),
    "LAB": (tiff([np.array([[[0, 0, 0], [137, 0, 0], [255, 0, 0]]], np.uint8)], 8), [[0, 128, 255]], 255),
    "gray with alpha": (tiff([np.array([[[0, 128], [90, 255]]], np.uint8)], tags={338: (2,)}), [[127, 90]], 255),
    "gray times alpha": (tiff([np.array([[[0, 128], [64, 128]]], np.uint8)], tags={338: (1,)}), [[127, 191]], 255),
    "RGBA": (tiff([np.dstack([COLOURS, GRAYS * 0 + 255])], 2, tags={338: (2,)}), COLOURS_GRAY, 255),
    "RGB times alpha": (
        tiff([np.array([[[0, 0, 0, 0], [64, 64, 64, 128]]], np.uint8)], 2, tags={338: (1,)}),
        [[255, 191]],
        255,
    ),
    "RGB and a spare": (tiff([np.dstack([COLOURS, GRAYS])], 2, tags={338: (0,)}), COLOURS_GRAY, 255),
}  # fmt: skip


@pytest.mark.parametrize("kind", TIFFS)
def test_every_kind_of_tiff_keeps_its_values(kind: str) -> None:
    data, expected, white = TIFFS[kind]
    picture = read(data)[0]
    assert picture.values.tolist() == pytest.approx(np.array(expected), abs=1 if kind == "LAB" else 0)
    assert picture.white == white
    assert picture.values.dtype in (np.uint8, np.uint16, np.int32, np.float32)
    assert picture.values.flags.writeable
    assert picture.values.dtype.isnative
    said = any(word in kind for word in ("12 bits", "signed", "32 bits", "past 1", "RGB of 16"))
    assert bool(picture.notes) == said, picture.notes


@pytest.mark.parametrize(
    ("page", "note"),
    [
        (np.array([[-5, 70000]], np.int32), "32-bit numbers up to 70000: white is 2147483647"),
        (np.array([[5, 700]], np.int32), "32-bit numbers up to 700: white is 65535"),
        (np.array([[-0.5, 3]], np.float32), "its numbers go from -0.5 to 3; white is 1"),
    ],
)
def test_a_picture_says_what_was_taken_for_white(page: np.ndarray, note: str) -> None:
    assert read(tiff([page]))[0].notes == (note,)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_an_error_with_its_place(wrong: float) -> None:
    with pytest.raises(InputError, match="1 of its numbers are NaN or infinite, the first at column 2, row 1"):
        read(tiff([np.array([[0, 0, 0], [0, 0, wrong]], np.float32)]))


# --- JPEG, PNM and what else Pillow writes --------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_pillows_gray_of_its_colours(mode: str, progressive: bool) -> None:
    rng = np.random.default_rng(1)
    shape = (37, 51, {"L": 1, "RGB": 3, "CMYK": 4}[mode])
    image = Image.fromarray(rng.integers(0, 256, shape, np.uint8).squeeze(), mode)
    data = saved(image, "JPEG", progressive=progressive)
    assert values(data) == np.asarray(Image.open(io.BytesIO(data)).convert("L")).tolist()


def test_an_adobe_cmyk_jpeg_is_not_inverted() -> None:
    white = saved(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG", quality=100)
    assert b"Adobe" in white
    assert values(white) == [[255] * 8] * 8


@pytest.mark.parametrize(
    ("data", "expected", "white"),
    [
        (b"P1\n# a comment\n3 2\n0 1 0\n1 1 0\n", [[255, 0, 255], [0, 0, 255]], 255),
        (b"P4 3 2\n\x40\xc0", [[255, 0, 255], [0, 0, 255]], 255),
        (b"P2 3 1 255 0 9 255\n", [[0, 9, 255]], 255),
        (b"P5 3 1 255\n\0\x09\xff", [[0, 9, 255]], 255),
        (b"P5 3 1 15\n\0\x09\x0f", [[0, 153, 255]], 255),
        (b"P5 3 1 65535\n\0\1\x12\x34\xff\xff", [[1, 4660, 65535]], 65535),
        (b"P5 3 1 1023\n\0\0\1\xff\3\xff", [[0, 32735, 65535]], 65535),
        (b"P2 3 1 1023 0 511 1023\n", [[0, 32735, 65535]], 65535),
        (b"P3 2 1 255 255 0 0 0 0 255\n", [[76, 29]], 255),
        (b"P6 2 1 255\n\xff\0\0\0\0\xff", [[76, 29]], 255),
        (b"P6 2 1 1023\n\3\xff\0\0\0\0\0\0\0\0\3\xff", [[76, 29]], 255),
        (b"Pf 2 2 -1.0\n" + struct.pack("<4f", 0, 0.25, 0.5, 1), [[0.5, 1], [0, 0.25]], 1),
    ],
)
def test_every_kind_of_pnm_keeps_its_values(data: bytes, expected: list, white: float) -> None:
    picture = read(data)[0]
    assert picture.values.tolist() == expected
    assert picture.white == white


WRITTEN = {
    **dict.fromkeys(["PNG", "TIFF", "BMP", "GIF", "TGA", "PCX"], ("1", "L", "P", "RGB")),
    **dict.fromkeys(["WEBP", "PPM", "AVIF", "SGI", "JPEG2000", "DDS"], ("L", "RGB")),
    "QOI": ("RGB",),
}


@pytest.mark.parametrize(("name", "mode"), [(name, mode) for name, modes in WRITTEN.items() for mode in modes])
def test_what_pillow_writes_comes_back_as_pillows_gray(name: str, mode: str, tmp_path: Path) -> None:
    rgb = Image.fromarray(np.random.default_rng(2).integers(0, 256, (21, 34, 3), np.uint8))
    path = tmp_path / f"a.{name.lower()}"
    rgb.convert(mode).save(path, name, **({"lossless": True} if name == "WEBP" else {}))
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L")).tolist()
    (picture,) = read_pictures(path)
    assert picture.values.tolist() == expected
    header = read_header(path)
    assert (header.width, header.height, header.frames, header.format) == (34, 21, 1, name)


# --- which way is up ------------------------------------------------------------------------------

UPRIGHT = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
STORED = {  # what a file of that orientation holds, after the EXIF standard's words for row 0 and column 0
    1: UPRIGHT,  # top, left
    2: UPRIGHT[:, ::-1],  # top, right
    3: UPRIGHT[::-1, ::-1],  # bottom, right
    4: UPRIGHT[::-1],  # bottom, left
    5: UPRIGHT.T,  # left, top
    6: UPRIGHT.T[::-1],  # right, top
    7: UPRIGHT.T[::-1, ::-1],  # right, bottom
    8: UPRIGHT.T[:, ::-1],  # left, bottom
}


def turned(kind: str, orientation: int) -> bytes:
    stored = STORED[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    if kind.startswith("PNG"):
        mark = chunk(b"eXIf", exif(orientation))
        place = {"before": mark} if kind == "PNG" else {"after": mark}
        return png(stored.astype(int) * 257, 0, 16, **place) if "16" in kind else png(stored, 0, 8, **place)
    if kind.startswith("TIFF"):
        page = stored.astype(np.float32) if "float" in kind else stored
        page = page.astype(np.uint16) * 257 if "16" in kind else page
        return tiff(
            [page] if "one page" in kind else [page, page],
            deflate="deflated" in kind,
            tags={274: (orientation,)},
            rows_per_strip=1 if "strips" in kind else None,
        )
    large = image.resize((stored.shape[1] * 16, stored.shape[0] * 16), Image.Resampling.NEAREST)
    options = {"WEBP": {"lossless": True}, "MPO": {"save_all": True, "append_images": [large]}}.get(kind, {})
    if kind in ("JPEG", "MPO"):
        options["quality"] = 100
    return saved(large, kind, exif=b"Exif\0\0" + exif(orientation), **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "kind",
    [
        "PNG",
        "PNG, after the data",
        "PNG, 16 bits",
        "TIFF",
        "TIFF, deflated",
        "TIFF, strips",
        "TIFF, float",
        "TIFF, one page",
        "TIFF, one page, deflated",
        "TIFF, one page, strips",
        "TIFF, one page, 16 bits",
        "JPEG",
        "MPO",
        "WEBP",
        "AVIF",
    ],
)
def test_all_eight_orientations_come_out_upright(kind: str, orientation: int, tmp_path: Path) -> None:
    data = turned(kind, orientation)
    path = tmp_path / "picture"
    path.write_bytes(data)
    for source in (path, str(path), io.BytesIO(data)):
        header = read_header(source)
        picture = next(read_pictures(source))
        gray = picture.values // 257 if picture.white == 65535 else picture.values
        scale = header.width // 3
        assert (header.width, header.height) == (3 * scale, 2 * scale)
        assert gray[scale // 2 :: scale, scale // 2 :: scale].tolist() == pytest.approx(UPRIGHT.astype(float), abs=3)
        assert gray.shape == (2 * scale, 3 * scale)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(orientation: int) -> None:
    assert values(png(GRAYS, 0, 8, before=chunk(b"eXIf", exif(orientation)))) == GRAYS.tolist()


def test_broken_exif_data_do_not_cost_the_picture() -> None:
    picture = read(png(GRAYS, 0, 8, before=chunk(b"eXIf", b"rubbish")))[0]
    assert picture.values.tolist() == GRAYS.tolist()
    assert picture.notes == ("its EXIF data cannot be read, nor which way is up",)


# --- frames ---------------------------------------------------------------------------------------

PALETTE = [(0, 0, 0), (85, 85, 85), (170, 170, 170), (255, 255, 255)]


def rgba(*rows: list) -> np.ndarray:
    """Return rows of gray values as opaque RGBA; None is transparent."""
    return np.array([[[0, 0, 0, 0] if v is None else [v, v, v, 255] for v in row] for row in rows], np.uint8)


MOVING_GIF = gif(
    (3, 1),
    PALETTE,
    [
        ([[1, 1, 1]], (0, 0), 1, 0),  # stays
        ([[3]], (0, 0), 2, 0),  # is cleared afterwards
        ([[3]], (1, 0), 3, 0),  # gives back what was below
        ([[0, 2]], (1, 0), 1, 0),  # its first pixel is transparent
    ],
)
MOVING_APNG = [
    (rgba([85, 85, 85]), (0, 0), 0, 0),
    (rgba([255]), (0, 0), 1, 0),
    (rgba([255]), (1, 0), 2, 0),
    (rgba([None, 170]), (1, 0), 0, 1),
]
STACK = [np.full((2, 3), 10, np.uint8), np.full((4, 5), 20, np.uint8), np.full((1, 1), 30, np.uint8)]
FRAMES: dict[str, tuple[bytes, list]] = {
    "GIF": (MOVING_GIF, [[[85, 85, 85]], [[255, 85, 85]], [[200, 255, 85]], [[200, 85, 170]]]),
    "APNG": (apng((3, 1), MOVING_APNG), [[[85, 85, 85]], [[255, 85, 85]], [[200, 255, 85]], [[200, 85, 170]]]),
    "APNG with another default picture": (
        apng((3, 1), MOVING_APNG[:2], default=rgba([0, 0, 9])),
        [[[0, 0, 9]], [[85, 85, 85]], [[255, 85, 85]]],
    ),
    "TIFF": (tiff(STACK), [page.tolist() for page in STACK]),
    "TIFF, deflated": (tiff(STACK, deflate=True), [page.tolist() for page in STACK]),
    "WEBP": (
        saved(
            Image.new("RGB", (2, 1), (9, 9, 9)),
            "WEBP",
            lossless=True,
            save_all=True,
            append_images=[Image.new("RGB", (2, 1), (200, 200, 200))],
        ),
        [[[9, 9]], [[200, 200]]],
    ),
    "MPO": (
        saved(Image.new("L", (8, 8), 40), "MPO", save_all=True, append_images=[Image.new("L", (16, 8), 90)]),
        [[[40] * 8] * 8, [[90] * 16] * 8],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_is_the_whole_canvas_as_it_is_shown(kind: str) -> None:
    data, expected = FRAMES[kind]
    pictures = read(data, frames="all", background="#c8c8c8")
    assert [picture.values.tolist() for picture in pictures] == expected
    assert [(picture.frame, picture.frames) for picture in pictures] == [
        (i, len(expected)) for i in range(len(expected))
    ]
    assert all(not picture.notes for picture in pictures)
    assert read_header(io.BytesIO(data)).frames == len(expected)


@pytest.mark.parametrize("kind", FRAMES)
def test_one_frame_is_the_same_as_in_the_whole_run(kind: str) -> None:
    data, expected = FRAMES[kind]
    for number in reversed(range(len(expected))):
        (picture,) = read(data, frames=number, background="#c8c8c8")
        assert (picture.values.tolist(), picture.frame) == (expected[number], number)
        assert not picture.notes


@pytest.mark.parametrize("kind", FRAMES)
def test_the_first_of_many_says_so(kind: str) -> None:
    data, expected = FRAMES[kind]
    (picture,) = read(data, background="#c8c8c8")
    assert (picture.values.tolist(), picture.frame) == (expected[0], 0)
    assert picture.notes == (f"the first of {len(expected)} frames; --frames all takes every one",)


@pytest.mark.parametrize("kind", [*FRAMES, "a single one"])
def test_a_frame_that_is_not_there_is_an_error_that_counts_them(kind: str) -> None:
    data, expected = FRAMES.get(kind, (png(GRAYS, 0, 8), [0]))
    with pytest.raises(InputError, match=f"has no frame {len(expected)}: it holds {len(expected)}, counted from 0"):
        read(data, frames=len(expected))


@pytest.mark.parametrize("frames", ["last", "", "1", -1, 1.0, None])
def test_frames_must_make_sense(frames: object) -> None:
    with pytest.raises(UsageError, match="first, all, or a frame's number from 0"):
        read_pictures(io.BytesIO(b""), frames=frames)  # type: ignore[arg-type]


def test_frames_come_one_at_a_time() -> None:
    pictures = read_pictures(io.BytesIO(tiff(STACK)[:-1]), frames="all")
    with pytest.raises(InputError):
        list(pictures)
    whole = read_pictures(io.BytesIO(tiff(STACK)), frames="all")
    assert next(whole).frame == 0
    whole.close()


# --- what is admitted -----------------------------------------------------------------------------


def test_admit_sees_the_header_before_a_pixel_is_decoded() -> None:
    broken = png(GRAYS, 0, 8).replace(b"IDAT", b"JDAT")
    seen = []
    with pytest.raises(InputError):
        read(broken, admit=seen.append)
    assert seen == [Header(3, 2, 1, "PNG", "L")]


def test_admit_sees_every_new_size() -> None:
    seen: list[Header] = []
    read(tiff([*STACK, STACK[2]]), frames="all", admit=seen.append)
    assert [(header.width, header.height) for header in seen] == [(3, 2), (5, 4), (1, 1)]


def test_admit_may_refuse() -> None:
    def refuse(header: Header) -> None:
        raise InputError(f"too large: {header.width}x{header.height}")

    for frames in ("first", "all", 2):
        with pytest.raises(InputError, match="too large: "):
            read(tiff(STACK), frames=frames, admit=refuse)


def test_a_gif_that_outgrows_its_canvas_is_admitted_again() -> None:
    growing = gif((1, 1), PALETTE, [([[1]], (0, 0), 1, -1), ([[2, 3]], (1, 1), 1, -1)])
    seen: list[Header] = []
    pictures = read(growing, frames="all", admit=seen.append)
    assert [(header.width, header.height) for header in seen] == [(1, 1), (3, 2)]
    assert pictures[1].values.shape == (2, 3)


BOMB = 50_000


def _bombs() -> dict[str, bytes]:
    thin = zlib.compress(bytes(100_000))
    deep = struct.pack(">IIBBBBB", BOMB, BOMB, 16, 6, 0, 0, 0)
    page = tiff([np.zeros((1, 1), np.uint8)], deflate=True, tags={256: (BOMB,), 257: (BOMB,), 278: (BOMB,)})
    return {
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", deep) + chunk(b"IDAT", thin) + chunk(b"IEND", b""),
        "GIF": gif((BOMB, BOMB), PALETTE, [([[0]], (0, 0), 0, -1)]),
        "GIF that grows": gif((1, 1), PALETTE, [([[0]], (65534, 65534), 0, -1)]),
        "TIFF": page,
        "BMP": b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, BOMB, BOMB, 1, 24, *[0] * 6),
        "PPM": b"P6 50000 50000 255\n",
        "QOI": b"qoif" + struct.pack(">IIBB", BOMB, BOMB, 4, 0),
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_a_bomb_is_refused_in_little_memory_and_time(tmp_path: Path) -> None:
    text = png(
        GRAYS,
        0,
        8,
        before=chunk(b"tEXt", b"Comment\0" + bytes(60 << 20))
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(60 << 20))),
    )
    for name, data in {**_bombs(), "text": text}.items():
        (tmp_path / name).write_bytes(data)
    script = """if True:
        import io, re, sys, time
        from convfilter.errors import InputError
        from convfilter.images.reader import read_pictures

        def peak():
            return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

        def refuse(header):
            if header.width > 3:
                raise InputError(f"{header.width}x{header.height}")

        list(read_pictures(io.BytesIO(b"P5 1 1 255\\n0")))
        before, start = peak(), time.monotonic()
        for name in sys.argv[1:]:
            try:
                print([p.values.shape for p in read_pictures(name, admit=refuse)])
            except InputError as error:
                print(error)
        print((peak() - before) // 1024 < 50, time.monotonic() - start < 2)
        """
    names = [*map(str, sorted(tmp_path.iterdir()))]
    run = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    expected = ["50000x50000"] * 2 + ["65535x65535"] + ["50000x50000"] * 4 + ["[(2, 3)]", "True True"]
    assert run.stdout.splitlines() == expected
    assert run.stderr == ""


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="resets the peak memory in /proc")
def test_the_bytes_that_reading_takes_are_foretold(tmp_path: Path) -> None:
    rgb = Image.fromarray(np.random.default_rng(6).integers(0, 256, (250, 250, 3), np.uint8)).resize((2000, 2000))
    gray = rgb.convert("L")
    gray.save(tmp_path / "gray.png", compress_level=1)
    gray.save(tmp_path / "gray.jpg")
    gray.save(tmp_path / "gray.tif")
    Image.fromarray(np.asarray(gray).astype(np.uint16) * 257).save(tmp_path / "deep.png", compress_level=1)
    Image.fromarray(np.asarray(gray).astype(np.float32)).save(tmp_path / "float.tif")
    rgb.save(tmp_path / "colour.jpg")
    rgb.convert("RGBA").save(tmp_path / "alpha.tif", compression="tiff_lzw")
    rgb.save(tmp_path / "colour.webp", method=0)
    gray.save(tmp_path / "moving.gif", save_all=True, append_images=[gray.rotate(90)])
    script = """if True:
        import re, sys
        from convfilter.images.reader import read_header, read_pictures

        def memory(what):
            return 1024 * int(re.search(what + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

        for name in sys.argv[1:]:
            told = read_header(name).bytes_to_read()
            open("/proc/self/clear_refs", "w").write("5")
            before = memory("VmRSS")
            for picture in read_pictures(name, frames="all"):
                pass
            del picture
            taken = memory("VmHWM") - before
            if taken > told + 6e6:
                print(name, told, taken)
        """
    names = [*map(str, sorted(tmp_path.iterdir()))]
    run = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    assert run.stdout == ""


def test_a_large_colour_profile_costs_nothing() -> None:
    profile = chunk(b"iCCP", b"large\0\0" + zlib.compress(os.urandom(2 << 20)))
    assert values(png(GRAYS, 0, 8, before=profile)) == GRAYS.tolist()


def test_pillows_own_limit_is_lifted_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2)
    assert values(png(GRAYS, 0, 8)) == GRAYS.tolist()
    assert values(tiff([GRAYS], deflate=True)) == GRAYS.tolist()
    assert Image.MAX_IMAGE_PIXELS == 2
    pictures = read_pictures(io.BytesIO(tiff(STACK)), frames="all")
    next(pictures)
    assert Image.MAX_IMAGE_PIXELS == 2, "lifted only while a frame is being read"


# --- what is broken -------------------------------------------------------------------------------

ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
GOOD = png(GRAYS, 0, 8)
RGB_GOOD = png(COLOURS, 2, 8)


def refused(data: bytes, **options: object) -> str:
    """Return the reason why the data cannot be read: one short line in words."""
    with pytest.raises(InputError) as caught:
        read(data, **options)
    reason = str(caught.value)
    assert reason.isprintable()
    assert len(reason) < 120
    assert "object at 0x" not in reason
    return reason


def with_header(good: bytes, place: int, value: int) -> bytes:
    """Return the PNG with a byte of its IHDR changed, and its checksum right."""
    header = bytearray(good[16:29])
    header[place] = value
    return good[:8] + chunk(b"IHDR", bytes(header)) + good[33:]


BROKEN_PNGS = {
    "xs1: signature, first byte": (b"\x09" + GOOD[1:], "signature"),
    "xs2: signature, second byte": (GOOD[:1] + b"Q" + GOOD[2:], "signature"),
    "xs4: signature, a small letter": (GOOD.replace(b"PNG", b"PNg"), "signature"),
    "xs7: signature, a space": (GOOD[:6] + b" " + GOOD[7:], "signature"),
    "xcr: line ends made CR": (GOOD.replace(b"\n", b"\r"), "signature"),
    "xlf: line ends made LF": (GOOD.replace(b"\r\n", b"\n"), "signature"),
    "xhd: checksum of IHDR": (GOOD[:30] + b"\0" + GOOD[31:], "checksum"),
    "xcs: checksum of IDAT": (GOOD[:-13] + bytes([GOOD[-13] ^ 1]) + GOOD[-12:], "checksum of its IDAT data is wrong"),
    "checksum of IEND": (GOOD[:-1] + b"\0", "checksum of its IEND data is wrong"),
    "checksum of a text": (png(GRAYS, 0, 8, after=chunk(b"tEXt", b"a\0b")[:-1] + b"\0"), "checksum of its tEXt"),
    "xc1: colour type 1": (with_header(GOOD, 9, 1), "header makes no sense"),
    "xc9: colour type 9": (with_header(RGB_GOOD, 9, 9), "header makes no sense"),
    "xd0: depth 0": (with_header(RGB_GOOD, 8, 0), "header makes no sense"),
    "xd3: depth 3": (with_header(GOOD, 8, 3), "header makes no sense"),
    "xd9: depth 99": (with_header(RGB_GOOD, 8, 99), "header makes no sense"),
    "width 0": (with_header(GOOD, 3, 0), "header makes no sense"),
    "xdt: no IDAT": (GOOD[:33] + chunk(b"IEND", b""), "no picture data"),
    "no IEND": (GOOD[:-12], "truncated"),
    "rubbish for data": (GOOD[:33] + chunk(b"IDAT", b"rubbish!") + chunk(b"IEND", b""), "damaged: "),
    "rubbish for a chunk": (GOOD[:33] + b"\0\0\0\1\0\1\2\3xxxxx" + GOOD[33:], "should be a PNG chunk at byte 33"),
    "checksum of a frame": (
        apng((3, 1), MOVING_APNG)[:-13] + b"?" + apng((3, 1), MOVING_APNG)[-12:],
        "checksum of its fdAT data is wrong",
    ),
    "an animation with too few frames": (
        png(GRAYS, 0, 8, before=chunk(b"acTL", struct.pack(">II", 9, 0))),
        "an animation of 9 frames that holds 0",
    ),
}


@pytest.mark.parametrize("kind", BROKEN_PNGS)
def test_a_broken_png_is_refused_with_the_reason(kind: str, tmp_path: Path) -> None:
    data, words = BROKEN_PNGS[kind]
    assert words in refused(data)
    (tmp_path / "broken").write_bytes(data)
    assert is_picture(tmp_path / "broken"), "in a folder a broken PNG is a broken picture, not something else"


@pytest.mark.parametrize("kind", ["interlaced", "plain"])
@pytest.mark.parametrize(("colour", "bits"), [(0, 1), (0, 8), (0, 16), (2, 8), (3, 2), (4, 8), (6, 16)])
@pytest.mark.parametrize("size", [(1, 1), (5, 5), (3, 20), (300, 2)])
def test_a_png_whose_data_end_too_soon_is_refused(size: tuple, colour: int, bits: int, kind: str) -> None:
    """The compressed data are whole, and unpack to fewer bytes than the header says: Pillow shows black rows."""
    width, height = size
    passes = ADAM7 if kind == "interlaced" else [(0, 0, 1, 1)]
    pixel = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    columns = [(len(range(x, width, dx)), len(range(y, height, dy))) for y, x, dy, dx in passes]
    rows = [1 + -(-wide * pixel // 8) for wide, tall in columns for _ in range(tall) if wide]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, colour, 0, 0, kind == "interlaced"))
    palette = chunk(b"PLTE", bytes(12)) if colour == 3 else b""
    for missing in {1, rows[-1], sum(rows) // 2, sum(rows)}:
        short = chunk(b"IDAT", zlib.compress(bytes(sum(rows) - missing)))
        assert refused(GOOD[:8] + header + palette + short + chunk(b"IEND", b"")).startswith("truncated: ")
    whole = GOOD[:8] + header + palette + chunk(b"IDAT", zlib.compress(bytes(sum(rows)))) + chunk(b"IEND", b"")
    assert read(whole)[0].values.shape == (height, width)


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("colour", "bits"), [(0, 1), (0, 16), (2, 8), (3, 4), (4, 16), (6, 8)])
@pytest.mark.parametrize("size", [(1, 1), (2, 7), (32, 32), (40, 9)])
def test_every_sound_png_has_the_right_size(size: tuple, colour: int, bits: int, interlace: int) -> None:
    width, height = size
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    samples = np.zeros((height, width, channels), int)
    if not interlace:
        data = png(samples, colour, bits, before=palette)
    else:  # Adam7: seven small pictures, each with its own filter bytes
        passes = [samples[y::dy, x::dx] for y, x, dy, dx in ADAM7]
        rows = [row for part in passes if part.size for row in part]
        lines = b"".join(bytes(1 + -(-row.size * bits // 8)) for row in rows)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 1))
        data = GOOD[:8] + header + palette + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    assert read_header(io.BytesIO(data)).width == width
    assert read(data)[0].values.shape == (height, width)


def _whole_files() -> dict[str, tuple[str, bytes, int]]:
    """Return a file a format, its suffix, and how many bytes at its end hold nothing of the picture."""
    rgb = Image.fromarray(np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8))
    frames = [rgb.rotate(90), rgb.rotate(180)]
    files = {
        name: (f".{name.lower()}", saved(rgb, name), slack)
        for name, slack in [
            *dict.fromkeys(("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM", "AVIF", "JPEG2000"), 0).items(),
            *{"QOI": 8, "DDS": 0, "ICO": 0, "SGI": 0, "PCX": 0, "TGA": 26}.items(),
        ]
    }
    files["APNG"] = (".png", saved(rgb, "PNG", save_all=True, append_images=frames), 0)
    files["GIF, moving"] = (".gif", saved(rgb, "GIF", save_all=True, append_images=frames), 0)
    files["WEBP, moving"] = (".webp", saved(rgb, "WEBP", save_all=True, append_images=frames), 0)
    files["JPEG, progressive"] = (".jpg", saved(rgb, "JPEG", progressive=True), 0)
    files["TIFF, pages"] = (".tif", tiff([np.asarray(rgb)] * 3, 2), 0)
    for packing in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        files[f"TIFF, {packing}"] = (".tif", saved(rgb, "TIFF", compression=packing), 0)
    files["TIFF, group4"] = (".tif", saved(rgb.convert("1"), "TIFF", compression="group4"), 0)
    files["BMP, palette"] = (".bmp", saved(rgb.quantize(), "BMP"), 0)
    files["PBM"] = (".pbm", saved(rgb.convert("1"), "PPM"), 0)
    files["PGM, plain"] = (".pgm", b"P2 3 2 255\n" + b"9 " * 5 + b"9", 0)
    return files


WHOLE = _whole_files()


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    suffix, data, slack = WHOLE[kind]
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(data)
    assert len(list(read_pictures(path))) == 1
    end = len(data) - slack
    for cut in {end * part // 100 for part in (5, 25, 50, 75, 90, 99)} | {end - 1, 1}:
        path.write_bytes(data[:cut])
        with pytest.raises(InputError) as caught:
            list(read_pictures(path))
        assert str(caught.value).startswith(("truncated: ", "damaged: ", "not a picture")), cut


@pytest.mark.parametrize("kind", WHOLE)
def test_what_follows_the_picture_does_no_harm(kind: str, tmp_path: Path) -> None:
    suffix, data, _ = WHOLE[kind]
    if kind in ("AVIF", "TGA", "ICO", "PGM, plain"):  # they are read from the end, or have none
        return
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(data + b"\0" * 100)
    assert len(list(read_pictures(path))) == 1


@pytest.mark.parametrize("kind", WHOLE)
def test_a_mutated_file_is_read_or_refused_in_one_line(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    suffix, data, _ = WHOLE[kind]
    rng = np.random.default_rng(4)
    path = tmp_path / f"picture{suffix}"

    def small(header: Header) -> None:
        if header.width * header.height > 1_000_000:
            raise InputError("too large")

    for number in range(30):
        mutated = bytearray(data)
        places = rng.integers(0, len(data) if number % 2 else min(len(data), 100), 1 + number % 5)
        for place in places:
            mutated[place] = rng.integers(0, 256)
        fixed = bytes(mutated) if number % 3 else with_right_checksums(bytes(mutated))
        path.write_bytes(fixed)
        try:
            for picture in read_pictures(path if number % 2 else io.BytesIO(fixed), frames="all", admit=small):
                assert 0 < picture.values.size <= 1_000_000
        except InputError as error:
            assert str(error).isprintable(), repr(error)
    assert capfd.readouterr() == ("", "")


def with_right_checksums(data: bytes) -> bytes:
    if not data.startswith(GOOD[:8]):
        return data
    fixed, place = bytearray(data), 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        fixed[end : end + 4] = zlib.crc32(data[place + 4 : end]).to_bytes(4, "big")
        place = end + 4
    return bytes(fixed)


# --- sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello, world", "not a picture that can be read"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
            "not a picture that can be read: it is a PostScript file",
        ),
        (b"%PDF-1.7", "not a picture that can be read: it is a PDF document"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture that can be read: it is a SVG or XML file"),
        (b"<!DOCTYPE html><html>", "not a picture that can be read: it is a web page"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "not a picture that can be read: it is a HEIC picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "not a picture that can be read: it is a HEIF picture"),
        (b"\xff\n\xfa\x7f\1", "not a picture that can be read: it is a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "not a picture that can be read: it is a JPEG XL picture"),
        (b"version https://git-lfs.github.com/spec/v1", "not a picture that can be read: it is a pointer of Git LFS"),
        (b"8BPS\0\2", "not a picture that can be read: it is a large Photoshop document"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    for read_it in (read_header, lambda source: list(read_pictures(source))):
        with pytest.raises(InputError) as caught:
            read_it(path)
        assert str(caught.value) == reason
    assert is_picture(path), "what is called a picture is said to be none"
    path.rename(tmp_path / "picture.txt")
    assert not is_picture(tmp_path / "picture.txt")


def test_a_postscript_file_with_a_pictures_name_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*args: object, **options: object) -> None:
        pytest.fail("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    path = tmp_path / "picture.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError):
        list(read_pictures(path))


def test_a_source_that_is_no_file_is_an_error_and_never_opened(tmp_path: Path) -> None:
    cases = {"missing": tmp_path / "missing.png", "a folder": tmp_path, "long": tmp_path / ("x" * 300)}
    cases["zero"] = f"{tmp_path}/a\0b.png"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        cases |= {"a pipe": tmp_path / "pipe.png", "a device": Path("/dev/zero")}
        with socket.socket(socket.AF_UNIX) as bound:
            here = os.getcwd()
            os.chdir(tmp_path)  # a socket's name may have 100 characters at most
            bound.bind("socket.png")
            os.chdir(here)
        cases["a socket"] = tmp_path / "socket.png"
    for kind, path in cases.items():
        assert is_picture(path) == (kind == "missing"), kind  # which has vanished, and is named
        for source in (path, str(path)):
            with pytest.raises(InputError) as caught:
                read_header(source)
            if kind.startswith("a "):
                assert str(caught.value) == f"is {kind}, not a picture file"
            else:
                assert str(caught.value).startswith("cannot be read: ")


@pytest.fixture
def not_root() -> Iterator[None]:
    """Be somebody else where we are root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="permissions as Unix has them")
def test_a_file_that_may_not_be_read_is_a_picture_by_its_name(not_root: None) -> None:
    with tempfile.TemporaryDirectory() as folder:  # the user's own, which tmp_path may not be
        for name, expected in {"a.png": True, "a.txt": False}.items():
            path = Path(folder) / name
            path.write_bytes(GOOD)
            path.chmod(0)
            assert is_picture(path) == expected
            with pytest.raises(InputError, match="cannot be read: permission denied"):
                read_header(path)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are text there")
def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png")
    Path(path).write_bytes(GOOD)
    assert is_picture(path)
    assert next(read_pictures(path)).values.tolist() == GRAYS.tolist()


def test_a_file_object_can_be_read_again_and_stays_open() -> None:
    file = io.BytesIO(GOOD)
    for _ in range(2):
        assert read_header(file) == Header(3, 2, 1, "PNG", "L")
        assert next(read_pictures(file)).values.tolist() == GRAYS.tolist()
    assert not file.closed


@pytest.mark.parametrize("kind", WHOLE)
def test_a_picture_is_one_by_its_content(kind: str, tmp_path: Path) -> None:
    suffix, data, _ = WHOLE[kind]
    for name in (f"a{suffix}", f"a{suffix.upper()}", "a", "a.txt"):
        (tmp_path / name).write_bytes(data)
        named_only = suffix in (".tga", ".pcx")  # they have no signature
        assert is_picture(tmp_path / name) == (not named_only or name.lower().endswith(suffix))


def test_other_files_are_no_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / "file"
    texts = [
        b"BMW is a car",
        b"P5 is a process",
        b"GIF is a format",
        b"\0" * 100,
        b"\0\0\1\0" + b"\xff" * 50,
        b"(\0\0\0" * 20,
    ]
    for data in [*texts, *(rng.bytes(64) for _ in range(500))]:
        path.write_bytes(data)
        assert not is_picture(path), data


# --- quiet ----------------------------------------------------------------------------------------


def test_decoders_and_warnings_say_nothing(tmp_path: Path) -> None:
    """Run in a process of its own, with every warning on: libtiff writes to file descriptor 2, not to sys.stderr."""
    broken = saved(Image.fromarray(COLOURS), "TIFF", compression="jpeg")
    (tmp_path / "tables.tif").write_bytes(broken[:-12])
    (tmp_path / "many.tif").write_bytes(tiff([GRAYS], tags={277: (60000,)}))
    (tmp_path / "lzw.tif").write_bytes(tiff([GRAYS], tags={259: (5,)}))
    (tmp_path / "tag.tif").write_bytes(tiff([GRAYS], tags={700: (1, 2, 3, 4, 5), 33723: (70000,)}))
    (tmp_path / "acts.png").write_bytes(png(GRAYS, 0, 8, before=chunk(b"acTL", bytes(8)) * 2))
    (tmp_path / "good.tif").write_bytes(saved(Image.fromarray(COLOURS), "TIFF", compression="jpeg"))
    script = """if True:
        import sys
        from convfilter.errors import InputError
        from convfilter.images.reader import read_pictures
        for name in sys.argv[1:]:
            try:
                list(read_pictures(name))
            except InputError:
                pass
        """
    names = [*map(str, tmp_path.iterdir())]
    run = subprocess.run([sys.executable, "-Wall", "-c", script, *names], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")


def test_threads_may_read_together_and_leave_the_warnings_alone() -> None:
    filters, limit = warnings.filters[:], Image.MAX_IMAGE_PIXELS
    wrong = []

    def work(data: bytes, expected: list) -> None:
        for _ in range(20):
            if read(data)[0].values.tolist() != expected:
                wrong.append(expected)

    kinds = [kind for kind in TIFFS if kind not in ("LAB", "32 bits, unsigned, high")]
    threads = [threading.Thread(target=work, args=TIFFS[kind][:2]) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (warnings.filters, Image.MAX_IMAGE_PIXELS) == (filters, limit)
