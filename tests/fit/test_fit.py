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
        (
            ["Conv2d(1, 2, 3)", "a.png", "a.png", "-o", "w.safetensors"],
            2,
            "gives 2 channels, so BEFORE is followed by 2 pictures",
        ),
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


def colour(size=96):
    photo = Image.open(CAMERA.with_name("astronaut.png")).convert("RGB").crop((100, 20, 100 + size, 20 + size))
    photo.save("c.png")
    return np.asarray(photo)


def noise():
    """A picture whose pixels tell each weight apart, as a photo's, which are much alike, do only after many steps."""
    pixels = np.random.default_rng(8).integers(0, 256, (60, 70, 3), np.uint8)
    Image.fromarray(pixels).save("c.png")
    return pixels


def test_a_colour_convolution_is_learnt_from_a_recombined_picture():
    noise()
    options = {"mode": "RGB", "seed": 4, "jobs": 1}
    [after] = run_files("Conv2d(3, 3, 3)", "c.png", recombine=True, norm="minmax", **options)
    done = fit("Conv2d(3, 3, 3)", "c.png", after.outputs[0], "-o", "w.safetensors", "--mode", "RGB", "--steps", "60")
    assert done.exit_code == 0, done.output
    torch.manual_seed(4)
    expected = torch.nn.Conv2d(3, 3, 3).weight
    step = (max(high for _, high in after.ranges) - min(low for low, _ in after.ranges)) / 255
    assert float(done.stderr.split("error ")[-1].split()[0]) < step
    assert (load_file("w.safetensors")["0.weight"] - expected).abs().max() < 0.05 < expected.abs().max()


def test_a_colour_picture_of_another_program_is_learnt_with_normalized_input():
    pixels = colour()
    matrix = np.array([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0, 0.2, 0.7]])
    Image.fromarray(np.rint(pixels @ matrix.T).astype(np.uint8)).save("d.png")
    options = ["--mode", "RGB", "--normalize", "imagenet"]
    done = fit("Conv2d(3, 3, 1)", "c.png", "d.png", "-o", "w.safetensors", "--steps", "60", *options)
    assert done.exit_code == 0, done.output
    std = np.array([0.229, 0.224, 0.225]) * 255
    assert np.abs(load_file("w.safetensors")["0.weight"][:, :, 0, 0].numpy() / std - matrix).max() < 0.01
    [again] = run_files(
        "Conv2d(3, 3, 1)", "c.png", mode="RGB", normalize="imagenet", weights="w.safetensors", recombine=True, jobs=1
    )
    off = np.asarray(Image.open(again.outputs[0])).astype(int) - np.asarray(Image.open("d.png"))
    assert np.abs(off).max() <= 1


def test_a_picture_for_each_channel_is_learnt_from():
    Image.fromarray(noise()[..., 0]).save("a.png")
    [edges] = run_files("Filter2d(sobel_x, sobel_y)", "a.png", jobs=1)
    start = "Conv2d(1, 2, 3, bias=False, padding=1, padding_mode='replicate')"
    done = fit(start, "a.png", *edges.outputs, "-o", "w.safetensors", "--steps", "60")
    assert done.exit_code == 0, done.output
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    assert (load_file("w.safetensors")["0.weight"][:, 0] - torch.stack([sobel, sobel.T])).abs().max() < 0.05
    noise()
    [each] = run_files("blur(sigma=0.8)", "c.png", mode="RGB", bits=16, jobs=1)  # three gray pictures
    start = "Conv2d(3, 3, 7, groups=3, bias=False)"
    done = fit(start, "c.png", *each.outputs, "-o", "w.safetensors", "--mode", "RGB", "--steps", "60")
    assert done.exit_code == 0, done.output
    learnt = load_file("w.safetensors")["0.weight"][:, 0]
    expected = torch.from_numpy(cv2.getGaussianKernel(7, 0.8) @ cv2.getGaussianKernel(7, 0.8).T)
    assert (learnt - expected).abs().max() < 0.01


def test_gray_is_learnt_from_colour_by_a_layer_that_takes_any():
    pixels = noise()
    Image.fromarray(np.rint(pixels @ np.array([0.3, 0.5, 0.2])).astype(np.uint8)).save("d.png")
    done = fit("LazyConv2d(1, 1)", "c.png", "d.png", "-o", "w.safetensors", "--mode", "RGB", "--steps", "40")
    assert done.exit_code == 0, done.output
    assert (load_file("w.safetensors")["0.weight"].flatten() - torch.tensor([0.3, 0.5, 0.2])).abs().max() < 0.01


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["Conv2d(1, 3, 3)", "a.png", "a.png", "a.png"], 2, "3 pictures AFTER, one a channel, or by one in colour; a."),
        (["Conv2d(1, 2, 3)", "a.png", "a.png", "a.png", "a.png", "a.png"], 2, "a.png is followed by 1"),
        (["Conv2d(1, 3, 3)", "a.png", "missing.png"], 1, "missing.png: "),
        (["Conv2d(3, 1, 3)", "a.png", "a.png"], 2, "--mode RGB"),
        (["Conv2d(3, 1, 3)", "a.png", "blurred.png", "--mode", "RGB"], 1, "blurred.png: is in colour and holds floats"),
        (["Conv2d(1, 1, 3)", "a.png", "a.png", "--normalize", "imagenet"], 2, "add --mode RGB"),
        (["Conv2d(1, 1, 3)", "a.png", "a.png", "--until", "1"], 2, "--until 1"),
    ],
)
def test_channels_that_do_not_fit_are_said(arguments, status, words):
    colour(40)
    [_] = run_files("blur", "c.png", mode="RGB", recombine=True, output="blurred.png", jobs=1)
    done = fit(*arguments, "-o", "w.safetensors")
    assert done.exit_code == status and words in done.stderr, done.output
    assert not Path("w.safetensors").exists()


def test_it_ends_where_nothing_is_left_to_learn(folder):
    Image.fromarray(255 - folder).save("b.png")
    done = fit("Conv2d(1, 1, 1)", "a.png", "b.png", "-o", "w.safetensors")
    assert done.exit_code == 0 and int(done.stderr.splitlines()[-1].split()[1]) < 30
    done = fit("Conv2d(1, 1, 1)", "a.png", "b.png", "-o", "w.safetensors", "--weights", "w.safetensors", "--steps", "1")
    assert done.exit_code == 0 and "convfilter: 1 step, error" in done.stderr


def test_the_file_holds_all_that_weights_asks_for(folder):
    Image.fromarray(255 - folder).save("b.png")
    text = "BatchNorm2d(1) | Conv2d(1, 1, 1)"
    done = fit(text, "a.png", "b.png", "-o", "w.safetensors", "-q")
    assert done.exit_code == 0, done.output
    assert set(load_file("w.safetensors")) == {
        *(f"0.{name}" for name in ("weight", "bias", "running_mean", "running_var")), "1.weight", "1.bias",
    }  # fmt: skip
    [result] = run_files(text, "a.png", weights="w.safetensors", norm="clip", jobs=1)
    assert np.abs(np.asarray(Image.open(result.outputs[0])).astype(int) - (255 - folder)).max() <= 1


def test_a_picture_that_is_too_small_is_named():
    Image.new("L", (1, 1)).save("one.png")
    done = fit("Conv2d(1, 1, 3)", "one.png", "one.png", "-o", "w.safetensors")
    assert done.exit_code == 1 and done.stderr.startswith("convfilter: one.png: ") and "larger than" in done.stderr
