"""What an entry of the vocabulary says: everything that the program knows of one kind of layer.

An entry is a function with facts in front of it. The function's signature is the layer's, its docstring a sentence and
an example, and its value the Effect that the layer has with these arguments. No fact has a default, so that a new layer
cannot do without one:

    @activation(
        formula="Math.max(x, 0)",
        keeps_whole=True,
        keeps_scale=True,
        differs_in_training=False,
        scratch=no_scratch,
        lesson="Negative values become 0, the others stay as they are.",
    )
    def ReLU(inplace=False) -> Effect:
        ...
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial

from convfilter.layers.shapes import Effect, Shape

Arguments = Mapping[str, object]  # all of a layer's arguments by name, PyTorch's defaults too


class Computes(Enum):
    """How an output pixel is computed: what ``explain --pixel`` writes out, and what the report's script does."""

    CONVOLUTION = "convolution"
    TRANSPOSED = "transposed"
    MAXIMUM = "maximum"
    SCATTERED_MAXIMUM = "fractional"  # of windows whose places are random
    MEAN = "mean"
    POWER_MEAN = "power"
    BLEND = "blend"  # of the nearest pixels, by weights; the mean where the axes are Adaptive
    SHUFFLE = "shuffle"
    UNSHUFFLE = "unshuffle"
    PADDING = "padding"
    MAGNITUDE = "magnitude"
    SOFTMAX = "softmax2d"
    LOG_SOFTMAX = "log softmax"
    SOFTMIN = "softmin"
    GATE = "gate"  # half of the channels times Sigmoid of the other half
    CHANNELS = "channels"  # in another order
    RESPONSE = "response"
    CROSS_RESPONSE = "cross response"
    NORMALISED = "affine"  # by the mean and the variance of a channel or of several, or by kept ones
    LAYER_NORM = "layer norm"
    ROOT_MEAN_SQUARE = "root mean square"
    CURVE = "curve"  # of the input's own pixel alone


class Kernels(Enum):
    """How a layer takes kernels by name."""

    NONE = "not at all"
    WEIGHT = "as weight=, one an output channel"
    EACH_CHANNEL = "as its arguments, and applies each to each input channel by itself"


class Draws(Enum):
    """What a layer draws from the random numbers that the seed fixes."""

    NOTHING = "nothing"
    WEIGHTS = "weights or biases"
    PLACES = "the places of its windows"


@dataclass(frozen=True, slots=True)
class Rounding:
    """How far values, and so their rounding, can grow in a layer.

    Values up to x become such up to ``growth`` * x + ``offset``: what is asked where the interval is not known.
    ``roughness`` is how many times more is rounded than in most layers. ``keeps_whole`` says that the layer's own
    numbers, its kernels and biases, are whole.
    """

    growth: float = 1.0
    offset: float = 0.0
    roughness: float = 1.0
    keeps_whole: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of layer: the function that checks its arguments and gives its Effect, and the facts that others ask."""

    function: Callable[..., Effect]
    module: str  # the class that computes it, of torch.nn or of our own
    lazy: bool  # whether that class takes the number of input channels before the layer's own arguments
    kernels: Kernels
    computes: Computes
    # Of a CURVE: the JavaScript expression that gives it. In it ``x`` is the value, ``c`` its channel, ``weight`` the
    # module's weights, and any other name an argument of the layer or a function of report/curves.js.
    formula: str | None
    keeps_whole: bool  # whether whole numbers stay whole; with kernels: where ``rounding`` says that its own are
    # Whether its output is drawn on its input's scale where layers are shown beside each other: an activation or a pool
    # whose values are of the input's size.
    keeps_scale: bool
    differs_in_training: bool  # whether PyTorch does something else before ``eval()``
    draws: Callable[[Arguments], Draws]
    rounding: Callable[[Effect, Arguments, int], Rounding]  # with so many input channels
    scratch: Callable[[Effect, Arguments, Shape, Shape], int]  # floats held beside an input and an output
    unprinted: tuple[str, ...]  # arguments that PyTorch leaves out where it prints the layer
    printed_only: Mapping[str, object]  # what PyTorch prints as arguments and does not take, with its value
    # For an argument: as how many equal numbers one number counts. As any number where nothing is said.
    equal_numbers: Mapping[str, int]
    lesson: str  # what the layer does and what it is for, to a learner

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def sentence(self) -> str:
        """The layer's definition."""
        return self._lines[0]

    @property
    def example(self) -> str:
        """A call that parses."""
        return next(line for line in self._lines if line.startswith("Example: ")).removeprefix("Example: ")

    @property
    def _lines(self) -> list[str]:
        return (inspect.getdoc(self.function) or "").splitlines()


def draws_nothing(arguments: Arguments) -> Draws:
    """The fact of a layer that is the same for every seed."""
    return Draws.NOTHING


def usual_rounding(effect: Effect, arguments: Arguments, channels: int) -> Rounding:
    """The fact of a layer whose values and rounding are as large as those of most layers."""
    return Rounding()


def no_scratch(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    """The fact of a layer that holds nothing beside its input and its output."""
    return 0


def like_input(effect: Effect, arguments: Arguments, shape: Shape, output: Shape) -> int:
    """The fact of a layer that holds as much again as its input."""
    return shape[0] * shape[1] * shape[2]


def entry(**facts) -> Callable[[Callable[..., Effect]], Entry]:
    """Return a decorator that makes an Entry of a layer's function; ``facts`` are Entry's other fields.

    What most layers have in common need not be said: the module is the class of torch.nn that has the layer's name, it
    is not lazy, PyTorch prints all its arguments, and any equal numbers are the same as one of them.
    """
    usual = {"lazy": False, "unprinted": (), "printed_only": {}, "equal_numbers": {}}
    return lambda function: Entry(function, **{**usual, "module": function.__name__, **facts})


fixed = partial(  # the same for every seed, in training too, and no weights to choose
    entry,
    kernels=Kernels.NONE,
    formula=None,
    differs_in_training=False,
    draws=draws_nothing,
)
activation = partial(  # one value in, one value out
    entry,
    kernels=Kernels.NONE,
    computes=Computes.CURVE,
    draws=draws_nothing,
    rounding=usual_rounding,
)
