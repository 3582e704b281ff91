import io
import os
import zlib

import numpy as np
import pytest
from PIL import Image

from convfilter.files.existing import is_foreign, is_whole, read_mark
from convfilter.images.png import write_png


def png(**options):
    file = io.BytesIO()
    write_png(file, [np.arange(12, dtype=np.uint8).reshape(3, 4)], 4, 3, **options)
    return file.getvalue()


def png_of_rows(rows):
    """A PNG without a broken chunk that says it has 3 rows."""
    from picture_files import chunk

    header, pixels = png()[:33], zlib.compress(bytes(5 * rows))
    return header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def npy(*shape):
    file = io.BytesIO()
    np.save(file, np.zeros(shape, np.float32))
    return file.getvalue()


def pillow(mode="L", **options):
    file = io.BytesIO()
    Image.new(mode, (4, 3)).save(file, "png", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "whole"),
    [
        ("a.png", png(), True),
        ("a.png", pillow(), True),
        ("a.png", png_of_rows(3), True),
        ("a.png", png_of_rows(2), False),
        ("a.png", png()[:-1], False),
        ("a.png", png()[:40], False),
        ("a.png", png() + b"\0", False),
        ("a.png", b"", False),
        ("a.png", b"x" * 100, False),
        ("a.npy", npy(3, 4), True),
        ("a.NPY", npy(1000, 1), True),
        ("a.npy", npy(5), True),
        ("a.npy", npy(3, 4)[:-1], False),
        ("a.npy", npy(3, 4) + b"\0", False),
        ("a.npy", npy(3, 4)[:20], False),
        ("a.npy", b"", False),
        ("a.npy", png(), False),
    ],
)
def test_whole_files(name, data, whole, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert is_whole(str(tmp_path / name)) is whole


@pytest.mark.parametrize(
    ("data", "mark"),
    [
        (png(text={"Software": "convfilter 1.0"}), "marked"),
        (png(text={"Software": "convfilter 1.0", "convfilter:pipeline": "x" * 5000}), "marked"),
        (png(text={"Software": "convfilter \u2713"}), "marked"),
        (png(text={"Software": "GIMP"}), ""),
        (png(text={"Title": "convfilter"}), ""),
        (png(), "alike"),
        (png(level=9), "alike"),
        (png(level=0), "alike"),
        (pillow(), ""),
        (pillow("RGBA", compress_level=1), ""),
        (b"tEXtSoftware\0convfilter", ""),
        (b"", "unknown"),
        (bytes(100), "unknown"),
    ],
)
def test_marks(data, mark, tmp_path):
    (tmp_path / "a.png").write_bytes(data)
    assert read_mark(str(tmp_path / "a.png")) == mark
    assert read_mark(str(tmp_path / "none.png")) == "unknown"


def test_a_png_is_whole_when_all_its_rows_are_there_and_undamaged(tmp_path):
    file = io.BytesIO()
    write_png(file, [np.random.default_rng(1).integers(0, 256, (50, 40), np.uint8)], 40, 50)
    data, path = file.getvalue(), tmp_path / "a.png"
    path.write_bytes(data)
    assert is_whole(str(path))
    for place in (20, 45, len(data) // 2, len(data) - 14):  # in the header, the pixels, and their checksum
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert not is_whole(str(path))
    for cut in (60, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        assert not is_whole(str(path))


@pytest.mark.parametrize(
    ("name", "data", "foreign"),
    [
        ("a.png", pillow("P"), True),
        ("a.png", b"GIF89a", True),
        ("a.png", b"", False),
        ("a.npy", b"text", True),
        ("a.npy", npy(2, 2), False),
        ("a.svg", b"<svg ", False),
        ("a.svg", b"<html", True),
        ("a.html", b"<html", False),
    ],
)
def test_what_others_have_made_is_told_by_its_content(name, data, foreign, tmp_path):
    (tmp_path / name).write_bytes(data)
    assert is_foreign(str(tmp_path / name)) is foreign
    assert not is_foreign(str(tmp_path / "none.png"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_place_of_an_output_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert not is_whole(str(tmp_path / "a.png")) and not is_foreign(str(tmp_path / "a.png"))
