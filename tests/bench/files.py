"""Times whole processes over files beside their peers: many pictures, a shell loop, one picture, and very large ones.

Run it from the project's root: python tests/bench/files.py [--rounds 5] [--only many|colour|loop|one|large]
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import Row, arguments, report, take_turns

SAMPLES = Path(__file__).parents[2] / "sample_images"
OPENCV = """
import sys, os, cv2, numpy as np
from concurrent.futures import ThreadPoolExecutor
cv2.setNumThreads(1)
kernel = -np.ones((5, 5), np.float32); kernel[2, 2] = 24
def work(name):
    picture = cv2.imread(f"in/{name}", cv2.IMREAD_GRAYSCALE)
    edges = cv2.filter2D(picture.astype(np.float32), -1, kernel)[2:-2, 2:-2]
    cv2.imwrite(f"out/{name}", cv2.normalize(edges, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U))
with ThreadPoolExecutor(2) as pool:
    list(pool.map(work, sorted(os.listdir("in"))))
"""
IMAGEMAGICK = next(filter(shutil.which, ("magick", "convert-im6.q16", "convert-im6", "convert")), None)
CONVERT = (
    f"{IMAGEMAGICK} %s -colorspace Gray -define convolve:scale=1 -bias 50%% "
    "-morphology Convolve '5: -1,-1,-1,-1,-1 -1,-1,-1,-1,-1 -1,-1,24,-1,-1 -1,-1,-1,-1,-1 -1,-1,-1,-1,-1' %s"
)
CALLS = 50
LOOP = f"for i in $(seq {CALLS}); do %s; done"
LARGE = "Conv2d(1, 1, 5, bias=False, weight=[edge]) | ReLU | MaxPool2d(2)"
LIBVIPS = """
import sys, pyvips
def pooled():
    picture = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
    kernel = pyvips.Image.new_from_array([[24 if x == y == 2 else -1 for x in range(5)] for y in range(5)])
    edges = picture.conv(kernel, precision="float").crop(2, 2, picture.width - 4, picture.height - 4)
    largest = edges.rank(2, 2, 3)  # of each pixel and those to its left and above
    largest = largest.embed(0, 0, edges.width + 1, edges.height + 1).crop(1, 1, edges.width, edges.height)
    pooled = largest.subsample(2, 2)
    return (pooled > 0).ifthenelse(pooled, 0)
stats = pooled().stats()
low, high = stats(0, 0)[0], stats(1, 0)[0]
stretched = (pooled() - low) * (255 / max(high - low, 1e-9))
stretched.rint().cast("uchar").write_to_file(sys.argv[2], compression=1)
"""


def convfilter(*words: str) -> list[str]:
    return [sys.executable, "-m", "convfilter", *words, "-q"]


def memory_of(process: int) -> float:
    """The megabytes that a process and all that it has started take, pages that they share counted once."""
    try:
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024
    except (OSError, StopIteration):
        return 0.0
    return own + sum(memory_of(int(child)) for child in children)


def measure_memory(folder: Path, command: list[str]) -> float:
    """The most megabytes of the command and its processes, looked at twenty times a second."""
    most, child = 0.0, subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    while child.poll() is None:
        most = max(most, memory_of(child.pid))
        time.sleep(0.05)
    return most


def process(folder: Path, command: list[str]) -> Callable[[], None]:
    """A run of the command over ``in`` into an empty ``out``; its ``megabytes`` are the most that one has taken."""

    def run() -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        (folder / "out").mkdir()
        child = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{command[0]} ended with {child.returncode}")
        run.megabytes = max(run.megabytes, usage.ru_maxrss // 1024)

    run.megabytes = 0
    return run


def written(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "out").iterdir())


def make_pictures(folder: Path, count: int) -> None:
    """Turned and shifted samples, 512x512 RGB, no two alike."""
    (folder / "in").mkdir()
    samples = [Image.open(path).convert("RGB").crop((0, 0, 512, 512)) for path in sorted(SAMPLES.glob("*.[jp]*g"))]
    for i in range(count):
        picture = np.roll(np.asarray(samples[i % len(samples)]), (7 * i, 13 * i), (0, 1))
        Image.fromarray(picture).save(folder / "in" / f"{i:04}.png", compress_level=1)


def many(folder: Path, rounds: int, count: int) -> Iterator[Row]:
    make_pictures(folder, count)
    ours = process(folder, convfilter("edge", "in", "-o", "out"))
    opencv = process(folder, [sys.executable, "-c", OPENCV])
    sizes = []
    for run in (ours, opencv):
        run()
        sizes.append(written(folder))
    print(f"bytes written over OpenCV's: {sizes[0] / sizes[1]:.3f}")
    most = 0.95 if count >= 5000 else 1.05
    yield Row(f"{count} pictures", take_turns({"convfilter": ours, "OpenCV": opencv}, rounds), "OpenCV", most)
    memory = measure_memory(folder, convfilter("edge", "in", "-o", "out"))
    print(f"    convfilter's processes take {memory:.0f} MB together")
    if IMAGEMAGICK:
        line = f"ls in | xargs -P2 -I{{}} {CONVERT % ('in/{}', 'out/{}')}"
        both = {"convfilter": ours, "xargs -P2 convert": process(folder, ["sh", "-c", line])}
        yield Row(f"{count} pictures", take_turns(both, rounds), "xargs", 0.08)


def colour(folder: Path, rounds: int, count: int) -> Iterator[Row]:
    """Colour in and out beside gray in and out, from the same colour files: many small ones, and a large one."""
    make_pictures(folder, count)
    how = {"in colour": ("--mode", "RGB", "--recombine"), "in gray": ()}
    runs = {
        f"convfilter {name}": process(folder, convfilter("blur", "in", "-o", "out", *words))
        for name, words in how.items()
    }
    yield Row(f"blur of {count} pictures in colour", take_turns(runs, rounds), "convfilter in gray", 3.3)
    large = Image.open(folder / "in" / "0000.png").resize((6000, 6000), Image.Resampling.BICUBIC)
    large.save(folder / "large.png", compress_level=1)
    runs = {
        f"convfilter {name}": process(folder, convfilter("blur", "large.png", "-o", "out", *words))
        for name, words in how.items()
    }
    yield Row("blur of 6000x6000 in colour", take_turns(runs, rounds), "convfilter in gray", 3.3)


def loop(folder: Path, rounds: int) -> Iterator[Row]:
    """A call a picture, in a shell: the warm process's start is counted."""
    (folder / "in").mkdir()
    shutil.copy(SAMPLES / "camera.png", folder / "in")
    one = shlex.join(convfilter("edge", "in/camera.png", "-o", "out/edge.png"))
    warm = [*convfilter("warm", "run", "--")[:-1], "sh", "-c", LOOP % one]
    contenders = {
        "convfilter": process(folder, warm),
        "ImageMagick": process(folder, ["sh", "-c", LOOP % (CONVERT % ("in/camera.png", "out/magick.png"))]),
    }
    yield Row(f"{CALLS} calls on 512x512 in a shell loop", take_turns(contenders, rounds), "ImageMagick", 1.0)


def one(folder: Path, rounds: int) -> Iterator[Row]:
    (folder / "in").mkdir()
    shutil.copy(SAMPLES / "camera.png", folder / "in")
    both = {
        "convfilter": process(folder, convfilter("edge", "in/camera.png", "-o", "out")),
        "import torch, PIL.Image": process(folder, [sys.executable, "-c", "import torch, PIL.Image"]),
    }
    yield Row("one picture of 512x512", take_turns(both, 3 * rounds), "import", 1.15)


def large(folder: Path, rounds: int, side: int) -> Iterator[Row]:
    """Five sizes, each of four times the pixels of the one before, and libvips on the largest."""
    (folder / "in").mkdir()
    sides = [side // 16, side // 8, side // 4, side // 2, side]
    runs = {}
    for n in sides:
        noise = np.random.default_rng(0).integers(0, 256, (n // 4, n // 4), np.uint8)
        picture = Image.fromarray(noise).resize((n, n), Image.Resampling.BICUBIC)
        picture.save(folder / "in" / f"{n}.png", compress_level=1)
        del picture
        runs[n] = process(folder, convfilter("run", LARGE, f"in/{n}.png", "-o", "out"))
    contenders = {f"{n}x{n}": runs[n] for n in reversed(sides)}
    if find_spec("pyvips"):
        vips = process(folder, [sys.executable, "-c", LIBVIPS, f"in/{side}.png", "out/vips.png"])
        contenders["libvips"] = vips
    seconds = take_turns(contenders, rounds)
    ours = f"{side}x{side}"
    for n in sides[1:]:
        both = {f"{m}x{m}": seconds[f"{m}x{m}"] for m in (n, n // 2)}
        yield Row(f"{LARGE}, {n}x{n} over a quarter of it", both, f"{n // 2}x", 4.4)
    print(f"    {ours} takes {runs[side].megabytes} MB")
    if "libvips" in contenders:
        print(f"    libvips takes {vips.megabytes} MB")
        yield Row(f"{LARGE}, {ours}", {name: seconds[name] for name in (ours, "libvips")}, "libvips", 0.4)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--count", type=int, default=1000, help="how many pictures")
    parser.add_argument("--side", type=int, default=20000, help="rows and columns of the large one")
    options = parser.parse_args()
    rows = []
    if not IMAGEMAGICK and options.only == "loop":
        raise SystemExit("the shell loop is compared with ImageMagick, which is not installed")
    kinds = {
        "many": (many, options.count),
        "colour": (colour, options.count),
        "loop": (loop,),
        "one": (one,),
        "large": (large, options.side),
    }
    for name, (kind, *size) in kinds.items():
        if options.only in name:
            with tempfile.TemporaryDirectory() as folder:
                for row in kind(Path(folder), options.rounds, *size):
                    rows.append(row)
                    print(row, flush=True)
    report(rows, options.json)


if __name__ == "__main__":
    main()
