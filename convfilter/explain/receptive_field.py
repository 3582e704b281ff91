"""What one output pixel sees of the picture, followed forward through the layers along one axis."""

from dataclasses import dataclass
from fractions import Fraction
from math import gcd

from convfilter.layers.shapes import Axis, Resize, Scattered, Transposed, Whole, Window

MOST = 256  # pixels whose windows are remembered one by one; a pattern that repeats later is cut there


@dataclass(frozen=True, slots=True)
class Field:
    """The first and last pixel of the picture that outputs 0, 1, ... see; the next ones see the same ``step`` further.

    ``length`` is the picture's. ``jump`` is how far one output's window is from the next one's, on average. Windows
    that reach into the padding count as if the picture went on.

    >>> field = Field.start(512).through(Window(5), 512).through(Window(2, stride=2), 508)
    >>> field.size, field.jump
    (6, 2.0)
    """

    length: int
    first: tuple[int, ...] = (0,)
    last: tuple[int, ...] = (0,)
    step: int = 1
    jump: float = 1.0

    @classmethod
    def start(cls, length: int) -> "Field":
        """Return the field of the picture's own pixels: each sees itself."""
        return cls(length)

    @property
    def size(self) -> int:
        """Pixels from the first to the last that one output sees; the largest, where outputs differ."""
        return max(last - first + 1 for first, last in zip(self.first, self.last, strict=True))

    def through(self, axis: Axis, n: int) -> "Field":
        """Return the field behind one more layer, whose input has ``n`` pixels along this axis."""
        count = axis.length(n)
        jump = self.jump * _jump(axis, n, count)
        if type(axis) is Whole:
            return Field(self.length, (0,), (self.length - 1,), 0, jump)
        period, inputs = _period(axis, n, count)
        ratio = Fraction(inputs, period)
        times = len(self.first) // gcd(len(self.first), inputs)
        most = MOST if isinstance(axis, Window | Transposed) else min(MOST, count)
        part = min(1.0, most / (period * times))  # of a pattern that is too long, the middle stands for all
        step = round(inputs * times * part * self.step / len(self.first))
        period = min(period * times, most)
        base = (count - period) // 2 if part < 1 else 0
        ends = [_reach(axis, at, n, ratio) for at in range(base, base + period)]
        back = base * step // period
        return Field(
            self.length,
            tuple(_at(self.first, self.step, start) - back for start, _ in ends),
            tuple(_at(self.last, self.step, stop - 1) - back for _, stop in ends),
            step,
            jump,
        )


def _at(ends: tuple[int, ...], step: int, pixel: int) -> int:
    turns, rest = divmod(pixel, len(ends))
    return ends[rest] + turns * step


def _reach(axis: Axis, at: int, n: int, ratio: Fraction) -> tuple[int, int]:
    """The inputs that one output sees; those of a blend in exact arithmetic, as if there were no border."""
    if isinstance(axis, Scattered):
        return axis.usual_reach(at, at + 1, n)
    if not isinstance(axis, Resize) or axis.align or axis.count is not None or not axis.fixed_scale:
        return axis.reach(at, at + 1, n)
    half, blend = axis.taps // 2, axis.taps > 1
    halves = (2 * at + (blend or axis.exact)) * ratio.numerator - blend * ratio.denominator
    place, rest = divmod(halves, 2 * ratio.denominator)
    return (place - half + 1, place + half + 1) if blend and rest else (place, place + 1)


def _jump(axis: Axis, n: int, count: int) -> float:
    if isinstance(axis, Window | Transposed) or (isinstance(axis, Resize) and axis.factor and axis.fixed_scale):
        return float(axis.jump)
    return n / count


def _period(axis: Axis, n: int, count: int) -> tuple[int, int]:
    """After how many outputs the windows repeat, and how many inputs further."""
    match axis:
        case Window():
            return 1, axis.stride
        case Transposed():
            return axis.stride, 1
        case Resize(align=True):
            return count, n
        case Resize(fixed_scale=True) if axis.factor:
            step = Fraction(1 / axis.factor).limit_denominator(MOST)
            if abs(float(step) * axis.factor - 1) < 1e-9:
                return step.denominator, step.numerator
    return count // gcd(count, n), n // gcd(count, n)
