import json
import random
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import torchinfo
from click.testing import CliRunner
from PIL import Image
from random_pipelines import random_pipeline
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.engine.build import activations, build
from convfilter.explain.layer_table import explain, peak_bytes
from convfilter.explain.text_table import write_table
from convfilter.gray.input_values import InputValues

SHAPE = (1, 30, 34)


def test_the_tutorial_in_numbers():
    (row,) = explain(parse("tutorial")).rows
    assert (row.input, row.output) == ((1, 512, 512), (2, 508, 508))
    assert row.sums == ("(512 + 2*0 - 1*(5-1) - 1)/1 + 1 = 508",) * 2
    assert (row.kernel, row.stride, row.padding, row.dilation) == ((5, 5), (1, 1), (0, 0, 0, 0), (1, 1))
    assert (row.parameters, row.multiply_adds) == (50, 50 * 508 * 508)
    assert (row.receptive_field, row.jump, row.range) == ((5, 5), (1.0, 1.0), None)


def test_json_is_the_object_that_scripts_rely_on():
    explanation = explain(parse("edge | MaxPool2d((2, 3), ceil_mode=True)"), (1, 20, 30))
    assert json.loads(json.dumps(explanation.to_dict())) == {
        "input": [1, 20, 30],
        "layers": [
            {
                "layer": "Conv2d(1, 1, 5, bias=False, weight=[edge(5)])",
                "input": [1, 20, 30],
                "output": [1, 16, 26],
                "parameters": 25,
                "multiply_adds": 25 * 16 * 26,
                "receptive_field": [5, 5],
                "jump": [1, 1],
                "range": [-6120, 6120],
            },
            {
                "layer": "MaxPool2d((2, 3), ceil_mode=True)",
                "input": [1, 16, 26],
                "output": [1, 8, 9],
                "parameters": 0,
                "multiply_adds": 0,
                "receptive_field": [6, 7],
                "jump": [2, 3],
                "range": [-6120, 6120],
            },
        ],
        "output": [1, 8, 9],
        "parameters": 25,
        "multiply_adds": 25 * 16 * 26,
        "peak_bytes": peak_bytes(parse("edge | MaxPool2d((2, 3), ceil_mode=True)"), (1, 20, 30)),
    }


@pytest.mark.parametrize(
    ("text", "high", "wide"),
    [
        ("Conv2d(1, 1, 3, padding=1, stride=3)", "floor((9 + 2*1 - 1*(3-1) - 1)/3) + 1 = 3", None),
        ("Conv2d(1, 1, 3, stride=2)", "(9 + 2*0 - 1*(3-1) - 1)/2 + 1 = 4", "floor((12 + 2*0 - 1*(3-1) - 1)/2) + 1 = 5"),
        ("Conv2d(1, 1, 2, padding='same')", "(9 + 0 + 1 - 1*(2-1) - 1)/1 + 1 = 9", None),
        ("MaxPool2d(2, ceil_mode=True)", "ceil((9 + 2*0 - 1*(2-1) - 1)/2) + 1 = 5", None),
        (
            "AvgPool2d(2, stride=3, padding=1, ceil_mode=True)",
            "(9 + 2*1 - 1*(2-1) - 1)/3 + 1 = 4",
            None,
        ),
        (
            "MaxPool2d(1, stride=4, ceil_mode=True)",
            "(9 + 2*0 - 1*(1-1) - 1)/4 + 1 = 3",
            "ceil((12 + 2*0 - 1*(1-1) - 1)/4) + 1 - 1 = 3 (the last window would lie in the padding)",
        ),
        (
            "ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)",
            "(9 - 1)*2 - 2*1 + 1*(3-1) + 1 + 1 = 18",
            None,
        ),
        ("Upsample(scale_factor=1.5)", "floor(9*1.5) = 13", "12*1.5 = 18"),
        ("Upsample(size=(7, 8))", "7", "8"),
        ("AdaptiveAvgPool2d((4, None))", "4 windows, from floor(i*9/4) to ceil((i+1)*9/4)", ""),
        ("ZeroPad2d((1, 2, -1, 4))", "9 - 1 + 4 = 12", "12 + 1 + 2 = 15"),
        ("PixelUnshuffle(3)", "9/3 = 3", "12/3 = 4"),
        ("PixelUnshuffle(3) | PixelShuffle(3)", "3*3 = 9", "4*3 = 12"),
        ("FractionalMaxPool2d(2, output_ratio=0.5)", "4 windows of 2, at random places", None),
        ("ReLU | Magnitude | InstanceNorm2d(1)", "", ""),
    ],
)
def test_sums_are_written_out(text, high, wide):
    sums = explain(parse(text), (1, 9, 12)).rows[-1].sums
    assert sums[0] == high
    if wide is None:
        assert sums[1].endswith(f"= {explain(parse(text), (1, 9, 12)).output[2]}") or "windows" in sums[1]
    else:
        assert sums[1] == wide


def test_every_sum_is_true():
    for row in (row for seed in range(200) for row in explain(random_pipeline(random.Random(seed)), SHAPE).rows):
        for text, size in zip(row.sums, row.output[1:], strict=True):
            left, equals, right = text.partition(" (the")[0].partition(" = ")
            if equals:
                assert int(right) == size
                rounding = {"floor": lambda x: int(x // 1), "ceil": lambda x: int(-(-x // 1))}
                assert eval(left, rounding) == size, text


def test_shapes_parameters_and_costs_agree_with_torch_and_torchinfo():
    names = set()
    for seed in range(200):
        pipeline = random_pipeline(random.Random(seed))
        names.update(layer.name for layer in pipeline.layers)
        explanation, network = explain(pipeline, SHAPE), build(pipeline)
        x = torch.rand(1, *SHAPE)
        assert [row.output for row in explanation.rows] == [tuple(y.shape[1:]) for y in activations(network, x)]
        counts = [sum(p.numel() for p in module.parameters()) for module in network]
        assert [row.parameters for row in explanation.rows] == counts, pipeline
        info = torchinfo.summary(network, input_data=x, verbose=0)
        assert explanation.parameters == info.total_params
        assert explanation.multiply_adds == info.total_mult_adds, pipeline
    assert len(names) > 40


def test_multiply_adds_are_half_of_what_torch_counts_as_operations():
    pipeline = parse("Conv2d(1, 8, 3, padding=1, bias=False) | Conv2d(8, 4, 5, stride=2, groups=4, bias=False)")
    with FlopCounterMode(display=False) as counter:
        build(pipeline)(torch.rand(1, *SHAPE))
    assert 2 * explain(pipeline, SHAPE).multiply_adds == counter.get_total_flops()


def chain(rng, c=1) -> str:
    """Layers that see a window, small enough for all of it to lie in the picture."""
    words = []
    for _ in range(rng.randint(2, 4)):
        k, s, p, d = rng.randint(1, 4), rng.randint(1, 2), rng.randint(0, 1), rng.randint(1, 2)
        out = rng.randint(1, 2)
        word = rng.choice(
            [
                f"Conv2d({c}, {out}, ({k}, {rng.randint(1, 3)}), stride={s}, padding={p}, dilation={d})",
                f"ConvTranspose2d({c}, {out}, {k}, stride={min(k, s + p)}, padding={p if k > 2 else 0})",
                f"ConvTranspose2d({c}, {out}, 3, stride=2, dilation=(1, 2), output_padding=1)",
                f"MaxPool2d({k}, stride={s}, padding={k // 2})",
                f"AvgPool2d({k}, ceil_mode=True)",
                f"Filter2d(box({k}), gaussian(3), stride={s})",
                f"Upsample(scale_factor={rng.choice([2, 3, 1.5])})",
                f"Upsample(scale_factor=2, mode='{rng.choice(['bilinear', 'bicubic'])}')",
                "PixelUnshuffle(2)",
                f"Conv2d({c}, 4, 1) | PixelShuffle(2)",
                f"ReplicationPad2d(({p}, 1, 2, 0)) | ReLU",
            ]
        )
        words.append(word)
        c = parse(word).channels(c)
    return " | ".join(words)


def seen(network, shape) -> tuple[int, int]:
    """The largest height and width whose gradient is not 0, over the rows and columns in the output's middle."""
    x = torch.rand(1, *shape, requires_grad=True)
    y = network(x)[0].sum(0)
    sizes = []
    for lines, other in ((y.sum(1), 1), (y.sum(0), 0)):
        largest = 0
        for line in lines[lines.shape[0] // 2 - 4 :][:8]:
            (grad,) = torch.autograd.grad(line, x, retain_graph=True)
            places = grad[0, 0].abs().sum(other).nonzero().flatten().tolist()
            assert not places or (places[0] > 0 and places[-1] < grad.shape[3 - other] - 1)
            largest = max([largest, *[places[-1] - places[0] + 1 for _ in places[:1]]])
        sizes.append(largest)
    return tuple(sizes)


def smooth(network):
    """The same windows with positive weights, so that nothing cancels and every pixel of a window counts."""
    torch.manual_seed(1)
    for number, module in enumerate(network):
        if isinstance(module, nn.MaxPool2d):
            network[number] = nn.AvgPool2d(module.kernel_size, module.stride, module.padding)
    for parameter in network.parameters():
        parameter.data.uniform_(0.5, 1.0)
    return network


def test_receptive_fields_agree_with_gradients():
    rng, shape, found = random.Random(6), (1, 140, 150), []
    while len(found) < 50:
        pipeline = parse(chain(rng))
        explanation = explain(pipeline, shape)
        if explanation.error or max(row.output[2] for row in explanation.rows) > 300:
            continue
        row = explanation.rows[-1]
        if max(row.receptive_field) / 2 + 5 * max(row.jump) < 60:  # nothing touches the border
            found.append(row.receptive_field)
            assert found[-1] == seen(smooth(build(pipeline)), shape), str(pipeline)
    assert len(set(found)) > 20


@pytest.mark.parametrize(
    ("text", "field", "jump"),
    [
        ("Conv2d(1, 1, 3) | MaxPool2d(2) | Conv2d(1, 1, 3)", (8, 8), (2, 2)),
        ("Conv2d(1, 1, (3, 5), dilation=2, stride=(1, 2))", (5, 9), (1, 2)),
        ("Upsample(scale_factor=2) | MaxPool2d(2)", (1, 1), (1, 1)),
        ("Upsample(scale_factor=2) | Conv2d(1, 1, 3)", (2, 2), (0.5, 0.5)),
        ("AdaptiveAvgPool2d((4, 1))", (3, 12), (10 / 4, 12)),
        ("InstanceNorm2d(1) | Conv2d(1, 1, 3)", (10, 12), (1, 1)),
        ("FractionalMaxPool2d(3, output_size=(5, 4))", (3, 3), (2, 3)),
    ],
)
def test_receptive_fields_by_hand(text, field, jump):
    row = explain(parse(text), (1, 10, 12)).rows[-1]
    assert (row.receptive_field, row.jump) == (field, jump)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("Identity", (0, 255)),
        ("edge", (-6120, 6120)),
        ("sobel_x", (-1020, 1020)),
        ("sobel_x | ReLU | AvgPool2d(2)", (0, 1020)),
        ("Conv2d(1, 1, 3, bias=10, weight=box)", (10, 265)),
        ("Conv2d(1, 1, 3, padding=1, bias=-10, weight=box)", (-10, 245)),
        ("Conv2d(1, 1, 3)", (None, None)),
        ("Conv2d(1, 1, 3) | ReLU", (0, None)),
        ("Conv2d(1, 1, 3) | ReLU | box", (0, None)),
        ("Conv2d(1, 1, 3) | LeakyReLU(0.001)", (None, None)),
        ("Conv2d(1, 1, 3) | LeakyReLU(0)", (0, None)),
        ("Conv2d(1, 1, 3) | Tanh", (-1, 1)),
        ("Conv2d(1, 1, 3) | ReLU6 | box(2)", (0, 6)),
        ("Conv2d(1, 1, 3) | Softsign | ConstantPad2d(1, 7)", (-1, 7)),
        ("Conv2d(1, 1, 3) | Hardtanh(-2, 5)", (-2, 5)),
        ("MaxPool2d(2, stride=1, padding=1, dilation=(513, 1))", (None, 255)),  # a row of padding alone, -inf
        ("MaxPool2d(3, stride=1, padding=1, dilation=256)", (0, 255)),
    ],
)
def test_ranges_by_hand(text, bounds):
    found = explain(parse(text)).rows[-1].bounds
    assert [b is None for b in found] == [b is None for b in bounds]
    assert [f for f in found if f is not None] == pytest.approx([b for b in bounds if b is not None])


def test_no_value_comes_out_of_its_range():
    for seed in range(120):
        pipeline = random_pipeline(random.Random(seed))
        rows = explain(pipeline, SHAPE).rows
        x = torch.from_numpy(np.random.default_rng(seed).choice([0, 255, 128], (1, *SHAPE)).astype(np.float32))
        for row, y in zip(rows, activations(build(pipeline), x), strict=True):
            low, high = row.bounds
            y = y[~y.isnan()]
            slack = 1e-4 * (1 + y.abs().max().item())
            assert low is None or y.min() >= low - slack, row
            assert high is None or y.max() <= high + slack, row


def test_a_picture_too_small_shows_the_rows_up_to_the_place_where_it_breaks():
    explanation = explain(parse("MaxPool2d(2) | edge | ReLU"), (1, 9, 100))
    assert [str(row.layer) for row in explanation.rows] == ["MaxPool2d(2)"]
    assert explanation.output == (1, 4, 50)
    assert str(explanation.error).splitlines() == [
        "Conv2d: the picture is 4 high here: the window of 5 is larger than the 4 pixels (padding included)",
        "  MaxPool2d(2) | edge | ReLU",
        "                 ^^^^",
    ]
    assert explain(parse("Conv2d(3, 1, 1)")).error is not None


LONG = "Filter2d(gabor(21, theta=0.5), gabor(21, theta=1), gabor(21, theta=2), gabor(21, theta=3), gabor(21, theta=4))"
TEXTS = {
    "edge": (512, 512),
    "tutorial": (640, 480),
    "block | block": (512, 512),
    "ConvTranspose2d(1, 1, 3, stride=2) | AdaptiveAvgPool2d((5, 7))": (100, 200),
    f"{LONG} | Magnitude": (10_000, 10_000),
    "Conv2d(1, 64, 7) | Conv2d(64, 512, 99) | FractionalMaxPool2d(3, output_ratio=0.7)": (123_456, 1_000_000),
    " | ".join(["Conv2d(1, 1, 3, padding=1) | ReLU"] * 100): (512, 512),
    "Filter2d([[" + ", ".join(["0.123456"] * 900) + "]])": (1000, 10),
    "Identity('" + "x" * 300 + "')": (5, 5),
}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:20])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200, 400])
def test_no_line_is_wider_than_the_terminal(text, width):
    w, h = TEXTS[text]
    explanation = explain(parse(text), (1, h, w))
    table = write_table(explanation, width)
    assert max(map(len, table.splitlines())) <= width
    assert table.isascii()
    words = " ".join(table.split())
    for row in explanation.rows:
        assert "x".join(map(str, row.output)) in words
        for part in row.sums:
            assert not part or part in words


def test_wider_terminals_get_more_columns():
    explanation = explain(parse("tutorial | ReLU | MaxPool2d(2)"))
    lines = {width: write_table(explanation, width).splitlines() for width in (80, 130, 166, 250)}
    assert "kernel" not in lines[80][1] and "(512 + 2*0" in lines[80][6]
    assert "kernel  stride  padding  dilation" in lines[130][1] and "height and width" not in lines[130][1]
    assert "height and width" in lines[166][1] and "input" not in lines[166][1]
    assert "input     output" in lines[250][1]
    assert len(lines[250]) == 12 and lines[250][3].count("508") == 3


def test_peak_bytes_grow_with_the_largest_layer():
    assert peak_bytes(parse("ReLU"), (1, 1000, 1000)) == (1 + 4 + 4 + 4 + 1) * 1_000_000
    edge = peak_bytes(parse("edge"), (1, 1000, 1000))
    assert edge == 5_000_000 + 17 * 4 * 996 * 996  # the output, and oneDNN's 16 channels of scratch
    assert peak_bytes(parse("edge | ReLU"), (1, 1000, 1000)) == edge
    assert peak_bytes(parse("Upsample(scale_factor=10)"), (1, 1000, 1000)) > 400_000_000


def test_ten_thousand_layers_take_seconds_at_most():
    for text in ("Conv2d(1, 1, 3, padding=1) | ReLU", "Upsample(scale_factor=2) | MaxPool2d(2)"):
        pipeline = parse(" | ".join([text] * 5000))
        start = time.process_time()
        assert len(explain(pipeline).to_dict()["layers"]) == 10_000
        assert time.process_time() - start < 4  # on a busy machine; what grows faster than the layers takes minutes


@pytest.mark.parametrize("arguments", [["edge"], ["edge", "--json"], ["edge", "--code"], ["edge", "--size", "4x4"]])
def test_nothing_heavy_is_imported(arguments):
    code = (
        f"import sys; sys.argv[1:] = {['explain', *arguments]!r}\n"
        "from convfilter.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'PIL')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr


def convfilter(*arguments, **environment):
    return CliRunner(env=environment).invoke(cli, [str(a) for a in arguments])


def test_the_command_prints_the_table_at_the_terminals_width():
    for columns in (80, 200):
        done = convfilter("explain", "edge", "--size", "64x48", COLUMNS=str(columns))
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout == write_table(explain(parse("edge"), (1, 48, 64)), columns) + "\n"


def test_the_command_takes_the_size_from_a_picture(tmp_path):
    Image.new("L", (31, 17)).save(tmp_path / "a.png")
    done = convfilter("explain", "edge", "--image", tmp_path / "a.png", "--json", "--white", "1")
    assert json.loads(done.stdout) == explain(parse("edge"), (1, 17, 31), InputValues(white=1)).to_dict()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["edge", "--size", "4x100"], 2, ["Conv2d: the picture is 4 wide here", "^^^^"]),
        (["edge", "--json", "--size", "4x100"], 2, ["Conv2d: the picture is 4 wide here", "^^^^"]),
        (["edge", "--size", "100"], 2, ["'100' is no size", "640x480"]),
        (["edge", "--size", "0x100"], 2, ["'0x100' is no size"]),
        (["edge", "--size", "10000000x5"], 2, ["whole numbers from 1 to 9,999,999"]),
        (["edge", "--size", "9x9", "--image", "a.png"], 2, ["give one of them"]),
        (["edge", "--image", "no\nsuch.png"], 1, ["no\\nsuch.png: cannot be read"]),
        (["egde"], 2, ["did you mean edge?"]),
    ],
)
def test_the_commands_errors(arguments, status, words):
    done = convfilter("explain", *arguments)
    assert done.exit_code == status
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.output
    assert ("input" in done.stdout) == (arguments[1:] == ["--size", "4x100"])
