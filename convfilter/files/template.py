"""The names of outputs: what a template may hold, and the path that it gives each output, short enough for any disk."""

import os
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from convfilter.errors import UsageError, did_you_mean, escape, shorten
from convfilter.files.labels import HASHED, SUFFIXES, hashed
from convfilter.files.paths import fold, to_file_name

FIELDS = ("stem", "filter", "channel", "ext", "frame", "step")
LONGEST = 255  # bytes of one name on nearly every file system
LONGEST_PATH = 1000  # bytes of a template's path: a quarter of what systems take, for there are folders above it
_LOOSE = re.compile(r"(\d+|grid)(_(\d+|grid))*")  # a filter's name that reads like what may follow it


@dataclass(frozen=True)
class Part:
    """What one output file holds: a frame of several, a step, and one channel of several (or "grid", the sheet).

    ``frames`` is how many frames the picture gives, ``of`` how many channels there are where this one comes from:
    numbers are padded with zeros to the width of the largest.

    >>> Part(channel=3, of=16)
    Part(channel=3, of=16, frame=0, frames=1, step='')
    """

    channel: int | str = 0
    of: int = 1
    frame: int = 0
    frames: int = 1
    step: str = ""


class NamedSource(Protocol):
    """What names are made of, of a source: see ``walk.Source``."""

    @property
    def folder(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def identity(self) -> str: ...
    @property
    def ext(self) -> str: ...


def check_template(
    template: str,
    *,
    several_sources: bool,
    several_channels: bool,
    several_layers: bool = False,
    frames: bool = False,
    steps: bool = False,
) -> None:
    """Return if the template can give every output its own name; UsageError says what is wrong with it.

    ``frames`` is true where all frames are taken, ``steps`` where {step} has a value. Fields are {stem}, {filter},
    {channel}, {ext}, {frame} and {step}; numbers take a width ({channel:03}); "/" makes sub-folders.

    >>> check_template("{stem}_{chanel}", several_sources=True, several_channels=True)
    Traceback (most recent call last):
    convfilter.errors.UsageError: --name: there is no field {chanel}; did you mean channel?
    """
    tokens = _parse(template)
    fields = {field for _, field, _ in tokens if field}
    needed = {"stem": several_sources, "channel": several_channels, "frame": frames, "step": several_layers}
    why = {"stem": "inputs", "channel": "channels", "frame": "frames", "step": "layers"}
    for field, need in needed.items():
        if need and field not in fields:
            several = f"there are several {why[field]}, and each would be written over the one before"
            raise UsageError(f"--name: '{shorten(template)}' needs {{{field}}}: {several}")
    if "step" in fields and not steps:
        raise UsageError("--name: {step} has a value only with --steps")
    _check_path(template, tokens)
    _check_gaps(tokens)


def name_outputs(
    source: NamedSource,
    parts: Sequence[Part],
    *,
    filter: str,
    template: str | None = None,
    suffix: str = ".png",
    is_input: Callable[[str], bool] = lambda path: False,
) -> list[str]:
    """Return the path of each part of one source's output, in the order of the parts.

    ``source`` has a ``folder`` (where its outputs go) and ``labels`` (what may stand for {stem}, the best first, the
    last one always free). The first label is taken whose paths are no input of this run. Without a template a name is
    {stem}_{filter}, then _{frame}, _{step} and _{channel} where there are several. UsageError where even
    the last label would replace an input, or where two parts would share a name.

    >>> from types import SimpleNamespace
    >>> photo = SimpleNamespace(folder="", labels=("photo", "photo.png"), identity="photo.png", ext="png")
    >>> name_outputs(photo, [Part(channel=9, of=12)], filter="compass")
    ['photo_compass_09.png']
    """
    for label in source.labels:
        paths = _fit(source, label, parts, filter, template, suffix)
        if len(set(map(fold, paths))) < len(paths):
            raise UsageError(f"--name: '{shorten(template or '')}' gives two outputs of one picture the same name")
        if not any(map(is_input, paths)):
            return paths
    raise UsageError(f"{escape(paths[0])} is an input and would be replaced; choose another --name or folder with -o")


def _parse(template: str) -> list[tuple[str, str, int]]:
    """Return the template as (text before, field or "", width of its number)."""
    try:
        pieces = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(f"--name: '{shorten(template)}': {error}; a brace itself is written {{{{ or }}}}") from None
    tokens = []
    for text, field, spec, conversion in pieces:
        if field is None:
            tokens.append((text, "", 0))
            continue
        if field not in FIELDS:
            known = did_you_mean(field, FIELDS) or "; there are " + ", ".join(f"{{{f}}}" for f in FIELDS)
            raise UsageError(f"--name: there is no field {{{shorten(field)}}}{known}")
        if conversion or (spec and not (field in ("channel", "frame") and re.fullmatch(r"0?\d?\d?d?", spec))):
            raise UsageError(f"--name: {{{field}}} takes only a width, such as {{channel:03}}")
        tokens.append((text, field, int(spec.rstrip("d") or 0) if spec else 0))
    return tokens


def _check_path(template: str, tokens: list[tuple[str, str, int]]) -> None:
    shown = "".join(text + ("x" if field else "") for text, field, _ in tokens)
    folders = re.split(r"[/\\]" if os.name == "nt" else "/", shown)
    if not shown or "\0" in shown:
        raise UsageError("--name: expected a name, such as {stem}_{filter}")
    if os.path.isabs(shown) or os.path.splitdrive(shown)[0] or shown[0] == "/" or ".." in folders:
        raise UsageError(f"--name: '{shorten(template)}' leaves the output's folder; say the folder with -o")
    if sum(min(len(os.fsencode(name)), LONGEST) + 1 for name in folders) > LONGEST_PATH:
        raise UsageError(f"--name: '{shorten(template)}' makes a path of more than {LONGEST_PATH} bytes; shorten it")
    if folders[-1] in ("", ".") or "" in folders:
        raise UsageError(f"--name: '{shorten(template)}' has an empty name in it")


def _check_gaps(tokens: list[tuple[str, str, int]]) -> None:
    """Refuse what would let two inputs share a name: a field of any width that runs into its neighbour."""
    before = ""
    for text, field, _ in tokens:
        pair = {before, field}
        gap = text if before else None
        if gap is not None and "stem" in pair and "frame" in pair and not re.search(r"\D", gap):
            raise UsageError("--name: put something between {stem} and {frame}, such as {stem}_{frame}")
        if gap is not None and "ext" in pair and field and not re.search(r"[\W_]", gap):
            raise UsageError(f"--name: put something between {{{before}}} and {{{field}}}, such as a dot")
        before = field or before


def _fit(
    source: NamedSource, label: str, parts: Sequence[Part], filter: str, template: str | None, suffix: str
) -> list[str]:
    """Return the paths with the label cut so far that every name in them fits."""
    paths = [_render(source, label, part, filter, template, suffix) for part in parts]
    excess = max((len(os.fsencode(name)) - LONGEST for path in paths for name in path.split("/")), default=0)
    if excess > 0:
        length = len(os.fsencode(label)) - excess - 13
        short = hashed(_cut(HASHED.sub("", label), length), source.identity) if length > 0 else label
        paths = [_render(source, short, part, filter, template, suffix) for part in parts]
        paths = ["/".join(map(_squeeze, path.split("/"))) for path in paths]
    return [os.path.join(source.folder, path) for path in paths]


def _render(source: NamedSource, label: str, part: Part, filter: str, template: str | None, suffix: str) -> str:
    filter = to_file_name(filter)
    if template is None:
        filter += "-" if _LOOSE.fullmatch(filter) else ""
        template = "{stem}_{filter}"
        template += "_{frame}" if part.frames > 1 else ""
        template += "_{step}" if part.step else ""
        template += "_{channel}" if part.of > 1 or part.channel == "grid" else ""
    values = {"stem": label, "filter": filter, "ext": source.ext, "step": part.step}
    name = ""
    for text, field, width in _parse(template.removesuffix(suffix)):
        name += text
        if field == "channel" and part.channel == "grid":
            name += "grid"
        elif field in ("channel", "frame"):
            number, of = (part.channel, part.of) if field == "channel" else (part.frame, part.frames)
            name += str(number).zfill(max(width, len(str(of - 1))))
        elif field:
            name += values[field]
    return "/".join(n if n not in ("", ".", "..") else "_" for n in name.split("/")) + suffix


def _squeeze(name: str) -> str:
    """Return a name that fits, whatever made it long."""
    if len(os.fsencode(name)) <= LONGEST:
        return name
    suffix = name[-4:] if name.endswith(SUFFIXES) else ""
    return hashed(_cut(name, LONGEST - 13 - len(suffix)), name) + suffix


def _cut(text: str, size: int) -> str:
    """Return the start of the text that takes at most ``size`` bytes, cut between characters."""
    while len(os.fsencode(text)) > size:
        text = text[: max(0, len(text) - max(1, (len(os.fsencode(text)) - size) // 4))]
    return text
