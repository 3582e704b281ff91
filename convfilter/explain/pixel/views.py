"""One pixel, the part of a tensor around it, and how a value comes about there."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from convfilter.explain.pixel.grids import PADDING, PLAIN, Cell, Grid
from convfilter.layers.shapes import Axis, Window

Cells = tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Pixel:
    """One pixel of a tensor (C, H, W)."""

    channel: int
    y: int
    x: int

    def __str__(self) -> str:
        return f"{self.x},{self.y}"


@dataclass(frozen=True, eq=False)
class View:
    """A part of a tensor CxHxW: ``values`` (C, h, w), whose first row and column are ``top`` and ``left`` of HxW."""

    values: torch.Tensor
    top: int
    left: int
    height: int
    width: int

    @property
    def channels(self) -> int:
        return self.values.shape[0]

    def nearest(self, y: int, x: int) -> tuple[int, int]:
        """Return the row and column in the view that are nearest to a place, which may lie outside of it."""
        _, height, width = self.values.shape
        return min(max(y, self.top), self.top + height - 1), min(max(x, self.left), self.left + width - 1)

    def at(self, place: Pixel) -> float:
        return self.values[place.channel, place.y - self.top, place.x - self.left].item()

    def column(self, place: Pixel) -> torch.Tensor:
        """Return the values of all channels (C,) at a place, in double precision."""
        return self.values[:, place.y - self.top, place.x - self.left].double()

    def window(
        self,
        channel: int,
        ys: Sequence[int],
        xs: Sequence[int],
        axes: tuple[Window, Window] = (Window(), Window()),
        padding: float = 0.0,
    ) -> Cells:
        """Return the values at rows ``ys`` and columns ``xs``; those outside are padding, marked as such.

        The axes say where it takes its values from, and ``padding`` is its value where they say zeros.
        """
        return tuple(tuple(self.cell(channel, y, x, axes, padding) for x in xs) for y in ys)

    def cell(self, channel: int, y: int, x: int, axes: tuple[Window, Window], padding: float) -> Cell:
        inside = 0 <= y < self.height and 0 <= x < self.width
        row, column = axes[0].source(y, self.height), axes[1].source(x, self.width)
        if row is None or column is None:
            return Cell(padding, PADDING)
        return Cell(self.at(Pixel(channel, row, column)), PLAIN if inside else PADDING)


@dataclass(frozen=True)
class Working:
    """How a pixel comes about: matrices with the signs between them, lines, the result, and the input pixel to follow.

    ``total`` is the result in double precision: the network's own, but for rounding.
    """

    total: float
    source: Pixel
    lines: tuple[str, ...]
    equations: tuple[tuple[tuple[Grid, ...], str], ...] = ()


def steps(axis: Axis, at: int, n: int) -> list[int]:
    """Return the inputs that output ``at`` sees along an axis of ``n``; outside [0, n) is padding.

    >>> steps(Window(3, stride=2, dilation=2, before=1), 0, 9)
    [-1, 1, 3]
    """
    if isinstance(axis, Window):
        return [at * axis.stride - axis.before + axis.dilation * tap for tap in range(axis.size)]
    return list(range(*axis.reach(at, at + 1, n)))


def middle(channel: int, ys: Sequence[int], xs: Sequence[int], view: View) -> Pixel:
    """Return the pixel in the middle of a window, or the nearest to it inside the picture."""
    y, x = ys[(len(ys) - 1) // 2], xs[(len(xs) - 1) // 2]
    return Pixel(channel, min(max(y, 0), view.height - 1), min(max(x, 0), view.width - 1))


def span(ys: Sequence[int], xs: Sequence[int]) -> str:
    """Return a window's columns and rows in words.

    >>> span([4, 6, 8], [7])
    'column 7, rows 4 to 8 in steps of 2'
    """
    return f"{_some('column', xs)}, {_some('row', ys)}"


def _some(noun: str, places: Sequence[int]) -> str:
    first, last = places[0], places[-1]
    if first == last:
        return f"{noun} {first}"
    apart = places[1] - first
    return f"{noun}s {first} to {last}" + (f" in steps of {apart}" if apart > 1 else "")
