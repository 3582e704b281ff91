"""The weighted sums behind one pixel: convolutions, transposed convolutions, and enlargements."""

import math

import torch
from torch import nn

from convfilter.explain.pixel.grids import Cell, Grid, add_up, show
from convfilter.explain.pixel.pools import average
from convfilter.explain.pixel.views import Cells, Pixel, View, Working, middle, span, steps
from convfilter.language.resolve import Layer
from convfilter.layers.shapes import Adaptive, Resize, Transposed

SHOWN = 3  # input channels whose matrices are shown
LISTED = 10  # input channels whose sums are listed


def convolve(layer: Layer, conv: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``Conv2d`` and ``Filter2d``."""
    conv = conv[-1] if isinstance(conv, nn.Sequential) else conv
    rows, columns = layer.effect.rows, layer.effect.columns
    ys, xs = steps(rows, place.y, view.height), steps(columns, place.x, view.width)
    share = view.channels // conv.groups
    first = place.channel // (conv.out_channels // conv.groups) * share
    pairs = {
        first + c: (view.window(first + c, ys, xs, (rows, columns)), _cells(kernel))
        for c, kernel in enumerate(conv.weight[place.channel].tolist())
    }
    bias = None if conv.bias is None else conv.bias[place.channel].item()
    return _add_up(pairs, bias, middle(0, ys, xs, view), f"window: {span(ys, xs)}")


def transpose(layer: Layer, conv: nn.ConvTranspose2d, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``ConvTranspose2d``: the input pixels that add to this one, by one weight each."""
    ys, i = _taps(layer.effect.rows, place.y, view.height)
    xs, j = _taps(layer.effect.columns, place.x, view.width)
    bias = None if conv.bias is None else conv.bias[place.channel].item()
    share = conv.out_channels // conv.groups
    group, local = divmod(place.channel, share)
    inputs = view.channels // conv.groups
    if not ys or not xs:
        total = bias or 0.0
        source = Pixel(group * inputs, *view.nearest(*_stamped(layer, place)))
        return Working(total, source, (f"no input pixel adds to this one; the bias: {show(total)}",))
    pairs = {}
    for c in range(group * inputs, (group + 1) * inputs):
        kernel = conv.weight[c, local][i][:, j].tolist()
        pairs[c] = view.window(c, ys, xs), _cells(kernel)
    heading = f"input pixels that add to this one: {span(ys, xs)}; kernel rows {_list(i)}, columns {_list(j)}"
    return _add_up(pairs, bias, middle(0, ys, xs, view), heading)


def blend(layer: Layer, module: nn.Upsample, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``Upsample``: the nearest pixels, by weights that it is asked for.

    Rows and columns are weighted apart, so that what the layer makes of a single row and of a single column gives them.
    """
    if isinstance(layer.effect.rows, Adaptive):
        return average(layer, module, view, place)
    down = _weights(module, layer.effect.rows, place.y, view, 0)
    across = _weights(module, layer.effect.columns, place.x, view, 1)
    ys, xs = list(down), list(across)
    if len(ys) == len(xs) == 1:
        source = Pixel(place.channel, ys[0], xs[0])
        value = view.at(source)
        return Working(value, source, (f"the nearest input pixel, {source}: {show(value)}",))
    kernel = _cells([[a * b for b in across.values()] for a in down.values()])
    heaviest = Pixel(place.channel, max(down, key=down.get), max(across, key=across.get))
    pairs = {place.channel: (view.window(place.channel, ys, xs), kernel)}
    return _add_up(pairs, None, heaviest, f"nearest input pixels: {span(ys, xs)}", "weights")


def _add_up(
    pairs: dict[int, tuple[Cells, Cells]], bias: float | None, middle: Pixel, heading: str, weights: str = "kernel"
) -> Working:
    """A window times a kernel for each input channel: those that add most as matrices, more as numbers."""
    grids = {}
    for c, (window, kernel) in pairs.items():
        products = tuple(
            tuple(Cell(a.value * b.value, a.mark) for a, b in zip(*rows, strict=True))
            for rows in zip(window, kernel, strict=True)
        )
        title = "window" if len(pairs) == 1 else f"channel {c}"
        grids[c] = Grid(title, window), Grid(weights, kernel), Grid("products", products)
    sums = {c: some[2].total for c, some in grids.items()}
    order = sorted(sums, key=lambda c: (-abs(sums[c]), c))
    total = add_up([*sums.values()])
    lines = [heading]
    if len(sums) > 1:
        listed = ", ".join(f"{c}: {show(sums[c])}" for c in sorted(order[:LISTED]))
        others = order[LISTED:]
        more = f", the other {len(others)}: {show(add_up([sums[c] for c in others]))}" if others else ""
        lines.append(f"sums by input channel: {listed}{more}")
    if bias is None:
        lines.append(f"sum of the products: {show(total)}")
    else:
        whole = f"{show(total)} + {show(bias)} = {show(total + bias)}"
        lines.append(f"sum of the products, and the bias: {whole}")
    source = Pixel(order[0] if len(sums) > 1 else next(iter(sums)), middle.y, middle.x)
    return Working(total + (bias or 0.0), source, tuple(lines), tuple((grids[c], "*=") for c in order[:SHOWN]))


def _taps(axis: Transposed, at: int, n: int) -> tuple[list[int], list[int]]:
    """The inputs that add to output ``at``, and which of the kernel's weights each does it by."""
    inputs, taps = [], []
    for place in range(max(0, axis.reach(at, at + 1, n)[0]), n):
        tap, remainder = divmod(at + axis.padding - place * axis.stride, axis.dilation)
        if tap < 0:
            break
        if not remainder and tap < axis.size:
            inputs.append(place)
            taps.append(tap)
    return inputs, taps


def _stamped(layer: Layer, place: Pixel) -> tuple[int, int]:
    """The input pixel whose kernel would lie around an output pixel, in or outside of the picture."""
    rows, columns = layer.effect.rows, layer.effect.columns
    return (place.y + rows.padding) // rows.stride, (place.x + columns.padding) // columns.stride


def _weights(module: nn.Upsample, axis: Resize, at: int, view: View, number: int) -> dict[int, float]:
    """The inputs along axis ``number`` (0: rows) that output ``at`` is blended of, with their weights.

    They are what comes out where one row or column is 1 and all others 0. PyTorch's derivative is none of them where a
    bicubic enlargement keeps the size.
    """
    scale = module.scale_factor[1 - number] if isinstance(module.scale_factor, tuple) else module.scale_factor
    breadth = 1 if scale is None else math.ceil(1 / scale) + 1
    n = (view.height, view.width)[number]
    low, high = axis.reach(at, at + 1, n)
    places = range(max(0, low - 1), min(n, high + 1))
    lines = torch.zeros(len(places), n, breadth)
    for index, place in enumerate(places):
        lines[index, place] = 1.0
    out = module((lines if number == 0 else lines.transpose(1, 2))[:, None])[:, 0]
    weights = (out[:, at, 0] if number == 0 else out[:, 0, at]).tolist()
    return {place: weight for place, weight in zip(places, weights, strict=True) if weight}


def _cells(rows) -> Cells:
    return tuple(tuple(Cell(value) for value in row) for row in rows)


def _list(places: list[int]) -> str:
    return " ".join(map(str, places))
