"""run_files(): pictures in, one Result each out, in order; the one door to torch."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from convfilter.errors import UsageError
from convfilter.norm import MODES
from convfilter.pipeline import Pipeline, parse


@dataclass(frozen=True)
class Options:
    """How pictures are read, filtered and written: each field is the command's long option of that name.

    ``format`` None is what the output's file name says, else png.
    """

    output: str | None = None
    name: str | None = None
    recursive: bool = False
    jobs: int | None = None
    norm: str = "minmax"
    vmin: float | None = None
    vmax: float | None = None
    bits: int = 8
    format: str | None = None
    channels: tuple[int, ...] | None = None
    grid: bool = False
    keep: bool = False
    steps: bool = False
    white: float = 255.0
    background: str = "white"
    frames: str | int = "first"
    seed: int = 0
    exact: bool = False
    compress: int | None = None
    metadata: bool = True
    skip_existing: bool = False
    no_clobber: bool = False
    max_memory: int | None = None
    max_pixels: int = 1_000_000_000  # the bombs are larger, and the scans smaller
    shard: str | None = None
    dry_run: bool = False
    fail_fast: bool = False

    @property
    def suffix(self) -> str:
        """The suffix of the files written."""
        return f".{self.format or ('npy' if (self.output or '').lower().endswith('.npy') else 'png')}"

    def check(self, pipeline: Pipeline) -> "Options":
        """Return these options, or refuse what makes no sense before anything is read.

        Raises:
            UsageError: an option has no such value, or two of them do not go together.
            PipelineError: the pipeline does not take a grayscale picture.
        """
        if self.norm not in MODES:
            raise UsageError(f"--norm is {', '.join(MODES)}, not {self.norm!r}")
        if self.bits not in (8, 16) or self.format not in (None, "png", "npy"):
            raise UsageError(f"--bits is 8 or 16 and --format png or npy, not {self.bits!r} and {self.format!r}")
        if self.vmin is not None and self.vmax is not None and not self.vmin < self.vmax:
            raise UsageError(f"--vmin {self.vmin:g} must be less than --vmax {self.vmax:g}")
        if self.suffix == ".npy" and self.grid:
            raise UsageError("--grid draws a picture, and npy holds numbers; choose one of them")
        if self.keep and not self.grid:
            raise UsageError("--keep goes with --grid: it keeps the single pictures beside the sheet")
        count = pipeline.channels(1)
        for channel in self.channels or ():
            if not 0 <= channel < count:
                last = f"channels 0 to {count - 1}" if count > 1 else "channel 0 only"
                raise UsageError(f"--channels {channel}: the pipeline gives {last}")
        return self


@dataclass(frozen=True)
class Result:
    """What became of one source: ``status`` is done, skipped or failed, and ``error`` then says why.

    ``width`` and ``height`` are the upright picture's, ``shape`` (C, H, W) what came out, and ``ranges`` the least and
    greatest value of each channel written; of several frames, they are the last one's.
    """

    source: str
    status: str
    outputs: tuple[str, ...] = ()
    width: int | None = None
    height: int | None = None
    shape: tuple[int, int, int] | None = None
    ranges: tuple[tuple[float, float], ...] = ()
    seconds: float = 0.0
    error: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    fatal: bool = field(default=False, compare=False)

    def to_dict(self) -> dict:
        """Return what ``--json`` prints."""
        return {
            "source": self.source,
            "outputs": list(self.outputs),
            "width": self.width,
            "height": self.height,
            "shape": list(self.shape) if self.shape else None,
            "ranges": [list(pair) for pair in self.ranges],
            "seconds": round(self.seconds, 4),
            "status": self.status,
            "error": self.error,
        }


def run_files(
    pipeline: Pipeline | str,
    inputs: Iterable[str | os.PathLike],
    *,
    stop: threading.Event | None = None,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
    **options,
) -> Iterator[Result]:
    """Yield a Result for each picture among ``inputs`` (files, folders, ``-``), in order, as its outputs are written.

    ``options`` are the command's long options, such as ``output="out"``, ``norm="clip"``, ``jobs=1``. What is wrong
    with one picture is in its Result, and the others are done. ``passed_over(path, reason)`` is told of what a folder
    holds besides pictures. Setting ``stop``, from any thread, ends the run: pictures finished by then are still
    yielded, and no output appears afterwards.

    Raises:
        UsageError, PipelineError: on the call itself; nothing has been written.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "dot.pgm").write_bytes(b"P5 6 6 255 " + bytes(14) + bytes([9]) + bytes(21))
    >>> [result] = run_files("edge", [folder / "dot.pgm"])
    >>> pathlib.Path(result.outputs[0]).name, result.shape, result.ranges
    ('dot_edge.png', (1, 2, 2), ((-9.0, 216.0),))
    """
    from convfilter.work import Work

    pipeline = parse(pipeline) if isinstance(pipeline, str) else pipeline
    chosen = Options(**options).check(pipeline)
    work = Work(pipeline, chosen, [os.fspath(path) for path in inputs], passed_over)
    return work.results(stop or threading.Event())


def count_files(pipeline: Pipeline, inputs: Iterable[str], **options) -> int:
    """Return how many pictures ``run_files`` would take, by walking its folders once more."""
    from convfilter.work import Work

    return sum(1 for _ in Work(pipeline, Options(**options), list(inputs)).entries())
