"""The formulas behind one pixel where no window is weighed: activations, norms, padding and shuffles."""

import copy
import math

import torch
from torch import nn

from convfilter.explain.pixel.grids import add_up, show
from convfilter.explain.pixel.views import Pixel, View, Working
from convfilter.language.resolve import Layer

LISTED = 8  # channels that a formula lists


def apply(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of an elementwise layer: its own rule, in words and on this pixel."""
    column = view.column(place)
    value = copy.deepcopy(module).double()(column.view(1, -1, 1, 1))[0, place.channel].item()
    rule = layer.entry.sentence.rstrip(".")
    line = f"{layer.name}({show(column[place.channel].item())}) = {show(value)}"
    return Working(value, place, (f"{line}  ({rule})",))


def magnitude(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``Magnitude``."""
    column = view.column(place).tolist()
    value = math.sqrt(add_up([x * x for x in column]))
    squares = _list([f"{_sign(x)}^2" for x in column], " + ")
    source = Pixel(max(range(len(column)), key=lambda c: abs(column[c])), place.y, place.x)
    return Working(value, source, (f"sqrt({squares}) = {show(value)}",))


def softmax(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``Softmax2d``, ``Softmax`` and ``Softmin``."""
    sign = "-" if isinstance(module, nn.Softmin) else ""
    column = view.column(place)
    value = (-column if sign else column).softmax(0)[place.channel].item()
    powers = _list([f"exp({_negate(x, sign)})" for x in column.tolist()], " + ")
    return Working(value, place, (f"exp({_negate(column[place.channel].item(), sign)}) / ({powers})",
                                  f"= {show(value)}"))  # fmt: skip


def log_softmax(layer: Layer, module: nn.LogSoftmax, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``LogSoftmax``."""
    column = view.column(place)
    value = column.log_softmax(0)[place.channel].item()
    powers = _list([f"exp({show(x)})" for x in column.tolist()], " + ")
    return Working(value, place, (f"{show(column[place.channel].item())} - log({powers})",
                                  f"= {show(value)}"))  # fmt: skip


def gate(layer: Layer, module: nn.GLU, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``GLU``."""
    column = view.column(place)
    other = place.channel + view.channels // 2
    x, y = column[place.channel], column[other]
    value = (x * y.sigmoid()).item()
    line = f"{show(x.item())} * Sigmoid({show(y.item())}) = {show(value)}"
    return Working(value, place, (f"{line}  (channel {place.channel} times Sigmoid of channel {other})",))


def normalise(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return the arithmetic of a layer that takes a mean off and divides by a standard deviation."""
    x = view.at(place)
    if getattr(module, "running_mean", None) is not None:
        mean, variance = module.running_mean[place.channel].item(), module.running_var[place.channel].item()
        which = "kept"
    else:
        values, which = _normalised_together(module, view, place)
        mean, variance = values.mean().item(), values.var(correction=0).float().item()
    value = ((x - mean) / (_double(variance) + module.eps).sqrt()).item()
    weight, bias = (_learnt(getattr(module, name, None), place, view) for name in ("weight", "bias"))
    text = f"({show(x)} - {_sign(mean)}) / sqrt({show(variance)} + {module.eps:g})"
    return _scaled(value, weight, bias, place, (f"mean {which}: {show(mean)}, variance: "
                                                f"{show(variance)}",), text)  # fmt: skip


def divide_by_size(layer: Layer, module: nn.RMSNorm, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``RMSNorm``."""
    x = view.at(place)
    values, which = _normalised_together(module, view, place)
    mean = values.square().mean().float().item()
    eps = torch.finfo(torch.float32).eps if module.eps is None else module.eps
    value = (x / (_double(mean) + eps).sqrt()).item()
    text = f"{show(x)} / sqrt({show(mean)} + {eps:.3g})"
    weight = _learnt(module.weight, place, view)
    return _scaled(value, weight, 0.0, place, (f"mean square {which}: {show(mean)}",), text)


def _normalised_together(module: nn.Module, view: View, place: Pixel) -> tuple[torch.Tensor, str]:
    """The values whose mean counts for one pixel, in double precision, and what they are called."""
    values = view.values.double()
    if isinstance(module, nn.GroupNorm):
        size = view.channels // module.num_groups
        first = place.channel // size * size
        many = f"channels {first} to {first + size - 1}" if size > 1 else f"channel {first}"
        return values[first : first + size], f"of {many}"
    dimensions = len(getattr(module, "normalized_shape", (0, 0)))
    if dimensions == 1:
        return values[place.channel, place.y - view.top], f"of row {place.y} of this channel"
    return (values, "of all values") if dimensions == 3 else (values[place.channel], "of this channel")


def _learnt(parameter: torch.Tensor | None, place: Pixel, view: View) -> float | None:
    """A layer's weight or bias at a place; None where it has none."""
    if parameter is None:
        return None
    if parameter.ndim == 1 and len(parameter) == view.channels and parameter.numel() != 1:
        return parameter[place.channel].item()
    return parameter.expand(view.channels, view.height, view.width)[place.channel, place.y, place.x].item()


def _scaled(
    value: float, weight: float | None, bias: float | None, place: Pixel, lines: tuple[str, ...], text: str
) -> Working:
    """A normalised value times a weight and plus a bias, which are said where they change something."""
    weight, bias = 1.0 if weight is None else weight, 0.0 if bias is None else bias
    if weight != 1:
        text = f"{text} * {_sign(weight)}"
    if bias != 0:
        text = f"{text} + {_sign(bias)}"
    total = value * weight + bias
    return Working(total, place, (*lines, f"{text} = {show(total)}"))


def respond(layer: Layer, module: nn.LocalResponseNorm, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``LocalResponseNorm``."""
    column, size = view.column(place), module.size
    first = place.channel - size // 2
    near = column[max(0, first) : first + size]
    mean = near.square().sum().item() / size
    x = column[place.channel].item()
    value = (x / (_double(module.k) + module.alpha * mean) ** module.beta).item()
    lines = (
        f"mean square of {size} channels around this one: {show(mean)}",
        f"{show(x)} / ({module.k:g} + {module.alpha:g} * {show(mean)})^{module.beta:g} = {show(value)}",
    )
    return Working(value, place, lines)


def respond_across(layer: Layer, module: nn.CrossMapLRN2d, view: View, place: Pixel) -> Working:
    """Return the arithmetic of ``CrossMapLRN2d``, whose sums past the first channels always hold channel 0, too."""
    column, reach, c = view.column(place), int((module.size - 1) / 2 + 1), place.channel
    seen = [n for n in range(view.channels) if abs(n - c) < reach or (n == 0 and c >= reach)]
    total = column[seen].square().sum().item()
    x = column[c].item()
    value = (x / (_double(module.k) + module.alpha / module.size * total) ** module.beta).item()
    lines = (
        f"sum of squares of channels {' '.join(map(str, seen))}: {show(total)}",
        f"{show(x)} / ({module.k:g} + {module.alpha:g} / {module.size} * {show(total)})^{module.beta:g}"
        f" = {show(value)}",
    )
    return Working(value, place, lines)


def pad(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return where a padding layer takes a pixel from."""
    rows, columns = layer.effect.rows, layer.effect.columns
    y, x = place.y - rows.before, place.x - columns.before
    row, column = rows.source(y, view.height), columns.source(x, view.width)
    inside = 0 <= y < view.height and 0 <= x < view.width
    if row is None or column is None:
        value = float(layer.arguments.get("value", 0))
        nearest = Pixel(place.channel, min(max(y, 0), view.height - 1), min(max(x, 0), view.width - 1))
        return Working(value, nearest, (f"padding: {show(value)}",))
    source = Pixel(place.channel, row, column)
    value = view.at(source)
    return Working(value, source, (f"{'' if inside else 'padding, '}copied from {source}: {show(value)}",))


def reorder(layer: Layer, module: nn.ChannelShuffle, view: View, place: Pixel) -> Working:
    """Return where ``ChannelShuffle`` takes a pixel from."""
    size = view.channels // module.groups
    source = Pixel(place.channel % module.groups * size + place.channel // module.groups, place.y, place.x)
    value = view.at(source)
    return Working(value, source, (f"copied from channel {source.channel}: {show(value)}",))


def shuffle(layer: Layer, module: nn.Module, view: View, place: Pixel) -> Working:
    """Return where ``PixelShuffle`` and ``PixelUnshuffle`` take a pixel from."""
    if isinstance(module, nn.PixelShuffle):
        r = module.upscale_factor
        inner = place.y % r * r + place.x % r
        source = Pixel(place.channel * r * r + inner, place.y // r, place.x // r)
    else:
        r = module.downscale_factor
        channel, inner = divmod(place.channel, r * r)
        source = Pixel(channel, place.y * r + inner // r, place.x * r + inner % r)
    value = view.at(source)
    return Working(value, source, (f"copied from {source} of channel {source.channel}: {show(value)}",))


def _double(x: float) -> torch.Tensor:
    """A number that is divided and raised as PyTorch does it: to infinity and NaN where Python would stop."""
    return torch.tensor(x, dtype=torch.float64)


def _list(words: list[str], sign: str) -> str:
    more = f"{sign}... ({len(words) - LISTED} more)" if len(words) > LISTED else ""
    return sign.join(words[:LISTED]) + more


def _negate(x: float, sign: str) -> str:
    return f"{sign}{_sign(x)}" if sign else show(x)


def _sign(x: float) -> str:
    return f"({show(x)})" if x < 0 else show(x)
