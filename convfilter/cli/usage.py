"""What is said of a command line that makes no sense: one line, and in it what to write instead."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence

import click

from convfilter.errors import UsageError, did_you_mean, escape, shorten, tidy
from convfilter.language.grammar import PICTURES
from convfilter.language.presets import PRESETS, Preset
from convfilter.language.resolve import CONVOLUTION_OPTIONS
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS
from convfilter.layers.other_names import HINTS

DASHES = "‐‑‒–—―−"  # which programs put in place of the - of an option
QUOTES = "“”„‟‘’‚‛«»"

# What learners call an option: the flag that they mean, one of several, or what else to do.
OTHER_FLAGS: Mapping[str, tuple[str, ...]] = {
    "kernel": ("--size",),
    "kernel-size": ("--size",),
    "ksize": ("--size",),
    "k": ("--size",),
    "radius": ("--sigma", "--size"),
    "strength": ("--amount", "--sigma"),
    "strides": ("--stride",),
    "pad": ("--padding",),
    "border": ("--padding-mode",),
    "overwrite": ("--force",),
    "resume": ("--skip-existing",),
    "continue": ("--skip-existing",),
    "color": ("--mode RGB",),
    "colour": ("--mode RGB",),
    "rgb": ("--mode RGB",),
    "gray": ("--mode L",),
    "grey": ("--mode L",),
    "silent": ("--quiet",),
    "out": ("--output",),
    "outdir": ("--output",),
    "output-dir": ("--output",),
    "threads": ("--jobs",),
    "workers": ("--jobs",),
    "parallel": ("--jobs",),
    "gpu": ("--device cuda",),
    "cuda": ("--device cuda",),
    "depth": ("--bits",),
    "normalise": ("--normalize", "--norm"),
    "normalization": ("--norm",),
    "channel": ("--channels",),
    "input": ("--image",),
    "picture": ("--image",),
    "grayscale": ("--mode L",),
    "greyscale": ("--mode L",),
    "display": ("--show",),
    "view": ("--show",),
    "save": ("--output",),
    "folder": ("--output",),
    "dir": ("--output",),
    "dest": ("--output",),
    "num-workers": ("--jobs",),
    "type": ("--format",),
    "ext": ("--format",),
    "suffix": ("--format",),
    "quality": ("--compress",),
    "model": ("--weights",),
    "checkpoint": ("--weights",),
    "layer": ("--until",),
    "activations": ("--steps",),
    "all-layers": ("--steps",),
    "montage": ("--grid",),
    "sheet": ("--grid",),
    "subfolders": ("--recursive",),
    "ignore": ("--exclude",),
    "pattern": ("--include",),
    "page": ("--frames",),
    "pages": ("--frames",),
    "alpha": ("--background",),
    "min": ("--vmin",),
    "max": ("--vmax",),
    "debug": ("--verbose",),
}

_PRESET_OPTIONS = {*CONVOLUTION_OPTIONS, *(name for preset in PRESETS.values() for name in preset.options)}


def explain_usage(error: click.UsageError) -> str:
    """Return an error of click's as one line: the command, what is wrong, and what to write."""
    ctx = error.ctx
    if isinstance(error, click.BadOptionUsage) and error.message.endswith("requires an argument."):
        return f"{error.option_name}: a value is missing after it"
    if ctx is None:
        return tidy(error.format_message())
    what = _say_what(error, ctx)
    path = ctx.command_path.partition(" ")[2]
    return f"{escape(path)}: {what}" if path else what


def _say_what(error: click.UsageError, ctx: click.Context) -> str:
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error.option_name, ctx)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return _missing(error.param, ctx)
    if isinstance(error, click.BadParameter) and error.param is not None:
        is_option = isinstance(error.param, click.Option)
        flag = f"{max(error.param.opts, key=len)}: " if is_option else ""
        return flag + tidy(error.message)
    message = tidy(error.message).rstrip(".")
    if isinstance(ctx.command, click.Group) and message.startswith("No such command"):
        message += f"; there are {', '.join(ctx.command.list_commands(ctx))}"
    if message.startswith("Got unexpected extra argument"):
        extra = message.partition("(")[2].rstrip(")")
        quotes = "; a pipeline with spaces or | stands in quotes" if _takes_pipeline(ctx) else ""
        return f"{extra} is one argument too many; it is written {write_usage(ctx)}{quotes}"
    return message[:1].lower() + message[1:]


def _unknown_option(flag: str, ctx: click.Context) -> str:
    known = {name for param in ctx.command.get_params(ctx) for name in param.opts if name.startswith("--")}
    word = flag.lstrip("-")
    meant = next((option for option in OTHER_FLAGS.get(word, ()) if option.split()[0] in known), None)
    hint = f"; did you mean {meant}?" if meant else ""
    if not meant and flag.startswith("--"):  # without the dashes, in which all are alike
        hint = did_you_mean(word, [name[2:] for name in known]).replace("mean ", "mean --")
        if not hint and _takes_pipeline(ctx) and word.replace("-", "_") in _PRESET_OPTIONS:
            hint = "; in a pipeline a preset's options stand in parentheses, such as 'blur(sigma=2)'"
    if any(mark in flag for mark in DASHES):
        return f"{escape(flag)} has a typographic dash; write --"
    if not hint and len(word) == 1:
        hint = "; a long option begins with two dashes"
    hint = hint or f"; '{ctx.command_path} --help' lists them"
    return f"there is no option {escape(shorten(flag))}{hint}"


def _missing(param: click.Parameter, ctx: click.Context) -> str:
    if isinstance(param, click.Option):
        name = f"{param.opts[0]} {param.metavar or 'VALUE'}"
        return f"{name} is missing; for example: {_example(ctx, param.opts)}"
    name = (param.make_metavar(ctx) or "").removesuffix("...")
    return f"{name} is missing; for example: {_example(ctx)}"


def explain_missing_input(ctx: click.Context) -> str:
    """Return what is said of a run without a picture."""
    quotes = "; a pipeline with a | stands in quotes" if _takes_pipeline(ctx) else ""
    return (
        f"{ctx.info_name}: INPUT is missing: a picture, a folder, or - for standard input; for example: "
        f"{_example(ctx)}{quotes}"
    )


def _example(ctx: click.Context, flags: Sequence[str] = ()) -> str:
    """The first of the examples in a command's help that has one of these options, if any are given."""
    lines = re.findall(r"^\s*(convfilter .*)$", ctx.command.help or "", re.MULTILINE)
    fitting = [line for line in lines if not flags or any(f" {flag} " in line for flag in flags)]
    return fitting[0] if fitting else write_usage(ctx)


def write_usage(ctx: click.Context) -> str:
    """Return how a command is written, without options."""
    pieces = [piece for piece in ctx.command.collect_usage_pieces(ctx) if piece != "[OPTIONS]"]
    return " ".join([ctx.command_path, *pieces])


def _takes_pipeline(ctx: click.Context) -> bool:
    return any(param.name in ("pipeline", "pipelines") for param in ctx.command.params)


def explain_unknown_command(words: Sequence[str], known: Sequence[str]) -> str:
    """Return what is said of a command line that begins with no command or preset."""
    word, others = words[0], list(words[1:])
    shown = shlex.quote(shorten(word, 100))
    picture = next((name for name in others if is_picture(name)), "photo.png")
    if is_picture(word) or os.path.isdir(word):
        what = "is a folder" if os.path.isdir(word) else "is a picture"
        preset = others[0] if others and others[0] in known else "edge"
        return f"{escape(word)} {what}; a preset or command comes first: convfilter {preset} {shown}"
    if any(mark in word for mark in "|(@"):
        command = f"convfilter run {shown} {shlex.quote(picture)}"
        return f"{escape(shorten(word))!r} is a pipeline and no command; try: {command}"
    name = word.replace("-", "_")
    layer = next((known_layer for known_layer in LAYERS if known_layer.lower() == name.lower()), None)
    if name in KERNELS or layer:
        example = LAYERS[layer].example if layer else name
        what = f"the layer {layer}" if layer else f"the kernel {name}"
        command = f"convfilter run {shlex.quote(example)} {shlex.quote(picture)}"
        return f"there is no command or preset {escape(word)!r}, but {what}; try: {command}"
    meant = {"version": "--version", "list": "presets", "filters": "presets", "presets-list": "presets", "man": "help"}
    if word in meant:
        return f"there is no command or preset {escape(word)!r}; try: convfilter {meant[word]}"
    in_pipeline = HINTS.get(name.lower(), "")
    hint = f"; in a pipeline, {in_pipeline}" if in_pipeline.startswith("write ") else did_you_mean(word, known)
    hint = hint or (f"; {in_pipeline}" if in_pipeline.startswith("PyTorch") else "; 'convfilter --help' lists them all")
    return f"there is no command or preset {escape(shorten(word, 100))!r}{hint}"


def is_picture(word: str) -> bool:
    """Return whether a word is the name of a picture: by its ending."""
    return word.lower().endswith(PICTURES) and not any(mark in word for mark in "|(@")


def check_pipeline(word: str, ctx: click.Context) -> None:
    """Refuse a picture in a pipeline's place.

    Raises:
        UsageError: it is one; says where it belongs.
    """
    if not is_picture(word):
        return
    forms = {
        "explain": "explain edge --image {}",
        "compare": "compare edge blur {}",
        "export": "export edge -o edge.onnx",
        "fit": "fit 'Conv2d(1, 1, 5)' {} after.png -o learned.safetensors",
    }
    form = forms.get(ctx.info_name or "", f"{ctx.info_name} edge {{}}").format(shlex.quote(word))
    order = "pipelines come first, and one picture last" if ctx.info_name == "compare" else "the pipeline comes first"
    raise UsageError(f"{ctx.info_name}: {escape(word)} is a picture, and {order}: convfilter {form}")


def check_inputs(ctx: click.Context, text: str, inputs: Sequence[str], presets: Mapping[str, Preset]) -> None:
    """Refuse inputs that are no files and were meant as something else.

    Raises:
        UsageError: one is a layer, a number, or an option with a typographic dash; says what to write.
    """
    name = ctx.info_name
    for word in inputs:
        if os.path.lexists(word):
            continue
        if word[:1] in DASHES and word:
            plain = "-" * (2 if len(word.lstrip(DASHES + "-")) > 1 else 1) + word.lstrip(DASHES + "-")
            raise UsageError(f"{name}: {escape(word)} begins with a typographic dash; write {escape(plain)}")
        if word[:1] in QUOTES and word:
            raise UsageError(f"{name}: {escape(word)} has typographic quotes; write ' or \" instead")
        if word == "|" or word.partition("(")[0] in {*LAYERS, *presets, *KERNELS}:
            first, second = (text if _takes_pipeline(ctx) else name), ("ReLU" if word == "|" else word)
            line = (
                f"convfilter {name if _takes_pipeline(ctx) else 'run'} {shlex.quote(f'{first} | {second}')} photo.png"
            )
            what = f"{name}: {escape(word)} is a part of a pipeline, which is one text: {line}"
            beside = f"convfilter compare {shlex.quote(first)} {shlex.quote(second)} photo.png"
            raise UsageError(f"{what}; or two pipelines side by side: {beside}")
        if re.fullmatch(r"\d+([.,]\d+)?", word) and name in presets and presets[name].options:
            option = next(iter(presets[name].options))
            line = f"convfilter {name} --{option.replace('_', '-')} {word} photo.png"
            raise UsageError(f"{name}: {word} is no picture; options have names: {line}")
