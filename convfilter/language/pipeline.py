"""The meaning of a text as a whole: parse() gives its layers, str() writes them back, shapes() the outputs' sizes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from convfilter.errors import UsageError, did_you_mean, shorten
from convfilter.language import grammar
from convfilter.language.arguments import signature
from convfilter.language.grammar import File
from convfilter.language.presets import PRESETS, Preset
from convfilter.language.resolve import Layer, look_up, materialize
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Shape


@dataclass(frozen=True)
class Pipeline:
    """Layers in order; equal where the layers and their arguments are. ``name`` is what file names call it."""

    layers: tuple[Layer, ...]
    name: str = field(default="pipeline", compare=False)

    def __str__(self) -> str:
        """Return a text that parses to an equal pipeline.

        >>> print(parse("edge | MaxPool2d(kernel_size=2, stride=2)"))
        Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | MaxPool2d(2, stride=2)
        """
        return " | ".join(map(str, self.layers))

    @property
    def files(self) -> tuple:
        """The WeightsFiles that the layers' weights are from, each once."""
        given = [value for layer in self.layers for value in (*layer.kernels, *layer.given.values())]
        return tuple({value.origin[0].path: value.origin[0] for value in given if value.origin}.values())

    @property
    def takes_weights(self) -> bool:
        """Whether a layer has weights that a file could give."""
        return any(layer.effect.tensors or layer.entry.lazy for layer in self.layers)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of how the text was taken, such as layers that were left out."""
        untrained = "without a trained network's mean and variance it is the identity"
        notes = [note for layer in self.layers for note in layer.notes]
        notes += [f"{layer.name}: {untrained}" for layer in self.layers if layer.is_untrained]
        return tuple(dict.fromkeys(notes))

    def until(self, name: str) -> "Pipeline":
        """Return the layers up to one of them and with it: its index, or its name in the model that was printed.

        Indices count from 0, as PyTorch prints them. The name of a block, such as ``features``, is its last layer.

        Raises:
            UsageError: there is no such layer; says which there are.

        >>> print(parse("VGG((features): Sequential((0): ReLU() (1): Tanh()))").until("features.0"))
        ReLU()
        >>> print(parse("edge | ReLU | MaxPool2d(2)").until("1"))
        Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | ReLU()
        """
        paths = [layer.path for layer in self.layers]
        block = [number for number, path in enumerate(paths) if path is not None and path.startswith(f"{name}.")]
        if name in paths:
            number = paths.index(name)
        elif block:
            number = block[-1]
        elif name.isascii() and name.isdigit() and len(name) < 9 and int(name) < len(self.layers):
            number = int(name)
        else:
            known = [path for path in paths if path is not None]
            example = f", or names such as {shorten(known[-1])}" if known else ""
            last = len(self.layers) - 1
            hint = (
                did_you_mean(name, known) or f"; {f'there are 0 to {last}' if last else 'its only one is 0'}{example}"
            )
            raise UsageError(f"--until {shorten(name)}: the pipeline has no such layer{hint}")
        return Pipeline(self.layers[: number + 1], self.name)

    def shapes(self, shape: Shape) -> list[Shape]:
        """Return the shape (C, H, W) after each layer, for an input of ``shape``.

        Raises:
            PipelineError: a layer does not take its input; the caret stands under it.

        >>> parse("edge | MaxPool2d(2)").shapes((1, 512, 512))
        [(1, 508, 508), (1, 254, 254)]
        """
        return list(self.each_shape(shape))

    def each_shape(self, shape: Shape) -> Iterator[Shape]:
        """Yield what ``shapes`` returns, up to a layer that does not take its input; PipelineError is raised there."""
        loaded = True
        for layer in self.layers:
            c = _channels(layer, shape[0], as_loaded=loaded)
            loaded = loaded and c == shape[0] and layer.effect.in_channels is None
            try:
                shape = layer.effect.output(shape)
            except ValueError as error:
                raise layer.place.error(f"{layer.name}: {error}") from None
            yield shape

    def channels(self, c: int = 1) -> int:
        """Return how many channels come out where ``c`` come in; a grayscale picture has 1.

        Raises:
            PipelineError: a layer does not take its input.
        """
        loaded = True
        for layer in self.layers:
            before, c = c, _channels(layer, c, as_loaded=loaded)
            loaded = loaded and c == before and layer.effect.in_channels is None
        return c

    def materialize(self, channels: int) -> "Pipeline":
        """Return the pipeline with its lazy layers as those that they are for a picture of so many ``channels``.

        Raises:
            PipelineError: a layer does not take its input.

        >>> print(parse("LazyConv2d(8, 3) | ReLU").materialize(3))
        Conv2d(3, 8, 3) | ReLU()
        """
        if not any(layer.entry.lazy for layer in self.layers):
            return self
        self.channels(channels)
        layers = []
        for layer in self.layers:
            layers.append(materialize(layer, channels))
            channels = layer.effect.channels(channels)
        return replace(self, layers=tuple(layers))

    def for_gray(self) -> "Pipeline":
        """Return the pipeline with the kernels of its first layer summed over red, green and blue: it takes gray.

        A picture whose three channels are equal gives the same through both.

        Raises:
            UsageError: the first layer is no convolution of three channels.
        """
        first, *others = self.layers
        computes, arguments = first.entry.computes, first.arguments
        if first.sums_colours:
            return self
        if computes is not Computes.CONVOLUTION or first.effect.in_channels != 3 or arguments.get("groups", 1) != 1:
            raise UsageError(f"--gray-weights: the first layer must be a Conv2d of 3 channels, and it is {first}")
        each = first.effect.out_channels * first.effect.rows.size * first.effect.columns.size
        effect = replace(first.effect, in_channels=1, parameters=first.effect.parameters - 2 * each, interval=None)
        return Pipeline((replace(first, effect=effect), *others), self.name)


def parse(text: str, *, presets: Mapping[str, Preset] = PRESETS) -> Pipeline:
    """Return the pipeline that the text writes; nothing in it is ever evaluated as Python.

    Raises:
        PipelineError: the text is wrong; shows the line, with a caret under the place, and says what would fit.

    >>> [layer.name for layer in parse("blur(sigma=2) | ReLU | MaxPool2d(2)").layers]
    ['Filter2d', 'ReLU', 'MaxPool2d']
    """
    calls = list(grammar.read(text))
    layers = tuple(look_up(calls, text, presets))
    kept = {layer.path for layer in layers}  # of a whole model, what follows its last image is left out
    words = [
        Path(call.path).stem if isinstance(call, File) else call.name
        for call in calls
        if isinstance(call, File) or call.path is None or call.path in kept
    ]
    c = None
    for layer in layers:
        c = layer.effect.in_channels if c is None else c
        c = layer.effect.out_channels if c is None else _channels(layer, c)
    return Pipeline(layers, _name(words))


def parse_preset(name: str, values: Mapping[str, str], *, presets: Mapping[str, Preset] = PRESETS) -> Pipeline:
    """Return the pipeline of a preset, its options written as in the language.

    >>> print(parse_preset("blur", {"sigma": "2", "stride": "2"}))
    Filter2d(gaussian(sigma=2), stride=2)
    """
    for value in values.values():
        grammar.read_value(value)  # one value and no more: nothing that would end the preset's parentheses
    words = ", ".join(f"{key}={value}" for key, value in values.items())
    pipeline = parse(f"{name}({words})" if words else name, presets=presets)
    return Pipeline(pipeline.layers, name)


def _channels(layer: Layer, c: int, *, as_loaded: bool = False) -> int:
    """How many channels come out where ``c`` come in; ``as_loaded`` says that these are the picture's."""
    try:
        return layer.effect.channels(c)
    except ValueError as error:
        first = next(iter(signature(layer.entry.function).positional), "")
        hint = f"; write {layer.name}({c}, ...)" if first in ("in_channels", "num_features", "num_parameters") else ""
        if as_loaded and (c, layer.effect.in_channels) == (1, 3):
            hint += ": pictures are loaded as grayscale; --mode RGB loads colour, --gray-weights sums kernels"
        elif as_loaded and c == 3 and layer.effect.in_channels == 1:
            hint = (
                "; --mode RGB loads three channels: leave it out, or filter each of them with Filter2d, such as "
                "Filter2d(edge), and --recombine"
            )
        raise layer.place.error(f"{layer.name}: {error}{hint}") from None


def _name(words: list[str]) -> str:
    """What file names call a pipeline: its layers' names as the user wrote them, or the file that it came from."""
    return ("-".join(words[:4]) + (f"-{len(words)}-layers" if len(words) > 4 else ""))[:60]
