"""What a run says on standard error: progress on a terminal, notes and failures, and the closing line."""

import os
import sys
import time
from collections import deque

from convfilter import streams
from convfilter.errors import escape
from convfilter.run.result import Result

EVERY = 0.1  # seconds between two looks of the progress line
RECENT = 100  # looks that the speed is taken from


class Report:
    """Counts what was done and what failed, and says so; ``exit_code`` and ``closing`` are the run's verdict.

    ``total`` is how many pictures there are, once that is known.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.done = self.outputs = self.skipped = self.failed = 0
        self.total: int | None = None
        self.start = time.monotonic()
        self.looks = deque([(self.start, 0)], maxlen=RECENT)
        self.draws = not quiet and _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self.colour = self.draws and not os.environ.get("NO_COLOR")
        self.shares = self.draws and _is_terminal(sys.stdout)  # the paths go to the same terminal
        self.line = self.shown = ""

    def add(self, result: Result) -> None:
        """Count one result, and say what is to be said of it."""
        self.done += result.status == "done"
        self.skipped += result.status == "skipped"
        self.failed += result.status == "failed"
        self.outputs += len(result.outputs) if result.status == "done" else 0
        if result.status == "failed":
            self.say(f"convfilter: {escape(result.source)}: {escape(result.error or '')}", colour="31")
        for note in () if self.quiet else result.notes:
            self.say(f"convfilter: {escape(result.source)}: note: {escape(note)}")
        for detail in result.details:
            self.detail(result.source, detail)
        if result.status == "skipped":
            self.detail(result.source, "skipped: its outputs are there")

    def detail(self, source: str, text: str) -> None:
        """Say what only ``-v`` asks for."""
        if self.verbose and not self.quiet:
            self.say(f"convfilter: {escape(source)}: {escape(text)}")

    def say(self, text: str, *, colour: str = "") -> None:
        """Print one line on standard error, above the progress line."""
        self._wipe()
        streams.say(f"\x1b[{colour}m{text}\x1b[0m\n" if colour and self.colour else f"{text}\n")

    def close(self, *, stopped: bool = False) -> None:
        """Take the progress line away, and say how it ended."""
        self._wipe()
        if not self.quiet:
            self.say(self.closing + (", stopped early" if stopped else ""))

    def make_room(self) -> None:
        """Take the progress line away where paths are to be printed on the same terminal."""
        if self.shares:
            self._wipe()

    def draw(self) -> None:
        """Show the progress line, made anew ten times a second at most."""
        if not self.draws:
            return
        now = time.monotonic()
        if now - self.looks[-1][0] >= EVERY:
            self.looks.append((now, self.done + self.skipped + self.failed))
            self.line = self._describe()[: _columns() - 1]  # a line that wraps could not be taken away
        if self.shown != self.line:
            self._wipe()
            streams.say(self.line)
            self.shown = self.line

    def _describe(self) -> str:
        (before, first), (now, count) = self.looks[0], self.looks[-1]
        speed = (count - first) / (now - before)
        line = f"{count:,}{f'/{self.total:,}' if self.total else ''} pictures, {speed:.1f} a second"
        if self.total and self.total > count and speed:
            line += f", {_duration((self.total - count) / speed)} left"
        return line + (f", {self.failed:,} failed" if self.failed else "")

    def _wipe(self) -> None:
        if self.shown:
            streams.say("\r" + " " * len(self.shown) + "\r")
            self.shown = ""

    @property
    def exit_code(self) -> int:
        """0 where all was done, 1 where a picture failed."""
        return 1 if self.failed else 0

    @property
    def closing(self) -> str:
        """The sentence that ends a run: ``412 pictures, 412 outputs, 3 failed, 11.2 s``; pictures are those done."""
        parts = [_count(self.done, "picture"), _count(self.outputs, "output")]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.failed} failed", f"{time.monotonic() - self.start:.1f} s"]
        return ", ".join(parts)


def _is_terminal(stream) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
