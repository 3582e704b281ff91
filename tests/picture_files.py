"""Picture files made byte by byte, so that a test knows every pixel and every field."""

import struct
import zlib
from collections.abc import Iterable

import numpy as np

_DTYPE_KINDS = {"u": 1, "i": 2, "f": 3}


def chunk(cid: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + cid + data + struct.pack(">I", zlib.crc32(cid + data))


def pack_bits(row: Iterable[int], bits: int) -> bytes:
    """Return samples of 1, 2, 4, 8 or 16 bits as a row of a PNG or big-endian TIFF stores them."""
    text = "".join(f"{value:0{bits}b}" for value in row)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def png(
    samples: object,
    colour: int,
    bits: int,
    *,
    before: bytes = b"",
    after: bytes = b"",
    size: tuple[int, int] | None = None,
    interlace: int = 0,
) -> bytes:
    """Return a PNG of the HxW or HxWxC samples; ``before`` and ``after`` are chunks around the picture data."""
    array = np.asarray(samples)
    height, width = array.shape[:2]
    lines = b"".join(b"\0" + pack_bits(row.ravel().tolist(), bits) for row in array)
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour, 0, 0, interlace)
    data = chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + data + after + chunk(b"IEND", b"")


def exif(orientation: int) -> bytes:
    """Return a TIFF directory that holds only the orientation, as an eXIf chunk has it."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + b"\0\0\0\0"


def tiff(
    pages: list[np.ndarray],
    photometric: int = 1,
    *,
    order: str = "<",
    bits: tuple[int, ...] | None = None,
    tags: dict[int, tuple[int, ...]] | None = None,
    packed: bytes | None = None,
    rows_per_strip: int | None = None,
    deflate: bool = False,
    big: bool = False,
) -> bytes:
    """Return a TIFF (or BigTIFF) of HxW or HxWxC arrays, whose dtype says the kind of number, unless ``packed`` does.

    ``tags`` are further ones, their values LONGs above 65535 and SHORTs else.
    """
    offset_code, entry_code, many_code = ("Q", "HHQ", "Q") if big else ("I", "HHI", "H")
    room = struct.calcsize(offset_code)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    out = bytearray(head)
    for number, page in enumerate(pages):
        height, width = page.shape[:2]
        samples = page.shape[2] if page.ndim == 3 else 1
        each = bits or (page.dtype.itemsize * 8,) * samples
        data = packed if packed is not None else page.astype(page.dtype.newbyteorder(order)).tobytes()
        rows = rows_per_strip or height
        row = len(data) // height
        strips = [data[start * row : (start + rows) * row] for start in range(0, height, rows)]
        strips = [zlib.compress(strip) for strip in strips] if deflate else strips
        fields = {256: (width,), 257: (height,), 258: each, 259: (8 if deflate else 1,), 262: (photometric,)}
        fields |= {277: (samples,), 278: (rows,), 339: (_DTYPE_KINDS[page.dtype.kind],) * len(each), **(tags or {})}
        fields |= {273: (0,) * len(strips), 279: tuple(map(len, strips))}
        start = len(out)
        after = (
            start
            + struct.calcsize(order + many_code)
            + len(fields) * (struct.calcsize(order + entry_code) + room)
            + room
        )
        outside = {tag: _values(order, values) for tag, values in fields.items()}
        outside[273] = (4, bytes(4 * len(strips)))
        place = after + sum(len(data) for _, data in outside.values() if len(data) > room)
        offsets = [place + sum(map(len, strips[:i])) for i in range(len(strips))]
        outside[273] = (4, struct.pack(f"{order}{len(strips)}I", *offsets))
        out += struct.pack(order + many_code, len(fields))
        extra = bytearray()
        for tag in sorted(outside):
            kind, data = outside[tag]
            out += struct.pack(order + entry_code, tag, kind, len(data) // {3: 2, 4: 4}[kind])
            if len(data) <= room:
                out += data.ljust(room, b"\0")
            else:
                out += struct.pack(order + offset_code, after + len(extra))
                extra += data
        body = bytes(extra) + b"".join(strips)
        following = after + len(body) if number + 1 < len(pages) else 0
        out += struct.pack(order + offset_code, following) + body
    return bytes(out)


def _values(order: str, values: tuple[int, ...]) -> tuple[int, bytes]:
    kind, code = (4, "I") if max(values) > 65535 else (3, "H")
    return kind, struct.pack(f"{order}{len(values)}{code}", *values)


def gif(
    size: tuple[int, int], palette: list[tuple[int, int, int]], frames: list[tuple[object, tuple[int, int], int, int]]
) -> bytes:
    """Return a GIF whose frames are (HxW indices, (left, top), disposal, transparent index or -1); 4 colours."""
    out = b"GIF89a" + struct.pack("<HHBBB", *size, 0x81, 0, 0)
    out += bytes(value for colour in (palette + [(0, 0, 0)] * 4)[:4] for value in colour)
    for indices, (left, top), disposal, transparent in frames:
        array = np.asarray(indices)
        flags = disposal << 2 | (transparent >= 0)
        out += b"!\xf9\x04" + struct.pack("<BHBB", flags, 10, max(0, transparent), 0)
        out += b"," + struct.pack("<HHHHB", left, top, array.shape[1], array.shape[0], 0)
        out += b"\x02" + _uncompressed_lzw(array.ravel().tolist()) + b"\0"
    return out + b";"


def _uncompressed_lzw(indices: list[int]) -> bytes:
    """Return GIF data for 2-bit indices that clear the table before it grows: every code has 3 bits."""
    codes = []
    for start in range(0, len(indices), 2):
        codes += [4, *indices[start : start + 2]]
    codes.append(5)
    value = sum(code << 3 * i for i, code in enumerate(codes))
    data = value.to_bytes(-(-3 * len(codes) // 8), "little")
    return b"".join(bytes([len(part)]) + part for part in (data[i : i + 255] for i in range(0, len(data), 255)))


def apng(
    size: tuple[int, int],
    frames: list[tuple[np.ndarray, tuple[int, int], int, int]],
    *,
    default: np.ndarray | None = None,
) -> bytes:
    """Return an APNG of RGBA frames (HxWx4, (left, top), disposal, blend), with a default picture of its own or not."""

    def lines(array: np.ndarray) -> bytes:
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in array))

    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 6, 0, 0, 0))
    out += chunk(b"acTL", struct.pack(">II", len(frames), 0))
    if default is not None:
        out += chunk(b"IDAT", lines(default))
    sequence = 0
    for number, (array, (left, top), disposal, blend) in enumerate(frames):
        field = struct.pack(">IIIIIHHBB", sequence, array.shape[1], array.shape[0], left, top, 1, 10, disposal, blend)
        out += chunk(b"fcTL", field)
        sequence += 1
        if number == 0 and default is None:
            out += chunk(b"IDAT", lines(array))
        else:
            out += chunk(b"fdAT", struct.pack(">I", sequence) + lines(array))
            sequence += 1
    return out + chunk(b"IEND", b"")
