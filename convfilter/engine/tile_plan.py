"""One tile of an output: which input it needs, back through the layers, and how it is computed from that."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convfilter.engine.algorithms import VECTOR, Algorithm
from convfilter.engine.intervals import Interval, trace_back
from convfilter.engine.padding import pad
from convfilter.engine.strips import Rim, Strips, flatten, join, lay_out, plan_strips, transpose
from convfilter.layers.shapes import Shape, Window


@dataclass(frozen=True)
class Stage:
    """Algorithms that a tile goes through in one form: as strips where it is wide enough for them, or as it is."""

    algorithms: tuple[Algorithm, ...]
    strips: bool


@dataclass(frozen=True, slots=True)
class TileStep:
    """An algorithm at one tile: what to put around its input, and what is still to do with its output.

    ``column`` is None for strips, whose columns are padded by their ``rims``.
    """

    algorithm: Algorithm
    row: Interval
    column: Interval | None
    rims: tuple[Rim, ...]
    divisor: Tensor | None

    def apply(self, x: Tensor) -> Tensor:
        """Return the output of the tile's input; both are strips, or (1, C, h, w)."""
        x = pad(x, 2, self.row, self.algorithm.fill)
        if self.column:
            x = self.algorithm.apply(pad(x, 3, self.column, self.algorithm.fill))
            x = _crop(x, self.row, self.column)
        else:
            for rim in self.rims:
                rim.fill(x)
            x = self.algorithm.on_strips(x)
        if self.divisor is None:
            return x
        channels = x.shape[1] // VECTOR if self.divisor.ndim == 3 else 1
        return x.div_(self.divisor.repeat(channels, 1, 1) if channels > 1 else self.divisor)


@dataclass(frozen=True, slots=True)
class TileStage:
    """A stage at one tile, from the input column ``first`` on, of ``width`` output columns.

    ``strips`` are those of its input, if it is laid out as strips.
    """

    steps: tuple[TileStep, ...]
    first: int
    width: int
    strips: Strips | None


@dataclass(frozen=True, slots=True)
class TilePlan:
    """From the input's ``rows`` and ``columns``, through the stages, to the output's."""

    rows: slice
    columns: slice
    stages: tuple[TileStage, ...]
    output_rows: slice
    output_columns: slice


def plan_tile(stages: Sequence[Stage], shape: Shape, rows: slice, columns: slice) -> TilePlan:
    """Return how to get from an input of ``shape`` (C, H, W) to these rows and columns of the output."""
    effects = [algorithm.effect for stage in stages for algorithm in stage.algorithms]
    if not effects:
        return TilePlan(rows, columns, (), rows, columns)
    down = trace_back([effect.rows for effect in effects], shape[1], range(rows.start, rows.stop))
    across = trace_back([effect.columns for effect in effects], shape[2], range(columns.start, columns.stop))
    planned, done = [], 0
    for stage in stages:
        here = slice(done, done := done + len(stage.algorithms))
        planned.append(_plan_stage(stage, down[here], across[here]))
    inputs = [slice(first.sources.start, first.sources.stop) for first in (down[0], across[0])]
    return TilePlan(*inputs, tuple(planned), rows, columns)


def _plan_stage(stage: Stage, down: Sequence[Interval], across: Sequence[Interval]) -> TileStage:
    outputs, lengths = across[-1].outputs, [column.length for column in across]
    planned = plan_strips(stage.algorithms, lengths, outputs) if stage.strips else None
    steps = []
    for number, (algorithm, row, column) in enumerate(zip(stage.algorithms, down, across, strict=True)):
        if planned:
            strips = planned[number]
            divisor = _find_divisor(algorithm, row, strips.outputs, column.length)
            steps.append(TileStep(algorithm, row, None, strips.rims, divisor))
        else:
            divisor = _find_divisor(algorithm, row, column.outputs, column.length)
            steps.append(TileStep(algorithm, row, column, (), divisor))
    return TileStage(tuple(steps), across[0].sources.start, len(outputs), planned[0] if planned else None)


def _crop(x: Tensor, row: Interval, column: Interval) -> Tensor:
    """The wanted outputs of a layer that gives more: not of windows, which give no other."""
    if isinstance(row.axis, Window) and isinstance(column.axis, Window):
        return x
    return x[..., *(slice(axis.skip, axis.skip + len(axis.outputs)) for axis in (row, column))]


def _find_divisor(algorithm: Algorithm, row: Interval, columns: range | list[range], n: int) -> Tensor | None:
    """What a mean's outputs are to be divided by: (h, w), (strips, h, w), or one number; None where that is 1."""
    if not algorithm.divisor:
        return None
    axis = algorithm.effect.columns
    down = algorithm.divisor(row.axis, torch.arange(row.outputs.start, row.outputs.stop), row.length)
    across = algorithm.divisor(
        axis, torch.as_tensor(columns).clamp(max=axis.length(n) - 1), n
    )  # those past it: undefined
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
        """Return the minimum and maximum of each channel: NaN where there is one."""
        channels = [self.values] if self.values.ndim == 2 else self.values.transpose(1, 0, 2)
        return [tuple(end.item() for end in torch.aminmax(torch.from_numpy(channel))) for channel in channels]

    def channel(self, number: int) -> NDArray[np.float32]:
        """Return a copy of one channel's values (h, w), maybe with undefined columns on the right."""
        return join(self.values)[:, 0] if self.values.ndim == 2 else self.values[:, number].copy()


@torch.inference_mode()
def compute_tile(plan: TilePlan, picture: NDArray[np.generic] | Tensor) -> Tile:
    """Return the tile of a plan, from its part of a picture of gray values (h, w) or of an activation (1, C, h, w)."""
    x = picture
    for stage in plan.stages:
        strips = stage.strips
        if strips:
            x = lay_out(x if isinstance(x, np.ndarray) else x[0, 0].numpy(), stage.first, strips)
        elif isinstance(x, np.ndarray):
            x = torch.from_numpy(x.astype(np.float32))[None, None]
        for step in stage.steps:
            x = step.apply(x)
        if strips:
            channels, flat = x.shape[1] // VECTOR, flatten(x, stage.width)
            if stage is plan.stages[-1]:
                values = flat if channels == 1 else join(flat, channels)
                return Tile(plan.output_rows, plan.output_columns, values)
            x = torch.from_numpy(join(flat)[:, :, : stage.width].transpose(1, 0, 2))[None]
    channels = x.numpy()[0]
    c, h, w = channels.shape
    if c > 1 and x.stride(1) == 1:
        values = transpose(np.ascontiguousarray(channels.transpose(1, 2, 0)).reshape(h, w * c), w).reshape(h, c, w)
    else:  # a copy, for it is kept: the view may hold far more, and between large blocks it would keep them apart
        values = channels.transpose(1, 0, 2).copy()
    return Tile(plan.output_rows, plan.output_columns, values)
