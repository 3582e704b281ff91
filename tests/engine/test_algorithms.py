"""Every algorithm against torch's own layer on the same input, to float32's noise; whole numbers exactly."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from convfilter import parse
from convfilter.engine.algorithms import choose_algorithm, choose_algorithms, nhwc, separate
from convfilter.engine.build import build
from convfilter.engine.fft import smooth
from convfilter.layers import kernels
from convfilter.layers.shapes import Effect, Window


def choose(text: str, channels: int = 1):
    pipeline = parse(text)
    network = build(pipeline, channels=channels)
    return choose_algorithm(pipeline.layers[0].effect, network[0]), network


@pytest.mark.parametrize(
    "text",
    [
        "Conv2d(1, 1, 3)",  # a product a tap
        "Conv2d(1, 1, (5, 2), (2, 3), dilation=(3, 2))",
        "Conv2d(1, 1, (40, 1), bias=False)",
        "Conv2d(1, 2, 3)",  # columns side by side
        "Conv2d(1, 8, (5, 4), (1, 2), dilation=(2, 1))",
        "Conv2d(1, 3, 7, (3, 1))",
        "Conv2d(4, 5, 3)",
        "Conv2d(8, 1, 3, bias=False)",
        "Conv2d(3, 2, 5, dilation=9)",  # torch's own
        "Conv2d(1, 17, 1, 2)",  # more channels than oneDNN computes at once, and pixels that no kernel sees
        "Conv2d(2, 33, (1, 2), (1, 5))",
        "Conv2d(4, 8, 3, groups=4)",
        "Conv2d(2, 12, 3)",
        "Conv2d(1, 1, 17)",  # FFT
        "Conv2d(1, 3, (31, 20), (1, 2))",
        "Conv2d(4, 4, 18, groups=2, dilation=2)",
        "ConvTranspose2d(2, 3, 3, 2, dilation=2)",
        "MaxPool2d((3, 2))",
        "MaxPool2d((5, 4), 1, dilation=(1, 2))",
        "MaxPool2d(3, (1, 2))",
        "AvgPool2d((2, 3))",
        "AvgPool2d(12, 3)",
        "LPPool2d(2, 3)",
        "Sigmoid",
        "PReLU",
        "ReLU6",
    ],
)
def test_an_algorithm_gives_what_its_layer_gives(text):
    effect = parse(text).layers[0].effect
    channels = effect.in_channels or 1
    chosen, network = choose(text, channels)
    x = torch.randn(1, channels, 83, 97, generator=torch.manual_seed(0))
    expected = network(x)
    if text.startswith("Avg"):  # the sum, which is divided where it is known how many pixels a window holds
        expected = expected * effect.rows.size * effect.columns.size
    y = chosen.apply(x.clone())
    assert y.shape == expected.shape
    torch.testing.assert_close(y, expected, rtol=0, atol=2e-6 * expected.abs().max().item())
    if chosen.on_strips:  # sixteen strips of each channel give the same
        y = chosen.on_strips(nhwc(x.repeat_interleave(16, 1)))
        strips = expected.repeat_interleave(16, 1)
        torch.testing.assert_close(y, strips, rtol=0, atol=2e-6 * expected.abs().max().item())


@pytest.mark.parametrize("text", ["edge", "edge(17)", "sobel_x", "emboss", "Filter2d([[1, 2], [3, 4]])", "laplace8"])
def test_whole_numbers_stay_exact(text):
    pipeline = parse(text)
    chosen = choose_algorithm(pipeline.layers[0].effect, build(pipeline)[0])
    x = torch.randint(0, 256, (1, 1, 60, 70), generator=torch.manual_seed(0)).float()
    kernel = np.array(pipeline.layers[0].kernels[0].matrices[0])
    windows = np.lib.stride_tricks.sliding_window_view(x[0, 0].numpy().astype(int), kernel.shape)
    expected = (windows * kernel.astype(int)).sum((2, 3))
    assert np.array_equal(chosen.apply(x)[0, 0].numpy(), expected)


def test_an_impulse_gives_the_kernel_turned_round():
    weight = torch.arange(1.0, 17 * 19 + 1).view(17, 19)
    conv = nn.Conv2d(1, 1, (17, 19), bias=False)
    conv.weight.data[0, 0] = weight
    x = torch.zeros(1, 1, 33, 37)
    x[0, 0, 16, 18] = 1
    y = choose_algorithm(Effect(Window(17), Window(19)), conv.requires_grad_(False)).apply(x)
    assert torch.equal(y[0, 0], weight.flip(0, 1))


def test_one_channel_in_one_column_is_right_whatever_lies_beside_it_in_memory():
    effect = Effect(Window(11), Window(11, stride=3))
    conv = nn.Conv2d(1, 1, 11, (1, 3)).requires_grad_(False)
    beside = torch.full((1, 1, 50, 13), torch.nan)
    beside[:, :, :20] = 1
    assert torch.allclose(choose_algorithm(effect, conv).apply(beside[:, :, :20]), conv(torch.ones(1, 1, 20, 13)))


@pytest.mark.parametrize(
    ("kernel", "column", "row"),
    [
        (((2.0, 4.0), (3.0, 6.0)), [2, 3], [1, 2]),
        (((0.0, 1.0), (0.0, 0.0), (0.0, -1.0)), [1, 0, -1], [0, 1]),
        (((0.0, 0.0), (0.0, 0.0)), None, None),
        (((1.0, 2.0), (2.0, 3.0)), None, None),
        (((math.nan, 1.0), (1.0, 1.0)), None, None),
        (((math.inf, 1.0), (1.0, 1.0)), None, None),
    ],
)
def test_kernels_of_rank_1_are_a_column_times_a_row(kernel, column, row):
    pair = separate(torch.tensor(kernel)[None, None])
    assert pair is None if column is None else [side.flatten().tolist() for side in pair] == [column, row]


@pytest.mark.parametrize("name", ["gaussian", "box", "binomial5"])
def test_smooth_kernels_are_a_row_and_a_column(name):
    kernel = torch.tensor(kernels.KERNELS[name](), dtype=torch.float32)[None, None]
    column, row = separate(kernel)
    torch.testing.assert_close(column * row, kernel, rtol=1e-6, atol=0)


def test_rising_activations_move_behind_max_pools():
    text = "Tanh | MaxPool2d(2) | MaxPool2d(2) | GELU | MaxPool2d(2) | ReLU | AvgPool2d(2)"
    pipeline = parse(text)
    sizes = [
        one.effect.rows.size for one in choose_algorithms([layer.effect for layer in pipeline.layers], build(pipeline))
    ]
    assert sizes == [2, 2, 1, 1, 2, 1, 2]


@pytest.mark.parametrize("text", ["Softplus | MaxPool2d(2)", "ReLU | MaxPool2d(2, padding=1, dilation=3)"])
def test_activations_stay_before_pools_that_would_change_them(text):
    pipeline = parse(text)
    steps = choose_algorithms([layer.effect for layer in pipeline.layers], build(pipeline))
    assert [step.effect.rows.size for step in steps] == [1, 2]


def test_smooth_numbers():
    assert [n for n in range(1, 101) if smooth(n) == n] == [
        4, 8, 12, 16, 20, 24, 32, 36, 40, 48, 60, 64, 72, 80, 96, 100,
    ]  # fmt: skip
