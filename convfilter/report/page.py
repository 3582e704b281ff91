"""Makes the page: a picture layer by layer, its pictures and kernels in the HTML, and what its script reads.

Everything that can be seen without a script is written by the template ``page.html.j2``: the channels' pictures are
PNGs in ``src`` attributes, small kernels are tables of numbers. The script reads the same PNGs for its own drawings,
and from the JSON at the end of the page the layers in numbers, with the picture's exact values and the weights in
packed blobs.
"""

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.resources import files

import jinja2
import numpy as np
import torch
from markupsafe import Markup
from torch import nn

import convfilter
from convfilter.engine.build import activations
from convfilter.errors import escape, shorten
from convfilter.explain.channel_names import channel_names, label_channel
from convfilter.explain.layer_table import Row, explain
from convfilter.explain.lessons import introduce
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise
from convfilter.gray.scale import has_colour_kernels
from convfilter.language.pipeline import Pipeline
from convfilter.layers.given import Given
from convfilter.layers.shapes import Shape
from convfilter.numbers import show_aligned, show_number, typeset
from convfilter.report.plan import CHANNEL, LIMIT, OTHER_BYTES, PICTURE_BYTES, SHOWN, make_plan
from convfilter.report.scale import RAMPS, Scale, colours, default_scale, steps
from convfilter.report.scripts import read_script
from convfilter.report.values import (
    BINS,
    Packed,
    describe,
    pack_crop,
    pack_exact,
    pack_png,
    reduce_picture,
    summarise,
    weights_of,
)
from convfilter.report.vocabulary import write_vocabulary

ARITHMETIC = ("axes.js", "curves.js", "compute.js", "worker.js")  # what the page's Web Worker runs as well
SCRIPTS = (
    "values.js", "rules.js", "numbers.js", "draw.js", "sums.js", "link.js", "gradient.js", "bench.js", "play.js",
    "random.js", "pipeline.js", "changes.js", "code.js", "live.js", "edit.js", "page.js",
)  # fmt: skip
STYLES = ("page.css", "edit.css")
NUMBERED = 7  # rows and columns of a kernel that is written in numbers
PLANES = 8  # of a kernel, side by side
KERNELS = 1000  # planes that are drawn in a page
_BLANK_CHANNEL = dict.fromkeys(("name", "path", "low", "high", "bad", "picture", "kernel"), "")
_BLANK = {
    **dict.fromkeys(
        ("number", "text", "lesson", "shape", "input_shape", "count", "field", "low", "high", "written"), ""
    ),
    **{"parameters": 0, "channels": [], "notes": [], "sums": [("", ""), ("", "")]},
}
_COLOURS = ("red", "green", "blue")
STRIP = 112  # pixels across of a layer's picture in the strip, for screens of two pixels a dot


def make_report(
    pipeline: Pipeline,
    network: nn.Sequential,
    x: torch.Tensor,
    *,
    source_name: str,
    text: str,
    seed: int = 0,
    white: float = 255.0,
    inputs: InputValues | None = None,
    pixel: tuple[int, int] | None = None,
    compute: Callable[[torch.Tensor], Iterable[torch.Tensor]] | None = None,
) -> str:
    """Return an HTML page of less than 10 MB that needs nothing else.

    ``x`` is the picture (1, C, H, W) that goes in, ``inputs`` how its values became it, ``network`` what
    ``build(pipeline)`` gives, ``text`` the pipeline as the user wrote it. ``pixel`` (X, Y) is the picture's pixel at
    which to begin, and around which large pictures keep their exact values; without it, a place of strong contrast.
    ``compute`` gives the activations after each layer; without it, the network does. The name and the text may hold any
    characters.

    Raises:
        PipelineError: a layer does not take the picture.

    >>> from convfilter import parse
    >>> from convfilter.engine.build import build
    >>> pipeline = parse("edge")
    >>> page = make_report(pipeline, build(pipeline), torch.zeros(1, 1, 9, 9), source_name="a<b.png", text="edge")
    >>> "(9 + 2*0 - 1*(5-1) - 1)/1 + 1 = 5" in page, "a&lt;b.png" in page
    (True, True)
    """
    shape = tuple(x.shape[1:])
    inputs = inputs or InputValues(white=white)
    explained = explain(pipeline, shape, inputs)
    if explained.error:
        raise explained.error
    place = _find_place(x[0, 0]) if pixel is None else ((pixel[1] + 0.5) / shape[1], (pixel[0] + 0.5) / shape[2])
    share = 1.0
    compute = compute or partial(activations, network)
    while (page := _Page(pipeline, network, x, compute, place, white, share)).size > LIMIT and share > 0.1:
        share *= 0.7  # noise, which hardly anything makes smaller
    version, style = convfilter.__version__, "\n".join(map(_read, STYLES))
    arithmetic, script = ("\n".join(map(read_script, names)) for names in (ARITHMETIC, SCRIPTS))
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(arithmetic)} {_hash(script)}; "
        "worker-src blob:; base-uri 'none'"
    )
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_read("page.html.j2"))
    return template.render(
        source=escape(source_name),
        title=shorten(text, 100),
        text="\n".join(map(escape, text.strip().split("\n"))),
        version=version,
        torch_version=torch.__version__,
        policy=f"{policy}; form-action 'none'",
        style=Markup(style),
        arithmetic=Markup(arithmetic),
        script=Markup(script),
        seed=seed,
        white=_write(white),
        bins=BINS,
        shape=_shape(shape),
        height=shape[1],
        width=shape[2],
        colours="gray" if shape[0] == 1 else ", ".join(_COLOURS[: shape[0]]),
        picture=[
            {**_channel(channel, picture), "name": name}
            for channel, picture, name in zip(page.channels[0], page.pictures[0], _COLOURS, strict=False)
        ],
        picture_tile=Markup(page.tiles[0]),
        blank=_BLANK,
        blank_channel=_BLANK_CHANNEL,
        picture_notes=page.notes(0),
        parameters=explained.parameters,
        tour=introduce(pipeline, shape),
        layers=[_section(n, row, page) for n, row in enumerate(explained.rows, start=1)],
        page=Markup(
            _json(
                {
                    "tensors": page.tensors,
                    "layers": page.layers,
                    "place": place,
                    "white": white,
                    "bins": BINS,
                    "ramps": RAMPS,
                    "editing": {
                        "vocabulary": write_vocabulary(pipeline),
                        "text": str(pipeline),
                        "isSummed": pipeline.layers[0].sums_colours,
                        "seed": seed,
                        "source": source_name,
                        "inputs": {"white": inputs.white, "mean": inputs.mean, "std": inputs.std},
                        "shown": SHOWN,
                    },
                }
            )
        ),
        blobs=[{"id": name, "data": Markup(packed.data)} for name, packed in page.blobs.items()],
    )


class _Page:
    """What the template and the script read: tensors (0 is the picture), layers, pictures, and packed blobs by name."""

    def __init__(
        self, pipeline: Pipeline, network: nn.Sequential, x: torch.Tensor, compute, place, white: float, share: float
    ) -> None:
        self.pipeline, self.place, self.white = pipeline, place, white
        self.blobs: dict[str, Packed] = {}
        self.tensors, self.layers, self.channels, self.kernels = [], [], [], []
        self.pictures: list[list[str]] = []  # of each tensor's channels, and...
        self.tiles: list[str] = []  # ...of its first channel, small
        shapes = [tuple(x.shape[1:]), *pipeline.shapes(tuple(x.shape[1:]))]
        part, packed = pack_crop(x[0], place, PICTURE_BYTES)
        self.plan = make_plan(pipeline, network, shapes, len(packed.data), share)
        self.add_tensor(x[0], part, packed)
        before = x
        for number, after in enumerate(compute(x)):
            self.add_layer(number, network[number], before[0], after[0])
            before = after

    @property
    def size(self) -> int:
        """The bytes of the page, or a little more."""
        channels = sum(CHANNEL for channels in self.channels for _ in channels)
        pictures = sum(len(picture) for pictures in (*self.pictures, self.tiles) for picture in pictures)
        blobs = sum(len(packed.data) for packed in self.blobs.values())
        return OTHER_BYTES + channels + pictures + len(_json(self.layers)) + blobs

    def add_layer(self, number: int, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        layer = self.pipeline.layers[number]
        names = channel_names(self.pipeline, number, self.tensors[0]["shape"][0])
        labels = [label_channel(channel, name) for channel, name in enumerate(names)]
        about = {"name": layer.name, "names": labels, **describe(layer, module, x, y.shape)}
        files = {name: _from_file(given) for name, given in layer.given.items() if given.origin}
        if files:
            about["files"] = files
        weights = weights_of(module)
        if weights is not None:
            about["weights"] = None
            if number in self.plan.weights:
                packed = pack_exact(weights.reshape(len(weights), -1, 1))
                self.blobs[f"weights-{number}"] = packed
                about["weights"] = packed.layout
        self.layers.append(about)
        colour = number == 0 and has_colour_kernels(layer, len(x))
        drawn = about.get("weights") and about["kind"] in ("convolution", "transposed")
        self.kernels.append(_kernels(weights, about, self.plan.shown, colour) if drawn else [])
        exact = pack_crop(y, self.place, self.plan.exact_bytes) if number + 1 in self.plan.exact else (None, None)
        self.add_tensor(y, *exact)

    def add_tensor(self, y: torch.Tensor, part: list[int] | None, packed: Packed | None) -> None:
        number, (c, h, w) = len(self.tensors), y.shape
        factor = next(f for f in range(1, max(h, w) + 1) if -(-h // f) * -(-w // f) <= self.plan.pixels[number])
        shown = [summarise(channel) for channel in y[: self.plan.shown]]
        if packed:
            self.blobs[f"exact-{number}"] = packed
        self.channels.append(shown)
        self.tensors.append(
            {
                "shape": [c, h, w],
                "source": "carried" if packed else "computed",
                "part": part,
                "exact": packed and packed.layout,
                "factor": factor,
                "low": [channel["low"] for channel in shown],
                "high": [channel["high"] for channel in shown],
                "spread": [channel["spread"] for channel in shown],
            }
        )
        drawn = [self.draw(number, i, channel, factor) for i, channel in enumerate(y[: self.plan.shown])]
        self.pictures.append([picture for picture, _, _ in drawn])
        self.tensors[-1] |= {"from": [low for _, low, _ in drawn], "to": [high for _, _, high in drawn]}
        self.tiles.append(self.draw(number, 0, y[0], max(1, math.ceil(max(h, w) / STRIP)))[0])

    def draw(self, number: int, c: int, values: torch.Tensor, factor: int) -> tuple[str, float, float]:
        """Return a channel's picture at 1/factor of its size, and the values of its bytes 0 and 255."""
        levels, low, high = (part[0] for part in reduce_picture(values[None], factor))
        low, high = low.item(), high.item()
        scale = default_scale(self.tensors, self.layers, number, c, self.white)
        same = (scale.scheme, scale.low, scale.high) == ("gray", low, high)
        return pack_png(levels.numpy(), None if same else colours(scale, low, high)), low, high

    def notes(self, number: int) -> Iterator[str]:
        """What was reduced in tensor ``number``, in sentences."""
        tensor = self.tensors[number]
        (c, h, w), factor, part = tensor["shape"], tensor["factor"], tensor["part"]
        if factor > 1:
            yield (
                f"Drawn at 1/{factor} of its size: each dot is the mean of {factor}×{factor} of the {w}×{h} pixels. "
                "Positions and sums are those of the full-size pixels."
            )
        if part and part[2:] != [h, w]:
            yield (
                f"The page holds exact values for the {part[3]}×{part[2]} pixels in the dashed frame; elsewhere they "
                "are read from the drawing, and marked with ≈."
            )
        if c > len(tensor["low"]):
            yield f"The first {len(tensor['low'])} of {c:,} channels are shown."
        if number and self.layers[number - 1].get("weights", True) is None:
            yield "It has too many weights for this page, so its kernels and sums are left out."


def _section(number: int, row: Row, page: _Page) -> dict:
    layer, (c, _, _) = row.layer, row.output
    written = " ".join(layer.place.text[layer.place.start : layer.place.end].replace('"', "'").split())
    channels, names = page.channels[number], page.layers[number - 1]["names"]
    kernels = page.kernels[number - 1]
    lengths = [sum_ or f"{n}, unchanged" for n, sum_ in zip(row.output[1:], row.sums, strict=True)]
    height, width = row.receptive_field
    return {
        "number": number,
        "name": layer.name,
        "text": shorten(str(layer), 2000),
        "written": "" if written in (str(layer), layer.name, f"{layer.name}()") else shorten(written, 200),
        "lesson": layer.entry.lesson,
        "input_shape": _shape(row.input),
        "shape": _shape(row.output),
        "sums": [["Width and height", lengths[0]]]
        if lengths[0] == lengths[1]
        else [["Width", lengths[1]], ["Height", lengths[0]]],
        "parameters": row.parameters,
        "field": f"{width}×{height}",
        "low": _write(min(channel["low"] for channel in channels)),
        "high": _write(max(channel["high"] for channel in channels)),
        "notes": list(page.notes(number)),
        "count": c,
        "tile": Markup(page.tiles[number]),
        "channels": [
            {**_channel(channel, picture), "name": name, "kernel": kernels[i] if i < len(kernels) else None}
            for i, (channel, picture, name) in enumerate(zip(channels, page.pictures[number], names, strict=False))
        ],
    }


def _channel(summary: dict, picture: str) -> dict:
    bars = "".join(f"M{i} 100V{100 - bar}H{i + 1}V100" for i, bar in enumerate(summary["bars"]) if bar)
    return {
        "path": bars,
        "bad": summary["bad"],
        "picture": Markup(picture),
        **{name: _write(summary[name]) for name in ("low", "high", "mean")},
    }


def _kernels(weights: np.ndarray, layer: dict, shown: int, colour: bool) -> list[dict]:
    """What the page shows of each output channel's kernel: rows of numbers where it is small, else a picture.

    ``colour`` says that its three planes are those of red, green and blue; then there is a picture in colour too.
    """
    if layer["kind"] == "transposed":  # (in, out a group, ...): the other way round than a convolution's
        groups = weights.reshape(layer["groups"], -1, *weights.shape[1:])
        weights = groups.swapaxes(1, 2).reshape(-1, groups.shape[1], *weights.shape[2:])
    count = min(len(weights), shown, max(1, KERNELS // weights.shape[1]))
    kernels = [_kernel(kernel, layer["bias"][c] if layer["bias"] else None) for c, kernel in enumerate(weights[:count])]
    if colour:
        for about, kernel in zip(kernels, weights, strict=False):
            levels = quantise(kernel.copy(), GrayScale(float(kernel.min()), float(kernel.max())))
            about["colours"] = Markup(pack_png(np.moveaxis(levels, 0, -1)))
    return kernels


def _kernel(planes: np.ndarray, bias: float | None) -> dict:
    total = planes.sum(dtype=float)
    about = f"sum {_write(0.0 if abs(total) < 1e-6 else total)}" + ("" if bias is None else f", bias {_write(bias)}")
    n, h, w = planes.shape
    if n == 1 and max(h, w) <= NUMBERED:
        names = [f"{'n' if step < 0 else 'p'} w{abs(step)}" for step in steps(planes[0]).ravel()]
        cells = list(zip(names, map(typeset, show_aligned(planes[0].ravel().tolist(), 3)), strict=True))
        return {"rows": [cells[i : i + w] for i in range(0, h * w, w)], "about": about}
    across, most = min(n, PLANES), float(np.abs(planes).max())
    levels = np.full((-(-n // across) * (h + 1) - 1, across * (w + 1) - 1), 255, np.uint8)
    for i, plane in enumerate(planes):
        y, x = i // across * (h + 1), i % across * (w + 1)
        levels[y : y + h, x : x + w] = np.floor(127 + plane.astype(float) / (most or 1) * 127 + 0.5)
    palette = colours(Scale("diverging", -1, 1), -1, 1 + 2 / 254)
    palette[255] = 255  # the gaps between the planes
    return {"picture": Markup(pack_png(levels, palette)), "planes": n, "size": f"{w}×{h}", "about": about}


def _from_file(given: Given) -> dict:
    """Weights that a text takes from a file, by the name that it has there; those of one axis with their values."""
    values = {"values": given.array.tolist()} if len(given.shape) == 1 else {}
    return {"name": given.text[1:-1], "shape": given.shape, **values}


def _find_place(picture: torch.Tensor) -> tuple[float, float]:
    """A place of strong contrast, as shares of the height and width; the middle of an even picture."""
    h, w = picture.shape
    if min(h, w) < 3:
        return 0.5, 0.5
    slopes = (picture[1:, 1:] - picture[:-1, :-1]).abs()[None]
    near = nn.functional.avg_pool2d(slopes, min(9, h - 1, w - 1), stride=1)[0]
    if not near.max() > near.min():
        return 0.5, 0.5
    y, x = divmod(int(near.argmax()), near.shape[1])
    return (y + (h - near.shape[0]) / 2 + 0.5) / h, (x + (w - near.shape[1]) / 2 + 0.5) / w


def _shape(shape: Shape) -> str:
    return "×".join(map(str, shape))


def _write(value: float) -> str:
    return typeset(show_number(value))


def _read(name: str) -> str:
    return files("convfilter.report").joinpath(name).read_text(encoding="utf-8")


def _hash(code: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def _json(value) -> str:
    """JSON that can stand in a script element, whatever its strings hold; NaN and infinity are words in it."""
    text = json.dumps(_words(value), separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _words(value):
    """The value with the words NaN, Infinity and -Infinity for the numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _words(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_words(item) for item in value]
    odd = isinstance(value, float) and not math.isfinite(value)
    return repr(value).replace("inf", "Infinity").replace("nan", "NaN") if odd else value
