"""Compares ways of writing a filtered picture as a PNG: milliseconds on one thread and on two, and size over OpenCV's.

Run it from the project's root: python tests/bench/png.py [--rounds 5] [--json FILE]
"""

import argparse
import io
import json
import platform
import statistics
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from isal import isal_zlib
from PIL import Image
from zlib_ng import zlib_ng

from convfilter.images import deflate
from convfilter.images.png import write_png
from convfilter.layers import kernels

SAMPLES = Path(__file__).parents[2] / "sample_images"


def correlate(values: np.ndarray, name: str, **options) -> np.ndarray:
    kernel = np.array(kernels.KERNELS[name](**options), np.float32)
    return cv2.filter2D(values, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def stretch(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / (high - low))).astype(np.uint8)


def clip(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0, 255)).astype(np.uint8)


def pictures() -> dict[str, np.ndarray]:
    """Return 512x512 gray pictures such as the program writes, by sample and filter."""
    made = {}
    for path in sorted([*SAMPLES.glob("*.png"), *SAMPLES.glob("*.jpg")]):
        gray = np.asarray(Image.open(path).convert("L").crop((0, 0, 512, 512)))
        values = gray.astype(np.float32)
        edge, blur = correlate(values, "edge"), correlate(values, "gaussian", sigma=2.0)
        sobel = np.hypot(correlate(values, "sobel_x"), correlate(values, "sobel_y"))
        pooled = edge.clip(0)[:512, :512].reshape(256, 2, 256, 2).max((1, 3))
        kinds = {
            "none": gray,
            "edge": stretch(edge),
            "edge, clipped": clip(edge),
            "sobel": stretch(sobel),
            "sobel, clipped": clip(sobel),
            "sobel_x": stretch(correlate(values, "sobel_x")),
            "blur": stretch(blur),
            "sharpen, clipped": clip(correlate(values, "sharpen")),
            "laplace, absolute": stretch(abs(correlate(values, "laplace4"))),
            "edge, ReLU, pooled": stretch(pooled),
            "two tones": (gray > 128).astype(np.uint8) * 255,
        }
        made |= {f"{path.stem}: {name}": np.ascontiguousarray(pixels) for name, pixels in kinds.items()}
    return made


def pillow(**options):
    def encode(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png", **options)
        return file.tell()

    return encode


def convfilter(level=None):
    def encode(pixels):
        file = io.BytesIO()
        write_png(file, [pixels], pixels.shape[1], pixels.shape[0], level=level)
        return file.tell()

    return encode


def bare(module, level, strategy, kind):
    """Filter every row alike and compress, with no file round it."""

    def encode(pixels):
        lines = np.concatenate([np.zeros((1, pixels.shape[1]), np.uint8), pixels])
        squeeze = module.compressobj(level, zlib.DEFLATED, 15, 9 if module is zlib else 8, strategy)
        return len(squeeze.compress(deflate._filter(lines, 1, kind)) + squeeze.flush())

    return encode


FILTERS = {"none": deflate.NONE, "sub": deflate.SUB, "up": deflate.UP}
ENCODERS = {
    "OpenCV, its defaults": lambda pixels: len(cv2.imencode(".png", pixels)[1]),
    "convfilter, its default": convfilter(),
    "convfilter --compress 1": convfilter(1),
    "convfilter --compress 6": convfilter(6),
    "convfilter --compress 9": convfilter(9),
    "Pillow, level 1": pillow(compress_level=1),
    "Pillow, level 6": pillow(),
    "Pillow, level 9": pillow(compress_level=9),
    "Pillow, run-length": pillow(compress_type=3),
    **{
        f"isal {level}, {name}": bare(isal_zlib, level, 0, kind) for level in range(4) for name, kind in FILTERS.items()
    },
    **{f"zlib-ng 1, {name}": bare(zlib_ng, 1, 0, kind) for name, kind in FILTERS.items()},
    **{f"zlib-ng run-length, {name}": bare(zlib_ng, 6, 3, kind) for name, kind in FILTERS.items()},
    **{f"zlib-ng Huffman, {name}": bare(zlib_ng, 6, 2, kind) for name, kind in FILTERS.items()},
    **{f"zlib run-length, {name}": bare(zlib, 6, 3, kind) for name, kind in FILTERS.items()},
}


def measure(encode, pixels: list[np.ndarray], threads: int) -> float:
    """Return milliseconds a picture, all of them one after the other on so many threads."""
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        list(pool.map(encode, pixels))
        return (time.perf_counter() - start) / len(pixels) * 1000


def compare(rounds: int) -> list[dict]:
    made = pictures()
    names, pixels = list(made), list(made.values())
    sizes = {name: np.array([encode(each) for each in pixels]) for name, encode in ENCODERS.items()}
    spent = {(name, threads): [] for name in ENCODERS for threads in (1, 2)}
    for _ in range(rounds):
        for name, threads in spent:
            spent[name, threads].append(measure(ENCODERS[name], pixels, threads))
    rows = []
    for name in ENCODERS:
        over = sizes[name] / sizes["OpenCV, its defaults"] - 1
        rows.append(
            {
                "encoder": name,
                "ms, 1 thread": statistics.median(spent[name, 1]),
                "spread": [min(spent[name, 1]), max(spent[name, 1])],
                "ms, 2 threads": statistics.median(spent[name, 2]),
                "size": float(np.median(over)),
                "largest": float(over.max()),
                "largest on": names[over.argmax()],
            }
        )
    return rows


def compare_large(side: int) -> list[dict]:
    """Measure one large picture, blocks of it on one thread and on two."""
    tile = stretch(correlate(np.asarray(Image.open(SAMPLES / "camera.png"), np.float32), "edge"))
    band = np.tile(tile, (1, -(-side // 512)))[:, :side]
    band ^= np.random.default_rng(0).integers(0, 8, band.shape, dtype=np.uint8)  # or it would repeat itself
    rows = []
    for workers in (1, 2):
        file = io.BytesIO()
        start = time.perf_counter()
        bands = (band[: min(512, side - row)] for row in range(0, side, 512))
        write_png(file, bands, side, side, workers=workers)
        rows.append({"side": side, "workers": workers, "seconds": time.perf_counter() - start, "bytes": file.tell()})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    packages = ("pillow", "opencv-python-headless", "isal", "zlib-ng", "numpy")
    machine = {"machine": platform.machine(), "system": platform.platform(), "python": platform.python_version()}
    machine |= {package: version(package) for package in packages}
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    rows = compare(arguments.rounds)
    print("| 512x512 gray | ms, 1 thread | spread | ms a picture, 2 threads | size, median | largest | on |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        low, high = row["spread"]
        print(
            f"| {row['encoder']} | {row['ms, 1 thread']:.2f} | {low:.2f}..{high:.2f} | {row['ms, 2 threads']:.2f} "
            f"| {row['size']:+.1%} | {row['largest']:+.1%} | {row['largest on']} |"
        )
    large = [row for side in (4000, 10_000, 20_000) for row in compare_large(side)]
    for row in large:
        print("{side}x{side}, {workers} thread(s): {seconds:.2f} s, {bytes} bytes".format(**row))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "encoders": rows, "large": large}, indent=1))


if __name__ == "__main__":
    main()
