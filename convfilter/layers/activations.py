"""The activation layers: each signature is torch.nn's, and each value the layer's Effect with the range it can give."""

import math

from convfilter.layers.checks import LARGEST, ArgumentError, choice, flag, number, only, plain, show, whole
from convfilter.layers.entry import Computes, activation, fixed, like_input, no_scratch, usual_rounding
from convfilter.layers.given import check_shape
from convfilter.layers.shapes import Effect

WHY_CHANNELS = {  # why a layer takes no dimension but that of the channels
    "GLU": "GLU halves the channels; write GLU(dim=1)",
    **dict.fromkeys(["Softmax", "Softmin", "LogSoftmax"], "the channels of a pixel compete, as in Softmax2d"),
}
_GATE = (
    "Without such a nonlinearity between them, two convolutions in a row would be no more than one larger convolution."
)


@activation(
    formula="x > 0 ? x : alpha * Math.expm1(x)",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Like ReLU for positive values; negative ones bend smoothly towards a floor.",
)
def ELU(alpha=1.0, inplace=False) -> Effect:
    """x above 0, alpha * (exp(x) - 1) below.

    Example: ELU(alpha=2.0)
    """
    alpha = number(alpha, "alpha")
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else alpha * math.expm1(x), 0)


@activation(
    formula="Math.abs(x) > lambd ? x : 0",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="What is nearer to 0 than lambd becomes 0: small responses, noise for the most part, are dropped.",
)
def Hardshrink(lambd=0.5) -> Effect:
    """x where it is farther from 0 than lambd, 0 elsewhere.

    Example: Hardshrink(30)
    """
    lambd = number(lambd, "lambd")
    return _curve(lambda x: x if abs(x) > lambd or x != x else 0.0, 0, -lambd, lambd, jumps=lambd > 0)


@activation(
    formula="clamp(x / 6 + 0.5, 0, 1)",
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Sigmoid drawn with three straight lines: 0, a ramp, 1.",
)
def Hardsigmoid(inplace=False) -> Effect:
    """A straight line from 0 at -3 to 1 at 3, level outside.

    Example: Hardsigmoid()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: min(max(x / 6 + 0.5, 0.0), 1.0), never_falls=True)


@activation(
    formula="clamp(x, min_val, max_val)",
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Values are cut off at a floor and at a ceiling, and pass unchanged between them.",
)
def Hardtanh(min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None) -> Effect:
    """x, held between min_val and max_val.

    Example: Hardtanh(0, 255)
    """
    low, high = number(min_val, "min_val", finite=False), number(max_val, "max_val", finite=False)
    only(min_value, "min_value", None, "PyTorch has dropped it; use min_val")
    only(max_value, "max_value", None, "PyTorch has dropped it; use max_val")
    number(high, "max_val", above=low, finite=False)
    flag(inplace, "inplace")
    return _curve(lambda x: min(max(x, low), high))


@activation(
    formula="x * clamp(x / 6 + 0.5, 0, 1)",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="SiLU drawn with straight lines and a parabola, cheap enough for telephones.",
)
def Hardswish(inplace=False) -> Effect:
    """x times Hardsigmoid of x.

    Example: Hardswish()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0), -3, -1.5)


@activation(
    formula="x > 0 ? x : negative_slope * x",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="ReLU that lets a little of the negative values through, so that no channel can fall silent for good.",
)
def LeakyReLU(negative_slope=0.01, inplace=False) -> Effect:
    """x above 0, negative_slope * x below.

    Example: LeakyReLU(0.1)
    """
    slope = number(negative_slope, "negative_slope")
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else slope * x, 0)


@activation(
    formula="-softplus(-x)",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=like_input,
    lesson="The logarithm of Sigmoid: nearly the value itself when negative, nearly 0 when positive.",
)
def LogSigmoid() -> Effect:
    """The logarithm of Sigmoid.

    Example: LogSigmoid()
    """
    return _curve(lambda x: min(x, 0.0) - math.log1p(math.exp(-abs(x))), never_falls=True)


@activation(
    formula="x > 0 ? x : weight[c % weight.length] * x",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    unprinted=("init",),
    lesson="ReLU whose slope for negative values is learnt, one a channel or one for all.",
)
def PReLU(num_parameters=1, init=0.25, device=None, dtype=None, *, weight=None) -> Effect:
    """x above 0, a learnt slope times x below: init, unless weight gives what training has made of it.

    Example: PReLU(init=0.1)
    """
    channels = whole(num_parameters, "num_parameters")
    slope = number(init, "init")
    plain(device, dtype)
    if weight is not None:
        check_shape(weight, "weight", (channels,))

    def interval(lo, hi, shape):
        slopes = (slope,) if weight is None else (weight.array.min().item(), weight.array.max().item())
        ends = [x if x > 0 else slope * x for x in (lo, hi, *((0.0,) if lo < 0 < hi else ())) for slope in slopes]
        return min(ends), max(ends)

    return Effect(
        in_channels=None if channels == 1 else channels,
        out_channels=None if channels == 1 else channels,
        parameters=channels,
        elementwise=True,
        interval=interval,
        tensors=(("weight", (channels,)),),
    )


@activation(
    formula="Math.max(x, 0)",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(f"What is negative becomes 0, the rest passes. {_GATE}"),
)
def ReLU(inplace=False) -> Effect:
    """x above 0, 0 below.

    Example: ReLU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: max(x, 0.0), never_falls=True)


@activation(
    formula="clamp(x, 0, 6)",
    keeps_whole=True,
    keeps_scale=False,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(
        "ReLU with a ceiling of 6, made for networks that calculate with few bits. Without such a nonlinearity between "
        "them, two convolutions in a row would be no more than one larger convolution."
    ),
)
def ReLU6(inplace=False) -> Effect:
    """x, held between 0 and 6.

    Example: ReLU6()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: min(max(x, 0.0), 6.0), never_falls=True)


@activation(
    formula="x > 0 ? x : ((lower + upper) / 2) * x",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=True,
    scratch=like_input,
    lesson="ReLU whose slope for negative values is random in training; outside of it, the mean slope is used.",
)
def RReLU(lower=1.0 / 8, upper=1.0 / 3, inplace=False) -> Effect:
    """x above 0, a slope times x below: random in training, (lower + upper) / 2 here.

    Example: RReLU()
    """
    low, high = number(lower, "lower"), number(upper, "upper")
    number(high, "upper", least=low)
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else (low + high) / 2 * x, 0)


@activation(
    formula="1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x))",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="ELU with two constants chosen so that, layer after layer, values keep a mean of 0 and a spread of 1.",
)
def SELU(inplace=False) -> Effect:
    """ELU, scaled so that deep networks keep their mean and variance.

    Example: SELU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)), never_falls=True)


@activation(
    formula="Math.max(x, 0) + Math.min(0, alpha * Math.expm1(x / alpha))",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="ELU, written so that its slope has no step at 0 whatever alpha is.",
)
def CELU(alpha=1.0, inplace=False) -> Effect:
    """x above 0, alpha * (exp(x / alpha) - 1) below.

    Example: CELU(alpha=10)
    """
    alpha = number(alpha, "alpha")
    if abs(alpha) < 1 / LARGEST:
        raise ArgumentError("alpha", "must not be 0" if alpha == 0 else f"is too near to 0 to divide by, {show(alpha)}")
    flag(inplace, "inplace")
    return _curve(lambda x: max(x, 0.0) + min(0.0, alpha * math.expm1(min(x / alpha, 700.0))), 0)


@activation(
    formula=(
        "approximate === 'tanh'"
        " ? (x / 2) * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x ** 3)))"
        " : (x / 2) * (1 + erf(x / Math.SQRT2))"
    ),
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(
        "A smooth ReLU: each value times the chance that a normal random number is smaller. Language models use it."
    ),
)
def GELU(approximate="none") -> Effect:
    """x times the normal distribution's share below x; approximate='tanh' is the quicker formula.

    Example: GELU(approximate='tanh')
    """
    if choice(approximate, "approximate", ("none", "tanh")) == "tanh":
        return _curve(lambda x: x / 2 * (1 + math.tanh(0.7978845608028654 * (x + 0.044715 * x**3))), -0.7524614)
    return _curve(lambda x: x / 2 * (1 + math.erf(x / 1.4142135623730951)), -0.7517916)


@activation(
    formula="sigmoid(x)",
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(
        "Every value is squeezed between 0 and 1. Large values, positive or negative, come out almost the same: "
        "with inputs in the hundreds, the picture turns into black and white."
    ),
)
def Sigmoid() -> Effect:
    """1 / (1 + exp(-x)).

    Example: Sigmoid()
    """
    return _curve(_sigmoid, never_falls=True)


@activation(
    formula="x * sigmoid(x)",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="A smooth ReLU: each value times its own Sigmoid. It dips slightly below 0 before it rises.",
)
def SiLU(inplace=False) -> Effect:
    """x times Sigmoid of x.

    Example: SiLU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * _sigmoid(x), -1.2784645)


@activation(
    formula="x * Math.tanh(softplus(x))",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="A smooth ReLU much like SiLU: each value times Tanh of its Softplus.",
)
def Mish(inplace=False) -> Effect:
    """x times Tanh of Softplus of x.

    Example: Mish()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * math.tanh(max(x, 0.0) + math.log1p(math.exp(-abs(x)))), -1.1924312)


@activation(
    formula="x * beta > threshold ? x : softplus(x * beta) / beta",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(
        "ReLU with its corner rounded off: nearly 0 for negative values, nearly the value itself for positive ones."
    ),
)
def Softplus(beta=1.0, threshold=20.0) -> Effect:
    """log(1 + exp(beta * x)) / beta: a smooth ReLU; x itself where beta * x is above the threshold.

    Example: Softplus(beta=0.1)
    """
    beta, threshold = number(beta, "beta"), number(threshold, "threshold")
    if beta == 0:
        raise ArgumentError("beta", "must not be 0")
    limit = threshold / beta

    def smooth(x):
        return math.log1p(math.exp(min(x * beta, 700.0))) / beta

    def interval(lo, hi, shape):  # two rising pieces, with a step between them
        below, above = (smooth, float) if beta > 0 else (float, smooth)
        ends = ([below(lo), below(min(hi, limit))] if lo <= limit else []) + (
            [above(max(lo, limit)), above(hi)] if hi > limit else []
        )
        return min(ends), max(ends)

    return Effect(elementwise=True, jumps=abs(smooth(limit) - limit) > 1e-6 * abs(limit), interval=interval)


@activation(
    formula="x > lambd ? x - lambd : x < -lambd ? x + lambd : 0",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Everything moves towards 0 by lambd, and what would cross it stays at 0: the way to remove noise.",
)
def Softshrink(lambd=0.5) -> Effect:
    """x moved towards 0 by lambd, 0 where it is nearer than that.

    Example: Softshrink(30)
    """
    lambd = number(lambd, "lambd", least=0)
    return _curve(lambda x: x - lambd if x > lambd else min(x + lambd, 0.0))


@activation(
    formula="x / (1 + Math.abs(x))",
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    scratch=like_input,
    lesson=(
        "Squeezed between -1 and 1 like Tanh, but it levels off more slowly, so large values stay distinct longer."
    ),
)
def Softsign() -> Effect:
    """x / (1 + |x|).

    Example: Softsign()
    """
    return _curve(lambda x: x / (1 + abs(x)), never_falls=True)


@activation(
    formula="Math.tanh(x)",
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    scratch=no_scratch,
    lesson=(
        "Every value is squeezed between -1 and 1, and 0 stays 0. Beyond about 3 on either side nothing more can "
        "be told apart: with inputs in the hundreds, little but the sign is left."
    ),
)
def Tanh() -> Effect:
    """The hyperbolic tangent.

    Example: Tanh()
    """
    return _curve(math.tanh, never_falls=True)


@activation(
    formula="x - Math.tanh(x)",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=like_input,
    lesson="What Tanh takes away: near 0 almost nothing is left, far from it almost everything.",
)
def Tanhshrink() -> Effect:
    """x - Tanh(x).

    Example: Tanhshrink()
    """
    return _curve(lambda x: x - math.tanh(x))


@activation(
    formula="x > threshold ? x : value",
    keeps_whole=False,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Values above the threshold pass, every other one is replaced by the same number.",
)
def Threshold(threshold, value, inplace=False) -> Effect:
    """x where it is above the threshold, the value elsewhere.

    Example: Threshold(100, 0)
    """
    limit, other = number(threshold, "threshold"), number(value, "value")
    flag(inplace, "inplace")

    def interval(lo, hi, shape):
        ends = ([other] if lo <= limit else []) + ([max(lo, limit), hi] if hi > limit else [])
        return min(ends), max(ends)

    return Effect(elementwise=True, jumps=limit != other, interval=interval)


@fixed(
    computes=Computes.GATE,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "One half of the channels are gates for the other half: Sigmoid makes of each gate a share from 0 to 1, by "
        "which the value is multiplied. The network learns what to let through."
    ),
)
def GLU(dim=-1) -> Effect:
    """The first half of the channels times Sigmoid of the second half.

    Example: GLU(dim=1)
    """
    _over_channels(dim, "GLU")

    def interval(lo, hi, shape):
        ends = [x * _sigmoid(gate) for x in (lo, hi) for gate in (lo, hi)]
        return min(ends), max(ends)

    return Effect(divide=2, interval=interval)


@fixed(
    computes=Computes.SOFTMAX,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson="At each pixel the channels compete: the outputs are shares that add up to 1.",
)
def Softmax2d() -> Effect:
    """exp(x) over its sum over all channels, at each pixel.

    Example: Softmax2d()
    """
    return Effect(interval=lambda lo, hi, shape: (1.0, 1.0) if shape[0] == 1 else (0.0, 1.0))


@fixed(
    computes=Computes.SOFTMAX,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson="At each pixel the channels compete: the outputs are shares that add up to 1.",
)
def Softmax(dim=None) -> Effect:
    """exp(x) over its sum over all channels, at each pixel, as Softmax2d.

    Example: Softmax(dim=1)
    """
    _over_channels(1 if dim is None else dim, "Softmax")  # which PyTorch takes for None, too
    return Softmax2d.function()


@fixed(
    computes=Computes.SOFTMIN,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson="At each pixel the channels compete, and the smallest wins: the outputs are shares that add up to 1.",
)
def Softmin(dim=None) -> Effect:
    """exp(-x) over its sum over all channels, at each pixel.

    Example: Softmin(dim=1)
    """
    _over_channels(1 if dim is None else dim, "Softmin")  # which PyTorch takes for None, too
    return Softmax2d.function()


@fixed(
    computes=Computes.LOG_SOFTMAX,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson="The logarithm of Softmax: how far each channel is behind the strongest ones, at each pixel.",
)
def LogSoftmax(dim=None) -> Effect:
    """x less the logarithm of the sum of exp(x) over all channels, at each pixel.

    Example: LogSoftmax(dim=1)
    """
    _over_channels(1 if dim is None else dim, "LogSoftmax")  # which PyTorch takes for None, too

    def interval(lo, hi, shape):
        rivals = (shape[0] - 1) * math.exp(lo - hi)
        least = lo - hi - math.log(shape[0] - 1 + math.exp(lo - hi)) if shape[0] > 1 else 0.0
        return least, -math.log1p(rivals)

    return Effect(interval=interval)


def _over_channels(dim, name: str) -> None:
    """Refuse every dimension but that of the channels."""
    if not isinstance(dim, int) or isinstance(dim, bool) or dim not in (1, -3):
        raise ArgumentError("dim", f"must be 1, the channels, not {show(dim)}: {WHY_CHANNELS[name]}")


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _curve(f, *turns: float, never_falls: bool = False, jumps: bool = False) -> Effect:
    """An elementwise layer; between its ``turns`` the curve only rises or only falls.

    ``never_falls`` says that float32's values never fall either, ``jumps`` that the curve has a step.
    """

    def interval(lo, hi, shape):
        points = [f(x) for x in (lo, hi, *(t for t in turns if lo < t < hi))]
        return min(points), max(points)

    return Effect(elementwise=True, never_falls=never_falls, jumps=jumps, interval=interval)
