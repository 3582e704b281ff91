"""What docs/from-other-tools.md says to be the same in OpenCV, SciPy and ImageMagick is the same."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, signal

import convfilter

SAMPLES = Path(__file__).parents[1] / "sample_images"
KERNEL = np.array(
    [[1, 2, 3, 0, -1], [0, 5, 1, -2, 2], [3, -1, 4, 1, 0], [1, 0, -3, 2, 2], [0, 1, 1, -1, 3]], np.float32
)
ROWS = str(KERNEL.astype(int).tolist())
GRAY = np.asarray(Image.open(SAMPLES / "camera.png"))[100:164, 100:180]
X = GRAY.astype(np.float32)
EDGE = {"borderType": cv2.BORDER_REPLICATE}
BORDERS = {  # padding_mode: OpenCV's, SciPy's, ImageMagick's
    "zeros": (cv2.BORDER_CONSTANT, "constant", "Black"),
    "replicate": (cv2.BORDER_REPLICATE, "nearest", "Edge"),
    "reflect": (cv2.BORDER_REFLECT_101, "mirror", None),
    "circular": (None, "wrap", "Tile"),
}
FILTERS = {
    "sobel_x": [cv2.Sobel(X, cv2.CV_32F, 1, 0, **EDGE), ndimage.sobel(X, axis=1, mode="nearest")],
    "scharr_y": [cv2.Scharr(X, cv2.CV_32F, 0, 1, **EDGE)],
    "prewitt_x": [ndimage.prewitt(X, axis=1, mode="nearest")],
    "laplace4": [cv2.Laplacian(X, cv2.CV_32F, **EDGE), ndimage.laplace(X, mode="nearest")],
    "box(5)": [cv2.blur(X, (5, 5), **EDGE), ndimage.uniform_filter(X, 5, mode="nearest")],
    "blur(sigma=2)": [
        cv2.GaussianBlur(X, (13, 13), 2, **EDGE), ndimage.gaussian_filter(X, 2, truncate=3, mode="nearest")
    ],
    "MaxPool2d(3, stride=1, padding=1)": [cv2.dilate(X, np.ones((3, 3))), ndimage.maximum_filter(X, 3)],
    "AvgPool2d(2)": [cv2.resize(X, (40, 32), interpolation=cv2.INTER_AREA)],
    f"Filter2d(flip({ROWS}))": [ndimage.convolve(X, KERNEL, mode="nearest")],
    f"Conv2d(1, 1, 5, bias=False, weight=[{ROWS}])": [signal.correlate2d(X, KERNEL, mode="valid")],
}  # fmt: skip


def apply(pipeline: str) -> np.ndarray:
    return convfilter.parse(pipeline)(Image.fromarray(GRAY))[0].numpy()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    assert a.shape == b.shape
    return np.abs(a.astype(float) - b.astype(float)).max()


@pytest.fixture
def convert(tmp_path):
    """Return a function that gives ImageMagick's picture for some options, with values from 0 to 255 in 1/257 steps."""
    if shutil.which("convert") is None:
        pytest.skip("ImageMagick is not installed")
    Image.fromarray(GRAY).save(tmp_path / "in.png")

    def run(*options: str) -> np.ndarray:
        command = ["convert", tmp_path / "in.png", *options, "-depth", "16", f"gray:{tmp_path / 'out'}"]
        subprocess.run(command, check=True)
        return np.fromfile(tmp_path / "out", "<u2").reshape(GRAY.shape) / 257

    return run


@pytest.mark.parametrize("mode", BORDERS)
def test_borders(mode, convert):
    opencv, scipy, magick = BORDERS[mode]
    ours = apply(f"Filter2d({ROWS}, padding_mode='{mode}')")
    assert difference(ours, ndimage.correlate(X, KERNEL, mode=scipy)) == 0
    if opencv is not None:
        assert difference(ours, cv2.filter2D(X, cv2.CV_32F, KERNEL, borderType=opencv)) == 0
    if magick is not None:
        kernel = "5x5: " + " ".join(",".join(str(int(value)) for value in row) for row in KERNEL)
        theirs = convert("-virtual-pixel", magick, "-define", "convolve:scale=!", "-morphology", "Correlate", kernel)
        assert difference(np.clip(ours / KERNEL.sum(), 0, 255), theirs) < 0.01


@pytest.mark.parametrize("pipeline", FILTERS)
def test_filters(pipeline):
    ours = apply(pipeline)
    for theirs in FILTERS[pipeline]:
        assert difference(ours, theirs) < 1e-3


def test_filters_of_imagemagick(convert):
    assert difference(apply("blur(sigma=2)"), convert("-gaussian-blur", "6x2")) < 0.01
    assert difference(apply("MaxPool2d(3, stride=1, padding=1)"), convert("-morphology", "Dilate", "Square:1")) == 0
    assert 0.1 < difference(apply("blur(sigma=2)"), convert("-blur", "6x2")) < 3
    assert 0.1 < difference(np.clip(apply("unsharp"), 0, 255), convert("-unsharp", "0x1+1+0")) < 3


def test_norm_clip_is_what_an_8_bit_filter_writes():
    kernel = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], np.float32)
    (ours,) = convfilter.parse("sharpen(padding_mode='reflect')").images(Image.fromarray(GRAY), norm="clip")
    assert np.array_equal(np.asarray(ours), cv2.filter2D(GRAY, -1, kernel))


def test_gray(tmp_path):
    colour = Image.open(SAMPLES / "astronaut.png").convert("RGB")
    assert difference(np.asarray(colour.convert("L")), cv2.cvtColor(np.asarray(colour), cv2.COLOR_RGB2GRAY)) == 1
