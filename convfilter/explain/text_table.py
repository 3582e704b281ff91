"""An explanation as a table for a terminal of any width."""

import textwrap
from collections.abc import Mapping

from convfilter.errors import shorten
from convfilter.explain.layer_table import Explanation, Row
from convfilter.numbers import show_bytes, show_number

LONGEST = 400  # characters of one layer's text; a kernel's literal may be a megabyte
LEAST = 20  # columns that a layer's text should have before other columns are dropped
TITLES = {
    "number": ("", ""),
    "layer": ("", "layer"),
    "kernel": ("", "kernel"),
    "stride": ("", "stride"),
    "padding": ("", "padding"),
    "dilation": ("", "dilation"),
    "input": ("", "input"),
    "output": ("", "output"),
    "sum": ("", "the output's height and width"),
    "parameters": ("", "params"),
    "adds": ("multiply-", "adds"),
    "field": ("receptive", "field"),
    "jump": ("effective", "stride"),
    "range": ("", "range"),
}
WINDOW = ("kernel", "stride", "padding", "dilation")
LAYOUTS = (set(), {"input"}, {"input", "sum"}, {"input", "sum", *WINDOW})  # the columns that each goes without
LEFT = ("layer", "sum", "range")
NOTE = (
    "Shapes are channels x height x width. The receptive field is what one output pixel sees of the picture, and the "
    "effective stride how far apart two neighbours see, both in pixels, height x width. "
    "The range holds for every picture; it is unknown where weights are random."
)


def write_table(explanation: Explanation, width: int = 80) -> str:
    """Return the explanation as text whose lines are at most ``width`` (40 or more) characters.

    A wide terminal gets every layer on one line. Where that does not fit, the sums that give the output's height and
    width go below the layer, then its kernel, stride, padding and dilation too; a layer's text that is too long stands
    above its numbers. Where a layer does not take its input, the text ends there.

    >>> from convfilter import parse
    >>> from convfilter.explain.layer_table import explain
    >>> print(write_table(explain(parse("edge"), (1, 60, 60))).partition("Peak")[0].replace(chr(10) * 2, chr(10)))
                                        multiply-  receptive  effective
       layer            output  params       adds      field     stride  range
       input           1x60x60                           1x1          1  0..255
    1  Conv2d(1, 1, 5, bias=False, weight=[edge(5)])
                       1x56x56      25     78,400        5x5          1  -6120..6120
       kernel 5x5, stride 1, padding 0, dilation 1
       (60 + 2*0 - 1*(5-1) - 1)/1 + 1 = 56
       total           1x56x56      25     78,400
    <BLANKLINE>
    """
    width = max(width, 40)
    rows = [_start(explanation), *(_cells(number, row) for number, row in enumerate(explanation.rows, 1))]
    if not explanation.error:
        rows.append(_total(explanation))
    for without in LAYOUTS:
        widths, layer_width = _measure(rows, without, width)
        if layer_width >= min(max(len(row["layer"]) for row in rows), LEAST):
            break
    if layer_width < len("layer"):
        rows = [{**row, "adds": row.get("short", "")} for row in rows]
        widths, layer_width = _measure(rows, without, width)
    if layer_width < len("layer"):
        lines = _stack(rows, width)
    else:
        lines = _table(rows, widths, width)
    if explanation.error:
        return "\n".join(lines)
    peak = f"Peak memory: about {show_bytes(explanation.peak_bytes)} for the plain computation of the whole picture."
    return "\n".join([*lines, "", *textwrap.wrap(peak, width), *textwrap.wrap(NOTE, width)])


def _measure(rows: list[dict], without: set[str], width: int) -> tuple[dict[str, int], int]:
    """The columns' widths, and what is left for the layers' texts."""
    widths = {}
    for key, titles in TITLES.items():
        if key not in without:
            cells = (
                [line for row in rows for line in row["sums"]] if key == "sum" else [row.get(key, "") for row in rows]
            )
            widths[key] = max(map(len, (*titles, *cells)))
    layer_width = width - (sum(widths.values()) - widths["layer"] + 2 * len(widths) - 2)
    widths["layer"] = min(widths["layer"], layer_width)
    return widths, layer_width


def _table(rows: list[dict], widths: Mapping[str, int], width: int) -> list[str]:
    indent = widths["number"] + 2
    lines = [_line({key: TITLES[key][number] for key in widths}, widths) for number in (0, 1)]
    for row in rows:
        if row["number"] == "" and row["layer"] == "total":
            lines.append("")
        if len(row["layer"]) > widths["layer"]:
            text = textwrap.wrap(row["layer"], width - indent, subsequent_indent="  ", break_on_hyphens=False)
            lines.append(f"{row['number']:>{indent - 2}}  {text[0]}")
            lines += [" " * indent + line for line in text[1:]]
            row = {**row, "number": "", "layer": ""}
        sums = row["sums"] if "sum" in widths else ("",)
        lines.append(_line({**row, "sum": sums[0] if sums else ""}, widths))
        lines += [_line({"sum": line}, widths) for line in sums[1:]]
        below = []
        if "kernel" not in widths and row["window"]:
            below.append(row["window"])
        if "sum" not in widths:
            below += row["sums"]
        if len(below) == 2 and len(row["sums"]) == 1 and indent + len(": ".join(below)) <= width:
            below = [": ".join(below)]
        for line in below:
            lines += textwrap.wrap(line, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))
    return lines


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    words = [f"{cells.get(key, ''):{'<' if key in LEFT else '>'}{size}}" for key, size in widths.items()]
    return "  ".join(words).rstrip()


def _stack(rows: list[dict], width: int) -> list[str]:
    """Each layer as a paragraph, for terminals too narrow for the numbers in one line."""
    lines = []
    for row in rows:
        names = ("output", "parameters", "adds", "field", "jump", "range")
        words = [f"{' '.join(TITLES[key]).strip().replace('- ', '-')} {row[key]}" for key in names if row.get(key)]
        text = [f"{row['number']:>3} {row['layer']}", ", ".join(words), row["window"], *row["sums"]]
        for number, line in enumerate(filter(None, text)):
            lines += textwrap.wrap(line, width, initial_indent="    " * (number > 0), subsequent_indent="      ")
    return lines


def _start(explanation: Explanation) -> dict:
    cells = {"number": "", "layer": "input", "output": _shape(explanation.input), "field": "1x1", "jump": "1"}
    return {**cells, "range": write_bounds(explanation.interval), "window": "", "sums": []}


def _total(explanation: Explanation) -> dict:
    return {
        "number": "",
        "layer": "total",
        "output": _shape(explanation.output),
        "parameters": f"{explanation.parameters:,}",
        "adds": f"{explanation.multiply_adds:,}",
        "short": _short(explanation.multiply_adds),
        "window": "",
        "sums": [],
    }


def _cells(number: int, row: Row) -> dict:
    window = {key: "" if getattr(row, key) is None else _pair(getattr(row, key)) for key in ("stride", "dilation")}
    window["kernel"] = "x".join(map(str, row.kernel)) if row.kernel else ""
    window["padding"] = "" if row.padding is None else _padding(row.padding)
    high, wide = row.sums
    named = [f"{name}: {text}" for name, text in (("height", high), ("width", wide)) if text]
    return {
        "number": str(number),
        "layer": shorten(str(row.layer), LONGEST),
        **window,
        "input": _shape(row.input),
        "output": _shape(row.output),
        "sums": [high] if high and high == wide else named,
        "parameters": f"{row.parameters:,}",
        "adds": f"{row.multiply_adds:,}",
        "short": _short(row.multiply_adds),
        "field": "x".join(map(str, row.receptive_field)),
        "jump": _pair([show_number(jump) for jump in row.jump]),
        "range": write_bounds(row.bounds),
        "window": ", ".join(f"{key} {window[key]}" for key in WINDOW if window[key]),
    }


def _shape(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _pair(values) -> str:
    high, wide = values
    return str(high) if high == wide else f"{high}x{wide}"


def _padding(sides: tuple[int, int, int, int]) -> str:
    left, right, top, bottom = sides
    return _pair((top, left)) if left == right and top == bottom else str(sides).replace(" ", "")


def write_bounds(bounds: tuple[float | None, float | None]) -> str:
    """Return the text of an interval, None being an end that is not known.

    >>> write_bounds((0.0, 255.0)), write_bounds((None, 6.0)), write_bounds((None, None))
    ('0..255', '<= 6', 'unknown')
    """
    low, high = (None if end is None else show_number(end) for end in bounds)
    if low is None:
        return "unknown" if high is None else f"<= {high}"
    return f">= {low}" if high is None else f"{low}..{high}"


def _short(count: int) -> str:
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:,.4g} {unit}" if count < 10**4 * size else f"{count // size:,} {unit}"
    return str(count)
