"""The layers that weigh a window: Conv2d, ConvTranspose2d, and our own Filter2d and Magnitude."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from convfilter.errors import did_you_mean
from convfilter.layers.checks import ArgumentError, choice, flag, flag_hint, hint, number, pair, plain, show, whole
from convfilter.layers.entry import (
    Arguments,
    Computes,
    Draws,
    Kernels,
    Rounding,
    draws_nothing,
    entry,
    fixed,
    like_input,
    usual_rounding,
)
from convfilter.layers.given import Given, check_shape, sum_signs
from convfilter.layers.matrices import Matrix
from convfilter.layers.shapes import MOST_WEIGHTS, Effect, Shape, Transposed, Window, count, with_zero

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as a pipeline writes it, with its coefficients: one matrix, or several for a bank."""

    text: str
    matrices: tuple[Matrix, ...]
    origin: Any = field(default=None, compare=False, repr=False)  # as Given has it


def _draws(arguments: Arguments) -> Draws:
    """Channels past the list of kernels keep PyTorch's random weights, and so do biases that are not given."""
    weight = arguments.get("weight")
    if isinstance(weight, Given):
        random = arguments["bias"] is True
    else:
        kernels = sum(len(kernel.matrices) for kernel in weight or ())
        random = kernels < arguments["out_channels"] or arguments["bias"] is True
    return Draws.WEIGHTS if random else Draws.NOTHING


def _conv_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    """Kernels that the text names by their coefficients, random ones by the largest that PyTorch draws."""
    channels //= arguments["groups"]
    weights = channels * effect.rows.size * effect.columns.size
    biases = _bias_numbers(arguments, _drawn(weights))
    if isinstance(arguments.get("weight"), Given):
        return _given_rounding(sum_signs(arguments["weight"]), biases)
    matrices = [matrix for kernel in arguments.get("weight") or () for matrix in kernel.matrices]
    growth = channels * max(map(_total, matrices), default=0.0)
    if len(matrices) < arguments["out_channels"]:
        growth = max(growth, weights * _drawn(weights))
    numbers = [*biases, *(value for matrix in matrices for row in matrix for value in row)]
    keeps_whole = _draws(arguments) is Draws.NOTHING and all(number == int(number) for number in numbers)
    return Rounding(growth, offset=max(map(abs, biases)), keeps_whole=keeps_whole)


def _transposed_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    pixels, groups = effect.rows.size * effect.columns.size, arguments["groups"]
    drawn = _drawn(arguments["out_channels"] // groups * pixels)
    biases = _bias_numbers(arguments, drawn)
    if isinstance(arguments.get("weight"), Given):
        return _given_rounding(sum_signs(arguments["weight"], groups=groups), biases)
    growth = channels // groups * pixels * drawn
    return Rounding(growth, offset=max(map(abs, biases)), keeps_whole=False)


def _given_rounding(sums: list[tuple[float, float]], biases: list[float]) -> Rounding:
    """Weights that are given as a whole are hardly ever whole numbers."""
    return Rounding(max(up - down for up, down in sums), offset=max(map(abs, biases)), keeps_whole=False)


def _bias_numbers(arguments: Arguments, drawn: float) -> list[float]:
    """The biases, or the largest that PyTorch draws."""
    bias = arguments["bias"]
    if isinstance(bias, Given):
        return bias.array.tolist()
    return [drawn] if bias is True else list(bias) if isinstance(bias, tuple) else [float(bias)]


def _filter_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    matrices = [matrix for kernel in arguments["kernel"] for matrix in kernel.matrices]
    keeps_whole = all(value == int(value) for matrix in matrices for row in matrix for value in row)
    return Rounding(max(map(_total, matrices)), keeps_whole=keeps_whole)


def _total(matrix: Matrix) -> float:
    return sum(abs(value) for row in matrix for value in row)


def _drawn(weights: int) -> float:
    """The largest weight or bias that PyTorch draws for an output value that so many weights make."""
    return weights**-0.5


def _conv_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    grouped = output[0] % 16 and arguments["groups"] > 1
    return _window_scratch(effect, shape, output, blocked=effect.rows.size == effect.columns.size == 1 or grouped)


def _filter_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    return _window_scratch(effect, shape, output, blocked=effect.rows.size == effect.columns.size == 1 or shape[0] > 1)


def _window_scratch(effect: Effect, shape: Shape, output: Shape, *, blocked: bool) -> int:
    """As measured with PyTorch 2.13 on x86: blocks of channels, of the input too if ``blocked``."""
    (c, h, w), (out, out_h, out_w) = shape, output
    rows, columns = effect.rows, effect.columns
    padded = c * (h + rows.before + rows.after) * (w + columns.before + columns.after)
    copied = padded if rows.mode != "zeros" and padded != c * h * w else 0
    inputs = _blocks(c) * padded // c if blocked or c > 4 else 0
    return copied + _blocks(out) * out_h * out_w + max(0, inputs - out * out_h * out_w)


def _transposed_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    (c, h, w), (out, out_h, out_w) = shape, output
    inputs, outputs = _blocks(c) * h * w, out * out_h * out_w
    return _blocks(out) * out_h * out_w + max(inputs, outputs) + (inputs if arguments["groups"] > 1 else 0)


def _blocks(channels: int) -> int:
    """The channels that oneDNN computes: in blocks of 16."""
    return -(-channels // 16) * 16


@entry(
    kernels=Kernels.WEIGHT,
    computes=Computes.CONVOLUTION,
    formula=None,
    keeps_whole=True,
    keeps_scale=False,
    differs_in_training=False,
    draws=_draws,
    rounding=_conv_rounding,
    scratch=_conv_scratch,
    lesson=(
        "A small window slides over the picture. At each place its values are multiplied by a kernel, a table of "
        "fixed numbers, and added up; the sum is one output pixel. Each kernel looks for one pattern and gives "
        "one channel."
    ),
)
def Conv2d(
    in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True,
    padding_mode="zeros", device=None, dtype=None, *, weight=None,
) -> Effect:  # fmt: skip
    """Each output channel is a weighted sum over a window of all input channels; a kernel given by weight= is one.

    Example: Conv2d(1, 2, 5, bias=False, weight=[edge])
    """
    c, out = whole(in_channels, "in_channels"), whole(out_channels, "out_channels")
    window = _windows(kernel_size, stride, padding, dilation, padding_mode, same_needs_stride_1=True)
    groups = _groups(groups, c, out)
    biases = _biases(bias, out)
    plain(device, dtype)
    size = window[0].size, window[1].size
    shape = out, c // groups, *size
    parameters = _weights(c // groups, out, size) + (0 if bias is False else out)
    if isinstance(weight, Given):
        check_shape(weight, "weight", shape)
        known, sums = bias is not True, lambda: sum_signs(weight)
    else:
        matrices = _check_weight(weight, out, size)
        known, sums = len(matrices) == out and bias is not True, lambda: _sum_matrices(matrices, c // groups)
    return Effect(
        *window,
        in_channels=c,
        out_channels=out,
        parameters=parameters,
        interval=_weighted(sums, biases, window) if known else None,
        tensors=_tensors(shape, bias, out),
    )


@entry(
    kernels=Kernels.NONE,
    computes=Computes.TRANSPOSED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=_draws,
    rounding=_transposed_rounding,
    scratch=_transposed_scratch,
    lesson=(
        "A convolution the other way round: every input pixel stamps the kernel, times its value, onto a larger "
        "output, and where stamps overlap they add up. Networks that draw pictures grow them this way."
    ),
)
def ConvTranspose2d(
    in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1,
    padding_mode="zeros", device=None, dtype=None, *, weight=None,
) -> Effect:  # fmt: skip
    """Each input pixel adds a weighted window to the output: a learnt enlargement.

    Example: ConvTranspose2d(1, 1, 4, stride=2, padding=1)
    """
    c, out = whole(in_channels, "in_channels"), whole(out_channels, "out_channels")
    axes = _transposed_axes(kernel_size, stride, padding, output_padding, dilation)
    groups = _groups(groups, c, out)
    biases = _biases(bias, out)
    choice(padding_mode, "padding_mode", ("zeros",))
    plain(device, dtype)
    size = axes[0].size, axes[1].size
    shape = c, out // groups, *size
    if weight is not None:
        check_shape(weight, "weight", shape)
    known = weight is not None and bias is not True
    return Effect(
        *axes,
        in_channels=c,
        out_channels=out,
        parameters=_weights(c, out // groups, size) + (0 if bias is False else out),
        interval=_weighted(lambda: sum_signs(weight, groups=groups), biases, axes) if known else None,
        tensors=_tensors(shape, bias, out),
    )


@entry(
    module="Conv2d",
    lazy=True,
    kernels=Kernels.NONE,
    computes=Computes.CONVOLUTION,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=_draws,
    rounding=_conv_rounding,
    scratch=_conv_scratch,
    lesson=(
        "Conv2d for as many channels as the layer before gives, so that this number need not be written: a small "
        "window slides over the picture, and at each place its values are weighted and added up."
    ),
)
def LazyConv2d(
    out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True, padding_mode="zeros",
    device=None, dtype=None,
) -> Effect:  # fmt: skip
    """Conv2d for as many channels as its input has.

    Example: LazyConv2d(8, 3, padding='same')
    """
    out = whole(out_channels, "out_channels")
    window = _windows(kernel_size, stride, padding, dilation, padding_mode, same_needs_stride_1=True)
    plain(device, dtype)
    return _lazy(window, out, groups, bias, (window[0].size, window[1].size))


@entry(
    module="ConvTranspose2d",
    lazy=True,
    kernels=Kernels.NONE,
    computes=Computes.TRANSPOSED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=_draws,
    rounding=_transposed_rounding,
    scratch=_transposed_scratch,
    lesson=(
        "ConvTranspose2d for as many channels as the layer before gives, so that this number need not be written: "
        "every input pixel adds the kernel, times its value, to a larger output."
    ),
)
def LazyConvTranspose2d(
    out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1,
    padding_mode="zeros", device=None, dtype=None,
) -> Effect:  # fmt: skip
    """ConvTranspose2d for as many channels as its input has.

    Example: LazyConvTranspose2d(1, 4, stride=2, padding=1)
    """
    out = whole(out_channels, "out_channels")
    axes = _transposed_axes(kernel_size, stride, padding, output_padding, dilation)
    choice(padding_mode, "padding_mode", ("zeros",))
    plain(device, dtype)
    return _lazy(axes, out, groups, bias, (axes[0].size, axes[1].size))


@entry(
    module="Conv2d",
    kernels=Kernels.EACH_CHANNEL,
    computes=Computes.CONVOLUTION,
    formula=None,
    keeps_whole=True,
    keeps_scale=False,
    differs_in_training=False,
    draws=draws_nothing,
    rounding=_filter_rounding,
    scratch=_filter_scratch,
    lesson=(
        "The same sliding sum as in Conv2d, with kernels chosen by hand: every kernel goes over every channel by "
        "itself, and unless the text says otherwise the rim is padded so that the picture keeps its size."
    ),
)
def Filter2d(*kernel, stride=1, padding="same", dilation=1, padding_mode="replicate") -> Effect:
    """Each kernel applied to each input channel: n kernels on c channels give n*c channels.

    Example: Filter2d(sobel_x, sobel_y)
    """
    if not kernel:
        raise ArgumentError("kernel", "is missing; give one or more, such as Filter2d(sobel_x)")
    matrices = same_size([matrix for given in kernel for matrix in given.matrices])
    size = len(matrices[0]), len(matrices[0][0])
    window = _windows(size, stride, padding, dilation, padding_mode)
    return Effect(
        *window,
        multiply=len(matrices),
        parameters_per_channel=_weights(1, len(matrices), size),
        interval=_weighted(lambda: _sum_matrices(matrices, 1), [0.0] * len(matrices), window),
    )


@fixed(
    computes=Computes.MAGNITUDE,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "At each pixel the channels are taken as the components of a vector, and the output is its length: of a "
        "horizontal and a vertical gradient, the gradient magnitude, whatever the direction."
    ),
)
def Magnitude() -> Effect:
    """The square root of the sum of squares over the channels.

    Example: Magnitude()
    """

    def interval(lo, hi, shape):
        root = shape[0] ** 0.5
        return max(0.0, lo, -hi) * root, max(abs(lo), abs(hi)) * root

    return Effect(out_channels=1, interval=interval)


def same_size(matrices: list[Matrix]) -> list[Matrix]:
    """Return the matrices in one size, zeros around the smaller ones, so that their centres stand over each other.

    The centre of an even side is the pixel before its middle, as with PyTorch's padding='same'.

    >>> same_size([((7,),), ((1, 2), (3, 4))])
    [((7, 0.0), (0.0, 0.0)), ((1, 2), (3, 4))]
    """
    heights, widths = [len(m) for m in matrices], [len(m[0]) for m in matrices]
    if len(set(heights)) == len(set(widths)) == 1:
        return matrices
    above, left = (max((n - 1) // 2 for n in sizes) for sizes in (heights, widths))
    below, right = (max(n // 2 for n in sizes) for sizes in (heights, widths))
    blank = ((0.0,) * (left + 1 + right),)

    def pad(matrix):
        h, w = len(matrix), len(matrix[0])
        before, after = (0.0,) * (left - (w - 1) // 2), (0.0,) * (right - w // 2)
        rows = (before + row + after for row in matrix)
        return (*blank * (above - (h - 1) // 2), *rows, *blank * (below - h // 2))

    return [pad(matrix) for matrix in matrices]


def _windows(kernel_size, stride, padding, dilation, padding_mode, same_needs_stride_1=False) -> list[Window]:
    sizes, steps, apart = pair(kernel_size, "kernel_size"), pair(stride, "stride"), pair(dilation, "dilation")
    mode = choice(padding_mode, "padding_mode", MODES)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            near = did_you_mean(padding, ("same", "valid")) or hint(padding)
            raise ArgumentError("padding", f"must be a number, 'same' or 'valid', not {show(padding)}{near}")
        if padding == "same" and same_needs_stride_1 and steps != (1, 1):
            fits = " or ".join({str(d * (k - 1) // 2): 0 for d, k in zip(apart, sizes, strict=True)})
            reason = f"'same' goes with stride 1 only, and stride is {show(stride)}; try padding={fits}"
            raise ArgumentError("padding", reason)
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(apart, sizes, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in pair(padding, "padding", 0)]
    return [
        Window(size, step, dil, before, after, mode=mode)
        for size, step, dil, (before, after) in zip(sizes, steps, apart, pads, strict=True)
    ]


def _transposed_axes(kernel_size, stride, padding, output_padding, dilation) -> list[Transposed]:
    sizes, steps, apart = pair(kernel_size, "kernel_size"), pair(stride, "stride"), pair(dilation, "dilation")
    pads, more = pair(padding, "padding", 0), pair(output_padding, "output_padding", 0)
    for extra, most in zip(more, map(max, steps, apart), strict=True):
        if extra >= most:
            raise ArgumentError("output_padding", f"must be smaller than stride or dilation, {most}, and it is {extra}")
    return list(map(Transposed, sizes, steps, apart, pads, more))


def _lazy(axes, out: int, groups, bias, size: tuple[int, int]) -> Effect:
    """The Effect of a convolution that takes any number of channels, a multiple of its groups."""
    groups = whole(groups, "groups")
    if out % groups:
        raise ArgumentError("groups", f"must divide out_channels {out}, and {groups} does not")
    return Effect(
        *axes,
        out_channels=out,
        divide=groups,
        parameters=out if flag(bias, "bias") else 0,
        parameters_per_channel=_weights(1, out // groups, size),
    )


def _groups(groups, c, out) -> int:
    groups = whole(groups, "groups")
    if c % groups or out % groups:
        raise ArgumentError("groups", f"must divide in_channels {c} and out_channels {out}, and {groups} does not")
    return groups


def _weights(c: int, out: int, size: tuple[int, int]) -> int:
    n = c * out * size[0] * size[1]
    if n > MOST_WEIGHTS:
        reason = f"of {size[0]}x{size[1]} makes {n:,} weights with these channels, and {MOST_WEIGHTS:,} is the most"
        raise ArgumentError("kernel_size", reason)
    return n


def _check_weight(weight, out, size) -> list[Matrix]:
    """The matrices of weight=, which fit the layer."""
    if weight == ():
        raise ArgumentError("weight", "holds no kernel; write one, such as weight=[edge], or leave it off")
    matrices = [matrix for kernel in weight or () for matrix in kernel.matrices]
    if len(matrices) > out:
        raise ArgumentError("weight", f"holds {len(matrices)} kernels, and out_channels is {out}")
    for kernel in weight or ():
        h, w = len(kernel.matrices[0]), len(kernel.matrices[0][0])
        if (h, w) != size:
            reason = f"holds a kernel of {h}x{w}, and kernel_size is {size[0]}x{size[1]}"
            raise ArgumentError("weight", f"{reason}; write {h if h == w else (h, w)} for kernel_size")
    return matrices


def _tensors(weight: tuple[int, ...], bias, out: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return (("weight", weight),) if bias is False else (("weight", weight), ("bias", (out,)))


def _biases(bias, out) -> list[float] | Given:
    """The known biases; zeros where there is none (or a random one, which makes the range unknown anyway)."""
    if isinstance(bias, Given):
        return check_shape(bias, "bias", (out,))
    if isinstance(bias, bool):
        return [0.0] * out
    if isinstance(bias, tuple):
        if len(bias) != out:
            raise ArgumentError("bias", f"holds {count(len(bias), 'number')}, and out_channels is {out}")
        return [number(b, "bias") for b in bias]
    if bias is None or isinstance(bias, str):
        raise ArgumentError(
            "bias", f"must be True, False, a number or a list of numbers, not {show(bias)}{flag_hint(bias)}"
        )
    return [number(bias, "bias")] * out


def _sum_matrices(matrices: list[Matrix], times: int) -> list[tuple[float, float]]:
    """Of each kernel, applied to ``times`` channels, the sum of the weights above 0, and of those below."""
    up = (times * sum(v for row in matrix for v in row if v > 0) for matrix in matrices)
    down = (times * sum(v for row in matrix for v in row if v < 0) for matrix in matrices)
    return list(zip(up, down, strict=True))


def _weighted(sums: Callable[[], list[tuple[float, float]]], biases: list[float] | Given, axes) -> Callable:
    """The interval of a weighted sum, by interval arithmetic: ``sums`` gives those of ``sum_signs``."""
    parts = any(isinstance(axis, Transposed) or (axis.mode == "zeros" and (axis.before or axis.after)) for axis in axes)

    @cache
    def known():
        return sums(), biases.array.tolist() if isinstance(biases, Given) else biases

    def interval(lo, hi, shape):
        lo, hi = with_zero(lo, hi) if parts else (lo, hi)  # some weights meet no pixel
        ends = [(up * lo + down * hi + b, up * hi + down * lo + b) for (up, down), b in zip(*known(), strict=True)]
        return min(low for low, _ in ends), max(high for _, high in ends)

    return interval
