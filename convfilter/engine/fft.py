"""Convolutions with large kernels, as products of Fourier transforms."""

from collections.abc import Callable
from functools import cache, lru_cache

import torch
from torch import Tensor, nn

# FFT's error, over the largest input, is less than SUM times the sum of the kernel's absolute values and ROOT times the
# root of its sum of squares. Measured, over the first: 3.2e-7 for kernels of ones, 8.6e-7 for a single large value, the
# most of 17x17 to 61x61 on up to nine megapixels of black and white noise.
SUM, ROOT = 4e-7, 9e-7
LARGEST = 1e38  # that a sum of all inputs, times the kernel's values, may come to: little more is infinity
BLOCK = 256  # columns that FFT gives at once: with its rows, what a core's own cache holds


def transform(conv: nn.Conv2d, direct: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return a Conv2d without its padding, (1, C, h, w) -> (1, C_out, rows, columns), by FFT of blocks of columns.

    Two blocks go at once, as real and imaginary parts: the kernel is real, so they stay apart. Whole numbers stay
    exact: they are rounded where FFT's error is less than a half, and elsewhere the layer is ``direct``. It is so too
    for infinity and what might become that on the way. Constant channels give constant channels, and windows of zeros
    alone exactly 0: FFT's error is a share of the largest input, and a later Tanh would show it in a black region.

    >>> conv = nn.Conv2d(1, 1, 3, bias=False).requires_grad_(False)
    >>> impulse = torch.nn.functional.pad(torch.ones(1, 1, 1, 1), (2, 2, 2, 2))
    >>> torch.allclose(transform(conv, conv)(impulse), conv.weight.flip(2, 3), atol=1e-6)
    True
    """
    weight, groups, (down, along) = conv.weight, conv.groups, conv.stride
    c_out, c_in, kh, kw = weight.shape
    kh, kw = conv.dilation[0] * (kh - 1) + 1, conv.dilation[1] * (kw - 1) + 1
    kernel = weight.new_zeros(groups, c_out // groups, c_in, kh, kw)
    kernel[..., :: conv.dilation[0], :: conv.dilation[1]] = weight.view(groups, -1, *weight.shape[1:])
    whole = bool((weight == weight.round()).all())
    total = weight.flatten(1).norm(1, 1).max().item()
    error = (SUM * weight.flatten(1).norm(1, 1) + ROOT * weight.flatten(1).norm(2, 1)).max()

    @lru_cache(maxsize=4)
    def spectrum(shape):
        return torch.fft.fft2(kernel, shape).conj().resolve_conj()

    def apply(x):
        _, c, h, w = x.shape
        rows, columns = h - kh + 1, w - kw + 1
        ends = [[end.item() for end in torch.aminmax(channel)] for channel in x[0]]  # by dim: 25 times the time
        lows, highs = zip(*ends, strict=True)
        if lows == highs:
            pixel = direct(x[..., :kh, :kw])
            return pixel.expand(-1, -1, -(-rows // down), -(-columns // along)).clone()
        peak = max(-min(lows), max(highs))
        exact = whole and bool((x == x.round()).all())
        if not peak * h * w * total < LARGEST or (exact and peak * error >= 0.5):
            return direct(x)
        pairs = -(-columns // (2 * max(BLOCK, 2 * kw)))
        width = -(-columns // (2 * pairs))
        shape = smooth(h), smooth(width + kw - 1)
        y = x.new_empty(1, c_out, -(-rows // down), -(-columns // along))
        z = torch.zeros(c, *shape, dtype=torch.complex64)
        for start in range(0, columns, 2 * width):
            lefts = [min(left, columns - width) for left in (start, start + width)]
            torch.complex(*(x[0, ..., left : left + width + kw - 1] for left in lefts), out=z[:, :h, : width + kw - 1])
            spectra = torch.fft.fft2(z).view(groups, 1, c_in, *shape)
            products = spectra.mul_(spectrum(shape)) if c_in == c_out == groups else spectra * spectrum(shape)
            products = products.sum(2) if c_in > 1 else products
            blocks = torch.fft.ifft2(products.view(c_out, *shape)).numpy()[:, :rows, :width]
            for left, block in zip(lefts, (blocks.real, blocks.imag), strict=True):
                block = block[:, ::down, -left % along :: along]
                y.numpy()[0, ..., -(-left // along) : -(-(left + width) // along)] = block
        if exact:
            y = y.round()
        elif (blank := find_blank(x, kh, kw)) is not None:
            y.masked_fill_(blank[::down, ::along], 0.0)
        return y if conv.bias is None else y + conv.bias.view(-1, 1, 1)

    return apply


def find_blank(x: Tensor, height: int, width: int) -> Tensor | None:
    """Return which windows (rows, columns) of an input (1, C, h, w) hold zeros alone; None where none does.

    >>> find_blank(torch.tensor([[[[0.0, 0, 0, 5, 0]]]]), 1, 2).tolist(), find_blank(torch.ones(1, 1, 9, 9), 3, 3)
    ([[True, True, False, False]], None)
    """
    if (x[0, :, height - 1 :: height, width - 1 :: width] != 0).any(0).all():  # of these pixels each window holds one
        return None
    seen = (x[0] != 0).any(0)
    for dim, size in enumerate((height, width)):
        joined = 1  # pixels: twice as many each time
        while joined < size:
            shift = min(joined, size - joined)
            length = seen.shape[dim] - shift
            seen = seen.narrow(dim, 0, length) | seen.narrow(dim, shift, length)
            joined += shift
    return ~seen


@cache
def smooth(n: int) -> int:
    """Return the smallest multiple of 4 from ``n`` on whose factors are 2, 3 and 5: a size for which FFT is quick.

    >>> [smooth(n) for n in (1, 7, 11, 265, 320)]
    [4, 8, 12, 288, 320]
    """
    left = n
    for factor in (2, 3, 5):
        while left % factor == 0:
            left //= factor
    return n if left == 1 and n % 4 == 0 else smooth(n + 1)
