"""A web page of several pipelines on one picture, side by side, whose pixels are linked.

The pictures stand in the HTML, so that they are seen without the script; the script reads their exact values from
blobs (float32, deflated, in base64) and links pixels by the middle of what each output pixel sees of the input.
"""

import base64
import hashlib
import io
import json
import math
import zlib
from collections.abc import Callable, Sequence
from importlib.resources import files

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from numpy.typing import NDArray
from torch import nn

import convfilter
from convfilter.engine.build import to_tensor
from convfilter.errors import escape
from convfilter.explain.channel_names import channel_names, label_channel
from convfilter.explain.receptive_field import Field
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise
from convfilter.images.png import write_png
from convfilter.images.reader import Picture
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_number
from convfilter.report.scripts import read_script
from convfilter.run.compare import Compared, check_comparison, compare_on_file, describe
from convfilter.run.one_file import find_path, write_file
from convfilter.run.options import Options

LIMIT = 9_500_000  # bytes of a page
COLUMNS = 2
NOWHERE = -1e9  # the middle of what sees nothing of the input


def write_comparison_page(
    pipelines: Sequence[Pipeline],
    image: str,
    options: Options,
    *,
    texts: Sequence[str] = (),
    warn: Callable[[str], object] = lambda text: None,
) -> str:
    """Write the page of a comparison, and return its path; the rest is as ``run.compare.write_comparison`` has it."""
    options = check_comparison(pipelines, options, (".html",))
    path = find_path(image, options.output, "compare.html", (".html",))
    title, picture, rows = compare_on_file(pipelines, image, options, texts=texts, warn=warn)
    page = make_page(rows, picture, options, title)
    write_file(path, lambda file: file.write(page.encode()), no_clobber=options.no_clobber)
    return path


def make_page(rows: Sequence[Compared], picture: Picture, options: Options, title: str) -> str:
    """Return the page as HTML of less than 10 MB: large pictures are reduced, and it says so."""
    pixels = math.prod(picture.shape) + sum(len(row.shades) * math.prod(row.output.shape[1:]) for row in rows)
    factor = max(1, math.ceil(math.sqrt(pixels / LIMIT)))
    while len(page := _write(rows, picture, options, title, factor)) > LIMIT:
        factor += 1
    return page


def _write(rows: Sequence[Compared], picture: Picture, options: Options, title: str, factor: int) -> str:
    """The page with each dot the mean of factor x factor pixels."""
    _, height, width = picture.shape
    x = to_tensor(picture.values, picture.white, options.inputs)[0].numpy()
    gray = GrayScale(0.0, picture.white)
    centres = [list(range(width)), list(range(height))]
    shown = quantise(_reduce(picture.values.astype(np.float32).reshape(x.shape), factor), gray)
    sections = [{"heading": "input", "panels": [_panel("input", x, shown, centres, factor, options)]}]
    for row in rows:
        pipeline, floats, panels = row.renderer.pipeline, row.output.floats(), []
        names = channel_names(pipeline, len(pipeline.layers) - 1, picture.shape[0])
        centres = _find_centres(pipeline, picture.shape)
        for shade in row.shades:
            values = floats[shade.channel][None]
            pixels = quantise(_reduce(values, factor), shade.scale)
            label = label_channel(shade.channel, names[shade.channel])
            panels.append(_panel(label, values, pixels, centres, factor, options))
        sections.append({"heading": row.text, "panels": panels})
    panels = [panel for section in sections for panel in section["panels"]]
    for number, panel in enumerate(panels):
        panel["id"] = number
    widest = max(panel["width"] for panel in panels[1:])
    sizes = "" if options.zoom else "".join(
        f"#panel-{panel['id']} .picture{{width:{100 * panel['width'] / widest:.2f}%}}\n" for panel in panels[1:]
    )  # fmt: skip
    style = f"{_read('comparison.css')}\n:root{{--columns:{options.columns or COLUMNS}}}\n{sizes}"
    script = "\n".join(map(read_script, ("numbers.js", "comparison.js")))
    data = [{key: panel[key] for key in ("name", "width", "height", "factor", "x", "y")} for panel in panels]
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        _read("comparison.html.j2")
    )
    return template.render(
        title=escape(title),
        theme=options.theme,
        policy=f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        note=describe(rows, options),
        factor=factor,
        sections=sections,
        data=Markup(json.dumps(data).replace("<", "\\u003c")),
        about=f"convfilter {convfilter.__version__}, seed {options.seed}" if options.metadata else "",
    )


def _panel(
    name: str, values: NDArray[np.float32], shown: NDArray[np.unsignedinteger], centres, factor: int, options: Options
) -> dict:
    """What the page holds of one picture (C, H, W), whose levels are ``shown``."""
    reduced = np.ascontiguousarray(_reduce(values, factor), "<f4")
    channels, height, width = reduced.shape
    file = io.BytesIO()
    rows = np.moveaxis(shown, 0, -1) if channels > 1 else shown[0]
    write_png(file, [np.ascontiguousarray(rows)], width, height, channels=channels, level=options.compress)
    kept = [
        [ends[min(at * factor + (factor - 1) // 2, len(ends) - 1)] for at in range(count)]
        for ends, count in zip(centres, (width, height), strict=True)
    ]
    return {
        "name": name,
        "shape": "x".join(map(str, values.shape)),
        "range": f"{show_number(float(values.min()))} to {show_number(float(values.max()))}",
        "width": width,
        "height": height,
        "factor": factor,
        "x": kept[0],
        "y": kept[1],
        "picture": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(),
        "values": base64.b64encode(zlib.compress(reduced.tobytes(), 6)).decode(),
    }


def _reduce(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Return the means of blocks of factor x factor pixels of (C, H, W)."""
    if factor == 1:
        return values.copy()
    pooled = nn.functional.avg_pool2d(torch.from_numpy(values)[None], factor, ceil_mode=True, count_include_pad=False)
    return pooled[0].numpy()


def _find_centres(pipeline: Pipeline, shape: tuple[int, int, int]) -> list[list[float]]:
    """Return the middle of what each column and each row of the output sees of the input, in its pixels."""
    fields, before = [Field(shape[2]), Field(shape[1])], shape
    for layer, after in zip(pipeline.layers, pipeline.shapes(shape), strict=True):
        axes = layer.effect.columns, layer.effect.rows
        fields = [field.through(axis, n) for field, axis, n in zip(fields, axes, before[:0:-1], strict=True)]
        before = after
    centres = []
    for field, count in zip(fields, before[:0:-1], strict=True):
        seen = [field.at(place) for place in range(count)]
        centres.append([(pair[0] + pair[1]) / 2 if pair else NOWHERE for pair in seen])
    return centres


def _read(name: str) -> str:
    return files("convfilter.report").joinpath(name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
