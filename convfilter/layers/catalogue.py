"""The vocabulary: one small function a layer, whose signature is the layer's and whose value is its Effect."""

from collections.abc import Callable
from types import MappingProxyType

from convfilter.layers import activations as act
from convfilter.layers.checks import ArgumentError, flag, number, plain, show, whole
from convfilter.layers.convolutions import Conv2d, ConvTranspose2d, Filter2d, Kernel, Magnitude, same_size
from convfilter.layers.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    FractionalMaxPool2d,
    LPPool2d,
    MaxPool2d,
)
from convfilter.layers.resizing import (
    CircularPad2d,
    ConstantPad2d,
    PixelShuffle,
    PixelUnshuffle,
    ReflectionPad2d,
    ReplicationPad2d,
    Upsample,
    ZeroPad2d,
)
from convfilter.layers.shapes import Effect, Whole, unchanged

__all__ = ["LAYERS", "Kernel", "same_size"]


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


def Identity(*args, **kwargs) -> Effect:
    """What comes in; arguments are taken and mean nothing.

    Example: Identity()
    """
    return Effect(elementwise=True, interval=unchanged)


def Dropout(p=0.5, inplace=False) -> Effect:
    """What comes in: values are dropped in training only.

    Example: Dropout(0.5)
    """
    if not 0 <= number(p, "p") <= 1:
        raise ArgumentError("p", f"must be from 0 to 1, not {show(p)}")
    flag(inplace, "inplace")
    return Effect(elementwise=True, interval=unchanged)


def Dropout2d(p=0.5, inplace=False) -> Effect:
    """What comes in: channels are dropped in training only.

    Example: Dropout2d(0.5)
    """
    return Dropout(p, inplace)


# By families, in the order in which they are listed to the user.
LAYERS: MappingProxyType[str, Callable[..., Effect]] = MappingProxyType(
    {
        layer.__name__: layer
        for layer in (
            *(Conv2d, ConvTranspose2d, Filter2d, Magnitude),
            *(MaxPool2d, AvgPool2d, LPPool2d, AdaptiveMaxPool2d, AdaptiveAvgPool2d, FractionalMaxPool2d),
            *(act.ReLU, act.ReLU6, act.LeakyReLU, act.PReLU, act.RReLU, act.ELU, act.CELU, act.SELU, act.GELU),
            *(act.SiLU, act.Mish, act.Softplus, act.Sigmoid, act.LogSigmoid, act.Tanh, act.Softsign, act.Threshold),
            *(act.Hardtanh, act.Hardsigmoid, act.Hardswish, act.Hardshrink, act.Softshrink, act.Tanhshrink),
            act.Softmax2d,
            *(ZeroPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, CircularPad2d),
            *(Upsample, PixelShuffle, PixelUnshuffle),
            *(InstanceNorm2d, LocalResponseNorm, Dropout, Dropout2d, Identity),
        )
    }
)
