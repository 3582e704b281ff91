"""Walks the pages of a TIFF without decoding: how many there are, and whether their data are all in the file."""

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from convfilter.errors import InputError
from convfilter.images.containers import TRUNCATED, read_exactly

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_OFFSETS, _COUNTS, _TILE_OFFSETS, _TILE_COUNTS = 273, 279, 324, 325  # of strips, of tiles
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_UNCOMPRESSED, _OLD_JPEG = 1, 6
_TYPES = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}
_PAGE_LIMIT = 100_000
_TAGS_LIMIT = 1 << 26  # values a page
_PIECE_LIMIT = 1_000_000  # strips or tiles a page
_TILE_LIMIT = 1 << 26  # pixels that a tile may have beyond the picture's own


@dataclass(frozen=True)
class _Layout:
    """How a TIFF writes its numbers: ``<`` or ``>``, and the codes of a count, an entry and an offset."""

    order: str
    count: str
    entry: str
    offset: str


@dataclass(frozen=True)
class _Entry:
    kind: int
    count: int
    value: bytes


def count_pages(file: BinaryIO) -> int:
    """Return the number of pages of a TIFF (or BigTIFF) that begins where ``file`` begins.

    Raises InputError where a page or its data lie beyond the end of the file, and where the numbers of a page are out
    of all proportion: more than a million strips, tiles far larger than the picture.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = read_exactly(file, 4)
    order, big = "<" if head[:2] == b"II" else ">", 43 in head
    layout = _Layout(order, "Q", "HHQ8s", "Q") if big else _Layout(order, "H", "HHI4s", "I")
    file.seek(8 if big else 4)
    (place,) = struct.unpack(order + layout.offset, read_exactly(file, 8 if big else 4))
    seen: set[int] = set()
    budget = size  # what tables of strips may take in all, so that many pages cannot share a large one
    while place and place not in seen:
        seen.add(place)
        if len(seen) > _PAGE_LIMIT:
            raise InputError(f"damaged: a TIFF of more than {_PAGE_LIMIT} pages")
        entries, place = _read_page(file, layout, place)
        budget -= sum(8 * entries[tag].count for tag in (_OFFSETS, _TILE_OFFSETS) if tag in entries) // 4
        if budget < 0:
            raise InputError("damaged: its TIFF pages need more data than there are")
        _check_page(file, layout, entries, size)
    return len(seen)


def _read_page(file: BinaryIO, layout: _Layout, place: int) -> tuple[dict[int, _Entry], int]:
    """Return the entries of the page's directory, and the place of the next page (0 at the last)."""
    file.seek(place)
    count_code, entry_code, offset_code = (layout.order + code for code in (layout.count, layout.entry, layout.offset))
    (count,) = struct.unpack(count_code, read_exactly(file, struct.calcsize(count_code)))
    if count > 65535:
        raise InputError("damaged: its TIFF directory makes no sense")
    table = read_exactly(file, count * struct.calcsize(entry_code))
    entries = {tag: _Entry(kind, many, value) for tag, kind, many, value in struct.iter_unpack(entry_code, table)}
    tail = file.read(struct.calcsize(offset_code))
    return entries, struct.unpack(offset_code, tail)[0] if tail else 0  # some writers leave out the last page's 0


def _check_page(file: BinaryIO, layout: _Layout, entries: dict[int, _Entry], size: int) -> None:
    # Pillow reads every tag whose data can be in the file.
    if sum(entry.count for entry in entries.values() if entry.count <= size) > _TAGS_LIMIT:
        raise InputError(f"its TIFF tags are too large: more than {_TAGS_LIMIT} values")

    def numbers(tag: int, default: int = 0) -> np.ndarray:
        return _numbers(file, layout, entries[tag]) if tag in entries else np.array([default], np.uint64)

    tiled = _TILE_OFFSETS in entries
    starts, lengths = numbers(_TILE_OFFSETS if tiled else _OFFSETS), numbers(_TILE_COUNTS if tiled else _COUNTS)
    width, height, compression = int(numbers(_WIDTH)[0]), int(numbers(_HEIGHT)[0]), int(numbers(_COMPRESSION, 1)[0])
    bits, samples = numbers(_BITS, 1), int(numbers(_SAMPLES, 1)[0])
    if tiled and int(numbers(_TILE_WIDTH)[0]) * int(numbers(_TILE_HEIGHT)[0]) > width * height + _TILE_LIMIT:
        raise InputError("damaged: its TIFF tiles are far larger than the picture")
    if len(starts) != len(lengths) or compression == _OLD_JPEG:
        return
    starts, lengths = starts.astype(np.float64), lengths.astype(np.float64)  # exact as far as files go, and no overflow
    present = np.clip(size - starts, 0, lengths)
    if compression == _UNCOMPRESSED and not tiled:  # the last strip is often said to be longer than it is
        row = sum(-(-width * int(bits[min(i, len(bits) - 1)]) // 8) for i in range(min(samples, 16)))
        whole = present.sum() >= min(row * height, lengths.sum())
    else:
        whole = bool((present == lengths).all())
    if not whole:
        raise InputError(TRUNCATED)


def _numbers(file: BinaryIO, layout: _Layout, entry: _Entry) -> np.ndarray:
    dtype = np.dtype(_TYPES.get(entry.kind, "u1")).newbyteorder(layout.order)
    if entry.count > _PIECE_LIMIT:
        raise InputError(f"damaged: a TIFF page of {entry.count} strips")
    length = entry.count * dtype.itemsize
    if length <= len(entry.value):
        return np.frombuffer(entry.value, dtype, entry.count)
    file.seek(struct.unpack(layout.order + layout.offset, entry.value)[0])
    return np.frombuffer(read_exactly(file, length), dtype)
