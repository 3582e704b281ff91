"""Small matrices side by side, as text."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from convfilter.numbers import show_aligned, show_number

MOST = 15  # rows of a matrix that is shown whole
CUTS = (9, 7, 5, 3, 1)  # rows and columns that are shown of a larger one
PLAIN, PADDING, CHOSEN = "  ", "()", "[]"  # how a number is marked


@dataclass(frozen=True)
class Cell:
    """One number of a matrix, and how it is marked."""

    value: float
    mark: str = PLAIN


@dataclass(frozen=True)
class Grid:
    """A matrix with a title; of a large one, what lies around ``middle`` (row, column) is shown."""

    title: str
    rows: tuple[tuple[Cell, ...], ...]
    middle: tuple[int, int] | None = None

    @property
    def total(self) -> float:
        """The sum of all numbers."""
        return add_up([cell.value for row in self.rows for cell in row])


def add_up(values: Sequence[float]) -> float:
    """Return the sum of all numbers, rounded once; as floats have it, where infinity or NaN is among them.

    >>> add_up([0.1] * 10), add_up([math.inf, -math.inf])
    (1.0, nan)
    """
    return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)


def write_grids(grids: Sequence[Grid], signs: Sequence[str], width: int) -> list[str]:
    """Return lines of at most ``width`` characters that show matrices of one size, with the signs between them.

    They stand side by side where they fit, else below each other. Of large ones a part is shown, and the last line says
    so, and where the signs end in "=" what the rest of the last matrix adds up to.

    >>> window, kernel = (Grid(title, ((Cell(a), Cell(b)),)) for title, a, b in (("window", 3, 40), ("kernel", 1, -1)))
    >>> for line in write_grids([window, kernel, Grid("products", ((Cell(3), Cell(-40)),))], "*=", 80):
    ...     print(line)
    window     kernel     products
      3 40  *    1 -1  =     3 -40
    """
    high, wide = len(grids[0].rows), len(grids[0].rows[0])
    if high <= MOST:
        lines = _beside(grids, signs, width) or _below(grids, signs, width)
        if lines:
            return lines
    for sizes, place in ((CUTS[:3], _beside), (CUTS[:3], _below), (CUTS[3:], _below)):
        for tall, broad in ((min(size, high), min(size, wide)) for size in sizes):
            cut = [_cut(grid, tall, broad) for grid in grids]
            lines = place(cut, signs, width)
            if lines:
                note = f"(only {tall}x{broad} of {high}x{wide} is shown"
                if signs[-1:] == "=":
                    note += f"; the other products add up to {show(grids[-1].total - cut[-1].total)}"
                return [*lines, *textwrap.wrap(note + ")", width)]
    raise ValueError(f"nothing fits in {width} columns")


def show(value: float) -> str:
    """Return a number with as many digits as sums of 32-bit floats can be trusted to have.

    >>> show(-12.0), show(1 / 3), show(1e-9)
    ('-12', '0.333333', '1e-09')
    """
    return show_number(value, 6)


def _cut(grid: Grid, high: int, wide: int) -> Grid:
    y, x = grid.middle or (len(grid.rows) // 2, len(grid.rows[0]) // 2)
    top = min(max(0, y - high // 2), len(grid.rows) - high)
    left = min(max(0, x - wide // 2), len(grid.rows[0]) - wide)
    return replace(grid, rows=tuple(row[left : left + wide] for row in grid.rows[top : top + high]))


def _beside(grids: Sequence[Grid], signs: Sequence[str], width: int) -> list[str] | None:
    blocks = [_block(grid) for grid in grids]
    height = len(blocks[0])
    lines = [""] * height
    for number, block in enumerate(blocks):
        size = max(map(len, block))
        sign = f"  {signs[number]}  " if number < len(signs) else ""
        middle = 1 + (height - 1) // 2 if height > 2 else 1
        for at, line in enumerate(block):
            lines[at] += line.ljust(size) + (sign if at == middle else " " * len(sign))
    lines = [line.rstrip() for line in lines]
    return lines if max(map(len, lines)) <= width else None


def _below(grids: Sequence[Grid], signs: Sequence[str], width: int) -> list[str] | None:
    lines = []
    for number, grid in enumerate(grids):
        title, *rows = _block(grid)
        sign = f"{signs[number - 1]} " if number else ""
        lines += [sign + title, *rows]
    return lines if max(map(len, lines)) <= width else None


def _block(grid: Grid) -> list[str]:
    texts = show_aligned([cell.value for row in grid.rows for cell in row])
    marked = any(cell.mark != PLAIN for row in grid.rows for cell in row)
    size = max(map(len, texts))
    numbers = iter(texts)
    lines = []
    for row in grid.rows:
        words = []
        for cell in row:
            before, after = cell.mark
            text = next(numbers)
            words.append(f"{(before.strip() + text).rjust(size + 1)}{after}" if marked else text.rjust(size))
        lines.append(("" if marked else " ").join(words).rstrip())
    size = max(len(grid.title), *map(len, lines))
    pad = size - max(map(len, lines))
    return [grid.title, *(" " * pad + line for line in lines)]
