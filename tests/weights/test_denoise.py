"""The trained network that comes with the program does what it was trained for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfilter import parse, run_files
from convfilter.export.script import write_script
from convfilter.images.png import read_text
from convfilter.run.options import Options
from convfilter.weights.file import locate

CAMERA = Path(__file__).parents[2] / "sample_images" / "camera.png"


def decibels(values, clean):
    return 10 * np.log10(255**2 / np.mean((values.astype(float) - clean) ** 2))


def test_denoise_takes_noise_away(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clean = np.asarray(Image.open(CAMERA).convert("L"))[140:268, 180:308].astype(float)
    noisy = np.clip(np.rint(clean + np.random.default_rng(0).normal(0, 10, clean.shape)), 0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save("a.png")
    [result] = run_files("denoise", "a.png", norm="clip", jobs=1)
    assert result.shape == (1, 128, 128)
    gained = decibels(np.asarray(Image.open(result.outputs[0])), clean) - decibels(noisy, clean)
    assert gained > 4
    assert read_text(result.outputs[0])["convfilter:weights"].startswith("convfilter:denoise.safetensors (SHA-256 ")
    assert locate("convfilter:denoise.safetensors") in write_script(parse("denoise"), "a.png", options=Options())
    assert parse(str(parse("denoise"))) == parse("denoise")


@pytest.mark.parametrize("name", ["denoise.safetensors", "LICENSE-waifu2x.md"])
def test_the_network_and_its_licence_lie_in_the_package(name):
    assert 500 < Path(locate(f"convfilter:{name}")).stat().st_size < 1_000_000
