"""The layers that divide values by how large their neighbours are: InstanceNorm2d and LocalResponseNorm."""

from convfilter.layers.checks import flag, number, plain, whole
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
    *, bias=True,
) -> Effect:  # fmt: skip
    """Each channel less its mean, over its standard deviation.

    Example: InstanceNorm2d(1)
    """
    c = whole(num_features, "num_features")
    eps = number(eps, "eps", above=0)
    if momentum is not None:
        number(momentum, "momentum")
    learnt = flag(affine, "affine") * (1 + flag(bias, "bias"))
    plain(device, dtype)
    if flag(track_running_stats, "track_running_stats"):  # never trained: mean 0 and variance 1
        scale = (1 + eps) ** -0.5
        return Effect(
            in_channels=c,
            out_channels=c,
            parameters=learnt * c,
            interval=lambda lo, hi, shape: (lo * scale, hi * scale),
        )

    def interval(lo, hi, shape):
        most = (shape[1] * shape[2] - 1) ** 0.5  # of n values none is more standard deviations from their mean
        return -most, most

    return Effect(Whole(), Whole(), c, c, parameters=learnt * c, local=False, pixels=2, interval=interval)


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
