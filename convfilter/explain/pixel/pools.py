"""The windows behind one pixel of a pooling layer, and what is taken of them."""

import math
from dataclasses import replace

import torch
from torch import nn

from convfilter.explain.pixel.grids import CHOSEN, PADDING, Grid, add_up, write_number
from convfilter.explain.pixel.views import Place, View, Working, middle, span, steps
from convfilter.language.resolve import Layer
from convfilter.layers.checks import pair
from convfilter.layers.shapes import Window


def pool(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return the arithmetic of every pooling layer: the largest, the mean, or the root of the powers' sum."""
    ys, xs = _window(layer, module, view, place)
    largest = "Max" in layer.name
    window = view.window(place.channel, ys, xs, padding=-math.inf if largest else 0.0)
    said = f"window: {span(ys, xs)}"
    inside = [
        (cell.value, Place(place.channel, y, x))
        for y, row in zip(ys, window, strict=True)
        for x, cell in zip(xs, row, strict=True)
        if cell.mark != PADDING
    ]
    if largest and not inside:
        lines = said, "all of it is padding, which is -inf here: -inf"
        return Working(-math.inf, middle(place.channel, ys, xs, view), lines, (((Grid("window", window),), ""),))
    if largest:
        value, best = max(inside, key=lambda one: (math.isnan(one[0]), one[0]))
        at = ys.index(best.y), xs.index(best.x)
        marked = tuple(
            tuple(replace(cell, mark=CHOSEN) if (i, j) == at else cell for j, cell in enumerate(row))
            for i, row in enumerate(window)
        )
        lines = said, f"the largest, at {best}: {write_number(value)}"
        return Working(value, best, lines, (((Grid("window", marked, at),), ""),))
    values = [value for value, _ in inside]
    if layer.name == "LPPool2d":
        value, line = _root(module, values)
    else:
        count = _count(layer, module, len(ys) * len(xs), len(inside))
        total = add_up(values)
        value = total / count
        line = f"sum / count: {write_number(total)} / {count} = {write_number(value)}"
    return Working(value, middle(place.channel, ys, xs, view), (said, line), (((Grid("window", window),), ""),))


def _window(layer: Layer, module: nn.Module, view: View, place: Place) -> list[list[int]]:
    """The window's rows and columns; those beyond the padding, which ceil_mode may reach, are not among them."""
    sizes, axes, at = (view.height, view.width), (layer.effect.rows, layer.effect.columns), (place.y, place.x)
    if layer.name == "FractionalMaxPool2d":
        across, down = module._random_samples[0, place.channel]
        kernel = pair(module.kernel_size, "kernel_size")
        return [
            _scatter(*one) for one in zip(at, sizes, [axis.length(n) for axis, n in zip(axes, sizes, strict=True)],
                                          kernel, (down, across), strict=True)
        ]  # fmt: skip
    windows = []
    for axis, one, n in zip(axes, at, sizes, strict=True):
        end = n + axis.after if isinstance(axis, Window) else n
        windows.append([step for step in steps(axis, one, n) if step < end])
    return windows


def _scatter(at: int, n: int, count: int, size: int, sample: torch.Tensor) -> list[int]:
    """A window of fractional pooling, where PyTorch's 32-bit arithmetic places it."""
    start = n - size
    if at < count - 1:
        alpha = torch.tensor(float(n - size)) / (count - 1)
        start = int((at + sample) * alpha) - int(sample * alpha)
    return list(range(start, start + size))


def _count(layer: Layer, module: nn.Module, all_pixels: int, inside: int) -> int:
    """What AvgPool2d divides by; the adaptive one has no padding."""
    if layer.name != "AvgPool2d":
        return inside
    return module.divisor_override or (all_pixels if module.count_include_pad else inside)


def _root(module: nn.LPPool2d, values: list[float]) -> tuple[float, str]:
    p = module.norm_type
    if math.isinf(p):
        value = max(map(abs, values)) if p > 0 else min(map(abs, values))
        return value, f"the {'largest' if p > 0 else 'smallest'} |x|: {write_number(value)}"
    size = math.prod(pair(module.kernel_size, "kernel_size"))
    powers = torch.tensor(values, dtype=torch.float64).pow(p).sum() * size / len(values)
    value = powers.pow(1 / p).item()
    scaled = "" if size == len(values) else f" times {size}/{len(values)}, for pixels that are not there"
    return value, f"sum of x^{p:g}{scaled}: {write_number(powers.item())}, and its root: {write_number(value)}"
