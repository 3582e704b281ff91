"""What a run says on standard error: progress on a terminal, notes and failures, and the closing line."""

import os
import sys
import time

from convfilter.errors import escape


class Report:
    """Counts what was done and what failed, and says so; ``exit_code`` and ``closing`` are the run's verdict.

    ``total`` is how many pictures there are, once that is known.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.pictures = self.outputs = self.skipped = self.failed = 0
        self.total: int | None = None
        self.start = self.drawn = time.monotonic()
        terminal = sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.draws = terminal and not quiet
        self.colour = self.draws and not os.environ.get("NO_COLOR")
        self.line = ""

    def add(self, result) -> None:
        """Count one result, and say what is to be said of it."""
        self.pictures += 1
        self.skipped += result.status == "skipped"
        self.failed += result.status == "failed"
        self.outputs += len(result.outputs) if result.status == "done" else 0
        if result.status == "failed":
            self.say(f"convfilter: {escape(result.source)}: {escape(result.error)}", colour="31")
        for note in () if self.quiet else result.notes:
            self.say(f"convfilter: {escape(result.source)}: note: {escape(note)}")
        if self.verbose and result.status == "skipped":
            self.say(f"convfilter: {escape(result.source)}: skipped: its outputs are there")
        self.draw()

    def expect(self, total: int) -> None:
        """Take note of how many pictures there are."""
        self.total = total

    def detail(self, source: str, text: str) -> None:
        """Say what only ``-v`` asks for."""
        if self.verbose and not self.quiet:
            self.say(f"convfilter: {escape(source)}: {escape(text)}")

    def say(self, text: str, *, colour: str = "") -> None:
        """Print one line on standard error, above the progress line."""
        self.clear()
        if sys.stderr is None:
            return
        try:
            print(f"\x1b[{colour}m{text}\x1b[0m" if colour and self.colour else text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self.draws = False  # nobody listens: the run is worth more than its words

    def draw(self) -> None:
        """Redraw the progress line, ten times a second at most."""
        now = time.monotonic()
        if not self.draws or now - self.drawn < 0.1:
            return
        self.drawn = now
        seconds = now - self.start
        speed = self.pictures / seconds
        line = f"{self.pictures:,}{f'/{self.total:,}' if self.total else ''} pictures, {speed:.1f} a second"
        if self.total and self.pictures < self.total:
            line += f", {_duration((self.total - self.pictures) / speed)} left"
        if self.failed:
            line += f", {self.failed:,} failed"
        self.clear()
        self.line = line
        self._write(line)

    def clear(self) -> None:
        """Take the progress line off the terminal."""
        if self.line:
            self._write("\r" + " " * len(self.line) + "\r")
            self.line = ""

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self.draws, self.line = False, ""

    @property
    def exit_code(self) -> int:
        """0 where all was done, 1 where a picture failed."""
        return 1 if self.failed else 0

    @property
    def closing(self) -> str:
        """The sentence that ends a run: ``412 pictures, 412 outputs, 3 failed, 11.2 s``."""
        parts = [_count(self.pictures, "picture"), _count(self.outputs, "output")]
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        parts += [f"{self.failed} failed", f"{time.monotonic() - self.start:.1f} s"]
        return ", ".join(parts)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
