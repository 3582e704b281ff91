"""The windows behind one pixel of a pooling layer, and what is taken of them."""

import math
from dataclasses import replace

import torch
from torch import nn

from convfilter.explain.pixel.grids import CHOSEN, PADDING, Grid, add_up, show
from convfilter.explain.pixel.views import Cells, Pixel, View, Working, middle, span, steps
from convfilter.language.resolve import Layer
from convfilter.layers.checks import pair
from convfilter.layers.shapes import Scattered, Window


def take_largest(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of a layer that takes the largest value of each window."""
    ys, xs = _window(layer, module, view, place)
    window = view.window(place.channel, ys, xs, padding=-math.inf)
    words = f"window: {span(ys, xs)}"
    inside = _inside(window, ys, xs, place.channel)
    if not inside:
        lines = words, "all of it is padding, which is -inf here: -inf"
        return Working(-math.inf, middle(place.channel, ys, xs, view), lines, (((Grid("window", window),), ""),))
    value, best = max(inside, key=lambda pixel: (math.isnan(pixel[0]), pixel[0]))
    at = ys.index(best.y), xs.index(best.x)
    marked = tuple(
        tuple(replace(cell, mark=CHOSEN) if (i, j) == at else cell for j, cell in enumerate(row))
        for i, row in enumerate(window)
    )
    lines = words, f"the largest, at {best}: {show(value)}"
    return Working(value, best, lines, (((Grid("window", marked, at),), ""),))


def average(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of a layer that takes the mean of each window."""
    ys, xs = _window(layer, module, view, place)
    window = view.window(place.channel, ys, xs)
    values = [value for value, _ in _inside(window, ys, xs, place.channel)]
    count = len(values)
    if isinstance(module, nn.AvgPool2d):
        count = module.divisor_override or (len(ys) * len(xs) if module.count_include_pad else count)
    total = add_up(values)
    value = total / count
    line = f"sum / count: {show(total)} / {count} = {show(value)}"
    lines = f"window: {span(ys, xs)}", line
    return Working(value, middle(place.channel, ys, xs, view), lines, (((Grid("window", window),), ""),))


def take_root(layer: Layer, module: nn.LPPool2d, view: View, place: Pixel) -> Working:
    """Return the arithmetic of a layer that takes the root of the sum of each window's powers."""
    ys, xs = _window(layer, module, view, place)
    window = view.window(place.channel, ys, xs)
    value, line = _root(module, [value for value, _ in _inside(window, ys, xs, place.channel)])
    lines = f"window: {span(ys, xs)}", line
    return Working(value, middle(place.channel, ys, xs, view), lines, (((Grid("window", window),), ""),))


def _window(layer: Layer, module: nn.Module, view: View, place: Pixel) -> list[list[int]]:
    """The window's rows and columns; those beyond the padding, which ceil_mode may reach, are not among them."""
    windows = []
    for number, (axis, at, n) in enumerate(
        zip(
            (layer.effect.rows, layer.effect.columns),
            (place.y, place.x),
            (view.height, view.width),
            strict=True,
        )
    ):
        if isinstance(axis, Scattered):
            sample = module._random_samples[0, place.channel, 1 - number]  # the columns' comes first
            windows.append(_scatter(at, n, axis.length(n), axis.size, sample))
        else:
            end = n + axis.after if isinstance(axis, Window) else n
            windows.append([step for step in steps(axis, at, n) if step < end])
    return windows


def _inside(window: Cells, ys: list[int], xs: list[int], channel: int) -> list[tuple[float, Pixel]]:
    """The values of a window that are the picture's, not padding, and where each stands."""
    return [
        (cell.value, Pixel(channel, y, x))
        for y, row in zip(ys, window, strict=True)
        for x, cell in zip(xs, row, strict=True)
        if cell.mark != PADDING
    ]


def _scatter(at: int, n: int, count: int, size: int, sample: torch.Tensor) -> list[int]:
    """A window of fractional pooling, where PyTorch's 32-bit arithmetic places it."""
    start = n - size
    if at < count - 1:
        alpha = torch.tensor(float(n - size)) / (count - 1)
        start = int((at + sample) * alpha) - int(sample * alpha)
    return list(range(start, start + size))


def _root(module: nn.LPPool2d, values: list[float]) -> tuple[float, str]:
    p = module.norm_type
    if math.isinf(p):
        value = max(map(abs, values)) if p > 0 else min(map(abs, values))
        return value, f"the {'largest' if p > 0 else 'smallest'} |x|: {show(value)}"
    size = math.prod(pair(module.kernel_size, "kernel_size"))
    powers = torch.tensor(values, dtype=torch.float64).pow(p).sum() * size / len(values)
    value = powers.pow(1 / p).item()
    scaled = "" if size == len(values) else f" times {size}/{len(values)}, for pixels that are not there"
    return value, f"sum of x^{p:g}{scaled}: {show(powers.item())}, and its root: {show(value)}"
