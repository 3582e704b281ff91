"""run_files(): pictures in, one Result each out, in order; the one door to torch."""

import os
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
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs is a number of workers from 1, not {self.jobs}")
        if not self.white > 0:
            raise UsageError(f"--white must be greater than 0, such as 255 or 1, not {self.white!r}")
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


class Run:
    """An iterator over the results of a run; ``stop()`` ends it."""

    def __init__(self, work) -> None:
        self._work = work
        self._results = work.results()

    def __iter__(self) -> Iterator[Result]:
        return self

    def __next__(self) -> Result:
        return next(self._results)

    @property
    def stopped(self) -> bool:
        """Whether the run was ended before all was done."""
        return self._work.stopped.is_set()

    def stop(self) -> None:
        """Let no output appear from now on; what is finished is still yielded. Any thread may call this."""
        self._work.stop()


def run_files(
    pipeline: Pipeline | str,
    inputs: str | os.PathLike | Iterable[str | os.PathLike],
    *,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
    **options,
) -> Run:
    """Return an iterator over a Result for each picture among ``inputs``, in order, as its outputs are written.

    ``inputs`` are files, folders, and "-" for standard input. ``options`` are the command's long options, such as
    ``output="out"``, ``norm="clip"``, ``jobs=1``. What is wrong with one picture is in its Result, and the others are
    done. ``passed_over(path, reason)`` is told of what a folder holds besides pictures. An iteration that ends early
    stops the run: no output appears afterwards.

    Raises:
        UsageError, PipelineError: on the call itself; nothing has been written.

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "dot.pgm").write_bytes(b"P5 6 6 255 " + bytes(14) + bytes([9]) + bytes(21))
    >>> [result] = run_files("edge", folder / "dot.pgm")
    >>> pathlib.Path(result.outputs[0]).name, result.shape, result.ranges
    ('dot_edge.png', (1, 2, 2), ((-9.0, 216.0),))
    """
    return Run(_work(pipeline, inputs, passed_over, options))


def count_files(pipeline: Pipeline | str, inputs: str | os.PathLike | Iterable[str | os.PathLike], **options) -> int:
    """Return how many pictures ``run_files`` would take, by walking its folders once more."""
    return sum(1 for _ in _work(pipeline, inputs, lambda path, reason: None, options).entries())


def _work(pipeline, inputs, passed_over, options: dict):
    from convfilter.work import Work

    pipeline = parse(pipeline) if isinstance(pipeline, str) else pipeline
    inputs = [inputs] if isinstance(inputs, str | os.PathLike) else inputs
    return Work(pipeline, Options(**options).check(pipeline), [os.fspath(path) for path in inputs], passed_over)
