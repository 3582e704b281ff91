"""A pipeline as a short PyTorch script that gives the same pixels."""

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from convfilter.errors import shorten
from convfilter.export.gray_code import write_levels
from convfilter.export.weights_code import Files
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import Norm
from convfilter.gray.rounding import rounding_noise
from convfilter.language.arguments import signature
from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.convolutions import same_size
from convfilter.layers.entry import Draws, Kernels
from convfilter.layers.given import TENSORS, Given
from convfilter.layers.matrices import Matrix
from convfilter.numbers import quote, write_number, write_value

LINE = 100  # characters
PILLOWS_MOST = 89_478_485  # pixels: of more, Pillow warns, and of twice as many it does not read a picture
OWN = {
    "Magnitude": [  # modules that torch.nn lacks
        "",
        "",
        "class Magnitude(nn.Module):",
        "    def forward(self, x):",
        "        return x.square().sum(1, keepdim=True).sqrt()",
        "",
        "",
    ]
}


@dataclass(frozen=True)
class Photo:
    """The picture that a script reads: its file, Pillow's mode, the value in it that means white, and how large it is.

    ``colour`` says that it is loaded as red, green and blue, ``transparent`` that it must be laid over ``background``,
    ``turned`` that it may lie on its side, as its EXIF data say, and ``tiff`` that Pillow then turns it by itself.
    """

    path: str = "photo.jpg"
    mode: str = "RGB"
    white: float = 255
    colour: bool = False
    transparent: bool = False
    turned: bool = True
    tiff: bool = False
    background: str = "white"
    pixels: int = 0

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.mode[0] != "F"

    @property
    def has_one_channel(self) -> bool:
        """Whether Pillow gives it as gray values, whose precision a conversion would take away."""
        return self.mode[0] in "IF"


def write_code(
    pipeline: Pipeline,
    *,
    photo: Photo = Photo(),
    output: str = "photo_filtered",
    file: str | None = None,
    folder: str = "",
    seed: int = 0,
    inputs: InputValues = InputValues(),  # noqa: B008
    norm: Norm = Norm(),  # noqa: B008
    bits: int = 8,
    channels: tuple[int, ...] | None = None,
    recombine: bool = False,
) -> str:
    """Return a Python script that runs the pipeline on a picture with torch, numpy and Pillow alone.

    Weights from a file are loaded from there, with safetensors where it is such a file.

    It writes ``output`` and .png, or one PNG a channel, _0.png and so on, or the one channel there is to ``file``; it
    makes ``folder`` first, if there is one to be made. Their pixels are those that the program writes with ``exact``,
    but for the order in which torch adds up on several threads; the program's quicker ways may differ by a gray level
    here and there, where kernels are large. Their bytes are Pillow's. Left to the program are denormal values, and NaN
    and infinity, which are errors. ``inputs`` are the tensor's values, of as many channels as ``photo`` says, ``norm``
    and ``bits`` say how floats become gray, ``channels`` which ones are written; ``recombine`` writes all three as one
    colour picture of 8 bits.

    Raises:
        PipelineError: a layer does not take the channels that come in.

    >>> from convfilter import parse
    >>> print(write_code(parse("edge"), photo=Photo("a.png", turned=False), output="a_edge"))
    # Conv2d(1, 1, 5, bias=False, weight=[edge(5)])
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    <BLANKLINE>
    network = nn.Sequential(
        nn.Conv2d(1, 1, 5, bias=False),
    )
    with torch.no_grad():
        network[0].weight[0] = -1  # edge(5)
        network[0].weight[0, :, 2, 2] = 24
    <BLANKLINE>
    picture = Image.open("a.png").convert("L")
    x = torch.from_numpy(np.array(picture, np.float32))[None, None]
    with torch.no_grad():
        y = network(x)[0]
    <BLANKLINE>
    low, high = y[0].min().item(), y[0].max().item()
    if low == high:  # flat: the gray of its value
        low, high = 0, 255
    pixels = ((y[0] - low) * (255 / (high - low))).round().clamp(0, 255).byte().numpy()
    Image.fromarray(pixels).save("a_edge.png")
    <BLANKLINE>
    """
    count, own = pipeline.channels(inputs.channels), {layer.entry.module for layer in pipeline.layers} & set(OWN)
    random = [number for number, layer in enumerate(pipeline.layers) if layer.draws is not Draws.NOTHING]
    places = any(layer.draws is Draws.PLACES for layer in pipeline.layers)  # drawn when the network first runs
    files = Files(pipeline.layers)
    modules, weights, c = [], [], inputs.channels
    for number, layer in enumerate(pipeline.layers):
        modules += _modules(layer, c, skip=places or number < max(random, default=-1))
        weights += _weights(layer, c, f"network[{len(modules) - 1}]")
        weights += files.assign(layer, f"network[{len(modules) - 1}]")
        c = layer.effect.channels(c)
    if pipeline.layers and pipeline.layers[0].sums_colours:
        weights.append(
            "network[0].weight = nn.Parameter(network[0].weight.sum(1, keepdim=True))  # takes gray pictures"
        )
    lines = [
        f"# {ascii(shorten(str(pipeline), LINE - 2))[1:-1]}",
        *(["import os", ""] if folder else []),
        "import numpy as np",
        "import torch",
        f"from PIL import Image{', ImageOps' if photo.turned and not photo.tiff else ''}",
        *files.imports,
        "from torch import nn",
        *([line for module in sorted(own) for line in OWN[module]] or [""]),
        *([f"torch.manual_seed({seed})"] if random else []),
        "network = nn.Sequential(",
        *_indent(modules),
        ").eval()" if any(layer.entry.differs_in_training for layer in pipeline.layers) else ")",
        *files.loads,
        *(["with torch.no_grad():", *_indent(weights)] if weights else []),
        "",
        *read_picture(photo),
        *_to_tensor(photo, inputs),
        "with torch.no_grad():",
        "    y = network(x)[0]",
        "",
    ]
    lines += [f"os.makedirs({quote(folder)}, exist_ok=True)"] if folder else []
    whole = photo.whole and inputs.white % photo.white == 0 and not inputs.is_normalized
    noise = rounding_noise(pipeline, inputs, whole)[-1]
    gray = list(write_levels(norm, inputs.white, bits, noise))
    if recombine:
        lines += [line.replace("values", "y") for line in gray]
        lines[-1] = lines[-1].replace(".numpy()", ".permute(1, 2, 0).numpy()")
        lines.append(f"Image.fromarray(pixels).save({quote(file or output + '.png')})")
    elif count == 1 or file:
        only = f"y[{channels[0] if channels else 0}]"
        lines += [line.replace("values", only) for line in gray]
        lines.append(f"Image.fromarray(pixels).save({quote(file or output + '.png')})")
    else:
        number = "{channel}" if count <= 10 else f"{{channel:0{len(str(count - 1))}}}"
        name = "f" + quote(output.replace("{", "{{").replace("}", "}}") + f"_{number}.png")
        if channels is None:
            lines.append("for channel, values in enumerate(y):")
        else:
            lines.append(f"for channel in {list(channels)}:")
            lines.append("    values = y[channel]")
        lines += _indent([*gray, f"Image.fromarray(pixels).save({name})"])
    return "\n".join(lines) + "\n"


def _modules(layer: Layer, c: int, skip: bool) -> Iterator[str]:
    """The constructor calls of a layer that ``c`` channels come into; ``skip``: one that must draw no random number."""
    if layer.entry.kernels is Kernels.EACH_CHANNEL:
        yield from _filter(layer, c, skip)
        return
    args, named = layer.constructor(c)
    words = [write_value(value) for value in args]
    for name, value in named:
        if name not in ("weight", "inplace") and (name not in TENSORS or isinstance(value, bool)):
            words.append(f"{name}={write_value(value)}")
    if signature(layer.entry.function).anything:  # arguments that mean nothing
        words = []
    prefix = "" if layer.entry.module in OWN else "nn."
    yield f"{prefix}{layer.entry.module}({', '.join(words)}),"


def _filter(layer: Layer, c: int, skip: bool) -> Iterator[str]:
    """A Filter2d as Conv2d; padding that Conv2d's own cannot say is a layer before it."""
    rows, columns = layer.effect.rows, layer.effect.columns
    before, after = (rows.before, columns.before), (rows.after, columns.after)
    size, out = (rows.size, columns.size), layer.effect.channels(c)
    words = [str(c), str(out), _same(size)]
    words += [f"stride={_same((rows.stride, columns.stride))}"] if (rows.stride, columns.stride) != (1, 1) else []
    words += [f"dilation={_same((rows.dilation, columns.dilation))}"] if rows.dilation * columns.dilation != 1 else []
    if before != after:
        kind = {"zeros": "Zero", "reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}
        yield f"nn.{kind[rows.mode]}Pad2d({(before[1], after[1], before[0], after[0])}),"
    elif before != (0, 0):
        words += [f"padding={_same(before)}"] + ([f"padding_mode={quote(rows.mode)}"] if rows.mode != "zeros" else [])
    words += [f"groups={c}"] if c > 1 else []
    words.append("bias=False")
    call = ", ".join(words)
    yield f"nn.utils.skip_init(nn.Conv2d, {call}),  # draws no random numbers" if skip else f"nn.Conv2d({call}),"


def _weights(layer: Layer, c: int, module: str) -> Iterator[str]:
    """The statements that put a layer's kernels, and biases that are numbers, into a module."""
    texts = [kernel.text for kernel in layer.kernels for _ in kernel.matrices]
    matrices = [matrix for kernel in layer.kernels for matrix in kernel.matrices]
    each_channel = layer.entry.kernels is Kernels.EACH_CHANNEL
    if each_channel:
        matrices = same_size(matrices)
    for number, (matrix, text) in enumerate(zip(matrices, texts, strict=True)):
        every = f"{number}::{len(matrices)}" if each_channel and c > 1 else str(number)
        yield from _weight(matrix, f"{module}.weight[{every}", text)
    bias = dict(layer.kwargs).get("bias", True)
    if isinstance(bias, tuple):
        yield from _wrap(f"{module}.bias[:] = torch.tensor([", map(write_number, bias), "])")
    elif not isinstance(bias, bool | Given):
        yield f"{module}.bias[:] = {write_number(bias)}"


def _weight(matrix: Matrix, target: str, text: str) -> Iterator[str]:
    numbers = [[write_number(value) for value in row] for row in matrix]
    comment = "" if text.startswith("[") else f"  # {ascii(shorten(text))[1:-1]}"
    most, times = Counter(number for row in numbers for number in row).most_common(1)[0]
    if times >= len(matrix) * len(matrix[0]) - 1:  # as the tutorial writes it
        yield f"{target}] = {most}{comment}"
        others = [(y, x, n) for y, row in enumerate(numbers) for x, n in enumerate(row) if n != most]
        yield from (f"{target}, :, {y}, {x}] = {other}" for y, x, other in others)
        return
    yield f"{target}] = torch.tensor([{comment}"
    for row in numbers:
        yield from _indent(_wrap("[", row, "],"))
    yield "])"


def read_picture(photo: Photo) -> Iterator[str]:
    """Yield the statements that read the picture: to ``picture``, Pillow's, of gray values or of colours.

    >>> print(*read_picture(Photo("a.png", "L", turned=False)))
    picture = Image.open("a.png").convert("L")
    """
    opened = f"Image.open({quote(photo.path)})"
    if photo.turned and photo.tiff:
        opened = f'Image.open(open({quote(photo.path)}, "rb"))'  # one opened by its name may stay on its side
    elif photo.turned:
        opened = f"ImageOps.exif_transpose({opened})"
    if photo.pixels > PILLOWS_MOST:
        yield "Image.MAX_IMAGE_PIXELS = None  # or Pillow takes it for an attack"
    if photo.has_one_channel:
        yield f"picture = {opened}"
    elif photo.transparent:
        yield f'colours = {opened}.convert("RGBA")'
        yield f'picture = Image.new("RGB", colours.size, {quote(photo.background)})'
        yield 'picture.paste(colours.convert("RGB"), mask=colours.getchannel("A"))'
        if not photo.colour:
            yield 'picture = picture.convert("L")'
    elif photo.colour:
        yield f'picture = {opened}.convert("RGB")'
    elif photo.mode == "LAB":  # Pillow has no way from LAB to L but by RGB
        yield f'picture = {opened}.convert("RGB").convert("L")'
    else:
        yield f'picture = {opened}.convert("L")'


def _to_tensor(photo: Photo, inputs: InputValues) -> Iterator[str]:
    """The statements that make the picture the tensor ``x``, 1xCxHxW."""
    array, white = "np.array(picture, np.float32)", inputs.white
    if white != photo.white:
        scale = f"* ({white!r} / {photo.white!r})" if white != 1 else f"/ {photo.white!r}"
        array = f"(np.array(picture) {scale}).astype(np.float32)"
    if not photo.colour:
        shape = "[None, None]"
    else:
        shape = ".expand(1, 3, -1, -1)" if photo.has_one_channel else ".permute(2, 0, 1)[None]"
    yield f"x = torch.from_numpy({array}){shape}"
    mean, std = (_write_each(numbers) for numbers in (inputs.mean, inputs.std))
    if any(inputs.mean):
        yield f"x = x - {mean}"
    if any(number != 1 for number in inputs.std):
        yield f"x = x / {std}"


def _write_each(numbers: tuple[float, ...]) -> str:
    """A number for all channels, or a tensor of one for each."""
    words = [write_number(number) for number in numbers]
    return words[0] if len(set(words)) == 1 else f"torch.tensor([{', '.join(words)}])[:, None, None]"


def _indent(lines) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _wrap(start: str, words, end: str) -> list[str]:
    text = start + ", ".join(words) + end
    return textwrap.wrap(text, LINE, subsequent_indent=" " * (len(start) if len(start) < 5 else 4))


def _same(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else str(pair)
