"""A one-channel picture as 16 strips of columns, side by side in memory as oneDNN has channels."""

# Views are numpy's here: for each of its own, torch lets go of Python's lock, and threads only hand it to each other.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from convfilter.engine.algorithms import VECTOR, Algorithm


@dataclass(frozen=True, slots=True)
class Rim:
    """Columns of one strip that lie outside of the picture, and what they hold: the value of others, or a constant."""

    strip: int
    columns: slice | list[int]
    sources: list[int] | None
    value: float

    def fill(self, x: Tensor) -> None:
        """Write the columns of ``x``, strips (1, C * 16, h, w)."""
        strip = x.numpy()[0, self.strip :: VECTOR]
        strip[..., self.columns] = self.value if self.sources is None else strip[..., self.sources]


@dataclass(frozen=True, slots=True)
class Strips:
    """Where the strips of an algorithm's input lie: the first one's column, how far apart they begin, and their width.

    ``rims`` are what lies outside of the picture, and ``outputs`` the columns that each strip gives.
    """

    first: int
    pitch: int
    width: int
    rims: tuple[Rim, ...]
    outputs: list[range]


def plan_strips(algorithms: Sequence[Algorithm], lengths: Sequence[int], outputs: range) -> list[Strips] | None:
    """Return the strips of each algorithm of a chain that gives these columns; None if they would not be worth it.

    ``lengths`` are the numbers of columns of the algorithms' inputs. All strips are equally wide, so the last one may
    give columns past the wanted ones, which are undefined. They run through the algorithms without padding; what lies
    outside of the picture is a rim, written anew before each algorithm that pads.

    >>> from convfilter.layers.shapes import Effect, Window
    >>> algorithm = Algorithm(Effect(columns=Window(5)), lambda x: x)
    >>> [strips] = plan_strips([algorithm], [512], range(508))
    >>> strips.first, strips.pitch, strips.width, strips.outputs[-1]
    (0, 32, 36, range(480, 512))
    """
    pitch = width = -(-len(outputs) // VECTOR)
    if (VECTOR - 1) * pitch >= len(outputs):
        return None
    first, apart, planned = outputs.start, pitch, []
    for algorithm, n in zip(reversed(algorithms), reversed(lengths), strict=True):
        given = [range(first + i * apart, first + i * apart + width) for i in range(VECTOR)]
        axis = algorithm.effect.columns
        first, apart = first * axis.stride - axis.before, apart * axis.stride
        width = (width - 1) * axis.stride + axis.span
        if (rims := _plan_rims(algorithm, [first + i * apart for i in range(VECTOR)], width, n)) is None:
            return None
        planned.append(Strips(first, apart, width, rims, given))
    return planned[::-1] if width <= 2 * apart else None


def _plan_rims(algorithm: Algorithm, starts: Sequence[int], width: int, n: int) -> tuple[Rim, ...] | None:
    """The rims of an algorithm that pads, none for one that does not; None if a rim's source lies in another strip."""
    axis = algorithm.effect.columns
    if not (axis.before or axis.after or axis.ceil_mode):
        return ()
    rims = []
    for strip, low in enumerate(starts):
        if axis.mode == "zeros":
            sides = slice(0, min(max(-low, 0), width)), slice(min(max(n - low, 0), width), width)
            rims += [Rim(strip, side, None, algorithm.fill) for side in sides if side.start < side.stop]
            continue
        places = [place for place in (*range(-axis.before, 0), *range(n, n + axis.after)) if low <= place < low + width]
        sources = [axis.source(place, n) - low for place in places]
        if not all(0 <= place < width for place in sources):
            return None
        if places:
            rims.append(Rim(strip, [place - low for place in places], sources, 0.0))
    return tuple(rims)


def lay_out(picture: NDArray[np.generic], first: int, strips: Strips) -> Tensor:
    """Return the strips (1, 16, h, width) of a picture (h, w) from its column ``first`` on, as floats in NHWC order.

    Columns that it does not hold are 0.

    >>> picture = np.arange(33, dtype=np.uint8)[None]
    >>> lay_out(picture, 0, Strips(0, 2, 3, (), []))[0, [0, 1, 15], 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [30.0, 31.0, 32.0]]
    """
    h, pitch, width = len(picture), strips.pitch, strips.width
    own, all_own = min(pitch, width), VECTOR * pitch
    rows = _columns(picture, strips.first - first, all_own)
    floats = np.empty((h, width * VECTOR), np.float32)
    floats[:, : own * VECTOR] = transpose(rows, VECTOR)[:, : own * VECTOR]
    if width > pitch:  # what a strip sees beyond its own columns is the next one's first: one value further on
        seen = (width - pitch) * VECTOR
        floats[:, pitch * VECTOR : -1] = floats[:, 1:seen]
        floats[:, pitch * VECTOR + VECTOR - 1 :: VECTOR] = _columns(
            picture, strips.first - first + all_own, width - pitch
        )
    return torch.from_numpy(floats.reshape(1, h, width, VECTOR).transpose(0, 3, 1, 2))


def _columns(picture: NDArray[np.generic], start: int, count: int) -> NDArray[np.generic]:
    """A picture's columns from ``start`` on, next to each other in memory, 0 where it has none."""
    if start == 0 and picture.shape[1] == count:
        return np.ascontiguousarray(picture)
    before, after = min(max(-start, 0), count), min(max(start + count - picture.shape[1], 0), count)
    columns = np.empty((len(picture), count), picture.dtype)
    columns[:, :before] = 0
    columns[:, before : count - after] = picture[:, start + before : start + count - after]
    columns[:, count - after :] = 0
    return columns


def flatten(strips: Tensor, columns: int) -> NDArray[np.float32]:
    """Return strips (1, C * 16, h, w) of so many columns as (h, w * C * 16), in the order of memory.

    Values past the last column are undefined, and are replaced by others of the row, so that they change no range.
    """
    flat = strips.numpy().transpose(0, 2, 3, 1)[0]
    if past := VECTOR * flat.shape[1] - columns:
        flat[:, -past:, VECTOR - 1 :: VECTOR] = flat[:, -past:, VECTOR - 2 :: VECTOR]
    return flat.reshape(len(flat), -1)


def join(flat: NDArray[np.generic], channels: int = 1) -> NDArray[np.generic]:
    """Return what ``flatten`` gives as rows (h, C, w * 16), with the undefined values at each one's end.

    >>> picture = np.arange(31, dtype=np.float32)[None]
    >>> join(flatten(lay_out(picture, 0, Strips(0, 2, 2, (), [])), 31))[0, 0, :31].tolist() == picture[0].tolist()
    True
    """
    return transpose(flat, flat.shape[1] // (channels * VECTOR)).reshape(len(flat), channels, -1)


def transpose(rows: NDArray[np.generic], groups: int) -> NDArray[np.generic]:
    """Return rows (h, groups * k), each transposed from (groups, k) to (k, groups): quicker than a strided copy.

    >>> transpose(np.array([[1, 2, 3, 4, 5, 6]]), 2).tolist()
    [[1, 4, 2, 5, 3, 6]]
    """
    if rows.dtype == np.uint16:  # which channel_shuffle does not know
        return transpose(rows.view(np.int16), groups).view(np.uint16)
    h, w = rows.shape
    pixels = torch.from_numpy(rows.reshape(1, h, 1, w).transpose(0, 3, 1, 2))
    return F.channel_shuffle(pixels, groups).numpy()[0, :, :, 0].T
