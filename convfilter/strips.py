"""A one-channel picture as 16 strips of columns, side by side in memory as oneDNN has channels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
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


def lay(x: Tensor, first: int, starts: Sequence[int], width: int) -> Tensor:
    """Return the strips (1, 16, h, width) of ``x`` (1, 1, h, w), whose first column is the picture's ``first``.

    Columns that ``x`` does not hold are 0.

    >>> x = torch.arange(32).view(1, 1, 1, 32).byte()
    >>> lay(x, 0, range(0, 32, 2), 2)[0, :3, 0].tolist()
    [[0, 1], [2, 3], [4, 5]]
    """
    left, right = first - starts[0], starts[-1] + width - first - x.shape[3]
    if left > 0 or right > 0:
        x, first = F.pad(x, (max(left, 0), max(right, 0))), first - max(left, 0)
    picture = x[0, 0].numpy()
    h, pitch = len(picture), starts[1] - starts[0]
    strips = np.empty((h, VECTOR, width), picture.dtype)
    row, column = picture.strides
    even = picture[:, starts[0] - first :]
    strips[:, :-1] = np.lib.stride_tricks.as_strided(even, (h, VECTOR - 1, width), (row, pitch * column, column))
    strips[:, -1] = picture[:, starts[-1] - first :][:, :width]
    mixed = transpose(torch.from_numpy(strips.reshape(h, -1)), VECTOR)
    return mixed.view(1, h, width, VECTOR).permute(0, 3, 1, 2)


def join(strips: Tensor, width: int) -> Tensor:
    """Return (1, 1, h, width) from strips (1, 16, h, w), where the last one ends, and others begin every w columns.

    >>> x = torch.arange(31).view(1, 1, 1, 31).float()
    >>> starts = [*range(0, 30, 2), 29]
    >>> torch.equal(join(lay(x, 0, starts, 2), 31), x)
    True
    """
    _, _, h, w = strips.shape
    flat = transpose(strips.permute(0, 2, 3, 1).reshape(h, w * VECTOR), w)
    if width == VECTOR * w:
        return flat[None, None]
    joined = flat[:, :width].clone()
    joined[:, width - w :] = flat[:, -w:]
    return joined[None, None]


def transpose(rows: Tensor, groups: int) -> Tensor:
    """Return rows (h, groups * k), each row transposed from (groups, k) to (k, groups); quicker than a strided copy.

    >>> transpose(torch.tensor([[1, 2, 3, 4, 5, 6]]), 2).tolist()
    [[1, 4, 2, 5, 3, 6]]
    """
    if rows.dtype == torch.uint16:  # which channel_shuffle does not know
        return transpose(rows.view(torch.int16), groups).view(torch.uint16)
    h, w = rows.shape
    return F.channel_shuffle(rows.view(1, h, 1, w).permute(0, 3, 1, 2), groups).permute(0, 2, 3, 1).reshape(h, w)
