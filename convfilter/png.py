"""PNG files: rows of pixels in, a compressed file out band by band, and the texts it carries read back."""

import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from os import PathLike
from typing import BinaryIO

import numpy as np

from convfilter.errors import InputError

try:
    from isal import isal_zlib as fast
except ImportError:  # a platform without its wheel: zlib's run-length mode, as small and 2 ms a 512x512 picture slower
    fast = None

SOFTWARE = "Software"
PIPELINE = "convfilter:pipeline"
CHANNEL = "convfilter:channel"
SEED = "convfilter:seed"
BLACK = "convfilter:black"
WHITE = "convfilter:white"

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BLOCK = 1 << 20  # bytes of pixels compressed at once: the cut depends on the picture alone, so the file does too
LONG_TEXT = 1 << 10  # bytes from which a text is stored compressed
MAX_TEXT = 1_000_000  # bytes of one text, written or read: Pillow refuses to read longer ones
MAX_TEXTS = 1 << 26  # bytes of all the texts of one file together

NONE, SUB, UP, AVERAGE, PAETH = range(5)


def write_png(
    file: BinaryIO,
    rows: Iterable[np.ndarray],
    width: int,
    height: int,
    *,
    bits: int = 8,
    channels: int = 1,
    text: Mapping[str, str] = {},
    level: int | None = None,
    workers: int = 1,
) -> None:
    r"""Write a PNG picture to a binary file while its rows are being made.

    ``rows`` yields bands from top to bottom, each (n, W) uint8 or uint16, or (n, W, 3) uint8 for ``channels=3``, of
    any height n; a band may be reused by its maker once the next is asked for. ``bits`` is 8 or 16. ``text`` becomes
    text chunks: a key has 1 to 79 printable Latin-1 characters; in a value NUL and lone surrogates, which no PNG
    can hold, become U+FFFD, and what goes past a million bytes is cut. ``level`` None is the fast default, about as
    small as zlib's run-length mode; 0 stores, 9 gives the smallest file.
    The bytes depend on pixels, texts and level only, not on the height of the bands or the number of ``workers``
    (threads; a picture of less than a megabyte has work for one), whose memory is two megabytes each at most.
    ValueError where shapes or types do not fit, or where the rows are not as many as ``height``.

    >>> import io
    >>> file = io.BytesIO()
    >>> write_png(file, [np.zeros((2, 3), np.uint8), np.ones((1, 3), np.uint8)], 3, 3, text={"Title": "café"})
    >>> file.getvalue()[:8]
    b'\x89PNG\r\n\x1a\n'
    >>> _ = file.seek(0)
    >>> read_text(file)
    {'Title': 'café'}
    """
    if (bits, channels) not in ((8, 1), (16, 1), (8, 3)):
        raise ValueError(f"a PNG of {bits} bits and {channels} channels: expected 8 bits and 1 or 3, or 16 bits and 1")
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise ValueError(f"a PNG of {width}x{height}: expected sides from 1 to {2**31 - 1}")
    if level is not None and not 0 <= level <= 9:
        raise ValueError(f"compression level {level}: expected 0 to 9, or None")
    texts = [_text_chunk(key, value) for key, value in text.items()]
    pixel = channels * bits // 8
    file.write(SIGNATURE)
    file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2 if channels == 3 else 0, 0, 0, 0)))
    file.writelines(texts)
    adler, head = 1, b"\x78\x01"
    for packed, filtered_adler, length in _map(
        lambda block: _pack(*block, pixel, level), _blocks(rows, width, height, bits, channels), workers
    ):
        adler = _join_adler(adler, filtered_adler, length)
        file.write(_chunk(b"IDAT", head + packed))
        head = b""
    file.write(_chunk(b"IDAT", adler.to_bytes(4, "big")))
    file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = (fast or zlib).crc32(data, zlib.crc32(kind))
    return b"".join((len(data).to_bytes(4, "big"), kind, data, crc.to_bytes(4, "big")))


def _blocks(
    rows: Iterable[np.ndarray], width: int, height: int, bits: int, channels: int
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the bytes of the rows in blocks of a fixed height, each below the row above it, and if it is the last."""
    dtype = np.dtype(np.uint8 if bits == 8 else ">u2")
    shape = (width,) if channels == 1 else (width, channels)
    tall = max(1, BLOCK // (width * channels * dtype.itemsize))
    above: np.ndarray | int = 0
    done = filled = 0
    block = np.empty((min(tall, height) + 1, *shape), dtype)
    for band in rows:
        if band.shape[1:] != shape or band.dtype.kind != "u" or band.dtype.itemsize != dtype.itemsize:
            raise ValueError(f"rows of shape {band.shape} and type {band.dtype}: expected (n, {shape}) of {bits} bits")
        if done + filled + len(band) > height:
            raise ValueError(f"more rows than the height of {height}")
        while len(band):
            taken = min(len(band), len(block) - 1 - filled)
            block[filled + 1 : filled + 1 + taken] = band[:taken]
            band, filled = band[taken:], filled + taken
            if filled == len(block) - 1:
                block[0] = above
                above, done, filled = block[-1], done + filled, 0
                yield block.view(np.uint8).reshape(len(block), -1), done == height
                block = np.empty((min(tall, height - done) + 1, *shape), dtype)
    if done < height:
        raise ValueError(f"{done + filled} rows where the height is {height}")


def _map(function, items: Iterable, workers: int) -> Iterator:
    """Map in order on threads, with no more than two items a thread under way."""
    if workers <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _join_adler(first: int, second: int, length: int) -> int:
    """Return the Adler-32 of two texts joined, from each one's own and the length of the second."""
    a, b = first & 0xFFFF, first >> 16
    low = (a + (second & 0xFFFF) - 1) % 65521
    high = (b + (second >> 16) + length * (a - 1)) % 65521
    return high << 16 | low


def _pack(lines: np.ndarray, last: bool, pixel: int, level: int | None) -> tuple[bytes, int, int]:
    """Filter and compress one block (a row above it, then its rows) into (raw deflate, Adler-32, bytes before)."""
    if level is None:
        filtered = _filter(lines, pixel, _best_filter(lines, pixel))
        packed = _deflate_fast(filtered, last)
    else:
        filtered, packed = _pack_small(lines, last, pixel, level)
    return packed, (fast or zlib).adler32(filtered), filtered.size


def _best_filter(lines: np.ndarray, pixel: int) -> int:
    """Return the filter under which a sample compresses best: up to 4 stretches of 8 rows, 1024 bytes wide."""
    rows, wide = lines.shape[0] - 1, lines.shape[1]
    left = max(0, (wide - 1024) // 2) // pixel * pixel
    starts = [0] if rows <= 32 else [(rows - 8) * i // 3 for i in range(4)]
    tall = 32 if rows <= 32 else 8
    samples = [lines[start : start + tall + 1, left : left + 1024] for start in starts]

    def size(kind: int) -> int:
        return len(_deflate_fast(np.concatenate([_filter(sample, pixel, kind) for sample in samples]), True))

    return min((UP, SUB, NONE), key=size)


def _filter(lines: np.ndarray, pixel: int, kind: int) -> np.ndarray:
    """Return the rows below the first as PNG's filter makes them, each with the filter's number before it."""
    above, row = lines[:-1], lines[1:]
    out = np.empty((row.shape[0], row.shape[1] + 1), np.uint8)
    out[:, 0] = kind
    data = out[:, 1:]
    if kind == NONE:
        data[:] = row
    elif kind == UP:
        np.subtract(row, above, out=data)
    elif kind == SUB:
        data[:, :pixel] = row[:, :pixel]
        np.subtract(row[:, pixel:], row[:, :-pixel], out=data[:, pixel:])
    else:
        left = np.zeros_like(row)
        left[:, pixel:] = row[:, :-pixel]
        np.subtract(row, _average(left, above) if kind == AVERAGE else _paeth(left, above, pixel), out=data)
    return out


def _average(left: np.ndarray, above: np.ndarray) -> np.ndarray:
    return (left & above) + ((left ^ above) >> 1)  # floor((left + above) / 2) without leaving 8 bits


def _paeth(left: np.ndarray, above: np.ndarray, pixel: int) -> np.ndarray:
    corner = np.zeros_like(above)
    corner[:, pixel:] = above[:, :-pixel]
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    to_left, to_above, to_corner = abs(b - c), abs(a - c), abs(a + b - c - c)
    take_left = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(take_left, left, np.where(to_above <= to_corner, above, corner))


def _deflate_fast(filtered: np.ndarray, last: bool) -> bytes:
    if fast is None:
        return _deflate(filtered, last, 6, zlib.Z_RLE)
    squeeze = fast.compressobj(1, zlib.DEFLATED, -15, 8)
    packed = squeeze.compress(filtered) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
    if len(packed) * 8 > filtered.size:
        return packed
    return min(packed, _deflate(filtered, last, 6, zlib.Z_RLE), key=len)  # two-tone pictures: quick, and a third less


def _deflate(filtered: np.ndarray, last: bool, level: int, strategy: int) -> bytes:
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return squeeze.compress(filtered) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _pack_small(lines: np.ndarray, last: bool, pixel: int, level: int) -> tuple[np.ndarray, bytes]:
    """Return the filtered block and the smallest that zlib makes of it: any filter at 9, the best a row below."""
    if level == 0:
        filtered = _filter(lines, pixel, NONE)
        return filtered, _deflate(filtered, last, 0, zlib.Z_DEFAULT_STRATEGY)
    choices = [_filter(lines, pixel, kind) for kind in range(5)]
    sums = np.stack([np.abs(choice[:, 1:].view(np.int8).astype(np.int16)).sum(1) for choice in choices])
    adaptive = np.stack(choices)[sums.argmin(0), np.arange(len(lines) - 1)]
    tried = [*choices, adaptive] if level == 9 else [adaptive]
    packed = [
        (choice, _deflate(choice, last, level, strategy))
        for choice in tried
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE)
    ]
    return min(packed, key=lambda pair: len(pair[1]))


def _text_chunk(key: str, value: str) -> bytes:
    """Return the text as the oldest kind of chunk that holds it: tEXt or zTXt for plain Latin-1, else iTXt."""
    name = key.encode("latin-1", "replace")
    if not 0 < len(name) < 80 or not key.isprintable() or key != " ".join(key.split()) or b"?" in name:
        raise ValueError(f"text key {key!r}: expected 1 to 79 printable Latin-1 characters")
    value = value.replace("\0", "\ufffd").encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    plain = all(line.isprintable() and ord(max(line, default=" ")) < 256 for line in value.split("\n"))
    data = value.encode("latin-1" if plain else "utf-8")[:MAX_TEXT]
    if not plain:
        data = data.decode("utf-8", "ignore").encode()  # the cut may have gone through a character
    long = len(data) >= LONG_TEXT
    stored = zlib.compress(data) if long else data
    if plain:
        return _chunk(b"zTXt", name + b"\0\0" + stored) if long else _chunk(b"tEXt", name + b"\0" + stored)
    return _chunk(b"iTXt", name + b"\0" + bytes((long, 0)) + b"\0\0" + stored)


def read_text(source: str | PathLike | BinaryIO) -> dict[str, str]:
    """Return the texts of a PNG file by their keys, in the file's order; of a key that comes twice, the last.

    ``source`` is a path or a seekable binary file. Pixels are skipped, not decoded. InputError where it is no PNG,
    where it ends early, or where a text is broken or longer than a million bytes.
    """
    if hasattr(source, "read"):
        return _read_text(source)
    try:
        with open(source, "rb") as file:
            return _read_text(file)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from None


def _read_text(file: BinaryIO) -> dict[str, str]:
    if file.read(8) != SIGNATURE:
        raise InputError("not a PNG file")
    texts: dict[str, str] = {}
    total = 0
    while True:
        head = file.read(8)
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if len(head) < 8:
            raise InputError("the PNG file ends early; copy or download it again")
        if kind == b"IEND":
            return texts
        if kind not in (b"tEXt", b"zTXt", b"iTXt"):
            file.seek(length + 4, 1)
            continue
        if length > MAX_TEXT + 1000:
            raise InputError(f"a text chunk of {length} bytes; expected at most {MAX_TEXT}")
        data, crc = file.read(length), file.read(4)
        if len(crc) < 4:
            raise InputError("the PNG file ends early; copy or download it again")
        if zlib.crc32(data, zlib.crc32(kind)).to_bytes(4, "big") != crc:
            raise InputError(f"a {kind.decode()} chunk is damaged (its checksum is wrong)")
        key, value = _parse_text(kind, data)
        total += len(value)
        if total > MAX_TEXTS:
            raise InputError(f"its texts are longer than {MAX_TEXTS} characters together")
        texts[key] = value


def _parse_text(kind: bytes, data: bytes) -> tuple[str, str]:
    name, _, rest = data.partition(b"\0")
    key = name.decode("latin-1")
    packed, coding = kind == b"zTXt", "latin-1"
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        packed, coding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if packed:
        unpack = zlib.decompressobj()
        try:
            rest = unpack.decompress(rest, MAX_TEXT + 1)
        except zlib.error as error:
            raise InputError(f"the text {key!r} cannot be unpacked ({error})") from None
    if len(rest) > MAX_TEXT:
        raise InputError(f"the text {key!r} is longer than {MAX_TEXT} bytes")
    return key, rest.decode(coding, "replace")
