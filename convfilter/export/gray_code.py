"""How a script makes gray levels of floats, as the program does."""

from collections.abc import Iterator

from convfilter.gray.norm import LARGEST, SMALLEST, GrayScale, Norm
from convfilter.numbers import write_double

USUAL = 1e6  # times a white pixel's value: no larger values are expected


def write_levels(norm: Norm, white: float, bits: int, noise: float) -> Iterator[str]:
    """Yield the statements that turn ``values`` into ``pixels`` of 8 or 16 ``bits``, as ``Norm.scale`` says.

    ``white`` is a white pixel's value in the tensor; a difference of up to ``noise`` is put down to rounding.

    >>> print(*write_levels(Norm(vmin=0.0, vmax=9.0), 255, 8, 0.0), sep="\\n")
    low, high = 0, 9
    pixels = ((values - low) * (255 / (high - low))).round().clamp(0, 255).byte().numpy()
    >>> print(*write_levels(Norm("symmetric"), 255, 8, 0.01), sep="\\n")
    low, high = values.min().item(), values.max().item()
    if high - low <= 0.01:  # flat: the gray of its value
        low, high = 0, 255
    else:
        high = max(-low, high)
        low = -high
    pixels = ((values - low) * (255 / (high - low))).round().clamp(0, 255).byte().numpy()
    """
    levels = (1 << bits) - 1
    flat = norm.scale(0.0, 0.0, white)  # and that of any channel, where no range is needed
    if norm.needs_range:
        yield "low, high = values.min().item(), values.max().item()"
        is_flat = f"high - low <= {noise:.9g}" if noise else "low == high"
        yield f"if {is_flat}:  # flat: the gray of its value"
        yield f"    {_write_ends(flat)}"
        other = list(_write_scale(norm))
        yield from ["else:", *(f"    {line}" for line in other)] if other else []
    else:
        yield _write_ends(flat)
    if norm.mode == "abs":
        yield "values = values.abs()"
    ends = [abs(end) for end in (norm.vmin, norm.vmax) if end is not None]
    double = max([*ends, USUAL * white]) > LARGEST or white < USUAL * SMALLEST
    double = double or (len(ends) == 2 and norm.vmax - norm.vmin < SMALLEST)
    values = "values.double()" if double else "values"
    scale = f"{levels} / (high - low)"
    if (norm.needs_range and max(ends, default=0) > 2**52) or flat.black == flat.white:  # where 1 more is no more
        scale += " if high != low else 0"
    kind = "byte()" if bits == 8 else "to(torch.uint16)"
    yield f"pixels = (({values} - low) * ({scale})).round().clamp(0, {levels}).{kind}.numpy()"


def _write_ends(scale: GrayScale) -> str:
    return f"low, high = {write_double(scale.black)}, {write_double(scale.white)}"


def _write_scale(norm: Norm) -> Iterator[str]:
    """The statements that make the scale of a channel of its minimum ``low`` and maximum ``high``."""
    if norm.mode == "abs":
        yield "low, high = 0, max(-low, high)"
    elif norm.mode == "symmetric":
        yield "high = max(-low, high)"
        yield "low = -high"
    if norm.vmin is not None:
        yield f"low = {write_double(norm.vmin)}"
        yield "high = high if high > low else low + 1"
    if norm.vmax is not None:
        yield f"high = {write_double(norm.vmax)}"
        yield "low = low if low < high else high - 1"
