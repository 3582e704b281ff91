"""How signed floats become gray: which value is black and which is white."""

from dataclasses import dataclass

SMALLEST, LARGEST = 1e-30, 1e38  # from black to white: outside of these, float32 ends on the way to a level
MODES = ("minmax", "clip", "abs", "symmetric")


@dataclass(frozen=True, slots=True)
class GrayScale:
    """The values of black and of white, between which gray is linear; what lies outside saturates.

    ``absolute`` says that it is absolute values that are drawn, and ``flat`` that all values of the channel are one.
    """

    black: float
    white: float
    absolute: bool = False
    flat: bool = False


@dataclass(frozen=True)
class Norm:
    """A rule for black and white.

    ``minmax``: the channel's minimum is black and its maximum white, as matplotlib's gray ``imshow`` shows it.
    ``clip``: 0 is black and the picture's own white is white; what lies outside saturates.
    ``abs``: 0 is black and the largest absolute value white. ``symmetric``: 0 is mid-gray and the largest absolute
    value black or white. ``vmin`` and ``vmax``, where given, are black and white for every channel of every picture.
    """

    mode: str = "minmax"
    vmin: float | None = None
    vmax: float | None = None

    @property
    def needs_range(self) -> bool:
        """Whether black or white depends on the minimum and maximum of a channel."""
        return self.mode != "clip" and (self.vmin is None or self.vmax is None)

    def scale(self, low: float, high: float, white: float, noise: float = 0.0) -> GrayScale:
        """Return the gray scale of a channel whose values go from ``low`` to ``high``.

        ``white`` is a white pixel's value, and ``noise`` the difference that rounding alone can make: a channel that
        varies no more than that is flat. It is drawn as ``clip`` draws its value (``abs``: its absolute value), so
        that neither noise is blown up to a picture nor a white picture becomes black.

        >>> Norm().scale(-2.0, 6.0, 255)
        GrayScale(black=-2.0, white=6.0, absolute=False, flat=False)
        >>> Norm("symmetric").scale(-2.0, 6.0, 255).black, Norm("abs").scale(-2.0, 6.0, 255).absolute
        (-6.0, True)
        >>> Norm().scale(5.0, 5.0, 255)
        GrayScale(black=0.0, white=255.0, absolute=False, flat=True)
        >>> Norm(vmin=9.0).scale(-2.0, 6.0, 255).white, Norm(vmax=-9.0).scale(-2.0, 6.0, 255).black  # never inverted
        (10.0, -10.0)
        """
        flat = high - low <= noise
        top = max(abs(low), abs(high))
        ends = {"minmax": (low, high), "clip": (0.0, float(white)), "abs": (0.0, top), "symmetric": (-top, top)}
        black, bright = ends["clip" if flat else self.mode]
        if self.vmin is not None:
            black, bright = self.vmin, bright if bright > self.vmin else self.vmin + 1.0  # all is black
        if self.vmax is not None:
            black, bright = black if black < self.vmax else self.vmax - 1.0, self.vmax  # where it was not: all is white
        return GrayScale(black, bright, self.mode == "abs", flat)
