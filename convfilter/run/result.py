"""What became of one picture."""

import traceback
from dataclasses import dataclass, field
from typing import Any

from convfilter.errors import ConvfilterError, PipelineError
from convfilter.files.destination import Destination, bytes_of
from convfilter.files.paths import kind_of

PASSED_OVER = "passed over"  # the status of what turned out to be no input, which is no result of a run


@dataclass(frozen=True)
class Result:
    """What became of one source: ``status`` is done, skipped or failed, and ``error`` then says why.

    ``kind`` is a word for programs that says of what kind the error is: picture, missing, denied, size, values,
    pipeline, output, exists, memory, library, system, or bug.

    ``width`` and ``height`` are the upright picture's, ``shape`` (C, H, W) the output's, and ``ranges`` the minimum and
    maximum of each channel written; of several frames, they are the last one's. ``destination`` says where the outputs
    of a failed source would have gone. ``notes`` are for everyone, ``details`` for those who want to know all.
    ``fatal`` is true where every further picture would fail as well. ``traceback`` is where a fault of convfilter's own
    arose.
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
    kind: str | None = None
    destination: Destination | None = field(default=None, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    details: tuple[str, ...] = field(default=(), compare=False)
    fatal: bool = field(default=False, compare=False)
    traceback: str = field(default="", compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
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
            "kind": self.kind,
            "notes": list(self.notes),
            "destination": self.destination.to_dict() if self.destination else None,
            **bytes_of({"source": self.source, "outputs": list(self.outputs)}),
        }


def failure(source: str, error: Exception) -> Result:
    """Return the result of a source that an error has ended, whatever that is: it costs this picture only.

    >>> failure("a.png", MemoryError()).error
    'there is not enough memory for it'
    """
    trace, kind = "", getattr(error, "kind", "bug")
    match error:
        case PipelineError():
            message, kind = error.reason, "pipeline"
        case ConvfilterError():
            message = str(error)
        case MemoryError():
            message, kind = "there is not enough memory for it", "memory"
        case OSError():
            message, kind = error.strerror or str(error), kind_of(error)
        case _:
            reason = " ".join(str(error).split())[:300]
            message = f"a fault in convfilter, please report it with what -vv shows: {type(error).__name__}: {reason}"
            trace = "".join(traceback.format_exception(error))
    return Result(source, "failed", error=message, kind=kind, fatal=getattr(error, "fatal", False), traceback=trace)
