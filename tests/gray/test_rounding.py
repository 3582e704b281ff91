import numpy as np
import pytest

from convfilter import parse
from convfilter.engine import tiles
from convfilter.engine.build import activations, build, to_tensor
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import Norm
from convfilter.gray.rounding import EXACT, ROUNDING, rounding_noise


@pytest.mark.parametrize(
    "text",
    [
        "Upsample(scale_factor=3, mode='bicubic')",
        "Upsample(scale_factor=1.7, mode='bicubic') | ReLU",
        "LPPool2d(1.5, (5, 1), ceil_mode=True)",
        "LPPool2d(1.5, (5, 4), 2)",
        "AdaptiveAvgPool2d(7)",
        "blur | Upsample(scale_factor=1.3, mode='bicubic')",
    ],
)
@pytest.mark.parametrize("white", [255.0, 1.0])
def test_a_flat_picture_varies_no_more_than_rounding_may(text, white):
    pipeline = parse(text)
    network = build(pipeline)
    allowed = rounding_noise(pipeline, InputValues(white=white), whole=False)[-1]
    for value in range(0, 256, 3):
        *_, y = activations(network, to_tensor(np.full((130, 160), value, np.uint8), 255, InputValues(white=white)))
        assert (y.max() - y.min()).item() <= allowed


NOISE = np.random.default_rng(0).integers(0, 256, (512, 512), np.uint8)
PHOTO = np.add.outer(np.arange(512) // 4, np.arange(512) // 8).astype(np.uint8) // 2 + NOISE // 8


@pytest.mark.parametrize(
    "text",
    [
        "edge(9) | edge(9) | Tanh",
        "edge(9) | edge(9) | Sigmoid",
        "Filter2d(edge(31)) | Hardtanh(0, 0.05)",
        "AdaptiveAvgPool2d(32) | Softsign",
        "Conv2d(1, 2, 31) | Conv2d(2, 1, 31) | Hardsigmoid",
        "edge(9) | edge(9) | InstanceNorm2d(1)",
        "LPPool2d(4, 9) | Softmax2d | Sigmoid",
        "LocalResponseNorm(3, alpha=1, beta=2)",
    ],
)
@pytest.mark.parametrize("white", [255.0, 1.0])
@pytest.mark.parametrize("values", [NOISE, PHOTO])
def test_a_visible_picture_is_never_called_flat(text, white, values):
    pipeline = parse(text)
    noise = rounding_noise(pipeline, InputValues(white=white), whole=white == 255)[-1]
    output = tiles.filter_picture(tiles.plan(pipeline, build(pipeline)), values, 255, InputValues(white=white))
    for low, high in output.ranges:
        assert Norm().scale(low, high, white, noise).flat == (low == high)


@pytest.mark.parametrize(
    ("text", "largest"),
    [
        ("Conv2d(1, 1, 2, bias=False, weight=[[[1, -2], [3, 0.5]]])", 6.5),
        ("Conv2d(1, 1, 1, bias=-100, weight=[[[0.5]]])", 100.5),
        ("Filter2d([[0.5, -0.25]], [[-3]])", 3),
        ("Conv2d(1, 4, 1, bias=False, weight=[[[0.5]], [[0.5]], [[0.5]], [[0.5]]]) | Conv2d(4, 4, 1, bias=False, "
         "weight=[[[1]], [[2]], [[1]], [[1]]])", 0.5 * 4 * 2),
        ("Conv2d(1, 4, 1, bias=False, weight=[[[0.5]], [[0.5]], [[0.5]], [[0.5]]]) | Conv2d(4, 4, 1, bias=False, "
         "groups=2, weight=[[[1]], [[2]], [[1]], [[1]]])", 0.5 * 2 * 2),
        ("Conv2d(1, 4, 1, bias=False, weight=[[[0.5]], [[0.5]], [[0.5]], [[0.5]]]) | Conv2d(4, 4, 1, bias=False, "
         "groups=4, weight=[[[1]], [[2]], [[1]], [[1]]])", 0.5 * 2),
        ("ConstantPad2d(1, -7)", 7),
        ("Conv2d(1, 1, 1, bias=-100, weight=[[[0.5]]]) | Tanh", 1),
        ("LPPool2d(2, 2)", 2),
    ],
)  # fmt: skip
def test_noise_is_a_share_of_the_largest_value(text, largest):
    assert rounding_noise(parse(text), InputValues(white=1.0), whole=False)[-1] == pytest.approx(ROUNDING * largest)


@pytest.mark.parametrize(
    "text", ["Conv2d(1, 8, 5)", "Conv2d(1, 4, 3, bias=False) | Conv2d(4, 4, 3, groups=2)", "ConvTranspose2d(1, 3, 4)"]
)
def test_random_weights_are_within_the_bound(text):
    pipeline = parse(text)
    largest = rounding_noise(pipeline, InputValues(white=1.0), whole=True)[-1] / ROUNDING
    for seed in range(20):
        total = 1.0
        for module in build(pipeline, seed=seed):
            weight = (
                module.weight.abs().flatten(1).sum(1) if text[:5] == "Conv2" else module.weight.abs().sum((0, 2, 3))
            )
            total = total * weight.max().item() + (0.0 if module.bias is None else module.bias.abs().max().item())
        assert 0.2 * largest < total <= largest


def test_from_the_third_convolution_on_nothing_is_put_down_to_rounding_but_after_a_layer_that_saturates():
    conv = "Conv2d(1, 1, 3)"
    for between, noisy in (("ReLU", False), ("Identity", False), ("Tanh", True), ("Hardtanh(0, 6)", True)):
        noise = rounding_noise(parse(f"{conv} | {conv} | {between} | {conv}"), InputValues(), whole=False)
        assert all(noise[:2]) and bool(noise[-1]) == noisy


def test_whole_numbers_make_no_noise_until_they_are_too_large_for_float32():
    assert rounding_noise(parse("edge(9) | edge(9)"), InputValues(), whole=True) == (0, 0)
    assert rounding_noise(parse("edge(9) | edge(9)"), InputValues(), whole=False) > (0, 0)
    assert rounding_noise(parse("edge(9) | Filter2d([[3000]])"), InputValues(), whole=True)[1] > EXACT * ROUNDING
    for text in ("Conv2d(1, 1, 1, bias=0.5, weight=[[[1]]])", "Filter2d([[0.5]])", "Conv2d(1, 1, 1)", "AvgPool2d(2)"):
        assert rounding_noise(parse(text), InputValues(white=255), whole=True)[-1] > 0


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d"])
def test_a_group_is_bounded_as_a_convolution_of_its_channels_alone(kind):
    (grouped,), (alone,) = (parse(f"{kind}({n}, {n}, 3, groups={n // 2}, bias=False)").layers for n in (8, 2))
    bounds = [layer.entry.rounding(layer.effect, layer.arguments, n) for layer, n in ((grouped, 8), (alone, 2))]
    assert bounds[0] == bounds[1]
