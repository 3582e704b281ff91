"""The same answer as the whole network's, tile by tile, on all cores, in bounded memory."""

from __future__ import annotations  # those of inner functions would be evaluated anew in each call

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, pairwise
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from convfilter.engine.algorithms import Algorithm, choose_algorithms
from convfilter.engine.build import build, to_tensor
from convfilter.engine.memory import is_kept
from convfilter.engine.segments import split_layers
from convfilter.engine.threads import ONE_THREAD, Threads, one_thread
from convfilter.engine.tile_plan import Stage, Tile, TilePlan, compute_tile, plan_tile
from convfilter.gray.input_values import GRAY, InputValues
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import level_type, quantise
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes, Draws, Kernels
from convfilter.layers.shapes import Shape

AREA = 3 << 18  # values of a tile in the layer that has most of them: more leave the cache, fewer cost more calls
WIDTH = 1 << 11  # columns of a tile there
APART = {  # what is computed of a channel without the others
    *(Computes.MAXIMUM, Computes.MEAN, Computes.POWER_MEAN, Computes.BLEND, Computes.PADDING, Computes.CURVE)
}
WORK = 800_000  # pixels of a one-coefficient kernel from whose time on another thread is worth waking

ReadPart = Callable[[slice, slice], NDArray[np.generic] | Tensor]
Change = Callable[[int, NDArray[np.float32]], NDArray[np.generic]]  # of a channel's number and values


@dataclass(frozen=True, eq=False)
class SegmentPlan:
    """Layers that a tile goes through by itself, in stages; or one, not ``cut``, that needs the whole picture.

    ``channels`` is how many its input has.
    """

    stages: tuple[Stage, ...]
    cut: bool
    channels: int

    @property
    def algorithms(self) -> list[Algorithm]:
        return [algorithm for stage in self.stages for algorithm in stage.algorithms]

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the shapes (C, H, W) from the input's to the output's."""
        shapes = [shape]
        for algorithm in self.algorithms:
            shapes.append(algorithm.effect.output(shapes[-1]))
        return shapes

    def work(self, shapes: Sequence[Shape]) -> float:
        """Return about how many pixels a kernel of one coefficient would give in the time that these outputs take."""
        outputs = zip(self.algorithms, shapes[1:], strict=True)
        return sum(prod(shape) * (1 + algorithm.taps / 64) for algorithm, shape in outputs)


def plan(
    pipeline: Pipeline, network: nn.Sequential, channels: int = 1, *, plain: bool = False
) -> tuple[SegmentPlan, ...]:
    """Return the network's layers, each by its quickest algorithm, in segments that take a picture tile by tile.

    Where all layers do the same to each channel by itself, the segments are for one channel: ``filter_picture`` takes
    those of a colour picture one after the other, by the algorithms that gray pictures have. ``plain`` are PyTorch's
    own algorithms: for tiles (N, C, h, w) of several pictures, on whatever device.
    """
    if channels > 1 and not plain and all(map(_treats_channels_alike, pipeline.layers)):
        channels, network = 1, build(pipeline, channels=1)
    algorithms = choose_algorithms([layer.effect for layer in pipeline.layers], network, plain=plain)
    inputs = [channels]  # of each, and at last the output's
    for algorithm in algorithms:
        inputs.append(algorithm.effect.channels(inputs[-1]))
    segments = []
    for segment in split_layers([algorithm.effect for algorithm in algorithms]):
        here = slice(segment.layers.start, segment.layers.stop)
        stages = [Stage(algorithms[here], False)] if plain else _group(algorithms[here], inputs[here])
        segments.append(SegmentPlan(tuple(stages), segment.cut, inputs[here.start]))
    return tuple(segments)


def _treats_channels_alike(layer: Layer) -> bool:
    """Whether a layer does the same to each of its input channels, and to none what it makes of another."""
    return layer.entry.kernels is Kernels.EACH_CHANNEL or (
        layer.entry.computes in APART and layer.effect.in_channels is None and layer.draws is Draws.NOTHING
    )


def _group(algorithms: Sequence[Algorithm], inputs: Sequence[int]) -> Iterator[Stage]:
    """The algorithms in stages, by the form that they take a tile in; ``inputs`` are their input channels."""
    plain: list[Algorithm] = []
    start = 0
    while start < len(algorithms):
        stop = _end_of_strips(algorithms, inputs, start)
        group = algorithms[start : max(stop, start + 1)]
        start += len(group)
        if start == stop and any(algorithm.heavy for algorithm in group):
            if plain:
                yield Stage(tuple(plain), False)
            yield Stage(tuple(group), True)
            plain = []
        else:
            plain += group
    if plain:
        yield Stage(tuple(plain), False)


def _end_of_strips(algorithms: Sequence[Algorithm], inputs: Sequence[int], start: int) -> int:
    """Where the algorithms end that take one channel's strips, and give one channel's or are the last."""
    stop = start
    if inputs[start] == 1:
        while stop < len(algorithms) and algorithms[stop].on_strips:
            stop += 1
    while start < stop < len(algorithms) and inputs[stop] > 1:
        stop -= 1
    return stop


@lru_cache(maxsize=8)
def plan_tiles(segment: SegmentPlan, shape: Shape) -> tuple[Shape, list[list[TilePlan]]]:
    """Return the output's shape for an input of ``shape``, and the plans of its tiles: one list a band of rows."""
    shapes = segment.shapes(shape)
    _, height, width = shapes[-1]
    columns = split_evenly(width, -(-max(w for _, _, w in shapes) // WIDTH))
    count = max(-(-max(map(prod, shapes)) // AREA), 2 if segment.work(shapes) > WORK else 1)
    rows = split_evenly(height, -(-count // (2 * len(columns))) * 2 if count > 1 else 1)
    return shapes[-1], [[plan_tile(segment.stages, shape, row, column) for column in columns] for row in rows]


def split_evenly(length: int, count: int) -> list[slice]:
    """Return so many slices that together are ``length`` long, or fewer if that is less.

    >>> split_evenly(5, 2)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    ends = sorted({length * i // count for i in range(count + 1)})
    return [slice(*pair) for pair in pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Output:
    """The output for a picture: its shape (C, H, W) and each channel's range; its values when they are asked for.

    ``bands`` hold, from top to bottom, what makes each of a band's tiles.
    """

    shape: Shape
    ranges: list[tuple[float, float]]
    bands: list[list[Callable[[], Tile | _Joined]]]
    threads: Threads

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

        return self.threads.in_order(make_band, self.bands)

    def _fill(self, out: NDArray[np.generic], change: Change) -> None:
        def put(make: Callable[[], Tile]) -> None:
            tile = make()
            _write(tile, out[:, tile.rows, tile.columns], change)

        for _ in self.threads.in_order(put, list(chain.from_iterable(self.bands))):
            pass

    def _draw(self, scales: Sequence[GrayScale], bits: int) -> Change:
        def draw(number: int, channel: NDArray[np.float32]) -> NDArray[np.unsignedinteger]:
            return quantise(channel, scales[number], bits, ends=self.ranges[number])

        return draw


def _write(tile: Tile | _Joined, out: NDArray[np.generic], change: Change) -> None:
    for number, place in enumerate(out):
        place[:] = change(number, tile.channel(number))[:, : place.shape[1]]


def filter_picture(
    segments: Sequence[SegmentPlan],
    values: NDArray[np.generic],
    white: float,
    inputs: InputValues = GRAY,
    *,
    threads: Threads = ONE_THREAD,
) -> Output:
    """Return what the network of ``segments`` gives for a picture, HxW or 3xHxW, in which ``white`` means white."""
    if values.ndim == 3 and segments[0].channels == 1:
        each = [
            _filter(
                segments, channel, white, replace(inputs, channels=1, mean=(mean,), std=(std,)), threads, len(values)
            )
            for channel, mean, std in zip(values, inputs.mean, inputs.std, strict=True)
        ]
        return _join(each)
    return _filter(segments, values, white, inputs, threads)


def _filter(
    segments: Sequence[SegmentPlan],
    values: NDArray[np.generic],
    white: float,
    inputs: InputValues,
    threads: Threads,
    times: int = 1,
) -> Output:
    """The output for a picture that is one of so many ``times`` that are kept at once."""
    as_it_is = values.ndim == 2 and values.dtype == np.uint8 and inputs == InputValues(white=white)

    def source(rows: slice, columns: slice) -> NDArray[np.generic] | Tensor:
        part = values[..., rows, columns]
        return part if as_it_is else to_tensor(part, white, inputs)

    shape = values.shape if values.ndim == 3 else (1, *values.shape)
    for segment in segments[:-1]:
        if segment.cut:
            x = torch.from_numpy(_compute(segment, source, shape, threads, measured=False).floats())[None]
        else:
            (algorithm,) = segment.algorithms
            x = source(slice(0, shape[1]), slice(0, shape[2]))
            x = x if isinstance(x, Tensor) else to_tensor(x, white, inputs)
            with one_thread(), torch.inference_mode():
                x = algorithm.apply(x)
        source, shape = partial(_part, x), tuple(x.shape[1:])
    return _compute(segments[-1], source, shape, threads, times=times)


def _join(outputs: Sequence[Output]) -> Output:
    """Outputs of one size as one, with the channels of all."""
    count, height, width = outputs[0].shape

    def make(makes: Sequence[Callable[[], Tile]]) -> _Joined:
        return _Joined(tuple(make() for make in makes), count)

    bands = [
        [partial(make, makes) for makes in zip(*tiles, strict=True)]
        for tiles in zip(*(output.bands for output in outputs), strict=True)
    ]
    ranges = [ends for output in outputs for ends in output.ranges]
    return Output((count * len(outputs), height, width), ranges, bands, outputs[0].threads)


@dataclass(frozen=True, eq=False, slots=True)
class _Joined:
    """Tiles at one place of outputs with ``count`` channels each, as one tile with the channels of all."""

    tiles: tuple[Tile, ...]
    count: int

    @property
    def rows(self) -> slice:
        return self.tiles[0].rows

    @property
    def columns(self) -> slice:
        return self.tiles[0].columns

    def channel(self, number: int) -> NDArray[np.float32]:
        which, inner = divmod(number, self.count)
        return self.tiles[which].channel(inner)


def _part(x: Tensor, rows: slice, columns: slice) -> Tensor:
    return x[:, :, rows, columns].clone()


def _compute(
    segment: SegmentPlan, source: ReadPart, shape: Shape, threads: Threads, *, measured: bool = True, times: int = 1
) -> Output:
    """The segment's output, kept if it is small enough; still to be computed, and without ranges, if not ``measured``.

    ``times`` is how many such outputs are kept at once.
    """
    output, plans = plan_tiles(segment, shape)
    keep = is_kept((times * output[0], *output[1:]))

    def make(plan: TilePlan) -> Tile:
        return compute_tile(plan, source(plan.rows, plan.columns))

    def measure(plan: TilePlan) -> tuple[list[tuple[float, float]], Callable[[], Tile]]:
        tile = make(plan)
        return tile.ranges(), (lambda: tile) if keep else partial(make, plan)

    if not measured:
        return Output(output, [], [[partial(make, plan) for plan in band] for band in plans], threads)
    ranges, makes = zip(*threads.in_order(measure, list(chain.from_iterable(plans))), strict=True)
    each = iter(makes)
    bands = [[next(each) for _ in band] for band in plans]
    return Output(output, [_span(channel) for channel in zip(*ranges, strict=True)], bands, threads)


def _span(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The minimum and maximum of all ranges: NaN where one is."""
    lows, highs = zip(*ranges, strict=True)
    return (min(lows), max(highs)) if all(low == low for low in lows) else (math.nan, math.nan)
