"""Bind the arguments of a call to a signature, and turn them into numbers, words and kernels."""

import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from convfilter.errors import PipelineError, did_you_mean, shorten
from convfilter.language.grammar import Argument, Call, Constant, File, Items
from convfilter.language.text_files import read_text
from convfilter.layers import kernels, matrices
from convfilter.layers.checks import LARGEST
from convfilter.layers.convolutions import Kernel
from convfilter.layers.shapes import count

LONGEST_KERNEL = 25_000_000  # characters of a kernel's file: 999x999 numbers with all their digits


@dataclass(frozen=True, slots=True)
class Text:
    """A text in which calls were read, the file that errors name, and the folder that ``@file`` in it starts from."""

    words: str
    file: str | None = None
    folder: str = ""

    def error(self, reason: str, node, end: int | None = None) -> PipelineError:
        return PipelineError(reason, self.words, node.start, node.end if end is None else end, file=self.file)

    def path(self, node: File) -> str:
        """Return where a file lies that is named in this text."""
        return os.path.join(self.folder, node.path)

    def read(self, node: File, most: int) -> str:
        """Return what a file holds that is named in this text."""
        try:
            return read_text(self.path(node), most)
        except ValueError as error:
            raise self.error(f"{shorten(node.path, 100)} {error}", node) from None


@dataclass(frozen=True, slots=True)
class Signature:
    """What may be given: ``positional`` without a name, ``defaults`` by name, ``*rest``, and ``**anything``."""

    positional: tuple[str, ...]
    defaults: Mapping[str, object]
    rest: str | None = None
    anything: bool = False
    required: tuple[str, ...] = ()


@cache
def signature(function: Callable) -> Signature:
    """Return the Signature of a function."""
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return Signature(
        tuple(p.name for p in named if p.kind is p.POSITIONAL_OR_KEYWORD),
        {p.name: p.default for p in named},
        next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None),
        any(p.kind is p.VAR_KEYWORD for p in parameters),
        tuple(p.name for p in named if p.default is p.empty),
    )


def bind(text: Text, call: Call, expected: Signature) -> dict[str, Argument | list[Argument]]:
    """Return the arguments of a call by the names they are for; a list for ``*args``.

    Raises:
        PipelineError: one is unknown, given twice, missing, or too many.
    """
    given: dict[str, Argument | list[Argument]] = {}
    named = False
    for number, argument in enumerate(call.arguments):
        name = argument.name
        if name is not None:
            named = True
            if name not in expected.defaults and not expected.anything:
                hint = did_you_mean(name, expected.defaults) or f"; it takes {', '.join(expected.defaults) or 'none'}"
                raise text.error(f"{call.name} has no argument {shorten(name)!r}{hint}", argument)
        elif named:
            raise text.error(f"{call.name}: an argument without a name must stand before those with one", argument)
        elif number < len(expected.positional):
            name = expected.positional[number]
        elif expected.rest:
            given.setdefault(expected.rest, []).append(argument)
            continue
        else:
            most = len(expected.positional)
            takes = f"at most {most} without a name" if most else "none without a name" if expected.defaults else "none"
            raise text.error(f"{call.name}: one argument too many; it takes {takes}", argument)
        if name in given:
            raise text.error(f"{call.name}: {name} is given twice", argument)
        given[name] = argument
    for name in expected.required:
        if name not in given:
            write = f"{call.name}({', '.join(expected.required)}{', ...' * (len(expected.defaults) > 1)})"
            raise text.error(f"{call.name}: {name} is missing; write {write}", call)
    return given


def value(text: Text, node) -> object:
    """Return the number, word, constant or tuple of them that a node writes."""
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Items):
        return tuple([value(text, one) for one in node.items])
    if isinstance(node, Call) and not node.called:
        return node.name  # a printed layer has padding=same, without quotes
    raise text.error("a call makes no sense here; expected a number, a word or a tuple", node)


def kernel(text: Text, node) -> Kernel:
    """Return the kernel that a node writes: a name, a call, rows of numbers, or a file of them."""
    if isinstance(node, File):
        try:
            return literal(kernels.parse_rows(text.read(node, LONGEST_KERNEL)))
        except ValueError as error:
            raise text.error(f"{shorten(node.path, 100)}: {error}", node) from None
    if isinstance(node, Items):
        return literal(_matrix(text, node))
    if not isinstance(node, Call):
        reason = "expected a kernel: a name such as sobel_x, a call such as gaussian(5), or rows [[0, 1], [1, 0]]"
        raise text.error(reason, node)
    if node.name == "flip":
        inner = kernel(text, bind(text, node, signature(kernels.flip))["kernel"].value)
        return Kernel(f"flip({inner.text})", tuple(map(kernels.flip, inner.matrices)))
    if node.name not in kernels.KERNELS:
        hint = did_you_mean(node.name, kernels.KERNELS) or "; 'convfilter kernels' lists them all"
        raise text.error(f"there is no kernel {shorten(node.name)!r}{hint}", node, node.name_end)
    given = bind(text, node, signature(kernels.KERNELS[node.name]))
    values = {name: value(text, argument.value) for name, argument in given.items()}
    try:
        found = _call(node.name, tuple(values.items()), tuple(map(type, values.values())))
    except ValueError as error:
        raise text.error(f"{node.name}: {error}", given.get(getattr(error, "argument", None), node)) from None
    words = [(f"{a.name}=" if a.name else "") + write(values[name]) for name, a in given.items()]
    return Kernel(f"{node.name}({', '.join(words)})" if words else node.name, found)


def several_kernels(text: Text, node) -> tuple[Kernel, ...]:
    """Return the kernels of ``weight=``: one, or a list of them."""
    nodes = node.items if isinstance(node, Items) and not _is_matrix(node) else [node]
    return tuple(kernel(text, one) for one in nodes)


def literal(rows) -> Kernel:
    """Return the kernel that these rows of numbers are."""
    words = "[" + ", ".join("[" + ", ".join(map(write, row)) + "]" for row in rows) + "]"
    return Kernel(words, (tuple(tuple(map(float, row)) for row in rows),))


def write(value) -> str:
    """Return a value as the language writes it, so that it reads back as an equal one.

    >>> write((1, 0.5, "same", None))
    "(1, 0.5, 'same', None)"
    """
    if isinstance(value, Kernel):
        return value.text
    if isinstance(value, tuple):
        words = ", ".join(map(write, value))
        if any(isinstance(one, Kernel) for one in value):
            return f"[{words}]"
        return f"({words},)" if len(value) == 1 else f"({words})"
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    return repr(value)


@lru_cache(maxsize=16)
def _call(name: str, values: tuple, types: tuple) -> tuple:
    # The types tell 1 from 1.0 and True, which are equal, and of which a kernel takes one alone.
    matrix = kernels.KERNELS[name](**dict(values))
    return matrix if kernels.is_bank(matrix) else (matrix,)


def _is_matrix(node: Items) -> bool:
    rows = [row for row in node.items if isinstance(row, Items)]
    return bool(rows) and all(not isinstance(cell, Items | Call | File) for row in rows for cell in row.items)


def _matrix(text: Text, node: Items) -> tuple[tuple, ...]:
    rows = []
    for row in node.items:
        if not isinstance(row, Items) or not row.items:
            raise text.error("expected a row of numbers, such as [0, 1, 0]", row)
        for cell in row.items:
            if not isinstance(cell, Constant) or isinstance(cell.value, bool | str | None):
                raise text.error("expected a number in the kernel's row", cell)
            if abs(cell.value) > LARGEST:
                raise text.error(f"no number of a kernel is larger than {LARGEST:g}", cell)
        rows.append(tuple(cell.value for cell in row.items))
        if len(rows[-1]) != len(rows[0]):
            raise text.error(f"this row has {count(len(rows[-1]), 'number')}, and the first one {len(rows[0])}", row)
    if not rows or max(len(rows), len(rows[0])) > matrices.LARGEST:
        raise text.error(f"a kernel has 1 to {matrices.LARGEST} rows and columns", node)
    return tuple(rows)
