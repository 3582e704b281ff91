"""What a sheet is drawn on: pixels for a PNG, or elements of an SVG, whose texts stay texts.

Both know the same three things: a line of text, a frame, and a picture.
"""

import base64
import io
from collections.abc import Mapping
from typing import BinaryIO, Protocol
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from PIL import Image, ImageDraw

from convfilter.figures.letters import draw, measure
from convfilter.images.png import write_png

LETTERS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
BAND = 256  # rows
WIDER = 1.2  # times as wide as ours those may be


class Canvas(Protocol):
    """Where a sheet is drawn. Places are pixels from the left top; colours are #rrggbb."""

    def text(self, left: int, top: int, text: str, size: int, color: str, most: float) -> None:
        """Write one line, whose letters' box has its left top there, and which is at most ``most`` wide."""

    def frame(self, left: int, top: int, width: int, height: int, color: str, thick: int) -> None:
        """Draw a frame around a picture that has this place."""

    def picture(self, left: int, top: int, image: Image.Image) -> None:
        """Put a gray or RGB picture there, pixel for pixel."""

    def write(self, file: BinaryIO, texts: Mapping[str, str], *, level: int | None = None, workers: int = 1) -> None:
        """Write everything as a file that carries these texts; for the rest see ``images.png.write_png``."""


class Pixels:
    """A sheet as an RGB picture, ``image``."""

    def __init__(self, width: int, height: int, background: str) -> None:
        self.image = Image.new("RGB", (width, height), background)

    def text(self, left: int, top: int, text: str, size: int, color: str, most: float) -> None:
        self.image.paste(color, (left, top), draw(text, size))

    def frame(self, left: int, top: int, width: int, height: int, color: str, thick: int) -> None:
        edges = (left - thick, top - thick, left + width + thick - 1, top + height + thick - 1)
        ImageDraw.Draw(self.image).rectangle(edges, outline=color, width=thick)

    def picture(self, left: int, top: int, image: Image.Image) -> None:
        self.image.paste(image, (left, top))

    def write(self, file: BinaryIO, texts: Mapping[str, str], *, level: int | None = None, workers: int = 1) -> None:
        width, height = self.image.size
        bands = ((0, top, width, min(top + BAND, height)) for top in range(0, height, BAND))
        rows = (np.asarray(self.image.crop(band)) for band in bands)  # in parts: an array of all would be a copy of it
        write_png(file, rows, width, height, channels=3, text=texts, level=level, workers=workers)


class Svg:
    """A sheet as SVG: each picture a PNG inside of it, each text a text."""

    def __init__(self, width: int, height: int, background: str) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family={quoteattr(LETTERS)}>'
        )
        self._parts = [f'<rect width="{width}" height="{height}" fill="{background}"/>']

    def text(self, left: int, top: int, text: str, size: int, color: str, most: float) -> None:
        wide = measure(text, size)
        squeeze = f' textLength="{wide:.0f}" lengthAdjust="spacingAndGlyphs"' if wide * WIDER > most else ""
        at = f'x="{left}" y="{top + round(1.1 * size)}" font-size="{size}" fill="{color}"'
        self._parts.append(f"<text {at}{squeeze}>{escape(text)}</text>")

    def frame(self, left: int, top: int, width: int, height: int, color: str, thick: int) -> None:
        half = thick / 2
        at = f'x="{left - half}" y="{top - half}" width="{width + thick}" height="{height + thick}"'
        self._parts.append(f'<rect {at} fill="none" stroke="{color}" stroke-width="{thick}"/>')

    def picture(self, left: int, top: int, image: Image.Image) -> None:
        file = io.BytesIO()
        write_png(file, [np.asarray(image)], *image.size, channels=len(image.getbands()))
        data = base64.b64encode(file.getvalue()).decode()
        at = f'x="{left}" y="{top}" width="{image.width}" height="{image.height}"'
        self._parts.append(f'<image {at} href="data:image/png;base64,{data}"/>')

    def write(self, file: BinaryIO, texts: Mapping[str, str], *, level: int | None = None, workers: int = 1) -> None:
        about = "\n".join(f"{key}: {value}" for key, value in texts.items())
        about = f"<desc>{escape(_clean(about))}</desc>" if about else ""
        lines = (self._head, about, *self._parts, "</svg>")
        file.writelines(f"{line}\n".encode() for line in lines if line)


def _clean(text: str) -> str:
    """Return a text without the characters that XML cannot hold."""
    return "".join(c if c in "\n\t" or (c >= " " and not "\ud800" <= c <= "\udfff" and c < "\ufffe") or c > "\uffff"
                   else "\ufffd" for c in text)  # fmt: skip
