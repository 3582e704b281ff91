"""How a script makes gray levels of floats, as the program does."""

from collections.abc import Iterator

from convfilter.literals import write_double
from convfilter.meaning import Layer
from convfilter.norm import LARGEST, SMALLEST, Norm
from convfilter.pipeline import Pipeline

KEEP_WHOLE = {  # layers that make whole numbers of whole numbers
    "MaxPool2d", "AdaptiveMaxPool2d", "FractionalMaxPool2d", "ReLU", "ReLU6", "Identity", "Dropout", "Dropout2d",
    "ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "CircularPad2d", "PixelShuffle", "PixelUnshuffle",
    "ChannelShuffle",
}  # fmt: skip


def write_levels(norm: Norm, white: float, bits: int, noise: float) -> Iterator[str]:
    """Yield the statements that turn ``values`` into ``pixels`` of 8 or 16 ``bits``, as ``Norm.limits`` says.

    ``white`` is a white pixel's value in the tensor; a difference of up to ``noise`` is put down to rounding.

    >>> print(*write_levels(Norm(vmin=0.0, vmax=9.0), 255, 8, 0.0), sep="\\n")
    low, high = 0, 9
    scale = 255 / (high - low)
    pixels = ((values - low) * scale).round().clamp(0, 255).byte().numpy()
    """
    levels = (1 << bits) - 1
    black = None if norm.vmin is None else write_double(norm.vmin)
    bright = None if norm.vmax is None else write_double(norm.vmax)
    values = "values.abs()" if norm.mode == "abs" else "values"
    if norm.mode == "clip":
        black, bright = map(write_double, norm.limits(0.0, 0.0, white)[:2])
    one_end = norm.mode != "clip" and (norm.vmin is None) != (norm.vmax is None)
    fixed = black is not None and bright is not None
    end = max(abs(one or 0) for one in (norm.vmin, norm.vmax))
    if end > LARGEST or (fixed and norm.mode != "clip" and norm.vmax - norm.vmin < SMALLEST):
        values += ".double()"
    if norm.mode == "symmetric" and not fixed:
        yield "top = values.abs().max().item()"
        yield f"top = top if top > {noise:.3g} else 1"
    low = black or {"minmax": "values.min().item()", "abs": "0", "symmetric": "-top"}.get(norm.mode)
    high = (
        bright or {"minmax": "values.max().item()", "abs": "values.abs().max().item()", "symmetric": "top"}[norm.mode]
    )
    yield f"low, high = {low}, {high}"
    if one_end and noise and not bright and norm.mode != "symmetric":
        least = "values.min().item()" if norm.mode == "minmax" else "0"
        yield f"high = high if high - {least} > {noise:.3g} else {least}"
    if one_end:  # beyond all values it saturates
        yield "low = low if low < high else high - 1" if bright else "high = high if high > low else low + 1"
    scale = f"{levels} / (high - low)"
    if (one_end and end > 2**52) or (fixed and black == bright):  # where 1 more is no more
        scale += " if high != low else 0"
    elif not fixed and not one_end and norm.mode != "symmetric":
        scale += f" if high - low > {noise:.3g} else 0" if noise else " if high != low else 0"
    yield f"scale = {scale}"
    kind = "byte()" if bits == 8 else "to(torch.uint16)"
    yield f"pixels = (({values} - low) * scale).round().clamp(0, {levels}).{kind}.numpy()"


def measure_noise(pipeline: Pipeline, white: float, whole: bool) -> float:
    """Return what ``network.rounding_noise`` says of the last layer, 0 where weights are random.

    It is 0 too where it makes no difference: where the picture's values are ``whole`` numbers, all layers keep them so,
    and none are so large that a difference of 1 would pass for rounding.

    >>> from convfilter import parse
    >>> measure_noise(parse("edge"), 255, whole=True), round(measure_noise(parse("edge"), 255, whole=False), 6)
    (0.0, 0.004896)
    """
    bound, convolutions, c = float(white), 0, 1
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
        c = layer.effect.channels(c)
    noise = 4e-7 * bound if convolutions <= 2 else 0.0
    return 0.0 if whole and noise < 1 else noise


def is_random(layer: Layer) -> bool:
    """Return whether a layer draws random numbers: weights, biases, or the places of its windows."""
    if layer.name == "Conv2d":
        kernels = sum(len(kernel.matrices) for kernel in layer.kernels)
        return kernels < layer.effect.out_channels or dict(layer.kwargs).get("bias", True) is True
    return layer.name in ("ConvTranspose2d", "FractionalMaxPool2d")
