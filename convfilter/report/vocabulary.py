"""What an editor of pipelines must know: the layers with their arguments, the kernels of its menu, and the presets."""

from collections.abc import Iterator

import numpy as np

from convfilter.errors import PipelineError
from convfilter.language import grammar
from convfilter.language.arguments import Text, bind, kernel, signature, value
from convfilter.language.pipeline import Pipeline, parse
from convfilter.language.presets import PRESETS
from convfilter.language.resolve import Layer
from convfilter.layers.activations import WHY_CHANNELS
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.entry import Entry, Kernels
from convfilter.layers.kernels import KERNELS
from convfilter.layers.shapes import Window

MENU = {  # values of the kernels' arguments that a menu offers beside the defaults; those that do not fit are left out
    "size": (2, 3, 5, 7, 9),
    "sigma": (0.5, 1.5, 2, 3),
    "amount": (0.5, 2),
    "angle": (45, 90, 135),
    "theta": (45, 90, 135),
}
LARGEST = 19  # rows of a kernel that the menu offers besides the defaults
LIMITS = {  # what the elementwise layers refuse
    "CELU": {"alpha": {"not": 0}},
    **{name: {"p": {"from": 0, "to": 1}} for name in LAYERS if name.endswith(("Dropout", "Dropout2d", "Dropout3d"))},
    "GELU": {"approximate": {"choices": ["none", "tanh"]}},
    "Hardtanh": {
        "min_val": {"finite": False},
        "max_val": {"finite": False, "than": {"how": "above", "name": "min_val"}},
    },
    "PReLU": {"num_parameters": {"whole": True}},
    "RReLU": {"upper": {"than": {"how": "least", "name": "lower"}}},
    **{name: {"dim": {"why": why}} for name, why in WHY_CHANNELS.items()},
    "Softplus": {"beta": {"not": 0}},
    "Softshrink": {"lambd": {"least": 0}},
}  # fmt: skip


def write_vocabulary(pipeline: Pipeline) -> dict:
    """Return the layers, the kernels and the presets that the page's editor knows, in what JSON has.

    ``layers`` holds for each layer the ``kind`` of its arithmetic (as in ``Computes``), whether it
    ``keeps_scale``, the ``family`` it is listed
    with, its ``arguments`` in order (a name, the default where there is one, ``keyword`` where it has no place),
    ``rest`` (the name of ``*args``), whether it takes ``kernels`` by name, whether it is ``lazy``, as how many
    ``equal`` numbers one counts, its ``sentence`` and ``lesson``, an ``example``, the ``mode`` of a padding layer or of
    one that enlarges in one way, and the ``limits`` of its arguments, where these are numbers. ``kernels`` holds the
    ``signatures`` of all kernels, and those whose coefficients are ``known``: of each the text, the values of all its
    arguments, and its matrices. The menu's are among them, and those that the pipeline names.

    >>> from convfilter import parse
    >>> vocabulary = write_vocabulary(parse("blur(sigma=2.5)"))
    >>> vocabulary["layers"]["ReLU"]["kind"], vocabulary["presets"]["edge"]["text"]
    ('curve', 'Conv2d(1, 1, 5, bias=False, weight=[edge(5)])')
    >>> [kernel["text"] for kernel in vocabulary["kernels"]["known"] if kernel["values"] == [None, 2.5]]
    ['gaussian(sigma=2.5)']
    """
    known = {}
    for text in _menu():
        _know(text, known, LARGEST if "(" in text else None)
    for text in (given.text for layer in pipeline.layers for given in layer.kernels):
        _know(text, known)
    return {
        "layers": {name: _layer(entry) for name, entry in LAYERS.items()},
        "kernels": {
            "signatures": {name: {"arguments": _arguments(make)} for name, make in KERNELS.items()},
            "known": list(known.values()),
        },
        "presets": {name: {"text": str(parse(name)), "help": preset.help} for name, preset in PRESETS.items()},
    }


def _layer(entry: Entry) -> dict:
    expected = signature(entry.function)
    about = {
        "kind": entry.computes.value,
        "keeps_scale": entry.keeps_scale,
        "family": entry.function.__module__.rpartition(".")[2],
        "arguments": _arguments(entry.function),
        "sentence": entry.sentence,
        "lesson": entry.lesson,
        "example": entry.example,
    }
    if expected.rest:
        about["rest"] = expected.rest
    if expected.anything:
        about["anything"] = True
    if entry.kernels is Kernels.WEIGHT:
        about["kernels"] = True
    if entry.lazy:
        about["lazy"] = True
    if entry.equal_numbers:
        about["equal"] = dict(entry.equal_numbers)
    if "mode" in entry.printed_only:
        about["mode"] = entry.printed_only["mode"]
    if about["kind"] == "padding":
        about["mode"] = _mode(parse(entry.example).layers[0])
    if entry.name in LIMITS:
        about["limits"] = LIMITS[entry.name]
    return about


def _mode(layer: Layer) -> str:
    assert isinstance(layer.effect.rows, Window)
    return layer.effect.rows.mode


def _arguments(function) -> list[dict]:
    expected = signature(function)
    return [
        {
            "name": name,
            **({} if name in expected.required else {"default": default}),
            **({} if name in expected.positional else {"keyword": True}),
        }
        for name, default in expected.defaults.items()
    ]


def _menu() -> Iterator[str]:
    """The texts of the menu's kernels, some of which make no sense."""
    for name, make in KERNELS.items():
        yield name
        words = [
            f"{name}({argument}={value})" for argument in signature(make).defaults for value in MENU.get(argument, ())
        ]
        yield from (text for text in words if "theta" not in signature(make).defaults or "theta" in text)


def _know(text: str, known: dict, most: int | None = None) -> None:
    """Add a kernel with its coefficients, as short as 32-bit floats allow; nothing for what is no call that fits.

    ``most`` is the number of rows that it may have.
    """
    call = grammar.read_value(text)
    if not isinstance(call, grammar.Call):
        return
    if call.name == "flip":
        return _know(text[call.arguments[0].value.start : call.arguments[0].value.end], known)
    words, expected = Text(text), signature(KERNELS[call.name])
    try:
        found = kernel(words, call)
    except PipelineError:
        return
    if most is not None and len(found.matrices[0]) > most:
        return
    given = {name: value(words, argument.value) for name, argument in bind(words, call, expected).items()}
    values = [given.get(name, default) for name, default in expected.defaults.items()]
    matrices = [[[_shorten(number) for number in row] for row in matrix] for matrix in found.matrices]
    known.setdefault((call.name, *values), {"name": call.name, "text": text, "values": values, "matrices": matrices})


def _shorten(number: float) -> float:
    short = float(str(np.float32(number)))
    return int(short) if short.is_integer() else short
