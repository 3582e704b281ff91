"""One tile's way back through the layers to the input that it needs, and the input's way to the tile."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convfilter.engine.algorithms import VECTOR, Step
from convfilter.engine.intervals import Stretch, trace
from convfilter.engine.strips import Cut, Rim, cut, flatten, join, lay, transpose
from convfilter.layers.shapes import Shape, Window


@dataclass(frozen=True)
class Run:
    """Steps that a tile goes through in one form: as strips where it is wide enough for them, or as it is."""

    steps: tuple[Step, ...]
    strips: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """A step at one tile: what to put around its input, and what is still to do with its output."""

    step: Step
    row: Stretch
    column: Stretch | None  # None for strips, whose columns are padded by their rims
    rims: tuple[Rim, ...]
    crop: tuple[slice, ...] | None
    divisor: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        x = self.row.fill(x, 2, self.step.fill)
        if self.column:
            x = self.column.fill(x, 3, self.step.fill)
        for rim in self.rims:
            rim.fill(x)
        x = self.step.apply(x) if self.column else self.step.on_strips(x)
        if self.crop:
            x = x[self.crop]
        if self.divisor is None:
            return x
        every = x.shape[1] // VECTOR if self.divisor.ndim == 3 else 1
        return x.div_(self.divisor.repeat(every, 1, 1) if every > 1 else self.divisor)


@dataclass(frozen=True, slots=True)
class Leg:
    """A run of steps at one tile, of ``width`` output columns; ``strips`` say how its input is cut, if it is."""

    stops: tuple[Stop, ...]
    first: int
    width: int
    strips: Cut | None


@dataclass(frozen=True, slots=True)
class Route:
    """From the input's ``rows`` and ``columns``, by the legs, to the output's."""

    rows: slice
    columns: slice
    legs: tuple[Leg, ...]
    output_rows: slice
    output_columns: slice


def find_route(runs: Sequence[Run], shape: Shape, rows: slice, columns: slice) -> Route:
    """Return the way from an input of ``shape`` (C, H, W) to these rows and columns of the output."""
    steps = [step for run in runs for step in run.steps]
    if not steps:
        return Route(rows, columns, (), rows, columns)
    down = trace([step.effect.rows for step in steps], shape[1], rows.start, rows.stop)
    across = trace([step.effect.columns for step in steps], shape[2], columns.start, columns.stop)
    legs, done = [], 0
    for run in runs:
        here = slice(done, done := done + len(run.steps))
        legs.append(_leg(run, down[here], across[here]))
    inputs = slice(down[0].first, down[0].last), slice(across[0].first, across[0].last)
    return Route(*inputs, tuple(legs), rows, columns)


def _leg(run: Run, down: Sequence[Stretch], across: Sequence[Stretch]) -> Leg:
    start, stop = across[-1].start, across[-1].stop
    cuts = cut(run.steps, [column.n for column in across], start, stop) if run.strips else None
    if cuts:
        stops = [
            Stop(step, row, None, strips.rims, None, _divisor(step, row, strips.outputs, column.n))
            for step, row, column, strips in zip(run.steps, down, across, cuts, strict=True)
        ]
    else:
        stops = [
            Stop(
                step,
                row,
                column,
                (),
                _crop(row, column),
                _divisor(step, row, range(column.start, column.stop), column.n),
            )
            for step, row, column in zip(run.steps, down, across, strict=True)
        ]
    return Leg(tuple(stops), across[0].first, stop - start, cuts[0] if cuts else None)


def _crop(row: Stretch, column: Stretch) -> tuple[slice, ...] | None:
    if isinstance(row.axis, Window) and isinstance(column.axis, Window):
        return None
    return ..., *(slice(stretch.skip, stretch.skip + stretch.count) for stretch in (row, column))


def _divisor(step: Step, row: Stretch, columns, n: int) -> Tensor | None:
    """What a mean's outputs are to be divided by: (h, w), (strips, h, w), or one number; None where that is 1."""
    if not step.divisor:
        return None
    axis = step.effect.columns
    down = step.divisor(row.axis, torch.arange(row.start, row.stop), row.n)
    across = step.divisor(axis, torch.as_tensor(columns).clamp(max=axis.length(n) - 1), n)  # past them: of no meaning
    divisor = (down[:, None] * across[..., None, :]).float()
    if not bool((divisor == (same := divisor.flatten()[0])).all()):
        return divisor
    return None if same == 1 else same


@dataclass(frozen=True, eq=False, slots=True)
class Tile:
    """Rows and columns of an output: one channel's strips (h, w * 16), or channels (h, C, w) and maybe more columns."""

    rows: slice
    columns: slice
    values: NDArray[np.float32]

    def ranges(self) -> list[tuple[float, float]]:
        """Return the least and the greatest value of each channel: NaN where there is one."""
        channels = [self.values] if self.values.ndim == 2 else self.values.transpose(1, 0, 2)
        return [tuple(end.item() for end in torch.aminmax(torch.from_numpy(channel))) for channel in channels]

    def channel(self, number: int) -> NDArray[np.float32]:
        """Return a copy of one channel's values (h, w), to which columns of no meaning may be joined on the right."""
        return join(self.values)[:, 0] if self.values.ndim == 2 else self.values[:, number].copy()


@torch.inference_mode()
def travel(route: Route, picture: NDArray[np.generic] | Tensor) -> Tile:
    """Return the route's tile of a ``picture`` of gray values (h, w), or of an activation (1, C, h, w)."""
    x = picture
    for leg in route.legs:
        strips = leg.strips
        if strips:
            x = lay(x if isinstance(x, np.ndarray) else x[0, 0].numpy(), leg.first, strips)
        elif isinstance(x, np.ndarray):
            x = torch.from_numpy(x.astype(np.float32))[None, None]
        for stop in leg.stops:
            x = stop(x)
        if strips:
            channels, flat = x.shape[1] // VECTOR, flatten(x, leg.width)
            if leg is route.legs[-1]:
                values = flat if channels == 1 else join(flat, channels)
                return Tile(route.output_rows, route.output_columns, values)
            x = torch.from_numpy(join(flat)[:, :, : leg.width].transpose(1, 0, 2))[None]
    channels = x.numpy()[0]
    c, h, w = channels.shape
    if c > 1 and x.stride(1) == 1:
        values = transpose(np.ascontiguousarray(channels.transpose(1, 2, 0)).reshape(h, w * c), w).reshape(h, c, w)
    else:  # a copy, for it is kept: the view may hold far more, and between large blocks it would keep them apart
        values = channels.transpose(1, 0, 2).copy()
    return Tile(route.output_rows, route.output_columns, values)
