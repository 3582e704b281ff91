"""What fit learns: the kernel that made a picture, to the digit; and what it refuses."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

from convfilter import UsageError, parse, run_files
from convfilter.cli.main import cli
from convfilter.fit.learn import learn
from convfilter.fit.pairs import Pair

CAMERA = Path(__file__).parents[2] / "sample_images" / "camera.png"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    camera = np.asarray(Image.open(CAMERA).convert("L"))[100:356, 120:376]
    Image.fromarray(np.ascontiguousarray(camera)).save("a.png")
    return camera


def fit(*arguments):
    return CliRunner().invoke(cli, ["fit", *arguments])


def test_the_edge_kernel_is_recovered_from_its_own_picture():
    [result] = run_files("edge", "a.png", jobs=1)
    done = fit("Conv2d(1, 1, 5)", "a.png", result.outputs[0], "-o", "w.safetensors")
    assert done.exit_code == 0 and done.stdout == "w.safetensors\n", done.output
    expected = torch.full((5, 5), -1.0)
    expected[2, 2] = 24
    assert (load_file("w.safetensors")["0.weight"][0, 0] - expected).abs().max() < 1e-2
    assert "0.weight[0, 0] at first" in done.stderr and "step 10 of at most 300: error" in done.stderr
    assert done.stderr.count("step ") < 20  # it ends early
    [again] = run_files("Conv2d(1, 1, 5)", "a.png", weights="w.safetensors", name="again", jobs=1)
    assert np.abs(np.array(again.ranges) - np.array(result.ranges)).max() < 20


def test_a_gaussian_of_opencv_is_learnt_to_within_a_level(folder):
    blurred = cv2.GaussianBlur(folder, (5, 5), 1.1)
    Image.fromarray(blurred).save("b.png")
    done = fit("Conv2d(1, 1, 5, bias=False)", "a.png", "b.png", "-o", "w.safetensors", "-q")
    assert done.exit_code == 0 and done.stderr == "", done.output
    [result] = run_files(
        "Conv2d(1, 1, 5, bias=False, padding=2, padding_mode='reflect')", "a.png", weights="w.safetensors",
        norm="clip", jobs=1,
    )  # fmt: skip
    off = np.abs(np.asarray(Image.open(result.outputs[0])).astype(int) - blurred)
    assert off.max() <= 1


def test_what_was_cut_off_need_only_lie_beyond(folder):
    x = torch.from_numpy(folder.astype(np.float32))[None, None]
    after = (3 * x - 200).clamp(0, 255)
    assert ((after == 0) | (after == 255)).float().mean() > 0.2
    learnt = learn(parse("Conv2d(1, 1, 1)"), [Pair(x, after, 0.0, 255.0)])
    assert abs(learnt.last["0.weight"].item() - 3) < 1e-2 and abs(learnt.last["0.bias"].item() + 200) < 1


def test_several_layers_learn_what_bends():
    x = torch.linspace(-1, 1, 1024).view(1, 1, 32, 32)
    after = x.abs()
    text = "Conv2d(1, 8, 1) | ReLU | Conv2d(8, 1, 1)"
    learnt = learn(parse(text), [Pair(x, after, -9.0, 9.0)], seed=2, steps=100)
    assert learnt.error < 0.03 < 0.1 < after.std()
    short = learn(parse(text), [Pair(x, after, -9.0, 9.0)], seed=2, steps=1)
    assert short.steps == 1 and learnt.error < short.error
    assert not torch.equal(short.last["0.weight"], short.first["0.weight"])
    assert torch.equal(
        learnt.first["0.weight"], learn(parse(text), [Pair(x, after, -9, 9)], seed=2, steps=1).first["0.weight"]
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["sobel", "a.png", "a.png", "-o", "w.safetensors"], 2, "no weights to learn"),
        (["Conv2d(1, 2, 3)", "a.png", "a.png", "-o", "w.safetensors"], 2, "gives 2 channels, and AFTER is one"),
        (["Conv2d(1, 1, 3)", "a.png", "-o", "w.safetensors"], 2, "in pairs"),
        (["Conv2d(1, 1, 3)", "a.png", "a.png", "-o", "w.pt"], 2, "written as .safetensors"),
        (["Conv2d(1, 1, 3)", "a.png", "small.png", "-o", "w.safetensors"], 1, "small.png: is 9x7, and the pipeline"),
        (["Conv2d(1, 1, 3)", "missing.png", "a.png", "-o", "w.safetensors"], 1, "missing.png: "),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(arguments, status, words):
    Image.new("L", (9, 7)).save("small.png")
    done = fit(*arguments)
    assert done.exit_code == status and words in done.stderr, done.output
    assert not list(Path().glob("w.*"))


def test_a_loss_that_is_no_number_is_an_error():
    x = torch.rand(1, 1, 8, 8)
    with pytest.raises(Exception, match=r"the loss is (nan|inf) after 0 steps"):
        learn(parse("Conv2d(1, 1, 1)"), [Pair(x, torch.full((1, 1, 8, 8), 1e30), -1e38, 1e38)])
    with pytest.raises(UsageError, match="no weights"):
        learn(parse("ReLU"), [Pair(x, x, 0, 1)])
