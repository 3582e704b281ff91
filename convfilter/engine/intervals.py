"""Along one axis of a picture: which inputs an interval of outputs needs, back through every layer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2

from convfilter.layers.shapes import Axis, Resize, Transposed, Window


@dataclass(frozen=True, slots=True)
class Interval:
    """What one layer needs for its ``outputs``, along an axis of ``length`` inputs.

    The layer, without its padding, is applied to ``inputs``, of which those outside of [0, length) are padding, and its
    first ``skip`` outputs are dropped. ``sources`` are the real inputs that ``inputs`` are made from.
    """

    axis: Axis
    length: int
    outputs: range
    inputs: range
    sources: range
    skip: int = 0


def can_cut(axis: Axis, *, first: bool) -> bool:
    """Return whether intervals of the layer's output can be computed from intervals of its input.

    An Upsample can where its places are exact in float32 whatever the offset: by a power of two. A circular padding
    sees both ends at once, which only a ``first`` layer can, whose input is all there.
    """
    if isinstance(axis, Resize):
        pixel_shuffle = isinstance(axis.factor, int)
        return pixel_shuffle or (
            axis.factor is not None
            and not axis.align
            and log2(axis.factor).is_integer()
            and (axis.fixed_scale or axis.factor > 1)
        )
    if isinstance(axis, Window):
        return first or axis.mode != "circular" or not (axis.before or axis.after)
    return isinstance(axis, Transposed)


def trace_back(axes: Sequence[Axis], length: int, outputs: range) -> list[Interval]:
    """Return what each layer of a chain needs for the last one's ``outputs``, for ``length`` inputs of the first.

    >>> [interval.sources for interval in trace_back([Window(5), Window(2, 2)], 512, range(10, 20))]
    [range(20, 44), range(20, 40)]
    """
    lengths = [length]
    for axis in axes[:-1]:
        lengths.append(axis.length(lengths[-1]))
    intervals: list[Interval] = []
    for axis, n in zip(reversed(axes), reversed(lengths), strict=True):
        intervals.append(find_interval(axis, n, outputs))
        outputs = intervals[-1].sources
    return intervals[::-1]


def find_interval(axis: Axis, length: int, outputs: range) -> Interval:
    """Return what one layer needs for its ``outputs``.

    >>> interval = find_interval(Window(3, before=1, after=1), 512, range(10))
    >>> interval.inputs, interval.sources
    (range(-1, 11), range(0, 11))
    """
    start, stop = outputs.start, outputs.stop
    low, high = axis.reach(start, stop, length)
    skip = 0
    if isinstance(axis, Transposed):  # a zero more at both ends, for the outputs that no input adds to
        low = (start + axis.padding - axis.dilation * (axis.size - 1)) // axis.stride
        high = (stop - 1 + axis.padding) // axis.stride + 2
        skip = start + axis.padding - low * axis.stride
    elif isinstance(axis, Resize):
        step = max(1, round(1 / axis.factor))
        low, high = max(0, (low - 1) // step * step), min(length, high + step)
        skip = start - int(low * axis.factor)
    if getattr(axis, "mode", "zeros") in ("zeros", "divide"):
        first = min(max(low, 0), length - 1)
        sources = range(first, max(min(high, length), first + 1))
    else:
        places = [axis.source(place, length) for place in _outermost(low, high, length)]
        sources = range(min(places), max(places) + 1)
    return Interval(axis, length, outputs, range(low, high), sources, skip)


def _outermost(low: int, high: int, length: int) -> Iterator[int]:
    """The places of [low, high) among which those with the first and the last source are."""
    yield from range(low, min(high, 1))
    yield from range(max(low, length - 1), high)
    yield from (max(0, min(low, length - 1)), max(0, min(high, length) - 1))
