"""Scripts for colour: they read, normalise and recombine as the program does."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from convfilter import UsageError, parse, run_files
from convfilter.cli.main import cli
from convfilter.export.script import write_script
from convfilter.run.options import Options

PIXELS = np.random.default_rng(5).integers(0, 256, (30, 34, 4), np.uint8)
LAYERS = "Conv2d(3, 4, 3, stride=2) | ReLU | Conv2d(4, 2, 3)"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PIXELS[..., :3].copy()).save("a.png")
    return tmp_path


def compare(text, picture="a.png", levels=0, **options):
    """Run the program and its script; return the script, after both have written the same pixels to the same files."""
    [result] = run_files(text, picture, exact=True, jobs=1, **options)
    assert result.status == "done", result.error
    theirs = {path: np.array(Image.open(path)) for path in result.outputs}
    for path in theirs:
        Image.new("L", (1, 1)).save(path)
    chosen = Options(**options)
    pipeline, _ = chosen.load(parse(text))
    code = write_script(pipeline, picture, options=chosen)
    exec(compile(code, "script", "exec"), {})
    for path, pixels in theirs.items():
        mine = np.array(Image.open(path))
        assert (mine.dtype, mine.shape) == (pixels.dtype, pixels.shape), code
        assert np.abs(mine.astype(int) - pixels).max() <= levels, code
    assert max(pixels.std() for pixels in theirs.values()) > 1
    return code


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"white": 1.0, "bits": 16},
        {"normalize": "imagenet"},
        {"normalize": "imagenet", "white": 1.0, "norm": "symmetric"},
        {"mean": (100, 110.5, 0), "std": (50, 60, 0.3)},
        {"mean": 127.5, "channels": (1,)},
        {"std": 0.5, "norm": "clip"},
    ],
    ids=str,
)
def test_a_colour_network_gives_the_programs_pixels(options):
    compare(LAYERS, mode="RGB", **options)


def test_gray_pictures_are_normalised_too():
    code = compare("Conv2d(1, 2, 3)", mean=100, std=2.5)
    assert "x = x - 100\nx = x / 2.5\n" in code


@pytest.mark.parametrize("norm", ["minmax", "clip", "abs", "symmetric"])
@pytest.mark.parametrize("text", ["blur", "Conv2d(3, 3, 5)"])
def test_three_channels_become_one_colour_picture(text, norm):
    code = compare(text, mode="RGB", recombine=True, norm=norm)
    assert "Image.fromarray(pixels)" in code and "for channel" not in code
    compare(text, mode="RGB", recombine=True, vmin=-20.0, output="new.png")


def test_what_is_flat_in_all_channels_has_its_own_colour():
    Image.new("RGB", (20, 20), (10, 90, 200)).save("a.png")
    run = {"mode": "RGB", "exact": True, "jobs": 1, "force": True}
    for white in (255.0, 1.0):
        [result] = run_files("blur", "a.png", recombine=True, white=white, **run)
        theirs = np.array(Image.open(result.outputs[0]))
        exec(write_script(parse("blur"), "a.png", options=Options(mode="RGB", recombine=True, white=white)), {})
        assert np.array_equal(np.array(Image.open("a_blur.png")), theirs) and theirs[3, 3].tolist() == [10, 90, 200]


def test_kernels_are_summed_to_take_gray_pictures():
    code = compare(LAYERS, gray_weights=True)
    assert "weight.sum(1, keepdim=True)" in code
    compare("Conv2d(3, 2, 3, weight=[sobel_x, box(3)])", gray_weights=True)


def pictures():
    yield "la.png", Image.fromarray(PIXELS[..., :2].copy(), "LA"), {}
    yield "rgba.png", Image.fromarray(PIXELS, "RGBA"), {}
    palette = Image.fromarray(PIXELS[..., :3].copy()).quantize(16)
    yield "palette.png", palette, {"transparency": 3}
    yield "gray.png", Image.fromarray(PIXELS[..., 0].copy()), {}
    yield "gray16.png", Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257), {}
    yield "float.tif", Image.fromarray(PIXELS[..., 0].astype(np.float32) / 300), {}
    yield "cmyk.jpg", Image.fromarray(PIXELS, "CMYK"), {}
    yield "lab.tif", Image.frombytes("LAB", (34, 30), PIXELS[..., :3].tobytes()), {}
    exif = Image.Exif()
    exif[274] = 6
    yield "turned.jpg", Image.fromarray(PIXELS[..., :3].copy()), {"exif": exif}
    yield "turned.tif", Image.fromarray(PIXELS[..., :3].copy()), {"exif": exif}


@pytest.mark.parametrize(("name", "image", "options"), list(pictures()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_kind_of_picture_is_read_in_its_colours(name, image, options):
    image.save(name, **options)
    compare("Conv2d(3, 2, 3)", name, mode="RGB")
    compare("blur", name, mode="RGB", background="#8090f0", white=1.0, recombine=True)


@pytest.mark.parametrize("until", [None, "0", "1"])
@pytest.mark.parametrize("options", [{"mode": "RGB", "normalize": "imagenet"}, {"gray_weights": True}], ids=str)
def test_a_trained_networks_weights_are_loaded(options, until):
    torch.manual_seed(9)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 2, 3))
    save_file({f"features.{name}": x for name, x in network.state_dict().items()}, "w.safetensors")
    code = compare(LAYERS, weights="w.safetensors", until=until, **options)
    assert 'load_file("w.safetensors")' in code and 'weights["features.0.weight"]' in code
    assert code.count("nn.Conv2d") == (2 if until is None else 1)


def test_the_commands_print_it():
    done = CliRunner().invoke(cli, ["explain", "blur", "--mode", "RGB", "--normalize", "imagenet", "--code"])
    assert done.exit_code == 0 and "x = x - torch.tensor([123.675, 116.28, 103.53])[:, None, None]" in done.stdout
    done = CliRunner().invoke(cli, ["blur", "--mode", "RGB", "--recombine", "--code", "a.png"])
    assert done.exit_code == 0 and 'Image.open("a.png").convert("RGB")' in done.stdout
    [result] = run_files("blur", "a.png", mode="RGB", recombine=True, output="theirs.png")
    exec(done.stdout, {})
    off = np.array(Image.open("a_blur.png")).astype(int) - np.array(Image.open(result.outputs[0]))
    assert np.abs(off).max() <= 1


def test_colours_of_16_bits_are_refused_for_pillow_has_none():
    with pytest.raises(UsageError, match=r"Pillow, which .* has no colour of 16 bits a channel; leave out --bits 16"):
        write_script(parse("blur"), "a.png", options=Options(mode="RGB", recombine=True, bits=16))
