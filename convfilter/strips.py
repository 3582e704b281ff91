"""A one-channel picture as 16 strips of columns, side by side in memory as oneDNN has channels."""

# Views are numpy's here: for each of its own, torch lets go of Python's lock, and threads only hand it to each other.

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

from convfilter.fast import VECTOR, Step
from convfilter.stretches import source


@dataclass(frozen=True, slots=True)
class Rim:
    """Columns of one strip that lie outside of the picture, and what they hold: the value of others, or a constant."""

    strip: int
    columns: slice | list[int]
    sources: list[int] | None
    value: float

    def fill(self, x: Tensor) -> None:
        """Write the columns of ``x``, strips (1, 16, h, w)."""
        x[:, self.strip, :, self.columns] = self.value if self.sources is None else x[:, self.strip, :, self.sources]


@dataclass(frozen=True, slots=True)
class Cut:
    """One step's strips: the first input column of each, their width, the rims to fill, and the output's columns."""

    starts: tuple[int, ...]
    width: int
    rims: tuple[Rim, ...]
    columns: list[range]


def cut(steps: Sequence[Step], lengths: Sequence[int], start: int, stop: int) -> list[Cut] | None:
    """Return the strips of each step of a chain that gives columns [start, stop); None if they would not be worth it.

    ``lengths`` are the columns that come into each step. All strips are equally wide; the last one may overlap the one
    before. They run through the steps without padding; what lies outside of the picture is a rim, written anew before
    each step that pads.

    >>> from convfilter.effects import Effect, Window
    >>> step = Step(Effect(columns=Window(5)), lambda x: x, apart=True)
    >>> [strips] = cut([step], [512], 0, 508)
    >>> strips.starts[:3], strips.starts[-1], strips.width
    ((0, 32, 64), 476, 36)
    """
    pitch = -(-(stop - start) // VECTOR)
    if (VECTOR - 1) * pitch > stop - start:
        return None
    starts = tuple(min(start + i * pitch, stop - pitch) for i in range(VECTOR))
    cuts, width = [], pitch
    for step, n in zip(reversed(steps), reversed(lengths), strict=True):
        axis = step.effect.columns
        inputs = tuple(place * axis.stride - axis.before for place in starts)
        input_width = (width - 1) * axis.stride + axis.span
        if (rims := _rims(step, inputs, input_width, n)) is None:
            return None
        cuts.append(Cut(inputs, input_width, rims, [range(place, place + width) for place in starts]))
        starts, width = inputs, input_width
    halo = width - (starts[1] - starts[0])
    return cuts[::-1] if halo <= starts[1] - starts[0] else None


def _rims(step: Step, starts, width, n) -> tuple[Rim, ...] | None:
    """The rims of a step that pads, none for one that does not; None where a rim's source lies in another strip."""
    axis = step.effect.columns
    if not (axis.before or axis.after or axis.ceil_mode):
        return ()
    rims = []
    for strip, lo in enumerate(starts):
        if axis.mode == "zeros":
            sides = slice(0, min(max(-lo, 0), width)), slice(min(max(n - lo, 0), width), width)
            rims += [Rim(strip, side, None, step.fill) for side in sides if side.start < side.stop]
            continue
        places = [place for place in (*range(-axis.before, 0), *range(n, n + axis.after)) if lo <= place < lo + width]
        sources = [source(axis.mode, place, n) - lo for place in places]
        if not all(0 <= place < width for place in sources):
            return None
        if places:
            rims.append(Rim(strip, [place - lo for place in places], sources, 0.0))
    return tuple(rims)


def lay(picture: NDArray[np.generic], first: int, starts: Sequence[int], width: int) -> Tensor:
    """Return the strips (1, 16, h, width) of a picture (h, w) from its column ``first`` on, as floats in NHWC order.

    Columns that it does not hold are 0.

    >>> picture = np.arange(32, dtype=np.uint8)[None]
    >>> lay(picture, 0, range(0, 32, 2), 2)[0, :3, 0].tolist()
    [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    left, right = first - starts[0], starts[-1] + width - first - picture.shape[1]
    if left > 0 or right > 0:
        picture = np.pad(picture, ((0, 0), (max(left, 0), max(right, 0))))
        first -= max(left, 0)
    h, pitch = len(picture), starts[1] - starts[0]
    strips = np.empty((h, VECTOR, width), picture.dtype)
    even = picture[:, starts[0] - first :]
    row, column = picture.strides
    strips[:, :-1] = as_strided(even, (h, VECTOR - 1, width), (row, pitch * column, column))
    strips[:, -1] = picture[:, starts[-1] - first :][:, :width]
    floats = torch.from_numpy(transpose(strips.reshape(h, -1), VECTOR)).float()
    return torch.from_numpy(floats.numpy().reshape(1, h, width, VECTOR).transpose(0, 3, 1, 2))


def flatten(strips: Tensor) -> NDArray[np.float32]:
    """Return strips (1, 16, h, w) as (h, w * 16), in the order of memory."""
    return strips.numpy().transpose(0, 2, 3, 1).reshape(strips.shape[2], -1)


def join(flat: NDArray[np.generic], out: NDArray[np.generic]) -> None:
    """Write strips (h, w * 16) as rows (h, width), where the last strip ends, and others begin every w columns.

    >>> picture, joined = np.arange(31, dtype=np.float32)[None], np.empty((1, 31), np.float32)
    >>> join(flatten(lay(picture, 0, [*range(0, 30, 2), 29], 2)), joined)
    >>> (joined == picture).all()
    np.True_
    """
    w = flat.shape[1] // VECTOR
    rows = transpose(flat, w)
    out[:] = rows[:, : out.shape[1]]
    out[:, -w:] = rows[:, -w:]


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
