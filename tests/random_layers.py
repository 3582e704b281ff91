"""Random layers whose arguments mostly fit, their text, and the module that a person would build by hand for it."""

import torch
from torch import nn
from torch.nn import functional as F

KERNELS = {  # name: rows, typed here by hand
    "sobel_x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "laplace4": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "roberts_a": [[1, 0], [0, -1]],
    "edge": [[-1] * 5] * 2 + [[-1, -1, 24, -1, -1]] + [[-1] * 5] * 2,
    "box(2)": [[0.25, 0.25], [0.25, 0.25]],
    "[[1, -2, 1]]": [[1, -2, 1]],
    "[[0.5], [0.25]]": [[0.5], [0.25]],
}
MODES = ("zeros", "reflect", "replicate", "circular")
ODD = (1, -1, 0, 2, 3, 5, 9, 21, 0.5, -0.5, 1e30, True, False, None, "same", "reflect", "no", (3,), (1, 2), (1, 2, 3))


def one_or_pair(rng, low, high):
    a, b = rng.randint(low, high), rng.randint(low, high)
    return rng.choice([a, (a, b), (a, a)])


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def some(rng, **arguments):
    """Of optional arguments, those that luck gives."""
    return {name: value for name, value in arguments.items() if rng.random() < 0.5}


def window(rng, h, w):
    """A kernel_size and a dilation that fit into the picture."""
    kernel = (rng.randint(1, min(5, h)), rng.randint(1, min(5, w)))
    dilation = tuple(
        rng.randint(1, max(1, min(3, (n - 1) // max(1, k - 1)))) for k, n in zip(kernel, (h, w), strict=True)
    )
    return rng.choice([kernel, kernel, min(kernel)]), rng.choice([dilation, min(dilation)])


def conv2d(rng, c, h, w):
    kernel_size, dilation = window(rng, h, w)
    groups = rng.choice([g for g in (1, 1, 2, 3, 4) if c % g == 0])
    out = groups * rng.randint(1, 3)
    arguments = {"in_channels": c, "out_channels": out, "kernel_size": kernel_size}
    arguments |= some(
        rng, stride=one_or_pair(rng, 1, 3), dilation=dilation, groups=groups, bias=rng.random() < 0.5,
        padding=rng.choice([one_or_pair(rng, 0, 3), "valid", "same"]),
        padding_mode=rng.choice(["zeros" if min(h, w) < 5 else mode for mode in MODES]),
    )  # fmt: skip
    if arguments.get("padding") == "same":
        arguments.pop("stride", None)
    if out % arguments.get("groups", 1) == 0 and rng.random() < 0.2:
        name = rng.choice(list(KERNELS))
        rows = KERNELS[name]
        if len(rows) <= h and len(rows[0]) <= w:
            arguments["kernel_size"] = (len(rows), len(rows[0]))
            arguments.pop("dilation", None)
            arguments["weight"] = [name]
    if rng.random() < 0.15:
        arguments["bias"] = rng.choice([0.5, tuple(i - 0.25 for i in range(out))])
    return arguments


def conv_transpose2d(rng, c, h, w):
    groups = rng.choice([g for g in (1, 1, 2, 3) if c % g == 0])
    stride = one_or_pair(rng, 1, 3)
    arguments = {"in_channels": c, "out_channels": groups * rng.randint(1, 3), "kernel_size": one_or_pair(rng, 1, 4)}
    if rng.random() < 0.7:
        arguments["stride"] = stride
        if rng.random() < 0.4:
            arguments["output_padding"] = tuple(rng.randrange(s) for s in both(stride))
    return arguments | some(
        rng, padding=one_or_pair(rng, 0, 1), groups=groups, bias=rng.random() < 0.5, dilation=one_or_pair(rng, 1, 2)
    )


def filter2d(rng, c, h, w):
    kernels = rng.sample(list(KERNELS), rng.randint(1, 3))
    return {"kernel": kernels} | some(
        rng, stride=one_or_pair(rng, 1, 2), padding=rng.choice(["same", "valid", one_or_pair(rng, 0, 2)]),
        dilation=one_or_pair(rng, 1, 2), padding_mode=rng.choice(MODES),
    )  # fmt: skip


def pooling(rng, c, h, w, dilated=False):
    kernel_size, dilation = window(rng, h, w)
    pads = tuple(rng.randint(0, k // 2) for k in both(kernel_size))
    arguments = {"kernel_size": kernel_size} | some(
        rng, stride=one_or_pair(rng, 1, 3), padding=rng.choice([pads, min(pads)]), ceil_mode=rng.random() < 0.5
    )
    return arguments | (some(rng, dilation=dilation) if dilated else {})


def avg_pool2d(rng, c, h, w):
    return pooling(rng, c, h, w) | some(
        rng, count_include_pad=rng.random() < 0.5, divisor_override=rng.choice([-3, *range(1, 10)])
    )


def lp_pool2d(rng, c, h, w):
    arguments = pooling(rng, c, h, w)
    arguments.pop("padding", None)
    return {"norm_type": rng.choice([2, 2.0, 4, float("inf")])} | arguments


def fractional(rng, c, h, w):
    kernel_size = one_or_pair(rng, 1, min(2, h, w))
    if rng.random() < 0.5:
        most = [n - k + 1 for n, k in zip((h, w), both(kernel_size), strict=True)]
        sizes = tuple(rng.randint(1, m) for m in most)
        return {"kernel_size": kernel_size, "output_size": rng.choice([sizes, min(sizes)])}
    return {"kernel_size": kernel_size, "output_ratio": rng.choice([0.5, 0.7, (0.6, 0.45)])}


def adaptive(rng, c, h, w):
    return {"output_size": rng.choice([one_or_pair(rng, 1, 9), (None, rng.randint(1, 9)), (rng.randint(1, 9), None)])}


def padding(rng, c, h, w):
    four = tuple(rng.randint(0, 2) for _ in range(4))
    return {"padding": rng.choice([four, rng.randint(0, 2)])}


def upsample(rng, c, h, w):
    mode = rng.choice(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
    factor = rng.choice([2, 3, 0.5, 1.7, 2.5, 0.3, 1.1])
    arguments = rng.choice([{"size": one_or_pair(rng, 1, 20)}, {"scale_factor": rng.choice([factor, (factor, 2)])}])
    arguments |= {"mode": mode} if mode != "nearest" or rng.random() < 0.5 else {}
    if mode in ("bilinear", "bicubic"):
        arguments |= some(rng, align_corners=rng.random() < 0.5)
    if "scale_factor" in arguments:
        arguments |= some(rng, recompute_scale_factor=rng.random() < 0.5)
    return arguments


def divisor(rng, *numbers):
    return rng.choice([r for r in (1, 2, 3, 4) if all(n % r == 0 for n in numbers)])


def shuffle(rng, c, h, w):
    return {"upscale_factor": rng.choice([r for r in (1, 2, 3) if c % (r * r) == 0])}


def instance_norm(rng, c, h, w):
    return {"num_features": c} | some(
        rng, eps=rng.choice([0, 1e-5, 0.1]), momentum=0.2, affine=rng.random() < 0.5,
        track_running_stats=rng.random() < 0.5, bias=rng.random() < 0.5,
    )  # fmt: skip


def lazy(make, *, first):
    """The arguments of a layer that takes the channels that come in, without these."""

    def arguments(rng, c, h, w):
        found = make(rng, c, h, w)
        if not isinstance(found.get("bias", True), bool):
            del found["bias"]
        return {name: value for name, value in found.items() if name not in (first, "weight")}

    return arguments


def batch_norm(rng, c, h, w):
    return {"num_features": c} | some(
        rng, eps=rng.choice([1e-5, 0.1]), momentum=rng.choice([0.2, None]), affine=rng.random() < 0.5,
        track_running_stats=rng.random() < 0.7, bias=rng.random() < 0.5,
    )  # fmt: skip


def group_norm(rng, c, h, w):
    groups = rng.choice([g for g in (1, 2, 3, 4) if c % g == 0])
    return {"num_groups": groups, "num_channels": c} | some(
        rng, eps=rng.choice([0, 1e-5, 0.1]), affine=rng.random() < 0.5, bias=rng.random() < 0.5
    )


def layer_norm(rng, c, h, w):
    shape = rng.choice([(c, h, w), (h, w), (w,), w])
    return {"normalized_shape": shape} | some(
        rng, eps=rng.choice([0, 1e-5, 0.1]), elementwise_affine=rng.random() < 0.5, bias=rng.random() < 0.5
    )


def rms_norm(rng, c, h, w):
    arguments = layer_norm(rng, c, h, w)
    arguments.pop("bias", None)
    return arguments


def upsampling(rng, c, h, w):
    factor = rng.choice([2, 3, 0.5, 1.7, 2.5, 0.3, 1.1])
    return rng.choice([{"size": one_or_pair(rng, 1, 20)}, {"scale_factor": rng.choice([factor, (factor, 2)])}])


def sideways(rng, c, h, w):
    """What pads rows alone."""
    return {"padding": (rng.randint(0, 2), rng.randint(0, 2))}


def crop(rng, c, h, w):
    """Sides of which some are negative."""
    four = tuple(rng.randint(-max(1, n // 3), min(2, n - 1)) for n in (w, w, h, h))
    return {"padding": four}


def curve(**choices):
    """An activation: each of its arguments is drawn from its choices."""
    return lambda rng, c, h, w: some(rng, **{name: rng.choice(values) for name, values in choices.items()})


REQUIRED = {
    "Conv2d": 3,
    "ConvTranspose2d": 3,
    "Threshold": 2,
    "LPPool2d": 2,
    "ConstantPad2d": 2,
    "LazyConv2d": 2,
    "LazyConvTranspose2d": 2,
    "GroupNorm": 2,
} | dict.fromkeys(
    [
        *("MaxPool2d", "AvgPool2d", "FractionalMaxPool2d", "AdaptiveMaxPool2d", "AdaptiveAvgPool2d", "ZeroPad2d"),
        *("ReflectionPad2d", "ReplicationPad2d", "CircularPad2d", "PixelShuffle", "PixelUnshuffle", "InstanceNorm2d"),
        *(
            "LocalResponseNorm",
            "CrossMapLRN2d",
            "BatchNorm2d",
            "SyncBatchNorm",
            "LayerNorm",
            "RMSNorm",
            "ChannelShuffle",
        ),
    ],
    1,
)
NUMBERS = (0.1, 0.5, 1, 2.5)
LAYERS = {
    "Conv2d": conv2d,
    "ConvTranspose2d": conv_transpose2d,
    "LazyConv2d": lazy(conv2d, first="in_channels"),
    "LazyConvTranspose2d": lazy(conv_transpose2d, first="in_channels"),
    "Filter2d": filter2d,
    "Magnitude": lambda rng, c, h, w: {},
    "MaxPool2d": lambda rng, c, h, w: pooling(rng, c, h, w, dilated=True),
    "AvgPool2d": avg_pool2d,
    "LPPool2d": lp_pool2d,
    "FractionalMaxPool2d": fractional,
    "AdaptiveMaxPool2d": adaptive,
    "AdaptiveAvgPool2d": adaptive,
    "ELU": curve(alpha=NUMBERS, inplace=(False,)),
    "Hardshrink": curve(lambd=NUMBERS),
    "Hardsigmoid": curve(),
    "Hardtanh": curve(min_val=(-2, -0.5), max_val=NUMBERS, inplace=(True, False)),
    "Hardswish": curve(),
    "LeakyReLU": curve(negative_slope=(0.2, -0.3, 2)),
    "LogSigmoid": curve(),
    "PReLU": lambda rng, c, h, w: some(rng, num_parameters=rng.choice([1, c]), init=rng.choice([0.1, -0.5])),
    "ReLU": curve(inplace=(True, False)),
    "ReLU6": curve(),
    "RReLU": curve(lower=(0.1, 0.2), upper=(0.3, 0.5)),
    "SELU": curve(),
    "CELU": curve(alpha=(0.5, 2.0, -1.5)),
    "GELU": curve(approximate=("none", "tanh")),
    "Sigmoid": curve(),
    "SiLU": curve(),
    "Mish": curve(),
    "Softplus": curve(beta=(0.5, 1, 3.0, -1, -0.5), threshold=(0, 1, 20)),
    "Softshrink": curve(lambd=(0, 0.5, 1)),
    "Softsign": curve(),
    "Tanh": curve(),
    "Tanhshrink": curve(),
    "Threshold": lambda rng, c, h, w: {"threshold": rng.choice([0, 0.5, -1]), "value": rng.choice([0, 2, -20.5])},
    "Softmax2d": curve(),
    "Softmax": lambda rng, c, h, w: {"dim": rng.choice([1, -3])},
    "Softmin": lambda rng, c, h, w: {"dim": rng.choice([1, -3])},
    "LogSoftmax": lambda rng, c, h, w: {"dim": rng.choice([1, -3])},
    "GLU": lambda rng, c, h, w: {"dim": rng.choice([1, -3])},
    "ZeroPad2d": lambda rng, c, h, w: rng.choice([padding, crop, sideways])(rng, c, h, w),
    "ConstantPad2d": lambda rng, c, h, w: (
        rng.choice([padding, crop, sideways])(rng, c, h, w) | {"value": rng.choice([0, 3.5, -1])}
    ),
    "ReflectionPad2d": lambda rng, c, h, w: (
        rng.choice([padding, crop])(rng, c, h, w) if min(h, w) > 2 else {"padding": 0}
    ),
    "ReplicationPad2d": lambda rng, c, h, w: rng.choice([padding, crop])(rng, c, h, w),
    "CircularPad2d": lambda rng, c, h, w: (
        rng.choice([padding, crop])(rng, c, h, w) if min(h, w) > 1 else {"padding": 1}
    ),
    "Upsample": upsample,
    "UpsamplingNearest2d": upsampling,
    "UpsamplingBilinear2d": upsampling,
    "ChannelShuffle": lambda rng, c, h, w: {"groups": divisor(rng, c)},
    "PixelShuffle": shuffle,
    "PixelUnshuffle": lambda rng, c, h, w: {"downscale_factor": divisor(rng, h, w)},
    "InstanceNorm2d": instance_norm,
    "LazyInstanceNorm2d": lazy(instance_norm, first="num_features"),
    "BatchNorm2d": batch_norm,
    "SyncBatchNorm": batch_norm,
    "LazyBatchNorm2d": lazy(batch_norm, first="num_features"),
    "GroupNorm": group_norm,
    "LayerNorm": layer_norm,
    "RMSNorm": rms_norm,
    "CrossMapLRN2d": lambda rng, c, h, w: (
        {"size": rng.randint(1, 5)}
        | some(rng, alpha=rng.choice([0.1, 1]), beta=rng.choice([0.5, 1]), k=rng.choice([0.5, 2]))
    ),
    "LocalResponseNorm": lambda rng, c, h, w: (
        {"size": rng.randint(1, 4)}
        | some(rng, alpha=rng.choice([0.1, 1]), beta=rng.choice([0.5, 1]), k=rng.choice([0.5, 2]))
    ),
    "Identity": lambda rng, c, h, w: {},
    "Dropout": curve(p=(0, 0.3, 1), inplace=(True, False)),
    "Dropout2d": curve(p=(0.5, 1.0)),
    "Dropout3d": curve(p=(0.5, 1.0)),
    "AlphaDropout": curve(p=(0.1, 1.0), inplace=(True, False)),
    "FeatureAlphaDropout": curve(p=(0.5, 1.0)),
}


def spoil(rng, arguments):
    """The arguments with one of them made odd."""
    names = [name for name in arguments if name not in ("weight", "kernel", "inplace")]
    return arguments | ({rng.choice(names): rng.choice(ODD)} if names else {})


def write(rng, name, arguments):
    """A layer as a person writes it: required arguments by position or by name, numbers in various ways."""
    arguments = dict(arguments)
    words = arguments.pop("kernel", [])
    required = REQUIRED.get(name, 0)
    bare = list(arguments)[: rng.randint(0, required)]
    words = words + [value_text(rng, arguments[key]) for key in bare]
    for key, value in arguments.items():
        if key == "weight":
            words.append(f"weight=[{', '.join(value)}]")
        elif key not in bare:
            words.append(f"{key}{rng.choice(['=', ' = '])}{value_text(rng, value)}")
    if not words:
        return rng.choice([name, f"{name}()", f"nn.{name}()"])
    return f"{name}({', '.join(words)}{rng.choice(['', ',', ' '])})"


def value_text(rng, value):
    if isinstance(value, tuple) and rng.random() < 0.3:
        return str(list(value))
    if isinstance(value, str) and rng.random() < 0.5:
        return f'"{value}"'
    return repr(value)


class Filter(nn.Module):
    """Filter2d by hand: F.pad, then each kernel on each channel by itself."""

    def __init__(self, kernel, stride=1, padding="same", dilation=1, padding_mode="replicate"):
        super().__init__()
        self.kernels = [torch.tensor(KERNELS[name], dtype=torch.float32) for name in kernel]
        self.stride, self.dilation, self.padding, self.mode = both(stride), both(dilation), padding, padding_mode

    def forward(self, x):
        before = [max((k.shape[i] - 1) // 2 for k in self.kernels) for i in (0, 1)]
        after = [max(k.shape[i] // 2 for k in self.kernels) for i in (0, 1)]
        full = []
        for k in self.kernels:  # all in one size, centre on centre
            top, left = (before[i] - (k.shape[i] - 1) // 2 for i in (0, 1))
            bottom, right = (after[i] - k.shape[i] // 2 for i in (0, 1))
            full.append(F.pad(k, (left, right, top, bottom)))
        spans = [self.dilation[i] * (full[0].shape[i] - 1) for i in (0, 1)]
        if self.padding == "same":
            (top, bottom), (left, right) = ((s // 2, s - s // 2) for s in spans)
        else:
            (top, left) = (bottom, right) = (0, 0) if self.padding == "valid" else both(self.padding)
        mode = "constant" if self.mode == "zeros" else self.mode
        x = F.pad(x, (left, right, top, bottom), mode=mode)
        outs = [
            F.conv2d(x[:, c : c + 1], k[None, None].to(x), stride=self.stride, dilation=self.dilation)
            for c in range(x.shape[1])
            for k in full
        ]
        return torch.cat(outs, 1)


class Magnitude(nn.Module):
    def forward(self, x):
        return torch.sqrt((x**2).sum(1, keepdim=True))


def by_hand(name, arguments, channels=None):
    """The module that a person would write in a script.

    Where ``channels`` are given, a lazy layer is the one that takes so many: it draws its weights as it is made.
    """
    arguments = dict(arguments)
    if name.startswith("Lazy") and channels is not None:
        name = name.removeprefix("Lazy")
        arguments = {"in_channels" if "Conv" in name else "num_features": channels} | arguments
        if name == "InstanceNorm2d":
            arguments = {"affine": True, "track_running_stats": True} | arguments
    if name == "Filter2d":
        return Filter(**arguments)
    if name == "Magnitude":
        return Magnitude()
    arguments.pop("inplace", None)
    weight, bias = arguments.pop("weight", None), arguments.get("bias")
    known = bias is not None and not isinstance(bias, bool)
    module = getattr(nn, name)(**(arguments | ({"bias": True} if known else {})))
    if name.startswith("Lazy"):
        return module
    with torch.no_grad():
        for i, kernel in enumerate(weight or []):
            for j in range(module.weight.shape[1]):
                module.weight[i, j] = torch.tensor(KERNELS[kernel])
        if known:
            module.bias[:] = torch.tensor(bias)
    return module
