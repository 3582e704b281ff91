"""The tiles' answer against the whole network's, on random pipelines, sizes, paddings and pictures."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from convfilter import PipelineError, parse
from convfilter.engine import memory, tiles
from convfilter.engine.build import activations, build, to_tensor
from convfilter.engine.threads import Threads
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise

ACTIVATIONS = ["ReLU", "Sigmoid", "Tanh", "ELU", "Softplus", "LeakyReLU(0.1)", "Hardtanh", "GELU", "PReLU", "Softsign"]


def test_random_pipelines_give_what_the_whole_network_gives(monkeypatch):
    monkeypatch.setattr(tiles, "AREA", 4000)  # many small tiles, so that every border and every cut is met
    monkeypatch.setattr(tiles, "WIDTH", 90)
    draw = random.Random(0)
    for number in range(500):
        if number % 100 == 0:
            print(number)
        text, height, width = draw_pipeline(draw)
        monkeypatch.setattr(memory, "KEPT", draw.choice([0, 1 << 30]))
        check(text, picture(height, width, number), scale=draw.choice([255.0, 1.0]))


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [
        ("edge | ReLU | MaxPool2d(2)", 1501, 1203),
        ("Conv2d(1, 8, 3, padding=1) | ReLU | Conv2d(8, 8, 3) | Conv2d(8, 4, 3, padding='same')", 301, 803),
        ("Conv2d(1, 1, 31, padding='same', padding_mode='reflect')", 203, 1999),
        ("blur(sigma=6) | Sigmoid | AvgPool2d(3, 2, padding=1, count_include_pad=False)", 203, 1999),
        ("CircularPad2d(1) | Conv2d(1, 1, 5, padding=2, padding_mode='circular') | ReLU", 301, 1301),
        ("Filter2d(sobel_x, sobel_y) | Magnitude | MaxPool2d(3, 1, padding=1)", 499, 1001),
    ],
)  # fmt: skip
def test_pictures_of_many_tiles(monkeypatch, text, height, width):
    monkeypatch.setattr(tiles, "AREA", 1 << 16)
    check(text, picture(height, width, 0))


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [
        ("Softplus(0.01, 1) | MaxPool2d(2)", 70, 61),  # falls at its threshold
        ("ReLU | MaxPool2d(2, 1, padding=1, dilation=4)", 3, 3),  # windows that hold no pixel give -inf
        ("LPPool2d(-1, 2, ceil_mode=True)", 70, 61),  # nothing to the power of -1 is no 0
        ("LPPool2d(-2, 3, 2, ceil_mode=True)", 1201, 32),
    ],
)
def test_rare_arguments(text, height, width):
    check(text, np.maximum(picture(height, width, 0), 1))


@pytest.mark.parametrize("spike", [1, 4100, 60_000])
def test_whole_kernels_are_exact_by_whatever_algorithm(spike, tmp_path):
    kernel = np.zeros((17, 17), int)
    kernel[8, 8], kernel[0, 0], kernel[16, 1] = spike, 1, -1
    (tmp_path / "k.txt").write_text("\n".join(" ".join(map(str, row)) for row in kernel.tolist()))
    pipeline = parse(f"Conv2d(1, 1, 17, bias=False, weight=@{tmp_path / 'k.txt'})")
    values = np.random.default_rng(0).integers(0, 2, (528, 1501), dtype=np.uint8) * 255
    floats = tiles.filter_picture(tiles.plan(pipeline, build(pipeline)), values, 255).floats()[0]
    v = values.astype(int)
    assert np.array_equal(floats, spike * v[8:-8, 8:-8] + v[:-16, :-16] - v[16:, 1:-15])


@pytest.mark.parametrize(
    "later",
    [
        "Threshold(0, 255)",
        "Hardshrink(1e-30)",
        "LPPool2d(3, 2)",
        "LocalResponseNorm(1, 1, 0.5, 0)",
        "Softplus(1, 0)",
        "RMSNorm({})",
        "LayerNorm({})",
        "LocalResponseNorm(1, 1, 0.5, 1e-6)",
        "CrossMapLRN2d(1, 1, 0.5, 1e-6)",
        "InstanceNorm2d(1, eps=0)",
    ],
)
@pytest.mark.parametrize("between", ["", "ReLU | Conv2d(1, 1, 3, weight=gaussian(3), bias=False) | "])
def test_what_is_exactly_0_stays_so_before_layers_that_jump_there(later, between):
    values = picture(300, 300, 0)
    values[100:220, :250] = 0
    values[:, 260:] = 0
    values[250:] = 0
    later = later.format(298 if between else 300)
    pipeline = parse(f"motion(17, angle=30) | {between}{later}")
    network = build(pipeline)
    with torch.inference_mode():
        expected = network(to_tensor(values, 255))[0].numpy()
    floats = tiles.filter_picture(tiles.plan(pipeline, network), values, 255).floats()
    assert np.array_equal(np.isnan(floats), np.isnan(expected))
    assert np.allclose(floats, expected, rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("text", ["Filter2d(edge(17)) | Tanh", "Conv2d(1, 3, 25, (1, 2), 4) | Sigmoid"])
def test_a_black_region_is_black_behind_large_kernels_whatever_saturates_then(text):
    """Of 16 bits, for whole numbers are exact anyway."""
    values = np.random.default_rng(0).integers(0, 65536, (210, 300)).astype(np.uint16)
    values[40:170, :250] = 0
    pipeline = parse(text)
    network = build(pipeline)
    with torch.inference_mode():
        expected = network(to_tensor(values, 65535))[0].numpy()
    floats = tiles.filter_picture(tiles.plan(pipeline, network), values, 65535).floats()
    black = expected == expected[:, floats.shape[1] // 2 :, 20:][:, :1, :1]
    assert black.mean() > 0.1 and np.array_equal(floats[black], expected[black])


def test_values_near_the_largest_do_not_overflow():
    check("motion(17, angle=30)", picture(70, 300, 0), scale=3e38)


def test_a_constant_channel_stays_constant_behind_large_kernels():
    pipeline = parse("Conv2d(1, 2, 21, 2, weight=[motion(21, angle=30), log(21, sigma=2.3)]) | Conv2d(2, 3, 19)")
    network = build(pipeline)
    for value in (0, 1, 77, 255):
        floats = tiles.filter_picture(tiles.plan(pipeline, network), np.full((900, 410), value, np.uint8), 255).floats()
        assert (floats == floats[:, :1, :1]).all()


@pytest.mark.parametrize("padded", [True, False])
def test_the_mean_of_a_flat_picture_is_as_flat(padded):
    pipeline = parse(f"AvgPool2d(7, 1, 3, count_include_pad={padded})")
    for size in ((60, 70), (400, 700)):
        values = np.full(size, 77, np.uint8)
        floats = tiles.filter_picture(tiles.plan(pipeline, build(pipeline)), values, 255).floats()[0]
        assert (floats[3:-3, 3:-3] == 77).all() and (padded or (floats == 77).all())


@pytest.mark.parametrize("text", ["Conv2d(1, 1, 69, 4, bias=False)", "Conv2d(1, 2, 17) | MaxPool2d(1, 6)"])
def test_what_is_kept_is_no_larger_than_the_output(text):
    pipeline = parse(text)
    output = tiles.filter_picture(tiles.plan(pipeline, build(pipeline)), picture(900, 1100, 0), 255)
    kept = sum(bytes_held(make().values) for band in output.bands for make in band)
    assert kept <= 2.2 * output.floats().nbytes


def bytes_held(values: np.ndarray) -> int:
    while isinstance(values.base, np.ndarray):
        values = values.base
    return values.nbytes if values.base is None else values.base.untyped_storage().nbytes()


def test_a_layer_that_sees_everything_does_not_depend_on_the_threads():
    pipeline, values = parse("AdaptiveAvgPool2d(1)"), picture(402, 1273, 0)
    segments, found = tiles.plan(pipeline, build(pipeline)), set()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.add(tiles.filter_picture(segments, values, 255, threads=Threads(threads)).floats().item())
    assert len(found) == 1


ROWS_SKIPPED = """
import numpy as np
from convfilter import parse
from convfilter.engine import memory, tiles
from convfilter.engine.build import build
for layer in ("1, (1, 3), (3, 1)", "8, (2, 3), (7, 1)", "1, (2, 3), (3, 1), dilation=(5, 1)"):
    pipeline = parse(f"Conv2d(1, {layer})")
    segments = tiles.plan(pipeline, build(pipeline))
    for height, width in [(1999, 12), (12, 19), (512, 23), (241, 99), (95, 15)] * 5:
        tiles.filter_picture(segments, np.ones((height, width), np.uint8), 255).floats()
"""


def test_kernels_that_skip_rows_leave_memory_whole():
    # glibc looks at every block that is given back, where it has its library for that
    watched = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"}
    done = subprocess.run([sys.executable, "-c", ROWS_SKIPPED], env={**os.environ, **watched}, check=False)
    assert done.returncode == 0


def draw_pipeline(draw: random.Random) -> tuple[str, int, int]:
    """A text of one to five layers, and a picture size that they take."""
    while True:
        height, width = (draw.choice([1, 2, 3, 7, draw.randint(1, 60), draw.randint(60, 400)]) for _ in range(2))
        channels, layers = 1, []
        for _ in range(draw.randint(1, 5)):
            layer, channels = draw_layer(draw, channels)
            layers.append(layer)
        text = " | ".join(layers)
        try:
            shape = parse(text).shapes((1, height, width))[-1]
        except PipelineError:
            continue
        if shape[0] * shape[1] * shape[2] < 1 << 20:
            return text, height, width


def draw_layer(draw: random.Random, c: int) -> tuple[str, int]:
    size = (draw.choice([1, 2, 3, 3, 5, 7, 12, 19]), draw.choice([1, 2, 3, 3, 5, 7, 12, 19]))
    mode = draw.choice(["zeros", "reflect", "replicate", "circular"])
    stride = draw.choice([1, 1, 1, 2, (1, 2), 3])
    pads = tuple(draw.randint(0, 4) for _ in range(4))
    out = draw.choice([1, 1, 1, 2, 3, 4, 8, 9])
    kind = draw.randrange(12)
    if kind <= 3:
        padding = draw.choice([0, 1, (size[0] // 2, size[1] // 2), (2, 0), "'same'"])
        stride = 1 if padding == "'same'" else stride
        dilation = draw.choice([1, 1, 1, 2, (1, 3)])
        groups = c if draw.random() < 0.2 else 1
        return (
            f"Conv2d({c}, {out * groups}, {size}, {stride}, {padding}, {dilation}, {groups}, padding_mode='{mode}')",
            out * groups,
        )
    if kind == 4:
        kernel, n = draw.choice(
            [
                ("gaussian(11, sigma=2)", 1),
                ("edge", 1),
                ("sobel_x, sobel_y", 2),
                ("box(13)", 1),
                ("roberts_a", 1),
                ("log", 1),
            ]
        )
        return f"Filter2d({kernel}, stride={stride}, padding_mode='{mode}')", c * n
    if kind <= 6:
        size = tuple(min(n, 7) for n in size)
        pad = draw.choice([0, 0, (size[0] // 2, size[1] // 2)])
        ceil = draw.choice([True, False])
        pool = draw.choice([
            f"MaxPool2d({size}, {stride}, {pad}, ceil_mode={ceil})",
            f"MaxPool2d({size}, {stride}, {pad}, dilation=2)",
            f"AvgPool2d({size}, {stride}, {pad}, ceil_mode={ceil}, count_include_pad={draw.choice([True, False])})",
            f"AvgPool2d({size}, {stride}, {pad}, divisor_override=3)",
            f"LPPool2d(2, {size}, {stride}, ceil_mode={ceil})",
            "MaxPool2d(2)",
        ])  # fmt: skip
        return pool, c
    if kind <= 8:
        return draw.choice(ACTIVATIONS), c
    if kind == 9:
        crop = draw.randint(0, 3), -1, draw.randint(0, 3), -1
        pad = draw.choice(["ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d", "CircularPad2d"])
        return draw.choice([f"{pad}({pads})", f"ConstantPad2d({crop}, -7.5)", "ConstantPad2d(120, 3)"]), c
    if kind == 10:
        factor, blend = draw.choice([2, 4, 0.5, 3, (1, 2), 1.7]), draw.choice(["nearest", "bilinear", "bicubic"])
        return draw.choice([
            (f"ConvTranspose2d({c}, {out}, {draw.choice([1, 2, 3, 4])}, 2, padding=1, output_padding=1)", out),
            (f"ConvTranspose2d({c}, {out}, (3, 2), (1, 3), dilation=2)", out),
            (f"Conv2d({c}, 9, 1) | PixelShuffle(3)", 1),
            ("PixelUnshuffle(2)", 4 * c),
            (f"Upsample(scale_factor={factor}, mode='{blend}')", c),
        ])  # fmt: skip
    return draw.choice([
        ("Magnitude", 1),
        ("Softmax2d", c),
        ("LocalResponseNorm(2)", c),
        (f"InstanceNorm2d({c})", c),
        ("AdaptiveAvgPool2d((5, 7))", c),
        ("AdaptiveMaxPool2d((None, 3))", c),
        ("FractionalMaxPool2d(2, output_ratio=0.6)", c),
        ("Upsample(size=(31, 17), mode='bilinear', align_corners=True)", c),
        ("Identity", c),
    ])  # fmt: skip


def picture(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def check(text: str, values: np.ndarray, scale: float = 255.0) -> None:
    """The same shape; floats to 1e-5 of the largest, or to what float32 itself leaves open; pixels to one level."""
    pipeline = parse(text)
    network = build(pipeline)
    x = to_tensor(values, 255, InputValues(white=scale))
    with torch.inference_mode():
        *before, expected = [x[0].numpy(), *(y[0].numpy() for y in activations(network, x))]
        exact = build(pipeline).double()(x.double())[0].numpy()
    output = tiles.filter_picture(tiles.plan(pipeline, network), values, 255, InputValues(white=scale))
    floats = output.floats()
    at = f"{text} on {values.shape[1]}x{values.shape[0]}"
    assert floats.shape == expected.shape == output.shape, at
    if not np.isfinite(expected).all():
        assert not np.isfinite(floats).all(), at
        return
    noise = max(20 * np.abs(expected - exact).max(), 1e-7 * max(np.abs(y).max() for y in before))
    allowed = max(1e-5 * np.abs(expected).max(), noise)
    worst = np.abs(floats - expected).max()
    assert worst <= allowed, f"{at}: {worst} off, where {allowed} is allowed"
    assert output.ranges == [(channel.min(), channel.max()) for channel in floats], at
    scales = [GrayScale(*ends) for ends in output.ranges]
    pixels = np.concatenate(list(output.pixels(scales)), 1)
    for channel, floats_, scale in zip(pixels, floats, scales, strict=True):
        assert (channel == quantise(floats_.copy(), scale)).all(), at


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("blur", True),
        ("Filter2d(sobel_x, box(9), edge) | ReLU | MaxPool2d(2) | Filter2d(emboss, log)", True),
        ("gaussian(31, sigma=5) | Tanh | AvgPool2d(3, 2, padding=1)", True),
        ("Upsample(scale_factor=2, mode='bilinear') | PReLU(1, weight=[0.5]) | AdaptiveAvgPool2d(40)", True),
        ("ReflectionPad2d(3) | LPPool2d(2, 2) | Dropout(0.5)", True),
        ("blur | PReLU(3, weight=[0.1, 0.5, 2])", False),
        ("blur | InstanceNorm2d(3)", False),
        ("blur | Magnitude", False),
        ("FractionalMaxPool2d(2, output_ratio=0.7)", False),
        ("Conv2d(3, 3, 3, groups=3)", False),
        ("Softmax2d", False),
        ("blur | ChannelShuffle(3)", False),
        ("LocalResponseNorm(2)", False),
    ],
)
@pytest.mark.parametrize("kept", [True, False])
def test_channels_of_a_picture_that_are_treated_alike_go_one_after_the_other(text, apart, kept, monkeypatch):
    if not kept:
        monkeypatch.setattr(memory, "KEPT", 1)
    monkeypatch.setattr(tiles, "AREA", 20_000)
    values = np.stack([picture(120, 150, seed) for seed in range(3)])
    inputs = InputValues(3, 1.0, (0.1, 0.5, 0.0), (0.5, 1.0, 2.0))
    pipeline = parse(text)
    network = build(pipeline, channels=3)
    segments = tiles.plan(pipeline, network, 3)
    assert (segments[0].channels == 1) == apart
    output = tiles.filter_picture(segments, values, 255, inputs, threads=Threads(2))
    expected = network(to_tensor(values, 255, inputs))[0].numpy()
    assert output.shape == expected.shape
    np.testing.assert_allclose(output.floats(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(output.ranges, [(y.min(), y.max()) for y in expected], rtol=1e-3, atol=1e-3)
    scales = [GrayScale(*ends) for ends in output.ranges]
    pixels = np.stack([quantise(y.copy(), scale) for y, scale in zip(expected, scales, strict=True)])
    for found in (output.picture(scales), np.concatenate(list(output.pixels(scales)), 1)):
        assert np.abs(found.astype(int) - pixels).max() <= 1
    if apart:
        one = tiles.plan(pipeline, build(pipeline))
        count = len(expected) // 3
        for number, channel in enumerate(values):
            alone = InputValues(1, 1.0, inputs.mean[number : number + 1], inputs.std[number : number + 1])
            floats = tiles.filter_picture(one, channel, 255, alone).floats()
            assert np.array_equal(output.floats()[number * count : (number + 1) * count], floats)
