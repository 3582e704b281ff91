"""The contact sheet of one picture: the input, and a row of channels for each layer or pipeline."""

from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from convfilter.explain.channel_names import label_channel
from convfilter.figures.layout import Row, plan_sheet
from convfilter.figures.sheet import Sheet, Tile
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise
from convfilter.gray.scale import Shade
from convfilter.images.reader import Picture
from convfilter.run.options import Options

ALIKE = 0.75  # of a picture's side: an output that is smaller than this does not stand in the input's row
FEW = 2  # channels that stand beside the input whatever their size


class Figure:
    """A sheet that is drawn row by row; the input is there from the start.

    ``rows`` are those of the channels, with their headings. Where there is one, whose pictures are about as large as
    the input, the input stands in it. ``note`` says what is black and what is white.
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
        if stands_in_row((width, height), rows):
            together = max(width, rows[0].size[0]), max(height, rows[0].size[1])
            rows, self._row = [Row(rows[0].count + 1, together)], 0
        else:
            rows, self._row = [Row(1, (width, height)), *rows], 1
        self.note = note
        texts = {"title": title, "subtitle": subtitle, "note": f"shapes are CxHxW · {note}"}
        layout = plan_sheet(rows, **texts, columns=options.columns, zoom=options.zoom)
        self._sheet = Sheet(layout, options.theme, "svg" if options.suffix == ".svg" else "png")
        scale = options.white / picture.white
        ends = float(picture.values.min()) * scale, float(picture.values.max()) * scale
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


def stands_in_row(size: tuple[int, int], rows: Sequence[Row]) -> bool:
    """Return whether an input of WxH pixels stands in the row of its channels, and not in one above it."""
    if len(rows) > 1 or rows[0].heading:
        return False
    smaller = min(min(a, b) / max(a, b) for a, b in zip(size, rows[0].size, strict=True))
    return rows[0].count <= FEW or smaller >= ALIKE
