"""Each layer without its padding, by the algorithm that is quickest for its kernel and its channels."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convfilter.effects import Effect, Window

# How a kernel is applied, by its taps. Nanoseconds a pixel, one channel, one core of 2.6 GHz (tests/bench/rules.py):
#
#     kernel                      3     5     9    11    15    17    21    31    41
#     strips, a product a tap  0.56  0.85   1.8   2.6   6.7   8.3    12    25    42
#     strips, row and column    1.0   1.2   1.5   1.5   2.3   2.1   2.4   3.3   4.1
#     FFT, two halves at once                     7.4   7.4   7.4   7.5   7.6   8.0
#     plain nn.Conv2d           5.8    11    30    42    65    80   120   260   430
SEPARATE = 11 * 11  # from here a kernel of rank 1 is quicker as a row and a column
TRANSFORM = 17 * 17  # from here, counted a pixel of the input, FFT is quicker than a product a tap
BLOCK = 256  # columns that FFT gives at once: with its rows, what a core's own cache holds
TRANSFORMS = 64  # input times output channels up to which FFT stays quicker
VECTOR = 16  # channels that oneDNN computes at once; fewer are padded to as many

NEVER_FALLING = (  # these may move behind a max pool, to fewer pixels
    nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.LogSigmoid, nn.SELU, nn.Softsign, nn.Hardsigmoid,
)  # fmt: skip

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Step:
    """A layer without its padding.

    ``apply`` takes (1, C, h, w) with everything that the wanted outputs see, may overwrite it, and gives those outputs.
    ``apart`` says that all channels are treated alike and apart, so that the strips of a one-channel picture may stand
    as channels, and ``heavy`` that this is worth the way into strips. ``fill`` is what lies around the picture where
    the axes' mode is zeros. ``border(axis, outputs, n)`` is the factor that outputs at these positions still lack.
    ``taps`` are the multiplications an output value takes, roughly.
    """

    effect: Effect
    apply: Apply
    apart: bool = False
    heavy: bool = False
    fill: float = 0.0
    border: Callable[[Window, Tensor, int], Tensor] | None = None
    taps: int = 1


def choose_steps(effects: Sequence[Effect], network: nn.Sequential) -> tuple[Step, ...]:
    """Return a network's layers as steps that together give its values, each by its quickest algorithm.

    ``effects`` are those of the layers, one a module of ``network``, as ``convfilter.network.build`` returns it. An
    activation that never falls moves behind a max pool that follows it.

    >>> network = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    >>> effects = [Effect(elementwise=True), Effect(Window(2, 2), Window(2, 2))]
    >>> [step.effect.rows.size for step in choose_steps(effects, network)]
    [2, 1]
    """
    layers = list(zip(effects, network, strict=True))
    for i in range(1, len(layers)):
        j = i
        while j and isinstance(layers[j][1], nn.MaxPool2d) and isinstance(layers[j - 1][1], NEVER_FALLING):
            layers[j - 1 : j + 1] = layers[j], layers[j - 1]
            j -= 1
    return tuple(choose_step(effect, module) for effect, module in layers)


def choose_step(effect: Effect, module: nn.Module) -> Step:
    """Return one layer as a step."""
    if isinstance(module, nn.Sequential):  # a Conv2d behind padding that it cannot say by itself
        module = module[-1]
    if isinstance(module, nn.Conv2d):
        one = module.in_channels == module.out_channels == 1
        apply, direct = _convolution(module)
        taps = min(module.weight[0].numel(), TRANSFORM)
        return Step(effect, apply, apart=one and direct, heavy=True, taps=taps)
    if isinstance(module, nn.ConvTranspose2d):
        return Step(effect, _transposed(module))
    if isinstance(module, nn.MaxPool2d):
        return Step(effect, lambda x: _largest(x, effect), apart=True, heavy=True, fill=-torch.inf)
    if isinstance(module, nn.AvgPool2d):
        return _mean(effect, module)
    if isinstance(module, nn.LPPool2d):
        return Step(effect, module, apart=True, heavy=True, border=_border(True, 1 / module.norm_type))
    if isinstance(module, (nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)):
        return Step(effect, lambda x: x, apart=True, fill=getattr(module, "value", 0.0))
    return Step(effect, _in_place(module), apart=effect.elementwise and getattr(module, "num_parameters", 1) == 1)


def _convolution(conv: nn.Conv2d) -> tuple[Apply, bool]:
    """The layer's algorithm, and whether it takes channels apart."""
    weight, stride, dilation = conv.weight, conv.stride, conv.dilation
    taps, pairs = weight[0, 0].numel(), weight.shape[0] * weight.shape[1]
    if pairs == 1 and taps >= SEPARATE and (factors := separate(weight)):
        return _row_and_column(*factors, conv.bias, stride, dilation), True
    if pairs <= TRANSFORMS and taps >= TRANSFORM * stride[0] * stride[1]:
        return _transform(conv), False
    if pairs == 1:
        return _repeat(weight, conv.bias, stride, dilation), True
    side_by_side = VECTOR // len(weight)
    width = dilation[1] * (weight.shape[3] - 1) + 1 + (side_by_side - 1) * stride[1]
    if conv.groups == 1 and width < side_by_side * weight.shape[3]:
        return _phases(conv, side_by_side, width), False
    return lambda x: _convolve(x, weight, conv.bias, stride, dilation, conv.groups), False


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride, dilation, groups: int = 1) -> Tensor:
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
    if kernel[i, j] == 0:
        return None
    if (kernel == np.rint(kernel)).all():
        row = row / np.gcd.reduce(np.abs(row).astype(np.int64))
    column = kernel[:, j] / row[j]
    if (np.abs(np.outer(column, row) - kernel) > 2.0**-21 * np.abs(kernel)).any():
        return None
    column, row = (torch.from_numpy(side.astype(np.float32)) for side in (column, row))
    return column.view(1, 1, -1, 1), row.view(1, 1, 1, -1)


def _repeat(weight: Tensor, bias: Tensor | None, stride, dilation) -> Apply:
    """One kernel (1, 1, h, w) on every channel."""

    @cache
    def repeated(c):
        return weight.repeat(c, 1, 1, 1), None if bias is None else bias.repeat(c)

    return lambda x: _convolve(x, *repeated(x.shape[1]), stride, dilation, x.shape[1])


def _row_and_column(column: Tensor, row: Tensor, bias: Tensor | None, stride, dilation) -> Apply:
    along = _repeat(row, None, (1, stride[1]), (1, dilation[1]))
    down = _repeat(column, bias, (stride[0], 1), (dilation[0], 1))
    return lambda x: down(along(x))


def _phases(conv: nn.Conv2d, side_by_side: int, width: int) -> Apply:
    """Neighbouring columns as output channels: a kernel ``width`` wide, in it one copy for each, shifted.

    Then few channels fill a vector, and what comes out in NHWC order is the picture.
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


def _transform(conv: nn.Conv2d) -> Apply:
    """FFT of blocks of columns, two at once as real and imaginary parts: the kernel is real, so they stay apart.

    Whole numbers stay exact: they are rounded where FFT's error is less than a half, and elsewhere never come here.
    """
    weight, groups, (down, along) = conv.weight, conv.groups, conv.stride
    c_out, c_in, kh, kw = weight.shape
    kh, kw = conv.dilation[0] * (kh - 1) + 1, conv.dilation[1] * (kw - 1) + 1
    kernel = weight.new_zeros(groups, c_out // groups, c_in, kh, kw)
    kernel[..., :: conv.dilation[0], :: conv.dilation[1]] = weight.view(groups, -1, *weight.shape[1:])
    whole = bool((weight == weight.round()).all())
    most = weight.abs().sum((1, 2, 3)).max()

    @lru_cache(maxsize=4)
    def spectrum(shape):
        return torch.fft.fft2(kernel, shape).conj().resolve_conj()

    def apply(x):
        _, c, h, w = x.shape
        rows, columns = h - kh + 1, w - kw + 1
        exact = whole and bool((x == x.round()).all())
        if exact and most * x.abs().max() >= 2**20:
            return _convolve(x, weight, conv.bias, conv.stride, conv.dilation, groups)
        pairs = -(-columns // (2 * max(BLOCK, 2 * kw)))
        width = -(-columns // (2 * pairs))
        shape = smooth(h), smooth(width + kw - 1)
        y = x.new_empty(1, c_out, rows, columns)
        z = torch.zeros(c, *shape, dtype=torch.complex64)
        for start in range(0, columns, 2 * width):
            lefts = [min(left, columns - width) for left in (start, start + width)]
            torch.complex(*(x[0, ..., left : left + width + kw - 1] for left in lefts), out=z[:, :h, : width + kw - 1])
            spectra = torch.fft.fft2(z).view(groups, 1, c_in, *shape)
            products = spectra.mul_(spectrum(shape)) if c_in == c_out == groups else spectra * spectrum(shape)
            products = products.sum(2) if c_in > 1 else products
            blocks = torch.fft.ifft2(products.view(c_out, *shape)).numpy()[:, :rows, :width]
            for left, block in zip(lefts, (blocks.real, blocks.imag), strict=True):
                y.numpy()[0, ..., left : left + width] = block
        y = y[..., ::down, ::along]
        y = y.round() if exact else y
        return y if conv.bias is None else y + conv.bias.view(-1, 1, 1)

    return apply


@cache
def smooth(n: int) -> int:
    """Return the least multiple of 4 from ``n`` on that is a product of twos, threes and fives, as FFT likes it.

    >>> [smooth(n) for n in (1, 7, 11, 265, 320)]
    [4, 8, 12, 288, 320]
    """
    rest = n
    for factor in (2, 3, 5):
        while rest % factor == 0:
            rest //= factor
    return n if rest == 1 and n % 4 == 0 else smooth(n + 1)


def _transposed(conv: nn.ConvTranspose2d) -> Apply:
    return lambda x: F.conv_transpose2d(x, conv.weight, conv.bias, conv.stride, 0, 0, conv.groups, conv.dilation)


def _largest(x: Tensor, effect: Effect) -> Tensor:
    """A max pool: the largest of each row, then of each column."""
    for dim, axis in ((3, effect.columns), (2, effect.rows)):
        count = (x.shape[dim] - axis.span) // axis.stride + 1
        if axis.stride > 1:
            places = [slice(i * axis.dilation, None, axis.stride) for i in range(axis.size)]
            views = [x[:, :, place] if dim == 2 else x[..., place] for place in places]
            x = reduce(torch.maximum, (view.narrow(dim, 0, count) for view in views))
            continue
        seen = 1  # pixels that the largest is taken of so far: twice as many each time
        while seen < axis.size:
            shift = min(seen, axis.size - seen)
            length = x.shape[dim] - shift * axis.dilation
            x = torch.maximum(x.narrow(dim, 0, length), x.narrow(dim, shift * axis.dilation, length))
            seen += shift
    return x


def _mean(effect: Effect, pool: nn.AvgPool2d) -> Step:
    """An average pool, as a kernel whose coefficients are all the same."""
    size = effect.rows.size, effect.columns.size
    share = 1 / (pool.divisor_override or size[0] * size[1])
    stride = effect.rows.stride, effect.columns.stride
    if size[0] * size[1] >= SEPARATE:
        column, row = torch.full((1, 1, size[0], 1), share), torch.ones(1, 1, 1, size[1])
        apply = _row_and_column(column, row, None, stride, (1, 1))
    else:
        apply = _repeat(torch.full((1, 1, *size), share), None, stride, (1, 1))
    border = None if pool.divisor_override else _border(pool.count_include_pad)
    return Step(effect, apply, apart=True, heavy=True, border=border)


def _border(include_pad: bool, power: float = 1.0) -> Callable[[Window, Tensor, int], Tensor]:
    """The factor of a mean over windows that reach past the picture, of which PyTorch counts fewer pixels there."""

    def factor(axis, outputs, n):
        first = outputs * axis.stride - axis.before
        last = (first + axis.size).clamp(max=n + axis.after if include_pad else n)
        first = first if include_pad else first.clamp(min=0)
        return (axis.size / (last - first)) ** power

    return factor


def _in_place(module: nn.Module) -> Apply:
    """The module, overwriting what comes in where torch has a way to."""
    if hasattr(module, "inplace"):
        module = copy.copy(module)
        module.inplace = True
        return module
    return {nn.Sigmoid: torch.sigmoid_, nn.Tanh: torch.tanh_}.get(type(module), module)
