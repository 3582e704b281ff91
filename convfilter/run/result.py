"""What became of one picture."""

import base64
import os
import traceback
from dataclasses import dataclass, field
from typing import Any

from convfilter.errors import ConvfilterError, PipelineError
from convfilter.files.paths import kind_of


@dataclass(frozen=True)
class Result:
    """What became of one source: ``status`` is done, skipped or failed, and ``error`` then says why.

    ``kind`` is a word for programs that says of what kind the error is: picture, missing, denied, size, values,
    pipeline, output, exists, memory, library, system, or bug.

    ``width`` and ``height`` are the upright picture's, ``shape`` (C, H, W) the output's, and ``ranges`` the minimum and
    maximum of each channel written; of several frames, they are the last one's. ``notes`` are for everyone, ``details``
    for those who want to know all. ``fatal`` is true where every further picture would fail as well. ``traceback`` is
    where a fault of convfilter's own arose.
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
            **_bytes_of("source", self.source),
            **_bytes_of("outputs", *self.outputs),
        }


def failure(source: str, error: Exception) -> Result:
    """Return the result of a source that an error has ended, whatever that is: it costs this picture only.

    >>> failure("a.png", MemoryError()).error
    'there is not enough memory for it'
    """
    trace, kind = "", getattr(error, "kind", "bug")
    match error:
        case PipelineError():
            words, kind = error.reason, "pipeline"
        case ConvfilterError():
            words = str(error)
        case MemoryError():
            words, kind = "there is not enough memory for it", "memory"
        case OSError():
            words, kind = error.strerror or str(error), kind_of(error)
        case _:
            said = " ".join(str(error).split())[:300]
            words = f"a fault in convfilter, please report it with what -vv shows: {type(error).__name__}: {said}"
            trace = "".join(traceback.format_exception(error))
    return Result(source, "failed", error=words, kind=kind, fatal=getattr(error, "fatal", False), traceback=trace)


def _bytes_of(name: str, *paths: str) -> dict[str, str | list[str]]:
    """The bytes of paths that are no UTF-8, in base64, so that a program can name the files exactly."""
    raw = [os.fsencode(path) for path in paths]
    try:
        b"".join(raw).decode()
    except UnicodeDecodeError:
        coded = [base64.b64encode(path).decode() for path in raw]
        return {f"{name}_base64": coded[0] if name == "source" else coded}
    return {}
