"""Look up every name of a pipeline's text: layers, presets and kernels, with their arguments bound and checked."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import groupby
from types import MappingProxyType

from convfilter.errors import PipelineError, did_you_mean, shorten
from convfilter.language import grammar
from convfilter.language.arguments import (
    Signature,
    Text,
    bind,
    kernel,
    read_given,
    signature,
    tensor,
    value,
    weight,
    write,
)
from convfilter.language.grammar import PICTURES, Argument, Call, Constant, File, Items
from convfilter.language.presets import PRESETS, Preset
from convfilter.layers import kernels
from convfilter.layers.catalogue import LAYERS, REFUSED
from convfilter.layers.checks import ArgumentError
from convfilter.layers.convolutions import Kernel
from convfilter.layers.entry import Computes, Draws, Entry, Kernels
from convfilter.layers.given import TENSORS, Given
from convfilter.layers.other_names import HINTS
from convfilter.layers.shapes import Effect

CONVOLUTION_OPTIONS = ("stride", "padding", "padding_mode", "dilation")  # what presets of one convolution also take
MOST_LAYERS = 50_000
DEEPEST = 20  # files and presets inside each other
_CHOSEN_OUTSIDE = ("device", "dtype")  # arguments that are checked, and mean nothing inside a pipeline
FLATTENED = ("Flatten", "Linear", "Bilinear", "LazyLinear")  # what gives or takes vectors, and no image
DROPOUT = ("Dropout", "Dropout1d", "AlphaDropout", "FeatureAlphaDropout")


@dataclass(frozen=True, slots=True)
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
    """One layer: its name and arguments (those that are not PyTorch's defaults), what it does, and where it stands.

    ``path`` is its name inside the model that the text writes, such as ``features.0``, and None outside of one;
    ``notes`` say what a user should know of how the text was taken.
    """

    name: str
    args: tuple
    kwargs: tuple[tuple[str, object], ...]
    effect: Effect = field(compare=False, repr=False)
    place: Place = field(compare=False, repr=False)
    path: str | None = field(default=None, compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def __str__(self) -> str:
        """Return the constructor call, as PyTorch writes it."""
        words = [write(value) for value in self.args] + [f"{name}={write(value)}" for name, value in self.kwargs]
        return f"{self.name}({', '.join(words)})"

    @property
    def entry(self) -> Entry:
        """All that is known of layers of this kind."""
        return LAYERS[self.name]

    @cached_property
    def arguments(self) -> dict[str, object]:
        """All arguments by their names, PyTorch's defaults too; those of ``*args`` are one tuple."""
        expected = signature(self.entry.function)
        if expected.rest:
            return {**expected.defaults, expected.rest: self.args, **dict(self.kwargs)}
        names = (*expected.required, *expected.positional)  # those that are required stand first, without a name
        return {**expected.defaults, **dict(zip(names, self.args, strict=False)), **dict(self.kwargs)}

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """The kernels that the text names, in order."""
        if self.entry.kernels is Kernels.EACH_CHANNEL:
            return self.args
        weight = dict(self.kwargs).get("weight", ()) if self.entry.kernels is Kernels.WEIGHT else ()
        return () if isinstance(weight, Given) else weight

    @property
    def given(self) -> dict[str, Given]:
        """The tensors that the text gives as a whole, by their names in PyTorch."""
        return {name: value for name, value in self.kwargs if isinstance(value, Given)}

    @property
    def sums_colours(self) -> bool:
        """Whether its kernels for red, green and blue are added up, so that it takes gray: ``Pipeline.for_gray``."""
        return self.effect.in_channels == 1 and self.arguments.get("in_channels") == 3

    @property
    def is_untrained(self) -> bool:
        """Whether the layer normalises by what training has kept, and nothing is kept yet."""
        return bool(self.arguments.get("track_running_stats")) and "running_mean" not in self.given

    def constructor(self, channels: int) -> tuple[tuple, tuple[tuple[str, object], ...]]:
        """Return the arguments that make the layer's module for so many input channels: without names, and with them.

        >>> [layer] = look_up(grammar.read("LazyConv2d(8, 3)"), "LazyConv2d(8, 3)")
        >>> layer.constructor(4)
        ((4, 8, 3), ())
        """
        if not self.entry.lazy:
            return self.args, self.kwargs
        first = signature(LAYERS[self.entry.module].function).positional[0]
        given = {name: value for name, value in self.arguments.items() if name not in _CHOSEN_OUTSIDE}
        return _canonical(self.entry.module, (), {first: channels, **given})

    @property
    def draws(self) -> Draws:
        """What the layer draws from the random numbers that the seed fixes."""
        return self.entry.draws(self.arguments)


def look_up(calls: Iterable[Call | File], text: str, presets: Mapping[str, Preset] = PRESETS) -> Iterator[Layer]:
    """Yield the layers of the calls that were read from a text, each checked by itself.

    Raises:
        PipelineError: a name or an argument is wrong; shows the place, and says what would fit.

    >>> text = "sobel_x | ReLU(inplace=False)"
    >>> [str(layer) for layer in look_up(grammar.read(text), text)]
    ['Filter2d(sobel_x)', 'ReLU()']
    """
    for number, layer in enumerate(_Resolver(Text(text), presets).layers(calls)):
        if number == MOST_LAYERS:
            raise layer.place.error(f"a pipeline has at most {MOST_LAYERS:,} layers, and this is one too many")
        yield layer


def give(layer: Layer, tensors: Mapping[str, Given]) -> Layer:
    """Return the layer with tensors given as a whole, whose shapes are those that it has.

    >>> layer = next(look_up(grammar.read("Conv2d(1, 1, 2)"), "Conv2d(1, 1, 2)"))
    >>> print(give(layer, {"bias": Given("'w.npz:b'", (1,), list)}))
    Conv2d(1, 1, 2, bias='w.npz:b')
    """
    values = layer.arguments | tensors
    effect = layer.entry.function(**values)
    args, kwargs = _canonical(layer.name, (), values)
    return replace(layer, args=args, kwargs=kwargs, effect=effect)


def materialize(layer: Layer, channels: int) -> Layer:
    """Return a lazy layer as the one that it is for so many input channels; any other as it is.

    >>> [layer] = look_up(grammar.read("LazyConv2d(8, 3)"), "LazyConv2d(8, 3)")
    >>> print(materialize(layer, 4))
    Conv2d(4, 8, 3)
    """
    if not layer.entry.lazy:
        return layer
    args, kwargs = layer.constructor(channels)
    of = LAYERS[layer.entry.module]
    effect = of.function(*args, **dict(kwargs))
    return replace(layer, name=of.name, args=args, kwargs=kwargs, effect=effect)


def takes_convolution_options(preset: Preset) -> bool:
    """Return whether a preset is one convolution, so that it also takes CONVOLUTION_OPTIONS."""
    try:
        calls = list(grammar.read(preset.write({})))
    except PipelineError:
        return False
    return len(calls) == 1 and isinstance(calls[0], Call) and _takes_kernels(calls[0].name)


@dataclass(frozen=True, slots=True)
class _Resolver:
    """One text whose names are looked up; ``outer`` are the files and presets that it was reached through.

    ``call_place`` is where all its layers stand for the user: where a preset was called.
    """

    text: Text
    presets: Mapping[str, Preset]
    outer: tuple[str, ...] = ()
    call_place: Place | None = None

    def layers(self, calls) -> Iterator[Layer]:
        for in_model, group in groupby(calls, key=lambda call: isinstance(call, Call) and call.path is not None):
            if in_model:
                yield from self.model(list(group))
            else:
                yield from self.written(group)

    def model(self, calls: list[Call]) -> Iterator[Layer]:
        """The layers of a whole model up to where it flattens its image; what follows is left out, and noted."""
        end = next((number for number, call in enumerate(calls) if call.name in FLATTENED), None)
        if end is None:
            yield from self.written(calls)
            return
        kept = calls[:end]
        while kept and kept[-1].name in DROPOUT:
            kept.pop()
        first = calls[len(kept)]
        if not kept:
            raise self.unknown(calls[end])
        *layers, last = self.written(kept)
        note = f"{first.path} ({first.name}) and what follows it are left out: the output must stay an image"
        yield from layers
        yield replace(last, notes=(*last.notes, note))

    def written(self, calls: Iterable[Call | File]) -> Iterator[Layer]:
        for call in calls:
            if isinstance(call, File):
                yield from self.file(call)
            elif call.name in LAYERS:
                yield self.layer(call)
            elif call.name in self.presets:
                yield from self.preset(call)
            elif call.name in kernels.KERNELS or call.name == "flip":
                yield self.make("Filter2d", {"kernel": (kernel(self.text, call),)}, call)
            else:
                raise self.unknown(call)

    def unknown(self, call: Call) -> PipelineError:
        flat = call.name.removesuffix("1d").removesuffix("3d") + "2d"
        if call.name in REFUSED:
            reason = f"{call.name}: {REFUSED[call.name]}"
        elif call.name in FLATTENED:
            reason = f"{call.name}: the output must stay an image, and this makes a vector of it; stop before it"
        elif call.name == "Sequential":
            reason = (
                'Sequential holds layers: Sequential(Conv2d(1, 8, 3), ReLU()), or OrderedDict([("name", layer), ...])'
            )
        elif call.name[-2:] in ("1d", "3d") and flat in LAYERS:
            reason = f"{call.name}: a picture has two dimensions; write {flat}"
        else:
            name = call.name.rpartition(".")[2]  # F.relu, keras.layers.ReLU, transforms.ToTensor
            found = HINTS.get(name.lower())
            if call.name.lower().endswith(PICTURES):
                found = "it is a picture, which comes after the pipeline"
            elif call.name.lower().endswith(".txt"):
                found = f"a pipeline in a file is written @{shorten(call.name)}"
            hint = f"; {found}" if found else did_you_mean(name, [*LAYERS, *self.presets, *kernels.KERNELS])
            hint = hint or "; 'convfilter layers', 'presets' and 'kernels' list them"
            reason = f"there is no layer, preset or kernel {shorten(call.name)!r}{hint}"
        return self.text.error(reason, call, call.name_end)

    def layer(self, call: Call, overrides: Mapping[str, tuple[Text, Argument]] = MappingProxyType({})) -> Layer:
        """The layer of a call; ``overrides`` are arguments from another text that take the place of its own."""
        entry = LAYERS[call.name]
        if call.printed and entry.printed_only:
            call = call._replace(arguments=tuple(a for a in call.arguments if not _is_printed_only(a, entry)))
        given = bind(self.text, call, signature(entry.function))
        given = {name: (self.text, node) for name, node in given.items()} | overrides
        values = {}
        for name, (text, node) in given.items():
            if isinstance(node, list):
                read = kernel if entry.kernels is Kernels.EACH_CHANNEL else value
                values[name] = tuple([read(text, item.value) for item in node])
            else:
                values[name] = self.argument(entry, name, text, node.value)
        return self.make(call.name, values, call, given)

    def argument(self, entry: Entry, name: str, text: Text, node) -> object:
        """What an argument's node means to a layer: numbers and words, or its weights."""
        if name not in TENSORS or entry.lazy or name not in signature(entry.function).defaults or _is_none(node):
            return value(text, node)
        if name == "weight" and entry.kernels is Kernels.WEIGHT:
            return weight(text, node, f"{entry.name}: {name}")
        listed = isinstance(node, Items) and entry.computes not in (Computes.CONVOLUTION, Computes.TRANSPOSED)
        if name != "bias" or listed or (isinstance(node, Constant) and isinstance(node.value, str)):
            return tensor(text, node, f"{entry.name}: {name}")
        return value(text, node)

    def make(self, name: str, values: dict, call: Call, given: Mapping = MappingProxyType({})) -> Layer:
        function = LAYERS[name].function
        rest = values.pop(signature(function).rest, ())
        try:
            effect = function(*rest, **values)
        except ArgumentError as error:
            text, node = given.get(error.argument, (self.text, call))
            raise text.error(f"{name}: {error}", node) from None
        for argument, weights in values.items():
            if isinstance(weights, Given):
                text, node = given[argument]
                read_given(text, node, weights)
        notes = tuple(_notes(name, values, call))
        kept = {key: value for key, value in values.items() if key not in _CHOSEN_OUTSIDE}
        return Layer(name, *_canonical(name, rest, kept), effect, self.place(call), call.path, notes)

    def place(self, node) -> Place:
        return self.call_place or Place(self.text.content, node.start, node.end, self.text.file)

    def file(self, node: File) -> Iterator[Layer]:
        path = self.text.path(node)
        words = self.text.read(node, grammar.LONGEST)
        inner = self.inside(node, os.path.realpath(path), Text(words, path, os.path.dirname(path)), self.call_place)
        yield from inner.layers(grammar.read(words, file=path))

    def inside(self, node, name: str, text: Text, call_place: Place | None) -> "_Resolver":
        if name in self.outer:
            raise self.text.error(f"{shorten(text.file, 100)} stands for itself here, without an end", node)
        if len(self.outer) == DEEPEST:
            raise self.text.error(f"files and presets stand more than {DEEPEST} deep inside each other", node)
        return _Resolver(text, self.presets, (*self.outer, name), call_place)

    def preset(self, call: Call) -> Iterator[Layer]:
        preset = self.presets[call.name]
        extra = any(argument.name and argument.name not in preset.options for argument in call.arguments)
        more = CONVOLUTION_OPTIONS if extra and takes_convolution_options(preset) else ()
        known = {**preset.options, **{option: None for option in more if option not in preset.options}}
        given = bind(self.text, call, Signature(tuple(preset.options), known))
        overrides = {name: (self.text, given[name]) for name in given if name not in preset.options}
        words, written = "", []  # and which of the words the user wrote
        for literal, option in preset.pieces():
            words += literal
            if option in given:
                node = given[option].value
                written.append((len(words), len(words) + node.end - node.start, given[option]))
                words += self.text.content[node.start : node.end]
            elif option:
                words += preset.default(option)
        name = f"preset {call.name}"
        inner = self.inside(call, name, Text(words, name, self.text.folder), self.place(call))
        try:
            calls = _read(words, name)
            yield from (inner.layer(call, overrides) for call in calls) if overrides else inner.layers(calls)
        except PipelineError as error:
            for start, end, node in written if error.text is words else ():
                if error.start < end and start < error.end:
                    raise self.text.error(error.reason, node) from None
            raise


@lru_cache(maxsize=64)
def _read(words: str, file: str) -> tuple[Call | File, ...]:
    return tuple(grammar.read(words, file=file))


def _notes(name: str, values: Mapping[str, object], call: Call) -> Iterator[str]:
    """What a user should know of how a call's arguments were taken."""
    entry = LAYERS[name]
    left_out = [argument for argument in entry.unprinted if argument not in values] if call.printed else []
    if left_out:
        *others, last = left_out
        names = f"{', '.join(others)} and {last}" if others else last
        yield f"{name}: PyTorch does not print {names}; the default is taken"
    if values.get("device") is not None:
        yield f"{name}: device={values['device']!r} has no effect: a whole run is on one device"


def _is_printed_only(argument: Argument, entry: Entry) -> bool:
    expected = entry.printed_only.get(argument.name)
    return expected is not None and isinstance(argument.value, Constant) and argument.value.value == expected


def _canonical(name: str, rest: tuple, values: dict) -> tuple[tuple, tuple]:
    """The arguments as a Layer holds them, so that those that mean the same are equal, as are then the layers.

    What PyTorch requires stands without a name; of the rest, in PyTorch's order, what is no default. A pair of equal
    numbers, which printed models are full of, is one number.
    """
    expected, counts = signature(LAYERS[name].function), LAYERS[name].equal_numbers
    values = {key: _single(value, counts.get(key)) for key, value in values.items()}
    args = (*map(_single, rest), *(values.pop(key) for key in expected.required))
    order = [key for key in expected.defaults if key in values] + [
        key for key in values if key not in expected.defaults
    ]
    return args, tuple(
        [(key, values[key]) for key in order if not _is_default(values[key], expected.defaults.get(key, ...))]
    )


def _single(value, count: int | None = None):
    """One number for so many equal ones, or for any number of them; anything else as it is."""
    if isinstance(value, tuple) and value and len(value) == (len(value) if count is None else count):
        return value[0] if all(type(item) in (int, float) and item == value[0] for item in value) else value
    return value


def _is_default(value, default) -> bool:
    return type(value) is type(default) and value == default


def _takes_kernels(name: str) -> bool:
    return name in LAYERS and LAYERS[name].kernels is not Kernels.NONE


def _is_none(node) -> bool:
    return isinstance(node, Constant) and node.value is None
