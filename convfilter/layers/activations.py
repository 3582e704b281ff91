"""The activation layers: each signature is torch.nn's, and each value the layer's Effect with the range it can give."""

import math

from convfilter.layers.checks import ArgumentError, choice, flag, number, only, plain, whole
from convfilter.layers.shapes import Effect


def ELU(alpha=1.0, inplace=False) -> Effect:
    """x above 0, alpha * (exp(x) - 1) below.

    Example: ELU(alpha=2.0)
    """
    alpha = number(alpha, "alpha")
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else alpha * math.expm1(x), 0)


def Hardshrink(lambd=0.5) -> Effect:
    """x where it is farther from 0 than lambd, 0 elsewhere.

    Example: Hardshrink(30)
    """
    lambd = number(lambd, "lambd")
    return _curve(lambda x: x if abs(x) > lambd or x != x else 0.0, 0, -lambd, lambd, jumps=lambd > 0)


def Hardsigmoid(inplace=False) -> Effect:
    """A straight line from 0 at -3 to 1 at 3, level outside.

    Example: Hardsigmoid()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: min(max(x / 6 + 0.5, 0.0), 1.0))


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


def Hardswish(inplace=False) -> Effect:
    """x times Hardsigmoid of x.

    Example: Hardswish()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0), -3, -1.5)


def LeakyReLU(negative_slope=0.01, inplace=False) -> Effect:
    """x above 0, negative_slope * x below.

    Example: LeakyReLU(0.1)
    """
    slope = number(negative_slope, "negative_slope")
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else slope * x, 0)


def LogSigmoid() -> Effect:
    """The logarithm of Sigmoid.

    Example: LogSigmoid()
    """
    return _curve(lambda x: min(x, 0.0) - math.log1p(math.exp(-abs(x))))


def PReLU(num_parameters=1, init=0.25, device=None, dtype=None) -> Effect:
    """x above 0, a learnt slope times x below: init, as no training has changed it.

    Example: PReLU(init=0.1)
    """
    channels = whole(num_parameters, "num_parameters")
    slope = number(init, "init")
    plain(device, dtype)
    curve = _curve(lambda x: x if x > 0 else slope * x, 0)
    return Effect(
        in_channels=None if channels == 1 else channels,
        out_channels=None if channels == 1 else channels,
        parameters=channels,
        elementwise=True,
        interval=curve.interval,
    )


def ReLU(inplace=False) -> Effect:
    """x above 0, 0 below.

    Example: ReLU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: max(x, 0.0))


def ReLU6(inplace=False) -> Effect:
    """x, held between 0 and 6.

    Example: ReLU6()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: min(max(x, 0.0), 6.0))


def RReLU(lower=1.0 / 8, upper=1.0 / 3, inplace=False) -> Effect:
    """x above 0, a slope times x below: random in training, (lower + upper) / 2 here.

    Example: RReLU()
    """
    low, high = number(lower, "lower"), number(upper, "upper")
    number(high, "upper", least=low)
    flag(inplace, "inplace")
    return _curve(lambda x: x if x > 0 else (low + high) / 2 * x, 0)


def SELU(inplace=False) -> Effect:
    """ELU, scaled so that deep networks keep their mean and variance.

    Example: SELU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)))


def CELU(alpha=1.0, inplace=False) -> Effect:
    """x above 0, alpha * (exp(x / alpha) - 1) below.

    Example: CELU(alpha=10)
    """
    alpha = number(alpha, "alpha")
    if alpha == 0:
        raise ArgumentError("alpha", "must not be 0")
    flag(inplace, "inplace")
    return _curve(lambda x: max(x, 0.0) + min(0.0, alpha * math.expm1(min(x / alpha, 700.0))), 0)


def GELU(approximate="none") -> Effect:
    """x times the normal distribution's share below x; approximate='tanh' is the quicker formula.

    Example: GELU(approximate='tanh')
    """
    if choice(approximate, "approximate", ("none", "tanh")) == "tanh":
        return _curve(lambda x: x / 2 * (1 + math.tanh(0.7978845608028654 * (x + 0.044715 * x**3))), -0.7524614)
    return _curve(lambda x: x / 2 * (1 + math.erf(x / 1.4142135623730951)), -0.7517916)


def Sigmoid() -> Effect:
    """1 / (1 + exp(-x)).

    Example: Sigmoid()
    """
    return _curve(_sigmoid)


def SiLU(inplace=False) -> Effect:
    """x times Sigmoid of x.

    Example: SiLU()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * _sigmoid(x), -1.2784645)


def Mish(inplace=False) -> Effect:
    """x times Tanh of Softplus of x.

    Example: Mish()
    """
    flag(inplace, "inplace")
    return _curve(lambda x: x * math.tanh(max(x, 0.0) + math.log1p(math.exp(-abs(x)))), -1.1924312)


def Softplus(beta=1.0, threshold=20.0) -> Effect:
    """log(1 + exp(beta * x)) / beta: a smooth ReLU; x itself where beta * x is above the threshold.

    Example: Softplus(beta=0.1)
    """
    beta, threshold = number(beta, "beta", above=0), number(threshold, "threshold")
    limit = threshold / beta

    def smooth(x):
        return math.log1p(math.exp(min(x * beta, 700.0))) / beta

    def interval(lo, hi, shape):  # two rising pieces, with a step down between them
        ends = ([smooth(lo), smooth(min(hi, limit))] if lo <= limit else []) + (
            [max(lo, limit), hi] if hi > limit else []
        )
        return min(ends), max(ends)

    return Effect(elementwise=True, jumps=smooth(limit) - limit > 1e-6 * abs(limit), interval=interval)


def Softshrink(lambd=0.5) -> Effect:
    """x moved towards 0 by lambd, 0 where it is nearer than that.

    Example: Softshrink(30)
    """
    lambd = number(lambd, "lambd", least=0)
    return _curve(lambda x: x - lambd if x > lambd else min(x + lambd, 0.0))


def Softsign() -> Effect:
    """x / (1 + |x|).

    Example: Softsign()
    """
    return _curve(lambda x: x / (1 + abs(x)))


def Tanh() -> Effect:
    """The hyperbolic tangent.

    Example: Tanh()
    """
    return _curve(math.tanh)


def Tanhshrink() -> Effect:
    """x - Tanh(x).

    Example: Tanhshrink()
    """
    return _curve(lambda x: x - math.tanh(x))


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


def Softmax2d() -> Effect:
    """exp(x) over its sum over all channels, at each pixel.

    Example: Softmax2d()
    """
    return Effect(interval=lambda lo, hi, shape: (1.0, 1.0) if shape[0] == 1 else (0.0, 1.0))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def _curve(f, *turns: float, jumps: bool = False) -> Effect:
    """An elementwise layer; between its ``turns`` the curve only rises or only falls."""

    def interval(lo, hi, shape):
        points = [f(x) for x in (lo, hi, *(t for t in turns if lo < t < hi))]
        return min(points), max(points)

    return Effect(elementwise=True, jumps=jumps, interval=interval)
