"""What float32's rounding can make of a channel that is flat by rights."""

from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer

ROUNDING = 4e-7  # of the largest value: a few of float32's steps
CERTAIN = 2  # convolutions; the bound on values grows past all measure in deeper networks
KEEP_WHOLE = {  # layers that make whole numbers of whole numbers
    "MaxPool2d", "AdaptiveMaxPool2d", "FractionalMaxPool2d", "ReLU", "ReLU6", "Identity", "Dropout", "Dropout2d",
    "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d", "PixelShuffle", "PixelUnshuffle",
    "ChannelShuffle",
}  # fmt: skip


def gain(layer: Layer) -> tuple[float, float]:
    """Return how many times larger a layer without weights can make values, and its rounding, than most layers do.

    Measured on flat pictures, over their value: bicubic 1.8e-6, means of up to 15,000 pixels 7e-6, LPPool2d 5e-7 times
    what it makes values larger.

    >>> from convfilter import parse
    >>> [gain(layer) for layer in parse("ReLU | LPPool2d(2, 3) | Upsample(scale_factor=3, mode='bicubic')").layers]
    [(1.0, 1.0), (3.0, 1.0), (1.0, 5.0)]
    """
    if layer.name == "LPPool2d":
        power, pixels = layer.args[0], layer.effect.rows.size * layer.effect.columns.size
        return (pixels ** (1 / power) if power > 0 else 1.0), 1.0
    if layer.name == "AdaptiveAvgPool2d":
        return 1.0, 20.0
    return 1.0, 5.0 if dict(layer.kwargs).get("mode") == "bicubic" else 1.0


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
        if layer.name != "FractionalMaxPool2d" and is_random(layer):
            return 0.0
        matrices = [matrix for kernel in layer.kernels for matrix in kernel.matrices]
        if matrices:
            convolutions += 1
            bias = dict(layer.kwargs).get("bias", False)
            biases = bias if isinstance(bias, tuple) else (float(bias),)
            groups = c if layer.name == "Filter2d" else dict(layer.kwargs).get("groups", 1)
            bound *= c // groups * max(sum(abs(value) for row in matrix for value in row) for matrix in matrices)
            bound += max(map(abs, biases))
            numbers = [*biases, *(value for matrix in matrices for row in matrix for value in row)]
            whole = whole and all(number == int(number) for number in numbers)
        else:
            whole = whole and layer.name in KEEP_WHOLE
            larger, rougher = gain(layer)
            bound, rough = bound * larger, max(rough, rougher)
        c = layer.effect.channels(c)
    noise = ROUNDING * rough * bound if convolutions <= CERTAIN else 0.0
    return 0.0 if whole and noise < 1 else noise


def is_random(layer: Layer) -> bool:
    """Return whether a layer draws random numbers: weights, biases, or the places of its windows."""
    if layer.name == "Conv2d":
        kernels = sum(len(kernel.matrices) for kernel in layer.kernels)
        return kernels < layer.effect.out_channels or dict(layer.kwargs).get("bias", True) is True
    return layer.name in ("ConvTranspose2d", "FractionalMaxPool2d")
