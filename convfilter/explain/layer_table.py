"""What a pipeline does to a picture's size and values, layer by layer, and what that costs; nothing is computed."""

from dataclasses import dataclass, replace
from math import prod

from convfilter.engine.memory import FLOAT
from convfilter.errors import PipelineError
from convfilter.explain.receptive_field import Field
from convfilter.gray.input_values import GRAY, InputValues
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Adaptive, Axis, Resize, Scattered, Shape, Transposed, Window

Range = tuple[float | None, float | None]  # None: no bound is known on that side
FAR = 1e30  # stands for a bound that is not known
SUMS = (Computes.CONVOLUTION, Computes.TRANSPOSED)
POOLS = (Computes.MAXIMUM, Computes.MEAN, Computes.POWER_MEAN)


@dataclass(frozen=True)
class Row:
    """One layer on one picture: shapes (C, H, W), everything else (height, width).

    ``kernel``, ``stride`` and ``dilation`` are (height, width), and ``padding`` (left, right, top, bottom) as in
    ``ZeroPad2d``; None where the layer has no such thing. ``sums`` are the sums that give the output's height and
    width, empty where these stay as they are. ``multiply_adds`` counts as torchinfo does: a convolution's weights and
    biases times its output's pixels, and one for each parameter of another layer. ``receptive_field`` is what one
    output pixel sees of the picture, padding included, and ``jump``, its effective stride, how far apart two neighbours
    see. ``bounds`` holds the minimum and the maximum of the output, None where it is not known.
    """

    layer: Layer
    input: Shape
    output: Shape
    kernel: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[int, int, int, int] | None
    dilation: tuple[int, int] | None
    sums: tuple[str, str]
    parameters: int
    multiply_adds: int
    receptive_field: tuple[int, int]
    jump: tuple[float, float]
    bounds: Range

    @property
    def range(self) -> tuple[float, float] | None:
        """The interval that the output's values lie in; None where an end of it is not known."""
        low, high = self.bounds
        return None if low is None or high is None else (low, high)

    def to_dict(self) -> dict:
        """Return the row as ``explain --json`` prints it."""
        return {
            "layer": str(self.layer),
            "input": list(self.input),
            "output": list(self.output),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "receptive_field": list(self.receptive_field),
            "jump": [_plain(jump) for jump in self.jump],
            "range": [_plain(end) for end in self.range] if self.range else None,
        }


@dataclass(frozen=True)
class Explanation:
    """A pipeline on a picture of shape ``input`` (C, H, W): a row a layer, up to one that does not take its input.

    ``error`` is then that layer's, with its place in the text; else None. ``interval`` are the smallest and the largest
    value of the picture.
    """

    input: Shape
    interval: tuple[float, float]
    rows: tuple[Row, ...]
    peak_bytes: int
    error: PipelineError | None = None

    @property
    def output(self) -> Shape:
        return self.rows[-1].output if self.rows else self.input

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds(self) -> int:
        return sum(row.multiply_adds for row in self.rows)

    def to_dict(self) -> dict:
        """Return what ``explain --json`` prints: whole numbers, floats, lists and None only."""
        return {
            "input": list(self.input),
            "layers": [row.to_dict() for row in self.rows],
            "output": list(self.output),
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "peak_bytes": self.peak_bytes,
        }


def explain(pipeline: Pipeline, shape: Shape = (1, 512, 512), inputs: InputValues = GRAY) -> Explanation:
    """Return what each layer does to a picture of ``shape`` (C, H, W), whose values are ``inputs``.

    Ranges are interval arithmetic: no output lies outside of them (but for rounding), and not everything inside
    need do. A layer that does not take the shape ends the rows; see ``Explanation.error``.

    >>> from convfilter import parse
    >>> explanation = explain(parse("edge | ReLU | MaxPool2d(2)"))
    >>> explanation.output, explanation.rows[0].sums[0]
    ((1, 254, 254), '(512 + 2*0 - 1*(5-1) - 1)/1 + 1 = 508')
    >>> explanation.rows[2].receptive_field, explanation.rows[2].range
    ((6, 6), (0.0, 6120.0))
    """
    first, rows, error = shape, [], None
    fields = Field(shape[1]), Field(shape[2])
    bounds: Range = inputs.interval
    outputs = pipeline.each_shape(shape)
    for layer in pipeline.layers:
        try:
            output = next(outputs)
        except PipelineError as problem:
            error = problem
            break
        fields = tuple(
            f.through(axis, n)
            for f, axis, n in zip(fields, (layer.effect.rows, layer.effect.columns), shape[1:], strict=True)
        )
        bounds = _through(bounds, layer, shape)
        rows.append(_row(layer, shape, output, fields, bounds))
        shape = output
    done = replace(pipeline, layers=pipeline.layers[: len(rows)])
    return Explanation(first, inputs.interval, tuple(rows), peak_bytes(done, first), error)


def peak_bytes(pipeline: Pipeline, shape: Shape) -> int:
    """Return about how many bytes the plain computation holds at its peak, for a picture of ``shape`` (C, H, W).

    It is that of ``nn.Sequential`` on the whole picture, in float32 on a CPU: the picture as bytes and as a tensor,
    and of the layer that needs most its input, its output and its scratch memory. oneDNN computes convolutions in
    blocks of 16 channels, so that one channel takes the memory of 16. Working in bands takes less. What Python and
    torch take themselves is not in it.

    Raises:
        PipelineError: a layer does not take its input.

    >>> from convfilter import parse
    >>> peak_bytes(parse("edge"), (1, 1000, 1000)) // 1_000_000
    72
    """
    c, h, w = shape
    picture = (1 + FLOAT * c) * h * w
    most = held = 0  # the first layer's input is the picture's tensor
    for layer, output in zip(pipeline.layers, pipeline.shapes(shape), strict=True):
        floats = prod(output)
        scratch = layer.entry.scratch(layer.effect, layer.arguments, shape, output)
        most = max(most, held + FLOAT * (floats + scratch))
        held, shape = FLOAT * floats, output
    return picture + max(most, held + (FLOAT + 1) * shape[1] * shape[2])


def _row(layer: Layer, shape: Shape, output: Shape, fields: tuple[Field, Field], bounds: Range) -> Row:
    rows, columns = axes = layer.effect.rows, layer.effect.columns
    computes = layer.entry.computes
    sliding = computes in SUMS + POOLS and all(isinstance(axis, Window | Transposed) for axis in axes)
    padding = None
    if isinstance(rows, Transposed):
        padding = (columns.padding, columns.padding, rows.padding, rows.padding)
    elif sliding or computes is Computes.PADDING:
        padding = (columns.before, columns.after, rows.before, rows.after)
    parameters = layer.effect.parameters_for(shape[0])
    return Row(
        layer=layer,
        input=shape,
        output=output,
        kernel=(rows.size, columns.size) if sliding or isinstance(rows, Scattered) else None,
        stride=(rows.stride, columns.stride) if sliding else None,
        padding=padding,
        dilation=(rows.dilation, columns.dilation) if sliding else None,
        sums=tuple(_sum(axis, n, sliding) for axis, n in zip(axes, shape[1:], strict=True)),
        parameters=parameters,
        multiply_adds=parameters * output[1] * output[2] if computes in SUMS else parameters,
        receptive_field=tuple(field.size for field in fields),
        jump=tuple(field.jump for field in fields),
        bounds=bounds,
    )


def _sum(axis: Axis, n: int, sliding: bool) -> str:
    """The arithmetic behind ``axis.length(n)``, in the terms of PyTorch's documentation; empty where n stays."""
    count = axis.length(n)
    match axis:
        case Window(mode="divide"):
            return f"{n}/{axis.stride} = {count}"
        case Window() if sliding:
            return _window_sum(axis, n, count)
        case Window() if axis.before or axis.after:
            signs = [f"{'+' if pad >= 0 else '-'} {abs(pad)}" for pad in (axis.before, axis.after)]
            return f"{n} {' '.join(signs)} = {count}"
        case Transposed():
            return (
                f"({n} - 1)*{axis.stride} - 2*{axis.padding} + {axis.dilation}*({axis.size}-1)"
                f" + {axis.output_padding} + 1 = {count}"
            )
        case Resize(factor=factor) if factor is not None:
            text = f"{n}*{factor:.12g}"
            return f"{text} = {count}" if n * factor == count else f"floor({text}) = {count}"
        case Adaptive() if axis.count is not None:
            return f"{count} windows, from floor(i*{n}/{count}) to ceil((i+1)*{n}/{count})"
        case Scattered():
            return f"{count} windows of {axis.size}, at random places"
        case Resize():
            return f"{count}"
    return ""


def _window_sum(axis: Window, n: int, count: int) -> str:
    padding = f"2*{axis.before}" if axis.before == axis.after else f"{axis.before} + {axis.after}"
    text = f"({n} + {padding} - {axis.dilation}*({axis.size}-1) - 1)/{axis.stride}"
    steps = n + axis.before + axis.after - axis.span
    if steps % axis.stride:
        text = f"{'ceil' if axis.ceil_mode else 'floor'}({text})"
    if axis.ceil_mode and -(-steps // axis.stride) + 1 > count:
        return f"{text} + 1 - 1 = {count} (the last window would lie in the padding)"
    return f"{text} + 1 = {count}"


def _through(bounds: Range, layer: Layer, shape: Shape) -> Range:
    """The bounds after a layer; an end that changes with what stands for an unknown bound is unknown itself."""
    ends = []
    for far in (FAR, FAR / 10):
        low, high = (-far if bounds[0] is None else bounds[0]), (far if bounds[1] is None else bounds[1])
        ends.append(layer.effect.values(low, high, shape) or (FAR, FAR))
    return tuple(float(a) if a == b and abs(a) < FAR / 100 else None for a, b in zip(*ends, strict=True))


def _plain(number: float) -> int | float:
    """A number without the rounding errors of floats, whole where it is whole."""
    number = float(f"{number:.12g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
