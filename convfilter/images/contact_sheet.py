"""Contact sheets: the input and every channel of one picture, side by side and labelled."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convfilter.errors import UsageError, escape

MAX_PANELS = 2049  # 2048 channels and the input
MAX_WIDTH = 2400
MAX_PIXELS = 40_000_000
LEGIBLE = 120  # pixels of a panel's side
SCREEN = 1.6  # width over height
LONGEST = 8  # times as long as wide: what is longer is drawn thicker than it is, or it would be a hair

INK, GRAY, LINE, ACCENT = "#1a1a1a", "#6b6b6b", "#c4c4c4", "#1f5fbf"
FINER = 3  # text is drawn this many times as large, then reduced: small letters keep their spacing
OWN_LETTERS = frozenset(map(chr, range(32, 127))) | {"·", "…"}  # those of Pillow's own font
FONTS = ("DejaVuSans.ttf", "segoeui.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc", "msgothic.ttc")


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a sheet: gray pixels (HxW uint8, or mode L), what it is, and its least and greatest value."""

    image: Image.Image | np.ndarray
    label: str
    range: tuple[float, float] | None = None
    is_input: bool = False


@dataclass(frozen=True)
class Layout:
    """How the panels of a sheet stand: columns and rows; in pixels, the largest picture and the height of letters."""

    columns: int
    rows: int
    box: tuple[int, int]
    text: int

    @property
    def cell(self) -> tuple[int, int]:
        """Width and height of a panel with the two lines of text under it."""
        return max(self.box[0], 8 * self.text), self.box[1] + 3 * self.text

    @property
    def gap(self) -> int:
        """Pixels between panels."""
        return round(1.6 * self.text)

    @property
    def margin(self) -> int:
        """Pixels around all panels."""
        return max(2 * self.text, 28)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet without its title."""
        (wide, high), gap, rim = self.cell, self.gap, 2 * self.margin
        return (wide + gap) * self.columns - gap + rim, (high + gap) * self.rows - gap + rim


def plan_sheet(count: int, width: int, height: int) -> Layout:
    """Return the layout for ``count`` panels of pictures of about ``width`` x ``height`` pixels.

    Pictures are drawn 256 to 640 pixels long where that keeps the sheet within 2400 pixels' width and 40 megapixels,
    else smaller; the sheet is about as wide for its height as a screen. UsageError for more than 2049 panels.

    >>> plan_sheet(3, 512, 512)
    Layout(columns=3, rows=1, box=(512, 512), text=18)
    """
    if count > MAX_PANELS:
        raise UsageError(f"a contact sheet has room for {MAX_PANELS} panels, not {count}; choose some with --channels")
    length = max(width, height)
    length = length * -(-256 // length) if length < 256 else min(length, 640)
    aspect = min(max(width / height, 1 / LONGEST), LONGEST)
    layouts = (_layout(count, columns, length, aspect) for columns in range(1, count + 1))
    return min((each for each in layouts if each.size[0] <= MAX_WIDTH), key=lambda each: _awkwardness(each, count))


def _layout(count: int, columns: int, length: int, aspect: float) -> Layout:
    rows = -(-count // columns)
    wide, high = length * min(1, aspect), length / max(1, aspect)
    room = MAX_WIDTH / columns - 30, MAX_PIXELS / MAX_WIDTH / rows - 90
    shrink = min(1, max(room[0], 8) / wide, max(room[1], 8) / high)
    box = max(8, round(wide * shrink)), max(8, round(high * shrink))
    return Layout(columns, rows, box, min(10 + round(math.sqrt(box[0] * box[1]) / 64), 18))


def _awkwardness(layout: Layout, count: int) -> float:
    """Return how far a sheet is from a screen's shape, from having no empty places, and from legible panels."""
    wide, high = layout.size
    empty = (1 - count / (layout.columns * layout.rows)) * (1.5 if count > 3 else 9)  # two or three stand in a row
    small = max(0, math.log(LEGIBLE / math.sqrt(layout.box[0] * layout.box[1])))
    return abs(math.log(wide / high / SCREEN)) + empty + 3 * small


def name_channel(layout: Layout, channel: int, kernel: str = "") -> str:
    """Return a channel's label, as long as the layout has room for: ``channel 3 · sobel_x``, or ``3 · sobel_x``."""
    number = f"channel {channel}" if layout.cell[0] >= 12 * layout.text else f"{channel}"
    return f"{number} · {kernel}" if kernel else number


def fit(image: Image.Image | np.ndarray, box: tuple[int, int]) -> Image.Image:
    """Return a gray picture (HxW uint8, or mode L) as large as fits in ``box``; fitting it again changes nothing.

    Small pictures keep their square pixels, large ones are averaged down, and one more than 8 times as long as it is
    wide is drawn thicker than it is. One that would fill the box but for 3 % fills it.

    >>> fit(np.array([[0, 255]], np.uint8), (4, 4)).size
    (4, 2)
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(np.ascontiguousarray(image))
    scale = min(box[0] / image.width, box[1] / image.height)
    wide, high = image.width * scale, image.height * scale
    size = max(1, round(max(wide, high / LONGEST))), max(1, round(max(high, wide / LONGEST)))
    size = min(size[0], box[0]), min(size[1], box[1])
    if all(side >= 0.97 * whole for side, whole in zip(size, box, strict=True)):
        size = box
    reduced = min(size[0], image.width), min(size[1], image.height)
    if reduced != image.size:
        image = image.resize(reduced, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if size == reduced:
        return image
    enlarged = max(size[0] / reduced[0], size[1] / reduced[1])
    return image.resize(size, Image.Resampling.NEAREST if enlarged >= 1.5 else Image.Resampling.LANCZOS)


def draw_sheet(
    panels: Iterable[Panel], *, title: str = "", subtitle: str = "", layout: Layout | None = None
) -> Image.Image:
    """Return a white RGB sheet of the panels in reading order, an input's framed and named in blue.

    With a ``layout`` panels are drawn as they are made and none is kept; without one, it is planned for the first
    panel's size. Texts too long for their place end in an ellipsis.

    >>> panels = [Panel(np.zeros((8, 8), np.uint8), name) for name in ("input", "channel 0")]
    >>> draw_sheet(panels, title="photo.png").size
    (590, 391)
    """
    if layout is None:
        panels = list(panels)
        layout = plan_sheet(len(panels), *Image.fromarray(np.asarray(panels[0].image)).size)
    width, height = layout.size
    margin, gap, room = layout.margin, layout.gap, width - 2 * layout.margin
    large = max(round(1.4 * layout.text), width // 75)
    small = max(layout.text, round(0.62 * large))
    top = (round(1.5 * large) if title else 0) + (round(1.4 * small) if subtitle else 0)
    top += small // 2 if top else 0
    sheet = Image.new("RGB", (width, height + top), "white")
    _write(sheet, (margin, margin - large // 4), title, large, INK, room)
    _write(sheet, (margin, margin + top - round(2.3 * small)), subtitle, small, GRAY, room)
    wide, high = layout.cell
    for number, panel in enumerate(panels):
        row, column = divmod(number, layout.columns)
        left = margin + column * (wide + gap)
        bottom = margin + top + row * (high + gap) + layout.box[1]
        _draw_panel(sheet, panel, left, bottom, layout)
    return sheet


def _draw_panel(sheet: Image.Image, panel: Panel, left: int, bottom: int, layout: Layout) -> None:
    image = fit(panel.image, layout.box)
    text, room = layout.text, layout.cell[0]
    ink, frame = (ACCENT, ACCENT) if panel.is_input else (INK, LINE)
    thick = 2 if panel.is_input else 1
    edges = (left - thick, bottom - image.height - thick, left + image.width + thick - 1, bottom + thick - 1)
    ImageDraw.Draw(sheet).rectangle(edges, outline=frame, width=thick)
    sheet.paste(image, (left, bottom - image.height))
    _write(sheet, (left, bottom + text // 2), panel.label, text, ink, room)
    if panel.range:
        low, high = map(_number, panel.range)
        _write(sheet, (left, bottom + text // 2 + round(1.3 * text)), f"{low} to {high}", text, GRAY, room)


def _number(value: float) -> str:
    return f"{value + 0.0:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value + 0.0:.4g}"


def _write(sheet: Image.Image, at: tuple[int, int], text: str, size: int, color: str, room: int) -> None:
    """Write a line of text whose letters' box has its left top at ``at``, no longer than ``room`` pixels."""
    text = escape(text[:1000])
    font = _font(size, text)
    if font.getlength(text) > room * FINER:
        fitting = bisect_right(range(len(text)), room * FINER, key=lambda end: font.getlength(text[:end] + "…"))
        text = text[: max(0, fitting - 1)].rstrip() + "…"
    mask = Image.new("L", (room * FINER, 2 * size * FINER))
    ImageDraw.Draw(mask).text((0, round(1.1 * size * FINER)), text, fill=255, font=font, anchor="ls")
    sheet.paste(color, at, mask.reduce(FINER))


def _font(size: int, text: str) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, or where it lacks some of the letters, that of the machine's which lacks fewest."""
    if set(text) <= OWN_LETTERS:
        return _own_font(size)
    return min((_own_font(size), *_other_fonts(size)), key=lambda font: _lacking(font, text))


@cache
def _own_font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * FINER)


@cache
def _other_fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    fonts = []
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size * FINER))
    return fonts


def _lacking(font: ImageFont.FreeTypeFont, text: str) -> int:
    """Count the letters for which the font draws what it draws for none."""
    nothing = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(letter)) == nothing for letter in set(text))
