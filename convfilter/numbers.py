"""How a number is written: as Python source that reads back as exactly the same, and as people write it."""

import math
import struct
from collections.abc import Sequence


def write_number(value: float) -> str:
    """Return the shortest text that gives the 32-bit float nearest to ``value``, which one can hold.

    >>> write_number(1 / 3), write_number(-2.0)
    ('0.33333334', '-2')
    """
    near = _to_float32(value)
    if near == int(near) and abs(near) < 1e9:
        return str(int(near))
    texts = (f"{near:.{digits}g}" for digits in range(6, 10))
    return next(text for text in texts if _to_float32(float(text)) == near)


def write_double(value: float) -> str:
    """Return the shortest text that gives a 64-bit float.

    >>> write_double(255.0), write_double(1 / 3)
    ('255', '0.3333333333333333')
    """
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def write_value(value: object) -> str:
    """Return the text of a layer's argument: a number, a word, a truth, None, or a tuple of them.

    >>> write_value((2, "same", float("inf"), None))
    '(2, "same", float("inf"), None)'
    """
    if isinstance(value, tuple):
        return f"({', '.join(map(write_value, value))}{',' * (len(value) == 1)})"
    if isinstance(value, str):
        return quote(value)
    return f'float("{value}")' if value in (float("inf"), float("-inf")) else repr(value)


def quote(text: str) -> str:
    r"""Return a text as a literal, in double quotes unless that needs more escapes; what it holds cannot get out.

    >>> print(quote("a\n.png"), quote('"'))
    "a\n.png" '"'
    """
    quoted = ascii(text)
    return quoted if '"' in quoted else f'"{quoted[1:-1]}"'


def show_number(value: float, digits: int = 4) -> str:
    """Return a number as people read it, with ``digits`` significant digits; all digits before the point, up to 1e7.

    >>> show_number(1 / 3), show_number(-0.0), show_number(123456.7), show_number(1e-9)
    ('0.3333', '0', '123457', '1e-09')
    """
    text = f"{value + 0.0:.{digits}g}"  # + 0.0: no -0
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e7 else text


def show_aligned(values: Sequence[float], digits: int = 4) -> list[str]:
    """Return the numbers of a matrix with as many decimals as give the largest of them ``digits`` digits.

    Whole numbers have no decimals, nor those of a matrix that has very large ones or very small ones alone.

    >>> show_aligned([0.5, -12.3456, -0.0001]), show_aligned([1.0, -20.0])
    (['0.50', '-12.35', '0.00'], ['1', '-20'])
    """
    finite = [abs(value) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    if all(value == int(value) for value in finite) or not 1e-4 <= largest < 1e7:
        return [show_number(value, digits) for value in values]
    decimals = max(0, digits - 1 - math.floor(math.log10(largest)))
    texts = [f"{value:.{decimals}f}" for value in values]
    return [text.lstrip("-") if float(text) == 0 else text for text in texts]


def typeset(text: str) -> str:
    """Return a written number as a web page shows it.

    >>> typeset("-1e-09"), typeset("-inf")
    ('−1e−9', '−∞')
    """
    for plain, mark in (("e+0", "e"), ("e+", "e"), ("e-0", "e-"), ("-", "−"), ("nan", "NaN"), ("inf", "∞")):
        text = text.replace(plain, mark)
    return text


def show_bytes(count: float) -> str:
    """Return a number of bytes as people write it.

    >>> show_bytes(2_500_000_000), show_bytes(900)
    ('2.3 GiB', '900 bytes')
    """
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:,.1f} TiB"


def _to_float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])
