"""Compares filtering in memory, pixels in and pixels out: convfilter, OpenCV and plain PyTorch, on two cores.

Run it from the project's root: python tests/bench/compute.py [--rounds 9] [--only TEXT] [--json FILE]
"""

import statistics
import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from side_by_side import Row, arguments, report, take_turns

from convfilter import parse
from convfilter.engine import tiles
from convfilter.engine.build import build, to_tensor
from convfilter.engine.threads import Threads
from convfilter.gray.input_values import InputValues
from convfilter.gray.norm import GrayScale
from convfilter.gray.quantise import quantise

CORES = 2
COLOUR = 3.3  # times the gray picture: three channels, and what they share
THREADS = Threads(CORES)


def ours(text: str, picture: np.ndarray):
    """Filter a picture, HxW or 3xHxW."""
    pipeline, channels = parse(text), 3 if picture.ndim == 3 else 1
    segments = tiles.plan(pipeline, build(pipeline, channels=channels), channels)
    inputs = InputValues(channels, 255.0, (0.0,) * channels, (1.0,) * channels)

    def run() -> np.ndarray:
        output = tiles.filter_picture(segments, picture, 255, inputs, threads=THREADS)
        return output.picture([GrayScale(*ends) for ends in output.ranges])

    return run


def plain(text: str, picture: np.ndarray):
    network = build(parse(text))

    @torch.inference_mode()
    def run() -> np.ndarray:
        channels = network(to_tensor(picture, 255))[0].numpy()
        return np.stack([quantise(channel, GrayScale(channel.min(), channel.max())) for channel in channels])

    return run


def opencv(text: str, picture: np.ndarray, then=lambda y: y) -> dict:
    """OpenCV's forms of the same: from uint8 or from float32, with one or the other of its ways to stretch."""
    kernel = build(parse(text))[0].weight[0, 0].numpy()
    inputs = {"uint8": lambda: picture, "float32": lambda: picture.astype(np.float32)}
    stretches = {"normalize": normalize, "minMaxLoc": stretch}

    def form(make, end):
        return lambda: end(then(correlate(make(), kernel)))

    return {f"OpenCV {a} {b}": form(make, end) for a, make in inputs.items() for b, end in stretches.items()}


def correlate(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    y = cv2.filter2D(picture, cv2.CV_32F, kernel)
    half = len(kernel) // 2
    return y[half : y.shape[0] - half, half : y.shape[1] - half]


def normalize(y: np.ndarray) -> np.ndarray:
    return cv2.normalize(y, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)


def stretch(y: np.ndarray) -> np.ndarray:
    low, high, _, _ = cv2.minMaxLoc(y)
    scale = 255 / (high - low)
    return cv2.convertScaleAbs(y, alpha=scale, beta=-low * scale)


def relu_and_pool(y: np.ndarray) -> np.ndarray:
    y = cv2.max(y, 0)[: len(y) // 2 * 2, : y.shape[1] // 2 * 2]
    y = np.maximum(y[::2], y[1::2])
    return np.maximum(y[:, ::2], y[:, 1::2])


def comparisons() -> Iterator[tuple[str, dict, str, float | None]]:
    """Each work's name, contenders (ours first), whom it is measured against, and the most that it may take."""
    most = {(2048, 5): 1.1, (2048, 11): 0.9, (2048, 31): 0.5, (512, 5): 1.8, (512, 11): 0.8, (512, 31): 0.4}
    for size in (2048, 512):
        picture = np.random.default_rng(0).integers(0, 256, (size, size), dtype=np.uint8)
        share = 0.1 if size == 2048 else 0.3
        for kernel in (3, 5, 11, 31):
            text = f"Conv2d(1, 1, {kernel}, bias=False)"
            name, run, slow = f"{size}x{size}, kernel {kernel}", ours(text, picture), plain(text, picture)
            target = most.get((size, kernel))
            yield name, {"convfilter": run, **opencv(text, picture)}, "OpenCV", target
            yield name, {"convfilter": run, "nn.Sequential": slow}, "nn.Sequential", share if target else None
        text = "Conv2d(1, 1, 5, bias=False) | ReLU | MaxPool2d(2)"
        name, run, slow = f"{size}x{size}, {text}", ours(text, picture), plain(text, picture)
        most_of_opencv = 0.5 if size == 2048 else None
        yield name, {"convfilter": run, **opencv(text, picture, relu_and_pool)}, "OpenCV", most_of_opencv
        yield name, {"convfilter": run, "nn.Sequential": slow}, "nn.Sequential", share
        text = "Conv2d(1, 8, 3) | ReLU | Conv2d(8, 8, 3) | ReLU | Conv2d(8, 4, 3)"
        both = {"convfilter": ours(text, picture), "nn.Sequential": plain(text, picture)}
        yield f"{size}x{size}, channels 1, 8, 8, 4", both, "nn.Sequential", 0.35 if size == 2048 else None
        both = {"convfilter": ours("blur(sigma=5)", picture), "OpenCV": lambda p=picture: stretch_blurred(p)}
        yield f"{size}x{size}, Gaussian of 31x31", both, "OpenCV", None
        colour = np.random.default_rng(1).integers(0, 256, (3, size, size), dtype=np.uint8)
        for text in ("blur", "Filter2d(edge)", "gaussian(31, sigma=5)"):
            both = {"convfilter in colour": ours(text, colour), "in gray": ours(text, picture)}
            yield f"{size}x{size}, {text} in colour", both, "in gray", COLOUR


def stretch_blurred(picture: np.ndarray) -> np.ndarray:
    return stretch(cv2.GaussianBlur(picture.astype(np.float32), (31, 31), 5, borderType=cv2.BORDER_REPLICATE))


def beside_a_busy_process(rounds: int) -> Row:
    """Ours while another process keeps a core busy: 9 of 10 runs are to stay within 2.5 times the median."""
    picture = np.random.default_rng(0).integers(0, 256, (2048, 2048), dtype=np.uint8)
    text = "Conv2d(1, 1, 5, bias=False) | ReLU | MaxPool2d(2)"
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        both = {"convfilter": ours(text, picture), "nn.Sequential": plain(text, picture)}
        return Row("beside a busy process", take_turns(both, rounds, turn=0), "nn.Sequential", None)
    finally:
        busy.kill()


def main() -> None:
    options = arguments(__doc__.splitlines()[0], rounds=9).parse_args()
    cv2.setNumThreads(CORES)
    torch.set_num_threads(CORES)
    rows = []
    for name, contenders, against, most in comparisons():
        if options.only in name:
            first, second, *_ = contenders.values()
            if against == "OpenCV":
                off = np.abs(first()[0].astype(int) - second()).max() if first()[0].shape == second().shape else "size"
                if off != 1 and off != 0:
                    raise SystemExit(f"{name}: the pixels differ by {off}")
            rows.append(Row(name, take_turns(contenders, options.rounds), against, most))
            print(rows[-1], flush=True)
    if options.only in "beside a busy process":
        rows.append(beside_a_busy_process(5 * options.rounds))
        print(rows[-1])
        times = rows[-1].seconds["convfilter"]
        spread = statistics.quantiles(times, n=10)[-1] / statistics.median(times)
        print(f"    9 of 10 runs within {spread:.2f} times the median")
    report(rows, options.json)


if __name__ == "__main__":
    main()
