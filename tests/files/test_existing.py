import io
import os

import numpy as np
import pytest
from PIL import Image

from convfilter.files.existing import is_done, is_whole, read_mark
from convfilter.images.png import write_png


def png(**options):
    file = io.BytesIO()
    write_png(file, [np.arange(12, dtype=np.uint8).reshape(3, 4)], 4, 3, **options)
    return file.getvalue()


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


def test_done_is_there_and_whole_and_not_older(tmp_path):
    source, one, two = (str(tmp_path / name) for name in ("s.jpg", "1.png", "2.npy"))
    for path, data in ((source, b"x"), (one, png()), (two, npy(2, 2))):
        with open(path, "wb") as file:
            file.write(data)
    os.utime(source, ns=(5, 10**18))
    for path, age, done in ((one, 0, True), (one, 1, True), (one, -1, False), (one, 0, True), (two, -1, False)):
        os.utime(path, ns=(5, 10**18 + age))
        os.utime(two if path == one else one, ns=(5, 10**18))
        assert is_done(source, [one, two]) is done
    os.utime(two)
    assert is_done(source, {"a": one, "b": two}.values())
    assert not is_done(source, [])
    assert not is_done(source, [one, str(tmp_path / "3.png")])
    assert not is_done(str(tmp_path / "none.jpg"), [one])
    assert not is_done("-", [one])
    with open(one, "r+b") as file:
        file.truncate(60)
    assert not is_done(source, [one, two])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_the_place_of_an_output_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "s.png").write_bytes(png())
    assert not is_done(str(tmp_path / "s.png"), [str(tmp_path / "a.png")])
