"""PNG files: rows of pixels in, a compressed file out band by band, and the texts it carries read back.

Written here, for Pillow wants the whole picture in memory and compresses on one core; texts are read by Pillow.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import BinaryIO

import numpy as np

from convfilter.errors import InputError
from convfilter.images import decoding
from convfilter.images.deflate import crc32, join_adler, pack
from convfilter.images.png_keys import BLACK, WHITE
from convfilter.images.reader import Mode, open_file, read_header, read_pictures
from convfilter.in_order import map_in_order

SIGNATURE = b"\x89PNG\r\n\x1a\n"
BLOCK = 1 << 20  # bytes of pixels compressed at once: the cut depends on the picture alone, so the file does too
LONG_TEXT = 1 << 10  # bytes from which a text is stored compressed
MAX_TEXT = 1_000_000  # bytes of one text written: Pillow refuses to read longer ones


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

    ``rows`` yields bands from top to bottom, each (n, W) uint8 or uint16, or (n, W, 3) for ``channels=3``, of
    any height n; a band may be reused by its maker once the next is asked for. ``bits`` is 8 or 16. ``text`` becomes
    text chunks: a key has 1 to 79 printable Latin-1 characters; in a value NUL and lone surrogates, which no PNG
    can hold, become U+FFFD, and what goes past a million bytes is cut. ``level`` None is the fast default, about as
    small as zlib's run-length mode; 0 stores, 9 gives the smallest file.
    On one machine the bytes depend on pixels, texts and level only, not on the height of the bands or the number of
    ``workers``: threads that compress a picture of more than a megabyte together, with some megabytes each.
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
    if bits not in (8, 16) or channels not in (1, 3):
        raise ValueError(f"a PNG of {bits} bits and {channels} channels: expected 8 or 16 bits, and 1 or 3 channels")
    if not (0 < width < 2**31 and 0 < height < 2**31):
        raise ValueError(f"a PNG of {width}x{height}: expected sides from 1 to {2**31 - 1}")
    if level is not None and not 0 <= level <= 9:
        raise ValueError(f"compression level {level}: expected 0 to 9, or None")
    texts = [_text_chunk(key, value) for key, value in text.items()]
    pixel = channels * bits // 8
    if width * height * pixel <= BLOCK:
        workers = 1
    file.write(SIGNATURE)
    file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2 if channels == 3 else 0, 0, 0, 0)))
    file.writelines(texts)
    blocks = _blocks(rows, width, height, bits, channels)
    adler, head, left = 1, b"\x78\x01", height * (1 + width * pixel)

    def pack_block(block: tuple[np.ndarray, bool]) -> tuple[bytes, int, int]:
        return pack(*block, pixel, level)

    each = map_in_order(pack_block, blocks, workers=workers) if workers > 1 else map(pack_block, blocks)
    for packed, its_adler, length in each:
        adler, left = join_adler(adler, its_adler, length), left - length
        file.write(_chunk(b"IDAT", head + packed + (b"" if left else adler.to_bytes(4, "big"))))
        head = b""
    file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = crc32(data, zlib.crc32(kind))
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
            raise ValueError(f"rows of shape {band.shape}, {band.dtype}: expected {('n', *shape)} of {bits} bits")
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


def _text_chunk(key: str, value: str) -> bytes:
    """Return the text as the oldest kind of chunk that holds it: tEXt or zTXt for plain Latin-1, else iTXt."""
    if not re.fullmatch("[!-~\xa1-\xff]+( [!-~\xa1-\xff]+)*", key) or len(key) > 79:
        raise ValueError(f"text key {key!r}: expected 1 to 79 printable Latin-1 characters, no spaces at the ends")
    name = key.encode("latin-1")
    value = re.sub("[\0\ud800-\udfff]", "\ufffd", value)
    plain = re.fullmatch("[\n -~\xa0-\xff]*", value) is not None
    data = value.encode("latin-1" if plain else "utf-8")[:MAX_TEXT]
    if not plain:
        data = data.decode("utf-8", "ignore").encode()  # the cut may have gone through a character
    long = len(data) >= LONG_TEXT
    stored = zlib.compress(data) if long else data
    if not plain:
        return _chunk(b"iTXt", name + b"\0" + bytes((long, 0, 0, 0)) + stored)  # no language, no translated key
    return _chunk(b"zTXt", name + b"\0\0" + stored) if long else _chunk(b"tEXt", name + b"\0" + stored)


def read_text(source: str | PathLike | BinaryIO) -> dict[str, str]:
    """Return the texts of a PNG file by their keys, in the file's order; of a key that comes twice, the last.

    They are those before the pixels, where this program and nearly all others write them: no pixel is decoded.
    ``source`` is a path or a seekable binary file. InputError where it is no PNG, or is damaged before its pixels.
    """
    if hasattr(source, "read"):
        return _read_text(source)
    try:
        with open_file(source) as file:
            return _read_text(file)
    except OSError as error:
        raise InputError(error.strerror or str(error)) from None


def _read_text(file: BinaryIO) -> dict[str, str]:
    if file.read(len(SIGNATURE)) != SIGNATURE:
        raise InputError("not a PNG file; only a PNG carries convfilter's texts")
    with decoding.reading("PNG"):
        info = decoding.open_image("PNG", file).info
        return {key: str(value) for key, value in info.items() if isinstance(value, str)}  # the rest are no texts


def read_floats(source: str | PathLike | BinaryIO) -> tuple[np.ndarray, dict[str, str]]:
    """Return the floats that a channel's PNG was made of, (H, W) float32, or (3, H, W), and the file's texts.

    They are within half a level of those that were written, but for what was lost then: values beyond black and
    white (``--norm clip``), and signs (``--norm abs``). ``source`` is a path or a seekable binary file. InputError
    where it is no sound PNG, or does not say which values its black and white are.

    >>> import io
    >>> file = io.BytesIO()
    >>> write_png(file, [np.array([[0, 255]], np.uint8)], 2, 1, text={BLACK: "-1.5", WHITE: "2.0"})
    >>> _ = file.seek(0)
    >>> read_floats(file)[0]
    array([[-1.5,  2. ]], dtype=float32)
    """
    text = read_text(source)
    try:
        black, white = float(text[BLACK]), float(text[WHITE])
    except (KeyError, ValueError):
        raise InputError("it does not say which values are black and white, as channels written here do") from None
    if hasattr(source, "seek"):
        source.seek(0)
    mode: Mode = "RGB" if read_header(source).mode == "RGB" else "L"
    picture = next(read_pictures(source, mode=mode))
    values = picture.values.astype(np.float32)
    values *= (white - black) / picture.white
    values += black
    return values, text
