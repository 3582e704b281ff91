"""Contact sheets: rows of labelled pictures, such as the input and every channel that comes out of it.

``plan_sheet`` says where everything stands, and a ``Sheet`` draws panels there, one after another, and keeps none.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from convfilter.figures.canvas import Canvas, Pixels, Svg
from convfilter.figures.layout import Layout
from convfilter.figures.letters import cut, measure
from convfilter.figures.themes import THEMES
from convfilter.numbers import show_number


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a sheet: gray (HxW uint8, or mode L or RGB), what it is, and its tensor's shape and range."""

    image: Image.Image | np.ndarray
    label: str
    shape: tuple[int, int, int] | None = None
    range: tuple[float, float] | None = None
    is_input: bool = False


class Sheet:
    """A sheet that is being drawn: ``add`` puts each panel in the next place, row by row, and ``canvas`` holds them.

    >>> from convfilter.figures.layout import Row, plan_sheet
    >>> layout = plan_sheet([Row(2, (8, 8))], title="photo.png")
    >>> sheet = Sheet(layout, "light")
    >>> for name in ("input", "channel 0"):
    ...     sheet.add(Panel(np.zeros((8, 8), np.uint8), name, (1, 8, 8), (0.0, 0.0)))
    >>> sheet.canvas.image.size
    (640, 413)
    """

    def __init__(self, layout: Layout, theme: str = "light", format: Literal["png", "svg"] = "png") -> None:
        self.layout, self.theme = layout, THEMES[theme]
        self.canvas: Canvas = (Svg if format == "svg" else Pixels)(layout.width, layout.height, self.theme.background)
        self._places = ((row, panel) for row, band in enumerate(layout.bands) for panel in range(band.count))
        self._write_texts()

    def add(self, panel: Panel) -> None:
        """Draw the next panel. StopIteration where all places of the layout are taken."""
        row, number = next(self._places)
        layout, theme = self.layout, self.theme
        left, bottom = layout.place(row, number)
        image = (
            panel.image if isinstance(panel.image, Image.Image) else Image.fromarray(np.ascontiguousarray(panel.image))
        )
        image = resize(image, layout.drawn_size(row, image.size))
        color, line, thick = (theme.accent, theme.accent, 2) if panel.is_input else (theme.ink, theme.line, 1)
        self.canvas.frame(left, bottom - image.height, image.width, image.height, line, thick)
        self.canvas.picture(left, bottom - image.height, image)
        text, width = layout.text, layout.bands[row].cell
        words = [(panel.label, color)]
        words += [("x".join(map(str, panel.shape)), theme.faint)] if panel.shape else []
        words += [(" to ".join(map(show_number, panel.range)), theme.faint)] if panel.range else []
        for line_number, (word, color) in enumerate(words):
            top = bottom + text // 2 + round(1.3 * text * line_number)
            self.canvas.text(left, top, cut(word, text, width), text, color, width)

    def _write_texts(self) -> None:
        layout, theme = self.layout, self.theme
        width = layout.width - 2 * layout.margin
        for line in layout.title:
            color = theme.faint if line.faint else theme.ink
            self.canvas.text(layout.margin, line.top, line.text, line.size, color, width)
        for band in layout.bands:
            for number, words in enumerate(band.heading):
                top = band.top + round(1.5 * layout.text * number)
                wide = width if number + 1 < len(band.heading) else measure(words, layout.text) + layout.text
                self.canvas.text(layout.margin, top, words, layout.text, theme.ink, wide)
            if band.detail and band.heading:
                left = layout.margin + round(measure(band.heading[-1], layout.text)) + layout.text
                width_left = layout.margin + width - left
                detail = cut(band.detail, layout.text, width_left)
                self.canvas.text(left, top, detail, layout.text, theme.faint, width_left)


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a picture of this size: small ones keep their square pixels, large ones are averaged down.

    >>> resize(Image.fromarray(np.array([[0, 255]], np.uint8)), (4, 2)).size
    (4, 2)
    """
    reduced = min(size[0], image.width), min(size[1], image.height)
    if reduced != image.size:
        image = image.resize(reduced, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if size == reduced:
        return image
    enlarged = max(size[0] / reduced[0], size[1] / reduced[1])
    return image.resize(size, Image.Resampling.NEAREST if enlarged >= 1.5 else Image.Resampling.LANCZOS)
