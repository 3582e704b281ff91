"""Look up every name of a pipeline's text: layers, presets and kernels, with their arguments bound and checked."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

from convfilter import grammar, kernels
from convfilter.checks import ArgumentError
from convfilter.effects import Effect
from convfilter.errors import PipelineError, did_you_mean, shorten
from convfilter.grammar import Call, Constant, File, Items
from convfilter.layers import LAYERS, Kernel
from convfilter.presets import PRESETS, Preset

CONVOLUTION_OPTIONS = ("stride", "padding", "padding_mode", "dilation")  # what presets of one convolution also take


@dataclass(frozen=True)
class Place:
    """Where a layer stands in the user's text, for the caret of an error."""

    text: str
    start: int
    end: int
    file: str | None = None

    def error(self, reason: str) -> PipelineError:
        return PipelineError(reason, self.text, self.start, self.end, file=self.file)


@dataclass(frozen=True)
class Layer:
    """One layer: its name and arguments (those that are not PyTorch's defaults), what it does, and where it stands."""

    name: str
    args: tuple
    kwargs: tuple[tuple[str, object], ...]
    effect: Effect = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)

    def __str__(self) -> str:
        """Return the constructor call, as PyTorch writes it."""
        words = [_write(value) for value in self.args] + [f"{name}={_write(value)}" for name, value in self.kwargs]
        return f"{self.name}({', '.join(words)})"

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that the text names, in order."""
        if self.name == "Filter2d":
            return self.args
        return dict(self.kwargs).get("weight", ())


def look_up(calls: list[Call | File], text: str, presets: Mapping[str, Preset] = PRESETS) -> Iterator[Layer]:
    """Yield the layers of the calls that were read from a text, each checked by itself.

    Raises:
        PipelineError: a name or an argument is wrong; shows the place, and says what would fit.

    >>> text = "sobel_x | ReLU(inplace=False)"
    >>> [str(layer) for layer in look_up(grammar.read(text), text)]
    ['Filter2d(sobel_x)', 'ReLU()']
    """
    return _Meaning(text, presets).layers(calls)


def takes_convolution_options(preset: Preset) -> bool:
    """Return whether a preset is one convolution, so that it also takes CONVOLUTION_OPTIONS."""
    calls = grammar.read(preset.write({}))
    return len(calls) == 1 and isinstance(calls[0], Call) and calls[0].name in ("Conv2d", "Filter2d")


class _Meaning:
    """One text with its names looked up; ``outer`` are the files and presets that it was reached through."""

    def __init__(self, text: str, presets, file: str | None = None, outer: tuple[str, ...] = ()) -> None:
        self.text, self.presets, self.file, self.outer = text, presets, file, outer

    def error(self, reason: str, node, end: int | None = None) -> PipelineError:
        return PipelineError(reason, self.text, node.start, node.end if end is None else end, file=self.file)

    def layers(self, calls) -> Iterator[Layer]:
        for call in calls:
            if isinstance(call, File):
                yield from self.inside(call, self.read_file(call), call.path)
            elif call.name in LAYERS:
                yield self.layer(call)
            elif call.name in self.presets:
                yield from self.preset(call)
            elif call.name in kernels.KERNELS or call.name == "flip":
                yield self.make("Filter2d", (self.kernel(call),), {}, call, {})
            else:
                raise self.unknown(call)

    def inside(self, call, text: str, name: str) -> Iterator[Layer]:
        if name in self.outer or len(self.outer) > 20:
            raise self.error(f"{shorten(name)} stands for itself here, without an end", call)
        yield from self.read(text, name, (*self.outer, name))

    def read(self, text: str, file: str, outer: tuple[str, ...]) -> Iterator[Layer]:
        return _Meaning(text, self.presets, file, outer).layers(grammar.read(text, file=file))

    def unknown(self, call: Call) -> PipelineError:
        if call.name == "BatchNorm2d":
            return self.error(
                "BatchNorm2d says nothing without loaded weights; try InstanceNorm2d", call, call.name_end
            )
        known = did_you_mean(call.name, [*LAYERS, *self.presets, *kernels.KERNELS])
        hint = known or "; 'convfilter layers' lists them all"
        reason = f"there is no layer, preset or kernel {shorten(call.name)!r}{hint}"
        return self.error(reason, call, call.name_end)

    def layer(self, call: Call) -> Layer:
        given, nodes = self.bind(call, LAYERS[call.name])
        kernels_in = {"Conv2d": "weight", "Filter2d": "kernel"}.get(call.name)
        values = {}
        for name, node in given.items():
            if name == kernels_in and not (isinstance(node, Constant) and node.value is None):
                values[name] = tuple(
                    self.kernel(one) for one in (node if isinstance(node, list) else self.several(node))
                )
            else:
                values[name] = tuple(map(self.value, node)) if isinstance(node, list) else self.value(node)
        args = []
        for parameter in _parameters(LAYERS[call.name]):
            if parameter.kind is parameter.VAR_POSITIONAL:
                args.extend(values.pop(parameter.name, ()))
            elif parameter.default is parameter.empty and parameter.name in values:
                args.append(values.pop(parameter.name))
            elif parameter.name in values and _same(values[parameter.name], parameter.default):
                del values[parameter.name]
        return self.make(call.name, tuple(args), values, call, nodes)

    def make(self, name: str, args: tuple, kwargs: dict, call: Call, nodes: Mapping) -> Layer:
        try:
            effect = LAYERS[name](*args, **kwargs)
        except ArgumentError as error:
            node = nodes.get(error.argument, call)
            raise self.error(f"{name}: {error}", node) from None
        return Layer(name, args, tuple(kwargs.items()), effect, Place(self.text, call.start, call.end, self.file))

    def bind(self, call: Call, function) -> tuple[dict, dict]:
        """The argument nodes by parameter name (a list for ``*args``), and where each was written."""
        parameters = _parameters(function)
        by_name = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        given, nodes, keyword = {}, {}, False
        for number, argument in enumerate(call.arguments):
            if argument.name is None:
                if keyword:
                    raise self.error("a positional argument must stand before those with a name", argument)
                if number < len(positional):
                    name = positional[number]
                elif rest:
                    given.setdefault(rest, []).append(argument.value)
                    nodes.setdefault(rest, argument)
                    continue
                else:
                    most = f"takes at most {len(positional)} of them" if positional else "takes no arguments"
                    raise self.error(f"{call.name}: one argument too many; it {most}", argument)
            else:
                name, keyword = argument.name, True
                if name not in by_name and not anything:
                    hint = did_you_mean(name, by_name) or f"; it takes {', '.join(by_name) or 'none'}"
                    raise self.error(f"{call.name} has no argument {shorten(name)!r}{hint}", argument)
            if name in given:
                raise self.error(f"{call.name}: {name} is given twice", argument)
            given[name], nodes[name] = argument.value, argument
        for parameter in by_name.values():
            if parameter.default is parameter.empty and parameter.name not in given:
                hint = f"; write {_signature(call.name, parameters)}" if len(call.name) < 40 else ""
                raise self.error(f"{call.name}: {parameter.name} is missing{hint}", call)
        return given, nodes

    def value(self, node) -> object:
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Items):
            return tuple(map(self.value, node.items))
        if isinstance(node, Call) and not node.called:
            return node.name  # a printed layer has padding=same, without quotes
        raise self.error("a kernel makes no sense here; expected a number, a word or a tuple", node)

    def several(self, node) -> list:
        """The kernels of ``weight=``: one, or a list of them."""
        if isinstance(node, Items) and not _is_matrix(node):
            return list(node.items)
        return [node]

    def kernel(self, node) -> Kernel:
        if isinstance(node, File):
            return _literal(self.rows(node))
        if isinstance(node, Items):
            return _literal(self.matrix(node))
        if not isinstance(node, Call):
            raise self.error(
                "expected a kernel: a name such as sobel_x, gaussian(5), or rows of numbers [[..], [..]]", node
            )
        if node.name == "flip":
            given, _ = self.bind(node, kernels.flip)
            inner = self.kernel(given["kernel"])
            return Kernel(f"flip({inner.text})", tuple(map(kernels.flip, inner.matrices)))
        if node.name not in kernels.KERNELS:
            hint = did_you_mean(node.name, kernels.KERNELS) or "; 'convfilter kernels' lists them all"
            raise self.error(f"there is no kernel {shorten(node.name)!r}{hint}", node, node.name_end)
        given, nodes = self.bind(node, kernels.KERNELS[node.name])
        values = {name: self.value(one) for name, one in given.items()}
        try:
            matrices = _matrices(node.name, tuple(values.items()))
        except ValueError as error:
            argument = next((nodes[name] for name in nodes if str(error).startswith(name)), node)
            raise self.error(f"{node.name}: {error}", argument) from None
        words = [
            _write(self.value(a.value)) if a.name is None else f"{a.name}={_write(self.value(a.value))}"
            for a in node.arguments
        ]
        return Kernel(f"{node.name}({', '.join(words)})" if words else node.name, matrices)

    def matrix(self, node: Items) -> tuple[tuple, ...]:
        rows = []
        for row in node.items:
            if not isinstance(row, Items) or not row.items:
                raise self.error("expected a row of numbers, such as [0, 1, 0]", row)
            for cell in row.items:
                if not isinstance(cell, Constant) or isinstance(cell.value, bool | str | None):
                    raise self.error("expected a number in the kernel's row", cell)
            rows.append(tuple(cell.value for cell in row.items))
            if len(rows[-1]) != len(rows[0]):
                raise self.error(f"this row has {len(rows[-1])} numbers, and the first one {len(rows[0])}", row)
        if not rows or max(len(rows), len(rows[0])) > kernels.LARGEST:
            raise self.error(f"a kernel has 1 to {kernels.LARGEST} rows and columns", node)
        return tuple(rows)

    def rows(self, node: File) -> tuple[tuple, ...]:
        try:
            return kernels.parse_rows(self.read_file(node))
        except ValueError as error:
            raise self.error(f"{shorten(node.path, 100)}: {error}", node) from None

    def read_file(self, node: File) -> str:
        try:
            with Path(node.path).open(encoding="utf-8") as file:
                return file.read(grammar.LONGEST + 1)
        except UnicodeDecodeError:
            raise self.error(f"{shorten(node.path, 100)} is no text (UTF-8)", node) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self.error(f"{shorten(node.path, 100)} cannot be read: {reason}", node) from None

    def preset(self, call: Call) -> Iterator[Layer]:
        preset = self.presets[call.name]
        extra = CONVOLUTION_OPTIONS if call.called and takes_convolution_options(preset) else ()
        written, over = {}, []
        names = [*preset.options, *extra]
        for number, argument in enumerate(call.arguments):
            name = argument.name or (list(preset.options)[number] if number < len(preset.options) else None)
            if name not in names:
                hint = did_you_mean(name or "", names) or f"; it takes {', '.join(names) or 'none'}"
                raise self.error(f"the preset {call.name} has no such option{hint}", argument)
            if name in written or name in [one.name for one in over]:
                raise self.error(f"{call.name}: {name} is given twice", argument)
            if name in preset.options:
                written[name] = self.text[argument.value.start : argument.value.end]
            else:
                over.append(argument)
        layers = list(self.inside(call, preset.write(written), f"preset {call.name}"))
        if over:  # one convolution: the options become its arguments, and replace those that it has
            inner = grammar.read(str(layers[0]))[0]
            kept = tuple(a for a in inner.arguments if a.name not in {one.name for one in over})
            words = ", ".join(
                [str(layers[0])[a.start : a.end] for a in kept] + [self.text[a.start : a.end] for a in over]
            )
            layers = list(self.read(f"{layers[0].name}({words})", f"preset {call.name}", self.outer))
        place = Place(self.text, call.start, call.end, self.file)
        return iter([Layer(one.name, one.args, one.kwargs, one.effect, place) for one in layers])


@cache
def _parameters(function) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(function).parameters.values())


@lru_cache(maxsize=64)
def _matrices(name: str, values: tuple) -> tuple:
    matrix = kernels.KERNELS[name](**dict(values))
    return matrix if kernels.is_bank(matrix) else (matrix,)


def _signature(name: str, parameters) -> str:
    return f"{name}({', '.join(str(p).split(':')[0] for p in parameters if p.default is p.empty)}, ...)"


def _is_matrix(node: Items) -> bool:
    rows = [row for row in node.items if isinstance(row, Items)]
    return bool(rows) and all(not isinstance(cell, Items | Call | File) for row in rows for cell in row.items)


def _literal(rows) -> Kernel:
    text = "[" + ", ".join("[" + ", ".join(map(_write, row)) + "]" for row in rows) + "]"
    return Kernel(text, (tuple(tuple(map(float, row)) for row in rows),))


def _same(value, default) -> bool:
    return type(value) is type(default) and value == default


def _write(value) -> str:
    if isinstance(value, Kernel):
        return value.text
    if isinstance(value, tuple):
        words = ", ".join(map(_write, value))
        if any(isinstance(one, Kernel) for one in value):
            return f"[{words}]"
        return f"({words},)" if len(value) == 1 else f"({words})"
    return repr(value)
