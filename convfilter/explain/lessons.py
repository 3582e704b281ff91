"""What each layer is for, in a sentence or two that a learner can read without knowing the field."""

from convfilter.language.pipeline import Pipeline
from convfilter.language.resolve import Layer
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.shapes import Shape, Window

_PADDING = "Padding adds a rim, so that the layers after it do not make the picture smaller."
_GATE = "Without such a bend between them, two convolutions in a row would be no more than one larger convolution."

LESSONS = {
    "Conv2d": (
        "A small window slides over the picture. At each place its values are multiplied by a kernel, a table of "
        "fixed numbers, and added up; the sum is one output pixel. Each kernel looks for one pattern and gives one "
        "channel."
    ),
    "Filter2d": (
        "The same sliding sum as in Conv2d, with kernels chosen by hand: every kernel goes over every channel by "
        "itself, and unless the text says otherwise the rim is padded so that the picture keeps its size."
    ),
    "ConvTranspose2d": (
        "A convolution the other way round: every input pixel stamps the kernel, times its value, onto a larger "
        "output, and where stamps overlap they add up. Networks that draw pictures grow them this way."
    ),
    "MaxPool2d": (
        "Of each window only the largest value is kept. The picture gets smaller, and what was found stays found "
        "even if it moves by a pixel."
    ),
    "AvgPool2d": (
        "Each window becomes its mean: a smaller, calmer picture in which single bright pixels lose their say."
    ),
    "FractionalMaxPool2d": (
        "Max pooling whose windows do not stand in a regular row: their places are drawn once, by the seed, so that "
        "the picture can shrink by a factor such as 1.4."
    ),
    "LPPool2d": (
        "Between the mean and the maximum: values are raised to a power, added up, and the root is taken. The larger "
        "the power, the more the largest value decides."
    ),
    "AdaptiveMaxPool2d": (
        "The picture is cut into a fixed number of parts, whatever its size, and each gives its largest value."
    ),
    "AdaptiveAvgPool2d": (
        "The picture is cut into a fixed number of parts, whatever its size, and each gives its mean. "
        "Classifiers use it to turn pictures of any size into a list of a fixed length."
    ),
    "ReLU": f"What is negative becomes 0, the rest passes. {_GATE}",
    "Sigmoid": (
        "Every value is squeezed between 0 and 1. Large values, positive or negative, come out almost the same: with "
        "inputs in the hundreds, the picture turns into black and white."
    ),
    "Tanh": (
        "Every value is squeezed between -1 and 1, and 0 stays 0. Beyond about 3 on either side nothing more can be "
        "told apart: with inputs in the hundreds, little but the sign is left."
    ),
    "Softplus": (
        "ReLU with its corner rounded off: nearly 0 for negative values, nearly the value itself for positive ones."
    ),
    "ReLU6": f"ReLU with a ceiling of 6, made for networks that calculate with few bits. {_GATE}",
    "LeakyReLU": (
        "ReLU that lets a little of the negative values through, so that no channel can fall silent for good."
    ),
    "PReLU": (
        "ReLU whose slope for negative values is learnt; nothing has been learnt here, so it is the initial one."
    ),
    "RReLU": "ReLU whose slope for negative values is random in training; outside of it, the mean slope is used.",
    "ELU": "Like ReLU for positive values; negative ones bend smoothly towards a floor.",
    "CELU": "ELU, written so that its slope has no step at 0 whatever alpha is.",
    "SELU": "ELU with two constants chosen so that, layer after layer, values keep a mean of 0 and a spread of 1.",
    "GELU": (
        "A smooth ReLU: each value times the chance that a normal random number is smaller. Language models use it."
    ),
    "SiLU": "A smooth ReLU: each value times its own Sigmoid. It dips slightly below 0 before it rises.",
    "Mish": "A smooth ReLU much like SiLU: each value times Tanh of its Softplus.",
    "Hardswish": "SiLU drawn with straight lines and a parabola, cheap enough for telephones.",
    "Hardsigmoid": "Sigmoid drawn with three straight lines: 0, a ramp, 1.",
    "Hardtanh": "Values are cut off at a floor and at a ceiling, and pass unchanged between them.",
    "Hardshrink": "What is nearer to 0 than lambd becomes 0: small responses, noise for the most part, are dropped.",
    "Softshrink": "Everything moves towards 0 by lambd, and what would cross it stays at 0: the way to remove noise.",
    "Tanhshrink": "What Tanh takes away: near 0 almost nothing is left, far from it almost everything.",
    "Softsign": (
        "Squeezed between -1 and 1 like Tanh, but it levels off more slowly, so large values stay distinct longer."
    ),
    "LogSigmoid": "The logarithm of Sigmoid: nearly the value itself when negative, nearly 0 when positive.",
    "Threshold": "Values above the threshold pass, every other one is replaced by the same number.",
    "Softmax2d": "At each pixel the channels compete: what comes out are shares that add up to 1.",
    "Magnitude": (
        "The channels are taken as the parts of one arrow at each pixel, and its length comes out: from a "
        "horizontal and a vertical slope, how steep the picture is, whatever the direction."
    ),
    "ZeroPad2d": f"Zeros, black, are put around the picture. {_PADDING}",
    "ConstantPad2d": f"One number is put around the picture. {_PADDING}",
    "ReflectionPad2d": f"The picture is continued as in a mirror. {_PADDING}",
    "ReplicationPad2d": f"The outermost pixels are repeated outwards. {_PADDING}",
    "CircularPad2d": f"The picture is continued from its opposite side, as if it were a tile. {_PADDING}",
    "Upsample": (
        "More pixels, but no more detail: the new ones are copied from the nearest one, or blended from the ones "
        "around."
    ),
    "PixelShuffle": (
        "Groups of channels are laid out as small blocks of pixels: fewer channels, a larger picture, no sums."
    ),
    "PixelUnshuffle": (
        "Every small block of pixels is dealt out to channels: a smaller picture, more channels, nothing lost."
    ),
    "InstanceNorm2d": (
        "Each channel is shifted and scaled to a mean of 0 and a spread of 1, so that a dark picture and a bright "
        "one look alike to the layers after it."
    ),
    "LocalResponseNorm": "Each value is divided by how strong its neighbouring channels are at the same pixel.",
    "Identity": "Nothing happens here: what comes in goes out.",
    "Dropout": "In training, values are dropped at random; here, as always outside of training, nothing happens.",
    "Dropout2d": (
        "In training, whole channels are dropped at random; here, as always outside of training, nothing happens."
    ),
}


def teach(layer: Layer) -> str:
    """Return a sentence or two on what this kind of layer does and what it is for.

    >>> from convfilter import parse
    >>> teach(parse("Softsign").layers[0])[:30]
    'Squeezed between -1 and 1 like'
    """
    return LESSONS.get(layer.name) or define(layer)


def define(layer: Layer) -> str:
    """Return the layer's definition in one sentence.

    >>> from convfilter import parse
    >>> define(parse("ReLU").layers[0])
    'x above 0, 0 below.'
    """
    return (LAYERS[layer.name].__doc__ or "").partition("\n")[0]


def introduce(pipeline: Pipeline, shape: Shape) -> list[tuple[str, str]]:
    """Return a guided tour of a preset, as questions with their answers; an empty list for any other pipeline.

    ``shape`` (C, H, W) is that of the picture.

    >>> from convfilter import parse
    >>> [question for question, answer in introduce(parse("tutorial"), (1, 512, 512))]
    ['Why 508 and not 512?', 'Why do edges light up?', 'Why is the second channel random?', 'What to try here']
    """
    if pipeline.name not in ("edge", "tutorial") or len(pipeline.layers) != 1:
        return []
    rows = pipeline.layers[0].effect.rows
    if not isinstance(rows, Window) or (rows.stride, rows.dilation, rows.before, rows.after) != (1, 1, 0, 0):
        return []
    return _tour(rows.size, shape[1], second=pipeline.name == "tutorial")


def _tour(k: int, height: int, *, second: bool) -> list[tuple[str, str]]:
    size, centre = f"{k}×{k}", k * k - 1
    tour = [
        (
            f"Why {height - k + 1} and not {height}?",
            f"The window of {size} pixels must lie wholly inside the picture, for nothing is padded. Its upper edge "
            f"can stand in row 0, 1, 2 and so on up to row {height - k}, which makes {height - k + 1} places: "
            f"{k // 2} rows are lost at either end, and as many columns.",
        ),
        (
            "Why do edges light up?",
            f"The kernel's centre is {centre} and its {centre} neighbours are -1, so together they are 0. Where the "
            f"picture is even, {centre} times the centre less its {centre} neighbours is 0 too. Where the centre is "
            "brighter than what is around it the sum is large, where it is darker the sum is far below 0: at an "
            "edge, one side gives the one and the other side the other.",
        ),
    ]
    if second:
        tour.append(
            (
                "Why is the second channel random?",
                f"The layer has two kernels, and only the first one was set by hand. The other keeps the {k * k} "
                "small random numbers with which PyTorch starts every layer, before any training. Training would "
                "change them, little by little, into a pattern worth looking for; here you see where a network "
                "begins.",
            )
        )
    tour.append(
        (
            "What to try here",
            "Move over the output picture, or go into it with the tabulator key and use the arrow keys. On an even "
            "wall or sky the sum stays near 0; cross an outline and watch it swing from one sign to the other.",
        )
    )
    return tour
