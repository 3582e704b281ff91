import random
import time

import numpy as np
import pytest
import random_layers
import torch
from scipy import ndimage
from torch import nn

from convfilter import PipelineError, parse
from convfilter.engine.build import activations, build, explain_nonfinite, to_tensor
from convfilter.gray.input_values import InputValues
from convfilter.layers.kernels import KERNELS
from convfilter.layers.matrices import is_bank

MODES = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "wrap"}  # as scipy calls them


def random_chain(rng, shape, most=5):
    """Layers as (name, arguments, text), of which each takes what the one before gives; the text of them all."""
    chain = []
    for _ in range(rng.randint(1, most)):
        for _ in range(20):
            name = rng.choice(list(random_layers.LAYERS))
            arguments = random_layers.LAYERS[name](rng, *shape)
            try:
                with torch.no_grad():
                    y = random_layers.by_hand(name, arguments).eval()(torch.zeros(1, *shape))
            except (RuntimeError, ValueError):
                continue
            if 0 < y.numel() < 200_000 and y.shape[1] <= 64:
                chain.append((name, arguments, random_layers.write(rng, name, arguments), shape[0]))
                shape = tuple(y.shape[1:])
                break
    return chain, rng.choice([" | ", "|", "\n| ", " |\n  "]).join(text for _, _, text, _ in chain)


@pytest.mark.parametrize("batch", range(16))
def test_a_random_pipeline_equals_the_sequential_built_by_hand(batch):
    rng = random.Random(batch)
    for number in range(20):
        seed = rng.choice([0, 1, number, 2**40])
        shape = (rng.choice([1, 1, 1, 3]), rng.choice([11, 17, 23]), rng.choice([7, 13, 20]))
        torch.manual_seed(1000 * batch + number)
        chain, text = random_chain(rng, shape)
        x = torch.rand(1, *shape) * rng.choice([1, 255])

        torch.manual_seed(seed)
        by_hand = nn.Sequential(*[random_layers.by_hand(name, arguments, c) for name, arguments, _, c in chain]).eval()
        with torch.no_grad():
            expected = by_hand(x)

        pipeline = parse(text)
        network = build(pipeline, seed=seed, channels=shape[0])
        *_, found = activations(network, x)
        assert found.shape == expected.shape and len(network) == len(chain)
        assert pipeline.shapes(shape)[-1] == tuple(expected.shape[1:])
        if not torch.equal(found, expected):  # the same to the last bit, or Filter2d and Magnitude add up otherwise
            assert torch.equal(found.isfinite(), expected.isfinite()), text
            scale = expected[expected.isfinite()].abs().max()
            assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5 * scale.item(), equal_nan=True), text
        assert str(parse(str(pipeline))) == str(pipeline) and parse(str(pipeline)) == pipeline


@pytest.mark.parametrize("batch", range(4))
def test_a_printed_model_parses_to_the_pipeline_that_builds_it(batch):
    rng = random.Random(f"printed {batch}")
    for _ in range(25):
        chain, text = random_chain(rng, (2, 15, 13))
        lost = {"FractionalMaxPool2d", "Filter2d", "Magnitude"}  # prints nothing of itself; is no torch module
        if any(name in lost or "weight" in arguments for name, arguments, *_ in chain):
            continue
        network = build(parse(text), channels=2)
        again = build(parse(repr(network)), channels=2)
        assert repr(again) == repr(network), text


def test_a_printed_convolution_is_the_layer_that_it_was():
    text = "Conv2d(1, 8, 3, padding='same', padding_mode='reflect') | ReLU() | MaxPool2d(2, stride=2) | Conv2d(8, 8, 1)"
    assert parse(repr(build(parse(text)))) == parse(text)


def test_nested_and_named_models_are_flat_in_order():
    model = nn.Sequential()
    model.add_module("conv1", nn.Conv2d(1, 2, 3))
    model.add_module("inner", nn.Sequential(nn.ReLU(), nn.Sequential(nn.MaxPool2d(2), nn.Identity())))
    assert [layer.name for layer in parse(repr(model)).layers] == ["Conv2d", "ReLU", "MaxPool2d", "Identity"]
    again = parse("nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2),), nn.Identity())")
    assert [layer.name for layer in again.layers] == ["Conv2d", "ReLU", "MaxPool2d", "Identity"]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(1, 4, (3, 5), padding=(1, 2), bias=False), nn.ReLU(inplace=True))
            self.pool = nn.AdaptiveAvgPool2d((None, 7))

    assert str(parse(repr(Net()).replace("Net", "Sequential"))) == (
        "Conv2d(1, 4, (3, 5), padding=(1, 2), bias=False) | ReLU(inplace=True) | AdaptiveAvgPool2d((None, 7))"
    )


def test_the_tutorial_line_has_the_edge_kernel_and_torchs_second_weights():
    network = build(parse("tutorial"), seed=3)
    torch.manual_seed(3)
    conv = nn.Conv2d(1, 2, 5, bias=False)
    assert network[0].weight[0, 0].tolist() == [
        [24.0 if (y, x) == (2, 2) else -1.0 for x in range(5)] for y in range(5)
    ]
    assert torch.equal(network[0].weight[1], conv.weight[1])


def test_building_leaves_the_global_random_state_alone_and_repeats():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    pipeline = parse("Conv2d(1, 8, 3) | PReLU(8) | FractionalMaxPool2d(2, output_ratio=0.5)")
    first, second, other = build(pipeline), build(pipeline), build(pipeline, seed=1)
    assert torch.equal(torch.rand(3), expected)
    x = torch.rand(1, 1, 20, 20)
    assert torch.equal(first(x), second(x)) and torch.equal(first(x), first(x))
    assert not torch.equal(first[0].weight, other[0].weight)


def test_a_network_is_plain_in_eval_mode_and_needs_no_gradients():
    network = build(parse("edge | Dropout(0.9) | RReLU | InstanceNorm2d(1, track_running_stats=True) | Magnitude"))
    assert type(network) is nn.Sequential and len(network) == 5
    assert not any(module.training for module in network.modules())
    assert not any(p.requires_grad for p in network.parameters())
    x = torch.rand(1, 1, 9, 9)
    assert torch.equal(network(x), network(x))


def test_activations_stay_as_they_were_although_layers_may_work_in_place():
    steps = list(
        activations(build(parse("Identity | ReLU(inplace=True) | ELU(inplace=True)")), torch.full((1, 1, 2, 2), -1.0))
    )
    assert [step.max().item() for step in steps] == [-1, 0, 0]


def test_three_hundred_layers_build_and_run():
    pipeline = parse(" | ".join(["Conv2d(1, 1, 3, padding=1)", "Tanh", "blur"] * 100))
    network = build(pipeline)
    assert len(network) == 300
    *_, y = activations(network, torch.rand(1, 1, 16, 16))
    assert y.shape == (1, 1, 16, 16) and y.isfinite().all()


def test_a_bias_is_a_number_or_a_number_a_channel():
    weight = "weight=[[[0]], [[0]]]"
    x = torch.zeros(1, 1, 1, 1)
    assert build(parse(f"Conv2d(1, 2, 1, bias=0.5, {weight})"))(x).flatten().tolist() == [0.5, 0.5]
    assert build(parse(f"Conv2d(1, 2, 1, bias=[1, -2], {weight})"))(x).flatten().tolist() == [1, -2]
    assert build(parse("ConvTranspose2d(1, 1, 1, bias=3)"))(x).item() == 3
    torch.manual_seed(0)
    assert torch.equal(build(parse("Conv2d(1, 2, 1, bias=0.5)"))[0].weight, nn.Conv2d(1, 2, 1).weight)


def test_weights_past_the_list_of_kernels_stay_random():
    network = build(parse("Conv2d(2, 4, 3, weight=[sobel_x, sobel_y], groups=2)"), channels=2)
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 4, 3, groups=2)
    assert torch.equal(network[0].weight[2:], conv.weight[2:]) and torch.equal(network[0].bias, conv.bias)
    assert network[0].weight[1, 0].tolist() == [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]


def test_a_kernel_goes_over_every_input_channel():
    x = torch.rand(1, 3, 5, 5)
    y = build(parse("Conv2d(3, 1, 1, bias=False, weight=[[[2]]])"), channels=3)(x)
    assert torch.allclose(y[0, 0], 2 * x[0].sum(0))


def test_channels_that_do_not_fit_are_an_error_before_torch_sees_them():
    with pytest.raises(PipelineError, match="it takes 3 channels, and 1 comes in"):
        build(parse("Conv2d(3, 1, 1)"))


# Filter2d: cross-correlation, as Conv2d; and Magnitude.


@pytest.mark.parametrize("name", KERNELS)
def test_an_impulse_gives_the_flipped_kernel(name):
    matrices = KERNELS[name]() if is_bank(KERNELS[name]()) else (KERNELS[name](),)
    h, w = len(matrices[0]), len(matrices[0][0])
    x = torch.zeros(1, 1, 2 * h + 1, 2 * w + 1)
    x[0, 0, h, w] = 1
    y = build(parse(f"Filter2d({name})"))(x)
    assert y.shape == (1, len(matrices), *x.shape[2:])
    for channel, matrix in zip(y[0], matrices, strict=True):
        top, left = h - h // 2, w - w // 2
        assert torch.equal(channel[top : top + h, left : left + w], torch.tensor(matrix).flip(0, 1))
        assert channel.count_nonzero() == sum(v != 0 for row in torch.tensor(matrix).tolist() for v in row)


@pytest.mark.parametrize("name", KERNELS)
def test_a_constant_stays_constant(name):
    y = build(parse(f"Filter2d({name})"))(torch.full((1, 1, 15, 9), 200.0))
    assert (y.amax((2, 3)) - y.amin((2, 3))).max() <= 1e-3
    if "sobel" in name or "laplace" in name or "roberts" in name:
        assert y.abs().max() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kernel", ["sobel_x", "box(2)", "roberts_b", "[[1, 2, 3, 4]]", "[[1], [-1]]", "gaussian(7)"])
@pytest.mark.parametrize("dilation", [1, 2])
def test_filter2d_is_scipys_correlate_in_every_padding_mode(mode, kernel, dilation):
    pipeline = parse(f"Filter2d({kernel}, padding_mode='{mode}', dilation={dilation})")
    x = np.random.default_rng(1).random((13, 17))
    y = build(pipeline)(torch.tensor(x, dtype=torch.float32)[None, None])[0, 0]
    matrix = np.array(pipeline.layers[0].kernels[0].matrices[0])
    spread = np.zeros([dilation * (n - 1) + 1 for n in matrix.shape])
    spread[::dilation, ::dilation] = matrix
    origin = [-((n - 1) % 2) for n in spread.shape]  # the centre of an even side: the pixel before its middle
    expected = ndimage.correlate(x, spread, mode=MODES[mode], origin=origin)
    assert np.allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(7, 9), (8, 8), (1, 5), (10, 3)])
@pytest.mark.parametrize("stride", [1, 2, 3, (2, 3)])
@pytest.mark.parametrize("kernel", ["identity", "box(2)", "gaussian(5)", "[[0, 1, 0, 0]]"])
def test_same_with_a_stride_gives_one_output_a_step(size, stride, kernel):
    pipeline = parse(f"Filter2d({kernel}, stride={stride})")
    x = torch.rand(1, 1, *size)
    y = build(pipeline)(x)
    down, right = stride if isinstance(stride, tuple) else (stride, stride)
    assert y.shape[2:] == (-(-size[0] // down), -(-size[1] // right)) == pipeline.shapes((1, *size))[0][1:]
    whole = build(parse(f"Filter2d({kernel})"))(x)
    assert torch.allclose(y, whole[:, :, ::down, ::right], atol=1e-6)


def test_kernels_of_mixed_sizes_keep_their_centres_together():
    x = torch.rand(1, 1, 12, 11)
    texts = ["identity", "box(2)", "edge(5)", "[[1, 2, 3]]", "[[1], [2]]", "[[7]]", "roberts_a"]
    y = build(parse(f"Filter2d({', '.join(texts)})"))(x)
    for channel, text in zip(y[0], texts, strict=True):
        assert torch.allclose(channel, build(parse(f"Filter2d({text})"))(x)[0, 0], atol=1e-4), text


def test_several_channels_come_out_kernel_by_kernel_within_each_channel():
    x = torch.rand(1, 2, 4, 4)
    y = build(parse("Filter2d([[1]], [[10]])"), channels=2)(x)
    assert torch.equal(y[0], torch.stack([x[0, 0], 10 * x[0, 0], x[0, 1], 10 * x[0, 1]]))


@pytest.mark.parametrize(
    "name", ["sobel", "prewitt", "scharr", "roberts", "laplace", "outline", "Filter2d(freichen_x)"]
)
def test_a_flat_picture_gives_exactly_zero_at_every_8_bit_gray(name):
    network = build(parse(f"{name} | Magnitude"))
    for gray in range(256):
        assert network(torch.full((1, 1, 4, 4), float(gray))).abs().max().item() == 0


def test_magnitude_of_a_ramp_is_its_slope():
    x = torch.arange(9.0).repeat(9, 1) * 3 + torch.arange(9.0)[:, None] * 4
    y = build(parse("Filter2d(sobel_x, sobel_y, padding='valid') | Magnitude"))(x[None, None])
    assert torch.equal(y, torch.full((1, 1, 7, 7), 8 * 5.0))


# What goes in, and what cannot come out.


def test_black_is_zero_and_white_is_the_scale():
    assert to_tensor(np.array([[0, 65535]], np.uint16), 65535).flatten().tolist() == [0, 255]
    assert to_tensor(np.array([[0, 0.5, 1]], np.float32), 1.0, InputValues(white=1.0)).flatten().tolist() == [0, 0.5, 1]
    x = to_tensor(np.arange(256, dtype=np.uint8)[None], 255)
    assert x.dtype == torch.float32 and x.shape == (1, 1, 1, 256) and x.flatten().tolist() == list(range(256))
    assert to_tensor(np.array([[51]], np.uint8), 255, InputValues(white=1)).item() == np.float32(51 / 255)


@pytest.mark.parametrize(
    "text, value, message",
    [
        ("ReLU | Filter2d([[3e38]])", 255.0, "infinity comes out of layer 2, Filter2d, in channel 0"),
        ("Filter2d([[1]], [[-3e38]]) | ReLU", 255.0, "infinity comes out of layer 1, Filter2d, in channel 1"),
        ("LPPool2d(3, 1) | ReLU", -1.0, "NaN comes out of layer 1, LPPool2d, in channel 0"),
    ],
)
def test_what_is_not_finite_is_traced_to_its_layer_and_channel(text, value, message):
    pipeline = parse(text)
    assert str(explain_nonfinite(pipeline, build(pipeline), torch.full((1, 1, 4, 4), value))) == message


def test_two_thousand_layers_build_in_seconds():
    pipeline = parse(" | ".join(["Conv2d(1, 1, 1)", "ReLU"] * 1000))
    start = time.process_time()
    build(pipeline)
    assert time.process_time() - start < 5
