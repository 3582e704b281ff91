"""What a run says on standard error: progress, notes and failures, and the closing line."""

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from convfilter import streams
from convfilter.errors import escape
from convfilter.run.result import Result

if TYPE_CHECKING:  # loaded where there is a bar to draw
    from tqdm import tqdm

PLAIN = 60.0  # seconds from one line of --progress plain to the next
LINES_OF_TRACEBACK = 40  # of a fault, from its end


class Console:
    """Counts what was done and what failed, and says so; ``exit_code`` and ``closing`` are the run's verdict.

    ``progress`` is "auto" (a bar on a terminal), "plain" (a line a minute) or "none". ``total`` is how many pictures
    there are, once that is known. Any thread may call a method.
    """

    def __init__(self, *, quiet: bool = False, verbose: int = 0, progress: str = "auto", every: float = PLAIN) -> None:
        self.quiet, self.verbose, self.every = quiet, verbose, every
        self.done = self.outputs = self.skipped = self.failed = 0
        self.total: int | None = None
        self.last = ""  # source that something is known of
        self.closed = False
        self.start = self._last_status = time.monotonic()
        self._lock = threading.RLock()
        is_terminal = not quiet and _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self.plain = progress == "plain" and not quiet
        self.bar: tqdm | None = _make_bar(self._lock) if progress == "auto" and is_terminal else None
        self.colour = is_terminal and not os.environ.get("NO_COLOR")
        self._shares_terminal = self.bar is not None and _is_terminal(sys.stdout)  # the paths go to the same one

    @property
    def counts(self) -> bool:
        """Whether it is of use to know how many pictures there are."""
        return self.plain or self.bar is not None

    def add(self, result: Result) -> None:
        """Count one result, and say what is to be said of it."""
        with self._lock:
            self.last = result.source
            self.done += result.status == "done"
            self.skipped += result.status == "skipped"
            self.failed += result.status == "failed"
            self.outputs += len(result.outputs) if result.status == "done" else 0
            if result.status == "failed":
                self.say(f"convfilter: {escape(result.source)}: {escape(result.error or '')}", colour="31")
            if self.verbose > 1:
                for line in result.traceback.splitlines()[-LINES_OF_TRACEBACK:]:
                    self.say(f"  {escape(line)}")
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
        """Print one line on standard error, above the progress bar."""
        with self._lock:
            if self.bar is not None and not self.closed:
                self.bar.clear()
            streams.say(f"\x1b[{colour}m{text}\x1b[0m\n" if colour and self.colour else f"{text}\n")

    def write_out(self, write: Callable[[], None]) -> None:
        """Let ``write()`` write to standard output, without the progress bar where it is the same terminal."""
        with self._lock:
            if self.bar is not None and self._shares_terminal:
                self.bar.clear()
            write()

    def say_status(self) -> None:
        """Say how far the run is, even where it is to be quiet: somebody has asked."""
        with self._lock:
            last = f"; the last one: {escape(self.last)}" if self.last else ""
            self.say(f"convfilter: {self._meter()}{last}")

    def show_progress(self) -> bool:
        """Draw the bar, or say the line of this minute; to be called often, until it returns False after the end."""
        with self._lock:
            now, count = time.monotonic(), self.done + self.skipped + self.failed
            if self.bar is not None and not self.closed:
                self.bar.total = self.total
                self.bar.set_postfix_str(self._failures(), refresh=False)
                if count > self.bar.n:
                    self.bar.update(count - self.bar.n)
                else:
                    self.bar.refresh()  # time passes
            elif self.plain and not self.closed and now - self._last_status >= self.every:
                self.say(f"convfilter: {self._meter()}")
                self._last_status = now
            return not self.closed

    def close(self, *, stopped: bool = False) -> None:
        """Take the progress bar away, and say how the run ended."""
        with self._lock:
            if self.bar is not None:
                self.bar.close()
            self.closed = True
            if not self.quiet:
                self.say(self.closing + (", stopped early" if stopped else ""))

    def counts_to_dict(self) -> dict[str, int]:
        """Return the counts as ``--json`` prints them."""
        return {"done": self.done, "skipped": self.skipped, "failed": self.failed, "outputs": self.outputs}

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

    def _meter(self) -> str:
        """Return how many pictures are done, of how many, with rate and time left."""
        from tqdm import tqdm

        count, seconds = self.done + self.skipped + self.failed, time.monotonic() - self.start
        meter = tqdm.format_meter(count, self.total, seconds, ncols=0, unit=" pictures", postfix=self._failures())
        return meter.strip()

    def _failures(self) -> str:
        return f"{self.failed:,} failed" if self.failed else ""


def _make_bar(lock: threading.RLock) -> "tqdm":
    from tqdm import tqdm

    tqdm.monitor_interval = 0  # no thread of its own that draws
    tqdm.set_lock(lock)  # its own is one of several processes, which needs a process on macOS
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    size = {"dynamic_ncols": True} if columns else {"ncols": 79, "nrows": 24}  # some terminals do not say it
    return tqdm(unit=" pictures", file=sys.stderr, leave=False, mininterval=0, miniters=0, **size)


def _is_terminal(stream) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
