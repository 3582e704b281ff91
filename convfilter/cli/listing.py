"""The texts of the listing commands: what presets, kernels and layers there are, one in full, and what a PNG says."""

import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from convfilter.errors import UsageError, did_you_mean, escape, shorten
from convfilter.images.png_keys import SOURCE
from convfilter.language.pipeline import parse
from convfilter.language.presets import PRESETS, Preset
from convfilter.layers import kernels
from convfilter.layers.catalogue import LAYERS, REFUSED
from convfilter.layers.matrices import flip
from convfilter.layers.other_names import HINTS
from convfilter.numbers import show_number

LONGEST = 160  # characters of a preset's pipeline in the list


def sentence(function) -> str:
    """Return the first line of a docstring without its markup.

    >>> sentence(kernels.box)
    'The plain mean of size x size pixels.'
    """
    return (inspect.getdoc(function) or "").partition("\n")[0].replace("``", "")


def list_presets(presets: Mapping[str, Preset]) -> str:
    """Return a line a preset: its name, its options, what it does, and the pipeline that it stands for."""
    rows = []
    for name, preset in presets.items():
        options = " ".join(f"--{key.replace('_', '-')}" for key in preset.options)
        rows += [(name, f"{preset.help}{f' [{options}]' if options else ''}"), ("", _list_pipeline(name, preset))]
    return _columns(rows)


def show_preset(name: str, presets: Mapping[str, Preset]) -> str:
    """Return one preset as ``list_presets`` does.

    Raises:
        UsageError: there is no preset of that name.
    """
    if name not in presets:
        hint = f"; it is a kernel: convfilter kernels {name}" if name in kernels.KERNELS else ""
        hint = hint or (f"; it is a layer: convfilter layers {name}" if name in LAYERS else did_you_mean(name, presets))
        hint = hint or "; 'convfilter presets' lists them all"
        raise UsageError(f"there is no preset {escape(shorten(name))!r}{hint}")
    return list_presets({name: presets[name]})


def _list_pipeline(name: str, preset: Preset) -> str:
    line = " ".join(preset.write({}).split())
    hint = f" ('convfilter {escape(name)} --help' has all of it)" if len(line) > LONGEST else ""
    return shorten(line, LONGEST) + hint


def list_kernels() -> str:
    """Return a line a kernel: how it is called, and what it is."""
    calls = [(f"{name}{_signature(make)}", sentence(make)) for name, make in kernels.KERNELS.items()]
    return _columns(
        [*calls, ("flip(kernel)", "A kernel turned by 180 degrees: turns cross-correlation to convolution.")]
    )


def show_kernel(text: str) -> str:
    """Return a kernel's call, sentence, sum, coefficients as a table, and the literal that a pipeline takes.

    ``text`` is a kernel as a pipeline writes it, such as ``sobel_x`` or ``gaussian(5, sigma=1.2)``.

    Rows of numbers have neither call nor sentence.

    Raises:
        UsageError: there is no kernel of that name. PipelineError: its arguments are wrong.

    >>> print(show_kernel("sobel_x"))
    sobel_x
    Sobel's x-gradient: positive where it gets brighter to the right.
    3x3, sum 0
    <BLANKLINE>
      -1   0   1
      -2   0   2
      -1   0   1
    <BLANKLINE>
    [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    >>> print(show_kernel("[[1, -1]]"))
    1x2, sum 0
    <BLANKLINE>
       1  -1
    <BLANKLINE>
    [[1, -1]]
    """
    name = text.partition("(")[0].strip()
    if name not in kernels.KERNELS and name != "flip" and name.isidentifier():
        hint = did_you_mean(name, kernels.KERNELS) or "; 'convfilter kernels' lists them all"
        hint = f"; it is a layer: convfilter layers {name}" if name in LAYERS else hint
        hint = f"; it is a preset: convfilter presets {name}" if name in PRESETS and not hint.endswith("?") else hint
        raise UsageError(f"there is no kernel {escape(name)!r}{hint}")
    (kernel,) = parse(f"Filter2d({text})").layers[0].kernels
    make = flip if name == "flip" else kernels.KERNELS.get(name)
    parts = [f"{name}{_signature(make)}\n{sentence(make)}"] if make else []  # rows of numbers have no name
    for number, matrix in enumerate(kernel.matrices):
        total = sum(map(sum, matrix))
        title = f"{len(matrix)}x{len(matrix[0])}, sum {show_number(0.0 if abs(total) < 1e-12 else total)}"
        cells = [[show_number(value) for value in row] for row in matrix]
        width = max(len(cell) for row in cells for cell in row)
        table = "\n".join("  " + "  ".join(cell.rjust(width) for cell in row) for row in cells)
        literal = ", ".join(f"[{', '.join(_literal(value) for value in row)}]" for row in matrix)
        which = f"{kernel.text}, {number} of {len(kernel.matrices)}: " if len(kernel.matrices) > 1 else ""
        parts.append(f"{which}{title}\n\n{table}\n\n[{literal}]")
    start = 2 if make else 1
    return "\n".join(parts[:start]) + "".join(f"\n\n{part}" for part in parts[start:])


def list_layers() -> str:
    """Return a line a layer: its name and what it does."""
    return _columns([(name, LAYERS[name].sentence) for name in sorted(LAYERS)])


def show_layer(name: str) -> str:
    """Return a layer's signature, its sentence, and an example that parses.

    Raises:
        UsageError: there is no layer of that name.

    >>> print(show_layer("MaxPool2d"))
    MaxPool2d(kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False)
    The largest value of each window.
    Example: MaxPool2d(2)
    """
    if name not in LAYERS:
        hint = did_you_mean(name, LAYERS) or "; 'convfilter layers' lists them all"
        hint = f"; it is a preset: convfilter presets {name}" if name in PRESETS else hint
        hint = f"; it is a kernel: convfilter kernels {name}" if name in kernels.KERNELS else hint
        hint = f"; {REFUSED.get(name) or HINTS[name.lower()]}" if name in REFUSED or name.lower() in HINTS else hint
        raise UsageError(f"there is no layer {escape(name)!r}{hint}")
    layer = LAYERS[name]
    return f"{name}({_parameters(layer.function)})\n{layer.sentence}\nExample: {layer.example}"


def list_topics(pages: Mapping[str, Path]) -> str:
    """Return a line a page of the documentation: its name, and its title."""
    titles = [(name, page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")) for name, page in pages.items()]
    ends = (
        "'convfilter help TOPIC' prints one of these pages. TOPIC can be a command, a preset, a layer or a kernel too: "
        "'convfilter --help', 'presets', 'layers' and 'kernels' list them."
    )
    return f"{_columns(titles)}\n\n{textwrap.fill(ends, page_width())}"


def page_width() -> int:
    """Return how wide a page of text is to be: as the terminal, where that is no wider than one reads well."""
    return min(100, shutil.get_terminal_size().columns)


def show_texts(file: str) -> str:
    """Return the name of a PNG and a line for each text that it carries.

    Raises:
        InputError: it cannot be read, or is no PNG.
    """
    from convfilter.images.png import read_text

    lines = [f"  {escape(key)}: {escape(value)}{_show_date(key, value)}" for key, value in read_text(file).items()]
    return "\n".join([escape(file), *(lines or ["  it carries no texts"])])


def _show_date(key: str, value: str) -> str:
    """The date of a source on a disk, which its text holds in nanoseconds, or nothing.

    >>> _show_date("convfilter:source", "60864 bytes, 1795572985217083072 ns")
    ' (2026-11-25 02:16:25 UTC)'
    """
    found = re.fullmatch(r"\d+ bytes, (\d{1,19}) ns", value, re.ASCII) if key == SOURCE else None
    return f" ({datetime.fromtimestamp(int(found[1]) // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC)" if found else ""


def show_weights(file: str) -> str:
    """Return how many tensors a file of weights holds, and a line for each: its name, type and shape.

    Raises:
        WeightsError: it is none, damaged, or would have to run code.
    """
    from convfilter.weights.file import open_weights  # the readers take as long to load as all the rest

    found = open_weights(file)
    tensors = found.tensors.values()
    inside = f", in {found.opened}" if found.opened else ""
    count = f"{len(tensors):,} tensor{'s' * (len(tensors) != 1)}"
    lines = [f"{escape(file)}: {found.kind}, {count}{inside}, {sum(tensor.count for tensor in tensors):,} numbers"]
    names = [escape(tensor.name) or "(without a name)" for tensor in tensors]
    width, kinds = max(map(len, names), default=0), max((len(tensor.dtype) for tensor in tensors), default=0)
    for name, tensor in zip(names, tensors, strict=True):
        lines.append(f"  {name:<{min(width, 60)}}  {tensor.dtype:<{kinds}}  {tensor.shape}")
    return "\n".join(lines)


def weights_to_dict(file: str) -> dict:
    """Return what ``weights --json`` prints of a file; WeightsError as ``show_weights`` has it."""
    from convfilter.weights.file import open_weights

    found = open_weights(file)
    tensors = [
        {"name": tensor.name, "dtype": tensor.dtype, "shape": list(tensor.shape)} for tensor in found.tensors.values()
    ]
    return {
        "file": file,
        "kind": found.kind,
        "opened": found.opened or None,
        "left_out": list(found.left_out),
        "tensors": tensors,
        "numbers": sum(tensor.count for tensor in found.tensors.values()),
    }


def _signature(function) -> str:
    parameters = _parameters(function)
    return f"({parameters})" if parameters else ""


def _parameters(function) -> str:
    parameters = inspect.signature(function).parameters.values()
    return str(inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters]))[1:-1]


def _columns(rows: list[tuple[str, str]]) -> str:
    """Return rows of a name and a text as click lays out its own: for a file or a pipe a line each, however long."""
    width = shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else sys.maxsize
    formatter = click.HelpFormatter(width=width)
    formatter.write_dl(rows, col_max=34)
    return formatter.getvalue().rstrip("\n")


def _literal(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
