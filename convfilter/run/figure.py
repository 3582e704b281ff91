"""The contact sheet of one picture: the input, and a row of channels for each layer or pipeline."""

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from convfilter.explain.channel_names import label_channel
from convfilter.figures.layout import Row, plan_sheet
from convfilter.figures.sheet import Sheet, Tile
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise
from convfilter.gray.scale import Shade, join_ranges, keeps_scale
from convfilter.images.reader import Picture
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.shapes import Shape
from convfilter.run.options import Options

ALIKE = 0.75  # of a picture's side: an output that is smaller than this does not stand in the input's row
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
        rows, self._row = place_input((width, height), rows)
        self.note = note
        texts = {"title": title, "subtitle": subtitle, "note": f"shapes are CxHxW · {note}"}
        layout = plan_sheet(rows, **texts, columns=options.columns, zoom=options.zoom)
        self._sheet = Sheet(layout, options.theme, "svg" if options.suffix == ".svg" else "png")
        scale, inputs = options.white / picture.white, options.inputs
        planes = zip(picture.values.reshape(channels, -1), inputs.mean, inputs.std, strict=True)
        ends = join_ranges(
            sorted((float(end) * scale - mean) / std for end in (plane.min(), plane.max()))
            for plane, mean, std in planes
        )
        shown = quantise(picture.values.astype(np.float32), GrayScale(0.0, picture.white))
        shown = np.moveaxis(shown, 0, -1) if channels > 1 else shown
        self._sheet.add(Tile(shown, "input", picture.shape, ends, is_input=True))

    def add_row(self, channels: Iterable[tuple[Shade, NDArray[np.float32]]], names: Sequence[str]) -> None:
        """Draw the channels (H, W) of the next row; ``names`` are those of all channels of its layer."""
        short = not self._sheet.layout.is_wide(self._row)
        for shade, values in channels:
            label = label_channel(shade.channel, names[shade.channel], short=short)
            shown = quantise(values.copy(), shade.scale)
            self._sheet.add(Tile(shown, label, (1, *values.shape), (shade.low, shade.high)))
        self._row += 1

    def write(self, file: BinaryIO, texts: Mapping[str, str], *, level: int | None = None, workers: int = 1) -> None:
        """Write the sheet as a PNG or an SVG that carries these texts."""
        self._sheet.canvas.write(file, texts, level=level, workers=workers)


def plan_rows(pipeline: Pipeline, shape: Shape, options: Options) -> list[Row]:
    """Return the rows of channels of one picture's sheet: of the last layer, or with --steps of each.

    ``shape`` (C, H, W) is the picture's.
    """
    shapes = pipeline.shapes(shape)
    if not options.steps:
        channels, height, width = shapes[-1]
        return [Row(len(choose(range(channels), options)), (width, height))]
    rows = []
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


def has_scale_of_input(layer: Layer, options: Options) -> bool:
    """Return whether a layer is drawn on the scale of the one before it."""
    return options.steps and options.scale is None and keeps_scale(layer)
