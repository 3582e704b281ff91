"""The one way from floats to gray levels, on arrays; ``export.gray_code`` writes the same as statements of a script."""

import numpy as np
from numpy.typing import NDArray

from convfilter.gray.norm import LARGEST, SMALLEST, GrayScale


def level_type(bits: int) -> type[np.unsignedinteger]:
    """Return numpy's type for levels of 8 or 16 bits."""
    return np.uint8 if bits == 8 else np.uint16


@np.errstate(over="ignore")  # what becomes infinite lies outside, and saturates
def quantise(
    values: NDArray[np.float32], scale: GrayScale, bits: int = 8, *, ends: tuple[float, float] | None = None
) -> NDArray[np.unsignedinteger]:
    """Return levels of 8 or 16 bits: black gives 0, white 255 or 65535, and what lies outside saturates.

    ``values`` are float32 of any shape, and are overwritten; ``ends`` are their minimum and maximum, if known: they
    tell whether anything must be clipped. Where black is white, all is 0. Halves go to the even level, as numpy and
    torch round.

    >>> quantise(np.array([-1.0, 0.0, 1.0, 9.0], np.float32), GrayScale(-1, 1)).tolist()
    [0, 128, 255, 255]
    """
    levels, dtype = (1 << bits) - 1, level_type(bits)
    if scale.black == scale.white:
        return np.zeros(values.shape, dtype)
    if scale.absolute:
        np.abs(values, out=values)
    number = np.float32 if SMALLEST < scale.white - scale.black < LARGEST else np.float64
    values = values.astype(number, copy=False)
    black, factor = number(scale.black), number(levels / (scale.white - scale.black))
    values -= black
    values *= factor
    np.rint(values, out=values)
    if scale.absolute or ends is None or not _are_levels(ends, black, factor, levels):
        np.clip(values, 0, levels, out=values)
    return values.astype(dtype)


def _are_levels(ends: tuple[float, float], black: np.floating, factor: np.floating, levels: int) -> bool:
    """Whether quantising gives levels of these two values, and so of all between them, without clipping."""
    low, high = np.rint((np.array(ends, black.dtype) - black) * factor)
    return bool(low >= 0 and high <= levels)
