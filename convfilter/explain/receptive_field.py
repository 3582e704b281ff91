"""What one output pixel sees of the picture, followed forward through the layers along one axis."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from convfilter.layers.shapes import Axis, Resize, Scattered, Transposed, Whole, Window

MOST = 256  # pixels whose windows are remembered one by one; a pattern that repeats later is cut there
SIDE = 2048  # outputs up to which each one's window is followed by itself

Seen = tuple[int, int] | None  # the first and the last pixel that one output sees; None where it sees nothing


class Output(NamedTuple):
    """What one output sees of the picture itself; ``whole`` says that no part of its window lies outside of it."""

    seen: Seen
    whole: bool = True


OUTSIDE = Output(None, whole=False)


@dataclass(frozen=True)
class Field:
    """The pixels of the picture that outputs 0, 1, ... see; the next ones see the same ``step`` further.

    ``length`` is the picture's. ``jump`` is how far one output's window is from the next one's, on average. In ``seen``
    windows that reach into the padding count as if the picture went on; ``cut`` says that it holds a part of a pattern
    that is too long. ``before`` is what this field was made from.

    >>> field = Field(512).through(Window(5), 512).through(Window(2, stride=2), 508)
    >>> field.size, field.jump
    (6, 2.0)
    """

    length: int
    seen: tuple[Seen, ...] = ((0, 0),)
    step: int = 1
    jump: float = 1.0
    cut: bool = False
    before: "Before | None" = field(default=None, repr=False, compare=False)

    @property
    def size(self) -> int:
        """Pixels from the first to the last that one output sees; the largest, where outputs differ.

        Where all windows reach into the padding, it is that of a picture that goes on.
        """
        sizes = {pair[1] - pair[0] + 1 for pair in self.seen if pair}
        if len(sizes) > 1 or self.cut or self.step == 0:  # of several windows, a picture may have some alone
            outputs = self._follow() or ()
            if any(output.whole and output.seen for output in outputs):
                sizes = {output.seen[1] - output.seen[0] + 1 for output in outputs if output.seen}
        return max(sizes, default=0)

    def _follow(self) -> tuple[Output, ...] | None:
        """``outputs``, made from the front, for each asks for those before it."""
        chain = [self]
        while chain[-1].before and "outputs" not in vars(chain[-1].before.field):
            chain.append(chain[-1].before.field)
        for one in reversed(chain):
            found = one.outputs
        return found

    @cached_property
    def outputs(self) -> tuple[Output, ...] | None:
        """What each output that there is sees of the picture itself; None where they are too many to be followed."""
        if not self.before:
            return tuple(Output((at, at)) for at in range(self.length)) if self.length <= SIDE else None
        inputs, (_, axis, n, scale) = self.before.field.outputs, self.before
        count = axis.length(n)
        if inputs is None or count > SIDE:
            return None
        if axis == Window():
            return inputs
        if type(axis) is Whole:
            return (_output(inputs, axis, range(n)),) * count
        seen = [output.seen for output in inputs]
        rises = None not in seen and all(a[0] <= b[0] and a[1] <= b[1] for a, b in pairwise(seen))
        rises = rises and sum(a.whole != b.whole for a, b in pairwise((OUTSIDE, *inputs, OUTSIDE))) <= 2
        return tuple(_output(inputs, axis, _places(axis, at, n, scale), rises=rises) for at in range(count))

    @property
    def rises(self) -> bool:
        """Whether each output sees something, and neither begins nor ends before the one before it."""
        following = [*self.seen[1:], self.at(len(self.seen))]
        return all(
            a is not None and b is not None and a[0] <= b[0] and a[1] <= b[1]
            for a, b in zip(self.seen, following, strict=True)
        )

    def at(self, pixel: int) -> Seen:
        """Return what one output sees."""
        turns, rest = divmod(pixel, len(self.seen))
        pair = self.seen[rest]
        return pair and (pair[0] + turns * self.step, pair[1] + turns * self.step)

    def through(self, axis: Axis, n: int) -> "Field":
        """Return the field behind one more layer, whose input has ``n`` pixels along this axis."""
        count = axis.length(n)
        scale = _scale(axis, n, count)
        jump = self.jump * (float(axis.jump) if isinstance(axis, Resize) and axis.jump == scale else float(scale))
        before = Before(self, axis, n, scale)
        if type(axis) is Whole:
            return Field(self.length, ((0, self.length - 1),), 0, jump, before=before)
        period, inputs = (scale.denominator, scale.numerator) if scale else (1, 0)
        times = len(self.seen) // gcd(len(self.seen), inputs)
        most = MOST if isinstance(axis, Window | Transposed) else min(MOST, count)
        part = min(1.0, most / (period * times))  # of a pattern that is too long, the middle stands for all
        step = round(inputs * times * part * self.step / len(self.seen))
        period = min(period * times, most)
        base = (count - period) // 2 if part < 1 else 0
        back, rises = base * step // period, self.rises
        seen = []
        for at in range(base, base + period):
            places = _places(axis, at, n, scale)
            ends = [self.at(place) for place in ((places[0], places[-1]) if rises and places else places)]
            pair = _join(ends)
            seen.append(pair and (pair[0] - back, pair[1] - back))
        return Field(self.length, tuple(seen), step, jump, self.cut or part < 1, before)


class Before(NamedTuple):
    """What a field was made from: the one before the layer, along an axis of ``n`` inputs."""

    field: Field
    axis: Axis
    n: int
    scale: Fraction


def _output(inputs: tuple[Output, ...], axis: Axis, places: range, *, rises: bool = False) -> Output:
    """What an output sees through these of the ``inputs``; where what they see rises, the outermost ones tell."""
    n, inside = len(inputs), places
    if places and (places[0] < 0 or places[-1] >= n):
        if getattr(axis, "mode", None) in ("replicate", "reflect"):  # the padding shows pixels from near by
            return Output(_join(inputs[axis.source(place, n)].seen for place in places), whole=False)
        first = places.start if places.start >= 0 else places.start % places.step
        inside = range(first, min(places.stop, n), places.step)
    if rises and inside:
        a, b = inputs[inside[0]], inputs[inside[-1]]
        return Output((a.seen[0], b.seen[1]), inside is places and a.whole and b.whole)
    through = [inputs[place] for place in inside]
    return Output(
        _join(output.seen for output in through), inside is places and all(output.whole for output in through)
    )


def _join(seen: Iterable[Seen]) -> Seen:
    """The first and the last pixel of all that are seen."""
    ends = [pair for pair in seen if pair]
    return (min(a for a, _ in ends), max(b for _, b in ends)) if ends else None


def _places(axis: Axis, at: int, n: int, scale: Fraction) -> range:
    """The inputs that one output sees, as if there were no border."""
    if isinstance(axis, Window):
        start, stop = axis.reach(at, at + 1, n)
        return range(start, stop, axis.dilation)
    if isinstance(axis, Transposed):
        start, stop = axis.reach(at, at + 1, n)
        apart = axis.dilation // gcd(axis.stride, axis.dilation)  # between inputs that are multiplied by a coefficient
        while start < stop and (at + axis.padding - start * axis.stride) % axis.dilation:
            start += 1
        return range(start, stop, apart)
    if isinstance(axis, Scattered):
        return range(*axis.usual_reach(at, at + 1, n))
    if not isinstance(axis, Resize):
        return range(*axis.reach(at, at + 1, n))
    blends, half = axis.taps > 1, Fraction(1, 2)
    place = at * scale if axis.align or not (blends or axis.exact) else (at + half) * scale - (half if blends else 0)
    first = place.numerator // place.denominator
    if not blends or place.denominator == 1:  # on a pixel, all other weights are 0
        return range(first, first + 1)
    return range(first - axis.taps // 2 + 1, first + axis.taps // 2 + 1)


def _scale(axis: Axis, n: int, count: int) -> Fraction:
    """How many inputs further the next output's window is, on average."""
    if isinstance(axis, Window | Transposed):
        return axis.jump
    if isinstance(axis, Resize):
        if axis.align:
            return Fraction(n - 1, count - 1) if count > 1 else Fraction(0)
        if axis.factor and axis.fixed_scale and axis.scale(n) == 1 / axis.factor:
            scale = Fraction(1 / axis.factor).limit_denominator(MOST)
            return scale if abs(float(scale) * axis.factor - 1) < 1e-9 else axis.jump
    return Fraction(n, count)
