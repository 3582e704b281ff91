"""Bind the arguments of a call to a signature, and turn them into numbers, words and kernels."""

import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

from convfilter.errors import PipelineError, did_you_mean, shorten
from convfilter.language.grammar import Argument, Call, Constant, File, Items
from convfilter.language.text_files import read_text
from convfilter.layers import kernels, matrices
from convfilter.layers.checks import LARGEST
from convfilter.layers.checks import hint as hint_for
from convfilter.layers.convolutions import Kernel
from convfilter.layers.given import Given
from convfilter.layers.other_names import ARGUMENTS
from convfilter.layers.shapes import count

LONGEST_KERNEL = 25_000_000  # characters of a kernel's file: 999x999 numbers with all their digits


@dataclass(frozen=True, slots=True)
class Text:
    """A text in which calls were read, the file that errors name, and the folder that ``@file`` in it starts from."""

    content: str
    file: str | None = None
    folder: str = ""

    def error(self, reason: str, node, end: int | None = None) -> PipelineError:
        return PipelineError(reason, self.content, node.start, node.end if end is None else end, file=self.file)

    def path(self, node: File) -> str:
        """Return where a file lies that is named in this text."""
        return os.path.join(self.folder, node.path)

    def weights(self, node: Constant, argument: str = "") -> Given:
        """Return what ``'FILE:NAME'`` stands for in this text; its shape is known, and its numbers are not read."""
        from convfilter.weights.file import PACKAGE, open_weights, split_name  # takes as long as the rest of it all
        from convfilter.weights.tensors import WeightsError

        path, name = split_name(node.value)
        path = path if path.startswith(PACKAGE) else os.path.join(self.folder, path)
        try:
            return from_file(open_weights(path), name)
        except WeightsError as error:
            word = not os.path.exists(path) and (node.value.isidentifier() or node.value[:1] in ("", ":"))
            hint = "; a kernel's name stands without quotes" if node.value in kernels.KERNELS else ""
            hint = hint or hint_for(node.value)
            reason = f"{node.value!r} names no weights; write 'FILE:NAME'{hint}" if word else str(error)
            raise self.error(f"{argument}: {reason}" if argument else reason, node) from None

    def read(self, node: File, most: int) -> str:
        """Return what a file holds that is named in this text."""
        try:
            return read_text(self.path(node), most)
        except ValueError as error:
            hint = "; 'convfilter help weights' says how weights in files are written" * ("text file" in str(error))
            raise self.error(f"{shorten(node.path, 100)} {error}{hint}", node) from None


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
                hint = did_you_mean(name, expected.defaults) or _other_name(name, expected)
                raise text.error(f"{call.name} has no argument {shorten(name)!r}{hint}", argument)
        elif named:
            hint = _split_number(call.arguments[number - 1], argument)
            reason = f"{call.name}: an argument without a name must stand before those with one"
            raise text.error(reason + hint, argument)
        elif number < len(expected.positional):
            name = expected.positional[number]
        elif expected.rest:
            given.setdefault(expected.rest, []).append(argument)
            continue
        else:
            most = len(expected.positional)
            takes = f"at most {most} without a name" if most else "none without a name" if expected.defaults else "none"
            hint = _split_number(call.arguments[number - 1], argument) if number else ""
            raise text.error(f"{call.name}: one argument too many; it takes {takes}{hint}", argument)
        if name in given:
            raise text.error(f"{call.name}: {name} is given twice", argument)
        given[name] = argument
    for name in expected.required:
        if name not in given:
            write = f"{call.name}({', '.join(expected.required)}{', ...' * (len(expected.defaults) > 1)})"
            raise text.error(f"{call.name}: {name} is missing; write {write}", call)
    return given


def _other_name(name: str, expected: Signature) -> str:
    """What to write for an argument that there is not: what it is called here, or all that there are."""
    found = ARGUMENTS.get(name.lower())
    meant = re.match(r"did you mean (\w+)", found or "")
    if found and (not meant or meant[1] in expected.defaults):
        return f"; {found}"
    return f"; it takes {', '.join(known for known in expected.defaults if known not in ('device', 'dtype')) or 'none'}"


def _split_number(before: Argument, argument: Argument) -> str:
    """What to write where a comma has cut a number or a pair: ``sigma=1,5`` and ``stride=2,2``."""
    values = [each.value.value for each in (before, argument) if isinstance(each.value, Constant)]
    if (
        len(values) < 2
        or any(type(value) is not int or value < 0 for value in values)
        or before.end + 1 != argument.start
    ):
        return ""
    first, second = values
    pair = f"a pair has parentheses, {before.name}=({first}, {second}), and " if before.name else ""
    return f"; {pair}a decimal number has a point: {first}.{second}"


def value(text: Text, node) -> object:
    """Return the number, word, constant or tuple of them that a node writes."""
    if isinstance(node, Constant):
        return node.value
    if isinstance(node, Items):
        return tuple([value(text, item) for item in node.items])
    if isinstance(node, Call) and not node.called:
        return node.name  # a printed layer has padding=same, without quotes
    raise text.error("a call makes no sense here; expected a number, a word or a tuple", node)


def kernel(text: Text, node) -> Kernel:
    """Return the kernel that a node writes: a name, a call, rows of numbers, or a file of them."""
    if isinstance(node, Constant) and isinstance(node.value, str):
        return _kernel_of(text, node, text.weights(node))
    if isinstance(node, File):
        if node.path.lower().endswith((".npy", ".npz", ".safetensors", ".pt", ".pth")):
            reason = (
                f"{shorten(node.path, 100)} holds no text; write it in quotes, without @: '{shorten(node.path, 100)}'"
            )
            raise text.error(reason, node)
        try:
            return literal(matrices.parse_rows(text.read(node, LONGEST_KERNEL)))
        except ValueError as error:
            raise text.error(f"{shorten(node.path, 100)}: {error}", node) from None
    if isinstance(node, Items):
        return literal(_matrix(text, node))
    if not isinstance(node, Call):
        reason = "expected a kernel: a name such as sobel_x, a call such as gaussian(5), or rows [[0, 1], [1, 0]]"
        raise text.error(reason, node)
    if node.name == "flip":
        inner = kernel(text, bind(text, node, signature(matrices.flip))["kernel"].value)
        return Kernel(f"flip({inner.text})", tuple(map(matrices.flip, inner.matrices)), inner.origin)
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


def weight(text: Text, node, argument: str) -> Given | tuple[Kernel, ...]:
    """Return what ``weight=`` gives a Conv2d: all its weights, or one kernel, or a list of them."""
    if isinstance(node, Constant) and isinstance(node.value, str):
        found = text.weights(node, argument)
        return found if len(found.shape) not in (2, 3) else (_kernel_of(text, node, found),)
    if isinstance(node, Items) and _depth(node) == 4:
        return tensor(text, node, argument)
    nodes = node.items if isinstance(node, Items) and not _is_matrix(node) else [node]
    return tuple(kernel(text, item) for item in nodes)


def tensor(text: Text, node, argument: str) -> Given:
    """Return a layer's weights as a node gives them: ``'FILE:NAME'``, or numbers, one bracket for each axis.

    ``argument`` is what errors say that they are for.
    """
    if isinstance(node, Constant) and isinstance(node.value, str):
        return text.weights(node, argument)
    if not isinstance(node, Items):
        raise text.error(f"{argument}: expected 'FILE:NAME', or a list of numbers", node)
    shape, flat = _shape(text, node), []
    _flatten(text, node, shape, flat)

    def read():
        from convfilter.weights.values import to_array

        return to_array(flat, shape)

    return Given(_write_nested(flat, shape), shape, read)


def from_file(file, name: str) -> Given:
    """Return the tensor of a name in a WeightsFile, as a pipeline gives it; WeightsError where there is none."""
    found = file.find(name)

    def read():
        from convfilter.weights.values import read_values

        return read_values(file, found)

    return Given(write(f"{file.path}:{name}" if name else file.path), found.shape, read, (file, found))


def _kernel_of(text: Text, node: Constant, found: Given) -> Kernel:
    """The kernel, or the bank of them, that lies in a file as an array of two or three axes."""
    if len(found.shape) not in (2, 3) or not 0 < max(found.shape[-2:]) <= matrices.LARGEST or 0 in found.shape:
        raise text.error(
            f"a kernel is an array of (height, width), or (kernels, height, width), of up to {matrices.LARGEST} rows "
            f"and columns, and this one has the shape {found.shape}",
            node,
        )
    rows = read_given(text, node, found).tolist()
    bank = rows if len(found.shape) == 3 else [rows]
    return Kernel(found.text, tuple(tuple(map(tuple, matrix)) for matrix in bank), found.origin)


def read_given(text: Text, node, given: Given):
    """Return the numbers of what a node gives."""
    from convfilter.weights.tensors import WeightsError

    try:
        return given.array
    except WeightsError as error:
        raise text.error(str(error), node) from None


def _depth(node) -> int:
    depth = 0
    while isinstance(node, Items) and node.items:
        node, depth = node.items[0], depth + 1
    return depth


def _shape(text: Text, node) -> tuple[int, ...]:
    """The shape that the first items of nested lists have."""
    shape = []
    while isinstance(node, Items):
        if not node.items:
            raise text.error("expected a number, or a list of them", node)
        shape.append(len(node.items))
        node = node.items[0]
    return tuple(shape)


def _flatten(text: Text, node, shape: tuple[int, ...], flat: list[float]) -> None:
    """Put the numbers of nested lists into ``flat``; all must have the shape of the first ones."""
    if not shape:
        if not isinstance(node, Constant) or isinstance(node.value, bool | str | None):
            raise text.error("expected a number", node)
        if not abs(node.value) <= LARGEST:
            raise text.error(f"no weight is larger than {LARGEST:g}", node)
        flat.append(float(node.value))
        return
    if not isinstance(node, Items) or len(node.items) != shape[0]:
        found = count(len(node.items), "item") if isinstance(node, Items) else "no list"
        raise text.error(
            f"expected a list of {count(shape[0], 'item')}, as its neighbour is, and this is {found}", node
        )
    for item in node.items:
        _flatten(text, item, shape[1:], flat)


def _write_nested(flat: list[float], shape: tuple[int, ...]) -> str:
    """The numbers as nested lists, as the language writes them."""
    parts = [write(_plain(number)) for number in flat]
    for n in reversed(shape):
        parts = [f"[{', '.join(parts[i : i + n])}]" for i in range(0, len(parts), n)]
    return parts[0]


def _plain(number: float) -> float | int:
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def literal(rows) -> Kernel:
    """Return the kernel that these rows of numbers are."""
    words = "[" + ", ".join("[" + ", ".join(map(write, row)) + "]" for row in rows) + "]"
    return Kernel(words, (tuple(tuple(map(float, row)) for row in rows),))


def write(value) -> str:
    """Return a value as the language writes it, so that it reads back as an equal one.

    >>> write((1, 0.5, "same", None))
    "(1, 0.5, 'same', None)"
    """
    if isinstance(value, Kernel | Given):
        return value.text
    if isinstance(value, tuple):
        words = ", ".join(map(write, value))
        if any(isinstance(item, Kernel) for item in value):
            return f"[{words}]"
        return f"({words},)" if len(value) == 1 else f"({words})"
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    return repr(value)


@lru_cache(maxsize=16)
def _call(name: str, values: tuple, types: tuple) -> tuple:
    # The types tell 1 from 1.0 and True, which are equal, and of which a kernel takes one alone.
    matrix = kernels.KERNELS[name](**dict(values))
    return matrix if matrices.is_bank(matrix) else (matrix,)


def _is_matrix(node: Items) -> bool:
    rows = [row for row in node.items if isinstance(row, Items)]
    return bool(rows) and all(not isinstance(cell, Items | Call | File) for row in rows for cell in row.items)


def _matrix(text: Text, node: Items) -> tuple[tuple, ...]:
    rows = []
    for row in node.items:
        if not isinstance(row, Items) or not row.items:
            words = "expected a row of numbers, such as [0, 1, 0]"
            whole = isinstance(row, Constant) and not isinstance(row.value, bool | str | None)
            if all(isinstance(item, Call) for item in node.items):
                words = (
                    "expected a kernel's rows; several kernels are separated by commas, without brackets around them"
                )
            raise text.error(words + "; a kernel of one row is written [[0, 1, 0]]" * whole, row)
        for cell in row.items:
            if not isinstance(cell, Constant) or isinstance(cell.value, bool | str | None):
                deep = (
                    "; a kernel has two pairs of brackets, all weights of a layer four: see 'convfilter help weights'"
                )
                words = "expected a number in the kernel's row"
                raise text.error(words + deep * isinstance(cell, Items), cell)
            if abs(cell.value) > LARGEST:
                raise text.error(f"no number of a kernel is larger than {LARGEST:g}", cell)
        rows.append(tuple(cell.value for cell in row.items))
        if len(rows[-1]) != len(rows[0]):
            here, first = count(len(rows[-1]), "number"), len(rows[0])
            raise text.error(f"a kernel's rows are equally long; this one has {here}, and the first one {first}", row)
    if not rows or max(len(rows), len(rows[0])) > matrices.LARGEST:
        raise text.error(f"a kernel has 1 to {matrices.LARGEST} rows and columns", node)
    return tuple(rows)
