"""How signed floats become gray: which value is black and which is white."""

from dataclasses import dataclass

SMALLEST, LARGEST = 1e-30, 1e38  # from black to white: outside of these, float32 ends on the way to a level
MODES = ("minmax", "clip", "abs", "symmetric")


@dataclass(frozen=True)
class Norm:
    """A rule for black and white.

    ``minmax``: the channel's least value is black and its greatest white, as matplotlib's gray ``imshow`` shows it.
    ``clip``: 0 is black and the picture's own white is white; what lies outside saturates.
    ``abs``: 0 is black and the greatest absolute value white. ``symmetric``: 0 is mid-gray and the greatest absolute
    value black or white. ``vmin`` and ``vmax``, where given, are black and white for every channel of every picture.
    """

    mode: str = "minmax"
    vmin: float | None = None
    vmax: float | None = None

    @property
    def needs_range(self) -> bool:
        """Whether black or white depends on the least and greatest value of a channel."""
        return self.mode != "clip" and (self.vmin is None or self.vmax is None)

    def limits(self, low: float, high: float, white: float, noise: float = 0.0) -> tuple[float, float, bool]:
        """Return (black, white, flat) for a channel whose values go from ``low`` to ``high``.

        ``white`` is a white pixel's value, and ``noise`` the difference that rounding alone can make: a channel that
        varies no more than that is flat, and flat channels are black, so that noise is never blown up to a picture.

        >>> Norm().limits(-2.0, 6.0, 255)
        (-2.0, 6.0, False)
        >>> Norm(vmin=9.0).limits(-2.0, 6.0, 255), Norm(vmax=-9.0).limits(-2.0, 6.0, 255)  # one end alone never inverts
        ((9.0, 10.0, False), (-10.0, -9.0, False))
        >>> Norm("symmetric").limits(-2.0, 6.0, 255), Norm().limits(5.0, 5.0, 255)
        ((-6.0, 6.0, False), (5.0, 5.0, True))
        """
        flat = high - low <= noise
        top = max(abs(low), abs(high))
        black, bright = {
            "minmax": (low, low if flat else high),
            "clip": (0.0, float(white)),
            "abs": (0.0, top),
            "symmetric": (-top, top) if top > noise else (-1.0, 1.0),
        }[self.mode]
        if self.mode == "abs" and top <= noise:
            black = bright = 0.0
        if self.vmin is not None:
            black, bright = self.vmin, bright if bright > self.vmin else self.vmin + 1.0  # all is black
        if self.vmax is not None:
            black, bright = black if black < self.vmax else self.vmax - 1.0, self.vmax  # where it was not: all is white
        return black, bright, flat
