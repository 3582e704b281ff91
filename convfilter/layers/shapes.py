"""What a layer does to a shape: which rows and columns one output pixel sees, and what channels come out."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from convfilter.layers.checks import LARGEST

Shape = tuple[int, int, int]  # (C, H, W)
MOST_WEIGHTS = 1_000_000_000  # 4 GB in one layer


@dataclass(frozen=True, slots=True)
class Window:
    """One axis of a sliding window: output ``i`` sees ``size`` inputs, ``dilation`` apart, from ``i*stride - before``.

    ``before`` and ``after`` are the padding (negative: cropped), filled as ``mode`` says. ``ceil_mode`` also counts
    a last window that goes past the end but starts before it, as PyTorch's pooling layers do. The mode ``divide``
    takes no rest: the length must be a multiple of the stride.

    >>> Window(5).length(512), Window(3, stride=2, before=1, after=1).length(512)
    (508, 256)
    >>> Window(3, stride=2, before=1, after=1).reach(0, 2, 512)
    (-1, 4)
    """

    size: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    ceil_mode: bool = False
    mode: str = "zeros"

    @property
    def jump(self) -> Fraction:
        """Input positions from one output to the next."""
        return Fraction(self.stride)

    @property
    def span(self) -> int:
        """Inputs from the first to the last that one output sees."""
        return self.dilation * (self.size - 1) + 1

    def length(self, n: int) -> int:
        """Return the number of outputs for ``n`` inputs.

        Raises:
            ValueError: the padding cannot be made from ``n`` inputs, or no output is left.
        """
        pad, left = max(self.before, self.after), n + min(self.before, 0) + min(self.after, 0)
        if self.mode == "zeros" and left < 0:
            raise ValueError(f"at most {n} pixels can be cropped, and {n - left} are")
        if self.mode == "reflect" and pad >= n:
            raise ValueError(f"at most {n - 1} pixels can be padded by reflection, and padding is {pad}")
        if self.mode == "circular" and pad > left:
            raise ValueError(f"at most {max(0, left)} pixels can be padded in a circle, and padding is {pad}")
        if self.mode == "divide" and n % self.stride:
            raise ValueError(f"that is no multiple of {self.stride}")
        padded = n + self.before + self.after
        rest = padded - self.span
        count = (-(-rest // self.stride) if self.ceil_mode else rest // self.stride) + 1
        if self.ceil_mode and (count - 1) * self.stride >= n + self.before:
            count -= 1
        if padded < 1:
            raise ValueError(f"nothing is left after {-self.before - self.after} pixels are cropped")
        if count < 1:
            raise ValueError(f"the window of {self.span} is larger than the {padded} pixels (padding included)")
        return count

    def reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        """Return the inputs [lo, hi) that outputs [start, stop) see; outside [0, n) is padding."""
        return start * self.stride - self.before, (stop - 1) * self.stride - self.before + self.span

    def source(self, place: int, n: int) -> int | None:
        """Return which of ``n`` inputs gives the value at a place, in or outside of them; None for a pad of zeros.

        >>> [Window(mode=mode).source(-2, 5) for mode in ("reflect", "replicate", "circular", "zeros")]
        [2, 0, 3, None]
        """
        if 0 <= place < n:
            return place
        if self.mode == "reflect":
            return -place if place < 0 else 2 * (n - 1) - place
        if self.mode == "replicate":
            return min(max(place, 0), n - 1)
        if self.mode == "circular":  # of what is left where the other side is cropped
            first, last = max(0, -self.before), n + min(0, self.after)
            return first + (place - first) % (last - first)
        return None


@dataclass(frozen=True, slots=True)
class Transposed:
    """One axis of a transposed convolution: input ``j`` adds to outputs ``j*stride - padding + dilation*(0..size-1)``.

    >>> Transposed(3, stride=2, padding=1, output_padding=1).length(5)
    10
    >>> Transposed(3, stride=2, padding=1, output_padding=1).reach(4, 6, 5)
    (2, 4)
    """

    size: int
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    output_padding: int = 0

    @property
    def jump(self) -> Fraction:
        return Fraction(1, self.stride)

    def length(self, n: int) -> int:
        count = (n - 1) * self.stride - 2 * self.padding + self.dilation * (self.size - 1) + self.output_padding + 1
        if count < 1:
            raise ValueError(f"no output is left of {n} pixels after padding {self.padding} is taken off")
        return count

    def reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        reach = self.dilation * (self.size - 1)
        return -(-(start + self.padding - reach) // self.stride), (stop - 1 + self.padding) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Resize:
    """One axis made ``factor`` times as long, each output a blend of the ``taps`` inputs nearest to it.

    ``align`` places outputs so that the first and last ones meet those of the input (``align_corners``), which makes
    the place of every output depend on the picture's size.

    >>> Resize(2, taps=2).length(5), Resize(2, taps=2).reach(4, 6, 5)
    (10, (1, 4))
    """

    factor: float | None = None  # None where ``count`` fixes the output
    count: int | None = None
    taps: int = 1
    align: bool = False
    exact: bool = False
    fixed_scale: bool = True  # False: recompute_scale_factor, the scale comes from the two lengths

    @property
    def jump(self) -> Fraction:
        return Fraction(1 / self.factor).limit_denominator(1 << 20) if self.factor else Fraction(0)

    def length(self, n: int) -> int:
        count = self.count if self.count is not None else int(float(n) * self.factor)
        if count < 1:
            raise ValueError(f"no output is left of {n} pixels")
        return count

    def scale(self, n: int) -> float:
        """Return the input positions from one output to the next."""
        count = self.length(n)
        if self.align:
            return (n - 1) / (count - 1) if count > 1 else 0.0
        if self.taps < 3 and not self.exact and (count == n or (count == 2 * n and self.taps == 1)):
            return n / count  # whatever the factor, PyTorch copies
        return 1 / self.factor if self.factor and self.fixed_scale else n / count

    def reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        scale, half = self.scale(n), self.taps // 2
        shift = 0.5 if self.exact or (self.taps > 1 and not self.align) else 0.0
        back = shift if self.taps > 1 else 0.0
        first, last = (start + shift) * scale - back, (stop - 1 + shift) * scale - back
        # PyTorch counts in 32-bit floats: a place next to a whole number may be taken for either side of it.
        first, last = math.floor(first - 1e-6 * (first + 1)), math.floor(last + 1e-6 * (last + 1))
        return min(max(0, first - half + (half > 0)), n - 1), min(n, last + half + 1)


@dataclass(frozen=True, slots=True)
class Whole:
    """One axis whose every output may see every input: ``count`` outputs, or as many as ``count(n)`` says.

    >>> Whole(7).length(512), Whole().length(512), Whole(7).reach(0, 1, 512)
    (7, 512, (0, 512))
    """

    count: int | Callable[[int], int] | None = None

    jump = Fraction(0)

    def length(self, n: int) -> int:
        return n if self.count is None else self.count(n) if callable(self.count) else self.count

    def reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        return 0, n


@dataclass(frozen=True, slots=True)
class Adaptive(Whole):
    """One axis of adaptive pooling: output ``i`` of ``count`` sees inputs floor(i*n/count) to ceil((i+1)*n/count).

    >>> Adaptive(4).reach(1, 2, 10)
    (2, 5)
    """

    def reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        count = self.length(n)
        return start * n // count, -(-stop * n // count)


@dataclass(frozen=True, slots=True)
class Scattered(Whole):
    """One axis of fractional pooling: windows of ``size`` pixels, whose places are random.

    >>> Scattered(5, size=2).usual_reach(4, 5, 10)
    (8, 10)
    """

    size: int = 1

    def usual_reach(self, start: int, stop: int, n: int) -> tuple[int, int]:
        """Return about which inputs outputs [start, stop) see: those of windows that stand evenly apart."""
        count = self.length(n)
        apart = (n - self.size) / (count - 1) if count > 1 else 0.0
        return int(start * apart), int((stop - 1) * apart) + self.size


Axis = Window | Transposed | Resize | Whole


@dataclass(frozen=True, slots=True)
class Effect:
    """What a layer does to a shape (C, H, W): one ``Axis`` for rows and one for columns, and the channels.

    ``in_channels`` and ``out_channels`` are None where any number comes in, and as many go out, times
    ``multiply`` and divided by ``divide``. ``local`` says that an output pixel depends on its window alone, so that a
    picture can be cut into bands. ``elementwise`` says that it depends on its own input pixel alone, ``never_falls``
    that then float32's values never fall where the input's rise. ``pixels`` is the fewest that a channel must have.
    ``jumps`` says that a tiny difference of an input can make a large one of the output: at a step, or where a root of
    negative numbers is not defined.
    ``interval(lo, hi, shape)`` is what ``values`` asks; None where the weights are random. ``tensors`` are those that
    training sets, by PyTorch's names, with their shapes.

    >>> Effect(Window(5), Window(5), 1, 2).output((1, 512, 512))
    (2, 508, 508)
    """

    rows: Axis = Window()
    columns: Axis = Window()
    in_channels: int | None = None
    out_channels: int | None = None
    multiply: int = 1
    divide: int = 1
    parameters: int = 0
    parameters_per_channel: int = 0
    local: bool = True
    elementwise: bool = False
    never_falls: bool = False
    pixels: int = 1
    jumps: bool = False
    interval: Callable[[float, float, Shape], tuple[float, float] | None] | None = None
    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def channels(self, c: int) -> int:
        """Return the number of output channels for ``c`` input channels.

        Raises:
            ValueError: the layer does not take ``c`` channels.
        """
        comes = "comes" if c == 1 else "come"
        if self.in_channels is not None and c != self.in_channels:
            raise ValueError(f"it takes {count(self.in_channels, 'channel')}, and {c:,} {comes} in")
        if c % self.divide:
            raise ValueError(f"it takes a multiple of {self.divide} channels, and {c:,} {comes} in")
        if self.parameters_for(c) > MOST_WEIGHTS:
            weights = f"it has {self.parameters_for(c):,} weights and biases with {count(c, 'channel')}"
            raise ValueError(f"{weights}, and {MOST_WEIGHTS:,} is the most")
        return self.out_channels or c * self.multiply // self.divide

    def output(self, shape: Shape) -> Shape:
        """Return the shape (C, H, W) that comes out.

        Raises:
            ValueError: the layer does not take this shape; says which numbers do not fit.
        """
        c, h, w = shape
        out = self.channels(c)
        if h * w < self.pixels:
            raise ValueError(f"it needs at least {self.pixels} pixels, and the picture is {w}x{h} here")
        sizes = []
        for axis, n, name in ((self.rows, h, "high"), (self.columns, w, "wide")):
            try:
                sizes.append(axis.length(n))
            except ValueError as error:
                raise ValueError(f"the picture is {n} {name} here: {error}") from None
        return out, *sizes

    def parameters_for(self, c: int) -> int:
        """Return how many weights and biases the layer has when ``c`` channels come in."""
        return self.parameters + self.parameters_per_channel * c

    def values(self, lo: float, hi: float, shape: Shape) -> tuple[float, float] | None:
        """Return the interval that inputs of shape (C, H, W) within [lo, hi] can give.

        None where it is not known: random weights, roots of negative numbers, more than a 32-bit float holds.

        >>> Effect(interval=lambda lo, hi, shape: (-hi, -lo)).values(0, 255, (1, 8, 8))
        (-255, 0)
        """
        try:
            ends = self.interval and self.interval(lo, hi, shape)
        except ArithmeticError:
            return None
        return ends if ends and all(abs(end) <= LARGEST for end in ends) else None


def unchanged(lo: float, hi: float, shape: Shape) -> tuple[float, float]:
    """The interval of a layer that gives back values it was given, or a mean of them."""
    return lo, hi


def with_zero(lo: float, hi: float) -> tuple[float, float]:
    """The interval with zero in it: what comes in where the rim is padded with zeros."""
    return min(lo, 0.0), max(hi, 0.0)


def count(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "channel"), count(2, "channel")
    ('1 channel', '2 channels')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
