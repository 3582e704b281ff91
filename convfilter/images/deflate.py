"""Blocks of a picture's rows, filtered and compressed the way PNG stores them."""

import zlib

import numpy as np

try:
    from zlib_ng import zlib_ng as fast
except ImportError:  # a platform without its wheel: the same mode, as small and slower
    fast = zlib

NONE, SUB, UP, AVERAGE, PAETH = range(5)

crc32 = fast.crc32


def pack(lines: np.ndarray, last: bool, pixel: int, level: int | None) -> tuple[bytes, int, int]:
    """Filter and compress one block (a row above it, then its rows) into (raw deflate, Adler-32, bytes before)."""
    if level is None:
        filtered = _choose([_filter(lines, pixel, kind) for kind in (UP, SUB, NONE)])
        packed = _deflate_fast(filtered, last)
    else:
        filtered, packed = _pack_small(lines, last, pixel, level)
    return packed, fast.adler32(filtered), filtered.size


def _choose(choices: list[np.ndarray]) -> np.ndarray:
    """Return the filtered block whose sample has the least entropy: four stretches of 8 rows, 1024 bytes wide."""
    height, wide = choices[0].shape
    left = max(0, (wide - 1024) // 2)
    tops = np.linspace(0, max(0, height - 8), 4, dtype=int).tolist()
    rows = sorted({top + row for top in tops for row in range(min(8, height))})  # np.unique loads numpy.ma: 10 ms

    def bits(filtered: np.ndarray) -> float:
        count = np.bincount(filtered[:, left : left + 1024].take(rows, axis=0).ravel())
        count = count[count > 0]
        return -(count * np.log2(count / count.sum())).sum()

    return min(choices, key=bits)


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
    """Run lengths and Huffman codes only: no table of matches, whose leftovers could change a byte from run to run."""
    squeeze = fast.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return squeeze.compress(filtered) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _deflate(filtered: np.ndarray, last: bool, level: int, strategy: int) -> bytes:
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
    return squeeze.compress(filtered) + squeeze.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


def _pack_small(lines: np.ndarray, last: bool, pixel: int, level: int) -> tuple[np.ndarray, bytes]:
    """Return the filtered block and the smallest that zlib makes of it, each row under the filter that suits it."""
    if level == 0:
        filtered = _filter(lines, pixel, NONE)
        return filtered, _deflate(filtered, last, 0, zlib.Z_DEFAULT_STRATEGY)
    choices = [_filter(lines, pixel, kind) for kind in range(5)]
    sums = np.stack([np.abs(choice[:, 1:].view(np.int8).astype(np.int16)).sum(1) for choice in choices])
    adaptive = np.stack(choices)[sums.argmin(0), np.arange(len(lines) - 1)]
    sampled = _choose([choices[kind] for kind in (UP, SUB, NONE)])
    tried = [(adaptive, zlib.Z_FILTERED), (adaptive, zlib.Z_RLE), (sampled, zlib.Z_DEFAULT_STRATEGY)]
    if level == 9:
        tried += [(adaptive, zlib.Z_DEFAULT_STRATEGY), (sampled, zlib.Z_FILTERED), (sampled, zlib.Z_RLE)]
    packed = [(choice, _deflate(choice, last, level, strategy)) for choice, strategy in tried]
    return min(packed, key=lambda pair: len(pair[1]))


def join_adler(first: int, second: int, length: int) -> int:
    """Return the Adler-32 of two texts joined, from each one's own and the length of the second."""
    a, b = first & 0xFFFF, first >> 16
    low = (a + (second & 0xFFFF) - 1) % 65521
    high = (b + (second >> 16) + length * (a - 1)) % 65521
    return high << 16 | low
