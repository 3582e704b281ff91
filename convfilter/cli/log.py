"""The file of --log: a line a picture, with the time; what tail -f shows of a long run."""

import os
from datetime import datetime

from convfilter.errors import UsageError, escape
from convfilter.images.formats import SUFFIXES, suffix_of
from convfilter.run.result import Result


class Log:
    """A file that lines are appended to, each whole whoever else appends to it: shards may share one.

    Raises:
        UsageError: it cannot be written to, or is called like a picture.
    """

    def __init__(self, path: str) -> None:
        self.shown = f"--log {escape(path)}"
        if path == "-":
            raise UsageError("--log -: standard output carries the paths written; name a file, or /dev/stderr")
        if suffix_of(path) in SUFFIXES:
            raise UsageError(f"{self.shown}: is a picture's name, and the log is text; call it .log")
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.shown}: {getattr(error, 'strerror', None) or error}") from None

    def write(self, result: Result) -> None:
        """Append the line of a result; OSError where it cannot be."""
        line = write_line(result, datetime.now().astimezone())
        data = memoryview(f"{line}\n".encode())
        while data:  # all at once, but for a pipe whose reader is slow
            data = data[os.write(self._file, data) :]


def write_line(result: Result, time: datetime) -> str:
    """Return a result as a line of five columns: time, status, seconds, source, and the outputs or what was wrong.

    >>> write_line(Result("a.png", "done", ("a_edge.png",), seconds=0.5), datetime(2026, 1, 2))
    '2026-01-02T00:00:00.000\\tdone\\t0.500\\ta.png\\ta_edge.png'
    """
    about = escape(result.error or "") if result.status == "failed" else " ".join(map(escape, result.outputs))
    words = (time.isoformat(timespec="milliseconds"), result.status, f"{result.seconds:.3f}")
    return "\t".join((*words, escape(result.source), about))
