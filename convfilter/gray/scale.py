"""Which channels share one black and one white, so that they can be compared."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from convfilter.gray.norm import GrayScale, Norm
from convfilter.language.resolve import Layer
from convfilter.layers.entry import Computes, Kernels
from convfilter.numbers import show_number

SCALES = ("channel", "layer", "run")


@dataclass(frozen=True)
class Shade:
    """How one channel becomes gray: its number, minimum, maximum and gray scale."""

    channel: int
    low: float
    high: float
    scale: GrayScale


def shade_channels(
    norm: Norm,
    ranges: Sequence[tuple[float, float]],
    *,
    white: float,
    noise: float = 0.0,
    shared: tuple[float, float] | None = None,
    before: Sequence[GrayScale] | None = None,
) -> list[Shade]:
    """Return how each channel becomes gray: by its own range, a ``shared`` one, or on the scales of those ``before``.

    ``white`` is a white pixel's value, and ``noise`` the difference that rounding alone can make: a channel that varies
    no more is marked as flat, on whatever scale it is drawn.

    >>> [shade.scale.black for shade in shade_channels(Norm(), [(-2.0, 6.0), (0.0, 9.0)], white=255)]
    [-2.0, 0.0]
    >>> shade_channels(Norm(), [(0.0, 0.0)], white=255, before=[GrayScale(-2.0, 6.0)])
    [Shade(channel=0, low=0.0, high=0.0, scale=GrayScale(black=-2.0, white=6.0, absolute=False, flat=True))]
    """
    shades = []
    for channel, (low, high) in enumerate(ranges):
        own = norm.scale(low, high, white, noise)
        scale = before[channel] if before else norm.scale(*shared, white, noise) if shared else own
        shades.append(Shade(channel, low, high, replace(scale, flat=own.flat)))
    return shades


def keeps_scale(layer: Layer) -> bool:
    """Return whether a layer's output is drawn on the scale of its input where layers are shown beside each other.

    That is so for activations and pools, so that ReLU shows what it removes. It is not for those whose values are of
    another size than the input's: Sigmoid and Tanh, whose bounds are their own, and norms and sums of a window. The
    sheet and the page follow this rule.

    >>> from convfilter import parse
    >>> [keeps_scale(layer) for layer in parse("edge | ReLU | MaxPool2d(2) | Sigmoid | LPPool2d(2, 2)").layers]
    [False, True, True, False, False]
    >>> keeps_scale(parse("AvgPool2d(2, divisor_override=1)").layers[0])  # a sum
    False
    """
    return layer.entry.keeps_scale and layer.arguments.get("divisor_override") is None


def has_colour_kernels(layer: Layer, channels: int) -> bool:
    """Return whether each kernel of the first layer has one plane for red, one for green and one for blue.

    ``channels`` is how many the picture has. The planes of such a kernel are drawn as one picture in colour, on one
    scale.

    >>> from convfilter import parse
    >>> [has_colour_kernels(parse(text).layers[0], 3) for text in ("Conv2d(3, 8, 5)", "blur")]
    [True, False]
    """
    computes, kernels = layer.entry.computes, layer.entry.kernels
    if computes is not Computes.CONVOLUTION or kernels is Kernels.EACH_CHANNEL:
        return False
    return channels == 3 and layer.arguments.get("groups", 1) == 1


def join_ranges(ranges: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """Return the range of all values that lie in these ranges, (minimum, maximum).

    >>> join_ranges([(-2.0, 1.0), (0.0, 3.0)])
    (-2.0, 3.0)
    """
    lows, highs = zip(*ranges, strict=True)
    return min(lows), max(highs)


def common_ends(shades: Iterable[Shade]) -> tuple[float, float] | None:
    """Return the black and the white that all channels have, None where they differ."""
    ends = {(shade.scale.black, shade.scale.white) for shade in shades}
    return ends.pop() if len(ends) == 1 else None


def describe_scale(norm: Norm, scale: str, white: float, shared: tuple[float, float] | None = None) -> str:
    """Return what is black and what is white, as a sheet says it.

    ``scale`` is one of SCALES, or "row" for a row of a sheet; ``white`` is a white pixel's value, and ``shared`` the
    black and the white of everything drawn, where there is one.

    >>> describe_scale(Norm(), "channel", 255)
    "norm minmax: black is each channel's minimum, white its maximum"
    >>> describe_scale(Norm("symmetric"), "layer", 255, (-6.0, 6.0))
    'norm symmetric, one scale a layer: black is -6, white is 6'
    """
    if not norm.needs_range:
        clip = norm.scale(0.0, 0.0, white)
        shared = clip.black, clip.white
    title = f"norm {norm.mode}" if norm.vmin is None and norm.vmax is None else "vmin and vmax"
    title += {"channel": "", "layer": ", one scale a layer", "row": ", one scale a row", "run": ", one scale"}[scale]
    if shared:
        return f"{title}: black is {show_number(shared[0])}, white is {show_number(shared[1])}"
    whose = {"channel": "each channel's", "layer": "each layer's", "row": "each row's", "run": "the"}[scale]
    low, high = {
        "minmax": (f"{whose} minimum", "its maximum"),
        "abs": ("0", f"{whose} maximum absolute value"),
        "symmetric": (f"less {whose} maximum absolute value", "that value, and 0 mid-gray"),
        "clip": ("0", show_number(white)),
    }[norm.mode]
    low = low if norm.vmin is None else show_number(norm.vmin)
    high = high if norm.vmax is None else show_number(norm.vmax)
    return f"{title}: black is {low}, white {high}"
