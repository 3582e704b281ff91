"""One self-contained web page: a picture on its way through the layers, with the arithmetic of every pixel."""

import hashlib
import json
import math
from base64 import b64encode
from collections.abc import Iterator
from importlib.resources import files

import jinja2
import torch
from markupsafe import Markup
from torch import nn

import convfilter
from convfilter.engine.build import activations
from convfilter.errors import escape, shorten
from convfilter.explain.layer_table import Row, explain
from convfilter.explain.lessons import introduce
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Kernels
from convfilter.layers.shapes import Shape
from convfilter.report.plan import CHANNEL, LIMIT, ROOM_PICTURE, ROOM_REST, make_plan
from convfilter.report.scripts import read_script
from convfilter.report.values import (
    BINS,
    Packed,
    describe,
    pack_bytes,
    pack_crop,
    pack_exact,
    reduce_picture,
    summarise,
    weights_of,
)

SCRIPTS = ("axes.js", "curves.js", "values.js", "rules.js", "draw.js", "sums.js", "page.js")


def make_report(
    pipeline: Pipeline,
    network: nn.Sequential,
    x: torch.Tensor,
    *,
    source_name: str,
    text: str,
    seed: int = 0,
    white: float = 255.0,
    pixel: tuple[int, int] | None = None,
) -> str:
    """Return an HTML page of less than 10 MB that needs nothing else.

    ``x`` is the picture (1, C, H, W) that goes in, ``network`` what ``build(pipeline)`` gives, ``text`` the pipeline as
    the user wrote it. ``pixel`` (X, Y) is the picture's pixel at which to begin, and around which large pictures keep
    their exact values; without it, a place of strong contrast. The name and the text may hold any characters.

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
    explained = explain(pipeline, shape, white=white)
    if explained.error:
        raise explained.error
    place = _find_place(x[0, 0]) if pixel is None else ((pixel[1] + 0.5) / shape[1], (pixel[0] + 0.5) / shape[2])
    share = 1.0
    while (page := _Page(pipeline, network, x, place, share)).size > LIMIT and share > 0.1:
        share *= 0.7  # noise, which hardly anything makes smaller
    version, script = convfilter.__version__, "\n".join(map(read_script, SCRIPTS))
    style = _read("page.css")
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(_read("page.html.j2"))
    return template.render(
        source=escape(source_name),
        title=shorten(text, 100),
        text="\n".join(map(escape, text.strip().split("\n"))),
        version=version,
        torch_version=torch.__version__,
        policy=f"{policy}; form-action 'none'",
        style=Markup(style),
        script=Markup(script),
        seed=seed,
        white=_write(white),
        bins=BINS,
        shape=_shape(shape),
        height=shape[1],
        width=shape[2],
        picture=_channel(page.channels[0][0]),
        picture_notes=page.notes(0),
        parameters=explained.parameters,
        tour=introduce(pipeline, shape),
        layers=[_section(n, row, page) for n, row in enumerate(explained.rows, start=1)],
        page=Markup(_json({"tensors": page.tensors, "layers": page.layers, "place": place})),
        blobs=[{"id": name, "data": Markup(packed.data)} for name, packed in page.blobs.items()],
    )


class _Page:
    """What the script reads: tensors (0 is the picture), layers, and blobs of packed values by name."""

    def __init__(self, pipeline: Pipeline, network: nn.Sequential, x: torch.Tensor, place, share: float) -> None:
        self.pipeline, self.place = pipeline, place
        self.blobs: dict[str, Packed] = {}
        self.tensors, self.layers, self.channels = [], [], []
        shapes = [tuple(x.shape[1:]), *pipeline.shapes(tuple(x.shape[1:]))]
        part, packed = pack_crop(x[0], place, ROOM_PICTURE)
        self.plan = make_plan(pipeline, network, shapes, len(packed.data), share)
        self.add_tensor(x[0], part, packed)
        before = x
        for number, after in enumerate(activations(network, x)):
            self.add_layer(number, network[number], before[0], after[0])
            before = after

    @property
    def size(self) -> int:
        """The bytes of the page, or a little more."""
        channels = sum(CHANNEL for channels in self.channels for _ in channels)
        return ROOM_REST + channels + len(_json(self.layers)) + sum(len(packed.data) for packed in self.blobs.values())

    def add_layer(self, number: int, module: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
        layer = self.pipeline.layers[number]
        about = {"name": layer.name, "names": _kernel_names(layer, y.shape[0]), **describe(layer, module, x, y.shape)}
        weights = weights_of(module)
        if weights is not None:
            about["weights"] = None
            if number in self.plan.weights:
                packed = pack_exact(weights.reshape(len(weights), -1, 1))
                self.blobs[f"weights-{number}"] = packed
                about["weights"] = packed.layout
        self.layers.append(about)
        exact = pack_crop(y, self.place, self.plan.room) if number + 1 in self.plan.exact else (None, None)
        self.add_tensor(y, *exact)

    def add_tensor(self, y: torch.Tensor, part: list[int] | None, packed: Packed | None) -> None:
        number, (c, h, w) = len(self.tensors), y.shape
        factor = next(f for f in range(1, max(h, w) + 1) if -(-h // f) * -(-w // f) <= self.plan.pixels[number])
        shown = [summarise(channel) for channel in y[: self.plan.shown]]
        reduced = [reduce_picture(channel[None], factor) for channel in y[: self.plan.shown]]
        picture = pack_bytes(torch.cat([one[0] for one in reduced]).numpy())
        self.blobs[f"picture-{number}"] = picture
        if packed:
            self.blobs[f"exact-{number}"] = packed
        self.channels.append(shown)
        self.tensors.append(
            {
                "shape": [c, h, w],
                "source": "carried" if packed else "computed",
                "part": part,
                "exact": packed and packed.layout,
                "picture": picture.layout,
                "factor": factor,
                "from": [one[1].item() for one in reduced],
                "to": [one[2].item() for one in reduced],
                "low": [channel["low"] for channel in shown],
                "high": [channel["high"] for channel in shown],
                "spread": [channel["spread"] for channel in shown],
            }
        )

    def notes(self, number: int) -> Iterator[str]:
        """What was reduced in tensor ``number``, in sentences."""
        tensor = self.tensors[number]
        (c, h, w), factor, part = tensor["shape"], tensor["factor"], tensor["part"]
        if factor > 1:
            yield (
                f"Shown at 1/{factor} of its size: each dot is the mean of {factor}×{factor} of the {w}×{h} pixels. "
                "Places and sums are those of the true pixels."
            )
        if part and part[2:] != [h, w]:
            yield (
                f"Exact values are carried for the {part[3]}×{part[2]} pixels in the dashed frame; elsewhere they are "
                "read from the picture, and marked with ≈."
            )
        if c > len(tensor["low"]):
            yield f"The first {len(tensor['low'])} of {c:,} channels are shown."
        if number and self.layers[number - 1].get("weights", True) is None:
            yield "Its weights are too many for this page, so its kernels and sums are left out."


def _section(number: int, row: Row, page: _Page) -> dict:
    layer, (c, _, _) = row.layer, row.output
    written = " ".join(layer.place.text[layer.place.start : layer.place.end].replace('"', "'").split())
    channels, names = page.channels[number], page.layers[number - 1]["names"]
    heights = [sum_ or f"{n}, as before" for n, sum_ in zip(row.output[1:], row.sums, strict=True)]
    return {
        "number": number,
        "name": layer.name,
        "text": shorten(str(layer), 2000),
        "written": "" if written in (str(layer), layer.name, f"{layer.name}()") else shorten(written, 200),
        "lesson": layer.entry.lesson,
        "input_shape": _shape(row.input),
        "shape": _shape(row.output),
        "sums": [["Height and width", heights[0]]]
        if heights[0] == heights[1]
        else [["Height", heights[0]], ["Width", heights[1]]],
        "parameters": row.parameters,
        "field": "{}×{}".format(*row.receptive_field),
        "low": _write(min(channel["low"] for channel in channels)),
        "high": _write(max(channel["high"] for channel in channels)),
        "notes": list(page.notes(number)),
        "legend": "The channel that comes out" if c == 1 else f"The {c:,} channels that come out",
        "channels": [{**_channel(channel), "name": name} for channel, name in zip(channels, names, strict=False)],
    }


def _channel(summary: dict) -> dict:
    bars = "".join(f"M{i} 100V{100 - bar}H{i + 1}V100" for i, bar in enumerate(summary["bars"]) if bar)
    return {
        "path": bars,
        "bad": summary["bad"],
        **{name: _write(summary[name]) for name in ("low", "high", "mean")},
    }


def _kernel_names(layer: Layer, channels: int) -> list[str]:
    """What each output channel is called: its number, and the kernel that the text names for it."""
    kernels = [
        kernel.text if len(kernel.matrices) == 1 else f"{kernel.text} {i}"
        for kernel in layer.kernels
        for i in range(len(kernel.matrices))
    ]
    names = [f"channel {c}" for c in range(channels)]
    if layer.entry.kernels is Kernels.EACH_CHANNEL:
        kernels *= channels // len(kernels)
    for c, kernel in enumerate(kernels):
        names[c] += f": {shorten(kernel, 60)}"
    if layer.entry.kernels is Kernels.WEIGHT and kernels:
        names[len(kernels) :] = [f"{name}: random" for name in names[len(kernels) :]]
    return names


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
    """A number as the page shows it, with a proper minus."""
    text = f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else f"{value:.4g}"
    return text.replace("-", "−")


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
        return [_words(one) for one in value]
    odd = isinstance(value, float) and not math.isfinite(value)
    return repr(value).replace("inf", "Infinity").replace("nan", "NaN") if odd else value
