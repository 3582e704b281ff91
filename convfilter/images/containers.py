"""Walks PNG, GIF, WebP and ICO files without decoding them: frames counted, checksums and ends verified.

Pillow does not tell a picture that is cut off, or counts its frames by decoding them; so these files are walked here.
"""

import bisect
import io
import os
import re
import struct
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from convfilter.errors import InputError
from convfilter.images.deflate import crc32

TRUNCATED = "truncated: the file ends in the middle of the picture data"

_BLOCK = 1 << 18
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_PNG_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"acTL", b"fcTL", b"IDAT", b"fdAT", b"IEND")
_PNG_ORIENTATION = re.compile(rb"Raw profile type exif\0|XML:com\.adobe\.xmp\0\0")
_PNG_METADATA_LIMIT = 1 << 20
_ICO_SIDE_LIMIT = 1024


@dataclass(frozen=True)
class Contents:
    """What a walk through a file found: the bytes for Pillow to read, and the number of frames where it was counted."""

    source: BinaryIO
    file: BinaryIO
    frames: int | None = None
    chunks: tuple[tuple[int, int], ...] = field(default=(), repr=False)


def walk(name: str, file: BinaryIO) -> Contents:
    """Return the contents of a file in the named format, without decoding or reading pixels.

    ``file`` is seekable. A PNG's metadata are left out of what Pillow gets to see: a text of gigabytes costs nothing,
    and a colour profile too large for Pillow no harm. Raises InputError where the structure is broken: a file that ends
    too early, a GIF without its last byte, sizes that lie.
    """
    file.seek(0)
    if name == "PSD":
        return Contents(file, file, 1)  # the whole picture; Pillow would count its layers
    steps = {"PNG": _walk_png, "GIF": _walk_gif, "WEBP": _walk_webp, "ICO": _walk_ico}
    return steps[name](file) if name in steps else Contents(file, file)


def verify(contents: Contents) -> None:
    """Read a whole PNG once and raise InputError where a chunk's checksum is wrong; other formats have none."""
    file = contents.source
    for start, length in contents.chunks:
        file.seek(start)
        cid = file.read(4)
        crc, left = crc32(cid), length
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise InputError(TRUNCATED)
            crc, left = crc32(block, crc), left - len(block)
        if file.read(4) != crc.to_bytes(4, "big"):
            raise InputError(f"damaged: the checksum of its {cid.decode('ascii')} data is wrong")


def holds_all_rows(contents: Contents) -> bool:
    """Return whether the compressed data of a PNG are as long as its header says, by unpacking them.

    A picture that its animation does not show is what counts where there is one.
    """
    file, (header, _) = contents.source, contents.chunks[0]
    file.seek(header + 4)
    width, height, bits, colour, interlaced = struct.unpack(">IIBBxxB", file.read(13))
    pixel = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    left = sum(
        len(range(y, height, dy)) * (1 + -(-len(range(x, width, dx)) * pixel // 8))
        for y, x, dy, dx in (_ADAM7 if interlaced else ((0, 0, 1, 1),))
        if x < width
    )
    inflate = zlib.decompressobj()
    for start, length in contents.chunks:
        file.seek(start)
        packed = file.read(4 + length)
        if packed[:4] == b"IDAT":
            packed = packed[4:]
            while packed and left > 0:
                left -= len(inflate.decompress(packed, _BLOCK))
                packed = inflate.unconsumed_tail
    return left <= 0


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """Return the next ``count`` bytes of the file, or raise InputError where it ends before them."""
    data = file.read(count)
    if len(data) < count:
        raise InputError(TRUNCATED)
    return data


def _size_of(file: BinaryIO) -> int:
    here = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(here)
    return size


def _walk_png(file: BinaryIO) -> Contents:
    if file.read(8) != _PNG_SIGNATURE:
        raise InputError("damaged: its PNG signature is wrong, as after a transfer as text")
    size, place = _size_of(file), 8
    before: list[tuple[int, int]] = []  # spans of the file for Pillow: (start, length)
    after: list[tuple[int, int]] = []
    chunks: list[tuple[int, int]] = []
    announced, controls, default_first, cid = 0, 0, False, b""
    while cid != b"IEND":
        file.seek(place)
        length, cid = struct.unpack(">I4s", read_exactly(file, 8))
        if not cid.isalpha():
            raise InputError(f"damaged: what should be a PNG chunk at byte {place} is none")
        if place + 12 + length > size:
            raise InputError(TRUNCATED)
        chunks.append((place + 4, length))
        default_first = default_first or (cid == b"IDAT" and not controls)
        controls += cid == b"fcTL"
        if cid == b"acTL" and length >= 8 and not after:
            announced = int.from_bytes(file.read(4), "big")
        if cid in _PNG_PICTURE:
            _extend(after if after or cid in (b"IDAT", b"IEND") else before, place, length + 12)
        elif _turns(file, cid, length):
            _extend(before, place, length + 12)
        place += length + 12
    if controls < announced:
        raise InputError(f"damaged: an animation of {announced} frames that holds {controls}")
    frames = announced + default_first if announced else 1
    view = io.BufferedReader(_Spans(file, [(0, 8), *before, *after]), _BLOCK)
    return Contents(file, view, frames, tuple(chunks))  # type: ignore[arg-type]


def _turns(file: BinaryIO, cid: bytes, length: int) -> bool:
    """Tell whether the chunk at hand may say which way is up; Pillow wants to know that before it decodes."""
    if cid == b"eXIf":
        return length <= _PNG_METADATA_LIMIT
    if cid in (b"tEXt", b"zTXt", b"iTXt") and length <= _PNG_METADATA_LIMIT:
        return _PNG_ORIENTATION.match(file.read(min(length, 32))) is not None
    return False


def _extend(spans: list[tuple[int, int]], start: int, length: int) -> None:
    if spans and sum(spans[-1]) == start:
        spans[-1] = (spans[-1][0], spans[-1][1] + length)
    else:
        spans.append((start, length))


class _Spans(io.RawIOBase):
    """Some spans of a file, read as if they were a file of their own."""

    def __init__(self, file: BinaryIO, spans: list[tuple[int, int]]) -> None:
        self._file, self._spans, self._place = file, spans, 0
        self._ends = []
        end = 0
        for _, length in spans:
            end += length
            self._ends.append(end)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1]}[whence]
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        index = bisect.bisect_right(self._ends, self._place)
        if index == len(self._ends):
            return 0
        start, length = self._spans[index]
        left = self._ends[index] - self._place
        self._file.seek(start + length - left)
        data = self._file.read(min(left, len(buffer)))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _walk_gif(file: BinaryIO) -> Contents:
    screen = read_exactly(file, 13)
    _skip_palette(file, screen[10])
    frames = 0
    while (block := read_exactly(file, 1)) != b";":
        if block == b",":
            _skip_palette(file, read_exactly(file, 9)[8])
            read_exactly(file, 1)
            frames += 1
        elif block == b"!":
            read_exactly(file, 1)
        elif block == b"\0":  # padding that some writers leave between blocks
            continue
        else:
            raise InputError(f"damaged: what should be a GIF block at byte {file.tell() - 1} is none")
        while count := read_exactly(file, 1)[0]:
            read_exactly(file, count)
    if not frames:
        raise InputError("damaged: a GIF without a picture")
    return Contents(file, file, frames)


def _skip_palette(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        read_exactly(file, 3 << ((flags & 7) + 1))


def _walk_webp(file: BinaryIO) -> Contents:
    if int.from_bytes(read_exactly(file, 12)[4:8], "little") + 8 > _size_of(file):
        raise InputError(TRUNCATED)
    return Contents(file, file)


def _walk_ico(file: BinaryIO) -> Contents:
    """Refuse an icon that hides a huge picture: Pillow decodes the largest one as soon as it opens the file."""
    count, size = int.from_bytes(read_exactly(file, 6)[4:], "little"), _size_of(file)
    for length, offset in [struct.unpack("<8xII", read_exactly(file, 16)) for _ in range(count)]:
        if offset + length > size:
            raise InputError(TRUNCATED)
        file.seek(offset)
        head = read_exactly(file, 24)
        is_png = head.startswith(_PNG_SIGNATURE)
        width, height = struct.unpack(">II", head[16:]) if is_png else struct.unpack("<iI", head[4:12])
        if width > _ICO_SIDE_LIMIT or (height if is_png else height // 2) > _ICO_SIDE_LIMIT:
            raise InputError(f"damaged: an icon of more than {_ICO_SIDE_LIMIT} pixels a side")
    return Contents(file, file)
