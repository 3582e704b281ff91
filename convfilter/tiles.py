"""The same answer as the whole network's, tile by tile, on all cores, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, groupby, pairwise
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convfilter.effects import Shape
from convfilter.fast import Step, choose_steps
from convfilter.network import to_tensor
from convfilter.pipeline import Pipeline
from convfilter.route import Route, Run, Tile, find_route, travel
from convfilter.stretches import can_cut

AREA = 1 << 19  # values of a tile in the layer that has most of them: more leave the cache, fewer cost more calls
WIDTH = 1 << 11  # columns of a tile there
WORK = 400_000  # pixels of a one-coefficient kernel from whose time on another thread is worth waking
KEEP = 1 << 28  # bytes of floats up to which the output is kept between its two readings; past them it is made twice

Source = Callable[[slice, slice], NDArray[np.generic] | Tensor]


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
    for alike, group in groupby(steps, lambda pair: pair[0].apart and pair[1] == 1):
        run = tuple(step for step, _ in group)
        yield Run(run, alike and any(step.heavy for step in run))


@lru_cache(maxsize=8)
def find_routes(segment: Segment, shape: Shape) -> tuple[Shape, list[list[Route]]]:
    """Return the output's shape for an input of ``shape``, and the routes of its tiles: one list a band of rows."""
    shapes = segment.shapes(shape)
    _, height, width = shapes[-1]
    columns = _even(width, -(-max(one[2] for one in shapes) // WIDTH))
    count = max(-(-max(map(prod, shapes)) // AREA), min(4, round(segment.work(shapes) / WORK)))
    rows = _even(height, -(-count // len(columns)))
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
    pool: ThreadPoolExecutor | None

    def floats(self) -> NDArray[np.float32]:
        """Return the output itself, (C, H, W)."""
        floats = np.empty(self.shape, np.float32)
        self._fill(floats, lambda tile: tile.channels())
        return floats

    def picture(
        self, limits: Sequence[tuple[float, float]], bits: int = 8, *, absolute: bool = False
    ) -> NDArray[np.integer]:
        """Return the output as pixels, (C, H, W); each channel has its ``limits`` (black, white)."""
        pixels = np.empty(self.shape, _pixel(bits))
        self._fill(pixels, lambda tile: _draw(tile, limits, bits, absolute))
        return pixels

    def pixels(
        self, limits: Sequence[tuple[float, float]], bits: int = 8, *, absolute: bool = False
    ) -> Iterator[NDArray[np.integer]]:
        """Yield the output as pixels in bands (C, n, W) from top to bottom, each made when it is asked for."""
        channels, _, width = self.shape

        def draw(makes: list[Callable[[], Tile]]) -> NDArray[np.integer]:
            tiles = [make() for make in makes]
            band = np.empty((channels, tiles[0].rows.stop - tiles[0].rows.start, width), _pixel(bits))
            for tile in tiles:
                tile.put(_draw(tile, limits, bits, absolute), band[:, :, tile.columns])
            return band

        return in_order(self.pool, draw, self.bands)

    def _fill(self, out: NDArray[np.generic], values: Callable[[Tile], list[NDArray[np.generic]]]) -> None:
        def put(make: Callable[[], Tile]) -> None:
            tile = make()
            tile.put(values(tile), out[:, tile.rows, tile.columns])

        deque(in_order(self.pool, put, list(chain.from_iterable(self.bands))), maxlen=0)


def _pixel(bits: int) -> type:
    return np.uint8 if bits == 8 else np.uint16


def _draw(tile: Tile, limits, bits: int, absolute: bool) -> list[NDArray[np.integer]]:
    return [quantise(x, *ends, bits, absolute) for x, ends in zip(tile.channels(), limits, strict=True)]


@torch.inference_mode()
def quantise(x: NDArray[np.float32], black: float, white: float, bits: int, absolute: bool) -> NDArray[np.integer]:
    """Return ``x`` as pixels, the very same as ``convfilter.network.quantise`` gives."""
    levels = (1 << bits) - 1
    if black == white:
        return np.zeros(x.shape, _pixel(bits))
    y = torch.from_numpy(x)
    y = (y.abs() if absolute else y).sub(black).mul_(levels / (white - black)).round_().clamp_(0, levels)
    pixels = np.empty(x.shape, _pixel(bits))
    np.copyto(pixels, y.numpy(), casting="unsafe")
    return pixels


def filter_picture(
    segments: Sequence[Segment],
    values: NDArray[np.generic],
    white: float,
    scale: float = 255.0,
    *,
    pool: ThreadPoolExecutor | None = None,
    keep: int = KEEP,
) -> Output:
    """Return what the network of ``segments`` gives for a picture (H, W), whose value ``white`` becomes ``scale``."""

    def source(rows: slice, columns: slice) -> NDArray[np.generic] | Tensor:
        part = values[rows, columns]
        return part if part.dtype == np.uint8 and scale == white else to_tensor(part, white, scale)

    shape = (1, *values.shape)
    for segment in segments[:-1]:
        if segment.cut:
            x = torch.from_numpy(_output(segment, source, shape, pool, 0).floats())[None]
        else:
            with torch.inference_mode():
                whole = slice(0, shape[1]), slice(0, shape[2])
                x = source(*whole)
                x = segment.runs[0].steps[0].apply(x if isinstance(x, Tensor) else to_tensor(x, white, scale))
        source, shape = partial(_part, x), tuple(x.shape[1:])
    return _output(segments[-1], source, shape, pool, keep)


def _part(x: Tensor, rows: slice, columns: slice) -> Tensor:
    return x[:, :, rows, columns].clone()


def _output(segment: Segment, source: Source, shape: Shape, pool, keep: int) -> Output:
    def make(route: Route) -> Tile:
        return travel(route, source(route.rows, route.columns))

    def measure(route: Route):
        tile = make(route)
        return tile.ranges(), partial(_same, tile) if kept else partial(make, route)

    output, routes = find_routes(segment, shape)
    kept = 4 * prod(output) <= keep
    ranges, makes = zip(*in_order(pool, measure, list(chain.from_iterable(routes))), strict=True)
    lows, highs = np.array(ranges).transpose(2, 0, 1)
    each = iter(makes)
    bands = [[next(each) for _ in band] for band in routes]
    return Output(output, list(zip(lows.min(0).tolist(), highs.max(0).tolist(), strict=True)), bands, pool)


def _same(tile: Tile) -> Tile:
    return tile


def make_pool(cores: int) -> ThreadPoolExecutor | None:
    """Return threads that compute with the calling one on so many cores, each alone; None where one core is all.

    Torch's own threads wait for each other spinning, which on a busy machine makes both slow.
    """
    torch.empty(31 << 20, dtype=torch.uint8)  # freed at once: from then on glibc keeps memory up to that size for reuse
    if cores < 2:
        return None
    return ThreadPoolExecutor(cores - 1, "convfilter", initializer=torch.set_num_threads, initargs=(1,))


def in_order(pool: ThreadPoolExecutor | None, function: Callable, items: Sequence) -> Iterator:
    """Yield the function's values in order, while the pool's threads and the calling one work a little ahead."""
    if pool is None or len(items) == 1:
        yield from map(function if pool is None else partial(_alone, function), items)
        return
    begun: deque[list] = deque()
    try:
        for item in items:
            begun.append([pool.submit(function, item), item])
            if len(begun) > 2 * pool._max_workers + 2:
                yield _take(begun, function)
        while begun:
            yield _take(begun, function)
    finally:
        for future, _ in begun:
            future.cancel()


def _take(begun: deque[list], function: Callable):
    """The next value; while another thread makes it, this one makes a later value."""
    while not begun[0][0].done() and (mine := next((one for one in begun if one[0].cancel()), None)):
        mine[0] = Future()
        mine[0].set_result(_alone(function, mine[1]))
    return begun.popleft()[0].result()


def _alone(function: Callable, item):
    threads = torch.get_num_threads()
    if threads == 1:
        return function(item)
    torch.set_num_threads(1)
    try:
        return function(item)
    finally:
        torch.set_num_threads(threads)
