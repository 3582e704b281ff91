"""The layers that divide values by how large their neighbours are: InstanceNorm2d and LocalResponseNorm."""

from dataclasses import replace

from convfilter.layers.checks import ArgumentError, flag, number, plain, whole
from convfilter.layers.entry import (
    Arguments,
    Computes,
    Kernels,
    draws_nothing,
    entry,
    fixed,
    like_input,
    usual_rounding,
)
from convfilter.layers.given import Given, check_shape
from convfilter.layers.shapes import Effect, Shape, Whole


def _response_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    return 3 * shape[0] * shape[1] * shape[2]


@entry(
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    differs_in_training=True,
    lesson=(
        "Each channel is shifted and scaled to a mean of 0 and a spread of 1, so that a dark picture and a bright "
        "one look alike to the layers after it."
    ),
)
def InstanceNorm2d(
    num_features, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False, device=None, dtype=None,
    *, bias=True, weight=None, running_mean=None, running_var=None,
) -> Effect:  # fmt: skip
    """Each channel less its mean, over its standard deviation.

    Example: InstanceNorm2d(1)
    """
    c = whole(num_features, "num_features")
    eps = number(eps, "eps", above=0)
    if momentum is not None:
        number(momentum, "momentum")
    names = ("weight",) if flag(affine, "affine") else ()
    names += ("bias",) if (isinstance(bias, Given) or flag(bias, "bias")) and affine else ()
    kept = ("running_mean", "running_var") if flag(track_running_stats, "track_running_stats") else ()
    given = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    given = {name: one for name, one in given.items() if isinstance(one, Given)}
    for name, one in given.items():
        if name not in names + kept:
            flags = "affine" if name in ("weight", "bias") else "track_running_stats"
            raise ArgumentError(name, f"goes with {flags}=True")
        check_shape(one, name, (c,))
    plain(device, dtype)

    def interval(lo, hi, shape):
        if kept:
            return _scaled(lo, hi, c, eps, given)
        most = (shape[1] * shape[2] - 1) ** 0.5  # of n values none is more standard deviations from their mean
        return _scaled(-most, most, c, 0.0, given)

    effect = Effect(in_channels=c, out_channels=c, parameters=len(names) * c, interval=interval,
                    tensors=tuple((name, (c,)) for name in names + kept))  # fmt: skip
    return effect if kept else replace(effect, rows=Whole(), columns=Whole(), local=False, pixels=2)


def _scaled(lo: float, hi: float, c: int, eps: float, given: dict[str, Given]) -> tuple[float, float] | None:
    """The interval of (x - mean) / sqrt(variance + eps) * weight + bias over all channels, of lo to hi."""
    usual = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
    numbers = [given[name].array.tolist() if name in given else [value] * c for name, value in usual.items()]
    ends = []
    for weight, bias, mean, variance in zip(*numbers, strict=True):
        if variance + eps <= 0:
            return None
        scale = weight * (variance + eps) ** -0.5
        ends += [(lo - mean) * scale + bias, (hi - mean) * scale + bias]
    return min(ends), max(ends)


@fixed(
    computes=Computes.RESPONSE,
    keeps_whole=False,
    rounding=usual_rounding,
    scratch=_response_scratch,
    lesson="Each value is divided by how strong its neighbouring channels are at the same pixel.",
)
def LocalResponseNorm(size, alpha=0.0001, beta=0.75, k=1.0) -> Effect:
    """Each value over (k + alpha * the mean square of size neighbouring channels) ** beta.

    Example: LocalResponseNorm(2)
    """
    whole(size, "size", most=100)  # PyTorch pads the channels by as many
    alpha, beta, k = number(alpha, "alpha"), number(beta, "beta"), number(k, "k")

    def interval(lo, hi, shape):
        if min(alpha, beta) < 0 or k <= 0:
            return None
        return min(lo, 0.0) / k**beta, max(hi, 0.0) / k**beta

    return Effect(jumps=min(alpha, beta) < 0 or k <= 0, interval=interval)
