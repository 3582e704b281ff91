"""Named pipelines: a text in the pipeline language, and the few options it takes."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from convfilter.errors import UsageError, escape, shorten
from convfilter.language.grammar import LONGEST
from convfilter.language.text_files import read_text
from convfilter.layers.catalogue import LAYERS


@dataclass(frozen=True)
class Preset:
    """A pipeline's text, whose ``{name}`` stands for the option of that name, and what it does in one sentence."""

    text: str
    help: str
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def write(self, values: Mapping[str, str]) -> str:
        """Return the text with the options filled in, the default where ``values`` has none.

        >>> PRESETS["blur"].write({"sigma": "2"})
        'Filter2d(gaussian(sigma=2))'
        """
        return "".join(
            literal + ("" if option is None else values.get(option) or self.default(option))
            for literal, option in self.pieces()
        )

    def pieces(self) -> list[tuple[str, str | None]]:
        """Return the text cut after each option: what stands before it, and the option's name (None at the end).

        >>> PRESETS["blur"].pieces()
        [('Filter2d(gaussian(sigma=', 'sigma'), ('))', None)]
        """
        if not self.options:
            return [(self.text, None)]
        parts = re.split("{(" + "|".join(map(re.escape, self.options)) + ")}", self.text)
        return list(zip(parts[::2], [*parts[1::2], None], strict=True))

    def default(self, option: str) -> str:
        """Return an option's default as the language writes it; a text as it is, so that it can name a kernel."""
        value = self.options[option]
        return value if isinstance(value, str) else repr(value)


def load_presets(path: Path | str) -> dict[str, Preset]:
    """Return the presets that a TOML file holds, one table each; the table ``defaults`` is none.

    A table has ``pipeline`` (text), ``help`` (one sentence, may be left out) and ``options`` (a table of defaults, may
    be left out)::

        [soft]
        pipeline = "Filter2d(gaussian(sigma={sigma})) | ReLU"
        help = "A soft blur."
        options = { sigma = 1.5 }

    Raises:
        UsageError: the file cannot be read or a table is no preset; names the file and the table.
    """
    tables = {name: table for name, table in _read_tables(path).items() if name != "defaults"}
    return {name: _preset(name, table, escape(str(path))) for name, table in tables.items()}


def load_defaults(path: Path | str) -> dict[str, Any]:
    """Return what the table ``defaults`` of a file of presets holds, unchecked.

    Raises:
        UsageError: the file cannot be read, or that is no table.
    """
    found = _read_tables(path).get("defaults", {})
    if not isinstance(found, dict):
        raise UsageError(f"{escape(str(path))}: defaults: expected a table of options, such as jobs = 4")
    return found


def _read_tables(path: Path | str) -> dict[str, Any]:
    shown = escape(str(path))
    try:
        text = read_text(path, LONGEST)
    except ValueError as error:
        raise UsageError(f"{shown} {error}") from None
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{shown} is not a TOML file: {escape(str(error))}") from None


def _preset(name: str, table, shown: str) -> Preset:
    def wrong(reason: str) -> UsageError:
        return UsageError(f"{shown}: preset {shorten(name)}: {reason}")

    if not isinstance(table, dict) or not isinstance(table.get("pipeline"), str):
        raise wrong('expected a table with pipeline = "..."')
    if not _is_word(name) or name in LAYERS:
        reason = "is a layer's" if name in LAYERS else "must be a word of letters, digits and _"
        raise wrong(f"its name {reason}; the name stands for it in pipelines")
    unknown = sorted(set(table) - {"pipeline", "help", "options"})
    if unknown:
        raise wrong(f"there is no key {shorten(unknown[0])!r}; a preset has pipeline, help and options")
    options = table.get("options", {})
    if not isinstance(options, dict) or not isinstance(table.get("help", ""), str):
        raise wrong("help is a text and options a table of defaults, such as options = { sigma = 1.5 }")
    for key, default in options.items():
        if not _is_word(key) or not isinstance(default, bool | int | float | str):
            raise wrong(f"option {shorten(key)} must be a word with a number, a text, true or false as its default")
        if "{" + key + "}" not in table["pipeline"]:
            raise wrong(f"option {shorten(key)} is not used: the pipeline has no {{{shorten(key)}}}")
    for key in re.findall(r"{(\w+)}", table["pipeline"]):
        if key not in options:
            raise wrong(f"the pipeline has {{{shorten(key)}}}, and options has no {shorten(key)}")
    return Preset(table["pipeline"], escape(table.get("help", "")) or "Your own.", MappingProxyType(options))


def _is_word(text: str) -> bool:
    return text.isidentifier() and text not in ("True", "False", "None")


def _orientations(*degrees: int) -> str:
    return ", ".join(f"gabor({{size}}, theta={angle}, wavelength={{wavelength}})" for angle in degrees)


def _trained(layer: str, number: int) -> str:
    """The layer of that number in the network that denoise is, with its weights."""
    given = f"convfilter:denoise.safetensors:{number}"
    return f"{layer[:-1]}, weight='{given}.weight', bias='{given}.bias')"


def _denoiser() -> str:
    channels = (1, 32, 32, 64, 64, 128, 128, 1)
    convolutions = [_trained(f"Conv2d({c}, {out}, 3)", 2 * i + 1) for i, (c, out) in enumerate(pairwise(channels))]
    return " | ".join(["ReplicationPad2d(7)", " | LeakyReLU(0.1) | ".join(convolutions)])


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "edge": Preset(
            "Conv2d(1, 1, {size}, bias=False, weight=[edge({size})])",
            "The tutorial's edge detector: bright where a pixel differs from those around it. Unpadded.",
            {"size": 5},
        ),
        "tutorial": Preset(
            "Conv2d(1, 2, {size}, bias=False, weight=[edge({size})])",
            "Both channels of the tutorial's layer: the edge detector, and PyTorch's random initial weights.",
            {"size": 5},
        ),
        "sobel": Preset("Filter2d(sobel_x, sobel_y) | Magnitude()", "The gradient's magnitude (Sobel)."),
        "prewitt": Preset("Filter2d(prewitt_x, prewitt_y) | Magnitude()", "The gradient's magnitude (Prewitt)."),
        "scharr": Preset(
            "Filter2d(scharr_x, scharr_y) | Magnitude()",
            "The gradient's magnitude (Scharr), alike in all directions.",
        ),
        "roberts": Preset(
            "Filter2d(roberts_a, roberts_b) | Magnitude()",
            "The gradient's magnitude (Roberts' cross of 2x2 pixels).",
        ),
        "laplace": Preset("Filter2d(laplace4)", "The Laplacian: the sum of the second derivatives."),
        "outline": Preset("Filter2d(outline)", "Outlines: each pixel against its eight neighbours."),
        "log": Preset(
            "Filter2d(log(sigma={sigma}))", "Laplacian of Gaussian: edges and blobs of one scale.", {"sigma": 1.4}
        ),
        "blur": Preset("Filter2d(gaussian(sigma={sigma}))", "Gaussian blur; sigma in pixels.", {"sigma": 1.0}),
        "box": Preset("Filter2d(box({size}))", "The mean of size x size pixels.", {"size": 3}),
        "sharpen": Preset("Filter2d(sharpen)", "Sharper: each pixel against its four neighbours."),
        "unsharp": Preset(
            "Filter2d(unsharp(sigma={sigma}, amount={amount}))",
            "Unsharp masking: the picture plus amount times what a blur of sigma takes away.",
            {"sigma": 1.0, "amount": 1.0},
        ),
        "emboss": Preset("Filter2d(emboss)", "A relief, lit from the upper left."),
        "motion": Preset(
            "Filter2d(motion({size}, angle={angle}))",
            "Motion blur of size pixels; angle in degrees, counter-clockwise from the right.",
            {"size": 9, "angle": 0},
        ),
        "compass": Preset("Filter2d(kirsch)", "Edges in eight compass directions (Kirsch), a channel each."),
        "gabor": Preset(
            f"Filter2d({_orientations(0, 45, 90, 135)})",
            "Stripes of one wavelength (pixels) in four orientations, a channel each.",
            {"size": 21, "wavelength": 6.0},
        ),
        "block": Preset(
            "LazyConv2d(8, {size}, padding='same') | ReLU() | MaxPool2d({pool})",
            "A block of a convolutional network with random weights, of 8 channels; it halves the picture.",
            {"size": 3, "pool": 2},
        ),
        "denoise": Preset(
            _denoiser(),
            "A trained network of seven convolutions that takes noise away; write it with --norm clip.",
        ),
    }
)
