"""What the channels after a layer are called: their numbers, and the kernels that the text names for them."""

from convfilter.errors import shorten
from convfilter.language.pipeline import Pipeline
from convfilter.layers.convolutions import Kernel
from convfilter.layers.entry import Computes, Kernels

LONGEST = 60  # characters of a kernel's text


def channel_names(pipeline: Pipeline, layer: int, channels: int = 1) -> list[str]:
    """Return what each channel after a layer (counted from 0) shows: its kernel's name, "random", or an empty text.

    ``channels`` is how many the picture has. A layer that has no kernels and keeps the number of channels keeps their
    names.

    >>> from convfilter import parse
    >>> channel_names(parse("Filter2d(sobel_x, sobel_y) | ReLU"), 1)
    ['sobel_x', 'sobel_y']
    >>> channel_names(parse("tutorial | ReLU"), 1)
    ['edge(5)', 'random']
    """
    names, count = [""] * channels, channels
    for step in pipeline.layers[: layer + 1]:
        before, count = count, step.effect.channels(count)
        own = [name for kernel in step.kernels for name in _bank(kernel)]
        if own:
            own = own * before if step.entry.kernels is Kernels.EACH_CHANNEL else own + ["random"] * (count - len(own))
        elif step.entry.computes in (Computes.CONVOLUTION, Computes.TRANSPOSED) or count != before:
            own = [""] * count
        names = own or names
    return names


def label_channel(channel: int, name: str = "", *, short: bool = False) -> str:
    """Return a channel's label: its number, and what it shows.

    >>> label_channel(3, "sobel_x"), label_channel(3, "sobel_x", short=True), label_channel(0)
    ('channel 3: sobel_x', '3: sobel_x', 'channel 0')
    """
    number = f"{channel}" if short else f"channel {channel}"
    return f"{number}: {name}" if name else number


def _bank(kernel: Kernel) -> list[str]:
    if kernel.text.startswith("["):
        return ["own numbers"] * len(kernel.matrices)
    text, many = shorten(kernel.text, LONGEST), len(kernel.matrices) > 1
    return [f"{text} {number}" if many else text for number in range(len(kernel.matrices))]
