"""Colour in, colour out: --mode RGB, --mean, --std, --normalize, --gray-weights, --recombine."""

import re

import cv2
import numpy as np
import pytest
import stacks
import torch
from PIL import Image
from torch import nn

from convfilter import PipelineError, UsageError, parse, run_files
from convfilter.images.png import read_floats
from convfilter.run.options import Options

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png", torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))


def floats(pipeline, path, **options):
    (result,) = run_files(pipeline, path, output=path.parent / "out", format="npy", **options)
    assert result.status == "done", result.error
    return np.stack([np.load(output) for output in result.outputs])


def stack():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 4, 3)).requires_grad_(False)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("white", [255.0, 1.0])
def test_a_colour_network_gives_what_torch_gives(photo, exact, white):
    path, x = photo
    found = floats(str(stack()), path, mode="RGB", exact=exact, white=white)
    np.testing.assert_allclose(found, stack()(x * (white / 255))[0], rtol=1e-4, atol=1e-5 * white)


@pytest.mark.parametrize("exact", [False, True])
def test_normalize_is_torchvisions(photo, exact):
    path, x = photo
    mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
    expected = stack()((x / 255 - mean) / std)[0]
    for options in ({}, {"white": 1.0}):
        found = floats(str(stack()), path, mode="RGB", normalize="imagenet", exact=exact, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    found = floats(str(stack()), path, mode="RGB", white=1, mean=MEAN, std=STD, exact=exact)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    gray = floats("Identity", path, mean=100, std=2)
    np.testing.assert_allclose(gray[0], (np.asarray(Image.open(path).convert("L"), float) - 100) / 2)


def test_gray_weights_give_what_colour_gives_for_a_picture_whose_channels_are_equal(photo):
    path, _ = photo
    Image.open(path).convert("L").save(path)
    gray = floats(str(stack()), path, gray_weights=True)
    np.testing.assert_allclose(gray, floats(str(stack()), path, mode="RGB"), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("exact", [False, True])
def test_a_recombined_blur_is_opencvs(photo, exact):
    path, _ = photo
    (result,) = run_files("blur", path, mode="RGB", recombine=True, exact=exact)
    assert [output.rpartition("/")[2] for output in result.outputs] == ["a_blur.png"] and len(result.ranges) == 3
    found = np.asarray(Image.open(result.outputs[0])).astype(int)
    expected = cv2.GaussianBlur(np.asarray(Image.open(path)), (7, 7), 1, borderType=cv2.BORDER_REPLICATE).astype(int)
    assert abs(found - expected).max() <= 1


def test_a_recombined_picture_has_one_scale_and_its_floats_can_be_read_back(photo):
    path, x = photo
    (result,) = run_files("Conv2d(3, 3, 1)", path, mode="RGB", recombine=True, norm="minmax")
    torch.manual_seed(0)
    expected = nn.Conv2d(3, 3, 1)(x)[0].detach().numpy()
    values, texts = read_floats(result.outputs[0])
    step = (expected.max() - expected.min()) / 255
    assert values.shape == expected.shape and abs(values - expected).max() <= step / 2 * 1.001
    assert float(texts["convfilter:black"]) == pytest.approx(expected.min(), rel=1e-5)


def test_sixteen_bits_of_colour(photo):
    path, _ = photo
    (result,) = run_files("Identity", path, mode="RGB", recombine=True, bits=16, output=path.parent / "x.png")
    found = cv2.imread(result.outputs[0], cv2.IMREAD_UNCHANGED)
    assert found.dtype == np.uint16 and np.array_equal(found[..., ::-1], np.asarray(Image.open(path)).astype(int) * 257)


def test_colour_and_gray_are_told_apart_in_words():
    with pytest.raises(PipelineError, match="are loaded as grayscale; --mode RGB loads colour"):
        Options().check(parse("Conv2d(3, 8, 3)"))
    with pytest.raises(PipelineError, match="--mode RGB loads three channels: leave it out, or filter each"):
        Options(mode="RGB").check(parse("edge"))


@pytest.mark.parametrize(
    ("pipeline", "options", "message"),
    [
        ("edge", {"recombine": True}, "--recombine makes a colour picture of three channels, and the pipeline gives 1"),
        ("blur", {"mode": "RGB", "recombine": True, "channels": "0"}, "leave out --channels"),
        ("blur", {"mode": "RGB", "recombine": True, "grid": True}, "leave out --grid"),
        ("blur", {"mode": "RGB", "recombine": True, "format": "npy"}, "npy holds numbers"),
        ("blur | Magnitude", {"mode": "RGB", "recombine": True, "steps": True}, "layer 1 gives 1"),
        ("edge", {"normalize": "imagenet"}, "three channels; add --mode RGB"),
        ("blur", {"mode": "RGB", "mean": "1,2"}, "--mean takes one number, or 3 for --mode RGB"),
        ("edge", {"std": 0}, "--std: 0 is not a number above 0"),
        ("blur", {"mode": "RGB", "normalize": "imagenet", "std": 2}, "sets --std already"),
        ("edge", {"gray_weights": True}, "--gray-weights: the first layer must be a Conv2d of 3 channels"),
        ("Conv2d(3, 1, 3)", {"gray_weights": True, "mode": "RGB"}, "choose one of them"),
        ("blur", {"mode": "CMYK"}, "--mode: 'CMYK' is not one of 'L', 'RGB'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(pipeline, options, message):
    with pytest.raises(UsageError) as caught:
        run_files(pipeline, "missing.png", **options)
    assert message in str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("make", [stacks.alexnet, stacks.vgg])
def test_a_printed_network_with_its_weights_gives_torchs_activations_of_every_layer(
    make, channels, tmp_path, monkeypatch
):
    monkeypatch.setattr("convfilter.engine.tiles.AREA", 20_000)
    network = make(channels)
    path = stacks.save("pt", tmp_path, {f"features.{name}": x for name, x in network.state_dict().items()})
    pixels = np.random.default_rng(4).integers(0, 256, (150, 170, channels), np.uint8)
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    x = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
    options = {"weights": path, "mode": "L" if channels == 1 else "RGB", "jobs": 1}
    if channels == 3:
        options["normalize"] = "imagenet"
        mean, std = (torch.tensor(numbers)[:, None, None] for numbers in (MEAN, STD))
        x = (x / 255 - mean) / std
    text = f"VGG((features): {network} (classifier): Sequential((0): Linear(9, 9)))"
    steps = floats_of_steps(text, tmp_path, options)
    for number, module in enumerate(network):
        x = module(x)
        expected = x[0].numpy()
        np.testing.assert_allclose(steps[number], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
        if number in (4, len(network) - 1):
            for exact in (False, True):
                found = floats(text, tmp_path / "a.png", exact=exact, until=f"features.{number}", force=True, **options)
                np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def floats_of_steps(text, folder, options):
    """The activations after each layer, as run_files writes them."""
    [result] = run_files(text, folder / "a.png", output=folder / "steps", format="npy", steps=True, **options)
    assert result.status == "done", result.error
    layers = {}
    for output in result.outputs:
        layers.setdefault(int(re.search(r"_(\d+)-[A-Za-z0-9]+(_\d+)?\.npy$", output)[1]), []).append(np.load(output))
    return [np.stack(layers[number]) for number in sorted(layers)]
