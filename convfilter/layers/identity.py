"""The layers that change nothing outside of training: Identity and the Dropouts."""

from convfilter.layers.checks import ArgumentError, flag, number, show
from convfilter.layers.entry import activation, no_scratch
from convfilter.layers.shapes import Effect, unchanged

_NOTHING = "here, as always outside of training, nothing happens."


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=False,
    scratch=no_scratch,
    lesson="Nothing happens here: the output is the input.",
)
def Identity(*args, **kwargs) -> Effect:
    """The input, unchanged; arguments are taken and mean nothing.

    Example: Identity()
    """
    return Effect(elementwise=True, interval=unchanged)


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=True,
    scratch=no_scratch,
    lesson=f"In training, values are dropped at random; {_NOTHING}",
)
def Dropout(p=0.5, inplace=False) -> Effect:
    """The input, unchanged: values are dropped in training only.

    Example: Dropout(0.5)
    """
    if not 0 <= number(p, "p") <= 1:
        raise ArgumentError("p", f"must be from 0 to 1, not {show(p)}")
    flag(inplace, "inplace")
    return Effect(elementwise=True, interval=unchanged)


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=True,
    scratch=no_scratch,
    lesson=f"In training, whole channels are dropped at random; {_NOTHING}",
)
def Dropout2d(p=0.5, inplace=False) -> Effect:
    """The input, unchanged: channels are dropped in training only.

    Example: Dropout2d(0.5)
    """
    return Dropout.function(p, inplace)


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=True,
    scratch=no_scratch,
    lesson=f"In training, values are dropped at random so that mean and variance stay, as SELU needs it; {_NOTHING}",
)
def AlphaDropout(p=0.5, inplace=False) -> Effect:
    """The input, unchanged: values are dropped in training only.

    Example: AlphaDropout(0.5)
    """
    return Dropout.function(p, inplace)


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=True,
    scratch=no_scratch,
    lesson=(
        f"In training, whole channels are dropped at random so that mean and variance stay, as SELU needs; {_NOTHING}"
    ),
)
def FeatureAlphaDropout(p=0.5, inplace=False) -> Effect:
    """The input, unchanged: channels are dropped in training only.

    Example: FeatureAlphaDropout(0.5)
    """
    return Dropout.function(p, inplace)


@activation(
    formula="x",
    keeps_whole=True,
    keeps_scale=True,
    differs_in_training=True,
    scratch=no_scratch,
    lesson=f"In training, whole channels are dropped at random; {_NOTHING}",
)
def Dropout3d(p=0.5, inplace=False) -> Effect:
    """The input, unchanged: channels are dropped in training only.

    Example: Dropout3d(0.5)
    """
    return Dropout.function(p, inplace)
