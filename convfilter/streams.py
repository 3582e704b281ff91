"""Standard input, output and error as they may be: closed, full, or a pipe that nobody reads any more."""

import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

ASKING = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGINFO") if hasattr(signal, name))
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
PIECE = 1 << 20


class _Lossy(io.FileIO):
    """Standard error, where what cannot be written is dropped: a full disk or a closed pipe must not end a run."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or memoryview(data).nbytes
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Make the standard streams safe to use: from then on only writing to standard output can fail."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # one is closed: no other file may take its number
        pass
    os.close(number)
    if sys.stderr is None or os.name != "nt":  # a Windows console is no file
        buffer = io.BufferedWriter(_Lossy(2, "w", closefd=False))
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)


def catch_signals(handle: Callable[[int, object], None]) -> None:
    """Let ``handle(number, frame)`` answer the signals that end a program; what the caller ignores stays ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handle)


def answer_signals(answer: Callable[[int, object], None] | signal.Handlers) -> None:
    """Let ``answer(number, frame)`` meet the signals that ask how far a run is; what the caller ignores stays so."""
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, answer)


def say_at_once(text: str) -> None:
    """Write a text to standard error, past Python's buffer, which a signal may have interrupted."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def say(text: str) -> None:
    """Write a text to standard error, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(text)
        sys.stderr.flush()


def write_out(data: Any) -> None:
    """Write bytes to standard output at once; OSError where they are lost.

    Past Python's own buffer, which would keep what failed to be written, and try it again when the program ends.
    """
    raw = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
    view = memoryview(data).cast("B")
    while view:
        written = raw.write(view[:PIECE])
        if written is None:  # another program has set the pipe to non-blocking
            select.select([], [raw], [])
        view = view[written or 0 :]


def read_in(most: int) -> io.BytesIO | None:
    """Return all of standard input, or None where it has more bytes than ``most``; OSError where it is closed."""
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return read_all(sys.stdin.buffer, most)


def read_all(stream: BinaryIO, most: int) -> io.BytesIO | None:
    """Return all that a stream gives, or None where that is more bytes than ``most``."""
    data = io.BytesIO()
    while piece := stream.read(PIECE):
        data.write(piece)
        if data.tell() > most:
            return None
    data.seek(0)
    return data
