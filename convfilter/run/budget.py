"""How much memory and how many cores there are, and a share of the memory for each picture under way."""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convfilter.engine.memory import tiled_peak_bytes
from convfilter.errors import InputError
from convfilter.explain.layer_table import peak_bytes
from convfilter.language.pipeline import Pipeline
from convfilter.layers.shapes import Shape
from convfilter.numbers import show_bytes
from convfilter.run.options import Options

if TYPE_CHECKING:  # what reads pictures loads Pillow
    from convfilter.images.reader import Header


def predict(pipeline: Pipeline, options: Options, header: "Header") -> int:
    """Return about how many bytes a picture takes at its peak: decoded, on its way through the layers, and written.

    The weights of the network are counted with it.

    Raises:
        PipelineError: a layer does not take a picture of this size.
    """
    shape = (options.channels_in, header.height, header.width)
    number = 4 if header.mode in ("I", "F") else 2 if header.mode[:2] == "I;" else 1
    values = number * math.prod(shape)
    sheet = 0
    if options.grid:
        from convfilter.run.figure import predict_sheet  # which needs numpy, and a picture has not been met at start-up

        sheet = predict_sheet(pipeline, shape, options)
    weights, c = 0, shape[0]
    for layer in pipeline.layers:
        weights, c = weights + 4 * layer.effect.parameters_for(c), layer.effect.channels(c)
    return max(header.bytes_to_read(options.mode), values + _computing(pipeline, options, shape)) + weights + sheet


def _computing(pipeline: Pipeline, options: Options, shape: Shape) -> int:
    if options.exact or options.steps:
        return peak_bytes(pipeline, shape)
    floats = options.grid or options.suffix == ".npy"
    return tiled_peak_bytes(pipeline, shape, floats=floats, bits=options.bits)


def check_size(pipeline: Pipeline, options: Options, header: "Header", limit: int) -> int:
    """Return the bytes that a picture needs, or refuse one that is too large or too small, before it is decoded.

    Raises:
        InputError: says what is needed, what is allowed, and which option allows more.
        PipelineError: a layer does not take a picture of this size.
    """
    pixels, size = header.width * header.height, f"{header.width}x{header.height}"
    most = options.max_pixels
    if pixels > most:
        raise InputError(
            f"it has {pixels:,} pixels ({size}), and --max-pixels allows {most:,}; raise it to take this one",
            kind="size",
        )
    shapes = pipeline.shapes((options.channels_in, header.height, header.width))
    need = predict(pipeline, options, header)
    for layer, (_, h, w) in zip(pipeline.layers, shapes, strict=True):
        if h * w > most:
            made = f"{layer.name} makes {h * w:,} pixels of it ({w}x{h})"
            raise InputError(f"{made}, and --max-pixels allows {most:,}; raise it to make them", kind="size")
    if need > limit:
        allowed = f"{show_bytes(limit)} are allowed; --max-memory allows more"
        raise InputError(f"it needs about {show_bytes(need)} of memory ({size}), and {allowed}", kind="size")
    return need


def available() -> int:
    """Return the bytes that a new program could use without swapping, as far as the system tells."""
    for find in (_available_linux, _available_posix):
        try:
            return find()
        except (OSError, ValueError, StopIteration, AttributeError):
            continue
    return 4 << 30  # nothing is known: what a small machine has


def count_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _available_linux() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    group = Path("/sys/fs/cgroup")
    try:  # inside a container its own limit counts
        most = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        kept = sum(
            int(line.split()[1])
            for line in (group / "memory.stat").read_text().splitlines()
            if line.startswith(("active_file ", "inactive_file "))
        )  # given up when it is needed
    except (OSError, ValueError):
        return free
    return min(free, max(most - used + kept, 0))


def _available_posix() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


class Budget:
    """Memory that the pictures under way share: each waits for its part, and where there is no other it never waits."""

    def __init__(self, size: int) -> None:
        self.size, self.used = size, 0
        self.stopped = False
        self.changed = threading.Condition()

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Give a share to ``take`` from, and take it back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()

    def stop(self) -> None:
        """Let nobody wait any longer, nor take anything."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()


class Share:
    """What one picture has taken of a budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.taken = budget, 0

    def take(self, need: int) -> None:
        """Wait until ``need`` bytes are free for this picture, or until no other picture is under way.

        What was taken before is given back first. InputError where the run is stopped.
        """
        budget = self.budget
        self.give_back()
        with budget.changed:
            budget.changed.wait_for(lambda: budget.stopped or not budget.used or budget.used + need <= budget.size)
            if budget.stopped:
                raise InputError("the run was stopped")
            budget.used += need
            self.taken = need

    def give_back(self) -> None:
        """Let others have what was taken."""
        with self.budget.changed:
            self.budget.used -= self.taken
            self.taken = 0
            self.budget.changed.notify_all()
