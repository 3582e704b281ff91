"""The layers that add pixels or move them: padding, Upsample, PixelShuffle and PixelUnshuffle."""

from convfilter.layers.checks import MOST, ArgumentError, choice, flag, number, only, pair, show, sides, whole
from convfilter.layers.entry import Arguments, Computes, Rounding, fixed, no_scratch, usual_rounding
from convfilter.layers.shapes import Adaptive, Effect, Resize, Window, unchanged

_PADDING = "Padding adds a rim, so that the layers after it do not make the picture smaller."


def _blend_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    """Measured on a constant input: 1.8e-6 of its value."""
    return Rounding(roughness=5.0 if arguments["mode"] == "bicubic" else 1.0)


@fixed(
    computes=Computes.PADDING,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    equal_numbers={"padding": 4},
    lesson=f"Zeros, black, are put around the picture. {_PADDING}",
)
def ZeroPad2d(padding) -> Effect:
    """Zeros around the picture: one width, or (left, right), or (left, right, top, bottom); negative ones crop.

    Example: ZeroPad2d((1, 1, 2, 0))
    """
    return ConstantPad2d.function(padding, 0)


@fixed(
    computes=Computes.PADDING,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    equal_numbers={"padding": 4},
    lesson=f"One number is put around the picture. {_PADDING}",
)
def ConstantPad2d(padding, value) -> Effect:
    """A constant around the picture: one width, or (left, right), or (left, right, top, bottom); negative ones crop.

    Example: ConstantPad2d(2, 3.5)
    """
    value = number(value, "value", finite=False)
    axes = _pad(padding, "zeros")
    grows = any(max(axis.before, axis.after) > 0 for axis in axes)
    return Effect(*axes, interval=lambda lo, hi, shape: (min(lo, value), max(hi, value)) if grows else (lo, hi))


@fixed(
    computes=Computes.PADDING,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    equal_numbers={"padding": 4},
    lesson=f"The picture is continued as in a mirror. {_PADDING}",
)
def ReflectionPad2d(padding) -> Effect:
    """The picture mirrored around its edge pixels: one width, or (left, right, top, bottom); negative ones crop.

    Example: ReflectionPad2d(2)
    """
    return Effect(*_pad(padding, "reflect"), interval=unchanged)


@fixed(
    computes=Computes.PADDING,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    equal_numbers={"padding": 4},
    lesson=f"The outermost pixels are repeated outwards. {_PADDING}",
)
def ReplicationPad2d(padding) -> Effect:
    """The edge pixels repeated outwards: one width, or (left, right, top, bottom); negative ones crop.

    Example: ReplicationPad2d(2)
    """
    return Effect(*_pad(padding, "replicate"), interval=unchanged)


@fixed(
    computes=Computes.PADDING,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    equal_numbers={"padding": 4},
    lesson=f"The picture is continued from its opposite side, as if it were a tile. {_PADDING}",
)
def CircularPad2d(padding) -> Effect:
    """The picture repeated like a tile: one width, or (left, right, top, bottom); negative ones crop.

    Example: CircularPad2d(2)
    """
    return Effect(*_pad(padding, "circular"), interval=unchanged)


@fixed(
    computes=Computes.BLEND,
    keeps_whole=False,
    keeps_scale=False,
    rounding=_blend_rounding,
    scratch=no_scratch,
    unprinted=("align_corners", "recompute_scale_factor"),
    lesson=(
        "More pixels, but no more detail: the new ones are copied from the nearest one, or blended from the ones "
        "around."
    ),
)
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
    recompute = recompute_scale_factor is not None and flag(recompute_scale_factor, "recompute_scale_factor")
    if recompute:
        only(size, "size", None, "recompute_scale_factor=True goes with scale_factor")
    counts, factors = (None, None), (None, None)
    if size is not None:
        counts = pair(size, "size")
    else:
        factors = scale_factor if isinstance(scale_factor, tuple) else (scale_factor,) * 2
        if len(factors) != 2:
            raise ArgumentError("scale_factor", f"must be one number or a pair, not {show(scale_factor)}")
        factors = [float(number(factor, "scale_factor", above=0, most=MOST)) for factor in factors]
    taps = {"bilinear": 2, "bicubic": 4}.get(mode, 1)
    axes = [
        Resize(factor, count, taps, bool(align_corners), mode == "nearest-exact", not recompute)
        for factor, count in zip(factors, counts, strict=True)
    ]
    if mode == "area":
        axes = [Adaptive(axis.length) for axis in axes]
    local = size is None and not (align_corners or recompute or mode == "area")  # else the places depend on the size
    return Effect(*axes, local=local, interval=_bicubic if mode == "bicubic" else unchanged)


@fixed(
    computes=Computes.BLEND,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    printed_only={"mode": "nearest"},
    lesson="More pixels, but no more detail: each new one is a copy of the nearest old one. Upsample does the same.",
)
def UpsamplingNearest2d(size=None, scale_factor=None) -> Effect:
    """The picture enlarged (or made smaller) by copying the nearest pixels: Upsample's mode='nearest'.

    Example: UpsamplingNearest2d(scale_factor=2)
    """
    return Upsample.function(size, scale_factor)


@fixed(
    computes=Computes.BLEND,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    printed_only={"mode": "bilinear"},
    lesson=(
        "More pixels, but no more detail: the new ones are blended from the old ones around them, so that the corners "
        "of both pictures lie on each other. Upsample does the same with mode='bilinear' and align_corners=True."
    ),
)
def UpsamplingBilinear2d(size=None, scale_factor=None) -> Effect:
    """The picture enlarged (or made smaller) by blending: Upsample's mode='bilinear' with align_corners=True.

    Example: UpsamplingBilinear2d(scale_factor=2)
    """
    return Upsample.function(size, scale_factor, "bilinear", True)


@fixed(
    computes=Computes.CHANNELS,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    lesson=(
        "The channels change places, so that each group of the next layer gets some of every group: how networks "
        "with grouped convolutions let their groups talk to each other."
    ),
)
def ChannelShuffle(groups) -> Effect:
    """The channels in another order: the first of each group, then the second of each, and so on.

    Example: ChannelShuffle(1)
    """
    groups = whole(groups, "groups")
    return Effect(multiply=groups, divide=groups, interval=unchanged)


@fixed(
    computes=Computes.SHUFFLE,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    lesson="Groups of channels are laid out as small blocks of pixels: fewer channels, a larger picture, no sums.",
)
def PixelShuffle(upscale_factor) -> Effect:
    """Every r*r channels become one, r times as high and wide.

    Example: PixelShuffle(2)
    """
    r = whole(upscale_factor, "upscale_factor", most=1000)
    return Effect(Resize(r), Resize(r), divide=r * r, interval=unchanged)


@fixed(
    computes=Computes.UNSHUFFLE,
    keeps_whole=True,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=no_scratch,
    lesson="Every small block of pixels is dealt out to channels: a smaller picture, more channels, nothing lost.",
)
def PixelUnshuffle(downscale_factor) -> Effect:
    """Every r*r block of pixels becomes r*r channels of one pixel.

    Example: PixelUnshuffle(2)
    """
    r = whole(downscale_factor, "downscale_factor", most=1000)
    return Effect(*[Window(r, r, mode="divide")] * 2, multiply=r * r, interval=unchanged)


def _pad(padding, mode) -> list[Window]:
    left, right, top, bottom = sides(padding, "padding", two=mode == "zeros")
    return [Window(before=top, after=bottom, mode=mode), Window(before=left, after=right, mode=mode)]


def _bicubic(lo, hi, shape):
    # Halfway between two pixels the four weights of a row are -3/32, 19/32, 19/32, -3/32: nowhere more negative.
    up, down = 1.1875**2 + 0.1875**2, 2 * 1.1875 * 0.1875
    return up * lo - down * hi, up * hi - down * lo
