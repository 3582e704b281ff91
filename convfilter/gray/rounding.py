"""How far float32's rounding can spread the values of a channel whose input is constant, and so should be flat."""

from convfilter.gray.input_values import InputValues
from convfilter.language.pipeline import Pipeline
from convfilter.layers.entry import Computes
from convfilter.layers.shapes import Effect

ROUNDING = 4e-7  # of the largest value: a few of float32's steps
CERTAIN = 2  # convolutions; the bound grows far beyond what rounding does in deeper networks
EXACT = 2**24  # whole numbers up to it are exact in float32, and so are their sums in any order
PICTURE = 1 << 12  # rows and columns: the bound is to hold for pictures of any usual size
FAR = 1e30  # a value beyond the bounds that a layer has of its own


def rounding_noise(pipeline: Pipeline, inputs: InputValues, whole: bool) -> tuple[float, ...]:
    """Return, for each layer, the difference that rounding alone can make between values of one channel.

    ``inputs`` are the picture's values; ``whole`` says that the picture's values are whole numbers. The difference is a
    few of float32's steps at the largest value that a white picture can give, by the layer's interval or, where its
    weights are random, by the largest that PyTorch draws. So a layer that saturates, such as Tanh, bounds the noise by
    what it can give. It is 0 where all numbers are whole and exact, and from the third convolution on after the input,
    or after a layer that saturates: nothing is put down to rounding there.

    >>> from convfilter import parse
    >>> [round(noise, 7) for noise in rounding_noise(parse("edge | edge | Tanh"), InputValues(white=1), whole=False)]
    [1.92e-05, 0.0009216, 4e-07]
    >>> rounding_noise(parse("edge | edge | ReLU"), InputValues(), whole=True)
    (0.0, 0.0, 0.0)
    """
    noise: list[float] = []
    largest, rough, convolutions, c = max(map(abs, inputs.interval)), 1.0, 0, inputs.channels
    for layer in pipeline.layers:
        rounding = layer.entry.rounding(layer.effect, layer.arguments, c)
        bound = _bound(layer.effect, largest, c)
        largest = largest * rounding.growth + rounding.offset if bound is None else bound
        rough = max(rough, rounding.roughness)
        if layer.entry.computes in (Computes.CONVOLUTION, Computes.TRANSPOSED):
            convolutions += 1
        elif bound is not None and _bound(layer.effect, FAR, c) == _bound(layer.effect, 2 * FAR, c):  # it saturates
            convolutions = 0
        whole = whole and layer.entry.keeps_whole and rounding.keeps_whole and largest <= EXACT
        noise.append(0.0 if whole or convolutions > CERTAIN else ROUNDING * rough * largest)
        c = layer.effect.channels(c)
    return tuple(noise)


def _bound(effect: Effect, largest: float, channels: int) -> float | None:
    """The largest absolute value that inputs up to ``largest`` can give; None where it is not known."""
    ends = effect.values(-largest, largest, (channels, PICTURE, PICTURE))
    return max(map(abs, ends)) if ends else None
