"""What one output pixel sees of the picture, followed forward through the layers along one axis."""

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from convfilter.layers.shapes import Axis, Resize, Scattered, Transposed, Whole, Window

MOST = 256  # pixels whose windows are remembered one by one; a pattern that repeats later is cut there

Seen = tuple[int, int] | None  # the first and the last pixel that one output sees; None where it sees nothing


@dataclass(frozen=True, slots=True)
class Field:
    """The pixels of the picture that outputs 0, 1, ... see; the next ones see the same ``step`` further.

    ``length`` is the picture's. ``jump`` is how far one output's window is from the next one's, on average. Windows
    that reach into the padding count as if the picture went on.

    >>> field = Field(512).through(Window(5), 512).through(Window(2, stride=2), 508)
    >>> field.size, field.jump
    (6, 2.0)
    """

    length: int
    seen: tuple[Seen, ...] = ((0, 0),)
    step: int = 1
    jump: float = 1.0

    @property
    def size(self) -> int:
        """Pixels from the first to the last that one output sees; the largest, where outputs differ."""
        return max((pair[1] - pair[0] + 1 for pair in self.seen if pair), default=0)

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
        if type(axis) is Whole:
            return Field(self.length, ((0, self.length - 1),), 0, jump)
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
            ends = [pair for pair in ends if pair]
            seen.append((min(a for a, _ in ends) - back, max(b for _, b in ends) - back) if ends else None)
        return Field(self.length, tuple(seen), step, jump)


def _places(axis: Axis, at: int, n: int, scale: Fraction) -> range | list[int]:
    """The inputs that one output sees, as if there were no border."""
    if isinstance(axis, Window):
        start, stop = axis.reach(at, at + 1, n)
        return range(start, stop, axis.dilation)
    if isinstance(axis, Transposed):
        places = range(*axis.reach(at, at + 1, n))
        return [place for place in places if (at + axis.padding - place * axis.stride) % axis.dilation == 0]
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
