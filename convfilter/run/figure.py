"""The contact sheet of one picture: the input, and a row of channels for each layer or pipeline."""

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfilter.explain.channel_names import label_channel
from convfilter.figures.layout import Row, plan_sheet
from convfilter.figures.sheet import Panel, Sheet
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise
from convfilter.gray.scale import Shade, has_colour_kernels, join_ranges, keeps_scale
from convfilter.images.reader import Picture
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Shape
from convfilter.run.options import Options

ALIKE = 0.75  # of a picture's side: an output that is smaller than this does not stand in the input's row
KERNEL = 0.25  # of the longest picture's side: how large a kernel is drawn
MOST_KERNELS = 256
FEW = 2  # channels that stand beside the input whatever their size

Channel = TypeVar("Channel")


class Figure:
    """A sheet that is drawn row by row; the input is there from the start.

    ``rows`` are those of the channels, and ``note`` says what is black and what is white.
    """

    def __init__(
        self,
        picture: Picture,
        rows: Sequence[Row],
        options: Options,
        *,
        title: str,
        subtitle: str = "",
        note: str = "",
    ) -> None:
        channels, height, width = picture.shape
        self._rows, self._row = place_input((width, height), rows)
        self.note = note
        texts = {"title": title, "subtitle": subtitle, "note": f"shapes are CxHxW · {note}"}
        layout = plan_sheet(self._rows, **texts, columns=options.columns, zoom=options.zoom)
        self._sheet = Sheet(layout, options.theme, "svg" if options.suffix == ".svg" else "png")
        scale, inputs = options.white / picture.white, options.inputs
        planes = zip(picture.values.reshape(channels, -1), inputs.mean, inputs.std, strict=True)
        ends = join_ranges(
            sorted((float(end) * scale - mean) / std for end in (plane.min(), plane.max()))
            for plane, mean, std in planes
        )
        shown = quantise(picture.values.astype(np.float32), GrayScale(0.0, picture.white))
        shown = np.moveaxis(shown, 0, -1) if channels > 1 else shown
        self._sheet.add(Panel(shown, "input", picture.shape, ends, is_input=True))

    def add_row(self, channels: Iterable[tuple[Shade, NDArray[np.float32]]], names: Sequence[str]) -> None:
        """Draw the channels (H, W) of the next row; ``names`` are those of all channels of its layer."""
        short = not self._sheet.layout.is_wide(self._row)
        for shade, values in channels:
            label = label_channel(shade.channel, names[shade.channel], short=short)
            shown = quantise(values.copy(), shade.scale)
            self._sheet.add(Panel(shown, label, (1, *values.shape), (shade.low, shade.high)))
        self._row += 1

    def add_kernels(self, kernels: Iterable[tuple[int, NDArray[np.float32]]]) -> None:
        """Draw the next row: kernels (3, H, W) with the numbers of their channels, each in colour on its own scale."""
        for channel, kernel in kernels:
            low, high = float(kernel.min()), float(kernel.max())
            size = self._rows[self._row].size[0] // kernel.shape[2]
            shown = np.moveaxis(quantise(kernel.copy(), GrayScale(low, high)), 0, -1)
            shown = shown.repeat(size, 0).repeat(size, 1)  # its layout knows no other scale than the pictures'
            self._sheet.add(Panel(shown, f"kernel {channel}", kernel.shape, (low, high)))
        self._row += 1

    def write(self, file: BinaryIO, texts: Mapping[str, str], *, level: int | None = None, workers: int = 1) -> None:
        """Write the sheet as a PNG or an SVG that carries these texts."""
        self._sheet.canvas.write(file, texts, level=level, workers=workers)


def plan_rows(pipeline: Pipeline, shape: Shape, options: Options) -> list[Row]:
    """Return the rows of one picture's sheet: the channels of the last layer, or with --steps of each.

    Above those of a first layer whose kernels have colours stand these. ``shape`` (C, H, W) is the picture's.
    """
    shapes = pipeline.shapes(shape)
    rows = []
    if shows_kernels(pipeline, options):
        effect = pipeline.layers[0].effect
        high, wide = effect.rows.size, effect.columns.size
        longest = max(max(shape[1:]), *(max(other[1:]) for other in (shapes if options.steps else shapes[-1:])))
        size = max(1, round(KERNEL * longest / max(high, wide)))
        count = len(choose(range(shapes[0][0]), options))
        rows.append(
            Row(count, (wide * size, high * size), "kernels of layer 1", "in colour, each on a scale of its own")
        )
    if not options.steps:
        channels, height, width = shapes[-1]
        return [*rows, Row(len(choose(range(channels), options)), (width, height))]
    for number, (layer, (channels, height, width)) in enumerate(zip(pipeline.layers, shapes, strict=True)):
        detail = f"{channels}x{height}x{width}"
        if has_scale_of_input(layer, options):
            detail += f" · on the scale of {f'layer {number}' if number else 'the input'}"
        if chosen := choose(range(channels), options):
            rows.append(Row(len(chosen), (width, height), f"layer {number + 1}: {layer}", detail))
    return rows


def predict_sheet(pipeline: Pipeline, shape: Shape, options: Options) -> int:
    """Return about how many bytes the sheet of a picture of ``shape`` (C, H, W) takes while it is drawn."""
    rows, _ = place_input((shape[2], shape[1]), plan_rows(pipeline, shape, options))
    layout = plan_sheet(rows, columns=options.columns, zoom=options.zoom)
    return 3 * layout.width * layout.height


def place_input(size: tuple[int, int], rows: Sequence[Row]) -> tuple[list[Row], int]:
    """Return all rows of a sheet whose input has WxH pixels, and the number of the first that has channels.

    The input stands in the row of the channels where that is the only one and has no heading, and where the pictures
    are about as large, or few; else above them.
    """
    [first, *others] = rows
    smaller = min(min(a, b) / max(a, b) for a, b in zip(size, first.size, strict=True))
    if others or first.heading or (first.count > FEW and smaller < ALIKE):
        return [Row(1, size), *rows], 1
    return [Row(first.count + 1, (max(size[0], first.size[0]), max(size[1], first.size[1])))], 0


def choose(channels: Sequence[Channel], options: Options) -> list[Channel]:
    """Return those of all channels of a layer that are to be written."""
    return [channels[c] for c in options.channels or range(len(channels)) if c < len(channels)]


def shows_kernels(pipeline: Pipeline, options: Options) -> bool:
    """Return whether a sheet shows the first layer's kernels, in colour: those of the channels that it draws."""
    if not pipeline.layers:
        return False
    first, *others = pipeline.layers
    if not has_colour_kernels(first, options.channels_in) or max(first.effect.rows.size, first.effect.columns.size) < 2:
        return False
    count = first.effect.channels(3)
    mixes = {Computes.CONVOLUTION, Computes.TRANSPOSED}
    its_own = all(layer.effect.channels(count) == count and layer.entry.computes not in mixes for layer in others)
    return (options.steps or its_own) and 0 < len(choose(range(count), options)) <= MOST_KERNELS


def has_scale_of_input(layer: Layer, options: Options) -> bool:
    """Return whether a layer is drawn on the scale of the one before it."""
    return options.steps and options.scale is None and keeps_scale(layer)
