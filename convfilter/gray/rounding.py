"""What float32's rounding can make of a channel that is flat by rights."""

from convfilter.language.pipeline import Pipeline
from convfilter.layers.entry import Draws, Kernels

ROUNDING = 4e-7  # of the largest value: a few of float32's steps
CERTAIN = 2  # convolutions; the bound on values grows past all measure in deeper networks


def measure_noise(pipeline: Pipeline, white: float, whole: bool) -> float:
    """Return what ``network.rounding_noise`` says of the last layer, 0 where weights or biases are random.

    It is 0 too where it makes no difference: where the picture's values are ``whole`` numbers, all layers keep them so,
    and none are so large that a difference of 1 would pass for rounding.

    >>> from convfilter import parse
    >>> measure_noise(parse("edge"), 255, whole=True), round(measure_noise(parse("edge"), 255, whole=False), 6)
    (0.0, 0.004896)
    """
    bound, rough, convolutions, c = float(white), 1.0, 0, 1
    for layer in pipeline.layers:
        if layer.draws is Draws.WEIGHTS:
            return 0.0
        matrices = [matrix for kernel in layer.kernels for matrix in kernel.matrices]
        if matrices:
            convolutions += 1
            bias = dict(layer.kwargs).get("bias", False)
            biases = bias if isinstance(bias, tuple) else (float(bias),)
            groups = c if layer.entry.kernels is Kernels.EACH_CHANNEL else dict(layer.kwargs).get("groups", 1)
            bound *= c // groups * max(sum(abs(value) for row in matrix for value in row) for matrix in matrices)
            bound += max(map(abs, biases))
            numbers = [*biases, *(value for matrix in matrices for row in matrix for value in row)]
            whole = whole and all(number == int(number) for number in numbers)
        else:
            whole = whole and layer.entry.keeps_whole
            rounding = layer.entry.rounding(layer.effect, layer.arguments)
            bound, rough = bound * rounding.growth, max(rough, rounding.roughness)
        c = layer.effect.channels(c)
    noise = ROUNDING * rough * bound if convolutions <= CERTAIN else 0.0
    return 0.0 if whole and noise < 1 else noise
