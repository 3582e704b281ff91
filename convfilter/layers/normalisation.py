"""The layers that divide values by how large others are: batch, instance, group, layer and response normalisation."""

import math

from convfilter.layers.checks import ArgumentError, flag, number, plain, show, whole
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
from convfilter.layers.shapes import Effect, Shape, Whole, Window

STEEP = 0.1  # a response norm that divides values near 0 by less makes large ones of tiny ones


def _response_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    return 3 * shape[0] * shape[1] * shape[2]


@entry(
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=True,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "Each channel is shifted and scaled by the mean and the spread that it had in training, and then by two "
        "numbers that were learnt. Without a trained network's numbers nothing changes here."
    ),
)
def BatchNorm2d(
    num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None,
    *, bias=True, weight=None, running_mean=None, running_var=None,
) -> Effect:  # fmt: skip
    """Each channel less the mean that training has kept, over the kept standard deviation.

    Example: BatchNorm2d(1)
    """
    c = whole(num_features, "num_features")
    tensors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    _check_eps(eps, track_running_stats)
    return _by_channel(c, eps, momentum, affine, track_running_stats, device, dtype, tensors)


@entry(
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=True,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "BatchNorm2d for training on several machines at once. Outside of training it is the same: each channel is "
        "shifted and scaled by kept numbers, and without a trained network's nothing changes."
    ),
)
def SyncBatchNorm(
    num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, process_group=None, device=None,
    dtype=None, *, bias=True, weight=None, running_mean=None, running_var=None,
) -> Effect:  # fmt: skip
    """BatchNorm2d, whose training goes on on several machines at once.

    Example: SyncBatchNorm(1)
    """
    if process_group is not None:
        raise ArgumentError(
            "process_group", f"must be None, because nothing is trained here, not {show(process_group)}"
        )
    c = whole(num_features, "num_features")
    tensors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    _check_eps(eps, track_running_stats)
    return _by_channel(c, eps, momentum, affine, track_running_stats, device, dtype, tensors)


@entry(
    module="BatchNorm2d",
    lazy=True,
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=True,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "BatchNorm2d for as many channels as the layer before gives. Each is shifted and scaled by the mean and the "
        "spread that it had in training; without a trained network's numbers nothing changes."
    ),
)
def LazyBatchNorm2d(
    eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None, *, bias=True
) -> Effect:
    """BatchNorm2d for as many channels as its input has.

    Example: LazyBatchNorm2d()
    """
    _check_eps(eps, track_running_stats)
    return _by_channel(None, eps, momentum, affine, track_running_stats, device, dtype, {"bias": flag(bias, "bias")})


@entry(
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=True,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
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
    tensors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    return _by_channel(c, eps, momentum, affine, track_running_stats, device, dtype, tensors)


@entry(
    module="InstanceNorm2d",
    lazy=True,
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=True,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "InstanceNorm2d for as many channels as the layer before gives. As it keeps the mean and the spread of "
        "training unless told otherwise, nothing changes without a trained network's numbers."
    ),
)
def LazyInstanceNorm2d(
    eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, device=None, dtype=None, *, bias=True
) -> Effect:
    """InstanceNorm2d for as many channels as its input has.

    Example: LazyInstanceNorm2d(track_running_stats=False)
    """
    return _by_channel(None, eps, momentum, affine, track_running_stats, device, dtype, {"bias": flag(bias, "bias")})


@entry(
    kernels=Kernels.NONE,
    computes=Computes.NORMALISED,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "The channels are put into groups, and each group is shifted and scaled to a mean of 0 and a spread of 1. With "
        "one channel a group it is InstanceNorm2d."
    ),
)
def GroupNorm(
    num_groups, num_channels, eps=1e-05, affine=True, device=None, dtype=None, *, bias=True, weight=None
) -> Effect:
    """Each group of channels less its mean, over its standard deviation.

    Example: GroupNorm(1, 1)
    """
    groups, c = whole(num_groups, "num_groups"), whole(num_channels, "num_channels")
    if c % groups:
        raise ArgumentError("num_groups", f"must divide num_channels {c}, and {groups} does not")
    eps = number(eps, "eps", least=0)
    names, given = _learnt({"weight": weight, "bias": bias}, flag(affine, "affine"), "affine", (c,))
    plain(device, dtype)

    def interval(lo, hi, shape):
        return _weighted(_farthest(c // groups * shape[1] * shape[2]), given)

    return Effect(
        *(Whole(), Whole(), c, c),
        parameters=len(names) * c,
        local=False,
        pixels=2 if c == groups else 1,
        jumps=eps == 0,
        interval=interval,
        tensors=tuple((name, (c,)) for name in names),
    )


@entry(
    kernels=Kernels.NONE,
    computes=Computes.LAYER_NORM,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    equal_numbers={"normalized_shape": 0},
    lesson=(
        "All values of a picture together, or of each channel or row by itself, are shifted and scaled to a mean of 0 "
        "and a spread of 1. The picture's size must be known beforehand."
    ),
)
def LayerNorm(
    normalized_shape, eps=1e-05, elementwise_affine=True, bias=True, device=None, dtype=None, *, weight=None
) -> Effect:
    """The values of normalized_shape (C, H, W), (H, W) or W less their mean, over their standard deviation.

    Example: LayerNorm((512, 512))
    """
    sizes = _normalised_sizes(normalized_shape)
    number(eps, "eps", least=0)
    learnt = flag(elementwise_affine, "elementwise_affine")
    names, given = _learnt({"weight": weight, "bias": bias}, learnt, "elementwise_affine", sizes)
    plain(device, dtype)
    return _over_sizes(sizes, names, eps, lambda lo, hi, shape: _weighted(_farthest(math.prod(sizes)), given))


@entry(
    kernels=Kernels.NONE,
    computes=Computes.ROOT_MEAN_SQUARE,
    formula=None,
    keeps_whole=False,
    keeps_scale=False,
    differs_in_training=False,
    draws=draws_nothing,
    rounding=usual_rounding,
    scratch=like_input,
    equal_numbers={"normalized_shape": 0},
    lesson=(
        "All values of a picture together, or of each channel or row by itself, are divided by how large they are in "
        "the mean. Unlike LayerNorm it shifts nothing: 0 stays 0."
    ),
)
def RMSNorm(normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None, *, weight=None) -> Effect:
    """The values of normalized_shape (C, H, W), (H, W) or W over the root of their mean square.

    Example: RMSNorm((512, 512))
    """
    sizes = _normalised_sizes(normalized_shape)
    if eps is not None:
        number(eps, "eps", least=0)
    learnt = flag(elementwise_affine, "elementwise_affine")
    names, given = _learnt({"weight": weight}, learnt, "elementwise_affine", sizes)
    plain(device, dtype)
    most = math.prod(sizes) ** 0.5

    def interval(lo, hi, shape):
        return _weighted((-most if lo < 0 else 0.0, most if hi > 0 else 0.0), given)

    return _over_sizes(sizes, names, eps, interval)


@fixed(
    computes=Computes.RESPONSE,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=_response_scratch,
    lesson="Each value is divided by how strong its neighbouring channels are at the same pixel.",
)
def LocalResponseNorm(size, alpha=0.0001, beta=0.75, k=1.0) -> Effect:
    """Each value over (k + alpha * the mean square of size neighbouring channels) ** beta.

    Example: LocalResponseNorm(2)
    """
    whole(size, "size", most=100)  # PyTorch pads the channels by as many
    return _response(size, number(alpha, "alpha"), number(beta, "beta"), number(k, "k"))


@fixed(
    computes=Computes.CROSS_RESPONSE,
    keeps_whole=False,
    keeps_scale=False,
    rounding=usual_rounding,
    scratch=like_input,
    lesson=(
        "LocalResponseNorm as the first networks for photographs had it: each value is divided by how strong its "
        "neighbouring channels are at the same pixel. Past the first channels, PyTorch's sum holds channel 0, too."
    ),
)
def CrossMapLRN2d(size, alpha=0.0001, beta=0.75, k=1) -> Effect:
    """Each value over (k + alpha / size * the sum of squares of the neighbouring channels) ** beta.

    Example: CrossMapLRN2d(3)
    """
    whole(size, "size")
    return _response(size, number(alpha, "alpha"), number(beta, "beta"), number(k, "k"))


def _check_eps(eps, track_running_stats) -> None:
    """Refuse an eps of 0 where mean and variance are not kept, as PyTorch does in a batch norm alone."""
    if track_running_stats is False:
        number(eps, "eps", above=0)


def _by_channel(
    c: int | None, eps, momentum, affine, track_running_stats, device, dtype, tensors: dict[str, object]
) -> Effect:
    """The Effect of a layer that normalises each of ``c`` channels (None: of any number) by kept numbers or its own."""
    eps = number(eps, "eps", least=0)
    if momentum is not None:
        number(momentum, "momentum")
    kept = flag(track_running_stats, "track_running_stats")
    names, given = _learnt(
        {key: tensors.get(key) for key in ("weight", "bias")}, flag(affine, "affine"), "affine", (c,)
    )
    running = {key: tensors.get(key) for key in ("running_mean", "running_var")}
    kept_names, kept_given = _learnt(running, kept, "track_running_stats", (c,))
    plain(device, dtype)

    def interval(lo, hi, shape):
        if kept:
            return _scaled(lo, hi, shape[0], eps, given | kept_given)
        return _weighted(_farthest(shape[1] * shape[2]), given)

    axis = Window() if kept else Whole()
    return Effect(
        *(axis, axis, c, c),
        parameters_per_channel=len(names),
        local=kept,
        pixels=1 if kept else 2,
        jumps=eps == 0 and not kept,  # of what does not vary it is not defined
        interval=interval,
        tensors=() if c is None else tuple((name, (c,)) for name in names + kept_names),
    )


def _learnt(
    tensors: dict[str, object], has: bool, flag_name: str, shape: tuple[int | None, ...]
) -> tuple[tuple[str, ...], dict[str, Given]]:
    """The names of the tensors that a layer has, and those that are given; ``flag_name`` is what says that it has them.

    ``tensors`` are the arguments: None and True for PyTorch's own numbers, False for no bias, or Given.
    """
    given = {name: tensor for name, tensor in tensors.items() if isinstance(tensor, Given)}
    for name, tensor in given.items():
        if not has:
            raise ArgumentError(name, f"goes with {flag_name}=True")
        check_shape(tensor, name, shape)
    bias = tensors.get("bias", True)
    none = ("bias",) if not isinstance(bias, Given) and not flag(bias, "bias") else ()
    return tuple(name for name in tensors if has and name not in none), given


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


def _weighted(ends: tuple[float, float], given: dict[str, Given]) -> tuple[float, float]:
    """An interval around 0 times any of the given weights, plus any of the given biases."""
    if not given:
        return ends
    weight = float(abs(given["weight"].array).max()) if "weight" in given else 1.0
    bias = float(abs(given["bias"].array).max()) if "bias" in given else 0.0
    most = weight * max(map(abs, ends)) + bias
    return -most, most


def _farthest(n: int) -> tuple[float, float]:
    """Of n values none is more standard deviations from their mean."""
    return -((n - 1) ** 0.5), (n - 1) ** 0.5


def _normalised_sizes(normalized_shape) -> tuple[int, ...]:
    sizes = normalized_shape if isinstance(normalized_shape, tuple) else (normalized_shape,)
    if not 1 <= len(sizes) <= 3:
        reason = f"must be W, (H, W) or (C, H, W), not {show(normalized_shape)}"
        raise ArgumentError("normalized_shape", reason)
    return tuple(whole(size, "normalized_shape") for size in sizes)


def _over_sizes(sizes: tuple[int, ...], names: tuple[str, ...], eps: float | None, interval) -> Effect:
    """The Effect of a layer that takes pictures of these sizes alone, (C, H, W), (H, W) or (W,)."""
    c, h, w = (None,) * (3 - len(sizes)) + sizes

    def exactly(size: int | None):
        if size is None:
            return Window()

        def length(n: int) -> int:
            if n != size:
                raise ValueError(f"normalized_shape says {size}")
            return n

        return Whole(length)

    return Effect(
        *(exactly(h), exactly(w), c, c),
        parameters=len(names) * math.prod(sizes),
        local=False,
        jumps=eps == 0 or len(sizes) == 1,  # rounding is all that varies in some rows
        interval=interval,
        tensors=tuple((name, sizes) for name in names),
    )


def _response(size: int, alpha: float, beta: float, k: float) -> Effect:
    turn = math.inf  # from here on a value's own square weighs more than the value
    if alpha > 0 and beta > 0.5 and k > 0:
        turn = math.sqrt(k * size / alpha / (2 * beta - 1))

    def interval(lo, hi, shape):
        if min(alpha, beta) < 0 or k <= 0:
            return None
        low, high = (min(max(end, 0.0), turn) for end in (-lo, hi))
        return -low / (k + alpha / size * low**2) ** beta, high / (k + alpha / size * high**2) ** beta

    return Effect(jumps=min(alpha, beta) < 0 or k <= 0 or k**beta < STEEP, interval=interval)
