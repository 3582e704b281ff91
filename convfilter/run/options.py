"""What a run may be asked for: each setting is a long option of the command line, checked before anything is read."""

from dataclasses import dataclass

from convfilter.errors import UsageError
from convfilter.gray.norm import MODES
from convfilter.language.pipeline import Pipeline


def is_white(value: float) -> bool:
    """Return whether a white pixel can have this value: one above 0 that a 32-bit float holds in full precision.

    >>> is_white(255), is_white(0), is_white(1e39), is_white(1e-46)
    (True, False, False, False)
    """
    return 2.0**-126 <= value <= (2 - 2.0**-23) * 2.0**127


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
        if self.output == "":
            raise UsageError("-o is empty; name a folder (. is the current one), a file, or - for standard output")
        if not is_white(self.white):
            raise UsageError(f"--white must be from 1.2e-38 to 3.4e38, such as 255 or 1, not {self.white!r}")
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
