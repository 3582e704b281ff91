"""The formulas behind one pixel where no window is weighed: activations, norms, padding and shuffles."""

import copy
import math

import torch
from torch import nn

from convfilter.explain.pixel.grids import add_up, write_number
from convfilter.explain.pixel.views import Place, View, Working, come_from
from convfilter.language.resolve import Layer

LISTED = 8  # channels that a formula lists


def apply(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return the arithmetic of an elementwise layer: its own rule, in words and on this pixel."""
    column = view.column(place)
    value = copy.deepcopy(module).double()(column.view(1, -1, 1, 1))[0, place.channel].item()
    rule = layer.entry.sentence.rstrip(".")
    line = f"{layer.name}({write_number(column[place.channel].item())}) = {write_number(value)}"
    return Working(value, place, (f"{line}  ({rule})",))


def magnitude(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return the arithmetic of ``Magnitude``."""
    column = view.column(place).tolist()
    value = math.sqrt(add_up([x * x for x in column]))
    squares = _list([f"{_sign(x)}^2" for x in column], " + ")
    source = Place(max(range(len(column)), key=lambda c: abs(column[c])), place.y, place.x)
    return Working(value, source, (f"sqrt({squares}) = {write_number(value)}",))


def softmax(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return the arithmetic of ``Softmax2d``."""
    column = view.column(place)
    value = column.softmax(0)[place.channel].item()
    powers = _list([f"exp({write_number(x)})" for x in column.tolist()], " + ")
    return Working(value, place, (f"exp({write_number(column[place.channel].item())}) / ({powers})",
                                  f"= {write_number(value)}"))  # fmt: skip


def normalise(layer: Layer, module: nn.InstanceNorm2d, view: View, place: Place) -> Working:
    """Return the arithmetic of ``InstanceNorm2d``."""
    x, channel = view.at(place), view.values[place.channel].double()
    if module.track_running_stats:
        mean, variance = module.running_mean[place.channel].item(), module.running_var[place.channel].item()
    else:
        mean, variance = channel.mean().item(), channel.var(correction=0).float().item()
    value = ((x - mean) / (_double(variance) + module.eps).sqrt()).item()  # untrained weights are 1, and biases 0
    what = "kept" if module.track_running_stats else "of this channel"
    lines = (
        f"mean {what}: {write_number(mean)}, variance: {write_number(variance)}",
        f"({write_number(x)} - {_sign(mean)}) / sqrt({write_number(variance)} + {module.eps:g})"
        f" = {write_number(value)}",
    )
    return Working(value, place, lines)


def respond(layer: Layer, module: nn.LocalResponseNorm, view: View, place: Place) -> Working:
    """Return the arithmetic of ``LocalResponseNorm``."""
    column, size = view.column(place), module.size
    first = place.channel - size // 2
    near = column[max(0, first) : first + size]
    mean = near.square().sum().item() / size
    x = column[place.channel].item()
    value = (x / (_double(module.k) + module.alpha * mean) ** module.beta).item()
    lines = (
        f"mean square of {size} channels around this one: {write_number(mean)}",
        f"{write_number(x)} / ({module.k:g} + {module.alpha:g} * {write_number(mean)})^{module.beta:g}"
        f" = {write_number(value)}",
    )
    return Working(value, place, lines)


def pad(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return where a padding layer takes a pixel from."""
    rows, columns = layer.effect.rows, layer.effect.columns
    y, x = place.y - rows.before, place.x - columns.before
    source = Place(place.channel, come_from(y, view.height, rows.mode), come_from(x, view.width, rows.mode))
    inside = 0 <= y < view.height and 0 <= x < view.width
    if not inside and rows.mode == "zeros":
        value = float(layer.arguments.get("value", 0))
        return Working(value, source, (f"padding: {write_number(value)}",))
    value = view.at(source)
    return Working(value, source, (f"{'' if inside else 'padding, '}copied from {source}: {write_number(value)}",))


def shuffle(layer: Layer, module: nn.Module, view: View, place: Place) -> Working:
    """Return where ``PixelShuffle`` and ``PixelUnshuffle`` take a pixel from."""
    if isinstance(module, nn.PixelShuffle):
        r = module.upscale_factor
        inner = place.y % r * r + place.x % r
        source = Place(place.channel * r * r + inner, place.y // r, place.x // r)
    else:
        r = module.downscale_factor
        channel, inner = divmod(place.channel, r * r)
        source = Place(channel, place.y * r + inner // r, place.x * r + inner % r)
    value = view.at(source)
    return Working(value, source, (f"copied from {source} of channel {source.channel}: {write_number(value)}",))


def _double(x: float) -> torch.Tensor:
    """A number that is divided and raised as PyTorch does it: to infinity and NaN where Python would stop."""
    return torch.tensor(x, dtype=torch.float64)


def _list(words: list[str], sign: str) -> str:
    more = f"{sign}... ({len(words) - LISTED} more)" if len(words) > LISTED else ""
    return sign.join(words[:LISTED]) + more


def _sign(x: float) -> str:
    return f"({write_number(x)})" if x < 0 else write_number(x)
