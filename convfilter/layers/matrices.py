"""What holds for any kernel: its type, turning it, reading it from a text."""

import math
import re
import reprlib

Matrix = tuple[tuple[float, ...], ...]
Bank = tuple[Matrix, ...]

LARGEST = 999  # rows or columns; 999x999 coefficients take a second to write down


def flip(kernel: Matrix | Bank) -> Matrix | Bank:
    """Return the kernel turned by 180 degrees, each one of a bank: what turns cross-correlation into convolution.

    >>> flip(((1, 2), (3, 4)))
    ((4, 3), (2, 1))
    """
    if is_bank(kernel):
        return tuple(flip(matrix) for matrix in kernel)
    return tuple(tuple(reversed(row)) for row in reversed(kernel))


def is_bank(kernel: Matrix | Bank) -> bool:
    """Return whether this is a bank, several kernels of one size, rather than one kernel.

    >>> is_bank((((1.0,),), ((2.0,),))), is_bank(((1.0,),))
    (True, False)
    """
    return isinstance(kernel[0][0], tuple | list)


def parse_rows(text: str) -> Matrix:
    """Return the kernel that a text holds, one row a line, its numbers separated by spaces, tabs or commas.

    A number may be a fraction such as 1/9; ``#`` begins a comment; empty lines are passed over. Rows that differ in
    length, a word that is no number, or nothing at all are a ValueError that names the line.

    >>> parse_rows("0 1 0  # a cross" + chr(10) + "1, -4, 1" + chr(10) + "0 1/2 0")
    ((0.0, 1.0, 0.0), (1.0, -4.0, 1.0), (0.0, 0.5, 0.0))
    """
    rows: list[tuple[float, ...]] = []
    first = 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), 1):
        line = line.partition("#")[0].strip()
        if not line:
            continue
        words = re.split(r"\s*,\s*|\s+", line)
        if len(words) > LARGEST or len(rows) == LARGEST:
            raise ValueError(f"line {number}: the kernel is larger than {LARGEST}x{LARGEST}, the largest there may be")
        row = tuple(_parse_number(word, number) for word in words)
        first = first or number
        if rows and len(row) != len(rows[0]):
            counts = f"{len(row)} in this row and {len(rows[0])} in line {first}"
            raise ValueError(f"line {number}: {counts}; every row needs as many numbers")
        rows.append(row)
    if not rows:
        raise ValueError("line 1: no numbers in it; write one row of the kernel a line, such as 0 -1 0")
    return tuple(rows)


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _parse_number(word: str, line: int) -> float:
    above, slash, below = word.partition("/")
    if not (_NUMBER.fullmatch(above) and (_NUMBER.fullmatch(below) or not slash)):
        what = reprlib.repr(word) + " is not a number" if word else "a number is missing beside a comma"
        raise ValueError(f"line {line}: {what}; write numbers such as 3, -0.5, 1e-3 or 1/9")
    divisor = float(below) if slash else 1.0
    value = float(above) / divisor if divisor else math.inf
    if abs(value) > 3.4e38 or math.isnan(value):
        raise ValueError(
            f"line {line}: {reprlib.repr(word)} is no number that a 32-bit float holds; 3.4e38 is the largest"
        )
    return value
