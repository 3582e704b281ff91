"""Where everything stands on a sheet: rows of panels under their headings, all at one scale, and how large letters are.

A row is the input, or the channels after one layer or of one pipeline. It takes as many lines of panels as it needs.
Consecutive rows with as many panels stand in the same columns, so that a channel can be followed downwards. A panel is
drawn as large for its picture as every other panel of the sheet, so that a picture that was pooled is smaller.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from convfilter.errors import UsageError
from convfilter.figures.letters import break_lines, measure

MAX_PANELS = 2049  # 2048 channels and the input
MAX_WIDTH = 2400
NARROWEST = 640  # so that titles and headings have a place
MAX_PIXELS = 40_000_000
MOST_COLUMNS = 30  # more do not fit into MAX_WIDTH with their texts
SMALLEST = 16  # pixels of the longer side of what is drawn: an output of one pixel must be seen
LEGIBLE = 120  # pixels of a panel's side
SCREEN = 1.6  # width over height
LONGEST = 8  # times as long as wide: what is longer is drawn thicker than it is, or it would be a hair


@dataclass(frozen=True)
class Row:
    """What stands in one row: so many panels, the largest of WxH pixels, under a heading with its detail behind it."""

    count: int
    size: tuple[int, int]
    heading: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Band:
    """A row as it is laid out: its panels in columns and lines, a cell's width, the largest panel WxH, its heading."""

    count: int
    columns: int
    lines: int
    cell: int
    box: tuple[int, int]
    heading: tuple[str, ...]
    detail: str
    top: int


@dataclass(frozen=True)
class Line:
    """One line of text: the height of its letters, the top of their box, and whether it is less important."""

    text: str
    size: int
    top: int
    faint: bool


@dataclass(frozen=True)
class Layout:
    """Where everything stands, in pixels: ``scale`` is how many a picture's pixel takes (None: as many as fit
    into its panel), ``text`` the height of letters, and ``title`` what stands above all rows.
    """

    width: int
    height: int
    scale: float | None
    text: int
    title: tuple[Line, ...]
    bands: tuple[Band, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the sheet."""
        return self.width, self.height

    @property
    def gap(self) -> int:
        """Pixels between panels side by side."""
        return round(1.6 * self.text)

    @property
    def margin(self) -> int:
        """Pixels around everything."""
        return max(2 * self.text, 28)

    @property
    def caption(self) -> int:
        """Height of the three lines of text under a panel."""
        return _caption(self.text)

    def place(self, row: int, panel: int) -> tuple[int, int]:
        """Return the left and the bottom of a panel of a row, both counted from 0."""
        band = self.bands[row]
        line, column = divmod(panel, band.columns)
        top = band.top + _heading(len(band.heading), self.text)
        step = band.box[1] + self.caption + _between(self.text)
        return self.margin + column * (band.cell + self.gap), top + line * step + band.box[1]

    def is_wide(self, row: int) -> bool:
        """Return whether labels in a row can hold the word channel."""
        return self.bands[row].cell >= 10 * self.text

    def drawn_size(self, row: int, size: tuple[int, int]) -> tuple[int, int]:
        """Return how large a picture of WxH pixels is drawn in a row."""
        return _drawn_size(size, self.scale, self.bands[row].box)


def plan_sheet(
    rows: Sequence[Row],
    *,
    title: str = "",
    subtitle: str = "",
    note: str = "",
    columns: int | None = None,
    zoom: bool = False,
) -> Layout:
    """Return the layout of a sheet.

    The largest picture is drawn 256 to 640 pixels long where that keeps the sheet within 2400 pixels' width and 40
    megapixels, else smaller. ``columns`` is the most that a row has, else the sheet is about as wide for its height as
    a screen. With ``zoom`` every panel is as large as the largest.

    Raises:
        UsageError: there are more panels than a sheet can hold.

    >>> layout = plan_sheet([Row(1, (512, 512)), Row(2, (256, 256))])
    >>> layout.scale, layout.drawn_size(1, (256, 256)), [band.columns for band in layout.bands]
    (1.0, (256, 256), [1, 2])
    """
    count = sum(row.count for row in rows)
    if count > MAX_PANELS:
        raise UsageError(f"a contact sheet has room for {MAX_PANELS} panels, not {count}; choose some with --channels")
    most = max(row.count for row in rows)
    choices = [min(columns, most)] if columns else range(1, min(most, MOST_COLUMNS) + 1)
    plans: dict[tuple[int, ...], _Plan] = {}
    for choice in choices:
        if plan := _largest(rows, choice, zoom, exact=columns is not None):
            plans.setdefault(tuple(band[0] for band in plan.bands), plan)  # the first has the largest pictures
    if not plans:
        why = f"in {columns} columns" if columns else f"in {len(rows)} rows"
        hint = "raise --columns, or choose some with --channels" if columns else "choose some with --channels"
        raise UsageError(f"a contact sheet of {count} panels {why} would be larger than 40 megapixels; {hint}")
    return _write(min(plans.values(), key=lambda plan: _penalty(plan, rows)), rows, title, subtitle, note)


@dataclass(frozen=True)
class _Plan:
    """The bands of a sheet without their texts, and what they come to."""

    bands: list[tuple[int, int, int, tuple[int, int]]]  # columns, lines, cell, box
    text: int
    scale: float
    zoom: bool
    width: int
    height: int


def _largest(rows: Sequence[Row], columns: int, zoom: bool, *, exact: bool) -> _Plan | None:
    """Return the plan with so many columns that draws pictures as large as it can, None where none fits."""
    longest = max(max(row.size) for row in rows)
    scale = _natural_scale(rows)
    while scale * longest >= SMALLEST / 2:
        plan = _try(rows, columns, scale, zoom, exact)
        if plan and plan.width * plan.height <= MAX_PIXELS:
            return plan
        scale = math.ceil(scale) - 1 if scale > 1 else scale * 0.97
    return None


def _natural_scale(rows: Sequence[Row]) -> float:
    """Return the scale of a sheet that is large enough for it."""
    longest = max(max(row.size) for row in rows)
    return -(-256 // longest) if longest < 256 else min(1.0, 640 / longest)


def _try(rows: Sequence[Row], columns: int, scale: float, zoom: bool, exact: bool) -> _Plan | None:
    longest = max((row.size for row in rows), key=max)
    whole = _drawn_size(longest, scale, (MAX_WIDTH, MAX_WIDTH))
    boxes = [whole if zoom else _drawn_size(row.size, scale, (MAX_WIDTH, MAX_WIDTH)) for row in rows]
    text = max(11, min(10 + round(math.sqrt(max(w * h for w, h in boxes)) / 64), 18))
    gap, rim = round(1.6 * text), 2 * max(2 * text, 28)
    bands: list[tuple[int, int, int, tuple[int, int]]] = []
    width, at = 0, 0
    for count, alike in groupby(rows, key=lambda row: row.count):  # rows that stand in the same columns
        length = len(list(alike))
        wide = max(w for w, _ in boxes[at : at + length])
        most = min(count, columns)
        cell = max(wide, min(11 * text, (MAX_WIDTH - rim + gap) // most - gap))
        if exact:
            cell = max(cell, 8 * text)
        elif cell < 8 * text or (cell + gap) * most - gap + rim > MAX_WIDTH:
            return None
        bands += [(most, -(-count // most), cell, box) for box in boxes[at : at + length]]
        width, at = max(width, (cell + gap) * most - gap + rim), at + length
    if exact and width > MAX_WIDTH and max(whole) > LEGIBLE:
        return None
    if not exact:
        bands = [_even(band, row.count, width - rim, gap) for band, row in zip(bands, rows, strict=True)]
        width = max((cell + gap) * most - gap + rim for most, _, cell, _ in bands)
    width = max(width, NARROWEST)
    heights = [
        _heading(2 * bool(row.heading), text) + lines * (box[1] + _caption(text) + _between(text))
        for row, (_, lines, _, box) in zip(rows, bands, strict=True)
    ]
    return _Plan(bands, text, scale, zoom, width, sum(heights) + _apart(text) * (len(rows) - 1) + rim)


def _even(band: tuple, count: int, width: int, gap: int) -> tuple:
    """Return a band with as many columns as the width holds, or fewer where these fill its lines more evenly."""
    columns, lines, cell, box = band
    lines = -(-count // max(columns, (width + gap) // (cell + gap)))
    return -(-count // lines), lines, cell, box


def _penalty(plan: _Plan, rows: Sequence[Row]) -> float:
    """Return how far a sheet is from a screen's shape, from having no empty places, and from panels of full size."""
    side = math.sqrt(max(w * h for _, _, _, (w, h) in plan.bands))
    places = sum(columns * lines for columns, lines, _, _ in plan.bands)
    count = sum(row.count for row in rows)
    empty = (1 - count / places) * (1.5 if count > 3 else 9)  # two or three stand in a row
    broken = sum(lines - 1 for _, lines, _, _ in plan.bands) / len(rows) if len(rows) > 1 else 0
    small = max(0, math.log(LEGIBLE / side))
    reduced = plan.scale < _natural_scale(rows)
    return abs(math.log(plan.width / plan.height / SCREEN)) + empty + 3 * small + 0.5 * broken + 0.2 * reduced


def _write(plan: _Plan, rows: Sequence[Row], title: str, subtitle: str, note: str) -> Layout:
    """Return the layout with all texts in their lines."""
    text, margin = plan.text, max(2 * plan.text, 28)
    width = plan.width - 2 * margin
    large = max(round(1.4 * text), plan.width // 75)
    small = max(text, round(0.62 * large))
    written: list[Line] = []
    top = margin - large // 4
    for words, size, most in ((title, large, 2), (subtitle, small, 6), (note, small, 3)):
        for line in break_lines(words, size, width, most) if words else ():
            written.append(Line(line, size, top, faint=words is not title))
            top += round((1.5 if size == large else 1.4) * size)
    top = top + small if written else margin
    bands = []
    for row, (columns, lines, cell, box) in zip(rows, plan.bands, strict=True):
        detail = measure(row.detail, text) + 2 * text if row.detail else 0
        heading = tuple(break_lines(row.heading, text, max(width - detail, width / 2), 2)) if row.heading else ()
        bands.append(Band(row.count, columns, lines, cell, box, heading, row.detail, top))
        top += _heading(len(heading), text) + lines * (box[1] + _caption(text) + _between(text)) + _apart(text)
    height = top - _apart(text) - _between(text) + margin
    return Layout(plan.width, height, None if plan.zoom else plan.scale, text, tuple(written), tuple(bands))


def _drawn_size(size: tuple[int, int], scale: float | None, box: tuple[int, int]) -> tuple[int, int]:
    width, height = size
    if scale is None:
        scale = min(box[0] / width, box[1] / height)
    scale = max(scale, SMALLEST / max(size))
    wide, high = width * scale, height * scale
    wide, high = max(1, round(max(wide, high / LONGEST))), max(1, round(max(high, wide / LONGEST)))
    return min(wide, box[0]), min(high, box[1])


def _caption(text: int) -> int:
    return round(4.4 * text)


def _heading(lines: int, text: int) -> int:
    return round(1.5 * text * lines) + (text // 2 if lines else 0)


def _between(text: int) -> int:
    """Pixels between the caption of a panel and the one below it."""
    return round(0.8 * text)


def _apart(text: int) -> int:
    """Pixels between two rows, besides."""
    return round(0.8 * text)
