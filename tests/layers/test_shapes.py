import random
from fractions import Fraction

import pytest
import random_layers
import torch

from convfilter import PipelineError, parse
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.shapes import Adaptive, Effect, Resize, Transposed, Whole, Window

UNKNOWN = {"ConvTranspose2d", "LazyConv2d", "LazyConvTranspose2d"}  # random weights
TIGHT = set(random_layers.LAYERS) - {
    *("Softmax2d", "Softmax", "Softmin", "InstanceNorm2d", "LazyInstanceNorm2d", "BatchNorm2d", "SyncBatchNorm"),
    *("LazyBatchNorm2d", "GroupNorm", "LayerNorm", "RMSNorm", "LocalResponseNorm", "CrossMapLRN2d"),
    *("GLU", "LogSoftmax", "ConvTranspose2d", "LazyConvTranspose2d", "LazyConv2d"),  # bounds that odd pictures reach
    *("Conv2d", "Filter2d", "LPPool2d", "Upsample", "AvgPool2d", "AdaptiveAvgPool2d", "Magnitude"),  # sums and means
}


@pytest.mark.parametrize(
    "axis, n, length, reach, jump",
    [
        (Window(5), 512, 508, (0, 5), 1),
        (Window(3, stride=2, before=1, after=1), 7, 4, (-1, 2), 2),
        (Window(3, dilation=2), 9, 5, (0, 5), 1),
        (Window(2, 2), 7, 3, (0, 2), 2),
        (Window(2, 2, ceil_mode=True), 7, 4, (0, 2), 2),
        (Window(before=-1, after=-2), 7, 4, (1, 2), 1),
        (Transposed(4, 2, 1, 1), 5, 10, (-1, 1), Fraction(1, 2)),
        (Transposed(3), 5, 7, (-2, 1), 1),
        (Resize(2), 5, 10, (0, 1), Fraction(1, 2)),
        (Resize(1.5), 5, 7, (0, 1), Fraction(2, 3)),
        (Resize(count=3), 9, 3, (0, 1), 0),
        (Whole(7), 9, 7, (0, 9), 0),
        (Adaptive(4), 10, 4, (0, 3), 0),
    ],
)
def test_an_axis_says_its_length_reach_and_jump(axis, n, length, reach, jump):
    assert (axis.length(n), axis.reach(0, 1, n), axis.jump) == (length, reach, jump)


def seen_rows(module, shape):
    """For every output row, the input rows that change it."""
    torch.manual_seed(1)
    x = torch.rand(1, *shape, dtype=torch.float64) + 1
    with torch.no_grad():
        y = module(x)
        changed = []
        for row in range(shape[1]):
            other = x.clone()
            other[:, :, row] += 10 + 3 * torch.rand(shape[0], shape[2], dtype=torch.float64)
            changed.append((module(other) != y).any(3).any(1)[0])
    return [{row for row in range(shape[1]) if changed[row][i]} for i in range(y.shape[2])]


def rows_within(axis, start, stop, n):
    """The input rows that ``reach`` says, those outside of the picture put where the padding takes them from."""
    lo, hi = axis.reach(start, stop, n)
    mode = getattr(axis, "mode", "zeros")
    if mode == "reflect":
        return {-i if i < 0 else 2 * (n - 1) - i if i >= n else i for i in range(lo, hi)}
    if mode == "replicate":
        return {min(max(i, 0), n - 1) for i in range(lo, hi)}
    if mode == "circular":
        return {i % n for i in range(lo, hi)}
    return set(range(max(lo, 0), min(hi, n)))


@pytest.mark.parametrize("name", sorted(set(LAYERS) - {"FractionalMaxPool2d"}))  # its windows move from call to call
def test_reach_covers_the_rows_that_change_an_output_and_no_others(name):
    rng, exact = random.Random(name), 0
    for _ in range(8):
        shape = (rng.choice([1, 2, 4]), rng.choice([7, 9, 12, 18]), 6)
        arguments = random_layers.LAYERS[name](rng, *shape)
        pipeline = parse(random_layers.write(rng, name, arguments))
        try:
            (_, rows, _), n = pipeline.shapes(shape)[0], shape[1]
        except PipelineError:
            continue
        axis = pipeline.layers[0].effect.rows
        seen = seen_rows(random_layers.by_hand(name, arguments).double().eval(), shape)
        assert len(seen) == rows == axis.length(n)
        for i in range(rows):
            within = rows_within(axis, i, i + 1, n)
            assert seen[i] <= within, (str(pipeline), i)
            if isinstance(axis, Resize):  # the row beside a tie is there too, and the taps that weigh nothing
                assert len(within) <= max(1, len(seen[i])) + (1 if axis.taps == 1 else 3)
            elif (
                name in ("Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d") and getattr(axis, "dilation", 1) == 1
            ):
                assert seen[i] == within, (str(pipeline), i)
                exact += 1
        for _ in range(5):
            start = rng.randrange(rows)
            stop = rng.randint(start + 1, rows)
            assert set().union(*seen[start:stop]) <= rows_within(axis, start, stop, n)
    assert exact or name not in ("Conv2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d")


def test_reach_of_a_large_upsample_holds_where_32_bit_floats_round():
    for factor in (49, 1.7, 0.3, 2.5):
        axis, n = parse(f"Upsample(scale_factor={factor})").layers[0].effect.rows, 3000
        y = torch.nn.Upsample(scale_factor=(factor, 1.0))(torch.arange(float(n)).view(1, 1, n, 1)).flatten().tolist()
        assert all(axis.reach(i, i + 1, n)[0] <= y[i] < axis.reach(i, i + 1, n)[1] for i in range(0, len(y), 7))


@pytest.mark.parametrize("name", LAYERS)
def test_an_elementwise_layer_changes_with_its_own_pixel_alone(name):
    rng = random.Random(name)
    shape = (4, 6, 6)
    arguments = random_layers.LAYERS[name](rng, *shape)
    effect = parse(random_layers.write(rng, name, arguments)).layers[0].effect
    if effect.elementwise:
        module = random_layers.by_hand(name, arguments).eval()
        x = torch.rand(1, *shape) * 4 - 2
        other = x.clone()
        other[0, 1, 2, 3] += 3
        difference = (module(x) != module(other)).nonzero().tolist()
        assert difference in ([[0, 1, 2, 3]], [])
    assert effect.elementwise <= effect.local


@pytest.mark.parametrize("name", LAYERS)
def test_the_interval_of_values_holds_all_that_comes_out(name):
    rng, reached = random.Random(name), []
    torch.manual_seed(0)
    for _ in range(25):
        shape = (rng.choice([1, 1, 2, 4]), rng.choice([3, 5, 9]), rng.choice([3, 6, 11]))
        arguments = random_layers.LAYERS[name](rng, *shape)
        layer = parse(random_layers.write(rng, name, arguments)).layers[0]
        try:
            layer.effect.output(shape)
        except ValueError:
            continue
        lo = rng.choice([0, 0, -1, -5, 0.25, 3, -250])
        hi = lo + rng.choice([0.1, 1, 10, 255])
        interval = layer.effect.values(lo, hi, shape)
        if interval is None:
            continue
        module = random_layers.by_hand(name, arguments).eval()
        with torch.no_grad():
            random_ = [torch.rand(1, *shape) for _ in range(3)] + [torch.rand(1, *shape).round() for _ in range(3)]
            ramp = torch.linspace(0, 1, shape[0] * shape[1] * shape[2]).view(1, *shape)
            outs = [module((lo + (hi - lo) * x).clamp(lo, hi)) for x in (*random_, ramp)]
        low, high = min(y.min().item() for y in outs), max(y.max().item() for y in outs)
        slack = 1e-5 * max(1, abs(lo), abs(hi), *map(abs, interval))
        assert interval[0] - slack <= low and high <= interval[1] + slack, (str(layer), (lo, hi), interval, (low, high))
        reached.append((high - low + slack) / (interval[1] - interval[0] + slack))
    assert reached or name in UNKNOWN
    assert name not in TIGHT or sorted(reached)[len(reached) // 2] > 0.8, reached


@pytest.mark.parametrize(
    "text, given, interval",
    [
        ("edge", (0, 255), (-6120, 6120)),
        ("Filter2d(sobel_x)", (0, 1), (-4, 4)),
        ("Conv2d(1, 1, 1, bias=[3], weight=[[[2]]])", (0, 1), (3, 5)),
        ("Conv2d(1, 1, 3, padding=1, bias=False, weight=[box])", (4, 5), (0, 5)),
        ("Conv2d(2, 1, 1, bias=False, weight=[[[2]]])", (0, 1), (0, 4)),
        ("Conv2d(1, 1, 3)", (0, 1), None),
        ("Conv2d(1, 2, 3, bias=False, weight=[box])", (0, 1), None),
        ("Sigmoid", (0, 0), (0.5, 0.5)),
        ("ReLU", (-3, 2), (0, 2)),
        ("Hardtanh(-1, inf)", (-3, 2), (-1, 2)),
        ("Threshold(0, -5)", (-1, 1), (-5, 1)),
        ("Softplus(threshold=0)", (-100, 1), (0, 1)),
        ("AvgPool2d(2, divisor_override=1)", (1, 2), (4, 8)),
        ("LPPool2d(2, 2)", (1, 3), (2, 6)),
        ("LPPool2d(3, 2)", (-1, 3), None),
        ("LPPool2d(inf, 2)", (-4, 3), (0, 4)),
        ("ConstantPad2d(1, 9)", (0, 1), (0, 9)),
        ("ConstantPad2d(1, -inf)", (0, 1), None),
        ("ConstantPad2d(-1, 9)", (0, 1), (0, 1)),
        ("Upsample(scale_factor=2, mode='bicubic')", (0, 1), (-0.4453125, 1.4453125)),
        ("Softmax2d", (0, 255), (1, 1)),
        ("LocalResponseNorm(2, beta=-1)", (0, 1), None),
        ("LocalResponseNorm(4, alpha=1, beta=1)", (-1, 255), (-0.8, 1)),  # largest at 2
        ("CrossMapLRN2d(4, alpha=1, beta=1)", (0, 255), (0, 1)),
        ("LocalResponseNorm(4, beta=0.5, alpha=12)", (0, 4), (0, 4 / 7)),  # rises without end
        ("AvgPool2d(2, divisor_override=-1)", (1, 2), (-8, -4)),
        ("Softplus(beta=-1, threshold=0)", (-3, 0), (-3, 0)),
        ("Softplus(beta=-1, threshold=0)", (1, 2), (-0.3132617, -0.126928)),
    ],
)
def test_the_interval_of_values_by_hand(text, given, interval):
    found = parse(text).layers[0].effect.values(*given, (2 if "(2, 1" in text else 1, 9, 9))
    assert found == (interval if interval is None else pytest.approx(interval))


@pytest.mark.parametrize("name", LAYERS)
def test_an_interval_is_never_an_exception_nor_nan(name):
    rng = random.Random(name)
    for lo, hi in [(0, 3e38), (-3e38, 3e38), (-1e200, 1e300), (-800, 800), (5, 5), (-1e-300, 1e-300)]:
        arguments = random_layers.LAYERS[name](rng, 4, 9, 9)
        found = parse(random_layers.write(rng, name, arguments)).layers[0].effect.values(lo, hi, (4, 9, 9))
        assert found is None or found[0] <= found[1], (name, arguments, found)


def test_channels_multiply_and_divide():
    assert Effect(multiply=3).channels(4) == 12
    assert Effect(divide=4).channels(8) == 2
    assert Effect(in_channels=3, out_channels=5).channels(3) == 5
    with pytest.raises(ValueError, match="it takes a multiple of 4 channels, and 6 come in"):
        Effect(divide=4).channels(6)
