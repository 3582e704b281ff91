"""The same answer as the whole network's, tile by tile, on all cores, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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
CHUNK = 1 << 17  # floats that stay in a core's own cache while they become pixels
KEEP = 1 << 28  # bytes of floats up to which the output is kept between its two readings; past them it is made twice

Source = Callable[[slice, slice], Tensor]


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
def find_routes(segment: Segment, shape: Shape) -> list[list[Route]]:
    """Return the routes of the tiles that make the output for an input of ``shape``: one list a band of rows."""
    shapes = segment.shapes(shape)
    _, height, width = shapes[-1]
    values = max(prod(one) for one in shapes)
    columns = _even(width, -(-max(one[2] for one in shapes) // WIDTH))
    count = max(-(-values // AREA), min(4, values // (AREA // 4)))
    rows = _even(height, -(-count // len(columns)))
    return [[find_route(segment.runs, shape, row, column) for column in columns] for row in rows]


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

        def put(make: Callable[[], Tile]) -> None:
            tile = make()
            floats[:, tile.rows, tile.columns] = tile.floats()

        deque(in_order(self.pool, put, chain.from_iterable(self.bands)), maxlen=0)
        return floats

    def pixels(
        self, limits: Sequence[tuple[float, float]], bits: int = 8, *, absolute: bool = False
    ) -> Iterator[NDArray[np.integer]]:
        """Yield bands (C, n, W) of pixels from top to bottom; each channel has its ``limits`` (black, white)."""

        def pixels(make: Callable[[], Tile]) -> NDArray[np.integer]:
            tile = make()
            channels = [quantise(x, *ends, bits, absolute) for x, ends in zip(tile.channels(), limits, strict=True)]
            return tile.arrange(channels)

        tiles = in_order(self.pool, pixels, chain.from_iterable(self.bands))
        for band in self.bands:
            parts = [next(tiles) for _ in band]
            yield parts[0] if len(parts) == 1 else np.concatenate(parts, 2)


@torch.inference_mode()
def quantise(x: Tensor, black: float, white: float, bits: int, absolute: bool) -> Tensor:
    """Return ``x`` as pixels, the very same as ``convfilter.network.quantise`` gives."""
    levels = (1 << bits) - 1
    pixels = np.zeros(x.numel(), np.uint8 if bits == 8 else np.uint16)
    if black != white:
        flat = x.reshape(-1)
        for start in range(0, len(flat), CHUNK):
            part = flat[start : start + CHUNK]
            part = (part.abs() if absolute else part).sub(black)
            part.mul_(levels / (white - black)).round_().clamp_(0, levels)
            np.copyto(pixels[start : start + CHUNK], part.numpy(), casting="unsafe")
    return torch.from_numpy(pixels).view(x.shape)


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

    def source(rows: slice, columns: slice) -> Tensor:
        part = values[rows, columns]
        raw = part.dtype == np.uint8 and scale == white
        return torch.from_numpy(part)[None, None] if raw else to_tensor(part, white, scale)

    shape = (1, *values.shape)
    for segment in segments[:-1]:
        if segment.cut:
            x = torch.from_numpy(_output(segment, source, shape, pool, 0).floats())[None]
        else:
            with torch.inference_mode():
                x = segment.runs[0].steps[0].apply(source(slice(None), slice(None)).float())
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

    routes = find_routes(segment, shape)
    output = segment.shapes(shape)[-1]
    kept = 4 * prod(output) <= keep
    ranges, makes = zip(*in_order(pool, measure, chain.from_iterable(routes)), strict=True)
    lows, highs = np.array(ranges).transpose(2, 0, 1)
    each = iter(makes)
    bands = [[next(each) for _ in band] for band in routes]
    return Output(output, list(zip(lows.min(0).tolist(), highs.max(0).tolist(), strict=True)), bands, pool)


def _same(tile: Tile) -> Tile:
    return tile


def make_pool(workers: int) -> ThreadPoolExecutor:
    """Return threads that compute alone: torch's own wait for each other spinning, and make a busy machine slow."""
    torch.empty(31 << 20, dtype=torch.uint8)  # freed at once: from then on glibc keeps memory up to that size for reuse
    return ThreadPoolExecutor(workers, "convfilter", initializer=torch.set_num_threads, initargs=(1,))


def in_order(pool: ThreadPoolExecutor | None, function: Callable, items: Iterable) -> Iterator:
    """Yield the function's values in order, while the pool works a little ahead."""
    if pool is None:
        yield from map(function, items)
        return
    ahead, waiting = 2 * pool._max_workers, deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
