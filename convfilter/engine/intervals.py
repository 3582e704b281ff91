"""Along one axis of a picture: which inputs a stretch of output needs, back through every layer, and how to fill it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convfilter.layers.shapes import Axis, Resize, Transposed, Window


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one layer needs for its outputs [start, stop), along an axis of ``n`` inputs.

    The layer, without its padding, is applied to inputs [lo, hi), of which those outside [0, n) are padding, and its
    first ``skip`` outputs are dropped. ``first`` to ``last`` are the real inputs that [lo, hi) is made from.
    """

    axis: Axis
    n: int
    start: int
    stop: int
    lo: int
    hi: int
    skip: int
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.stop - self.start

    def fill(self, x: Tensor, dim: int, value: float) -> Tensor:
        """Return the inputs [lo, hi) along ``dim``, where ``x`` holds ``first`` to ``last``; ``value`` pads zeros."""
        if (self.lo, self.hi) == (self.first, self.last):
            return x
        if getattr(self.axis, "mode", "zeros") == "zeros":
            if self.hi <= self.first or self.last <= self.lo:  # nothing but padding
                return x.new_full([self.hi - self.lo if d == dim else n for d, n in enumerate(x.shape)], value)
            sides = self.first - self.lo, self.hi - self.last
            return F.pad(x, (0, 0, *sides) if dim == 2 else sides, value=value)
        channels_last = x.shape[1] > 1 and x.stride(1) == 1
        filled = torch.empty(
            [self.hi - self.lo if d == dim else n for d, n in enumerate(x.shape)],
            memory_format=torch.channels_last if channels_last else torch.contiguous_format,
        )
        to, of, before = filled.numpy(), x.numpy(), (slice(None),) * dim
        start, stop = max(self.lo, self.first), min(self.hi, self.last)
        if start < stop:
            to[*before, start - self.lo : stop - self.lo] = of[*before, start - self.first : stop - self.first]
        outside = [*range(self.lo, min(start, self.hi)), *range(max(stop, start), self.hi)]
        sources = [self.axis.source(place, self.n) - self.first for place in outside]
        to[*before, [place - self.lo for place in outside]] = of[*before, sources]
        return filled


def can_cut(axis: Axis, *, first: bool) -> bool:
    """Return whether stretches of the layer's output can be computed from stretches of its input.

    An Upsample can where its places are exact in float32 whatever the offset: by a power of two. A circular padding
    sees both ends at once, which only a ``first`` layer can, whose input is all there.
    """
    if isinstance(axis, Resize):
        pixel_shuffle = isinstance(axis.factor, int)
        return pixel_shuffle or (
            axis.factor is not None
            and not axis.align
            and math.log2(axis.factor).is_integer()
            and (axis.fixed_scale or axis.factor > 1)
        )
    if isinstance(axis, Window):
        return first or axis.mode != "circular" or not (axis.before or axis.after)
    return isinstance(axis, Transposed)


def trace(axes: Sequence[Axis], n: int, start: int, stop: int) -> list[Stretch]:
    """Return what each layer of a chain needs for the last one's outputs [start, stop), where ``n`` inputs come in.

    >>> [(s.first, s.last) for s in trace([Window(5), Window(2, 2)], 512, 10, 20)]
    [(20, 44), (20, 40)]
    """
    lengths = [n]
    for axis in axes[:-1]:
        lengths.append(axis.length(lengths[-1]))
    stretches = []
    for axis, length in zip(reversed(axes), reversed(lengths), strict=True):
        stretches.append(back(axis, length, start, stop))
        start, stop = stretches[-1].first, stretches[-1].last
    return stretches[::-1]


def back(axis: Axis, n: int, start: int, stop: int) -> Stretch:
    """Return what one layer needs for its outputs [start, stop).

    >>> stretch = back(Window(3, before=1, after=1), 512, 0, 10)
    >>> stretch.lo, stretch.hi, stretch.first, stretch.last
    (-1, 11, 0, 11)
    """
    lo, hi = axis.reach(start, stop, n)
    skip = 0
    if isinstance(axis, Transposed):  # a zero more at both ends, for the outputs that no input adds to
        lo = (start + axis.padding - axis.dilation * (axis.size - 1)) // axis.stride
        hi = (stop - 1 + axis.padding) // axis.stride + 2
        skip = start + axis.padding - lo * axis.stride
    elif isinstance(axis, Resize):
        step = max(1, round(1 / axis.factor))
        lo, hi = max(0, (lo - 1) // step * step), min(n, hi + step)
        skip = start - int(lo * axis.factor)
    if getattr(axis, "mode", "zeros") in ("zeros", "divide"):
        first = min(max(lo, 0), n - 1)
        return Stretch(axis, n, start, stop, lo, hi, skip, first, max(min(hi, n), first + 1))
    places = [axis.source(place, n) for place in _ends(axis, lo, hi, n)]
    return Stretch(axis, n, start, stop, lo, hi, skip, min(places), max(places) + 1)


def _ends(axis, lo, hi, n):
    """The places of [lo, hi) among which the least and greatest source are."""
    return [*range(lo, min(hi, 1)), *range(max(lo, n - 1), hi), max(0, min(lo, n - 1)), max(0, min(hi, n) - 1)]
