"""Random pipelines of all families, and whether the engine, --exact and the script of --code give PyTorch's pixels.

``python tests/equivalence.py FIRST LAST`` tries the cases of these seeds and prints what differs.
"""

import copy
import os
import random
import sys
import tempfile
import warnings
from dataclasses import dataclass

import numpy as np
import random_layers
import torch
from PIL import Image

from convfilter import Pipeline, PipelineError, parse, run_files
from convfilter.engine import tiles
from convfilter.engine.build import build, to_tensor
from convfilter.engine.threads import one_thread
from convfilter.export.script import write_script
from convfilter.gray.norm import Norm
from convfilter.gray.rounding import rounding_noise
from convfilter.run.options import Options

LARGE = (
    *["motion({}, angle=30)"] * 3, "gabor({}, theta=30, wavelength=6.0)", "log({}, sigma=2.3)", "gaussian({}, sigma=3)",
    "edge({})", "box({})", "flip(motion({}, angle=70))",
)  # fmt: skip
SIZES = (17, 17, 18, 19, 21, 25, 31)
SATURATING = (
    "Tanh", "Sigmoid", "Hardtanh(0, 0.05)", "Hardtanh(-3, 2)", "Softsign", "ReLU6", "Hardsigmoid", "LogSigmoid",
    "Softmax2d", "GELU", "Hardswish",
)  # fmt: skip
JUMPING = (
    "Threshold(0, 255)", "Threshold(0.5, -1)", "Threshold(-1, 7)", "Threshold(100, 0)", "Hardshrink", "Hardshrink(50)",
    "LPPool2d(3, 2)", "LPPool2d(1.5, (1, 2))", "Softplus(1, 0)", "LocalResponseNorm(3, 1, 0.5, 0)",
)  # fmt: skip
MOST = 300_000  # values of a layer
WORK = 60_000_000  # products of a layer
DELIBERATE = ("must not be negative here", "padded by reflection", "padded in a circle")


@dataclass(frozen=True)
class Case:
    """A pipeline, and the picture (HxW, or HxWx3 in colour) and the options that it is tried with."""

    pipeline: Pipeline
    values: np.ndarray
    white: float
    seed: int
    tile: int  # pixels

    @property
    def channels(self) -> int:
        return 1 if self.values.ndim == 2 else 3

    def __str__(self) -> str:
        height, width, *_ = self.values.shape
        return f"{self.pipeline} on {self.values.dtype} {width}x{height}x{self.channels}, {self.white=}"


def draw_case(rng: random.Random) -> Case:
    """Return a random case: every layer there is, and often those that answers have differed in."""
    height, width = (
        rng.choice([rng.randint(1, 7), *(rng.randint(8, 60) for _ in range(6)), *(rng.randint(60, 400) for _ in "ab")])
        for _ in range(2)
    )
    values = draw_picture(rng, height, width)
    if values.dtype == np.uint8 and rng.random() < 0.15:
        values = np.stack([values, *(_like(values, draw_picture(rng, height, width)) for _ in range(2))], 2)
    texts: list[str] = []
    shape = (1 if values.ndim == 2 else 3, height, width)
    if rng.random() < 0.1 and min(height, width) > 20:  # exact zeros, behind a large kernel and before a step
        values[: rng.randint(height // 2, height), : rng.randint(width // 2, width)] = 0
        texts = [f"Filter2d({rng.choice(LARGE).format(17)}, padding_mode='zeros')", rng.choice(JUMPING)]
        shape = parse(" | ".join(texts)).shapes(shape)[-1]
    most = rng.choice([1, 2, 2, 3, 3, 4, 5, 7])
    for _ in range(5 * most):
        behind_large = texts and any(f"({size}" in texts[-1] or f", {size}, " in texts[-1] for size in SIZES)
        kind = rng.choice([rng.random(), 0.85, 0.95]) if behind_large else rng.random()
        if len(texts) < most and (drawn := _draw_layer(rng, kind, shape)):
            texts.append(drawn[0])
            shape = drawn[1]
    white = rng.choice([*[255.0] * 8, *[1.0] * 6, 0.3, rng.choice([1e-30, 1e30, 3e38])])
    tile = rng.choice([tiles.AREA, 20_000, 3_000])
    return Case(parse(" | ".join(texts or ["Sequential()"])), values, white, rng.randrange(3), tile)


def draw_picture(rng: random.Random, height: int, width: int) -> np.ndarray:
    """Return gray values (H, W): noise, few grays, slopes or one gray, and often a constant region."""
    draw = np.random.default_rng(rng.randrange(1 << 30))
    dtype, white = rng.choice([(np.uint8, 255)] * 4 + [(np.uint16, 65535), (np.float32, 1)])
    kind = rng.randrange(6)
    if kind < 3:
        values = draw.random((height, width))
    elif kind == 3:
        values = draw.integers(0, 2, (height, width)) * rng.choice([0.2, 1])
    elif kind == 4:
        values = np.add.outer(np.arange(height) * rng.choice([0, 1, 2]), np.arange(width) * rng.choice([0, 1])) / 900
    else:
        values = np.full((height, width), rng.choice([0, 1, rng.random()]))
    for _ in range(rng.choice([0, 0, 1, 2])):
        top, left = rng.randrange(height), rng.randrange(width)
        values[top : top + rng.randint(1, height), left : left + rng.randint(1, width)] = rng.choice([0, 0, 1, 0.3])
    return np.rint(values * white).astype(dtype) if white > 1 else values.astype(dtype)


def _like(values: np.ndarray, other: np.ndarray) -> np.ndarray:
    return other if other.dtype == values.dtype else np.rint(other * 255.0 / max(1, other.max())).astype(values.dtype)


def _draw_layer(rng: random.Random, kind: float, shape) -> tuple[str, tuple[int, int, int]] | None:
    """One layer's text and the shape that comes out; None where it does not fit, by PyTorch's word and by ours."""
    c, h, w = shape
    if kind < 0.55:
        weights = [4 if name in ("Conv2d", "Filter2d", "MaxPool2d") else 1 for name in random_layers.LAYERS]
        (name,) = rng.choices(list(random_layers.LAYERS), weights)
        arguments = random_layers.LAYERS[name](rng, *shape)
        text = random_layers.write(rng, name, arguments)
        theirs = _torch_shape(name, arguments, shape)
        ours = _our_shape(text, shape)
        if isinstance(ours, str) and any(why in ours for why in DELIBERATE):
            return None
        assert (None if isinstance(ours, str) else ours) == theirs, f"{text} on {shape}: PyTorch says {theirs}, {ours=}"
    else:
        text = _draw_text(rng, kind, c, h, w)
        ours = _our_shape(text, shape)
    if isinstance(ours, str) or ours[0] * ours[1] * ours[2] > MOST or ours[0] > 64 or _work(text, shape, ours) > WORK:
        return None
    return text, ours


def _draw_text(rng: random.Random, kind: float, c: int, h: int, w: int) -> str:
    if kind < 0.65:  # many channels, and pixels that no kernel sees
        size, stride = rng.choice([1, 1, 2, 3, (1, 3)]), rng.choice([1, 2, 3, 5, (1, 4), (4, 1)])
        groups = rng.choice([1, 1, 1, c])
        out = groups * rng.randint(1, max(1, 64 // groups)) if groups > 1 else rng.choice([*range(1, 65), 16, 17, 32])
        more = rng.choice(["", f", groups={groups}, padding=1, dilation=2", f", groups={groups}, bias=False"])
        out = out if "groups" in more else rng.randint(1, 64)
        return f"Conv2d({c}, {out}, {size}, {stride}{more})"
    if kind < 0.8:
        size = rng.choice(SIZES)
        kernel = rng.choice(LARGE).format(size)
        mode, stride = rng.choice(["zeros", "reflect", "replicate", "circular"]), rng.choice([1, 1, 2, 3])
        if rng.random() < 0.5:
            padding = rng.choice(["'same'", "'valid'", "2"])
            return f"Filter2d({kernel}, stride={stride}, padding={padding}, padding_mode='{mode}')"
        out, bias = rng.choice([1, 1, 2, 8]), rng.choice(["False", "True", "-0.5"])
        weight = f", weight=[{kernel}]" if size % 2 and rng.random() < 0.7 else ""
        padding = rng.choice([0, 0, size // 2, 1])
        return f"Conv2d({c}, {out}, {size}, {stride}, {padding}, bias={bias}, padding_mode='{mode}'{weight})"
    return rng.choice(SATURATING if kind < 0.9 else JUMPING)


def _our_shape(text: str, shape) -> tuple[int, int, int] | str:
    try:
        return parse(text).shapes(shape)[-1]
    except PipelineError as error:
        return error.reason


def _torch_shape(name: str, arguments: dict, shape) -> tuple[int, int, int] | None:
    try:
        with torch.inference_mode():
            y = random_layers.by_hand(name, arguments).eval()(torch.zeros(1, *shape))
    except (RuntimeError, ValueError):
        return None
    return tuple(y.shape[1:]) if y.numel() else None


def _work(text: str, shape, output) -> int:
    return parse(text).layers[0].effect.parameters_for(shape[0]) * output[1] * output[2]


def check(case: Case, folder: str) -> None:
    """Raise AssertionError where the three ways give other pixels than PyTorch, or other refusals."""
    pipeline, shape = case.pipeline, (case.channels, *case.values.shape[:2])
    path = os.path.join(folder, "a.tif" if case.values.dtype == np.float32 else "a.png")
    Image.fromarray(case.values).save(path)
    network = build(pipeline, seed=case.seed, channels=case.channels)
    white = {1: 255, 2: 65535, 4: 1.0}[case.values.itemsize]
    options = Options(white=case.white, seed=case.seed, mode="L" if case.channels == 1 else "RGB")
    x = to_tensor(case.values if case.channels == 1 else case.values.transpose(2, 0, 1), white, options.inputs)
    with one_thread(), torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of padding='same' with even kernels
        expected = network(x)[0].numpy()
        assert pipeline.shapes(shape)[-1] == expected.shape
        unstable, noise = _measure(pipeline, network, x, expected)
    tiles.plan_tiles.cache_clear()
    usual, tiles.AREA = tiles.AREA, case.tile
    try:
        ways = {
            "engine": _run(case, path, options, exact=False),
            "exact": _run(case, path, options, exact=True),
        }
    finally:
        tiles.AREA = usual
    if not np.isfinite(expected).all():
        for way, result in ways.items():
            assert isinstance(result, str), f"{way}: NaN or infinity pass for a picture"
            assert "comes out of layer" in result or unstable.any(), f"{way}: {result}"
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(write_script(pipeline, path, options=options), "script", "exec"), {})
    ways["script"] = _read(_names(case, path, len(expected)))
    whole = case.values.dtype.kind == "u" and case.white % white == 0
    flat = rounding_noise(pipeline, options.inputs, whole)[-1]
    for number, channel in enumerate(expected):
        low, high = float(channel.min()), float(channel.max())
        scale = Norm().scale(low, high, case.white, flat)
        levels = np.rint(np.clip((channel.astype(float) - scale.black) / (scale.white - scale.black), 0, 1) * 255)
        shaky = noise[number] > 0 and abs(high - low - flat) <= 4 * noise[number]  # flat for one way and not another
        steps = 1 + (0 if scale.flat else 255 * 8 * noise[number] / (high - low))
        if shaky or steps > 50:
            continue
        for way, result in ways.items():
            assert not isinstance(result, str), f"{way}: {result}"
            worst = np.abs(result[number].astype(int) - levels)[~unstable[number]].max(initial=0)
            assert worst <= steps, f"{way}: channel {number} is {worst:.0f} levels off, where {steps:.2f} are allowed"


def _measure(pipeline: Pipeline, network, x: torch.Tensor, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What rounding leaves open: pixels (C, H, W) that it may change beyond measure, and the noise of the other ones.

    Values that are not whole numbers are changed by some of float32's steps before each layer; zeros stay zeros.
    """
    results, network = [], copy.deepcopy(network).double()
    for trial in range(8):
        draw, y = torch.Generator().manual_seed(trial), x.double()
        for module in network:
            numbers = list(module.parameters())
            whole = all(bool((t == t.round()).all()) for t in (y, *numbers)) and y.abs().max() < 2**22
            if not whole:
                steps = (
                    (2 * torch.rand(y.shape, generator=draw, dtype=torch.float64) - 1) if trial > 1 else 2 * trial - 1
                )
                y = y * (1 + 4e-7 * steps)
            y = module(y)
        results.append(y[0].numpy())
    results = np.stack([*results, expected.astype(float)])
    with np.errstate(invalid="ignore", over="ignore"):
        spread = results.max(0) - results.min(0)
    spread[~np.isfinite(spread)] = np.inf
    jumps = any(layer.effect.jumps for layer in pipeline.layers)
    if not jumps:
        return np.zeros(spread.shape, bool), spread.max((1, 2))
    largest = np.abs(np.where(np.isfinite(expected), expected, 0)).max((1, 2), keepdims=True)
    unstable = spread > 1e-4 * largest
    return unstable, np.where(unstable, 0, spread).max((1, 2))


def _run(case: Case, path: str, options: Options, *, exact: bool) -> list[np.ndarray] | str:
    (result,) = run_files(
        case.pipeline, [path], white=case.white, seed=case.seed, mode=options.mode, exact=exact, jobs=2
    )
    return result.error if result.status == "failed" else _read(result.outputs)


def _names(case: Case, path: str, count: int) -> list[str]:
    stem = f"{os.path.splitext(path)[0]}_{case.pipeline.name}"
    return [f"{stem}.png"] if count == 1 else [f"{stem}_{i:0{len(str(count - 1))}}.png" for i in range(count)]


def _read(paths) -> list[np.ndarray]:
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            pictures.append(np.asarray(picture))
        os.remove(path)
    return pictures


def try_seeds(first: int, last: int) -> list[str]:
    """Return what differs in the cases of these seeds."""
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, last):
            case = None
            try:
                case = draw_case(random.Random(seed))
                check(case, folder)
            except Exception as error:  # a traceback is a failure too
                failures.append(f"{seed}: {case}: {type(error).__name__}: {str(error)[:400]}")
                if __name__ == "__main__":
                    print(failures[-1], flush=True)
    return failures


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(len(try_seeds(int(sys.argv[1]), int(sys.argv[2]))), "differ")
