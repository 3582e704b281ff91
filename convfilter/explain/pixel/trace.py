"""The arithmetic behind one output pixel, followed back through every layer of a network."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from convfilter.engine.build import activations
from convfilter.errors import UsageError, shorten
from convfilter.explain.pixel import formulas
from convfilter.explain.pixel.grids import show, write_grids
from convfilter.explain.pixel.pools import average, take_largest, take_root
from convfilter.explain.pixel.sums import blend, convolve, transpose
from convfilter.explain.pixel.views import Pixel, View, Working
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Shape

LISTED = 8  # other channels whose values are shown
ARITHMETIC = {
    Computes.CONVOLUTION: convolve,
    Computes.TRANSPOSED: transpose,
    Computes.MAXIMUM: take_largest,
    Computes.SCATTERED_MAXIMUM: take_largest,
    Computes.MEAN: average,
    Computes.POWER_MEAN: take_root,
    Computes.BLEND: blend,
    Computes.SHUFFLE: formulas.shuffle,
    Computes.UNSHUFFLE: formulas.shuffle,
    Computes.PADDING: formulas.pad,
    Computes.MAGNITUDE: formulas.magnitude,
    Computes.SOFTMAX: formulas.softmax,
    Computes.SOFTMIN: formulas.softmax,
    Computes.LOG_SOFTMAX: formulas.log_softmax,
    Computes.GATE: formulas.gate,
    Computes.CHANNELS: formulas.reorder,
    Computes.RESPONSE: formulas.respond,
    Computes.CROSS_RESPONSE: formulas.respond_across,
    Computes.NORMALISED: formulas.normalise,
    Computes.LAYER_NORM: formulas.normalise,
    Computes.ROOT_MEAN_SQUARE: formulas.divide_by_size,
    Computes.CURVE: formulas.apply,
}


@dataclass(frozen=True)
class Step:
    """One layer's part: the pixel of its output, the network's value there, and how it comes about.

    ``column`` holds the values of all channels there.
    """

    layer: Layer
    place: Pixel
    shape: Shape
    column: tuple[float, ...]
    working: Working

    @property
    def value(self) -> float:
        return self.column[self.place.channel]


def explain_pixel(pipeline: Pipeline, network: nn.Sequential, x: torch.Tensor, place: Pixel) -> list[Step]:
    """Return, for each layer, the arithmetic behind one pixel: ``place`` of the output for a picture (1, C, H, W).

    Before the last layer it is the pixel in the middle of the window that the next layer's pixel sees, or the largest
    where the next layer takes that; of several channels the one that adds most. ``network`` is the pipeline's, as
    ``network.build`` makes it, and is computed on the whole picture once.

    Raises:
        UsageError: the output has no such pixel. PipelineError: a layer does not take the picture.

    >>> from convfilter import parse
    >>> from convfilter.engine.build import build
    >>> pipeline = parse("sobel_x | ReLU")
    >>> ramp = torch.arange(16.0).view(1, 1, 4, 4)
    >>> steps = explain_pixel(pipeline, build(pipeline), ramp, Pixel(0, 1, 2))
    >>> [step.value for step in steps], steps[1].working.lines[0]
    ([8.0, 8.0], 'ReLU(8) = 8  (x above 0, 0 below)')
    """
    shapes = [tuple(x.shape[1:]), *pipeline.shapes(tuple(x.shape[1:]))]
    _check(place, shapes[-1])
    views = _views(pipeline, network, x, place, shapes)
    steps = []
    for number in range(len(pipeline.layers) - 1, -1, -1):
        layer = pipeline.layers[number]
        working = ARITHMETIC[layer.entry.computes](layer, network[number], views[number], place)
        column = tuple(views[number + 1].column(place).tolist())
        steps.append(Step(layer, place, shapes[number + 1], column, working))
        place = working.source
    return steps[::-1]


def write_steps(steps: list[Step], width: int = 80) -> str:
    """Return the steps as text whose lines are at most ``width`` (40 or more) characters.

    >>> from convfilter import parse
    >>> from convfilter.engine.build import build
    >>> pipeline = parse("MaxPool2d(2)")
    >>> ramp = torch.arange(16.0).view(1, 1, 4, 4)
    >>> print(write_steps(explain_pixel(pipeline, build(pipeline), ramp, Pixel(0, 0, 1))))
    1  MaxPool2d(2)
       pixel 1,0 of its output, 1x2x2: 7
       window: columns 2 to 3, rows 0 to 1
    <BLANKLINE>
       window
        2  3
        6 [7]
    <BLANKLINE>
       the largest, at 3,1: 7
    <BLANKLINE>
    Pixels are column,row, counted from 0. In matrices, [ ] is the largest and ( )
    padding.
    """
    width, lines, indent = max(width, 40), [], " " * (len(str(len(steps))) + 2)
    for number, step in enumerate(steps, start=1):
        title = f"{number:>{len(indent) - 2}}  {shorten(str(step.layer), 400)}"
        lines += textwrap.wrap(title, width, subsequent_indent=indent + "  ", break_on_hyphens=False)
        lines += [line.rstrip() for line in _body(step, number == len(steps), width, indent)]
        lines.append("")
    note = "Pixels are column,row, counted from 0. In matrices, [ ] is the largest and ( ) padding."
    return "\n".join([*lines, *textwrap.wrap(note, width)])


def _body(step: Step, last: bool, width: int, indent: str) -> Iterator[str]:
    def wrap(text: str) -> list[str]:
        return textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
        )

    shape = "x".join(map(str, step.shape))
    channel = f" of channel {step.place.channel}" if step.shape[0] > 1 else ""
    yield from wrap(f"pixel {step.place}{channel} of its output, {shape}: {show(step.value)}")
    first, *others = step.working.lines
    yield from wrap(first)
    for grids, signs in step.working.equations:
        yield ""
        yield from (indent + line for line in write_grids(grids, signs, width - len(indent)))
    if step.working.equations:
        yield ""
    for text in others:
        yield from wrap(text)
    values = [f"{c}: {show(x)}" for c, x in enumerate(step.column) if c != step.place.channel]
    if last and values:
        more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
        yield from wrap(f"other channels here: {', '.join(values[:LISTED])}{more}")


def _check(place: Pixel, shape: Shape) -> None:
    c, h, w = shape
    if not (0 <= place.x < w and 0 <= place.y < h):
        raise UsageError(
            f"--pixel {place}: the output is {w}x{h}; the column goes from 0 to {w - 1}, and the row from 0 to {h - 1}"
        )
    if not 0 <= place.channel < c:
        last = f"channels 0 to {c - 1}" if c > 1 else "channel 0 only"
        raise UsageError(f"--pixel: there is no channel {place.channel}; the output has {last}")


def _views(pipeline: Pipeline, network, x: torch.Tensor, place: Pixel, shapes: list[Shape]) -> list[View]:
    """The input, and each layer's output: of each the part that the pixel may depend on."""
    parts = [((place.y, place.y + 1), (place.x, place.x + 1))]
    for layer, (_, h, w) in zip(pipeline.layers[::-1], shapes[-2::-1], strict=True):
        axes = (layer.effect.rows, parts[-1][0], h), (layer.effect.columns, parts[-1][1], w)
        parts.append(tuple(_reach(axis, part, n) for axis, part, n in axes))
    views = []
    tensors = chain([x], activations(network, x))
    for tensor, ((top, bottom), (left, right)), (_, h, w) in zip(tensors, parts[::-1], shapes, strict=True):
        views.append(View(tensor[0, :, top:bottom, left:right].clone(), top, left, h, w))
    return views


def _reach(axis, part: tuple[int, int], n: int) -> tuple[int, int]:
    """The inputs behind outputs [start, stop), and one around where rounding or padding may need it."""
    low, high = axis.reach(*part, n)
    if (low < 0 or high > n) and getattr(axis, "mode", "zeros") != "zeros":
        return 0, n  # padding may come from anywhere
    low, high = max(0, min(low, n - 1) - 1), min(n, max(high, 1) + 1)
    return low, max(high, low + 1)
