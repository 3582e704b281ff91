import io
import os
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.errors import InputError, PipelineError, UsageError
from convfilter.images.png import read_text
from convfilter.numbers import show_number
from convfilter.run.compare import write_comparison
from convfilter.run.options import Options

POOLS = ["AvgPool2d(2)", "MaxPool2d(2)"]


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A black line, one pixel thin, on white."""
    monkeypatch.chdir(tmp_path)
    pixels = np.full((8, 8), 255, np.uint8)
    pixels[:, 3] = 0
    Image.fromarray(pixels).save("line.png")
    return "line.png"


def draw(pipelines, image, texts=(), **options):
    return write_comparison([parse(text) for text in pipelines], image, Options(**options), texts=texts)


def words_of(path):
    return re.findall("<text[^>]*>([^<]*)</text>", open(path, encoding="utf-8").read())


def test_a_figure_says_what_each_row_is_and_the_one_scale(line):
    path = draw(POOLS, line, output="a.svg", texts=["average", "maximum"])
    assert words_of(path) == [
        "line.png", "shapes are CxHxW · norm minmax, one scale: black is 127.5, white is 255",
        "average", "1x4x4", "maximum", "1x4x4", "input", "1x8x8", "0 to 255",
        "channel 0", "1x4x4", "127.5 to 255", "channel 0", "1x4x4", "255 to 255",
    ]  # fmt: skip


def test_the_line_is_gray_in_the_average_and_gone_in_the_maximum(line):
    pixels = np.asarray(Image.open(draw(POOLS, line)))[..., 0]
    dark = [(pixels == 0)[row].sum() for row in range(len(pixels))]
    assert max(dark) == 32, "the input's line: 1 of 8 pixels, each drawn 32 pixels long"
    assert dark.count(32) == 256 + 128, "and once more, half as long, in the average on its own row"
    pixels = np.asarray(Image.open(draw(POOLS, line, norm="clip")))[..., 0]
    assert (pixels == 128).sum(axis=1).tolist().count(32) == 128


def test_scales_of_a_channel_a_row_or_all(line):
    pipelines = ["Filter2d([[1]], [[2]])", "Filter2d([[4]])"]
    assert "black is 0, white is 1020" in words_of(draw(pipelines, line, output="a.svg"))[1]
    words = words_of(draw(pipelines, line, output="a.svg", scale="layer"))
    assert " ".join(words[1:3]).endswith("norm minmax, one scale a row: black is each row's minimum, white its maximum")
    words = words_of(draw(pipelines, line, output="a.svg", scale="channel"))
    assert words[1].endswith("norm minmax: black is each channel's minimum, white its maximum")
    text = read_text(draw(pipelines, line))
    assert text["convfilter:pipeline"].splitlines() == ["Filter2d([[1]], [[2]])", "Filter2d([[4]])"]
    assert text["convfilter:scale"] == "norm minmax, one scale: black is 0, white is 1020"
    assert read_text(draw(pipelines, line, metadata=False)) == {}


def test_channels_are_called_by_their_kernels(line):
    words = words_of(draw(["tutorial(padding='same') | ReLU", "edge"], line, output="a.svg"))
    assert [word for word in words if word.startswith("channel")] == [
        "channel 0: edge(5)", "channel 1: random", "channel 0: edge(5)",
    ]  # fmt: skip


def test_the_command_line(line, tmp_path):
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "--theme", "dark", "--zoom"])
    assert (done.exit_code, done.stdout) == (0, "line_compare.png\n"), done.stderr
    assert Image.open("line_compare.png").getpixel((0, 0)) == (0x16, 0x18, 0x1D)
    done = CliRunner().invoke(cli, ["compare", *POOLS, "-", "-o", "-"], input=(tmp_path / line).read_bytes())
    assert Image.open(io.BytesIO(done.stdout_bytes)).mode == "RGB"
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "out"])
    assert done.stdout == "out/line_compare.png\n"
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "a.svg", "--no-clobber"])
    assert (done.exit_code, done.stdout) == (0, "a.svg\n")
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "a.svg", "--no-clobber"])
    assert (done.exit_code, done.stderr) == (1, "convfilter: a.svg: exists, and --no-clobber keeps it\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["edge", "line.png"], 2, "2 to 64 pipelines and then a picture, not 1"),
        (["edge", "egde", "line.png"], 2, "did you mean edge?"),
        (["edge", "edge", "missing.png"], 1, "convfilter: missing.png: cannot be read"),
        (["edge", "edge", "line.png", "-o", "x.pdf"], 2, "no output ends in .pdf, but in .png, .svg or .html"),
        (["edge", "edge", "line.png", "-o", "line.png"], 2, "is the picture itself"),
        (["edge", "edge(11)", "line.png"], 2, "the window of 11 is larger than the 8 pixels"),
        (["edge", "tutorial", "line.png", "--channels", "1"], 2, "--channels 1: the pipeline gives channel 0 only"),
        (["edge", "LPPool2d(0.5, 2)", "line.png", "--format", "npy"], 2, "npy holds numbers"),
        (
            ["edge", "Filter2d([[-1]]) | LPPool2d(0.5, 2)", "line.png"],
            1,
            "convfilter: line.png: NaN comes out of layer 2",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_compared(line, tmp_path, arguments, status, words):
    done = CliRunner().invoke(cli, ["compare", *arguments])
    assert (done.exit_code, done.stdout) == (status, "")
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["line.png"]


def test_errors_are_ours(line):
    with pytest.raises(PipelineError):
        draw(["edge", "edge(11)"], line)
    with pytest.raises(UsageError, match="not 0 pipelines"):
        draw([], line)
    with pytest.raises(InputError, match=r"^line.png: at 8x8 it needs .* of memory, and 1000 bytes can be used"):
        draw(POOLS, line, max_memory=1000)


def test_a_network_with_its_weights_is_compared_with_layers_that_have_none(line):
    torch.manual_seed(3)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU())
    torch.save({f"features.{name}": x for name, x in network.state_dict().items()}, "w.pt")
    for pipelines in (["Conv2d(1, 2, 3) | ReLU", "blur"], ["blur", "Conv2d(1, 2, 3) | ReLU"]):
        done = CliRunner().invoke(cli, ["compare", *pipelines, line, "--weights", "w.pt", "-o", "a.svg"])
        assert done.exit_code == 0, done.output
        y = network(torch.from_numpy(np.asarray(Image.open(line), np.float32))[None, None])[0]
        shown = {f"{show_number(channel.min().item())} to {show_number(channel.max().item())}" for channel in y}
        assert shown <= set(words_of("a.svg"))
    for pipelines, words in ((["blur", "box | ReLU"], "no layer"), (["Conv2d(1, 4, 3)", "blur"], "has the shape")):
        done = CliRunner().invoke(cli, ["compare", *pipelines, line, "--weights", "w.pt", "-o", "b.svg"])
        assert done.exit_code == 2 and "w.pt: " in done.stderr and words in done.stderr, done.output
        assert not os.path.exists("b.svg")
