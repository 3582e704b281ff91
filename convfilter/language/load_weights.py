"""Which tensors of a file belong to which layers of a pipeline: by their names, by the layers' numbers, or in order.

A state dict names a tensor by its module's name: ``features.0.weight`` is the weight of the first layer of
``features``. A pipeline that is a printed model knows these names; another one knows the numbers of its layers, which
are those of an ``nn.Sequential``. Where neither leads to all tensors that the layers need, the file's modules are taken
in order, each for the next layer whose tensors have the same shapes.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from convfilter.errors import UsageError, escape
from convfilter.language.arguments import from_file
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import give
from convfilter.weights.tensors import WeightsError

if TYPE_CHECKING:
    from convfilter.weights.file import WeightsFile

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A tensor that a layer needs, ``layer`` counted from 0, and the name of the file's tensor that it gets."""

    layer: int
    tensor: str
    shape: Shape
    name: str


@dataclass(frozen=True, slots=True)
class _Need:
    """A tensor that a layer needs."""

    layer: int
    tensor: str
    shape: Shape


def load_weights(
    pipeline: Pipeline, path: str, prefix: str | None = None, *, channels: int = 1
) -> tuple[Pipeline, tuple[Match, ...]]:
    """Return the pipeline with the weights of a file, and which of the file's tensors went where.

    What the pipeline's text gives itself stays, such as ``weight=[edge]``, and tensors that no layer needs are passed
    over. Lazy layers become those that they are for a picture of so many ``channels``. ``prefix`` is what stands before
    the layers' names in the file, such as ``features.``; None: it is found.

    Raises:
        WeightsError: the file cannot be read, or lacks a tensor, or one has another shape; lists names near to it.
        UsageError: no layer of the pipeline has weights that could be loaded.
    """
    from convfilter.weights.file import open_weights  # takes as long as all the rest of the language

    file = open_weights(path)
    layers = list(pipeline.materialize(channels).layers)
    needs = [
        _Need(number, name, shape)
        for number, layer in enumerate(layers)
        for name, shape in layer.effect.tensors
        if layer.arguments[name] in (None, True)
    ]
    if not needs:
        if pipeline.files:
            return pipeline, ()
        raise UsageError(f"--weights {escape(path)}: no layer of this pipeline has weights that could be loaded")
    matches = _match(pipeline, file, needs, prefix)
    for match in matches:
        if re.search(r"[\r\n]|'.*\"|\".*'", match.name):
            raise WeightsError(f"{escape(path)}: tensor {escape(match.name)} has a name that no pipeline can write")
        given = from_file(file, match.name)
        given.read()
        layers[match.layer] = give(layers[match.layer], {match.tensor: given})
    return replace(pipeline, layers=tuple(layers)), matches


def _match(pipeline: Pipeline, file: "WeightsFile", needs: list[_Need], prefix: str | None) -> tuple[Match, ...]:
    """Each need with its tensor; of the ways to find them, the first that finds all."""
    tried = []
    for ends in _ways(pipeline, needs):
        for before in [prefix] if prefix is not None else _prefixes(file, ends[0]):
            names = [before + end for end in ends]
            fits = [
                name in file.tensors and file.tensors[name].shape == need.shape
                for name, need in zip(names, needs, strict=True)
            ]
            if all(fits):
                return tuple(
                    Match(need.layer, need.tensor, need.shape, n) for n, need in zip(names, needs, strict=True)
                )
            tried.append((sum(name in file.tensors for name in names), names))
    in_order = _in_order(file, needs, prefix or "")
    if in_order:
        return in_order
    _, names = max(tried, key=lambda way: way[0])
    raise _missing(pipeline, file, needs, names)


def _ways(pipeline: Pipeline, needs: list[_Need]) -> Iterator[list[str]]:
    """What the needs would be called, without a prefix: by the layers' names in a model, and by their numbers."""
    paths = [pipeline.layers[need.layer].path for need in needs]
    if all(path is not None for path in paths):
        yield [f"{path}.{need.tensor}" for path, need in zip(paths, needs, strict=True)]
    yield [f"{need.layer}.{need.tensor}" for need in needs]


def _prefixes(file: "WeightsFile", end: str) -> list[str]:
    """What stands in the file before a name: nothing, or a module's name with its dot."""
    found = (name.removesuffix(end) for name in file.tensors if name.endswith(end))
    return ["", *(before for before in found if before.endswith("."))]


def _in_order(file: "WeightsFile", needs: list[_Need], prefix: str) -> tuple[Match, ...]:
    """The needs by the file's modules in order; empty where they do not meet."""
    modules: dict[str, dict[str, Shape]] = {}
    for name, tensor in file.tensors.items():
        if name.startswith(prefix):
            module, _, last = name.rpartition(".")
            modules.setdefault(module, {})[last] = tensor.shape
    order = sorted(modules, key=_natural) if file.kind == "safetensors" else list(modules)  # which sorts by type
    waiting = iter(order)
    matches: list[Match] = []
    for number in dict.fromkeys(need.layer for need in needs):
        wanted = {need.tensor: need.shape for need in needs if need.layer == number}
        module = next((path for path in waiting if _fits(modules[path], wanted)), None)
        if module is None:
            return ()
        dot = f"{module}." if module else ""
        matches += [Match(number, tensor, shape, dot + tensor) for tensor, shape in wanted.items()]
    return tuple(matches)


def _fits(module: dict[str, Shape], wanted: dict[str, Shape]) -> bool:
    """Whether a module has these tensors and no bias besides, which a layer without one would lack."""
    return wanted.items() <= module.items() and ("bias" in module) == ("bias" in wanted)


def _natural(name: str) -> list:
    """A key that sorts layer10 behind layer9."""
    return [(not part.isdigit(), int(part[:9]) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _missing(pipeline: Pipeline, file: "WeightsFile", needs: list[_Need], names: list[str]) -> WeightsError:
    """The error of the first need that has no tensor, or one of another shape."""
    shown: Callable[[_Need], str] = lambda need: f"layer {need.layer}, {pipeline.layers[need.layer].name}"  # noqa: E731
    for need, name in zip(needs, names, strict=True):
        if name not in file.tensors:
            return WeightsError(
                f"{escape(file.path)}: holds no tensor {escape(name)} of the shape {need.shape} for "
                f"{shown(need)}{file.hint(name, need.shape)}; --prefix says what stands before the layers' names"
            )
        if file.tensors[name].shape != need.shape:
            return WeightsError(
                f"{escape(file.path)}: {escape(name)} has the shape {file.tensors[name].shape}, and that of "
                f"{shown(need)} is {need.shape}"
            )
    raise AssertionError("each need has its tensor")


def write_matches(pipeline: Pipeline, matches: tuple[Match, ...]) -> Iterator[str]:
    """Yield a line for each tensor: the layer that got it, its name in the file, and its shape.

    >>> from convfilter.language.pipeline import parse
    >>> list(write_matches(parse("Conv2d(1, 2, 3)"), (Match(0, "bias", (2,), "features.0.bias"),)))
    ['layer 0, Conv2d: bias is features.0.bias (2,)']
    """
    for match in matches:
        name = pipeline.layers[match.layer].name
        yield f"layer {match.layer}, {name}: {match.tensor} is {escape(match.name)} {match.shape}"
