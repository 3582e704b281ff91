import random
import re

import numpy as np
import pytest
import random_layers
import torch
from click.testing import CliRunner
from PIL import Image
from random_pipelines import random_pipeline

from convfilter import PipelineError, UsageError, parse
from convfilter.cli.main import cli
from convfilter.engine.build import activations, build
from convfilter.explain.pixel.grids import CHOSEN, PADDING, Cell, Grid, write_grids
from convfilter.explain.pixel.trace import Pixel, explain_pixel, write_steps
from convfilter.layers.catalogue import LAYERS

NOISE = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (1, 1, 30, 34)).astype(np.float32))


def follow(text, x, y, channel=0, picture=NOISE):
    pipeline = parse(text)
    return explain_pixel(pipeline, build(pipeline), picture, Pixel(channel, y, x))


def numbers(grid):
    return [[cell.value for cell in row] for row in grid.rows]


def marks(grid):
    return [[cell.mark for cell in row] for row in grid.rows]


def test_every_sum_is_the_networks_own_value():
    names = set()
    for seed in range(150):
        rng = random.Random(seed)
        pipeline = random_pipeline(rng)
        network = build(pipeline)
        outputs = list(activations(network, NOISE))
        c, h, w = outputs[-1].shape[1:]
        corners = [(0, 0), (h - 1, w - 1), (h - 1, 0), (h // 2, w // 2), (rng.randrange(h), rng.randrange(w))]
        for y, x in corners:
            steps = explain_pixel(pipeline, network, NOISE, Pixel(rng.randrange(c), y, x))
            assert (steps[-1].place.y, steps[-1].place.x) == (y, x)
            for step, output in zip(steps, outputs, strict=True):
                names.add(step.layer.name)
                place = step.place
                assert step.value == output[0, place.channel, place.y, place.x]
                slack = 2e-5 * sum_of_magnitudes(step)
                assert step.working.total == pytest.approx(step.value, rel=1e-5, abs=slack), (seed, step)
            text = write_steps(steps)
            assert text.isascii() and max(map(len, text.splitlines())) <= 80
    assert len(names) > 40


def test_the_weights_of_a_bicubic_enlargement_that_keeps_the_size():
    """PyTorch's own derivative is that of a copy there."""
    pipeline, x = parse("Upsample(scale_factor=1.1, mode='bicubic')"), NOISE[..., :6, :6]
    [step] = explain_pixel(pipeline, build(pipeline), x, Pixel(0, 2, 3))
    assert step.working.total == pytest.approx(step.value, rel=1e-6)
    assert step.working.lines[0] == "nearest input pixels: columns 1 to 4, rows 0 to 3"


def sum_of_magnitudes(step):
    """What rounding is proportional to."""
    grids = [grids[-1] for grids, _ in step.working.equations]
    return 1e-3 + sum(abs(cell.value) for grid in grids for row in grid.rows for cell in row)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layers_sum_is_the_networks_own_value(name):
    rng = random.Random(name)
    generator = torch.Generator().manual_seed(3)
    done = 0
    while done < 4:
        shape = (rng.choice([1, 2, 4]), rng.randint(5, 12), rng.randint(5, 12))
        x = torch.rand(1, *shape, generator=generator) * 6 - 3
        pipeline = parse(random_layers.write(rng, name, random_layers.LAYERS[name](rng, *shape)))
        try:
            c, h, w = pipeline.shapes(shape)[-1]
        except PipelineError:
            continue
        network = build(pipeline, channels=shape[0])
        for parameter in network.parameters():  # as training might leave them
            parameter += 0.1 * torch.rand(parameter.shape, generator=generator)
        for y, x_ in ((0, 0), (h - 1, w - 1), (rng.randrange(h), rng.randrange(w))):
            [step] = explain_pixel(pipeline, network, x, Pixel(rng.randrange(c), y, x_))
            assert step.working.total == pytest.approx(step.value, rel=2e-5, abs=2e-5), (str(pipeline), step)
        done += 1


def test_a_convolution_by_hand():
    picture = torch.arange(36.0).view(1, 1, 6, 6)
    (step,) = follow("Conv2d(1, 1, 3, bias=0.5, weight=sobel_x)", 1, 2, picture=picture)
    ((window, kernel, products), signs), *_ = step.working.equations
    assert numbers(window) == [[13, 14, 15], [19, 20, 21], [25, 26, 27]]
    assert numbers(kernel) == [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    assert numbers(products) == [[-13, 0, 15], [-38, 0, 42], [-25, 0, 27]]
    assert signs == "*="
    assert step.working.lines == (
        "window: columns 1 to 3, rows 2 to 4",
        "sum of the products, and the bias: 8 + 0.5 = 8.5",
    )
    assert write_steps([step]).splitlines()[:10] == [
        "1  Conv2d(1, 1, 3, bias=0.5, weight=[sobel_x])",
        "   pixel 1,2 of its output, 1x4x4: 8.5",
        "   window: columns 1 to 3, rows 2 to 4",
        "",
        "   window       kernel       products",
        "   13 14 15     -1  0  1     -13   0  15",
        "   19 20 21  *  -2  0  2  =  -38   0  42",
        "   25 26 27     -1  0  1     -25   0  27",
        "",
        "   sum of the products, and the bias: 8 + 0.5 = 8.5",
    ]


@pytest.mark.parametrize(
    ("mode", "left"),
    [("zeros", [0, 0, 0]), ("replicate", [0, 6, 12]), ("reflect", [1, 7, 13]), ("circular", [5, 11, 17])],
)
def test_padding_is_marked_and_has_its_value(mode, left):
    picture = torch.arange(36.0).view(1, 1, 6, 6)
    (step,) = follow(f"Filter2d(box, padding_mode='{mode}')", 0, 1, picture=picture)
    window = step.working.equations[0][0][0]
    assert [row[0] for row in numbers(window)] == left
    assert [row[0] for row in marks(window)] == [PADDING] * 3
    assert [row[1] for row in numbers(window)] == [0, 6, 12]
    assert "(" in write_steps([step]).splitlines()[6]


def test_a_pool_marks_its_largest_and_is_followed_there():
    picture = torch.zeros(1, 1, 6, 6)
    picture[0, 0, 3, 4] = 9
    steps = follow("ReLU | MaxPool2d(3, stride=2, padding=1)", 2, 1, picture=picture)
    window = steps[1].working.equations[0][0][0]
    assert (numbers(window)[2][1], marks(window)[2][1]) == (9, CHOSEN)
    assert steps[1].working.lines[1] == "the largest, at 4,3: 9"
    assert (steps[0].place, steps[0].working.lines[0]) == (Pixel(0, 3, 4), "ReLU(9) = 9  (x above 0, 0 below)")


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("AvgPool2d(2)", (0, 0), "sum / count: 14 / 4 = 3.5"),
        ("AvgPool2d(2, padding=1)", (0, 0), "sum / count: 0 / 4 = 0"),
        ("AvgPool2d(2, padding=1, count_include_pad=False)", (1, 0), "sum / count: 3 / 2 = 1.5"),
        ("AvgPool2d(4, stride=4, ceil_mode=True)", (1, 0), "sum / count: 108 / 8 = 13.5"),
        ("LPPool2d(2, (1, 2))", (1, 0), "sum of x^2: 13, and its root: 3.60555"),
        ("AdaptiveAvgPool2d(1)", (0, 0), "sum / count: 630 / 36 = 17.5"),
        ("Upsample(scale_factor=2)", (3, 0), "the nearest input pixel, 1,0: 1"),
        ("ZeroPad2d(1)", (0, 0), "padding: 0"),
        ("ConstantPad2d(1, -2.5)", (0, 0), "padding: -2.5"),
        ("CircularPad2d(1)", (0, 0), "padding, copied from 5,5: 35"),
        ("ReflectionPad2d(1)", (3, 2), "copied from 2,1: 8"),
        ("PixelUnshuffle(2)", (1, 1, 3), "copied from 3,3 of channel 0: 21"),
        ("PixelUnshuffle(2) | PixelShuffle(2)", (3, 3), "copied from 1,1 of channel 3: 21"),
        ("Filter2d([[3]], [[-4]]) | Magnitude", (1, 0), "sqrt(3^2 + (-4)^2) = 5"),
        ("Filter2d([[0]], [[1]]) | Softmax2d", (1, 0, 1), "exp(1) / (exp(0) + exp(1))"),
        ("Tanh", (0, 0), "Tanh(0) = 0  (The hyperbolic tangent)"),
        ("InstanceNorm2d(1)", (0, 0), "mean of this channel: 17.5, variance: 107.917"),
        ("LocalResponseNorm(1, alpha=1, beta=1)", (1, 0), "1 / (1 + 1 * 1)^1 = 0.5"),
        ("ConvTranspose2d(1, 1, 1, stride=2, bias=False)", (1, 1), "no input pixel adds to this one; the bias: 0"),
    ],
)
def test_formulas_by_hand(text, place, line):
    x, y, *channel = place
    steps = follow(text, x, y, *channel, picture=torch.arange(36.0).view(1, 1, 6, 6))
    assert line in steps[-1].working.lines


def test_padding_of_a_max_pool_is_less_than_all():
    (step,) = follow("MaxPool2d(3, stride=2, padding=1)", 0, 0, picture=-torch.ones(1, 1, 6, 6))
    window = step.working.equations[0][0][0]
    assert numbers(window) == [[-torch.inf] * 3, [-torch.inf, -1, -1], [-torch.inf, -1, -1]]
    (step,) = follow("MaxPool2d(2, stride=1, padding=1, dilation=5)", 0, 0, picture=torch.ones(1, 1, 4, 4))
    assert step.value == step.working.total == -torch.inf
    assert step.working.lines[1] == "all of it is padding, which is -inf here: -inf"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Filter2d([[1e38]]) | sobel_x", np.nan),
        ("Filter2d([[1e38]]) | AvgPool2d(2) | MaxPool2d(2) | LPPool2d(2, 2)", np.inf),
        ("Filter2d([[1e38]]) | Filter2d([[1]], [[-1]]) | Conv2d(2, 1, 3, bias=0, weight=[box]) | MaxPool2d(2)", np.nan),
        ("Filter2d([[1e38]], [[-1e38]]) | Magnitude", np.inf),
        ("Filter2d([[1e38]]) | InstanceNorm2d(1)", np.nan),
        ("Filter2d([[1e35]]) | InstanceNorm2d(1)", 0),
        ("Filter2d([[0]]) | LocalResponseNorm(3, k=0)", np.nan),
        ("LocalResponseNorm(3, k=-1)", np.nan),
        ("sobel_x | LPPool2d(1, 2)", None),
        ("Filter2d([[-1]]) | LPPool2d(3, 2)", np.nan),
    ],
)
def test_what_is_no_number_is_followed_as_torch_has_it(text, value):
    for step in follow(text, 3, 2, picture=NOISE + 1):
        np.testing.assert_allclose(torch.tensor(step.working.total).float(), step.value, rtol=1e-5)
        assert write_steps([step]).isascii()
    if value is not None:
        np.testing.assert_equal(step.value, value)


def test_the_channels_that_add_most_are_shown_and_all_are_counted():
    pipeline = parse("Conv2d(1, 20, 3) | Conv2d(20, 2, 3)")
    steps = explain_pixel(pipeline, build(pipeline), NOISE, Pixel(1, 5, 6))
    working = steps[1].working
    sums = sorted((abs(grids[2].total) for grids, _ in working.equations), reverse=True)
    assert len(sums) == 3 and sums == [abs(grids[2].total) for grids, _ in working.equations]
    assert "the other 10: " in working.lines[1]
    assert steps[0].place.channel == int(working.equations[0][0][0].title.removeprefix("channel "))
    assert "other channels here: 0: " in write_steps(steps)


def test_a_large_kernel_is_cut_and_the_rest_is_told():
    (step,) = follow("Filter2d(box(21))", 17, 15)
    text = " ".join(write_steps([step], 80).split())
    size, rest = re.search(r"only (\d+)x\1 of 21x21 is shown; the other products add up to ([\d.]+)\)", text).groups()
    products = step.working.equations[0][0][2].rows
    around = slice(10 - int(size) // 2, 11 + int(size) // 2)
    shown = sum(cell.value for row in products[around] for cell in row[around])
    assert float(rest) + shown == pytest.approx(step.value, rel=1e-5)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("size", [1, 2, 5, 9, 21, 99])
def test_matrices_fit_the_terminal(width, size):
    for scale in (1, 0.001, -1e5, 1e20):
        grid = Grid("products", tuple(tuple(Cell(scale * (y - x / 3)) for x in range(size)) for y in range(size)))
        lines = write_grids([grid, grid, grid], "*=", width)
        assert max(map(len, lines)) <= width


def test_a_large_pool_shows_the_part_around_its_largest():
    picture = torch.zeros(1, 1, 40, 40)
    picture[0, 0, 33, 2] = 7
    (step,) = follow("MaxPool2d(40)", 0, 0, picture=picture)
    assert "[7]" in write_steps([step], 60)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (Pixel(0, 0, 30), "--pixel 30,0: the output is 30x26; the column goes from 0 to 29, and the row from 0 to 25"),
        (Pixel(0, 26, 0), "the row from 0 to 25"),
        (Pixel(2, 0, 0), "there is no channel 2; the output has channels 0 to 1"),
    ],
)
def test_a_pixel_outside_is_refused(place, words):
    pipeline = parse("tutorial")
    with pytest.raises(UsageError, match=words):
        explain_pixel(pipeline, build(pipeline), NOISE, place)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "90"}).invoke(cli, ["explain", *map(str, arguments)])


def test_the_command_follows_a_pixel(tmp_path):
    Image.fromarray(NOISE[0, 0].byte().numpy()).save(tmp_path / "a.png")
    done = run("tutorial | ReLU", "--image", tmp_path / "a.png", "--pixel", "3,4,1", "--seed", 8, "--white", 1)
    pipeline = parse("tutorial | ReLU")
    steps = explain_pixel(pipeline, build(pipeline, seed=8), NOISE / 255, Pixel(1, 4, 3))
    assert (done.exit_code, done.stdout) == (0, write_steps(steps, 90) + "\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["edge", "--pixel", "1,1"], 2, "give one with --image"),
        (["edge", "--pixel", "1", "--image", "a.png"], 2, "'1' is no pixel"),
        (["edge", "--pixel", "1,1", "--json", "--image", "a.png"], 2, "--pixel and --json"),
        (["edge", "--pixel", "1,1", "--image", "missing.png"], 1, "missing.png: cannot be read"),
        (["edge", "--pixel", "99,1", "--image", "a.png"], 2, "--pixel 99,1: the output is 30x26"),
        (["edge | edge(29)", "--pixel", "1,1", "--image", "a.png"], 2, "26 high here"),
    ],
)
def test_the_commands_errors(arguments, status, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(NOISE[0, 0].byte().numpy()).save("a.png")
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert words in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "x", "y"),
    [
        ("ReLU | ConvTranspose2d(1, 1, 1, stride=2, padding=2)", 1, 7),
        ("ReLU | ConvTranspose2d(1, 1, 1, stride=3, padding=9)", 1, 8),
        ("Conv2d(1, 4, 3) | ConvTranspose2d(4, 4, 1, stride=4, groups=2, output_padding=3)", 7, 11),
        ("MaxPool2d(2) | ConvTranspose2d(1, 1, 2, stride=3, dilation=5, padding=3)", 0, 1),
    ],
)
def test_a_pixel_that_no_input_reaches_is_followed_on_within_the_picture(text, x, y):
    pipeline = parse(text)
    network = build(pipeline)
    outputs = list(activations(network, NOISE))
    _, height, width = outputs[-1].shape[1:]
    for at_y in {y, height - 1, *range(0, height, 5)}:
        for at_x in {x, width - 1, *range(1, width, 4)}:
            for step, output in zip(
                explain_pixel(pipeline, network, NOISE, Pixel(0, at_y, at_x)), outputs, strict=True
            ):
                place = step.place
                assert step.value == output[0, place.channel, place.y, place.x]
                assert step.working.total == pytest.approx(step.value, rel=1e-4, abs=1e-3)
