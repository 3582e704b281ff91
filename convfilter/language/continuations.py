"""What a shell can complete at the end of an unfinished pipeline: names of layers, presets, kernels and arguments."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from convfilter.language.arguments import signature
from convfilter.language.presets import PRESETS, Preset
from convfilter.language.resolve import CONVOLUTION_OPTIONS, takes_convolution_options
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.entry import Kernels
from convfilter.layers.kernels import KERNELS

_TOKEN = re.compile(r"""'[^']*'?|"[^"]*"?|\#[^\n]*|[\w.]+|@[^\s|,()\[\]]*|.""", re.DOTALL)
_HOLDERS = ("Sequential", "OrderedDict")
_OPENING, _CLOSING = "([", ")]"


def complete_pipeline(text: str, presets: Mapping[str, Preset] = PRESETS) -> list[str]:
    """Return the texts that the last word of an unfinished pipeline may become, each with all that stands before it.

    A word that no name begins with as it is written is taken without regard to capitals. After ``@`` stand files.

    >>> complete_pipeline("edge | Max"), complete_pipeline("Conv2d(1, 8, 3, pad")
    (['edge | MaxPool2d'], ['Conv2d(1, 8, 3, padding=', 'Conv2d(1, 8, 3, padding_mode='])
    >>> complete_pipeline("Conv2d(1, 2, 3, weight=[sobel_"), complete_pipeline("relu")
    (['Conv2d(1, 2, 3, weight=[sobel_x', 'Conv2d(1, 2, 3, weight=[sobel_y'], ['ReLU', 'ReLU6'])
    """
    tokens = _TOKEN.findall(text)
    word = tokens.pop() if tokens and re.match(r"[\w.@]", tokens[-1]) else ""
    if tokens and tokens[-1][0] in "'\"#" and (len(tokens[-1]) == 1 or tokens[-1][-1] != tokens[-1][0]):
        return []  # inside a string or a comment
    word = re.sub(r"^(torch\.)?nn\.", "", word)
    before = text[: len(text) - len(word)]
    if word.startswith("@"):
        return [f"{before}@{path}" for path in _paths(word[1:])]
    known = list(_expected([token for token in tokens if not token.isspace()], presets))
    found = [name for name in known if name.startswith(word)]
    found = found or [name for name in known if name.lower().startswith(word.lower())]
    return [before + name for name in dict.fromkeys(found)]


def _expected(tokens: list[str], presets: Mapping[str, Preset]) -> Iterable[str]:
    """The names that may stand after these tokens."""
    calls: list[tuple[str, str | None]] = []  # what stands before each open bracket, and the argument that it is in
    argument = None
    for place, token in enumerate(tokens):
        if token in _OPENING:
            calls.append((tokens[place - 1] if place else "", argument))
            argument = None if token == "(" else argument
        elif token in _CLOSING:
            argument = calls.pop()[1] if calls else None
        elif token == "=":
            argument = tokens[place - 1]
        elif token == "," and not (calls and calls[-1][0] == "="):  # inside a list that is an argument's value
            argument = None
    last = tokens[-1] if tokens else "|"
    names = [name for name, _ in calls if re.match(r"\w", name)]
    if not names:
        return [*LAYERS, *presets, *KERNELS] if last == "|" else []
    name = names[-1].split(".")[-1]
    if argument is not None:
        return _values(name, argument)
    begins = last in ("(", ",", "[") and (calls[-1][0] == names[-1] or name in _HOLDERS)
    return _arguments(name, presets) if begins else []


def _values(name: str, argument: str) -> Iterator[str]:
    """The names that an argument may have as its value."""
    if argument in ("weight", "kernel"):
        yield from (*KERNELS, "flip")
    elif name in LAYERS and isinstance(signature(LAYERS[name].function).defaults.get(argument), bool):
        yield from ("True", "False")


def _arguments(name: str, presets: Mapping[str, Preset]) -> Iterator[str]:
    """What may begin an argument of a call: the names of arguments, kernels, and layers in a Sequential."""
    if name in _HOLDERS:
        yield from LAYERS
    elif name in LAYERS:
        if LAYERS[name].kernels is Kernels.EACH_CHANNEL:
            yield from (*KERNELS, "flip")
        yield from (f"{argument}=" for argument in signature(LAYERS[name].function).defaults)
    elif name in presets:
        extra = CONVOLUTION_OPTIONS if takes_convolution_options(presets[name]) else ()
        yield from (f"{option}=" for option in dict.fromkeys([*presets[name].options, *extra]))
    elif name == "flip":
        yield from KERNELS
    if name in KERNELS:
        yield from (f"{argument}=" for argument in signature(KERNELS[name]).defaults)


def _paths(begun: str) -> Iterator[str]:
    """The files and folders whose paths begin so, folders with a slash."""
    folder, name = os.path.split(begun)
    try:
        entries = sorted(os.listdir(folder or os.curdir))
    except OSError:
        return
    for entry in entries:
        path = os.path.join(folder, entry)
        if (
            entry.startswith(name)
            and not (entry.startswith(".") and not name)
            and re.fullmatch(r"[^\s|,()\[\]]+", path)
        ):
            yield path + os.sep * os.path.isdir(path)
