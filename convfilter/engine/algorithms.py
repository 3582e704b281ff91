"""Each layer without its padding, by the algorithm that is quickest for its kernel and its channels."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convfilter.engine.build import Magnitude
from convfilter.engine.fft import transform
from convfilter.layers.shapes import Effect, Window

# How a kernel is applied, by its taps. Nanoseconds a pixel, one channel, one core of 2.6 GHz (tests/bench/rules.py):
#
#     kernel                      3     5     9    11    15    17    21    31    41
#     strips, a product a tap  0.56  0.85   1.8   2.6   6.7   8.3    12    25    42
#     strips, row and column    1.0   1.2   1.5   1.5   2.3   2.1   2.4   3.3   4.1
#     FFT, two halves at once                     7.4   7.4   7.4   7.5   7.6   8.0
#     plain nn.Conv2d           5.8    11    30    42    65    80   120   260   430
SEPARATE = 11 * 11  # from here a kernel of rank 1 is quicker as a row and a column
TRANSFORM = 17 * 17  # from here, counted a pixel of the input, FFT is quicker than a product a tap
TRANSFORMS = 64  # input times output channels up to which FFT stays quicker
VECTOR = 16  # channels that oneDNN computes at once; fewer are padded to as many
BANK = 2  # kernels that a picture's strips go through one after the other; more are quicker as phases

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """How a layer is computed, without its padding.

    ``apply`` takes (1, C, h, w) with everything that the wanted outputs see, may overwrite it, and gives those outputs.
    ``on_strips`` does the same to channels of which each stands as 16 strips, (1, C * 16, h, w); it is ``apply`` itself
    where all channels are treated alike and apart. ``heavy`` says that this is worth laying a picture out as strips.
    ``fill`` is what lies around the picture where the axes' mode is zeros. ``divisor(axis, outputs, n)``, of rows times
    of columns, is what the outputs at these positions are still to be divided by. ``taps`` are the multiplications that
    an output value takes, roughly.
    """

    effect: Effect
    apply: Apply
    on_strips: Apply | None = None
    heavy: bool = False
    fill: float = 0.0
    divisor: Callable[[Window, Tensor, int], Tensor] | None = None
    taps: int = 1


def choose_algorithms(
    effects: Sequence[Effect], network: nn.Sequential, *, plain: bool = False
) -> tuple[Algorithm, ...]:
    """Return the quickest algorithm of each layer, in an order in which they together give the network's values.

    ``effects`` are those of the layers, one a module of ``network``, as ``engine.build`` returns it. The order differs
    from the network's where an activation that never falls is followed by a max pool: it is computed behind it.
    ``plain`` are PyTorch's own algorithms, for several pictures (N, C, h, w) and on whatever device.

    >>> network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    >>> effects = [Effect(elementwise=True, never_falls=True), Effect(Window(2, 2), Window(2, 2))]
    >>> [algorithm.effect.rows.size for algorithm in choose_algorithms(effects, network)]
    [2, 1]
    """
    layers = _pool_first(list(zip(effects, network, strict=True)))
    last = max((number for number, (effect, _) in enumerate(layers) if effect.jumps), default=0)
    if plain:
        return tuple(_plain_algorithm(*layer) for layer in layers)
    return tuple(choose_algorithm(*layer, transforms=number >= last) for number, layer in enumerate(layers))


def _pool_first(layers: Sequence[tuple[Effect, nn.Module]]) -> list[tuple[Effect, nn.Module]]:
    """The layers with each max pool before the activations that it follows: fewer pixels, and the same values.

    For a function f that never falls, max(f(x)) is f(max(x)).
    """
    ordered: list[tuple[Effect, nn.Module]] = []
    for effect, module in layers:
        place = len(ordered)
        if isinstance(module, nn.MaxPool2d) and _sees_pixels(effect):
            while place and ordered[place - 1][0].never_falls:
                place -= 1
        ordered.insert(place, (effect, module))
    return ordered


def _sees_pixels(effect: Effect) -> bool:
    """Whether every window of a max pool holds a pixel, and gives its value, not -inf."""
    return not any(axis.dilation > 1 and axis.before for axis in (effect.rows, effect.columns))


def choose_algorithm(effect: Effect, module: nn.Module, *, transforms: bool = True) -> Algorithm:
    """Return the quickest algorithm of one layer.

    Without ``transforms`` no FFT is used: its rounding makes tiny numbers of what is exactly 0, and a later layer that
    jumps there, such as ``Threshold(0, 255)``, would make a picture of them.
    """
    if isinstance(module, nn.Sequential):  # a Conv2d behind padding that it cannot say by itself
        module = module[-1]
    if isinstance(module, nn.Conv2d):
        taps = min(module.weight[0].numel(), TRANSFORM)
        return Algorithm(effect, _convolution(module, transforms), _bank(module, transforms), heavy=True, taps=taps)
    if isinstance(module, nn.ConvTranspose2d):
        return Algorithm(effect, _transposed(module))
    if isinstance(module, nn.MaxPool2d):
        return _alike(effect, lambda x: _largest(x, effect), heavy=True, fill=-torch.inf)
    if isinstance(module, nn.AvgPool2d):
        return _mean(effect, module)
    if isinstance(module, nn.LPPool2d):
        nothing = torch.inf if module.norm_type < 0 else 0.0  # to this power it is 0
        return _alike(effect, module, heavy=True, fill=nothing, divisor=_root_of_share(1 / module.norm_type))
    if isinstance(module, (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)):
        return _alike(effect, lambda x: x, fill=getattr(module, "value", 0.0))
    if isinstance(module, Magnitude):
        return Algorithm(effect, module, _magnitude)
    if effect.elementwise and getattr(module, "num_parameters", 1) == 1:
        return _alike(effect, _in_place(module))
    return Algorithm(effect, _in_place(module))


def _plain_algorithm(effect: Effect, module: nn.Module) -> Algorithm:
    """PyTorch's own algorithm where that of ``choose_algorithm`` is for one picture, or for the CPU."""
    conv = module[-1] if isinstance(module, nn.Sequential) else module
    if isinstance(conv, nn.Conv2d):
        weight, bias, stride, dilation, groups = conv.weight, conv.bias, conv.stride, conv.dilation, conv.groups
        return Algorithm(effect, lambda x: F.conv2d(x, weight, bias, stride, 0, dilation, groups))
    if isinstance(module, nn.AvgPool2d):
        size, stride = ((getattr(effect.rows, name), getattr(effect.columns, name)) for name in ("size", "stride"))
        divisor = module.divisor_override or 1
        count = None if module.divisor_override else _count(module.count_include_pad)
        return Algorithm(effect, lambda x: F.avg_pool2d(x, size, stride, divisor_override=divisor), divisor=count)
    if isinstance(module, nn.FractionalMaxPool2d):
        return Algorithm(effect, lambda x: torch.cat([module(sample) for sample in x.split(1)]))  # of the same windows
    return choose_algorithm(effect, module)


def _alike(effect: Effect, apply: Apply, **rest) -> Algorithm:
    return Algorithm(effect, apply, apply, **rest)


def _convolution(conv: nn.Conv2d, transforms: bool) -> Apply:
    weight, stride, dilation = conv.weight, conv.stride, conv.dilation
    taps, pairs = weight[0, 0].numel(), weight.shape[0] * weight.shape[1]
    if pairs == 1 and taps >= SEPARATE and (factors := separate(weight)):
        return _row_and_column(*factors, conv.bias, stride, dilation)
    if transforms and pairs <= TRANSFORMS and taps >= TRANSFORM * stride[0] * stride[1]:
        return transform(conv, lambda x: _convolve(x, weight, conv.bias, stride, dilation, conv.groups))
    if pairs == 1:
        return _repeat(weight, conv.bias, stride, dilation)
    side_by_side = max(1, VECTOR // len(weight))
    width = dilation[1] * (weight.shape[3] - 1) + 1 + (side_by_side - 1) * stride[1]
    if conv.groups == 1 and width < side_by_side * weight.shape[3]:
        return _phases(conv, side_by_side, width)
    return lambda x: _convolve(x, weight, conv.bias, stride, dilation, conv.groups)


def _bank(conv: nn.Conv2d, transforms: bool) -> Apply | None:
    """Each kernel on the same 16 strips; None for several input channels, or where another algorithm is quicker."""
    if conv.in_channels > 1 or conv.out_channels > BANK:
        return None
    kernels = []
    for i in range(conv.out_channels):
        weight, bias = conv.weight[i : i + 1], None if conv.bias is None else conv.bias[i : i + 1]
        taps = weight.numel()
        if taps >= SEPARATE and (factors := separate(weight)):
            kernels.append(_row_and_column(*factors, bias, conv.stride, conv.dilation))
        elif not transforms or taps < TRANSFORM * conv.stride[0] * conv.stride[1]:
            kernels.append(_repeat(weight, bias, conv.stride, conv.dilation))
        else:
            return None
    return kernels[0] if len(kernels) == 1 else lambda x: torch.cat([kernel(x) for kernel in kernels], 1)


def _magnitude(x: Tensor) -> Tensor:
    """The Magnitude of channels that stand as strips."""
    first, *others = x.split(VECTOR, 1)
    return reduce(lambda y, channel: y.addcmul_(channel, channel), others, first.square()).sqrt_()


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride, dilation, groups: int = 1) -> Tensor:
    if x.shape[1] == 1 and (dilation[0] > 1 or stride[0] > weight.shape[2]):
        # oneDNN 3.12 writes past its memory for one channel in NHWC with rows that a kernel skips, for two it does not
        x, weight = (F.pad(tensor, (0, 0, 0, 0, 0, 1)) for tensor in (x, weight))
    x, span = nhwc(x), dilation[1] * (weight.shape[3] - 1) + 1
    if x.shape[3] < span + stride[1]:  # oneDNN 3.12 reads wrong rows of one channel where a stride gives one column
        x, stride = nhwc(x[..., :span]), (stride[0], 1)
    return F.conv2d(x, weight, bias, stride, 0, dilation, groups)


def nhwc(x: Tensor) -> Tensor:
    """Return (N, C, H, W) with the channels of a pixel next to each other, in strides that say so for one channel too.

    PyTorch takes one channel for NCHW where both fit, and then gives NCHW, at two to six times the time.
    """
    n, c, h, w = x.shape
    if c > 1 and x.is_contiguous(memory_format=torch.channels_last):
        return x
    return x.contiguous(memory_format=torch.channels_last).as_strided((n, c, h, w), (c * h * w, 1, c * w, c))


def separate(weight: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return a kernel (1, 1, h, w) as a column (1, 1, h, 1) times a row (1, 1, 1, w); None if it is no such product.

    A kernel of whole numbers gives a whole column and row, any other one some of float32's last bit.

    >>> column, row = separate(torch.tensor([[[[1.0, 2, 1], [2, 4, 2]]]]))
    >>> column.flatten().tolist(), row.flatten().tolist()
    ([1.0, 2.0], [1.0, 2.0, 1.0])
    """
    kernel = weight[0, 0].double().numpy()
    i, j = np.unravel_index(np.abs(kernel).argmax(), kernel.shape)
    row = kernel[i]
    if kernel[i, j] == 0 or not np.isfinite(kernel).all():
        return None
    if (kernel == np.rint(kernel)).all():
        row = row / np.gcd.reduce(np.abs(row).astype(np.int64))
    column = kernel[:, j] / row[j]
    if (np.abs(np.outer(column, row) - kernel) > 2.0**-21 * np.abs(kernel)).any():
        return None
    column, row = (torch.from_numpy(side.astype(np.float32)) for side in (column, row))
    return column.view(1, 1, -1, 1), row.view(1, 1, 1, -1)


def _repeat(weight: Tensor, bias: Tensor | None, stride, dilation) -> Apply:
    """One kernel (1, 1, h, w) on every channel by itself."""

    @cache
    def repeated(c):
        return weight.repeat(c, 1, 1, 1), None if bias is None else bias.repeat(c)

    return lambda x: _convolve(x, *repeated(x.shape[1]), stride, dilation, x.shape[1])


def _row_and_column(column: Tensor, row: Tensor, bias: Tensor | None, stride, dilation) -> Apply:
    along = _repeat(row, None, (1, stride[1]), (1, dilation[1]))
    down = _repeat(column, bias, (stride[0], 1), (dilation[0], 1))
    return lambda x: down(along(x))


def _phases(conv: nn.Conv2d, side_by_side: int, width: int) -> Apply:
    """Neighbouring columns as output channels: a kernel ``width`` wide for each, which holds the shifted kernel.

    So few channels fill a vector, and the output in NHWC order is the picture.
    """
    c_out, c_in, kh, kw = conv.weight.shape
    (down, along), (_, apart) = conv.stride, conv.dilation
    wide = conv.weight.new_zeros(side_by_side, c_out, c_in, kh, width)
    for i in range(side_by_side):
        wide[i, ..., i * along : i * along + apart * (kw - 1) + 1 : apart] = conv.weight
    wide = nhwc(wide.flatten(0, 1))
    bias = None if conv.bias is None else conv.bias.repeat(side_by_side)

    def apply(x):
        columns = (x.shape[3] - apart * (kw - 1) - 1) // along + 1
        blocks = -(-columns // side_by_side)
        short = (blocks - 1) * side_by_side * along + width - x.shape[3]
        x = F.pad(x, (0, short)) if short > 0 else x
        y = _convolve(x, wide, bias, (down, side_by_side * along), (conv.dilation[0], 1))[..., :blocks]
        y = y.permute(0, 2, 3, 1).reshape(1, y.shape[2], blocks * side_by_side, c_out)
        return y.permute(0, 3, 1, 2)[..., :columns]

    return apply


def _transposed(conv: nn.ConvTranspose2d) -> Apply:
    return lambda x: F.conv_transpose2d(x, conv.weight, conv.bias, conv.stride, 0, 0, conv.groups, conv.dilation)


def _largest(x: Tensor, effect: Effect) -> Tensor:
    """A max pool: the maximum of each window's rows, then of its columns."""
    for dim, axis in ((3, effect.columns), (2, effect.rows)):
        count = (x.shape[dim] - axis.span) // axis.stride + 1
        if axis.stride > 1:
            starts, extent = range(0, axis.span, axis.dilation), (count - 1) * axis.stride + 1
            places = [slice(start, start + extent, axis.stride) for start in starts]
            x = reduce(torch.maximum, [x[:, :, place] if dim == 2 else x[..., place] for place in places])
            continue
        seen = 1  # pixels that the largest is taken of so far: twice as many each time
        while seen < axis.size:
            shift = min(seen, axis.size - seen)
            length = x.shape[dim] - shift * axis.dilation
            x = torch.maximum(x.narrow(dim, 0, length), x.narrow(dim, shift * axis.dilation, length))
            seen += shift
    return x


def _mean(effect: Effect, pool: nn.AvgPool2d) -> Algorithm:
    """An average pool: the sum, by a kernel of ones, and then PyTorch's division, so that whole numbers stay exact."""
    stride = effect.rows.stride, effect.columns.stride
    ones = torch.ones(1, 1, effect.rows.size, effect.columns.size)
    if ones.numel() >= SEPARATE:
        total = _row_and_column(ones[..., :1], ones[:, :, :1], None, stride, (1, 1))
    else:
        total = _repeat(ones, None, stride, (1, 1))
    if pool.divisor_override:
        return _alike(effect, lambda x: total(x).div_(pool.divisor_override), heavy=True)
    return _alike(effect, total, heavy=True, divisor=_count(pool.count_include_pad))


def _count(include_pad: bool) -> Callable[[Window, Tensor, int], Tensor]:
    """The pixels that PyTorch counts in each window of a mean: fewer where it reaches past the picture."""

    def count(axis, outputs, n):
        first = outputs * axis.stride - axis.before
        last = (first + axis.size).clamp(max=n + axis.after if include_pad else n)
        return last - (first if include_pad else first.clamp(min=0))

    return count


def _root_of_share(exponent: float) -> Callable[[Window, Tensor, int], Tensor]:
    """The share of its window that a mean of powers counts, to the power of ``exponent``."""
    count = _count(True)
    return lambda axis, outputs, n: (count(axis, outputs, n) / axis.size) ** exponent


def _in_place(module: nn.Module) -> Apply:
    """The module, overwriting its input where torch can."""
    if hasattr(module, "inplace"):
        module = copy.copy(module)
        module.inplace = True
        return module
    return {nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}.get(type(module), module)
