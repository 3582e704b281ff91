"""The pooling layers: each signature is torch.nn's, and each value the layer's Effect."""

from math import prod

from convfilter.layers.checks import LARGEST, MOST, ArgumentError, flag, number, only, pair, show, whole
from convfilter.layers.entry import (
    Arguments,
    Computes,
    Draws,
    Kernels,
    Rounding,
    entry,
    fixed,
    no_scratch,
    usual_rounding,
)
from convfilter.layers.shapes import Adaptive, Effect, Scattered, Shape, Window, unchanged, with_zero


def _root_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    """Measured on a constant input: 5e-7 of what comes out."""
    power, pixels = arguments["norm_type"], effect.rows.size * effect.columns.size
    return Rounding(growth=pixels ** (1 / power) if power > 0 else 1.0)


def _part_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    """Measured on a constant input: 7e-6 of its value in means of up to 15,000 pixels."""
    return Rounding(roughness=20.0)


def _indices(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    """The places of the maxima, as 64-bit numbers."""
    return 2 * prod(output)


def _powers(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    """The powers of the input, and of the output its signs and its absolute values."""
    return prod(shape) + 2 * prod(output)


@fixed(
    computes=Computes.MAXIMUM,
    keeps_whole=True,
    keeps_scale=True,
    rounding=usual_rounding,
    scratch=_indices,
    lesson=(
        "Of each window only the largest value is kept. The picture gets smaller, and what was found stays found "
        "even if it moves by a pixel."
    ),
)
def MaxPool2d(kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False) -> Effect:
    """The largest value of each window.

    Example: MaxPool2d(2)
    """
    _no_indices(return_indices)
    axes = _windows(kernel_size, stride, padding, ceil_mode, dilation)

    def interval(lo, hi, shape):
        missed = any(_misses(axis, n) for axis, n in zip(axes, shape[1:], strict=True))
        return (-LARGEST if missed else lo), hi  # padding is -inf there

    return Effect(*axes, interval=interval)


@fixed(
    computes=Computes.MEAN,
    keeps_whole=False,
    keeps_scale=True,
    rounding=usual_rounding,
    scratch=no_scratch,
    unprinted=("ceil_mode", "count_include_pad", "divisor_override"),
    lesson="Each window becomes its mean: a smaller, calmer picture in which single bright pixels are averaged out.",
)
def AvgPool2d(
    kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Effect:
    """The mean of each window.

    Example: AvgPool2d(2)
    """
    axes = _windows(kernel_size, stride, padding, ceil_mode)
    padded = flag(count_include_pad, "count_include_pad") and any(axis.before for axis in axes)
    factor = 1.0
    if divisor_override is not None:
        if whole(divisor_override, "divisor_override", -MOST) == 0:
            raise ArgumentError("divisor_override", "must not be 0")
        factor = axes[0].size * axes[1].size / divisor_override
        padded = any(axis.before or axis.ceil_mode for axis in axes)  # a sum over fewer pixels at the rim

    def interval(lo, hi, shape):
        lo, hi = with_zero(lo, hi) if padded else (lo, hi)
        return min(lo * factor, hi * factor), max(lo * factor, hi * factor)

    return Effect(*axes, interval=interval)


@entry(
    kernels=Kernels.NONE,
    computes=Computes.SCATTERED_MAXIMUM,
    formula=None,
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=False,
    draws=lambda arguments: Draws.PLACES,
    unprinted=("kernel_size", "output_size", "output_ratio"),
    rounding=usual_rounding,
    scratch=_indices,
    lesson=(
        "Max pooling whose windows do not stand in a regular row: their places are drawn once, by the seed, so "
        "that the picture can shrink by a factor such as 1.4."
    ),
)
def FractionalMaxPool2d(
    kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Effect:
    """The largest value of each of output_size windows, whose places are random (drawn by the seed).

    Example: FractionalMaxPool2d(3, output_ratio=0.5)
    """
    sizes = pair(kernel_size, "kernel_size")
    _no_indices(return_indices)
    only(_random_samples, "_random_samples", None, "the seed draws the samples")
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError("output_size", "or output_ratio must be given, and not both")
    if output_size is not None:
        counts = pair(output_size, "output_size")
        axes = [Scattered(_fractions(size, count=n), size) for size, n in zip(sizes, counts, strict=True)]
    else:
        ratios = output_ratio if isinstance(output_ratio, tuple) else (output_ratio,) * 2
        if len(ratios) != 2 or not all(0 < number(ratio, "output_ratio") < 1 for ratio in ratios):
            raise ArgumentError("output_ratio", f"must be between 0 and 1, or two such, not {show(output_ratio)}")
        axes = [Scattered(_fractions(size, ratio=ratio), size) for size, ratio in zip(sizes, ratios, strict=True)]
    return Effect(*axes, local=False, interval=unchanged)


@fixed(
    computes=Computes.POWER_MEAN,
    keeps_whole=False,
    keeps_scale=False,
    rounding=_root_rounding,
    scratch=_powers,
    lesson=(
        "Between the mean and the maximum: values are raised to a power, added up, and the root is taken. The "
        "larger the power, the more the largest value decides."
    ),
)
def LPPool2d(norm_type, kernel_size, stride=None, ceil_mode=False) -> Effect:
    """The norm_type-th root of the sum of each window's norm_type-th powers; inf takes the largest |x|.

    Example: LPPool2d(2, 3)
    """
    p = number(norm_type, "norm_type", finite=False)
    if p == 0:
        raise ArgumentError("norm_type", "must not be 0: there is no 0-th root")
    axes = _windows(kernel_size, stride, 0, ceil_mode)
    n = axes[0].size * axes[1].size
    defined = p in (1, float("inf")) or (p > 0 and p % 2 == 0)  # for negative numbers too

    def interval(lo, hi, shape):
        nearest, farthest = max(0.0, lo, -hi), max(abs(lo), abs(hi))
        if p == float("inf"):
            return nearest, farthest
        if p < 1 or (p % 2 and lo < 0):
            return None  # negative values have no such root in general
        return (0.0 if axes[0].ceil_mode else nearest * n ** (1 / p)), farthest * n ** (1 / p)

    return Effect(*axes, jumps=not defined, interval=interval)


@fixed(
    computes=Computes.MAXIMUM,
    keeps_whole=True,
    keeps_scale=True,
    rounding=usual_rounding,
    scratch=_indices,
    lesson="The picture is cut into a fixed number of parts, whatever its size, and each gives its largest value.",
)
def AdaptiveMaxPool2d(output_size, return_indices=False) -> Effect:
    """The largest value of each of output_size equal parts of the picture; None keeps that side's length.

    Example: AdaptiveMaxPool2d((5, 7))
    """
    _no_indices(return_indices)
    return AdaptiveAvgPool2d.function(output_size)


@fixed(
    computes=Computes.MEAN,
    keeps_whole=False,
    keeps_scale=True,
    rounding=_part_rounding,
    scratch=no_scratch,
    lesson=(
        "The picture is cut into a fixed number of parts, whatever its size, and each gives its mean. Classifiers "
        "use it to turn pictures of any size into a list of a fixed length."
    ),
)
def AdaptiveAvgPool2d(output_size) -> Effect:
    """The mean of each of output_size equal parts of the picture; None keeps that side's length.

    Example: AdaptiveAvgPool2d((None, 7))
    """
    sizes = output_size if isinstance(output_size, tuple) else (output_size,) * 2
    if len(sizes) != 2 or output_size is None:
        raise ArgumentError("output_size", f"must be one number or a pair (height, width), not {show(output_size)}")
    axes = [Adaptive(None if size is None else whole(size, "output_size")) for size in sizes]
    return Effect(*axes, local=False, interval=unchanged)


def _no_indices(return_indices) -> None:
    only(return_indices, "return_indices", False, "a pipeline passes on one tensor")


def _windows(kernel_size, stride, padding, ceil_mode, dilation=1) -> list[Window]:
    sizes, apart, pads = pair(kernel_size, "kernel_size"), pair(dilation, "dilation"), pair(padding, "padding", 0)
    steps = sizes if stride is None else pair(stride, "stride")
    axes = [
        Window(size, step, dil, pad, pad, flag(ceil_mode, "ceil_mode"))
        for size, step, dil, pad in zip(sizes, steps, apart, pads, strict=True)
    ]
    for axis in axes:
        if axis.before > axis.size // 2:
            most = f"{axis.size // 2}, half of kernel_size {axis.size}"
            raise ArgumentError("padding", f"must be at most {most}, and it is {axis.before}")
    return axes


def _misses(axis: Window, n: int) -> bool:
    """Whether a window lies in the padding alone, with a pixel before the picture and the next one behind it."""
    starts = range(-axis.before, 0, axis.stride)[: axis.length(n)] if axis.dilation > n else ()
    return any(start % axis.dilation >= n for start in starts)


def _fractions(size: int, count: int = 0, ratio: float = 0.0):
    """How many windows of FractionalMaxPool2d: ``count``, or ``ratio`` of the pixels."""

    def length(n: int) -> int:
        out = count or int(n * ratio)
        if out < 1:
            raise ValueError(f"no output is left of {n} pixels")
        if out + size - 1 > n:
            raise ValueError(f"{out} windows of {size} do not fit; at most {max(0, n - size + 1)} do")
        return out

    return length
