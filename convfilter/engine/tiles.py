"""The same answer as the whole network's, tile by tile, on all cores, in bounded memory."""

from __future__ import annotations  # those of inner functions would be evaluated anew in each call

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, pairwise
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convfilter.engine.algorithms import Step, choose_steps
from convfilter.engine.build import GRAY, to_tensor
from convfilter.engine.intervals import can_cut
from convfilter.engine.route import Route, Run, Tile, find_route, travel
from convfilter.engine.threads import ONE, Cores, alone
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import level_type, quantise
from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Shape

AREA = 3 << 18  # values of a tile in the layer that has most of them: more leave the cache, fewer cost more calls
WIDTH = 1 << 11  # columns of a tile there
WORK = 800_000  # pixels of a one-coefficient kernel from whose time on another thread is worth waking
KEEP = 1 << 28  # bytes of floats up to which the output is kept between its two readings; past them it is made twice

Source = Callable[[slice, slice], NDArray[np.generic] | Tensor]
Change = Callable[[int, NDArray[np.float32]], NDArray[np.generic]]  # of a channel's number and values


@dataclass(frozen=True, eq=False)
class Segment:
    """Layers that a tile goes through by itself; one that cannot be ``cut`` is a single layer that sees everything."""

    runs: tuple[Run, ...]
    cut: bool

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the shapes (C, H, W) from the input's to the output's."""
        shapes = [shape]
        for run in self.runs:
            for step in run.steps:
                shapes.append(step.effect.output(shapes[-1]))
        return shapes

    def work(self, shapes: Sequence[Shape]) -> float:
        """Return about how many pixels a kernel of one coefficient would give in the time that these outputs take."""
        steps = [step for run in self.runs for step in run.steps]
        return sum(prod(one) * (1 + step.taps / 64) for step, one in zip(steps, shapes[1:], strict=True))


def plan(pipeline: Pipeline, network: nn.Sequential, channels: int = 1) -> tuple[Segment, ...]:
    """Return the network's layers, each by its quickest algorithm, in segments that take a picture tile by tile."""
    segments: list[tuple[list, bool]] = []
    for step in choose_steps([layer.effect for layer in pipeline.layers], network):
        axes = step.effect.rows, step.effect.columns
        if segments and segments[-1][1] and all(can_cut(axis, first=False) for axis in axes):
            segments[-1][0].append((step, channels))
        else:
            segments.append(([(step, channels)], all(can_cut(axis, first=True) for axis in axes)))
        channels = step.effect.channels(channels)
    if not segments or not segments[-1][1]:
        segments.append(([], True))  # what saw the whole picture is handed on in tiles all the same
    return tuple(Segment(tuple(_runs(steps)), cut) for steps, cut in segments)


def _runs(steps: Sequence[tuple[Step, int]]) -> Iterator[Run]:
    """Group steps, each with the channels that come into it, by the form that they take a tile in."""
    plain: list[Step] = []
    start = 0
    while start < len(steps):
        stop = _end_of_strips(steps, start)
        run = [step for step, _ in steps[start : max(stop, start + 1)]]
        start += len(run)
        if start == stop and any(step.heavy for step in run):
            if plain:
                yield Run(tuple(plain), False)
            yield Run(tuple(run), True)
            plain = []
        else:
            plain += run
    if plain:
        yield Run(tuple(plain), False)


def _end_of_strips(steps: Sequence[tuple[Step, int]], start: int) -> int:
    """Where the steps that take one channel's strips, and give one channel's or are the last, have their end."""
    stop = start
    if steps[start][1] == 1:
        while stop < len(steps) and steps[stop][0].on_strips:
            stop += 1
    while start < stop < len(steps) and steps[stop][1] > 1:
        stop -= 1
    return stop


@lru_cache(maxsize=8)
def find_routes(segment: Segment, shape: Shape) -> tuple[Shape, list[list[Route]]]:
    """Return the output's shape for an input of ``shape``, and the routes of its tiles: one list a band of rows."""
    shapes = segment.shapes(shape)
    _, height, width = shapes[-1]
    columns = _even(width, -(-max(one[2] for one in shapes) // WIDTH))
    count = max(-(-max(map(prod, shapes)) // AREA), 2 if segment.work(shapes) > WORK else 1)
    rows = _even(height, -(-count // (2 * len(columns))) * 2 if count > 1 else 1)
    return shapes[-1], [[find_route(segment.runs, shape, row, column) for column in columns] for row in rows]


def _even(length: int, count: int) -> list[slice]:
    ends = sorted({length * i // count for i in range(count + 1)})
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Output:
    """What comes out of a picture: its shape (C, H, W) and the range of each channel; the rest when it is asked for."""

    shape: Shape
    ranges: list[tuple[float, float]]
    bands: list[list[Callable[[], Tile]]]
    cores: Cores

    def floats(self) -> NDArray[np.float32]:
        """Return the output itself, (C, H, W)."""
        floats = np.empty(self.shape, np.float32)
        self._fill(floats, lambda number, channel: channel)
        return floats

    def picture(self, scales: Sequence[GrayScale], bits: int = 8) -> NDArray[np.unsignedinteger]:
        """Return the output as pixels, (C, H, W), each channel on its scale."""
        pixels = np.empty(self.shape, level_type(bits))
        self._fill(pixels, self._draw(scales, bits))
        return pixels

    def pixels(self, scales: Sequence[GrayScale], bits: int = 8) -> Iterator[NDArray[np.unsignedinteger]]:
        """Yield the output as pixels in bands (C, n, W) from top to bottom, each made when it is asked for."""
        channels, _, width = self.shape
        draw = self._draw(scales, bits)

        def make_band(makes: list[Callable[[], Tile]]) -> NDArray[np.integer]:
            tiles = [make() for make in makes]
            band = np.empty((channels, tiles[0].rows.stop - tiles[0].rows.start, width), level_type(bits))
            for tile in tiles:
                _write(tile, band[:, :, tile.columns], draw)
            return band

        return self.cores.in_order(make_band, self.bands)

    def _fill(self, out: NDArray[np.generic], change: Change) -> None:
        def put(make: Callable[[], Tile]) -> None:
            tile = make()
            _write(tile, out[:, tile.rows, tile.columns], change)

        self.cores.map(put, list(chain.from_iterable(self.bands)))

    def _draw(self, scales: Sequence[GrayScale], bits: int) -> Change:
        def draw(number: int, channel: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
            return quantise(channel, scales[number], bits, ends=self.ranges[number])

        return draw


def _write(tile: Tile, out: NDArray[np.generic], change: Change) -> None:
    for number, place in enumerate(out):
        place[:] = change(number, tile.channel(number))[:, : place.shape[1]]


def filter_picture(
    segments: Sequence[Segment],
    values: NDArray[np.generic],
    white: float,
    inputs: InputValues = GRAY,
    *,
    cores: Cores = ONE,
    keep: int = KEEP,
) -> Output:
    """Return what the network of ``segments`` gives for a picture, HxW or 3xHxW, in which ``white`` means white."""
    as_it_is = values.ndim == 2 and values.dtype == np.uint8 and inputs == InputValues(white=white)

    def source(rows: slice, columns: slice) -> NDArray[np.generic] | Tensor:
        part = values[..., rows, columns]
        return part if as_it_is else to_tensor(part, white, inputs)

    shape = values.shape if values.ndim == 3 else (1, *values.shape)
    for segment in segments[:-1]:
        if segment.cut:
            x = torch.from_numpy(_output(segment, source, shape, cores, 0).floats())[None]
        else:
            with torch.inference_mode():
                whole = slice(0, shape[1]), slice(0, shape[2])
                x = source(*whole)
                x = x if isinstance(x, Tensor) else to_tensor(x, white, inputs)
                x = alone(partial(segment.runs[0].steps[0].apply, x))
        source, shape = partial(_part, x), tuple(x.shape[1:])
    return _output(segments[-1], source, shape, cores, keep)


def _part(x: Tensor, rows: slice, columns: slice) -> Tensor:
    return x[:, :, rows, columns].clone()


def _output(segment: Segment, source: Source, shape: Shape, cores: Cores, keep: int) -> Output:
    def make(route: Route) -> Tile:
        return travel(route, source(route.rows, route.columns))

    def measure(route: Route):
        tile = make(route)
        return tile.ranges(), partial(_same, tile) if kept else partial(make, route)

    output, routes = find_routes(segment, shape)
    kept = 4 * prod(output) <= keep
    ranges, makes = zip(*cores.map(measure, list(chain.from_iterable(routes))), strict=True)
    each = iter(makes)
    bands = [[next(each) for _ in band] for band in routes]
    return Output(output, [_span(channel) for channel in zip(*ranges, strict=True)], bands, cores)


def _span(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The least and the greatest value of all ranges: NaN where one is."""
    lows, highs = zip(*ranges, strict=True)
    return (min(lows), max(highs)) if all(low == low for low in lows) else (math.nan, math.nan)


def _same(tile: Tile) -> Tile:
    return tile
