"""Random pipelines of every layer there is, small enough to compute, for tests that compare two ways to one answer."""

import random
import re

from convfilter import Pipeline, PipelineError, parse

KERNELS = {1: ["[[2]]"], 2: ["roberts_a", "box(2)"], 3: ["sobel_x", "laplace4", "gaussian(3)", "emboss"], 5: ["edge"]}
ACTIVATIONS = (
    "ELU", "Hardshrink", "Hardsigmoid", "Hardtanh(-9, 90)", "Hardswish", "LeakyReLU", "LogSigmoid", "PReLU", "ReLU",
    "ReLU6", "RReLU", "SELU", "CELU", "GELU", "Sigmoid", "SiLU", "Mish", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Threshold(20, 5)", "Softmax2d", "Identity", "Dropout", "Dropout2d", "AlphaDropout", "Softmin(1)",
    "Softmax(1)", "LogSoftmax(1)",
)  # fmt: skip


def random_pipeline(rng: random.Random, shape=(1, 30, 34), *, most: int = 5, layers=None) -> Pipeline:
    """Return a pipeline of 1 to ``most`` layers that takes a picture of ``shape`` (C, H, W)."""
    words: list[str] = []
    for _ in range(rng.randint(1, most)):
        for _ in range(30):
            c, h, w = shape
            word = rng.choice(layers or LAYERS)(rng, c)
            try:
                c, h, w = parse(" | ".join([*words, word])).shapes((1, 30, 34))[-1]
            except PipelineError:
                continue
            if c <= 40 and 4 <= h <= 200 and 4 <= w <= 200:
                words.append(word)
                shape = (c, h, w)
                break
    return parse(" | ".join(words or ["ReLU"]))


def conv(rng, c: int) -> str:
    groups = rng.choice([g for g in (1, 1, 2, 3, 4) if c % g == 0])
    out, k = groups * rng.randint(1, 3), rng.choice([1, 2, 3, 5])
    words = [f"{c}, {out}, {rng.choice([k, (k, k + 1)])}"]
    same = rng.random() < 0.2
    words += [] if same else _some(rng, "stride", [2, 3, (1, 2)])
    words += ["padding='same'"] if same else _some(rng, "padding", [1, 2, (0, 2), "'valid'"])
    words += _some(rng, "dilation", [2, (1, 3)])
    words += [f"groups={groups}"] if groups > 1 else []
    words += _some(rng, "bias", ["False", "False", "0.5", str([0.25 * n for n in range(out)])])
    words += _some(rng, "padding_mode", ["'reflect'", "'replicate'", "'circular'"])
    if not words[0].endswith(")"):
        words += _some(rng, "weight", [f"[{', '.join(rng.choices(KERNELS[k], k=rng.randint(1, out)))}]"])
    if rng.random() < 0.1 and not any(re.match("weight|bias=[^F]", word) for word in words):
        return f"LazyConv2d({', '.join(words).partition(', ')[2]})"
    return f"Conv2d({', '.join(words)})"


def filters(rng, c: int) -> str:
    words = rng.choices([name for names in KERNELS.values() for name in names], k=rng.randint(1, 2))
    words += _some(rng, "stride", [2, (2, 1)]) + _some(rng, "padding", [0, 1, "'valid'"])
    words += _some(rng, "dilation", [2]) + _some(rng, "padding_mode", ["'zeros'", "'reflect'", "'circular'"])
    return f"Filter2d({', '.join(words)})"


def transposed(rng, c: int) -> str:
    stride = rng.randint(1, 3)
    words = [f"{c}, {rng.randint(1, 3)}, {rng.randint(stride, 4)}, stride={stride}"]
    words += _some(rng, "padding", [1]) + _some(rng, "dilation", [2]) + _some(rng, "bias", ["False"])
    words += [f"output_padding={stride - 1}"] if stride > 1 and rng.random() < 0.3 else []
    return f"ConvTranspose2d({', '.join(words)})"


def pool(rng, c: int) -> str:
    name, k = rng.choice(["MaxPool2d", "AvgPool2d", "LPPool2d"]), rng.randint(1, 4)
    words = ["2"] * (name == "LPPool2d") + [str(rng.choice([k, (k, 2)]))]
    words += _some(rng, "stride", [1, 2, 3, (2, 1)]) + _some(rng, "ceil_mode", ["True"])
    words += _some(rng, "padding", [k // 2]) if name != "LPPool2d" and not words[-1].startswith("(") else []
    words += _some(rng, "dilation", [2]) if name == "MaxPool2d" else []
    words += _some(rng, "count_include_pad", ["False"]) if name == "AvgPool2d" else []
    return f"{name}({', '.join(words)})"


def resize(rng, c: int) -> str:
    r, scale = rng.randint(1, 3), rng.choice([2, 3, 1.5, 0.7])
    mode = rng.choice(["nearest", "bilinear", "bicubic", "area", "nearest-exact"])
    return rng.choice(
        [
            f"Upsample(scale_factor={scale}, mode='{mode}')",
            "Upsample(size=(20, 31), mode='bilinear', align_corners=True)",
            f"UpsamplingNearest2d(scale_factor={scale})",
            f"UpsamplingBilinear2d(scale_factor={scale})",
            f"ChannelShuffle({rng.choice([g for g in (1, 2, 3, 4) if c % g == 0])})",
            f"PixelUnshuffle({r})",
            f"PixelShuffle({r})",
            f"AdaptiveAvgPool2d(({rng.randint(4, 9)}, None))",
            f"AdaptiveMaxPool2d({rng.randint(4, 9)})",
            "FractionalMaxPool2d(2, output_ratio=0.7)",
        ]
    )


def pad(rng, c: int) -> str:
    name = rng.choice(["ZeroPad2d(", "ReflectionPad2d(", "ReplicationPad2d(", "CircularPad2d(", "ConstantPad2d("])
    sides = rng.choice([1, 2, (1, 2, 0, 3), (2, 0, 1, 1)])
    return f"{name}{sides}{', 7.5' if name.startswith('Constant') else ''})"


def norm(rng, c: int) -> str:
    groups = rng.choice([g for g in (1, 2, 3, 4) if c % g == 0])
    return rng.choice(
        [
            f"InstanceNorm2d({c}, affine=True)",
            f"InstanceNorm2d({c})",
            "LocalResponseNorm(3)",
            f"GroupNorm({groups}, {c})",
            f"BatchNorm2d({c}, eps=0.1)",
            "LazyBatchNorm2d(track_running_stats=False)",
            "LazyInstanceNorm2d()",
            f"CrossMapLRN2d({rng.randint(1, 5)}, alpha=0.5)",
        ]
    )


def activation(rng, c: int) -> str:
    return rng.choice([*ACTIVATIONS, f"PReLU({c})", "Magnitude"] + ["GLU(1)"] * (2 * (c % 2 == 0)))


LAYERS = (conv, conv, conv, filters, transposed, pool, pool, resize, pad, norm, activation, activation)


def _some(rng, name: str, values) -> list[str]:
    return [f"{name}={rng.choice(values)}"] if rng.random() < 0.3 else []
