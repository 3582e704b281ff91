"""The vocabulary: one small function a layer, whose signature is the layer's and whose value is its Effect."""

from collections.abc import Callable
from dataclasses import dataclass

from convfilter import activations
from convfilter.activations import plain
from convfilter.checks import ArgumentError, choice, flag, number, only, pair, show, sides, whole
from convfilter.effects import Adaptive, Effect, Resize, Transposed, Whole, Window

Matrix = tuple[tuple[float, ...], ...]
MODES = {"zeros": "zeros", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel as a pipeline writes it, with its coefficients: one matrix, or several for a bank."""

    text: str
    matrices: tuple[Matrix, ...]


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
    matrices = [m for kernel in weight or () for m in kernel.matrices]
    if len(matrices) > out:
        raise ArgumentError("weight", f"has {len(matrices)} kernels for {out} output channels")
    for matrix in matrices:
        if (len(matrix), len(matrix[0])) != (window[0].size, window[1].size):
            size = f"{len(matrix)}x{len(matrix[0])}"
            raise ArgumentError("weight", f"is {size}, and kernel_size is {window[0].size}x{window[1].size}")
    known = len(matrices) == out and bias is not True
    return Effect(
        *window, c, out,
        parameters=out * (c // groups) * window[0].size * window[1].size + (out if bias is not False else 0),
        values=_weighted(matrices, biases, c // groups, window) if known else None,
    )  # fmt: skip


def ConvTranspose2d(
    in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, groups=1, bias=True, dilation=1,
    padding_mode="zeros", device=None, dtype=None,
) -> Effect:  # fmt: skip
    """Each input pixel adds a weighted window to the output: a learnt enlargement.

    Example: ConvTranspose2d(1, 1, 4, stride=2, padding=1)
    """
    c, out = whole(in_channels, "in_channels"), whole(out_channels, "out_channels")
    sizes, steps, apart = pair(kernel_size, "kernel_size"), pair(stride, "stride"), pair(dilation, "dilation")
    pads, extra = pair(padding, "padding", 0), pair(output_padding, "output_padding", 0)
    groups = _groups(groups, c, out)
    _biases(bias, out)
    choice(padding_mode, "padding_mode", ("zeros",))
    plain(device, dtype)
    axes = []
    for size, step, apart_, pad, more in zip(sizes, steps, apart, pads, extra, strict=True):
        if more >= max(step, apart_):
            raise ArgumentError("output_padding", f"must be smaller than stride or dilation, and {more} is not")
        axes.append(Transposed(size, step, apart_, pad, more))
    weights = c * (out // groups) * sizes[0] * sizes[1]
    return Effect(*axes, c, out, parameters=weights + (out if bias is not False else 0))


def MaxPool2d(kernel_size, stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False) -> Effect:
    """The largest value of each window.

    Example: MaxPool2d(2)
    """
    only(return_indices, "return_indices", False, "a pipeline passes on one tensor")
    axes = _pooling(kernel_size, stride, padding, ceil_mode, dilation)
    return Effect(*axes, values=lambda lo, hi, shape: (lo, hi))


def AvgPool2d(
    kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Effect:
    """The mean of each window.

    Example: AvgPool2d(2)
    """
    axes = _pooling(kernel_size, stride, padding, ceil_mode)
    include = flag(count_include_pad, "count_include_pad")
    factor = 1.0
    if divisor_override is not None:
        factor = axes[0].size * axes[1].size / whole(divisor_override, "divisor_override")
    padded = (include or divisor_override is not None) and any(axis.before or axis.ceil_mode for axis in axes)

    def values(lo, hi, shape):
        lo, hi = _with_zero(lo, hi) if padded else (lo, hi)
        return lo * factor, hi * factor

    return Effect(*axes, values=values)


def FractionalMaxPool2d(
    kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
) -> Effect:
    """The largest value of each of output_size windows, whose places are random (drawn by the seed).

    Example: FractionalMaxPool2d(3, output_ratio=0.5)
    """
    sizes = pair(kernel_size, "kernel_size")
    only(return_indices, "return_indices", False, "a pipeline passes on one tensor")
    only(_random_samples, "_random_samples", None, "the seed draws the samples")
    if (output_size is None) == (output_ratio is None):
        raise ArgumentError("output_size", "or output_ratio must be given, and not both")
    if output_size is not None:
        outs = pair(output_size, "output_size")
        counts = [lambda n, out=out: out for out in outs]
    else:
        ratios = output_ratio if isinstance(output_ratio, tuple) else (output_ratio,) * 2
        for ratio in ratios:
            if number(ratio, "output_ratio", above=0) >= 1 or len(ratios) != 2:
                raise ArgumentError("output_ratio", f"must be between 0 and 1, not {show(output_ratio)}")
        counts = [lambda n, ratio=ratio: int(n * ratio) for ratio in ratios]

    def axis(size, count):
        def length(n):
            if count(n) < 1 or count(n) + size - 1 > n:
                raise ValueError(f"{count(n)} windows of {size} do not fit in {n} pixels")
            return count(n)

        return Whole(length)

    axes = [axis(size, count) for size, count in zip(sizes, counts, strict=True)]
    return Effect(*axes, local=False, values=lambda lo, hi, shape: (lo, hi))


def LPPool2d(norm_type, kernel_size, stride=None, ceil_mode=False) -> Effect:
    """The norm_type-th root of the sum of each window's norm_type-th powers; inf takes the largest |x|.

    Example: LPPool2d(2, 3)
    """
    p = number(norm_type, "norm_type", finite=False)
    if p == 0:
        number(p, "norm_type", above=0)
    axes = _pooling(kernel_size, stride, 0, ceil_mode)
    n = axes[0].size * axes[1].size

    def values(lo, hi, shape):
        top = max(abs(lo), abs(hi))
        if p == float("inf"):
            return (max(0.0, lo, -hi), top)
        if p < 1 or (p % 2 and lo < 0):
            return None  # negative values have no such root in general
        return (0.0, n ** (1 / p) * top)

    return Effect(*axes, values=values)


def AdaptiveMaxPool2d(output_size, return_indices=False) -> Effect:
    """The largest value of each of output_size equal parts of the picture; None keeps that side's length.

    Example: AdaptiveMaxPool2d((5, 7))
    """
    only(return_indices, "return_indices", False, "a pipeline passes on one tensor")
    return AdaptiveAvgPool2d(output_size)


def AdaptiveAvgPool2d(output_size) -> Effect:
    """The mean of each of output_size equal parts of the picture; None keeps that side's length.

    Example: AdaptiveAvgPool2d((None, 7))
    """
    sizes = output_size if isinstance(output_size, tuple) else (output_size,) * 2
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    if len(sizes) != 2:
        raise ArgumentError("output_size", f"must be one number or a pair (height, width), not {show(output_size)}")
    axes = [Adaptive(None if size is None else whole(size, "output_size")) for size in sizes]
    return Effect(*axes, local=False, values=lambda lo, hi, shape: (lo, hi))


def ZeroPad2d(padding) -> Effect:
    """Zeros around the picture: one width, or (left, right, top, bottom); negative ones crop.

    Example: ZeroPad2d((1, 1, 2, 0))
    """
    return ConstantPad2d(padding, 0)


def ConstantPad2d(padding, value) -> Effect:
    """A constant around the picture: one width, or (left, right, top, bottom); negative ones crop.

    Example: ConstantPad2d(2, 3.5)
    """
    value = number(value, "value")
    return Effect(*_pad(padding, "zeros"), values=lambda lo, hi, shape: (min(lo, value), max(hi, value)))


def ReflectionPad2d(padding) -> Effect:
    """The picture mirrored around its edge pixels: one width, or (left, right, top, bottom).

    Example: ReflectionPad2d(2)
    """
    return Effect(*_pad(padding, "reflect"), values=_same)


def ReplicationPad2d(padding) -> Effect:
    """The edge pixels repeated outwards: one width, or (left, right, top, bottom).

    Example: ReplicationPad2d(2)
    """
    return Effect(*_pad(padding, "replicate"), values=_same)


def CircularPad2d(padding) -> Effect:
    """The picture repeated like a tile: one width, or (left, right, top, bottom).

    Example: CircularPad2d(2)
    """
    return Effect(*_pad(padding, "circular"), values=_same)


def Upsample(size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None) -> Effect:
    """The picture enlarged (or made smaller) to a size (height, width) or by a scale_factor.

    Example: Upsample(scale_factor=2, mode='bilinear')
    """
    mode = choice(mode, "mode", ("nearest", "nearest-exact", "bilinear", "bicubic", "area"))
    if (size is None) == (scale_factor is None):
        raise ArgumentError("size", "or scale_factor must be given, and not both")
    if align_corners is not None:
        flag(align_corners, "align_corners")
        if mode not in ("bilinear", "bicubic"):
            raise ArgumentError("align_corners", f"goes with mode='bilinear' or 'bicubic', not {mode!r}")
    if recompute_scale_factor is not None and flag(recompute_scale_factor, "recompute_scale_factor"):
        only(size, "size", None, "recompute_scale_factor=True goes with scale_factor")
    if size is not None:
        counts, factors = pair(size, "size"), (None, None)
    else:
        scales = scale_factor if isinstance(scale_factor, tuple) else (scale_factor,) * 2
        if len(scales) != 2:
            raise ArgumentError("scale_factor", f"must be one number or a pair, not {show(scale_factor)}")
        factors = tuple(float(number(scale, "scale_factor", above=0)) for scale in scales)
        counts = (None, None)
    taps = {"bilinear": 2, "bicubic": 4}.get(mode, 1)
    axes = [
        Resize(factor, count, taps, bool(align_corners), mode == "nearest-exact", not recompute_scale_factor)
        for factor, count in zip(factors, counts, strict=True)
    ]
    if mode == "area":
        axes = [Adaptive(axis.length) for axis in axes]
    over = (1.1875**2 + 0.1875**2, 2 * 1.1875 * 0.1875) if mode == "bicubic" else (1.0, 0.0)

    def values(lo, hi, shape):  # the bicubic weights of a window add up to `over` where positive, minus it where not
        return over[0] * lo - over[1] * hi if over[1] else lo, over[0] * hi - over[1] * lo if over[1] else hi

    local = mode != "area" and not align_corners and size is None
    return Effect(*axes, local=local, values=values)


def PixelShuffle(upscale_factor) -> Effect:
    """Every r*r channels become one, r times as high and wide.

    Example: PixelShuffle(2)
    """
    r = whole(upscale_factor, "upscale_factor", most=1000)
    return Effect(Resize(r), Resize(r), divide=r * r, values=_same)


def PixelUnshuffle(downscale_factor) -> Effect:
    """Every r*r block of pixels becomes r*r channels of one pixel.

    Example: PixelUnshuffle(2)
    """
    r = whole(downscale_factor, "downscale_factor", most=1000)
    return Effect(*[Window(r, r, mode="divide")] * 2, multiply=r * r, values=_same)


def InstanceNorm2d(
    num_features, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False, device=None, dtype=None, bias=True
) -> Effect:
    """Each channel less its mean, over its standard deviation.

    Example: InstanceNorm2d(1)
    """
    c = whole(num_features, "num_features")
    eps = number(eps, "eps", above=0)
    if momentum is not None:
        number(momentum, "momentum")
    learnt = c * (1 + flag(bias, "bias")) if flag(affine, "affine") else 0
    plain(device, dtype)
    if flag(track_running_stats, "track_running_stats"):  # never trained: mean 0 and variance 1
        scale = (1 + eps) ** -0.5
        values, axis, pixels = (lambda lo, hi, shape: (lo * scale, hi * scale)), Window(), 1
    else:  # of n values none is more than sqrt(n - 1) standard deviations from their mean
        values, axis, pixels = (lambda lo, hi, shape: _around(shape[1] * shape[2] - 1)), Whole(), 2
    local = track_running_stats
    return Effect(axis, axis, c, c, parameters=learnt, local=local, pixels=pixels, values=values)


def LocalResponseNorm(size, alpha=0.0001, beta=0.75, k=1.0) -> Effect:
    """Each value over (k + alpha * the mean square of size neighbouring channels) ** beta.

    Example: LocalResponseNorm(2)
    """
    whole(size, "size")
    alpha, beta, k = number(alpha, "alpha"), number(beta, "beta"), number(k, "k")

    def values(lo, hi, shape):
        if min(alpha, beta) < 0 or k <= 0:
            return None
        return min(lo, 0.0) / k**beta, max(hi, 0.0) / k**beta

    return Effect(values=values)


def Identity(*args, **kwargs) -> Effect:
    """What comes in; arguments are taken and mean nothing.

    Example: Identity()
    """
    return Effect(elementwise=True, values=_same)


def Dropout(p=0.5, inplace=False) -> Effect:
    """What comes in: values are dropped in training only.

    Example: Dropout(0.5)
    """
    if not 0 <= number(p, "p") <= 1:
        raise ArgumentError("p", f"must be from 0 to 1, not {show(p)}")
    flag(inplace, "inplace")
    return Effect(elementwise=True, values=_same)


def Dropout2d(p=0.5, inplace=False) -> Effect:
    """What comes in: channels are dropped in training only.

    Example: Dropout2d(0.5)
    """
    return Dropout(p, inplace)


def Filter2d(*kernel, stride=1, padding="same", dilation=1, padding_mode="replicate") -> Effect:
    """Each kernel applied to each input channel: n kernels on c channels give n*c channels.

    Example: Filter2d(sobel_x, sobel_y)
    """
    if not kernel:
        raise ArgumentError("kernel", "is missing; give one kernel or more, such as Filter2d(sobel_x)")
    matrices = same_size([matrix for one in kernel for matrix in one.matrices])
    size = len(matrices[0]), len(matrices[0][0])
    window = _windows(size, stride, padding, dilation, padding_mode)
    return Effect(
        *window,
        multiply=len(matrices),
        parameters_per_channel=len(matrices) * size[0] * size[1],
        values=_weighted(matrices, [0.0] * len(matrices), 1, window),
    )


def Magnitude() -> Effect:
    """The square root of the sum of squares over the channels.

    Example: Magnitude()
    """

    def values(lo, hi, shape):
        root = shape[0] ** 0.5
        return max(0.0, lo, -hi) * root, max(abs(lo), abs(hi)) * root

    return Effect(out_channels=1, values=values)


def same_size(matrices: list[Matrix]) -> list[Matrix]:
    """Return the matrices in one size, zeros around the smaller ones, so that their centres stand over each other."""
    above, left = (max((n - 1) // 2 for n in sizes) for sizes in _sizes(matrices))
    below, right = (max(n // 2 for n in sizes) for sizes in _sizes(matrices))

    def pad(matrix):
        h, w = len(matrix), len(matrix[0])
        ahead, behind = left - (w - 1) // 2, right - w // 2
        width = left + right + 1
        rows = [(0.0,) * ahead + tuple(row) + (0.0,) * behind for row in matrix]
        blank = [(0.0,) * width]
        return (*blank * (above - (h - 1) // 2), *rows, *blank * (below - h // 2))

    return [pad(matrix) for matrix in matrices]


def _sizes(matrices):
    return [len(m) for m in matrices], [len(m[0]) for m in matrices]


def _windows(kernel_size, stride, padding, dilation, padding_mode, same_needs_stride_1=False) -> list[Window]:
    sizes, steps, apart = pair(kernel_size, "kernel_size"), pair(stride, "stride"), pair(dilation, "dilation")
    mode = choice(padding_mode, "padding_mode", tuple(MODES))
    if isinstance(padding, str):
        choice(padding, "padding", ("same", "valid"))
        if padding == "same" and same_needs_stride_1 and steps != (1, 1):
            raise ArgumentError("padding", f"'same' goes with stride 1 only, and stride is {show(stride)}")
        total = [d * (k - 1) if padding == "same" else 0 for d, k in zip(apart, sizes, strict=True)]
        pads = [(t // 2, t - t // 2) for t in total]
    else:
        pads = [(p, p) for p in pair(padding, "padding", 0)]
    return [
        Window(size, step, dil, before, after, mode=mode)
        for size, step, dil, (before, after) in zip(sizes, steps, apart, pads, strict=True)
    ]


def _pooling(kernel_size, stride, padding, ceil_mode, dilation=1) -> list[Window]:
    sizes, apart, pads = pair(kernel_size, "kernel_size"), pair(dilation, "dilation"), pair(padding, "padding", 0)
    steps = sizes if stride is None else pair(stride, "stride")
    ceil_mode = flag(ceil_mode, "ceil_mode")
    axes = []
    for size, step, dil, pad in zip(sizes, steps, apart, pads, strict=True):
        if pad > (dil * (size - 1) + 1) // 2:
            raise ArgumentError("padding", f"must be at most half the window of {dil * (size - 1) + 1}, not {pad}")
        axes.append(Window(size, step, dil, pad, pad, ceil_mode))
    return axes


def _pad(padding, mode) -> list[Window]:
    left, right, top, bottom = sides(padding, "padding")
    if mode != "zeros" and min(left, right, top, bottom) < 0:
        raise ArgumentError("padding", f"must not be negative here, and it is {show(padding)}; ZeroPad2d can crop")
    return [Window(before=top, after=bottom, mode=mode), Window(before=left, after=right, mode=mode)]


def _groups(groups, c, out) -> int:
    groups = whole(groups, "groups")
    if c % groups or out % groups:
        raise ArgumentError("groups", f"must divide in_channels {c} and out_channels {out}, and {groups} does not")
    return groups


def _biases(bias, out) -> list[float]:
    """The known biases; zeros where there is none (or a random one, which makes the range unknown anyway)."""
    if isinstance(bias, bool):
        return [0.0] * out
    if isinstance(bias, tuple):
        if len(bias) != out:
            raise ArgumentError("bias", f"has {len(bias)} numbers for {out} output channels")
        return [number(b, "bias") for b in bias]
    if bias is None or isinstance(bias, str):
        raise ArgumentError("bias", f"must be True, False, a number or a list of numbers, not {show(bias)}")
    return [number(bias, "bias")] * out


def _weighted(matrices, biases, times, window) -> Callable:
    """The interval of a weighted sum, by interval arithmetic: each matrix applied to ``times`` input channels."""
    sums = [
        (times * sum(v for row in m for v in row if v > 0), times * sum(v for row in m for v in row if v < 0), b)
        for m, b in zip(matrices, biases, strict=True)
    ]
    padded = any(axis.mode == "zeros" and (axis.before or axis.after) for axis in window)

    def values(lo, hi, shape):
        lo, hi = _with_zero(lo, hi) if padded else (lo, hi)
        return (min(up * lo + down * hi + b for up, down, b in sums),
                max(up * hi + down * lo + b for up, down, b in sums))  # fmt: skip

    return values


def _with_zero(lo, hi):
    return min(lo, 0.0), max(hi, 0.0)


def _around(square):
    return -(square**0.5), square**0.5


def _same(lo, hi, shape):
    return lo, hi


LAYERS: dict[str, Callable[..., Effect]] = {
    name: value
    for home in (globals().copy(), vars(activations))
    for name, value in home.items()
    if name[0].isupper() and callable(value) and getattr(value, "__annotations__", {}).get("return") is Effect
}
