"""What a file on disk tells of the run that wrote it: whether it is whole, new enough, and convfilter's own."""

import math
import os
import re
import stat
from typing import BinaryIO, Literal

from convfilter.images.formats import is_cut_off

_PNG, _END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_NUMPY = b"\x93NUMPY"
_SVG, _SVG_END = b"<svg ", b"</svg>\n"
_MARK = re.compile(rb"[ti][ET]XtSoftware\0+convfilter")
_LIBPNG = (8192).to_bytes(4, "big")  # the chunks that libpng cuts longer data into
_NPY = re.compile(rb"\{'descr': '[<>|]?[a-z](\d{1,3})', 'fortran_order': \w+, 'shape': \(([\d, ]*)\), \} *\n")


def is_whole(path: str) -> bool:
    """Return whether a PNG has all its rows and its checksums are right, an SVG its end, an NPY its header's size.

    Outputs appear under their names only when complete, so this finds what was cut or damaged by other hands. OSError
    where the file cannot be read.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        return False
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(4096)
        if path.lower().endswith(".npy"):
            return _npy_size(start) == size
        begins, ends = (_SVG, _SVG_END) if path.lower().endswith(".svg") else (_PNG, _END)
        file.seek(max(0, size - len(ends)))
        if not start.startswith(begins) or file.read() != ends:
            return False
        return begins is _SVG or _has_all_rows(file)


def is_ours(path: str) -> bool:
    """Return whether a file is a PNG that says convfilter has made it."""
    return path.lower().endswith(".png") and read_mark(path) == "marked"


def is_foreign(path: str) -> bool:
    """Return whether there is a file at this path that convfilter has not made, as far as its content tells.

    What an interrupted copy leaves is nobody's. False where there is no file, or where it cannot be read.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not os.path.getsize(path):
            return False
        with open(path, "rb") as file:
            return is_foreign_start(file.read(4096), path)
    except OSError:
        return False


def is_foreign_start(start: bytes, path: str) -> bool:
    """Return whether a file at this path that begins so (4,096 bytes tell) is none that convfilter has made.

    >>> is_foreign_start(b"<html>", "a.svg"), is_foreign_start(b"<svg ", "a.svg"), is_foreign_start(b"", "a.png")
    (True, False, False)
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix == ".png":
        return mark_of(start) == ""
    begins = _NUMPY if suffix == ".npy" else _SVG if suffix == ".svg" else b""
    return bool(start) and not start.startswith(begins)


def _has_all_rows(file: BinaryIO) -> bool:
    from convfilter.errors import InputError
    from convfilter.images import containers  # which loads numpy

    file.seek(0)
    try:
        contents = containers.walk("PNG", file)
        containers.verify(contents)
        return containers.holds_all_rows(contents)
    except InputError:
        return False


def read_mark(path: str) -> Literal["marked", "alike", "unknown", ""]:
    """Return "marked" for a PNG that says convfilter made it, "alike" for one that it may have made unmarked, else "".

    "unknown" is a file that cannot be read, or that holds no more than an interrupted copy leaves.
    Alike is a gray or colour PNG with nothing but pixels, packed as png.write_png packs them; few others are, but some.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except OSError:
        return "unknown"
    return mark_of(start)


def mark_of(start: bytes) -> Literal["marked", "alike", "unknown", ""]:
    """Return what ``read_mark`` says of a file that begins so; 4,096 bytes tell."""
    if is_cut_off(start):
        return "unknown"
    if not start.startswith(_PNG):
        return ""
    if _MARK.search(start):
        return "marked"
    color, length, data = start[25:26], start[33:37], start[37:43]
    return "alike" if color in (b"\0", b"\2") and data == b"IDAT\x78\x01" and length != _LIBPNG else ""


def _npy_size(start: bytes) -> int:
    """Return the size in bytes that an NPY file has by its header, or -1."""
    if not start.startswith(_NUMPY):
        return -1
    first = 10 if start[6:7] == b"\1" else 12
    length = int.from_bytes(start[8:first], "little")
    header = _NPY.fullmatch(start[first : first + length])
    if not header:
        return -1
    shape = [int(n) for n in header[2].decode().split(",") if n.strip()]
    return first + length + math.prod(shape) * int(header[1])
