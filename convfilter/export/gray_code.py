"""How a script makes gray levels of floats, as the program does."""

from collections.abc import Iterator

from convfilter.gray.norm import LARGEST, SMALLEST, Norm
from convfilter.numbers import write_double


def write_levels(norm: Norm, white: float, bits: int, noise: float) -> Iterator[str]:
    """Yield the statements that turn ``values`` into ``pixels`` of 8 or 16 ``bits``, as ``Norm.limits`` says.

    ``white`` is a white pixel's value in the tensor; a difference of up to ``noise`` is put down to rounding.

    >>> print(*write_levels(Norm(vmin=0.0, vmax=9.0), 255, 8, 0.0), sep="\\n")
    low, high = 0, 9
    scale = 255 / (high - low)
    pixels = ((values - low) * scale).round().clamp(0, 255).byte().numpy()
    """
    levels = (1 << bits) - 1
    black = None if norm.vmin is None else write_double(norm.vmin)
    bright = None if norm.vmax is None else write_double(norm.vmax)
    values = "values.abs()" if norm.mode == "abs" else "values"
    if norm.mode == "clip":
        black, bright = map(write_double, norm.limits(0.0, 0.0, white)[:2])
    one_end = norm.mode != "clip" and (norm.vmin is None) != (norm.vmax is None)
    fixed = black is not None and bright is not None
    end = max(abs(one or 0) for one in (norm.vmin, norm.vmax))
    if end > LARGEST or (fixed and norm.mode != "clip" and norm.vmax - norm.vmin < SMALLEST):
        values += ".double()"
    if norm.mode == "symmetric" and not fixed:
        yield "top = values.abs().max().item()"
        yield f"top = top if top > {noise:.9g} else 1"
    low = black or {"minmax": "values.min().item()", "abs": "0", "symmetric": "-top"}.get(norm.mode)
    high = (
        bright or {"minmax": "values.max().item()", "abs": "values.abs().max().item()", "symmetric": "top"}[norm.mode]
    )
    yield f"low, high = {low}, {high}"
    if one_end and noise and not bright and norm.mode != "symmetric":
        least = "values.min().item()" if norm.mode == "minmax" else "0"
        yield f"high = high if high - {least} > {noise:.9g} else {least}"
    if one_end:  # beyond all values it saturates
        yield "low = low if low < high else high - 1" if bright else "high = high if high > low else low + 1"
    scale = f"{levels} / (high - low)"
    if (one_end and end > 2**52) or (fixed and black == bright):  # where 1 more is no more
        scale += " if high != low else 0"
    elif not fixed and not one_end and norm.mode != "symmetric":
        scale += f" if high - low > {noise:.9g} else 0" if noise else " if high != low else 0"
    yield f"scale = {scale}"
    kind = "byte()" if bits == 8 else "to(torch.uint16)"
    yield f"pixels = (({values} - low) * scale).round().clamp(0, {levels}).{kind}.numpy()"
