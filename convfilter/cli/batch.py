"""One run of the command line: results printed as they come, signals obeyed, and an exit status at the end."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial

from convfilter import streams
from convfilter.cli.console import Console
from convfilter.cli.log import Log
from convfilter.cli.show import Terminal, check_show
from convfilter.cli.together import finish_together
from convfilter.errors import UsageError, escape
from convfilter.files.listed import FileList
from convfilter.language.pipeline import Pipeline
from convfilter.run.api import Run, run_files
from convfilter.run.loading import once
from convfilter.run.options import Options
from convfilter.run.result import Result

TICK = 0.1  # seconds from one look at the progress to the next
STOPPING = 0.4  # seconds that a stopped run may take to tidy up, and then to list what it has finished


def run_batch(
    pipeline: Pipeline,
    inputs: tuple[str, ...] | FileList,
    options: Options,
    *,
    as_json: bool,
    null: bool,
    quiet: bool,
    verbose: int,
    progress: str,
    show: bool,
    log: str | None,
) -> int:
    """Run the pictures, print what is written, and return the exit status, 0, 1 or 3; a signal ends the process.

    Raises:
        UsageError, PipelineError: before anything is written.
    """
    to_stdout = options.output == "-"
    if to_stdout and as_json:
        raise UsageError("-o - and --json both need standard output; choose one of them")
    if show:
        check_show(options)
    console = Console(quiet=quiet, verbose=verbose, progress=progress)
    end = b"\0" if null else b"\n"

    def pass_over(path: str, reason: str) -> None:
        console.detail(path, reason)
        if as_json and verbose:
            with contextlib.suppress(OSError, ValueError):  # the next result will say it
                console.write_out(partial(streams.write_out, _dump({"source": path, "passed_over": reason}, end)))

    run = run_files(pipeline, inputs, passed_over=pass_over, **vars(options))
    count = once(lambda: threading.Thread(target=_count, args=(console, run), daemon=True).start())
    for note in () if quiet else run.notes:
        console.say(f"convfilter: note: {escape(note)}")
    if options.device == "auto":
        console.detail("--device auto", run.device)
    terminal = Terminal() if show else None
    if terminal and terminal.why_not and not quiet:
        console.say(f"convfilter: --show: {terminal.why_not}, so nothing is drawn")
    journal = Log(log) if log is not None else None
    if console.counts:
        count()
        threading.Thread(target=_keep_showing, args=(console,), daemon=True).start()
    write = partial(_show_nothing if to_stdout else _show_json if as_json else _show_paths, end=end)
    dump = partial(_dump, end=end) if as_json else None
    asked = threading.Event()
    with _signals_caught(asked) as caught, ThreadPoolExecutor(1, "convfilter-results") as pool:
        printing = pool.submit(_print_results, run, console, write, dump, terminal, journal, options.shard == "auto")
        while not caught and not wait([printing], 0.05).done:
            if asked.is_set():
                asked.clear()
                count()
                threading.Thread(target=console.say_status, daemon=True).start()  # which may wait for who reads that
        if caught:  # in the main thread, which waits for nothing else: not for a picture, nor for who reads our output
            stopping = threading.Thread(target=run.stop, daemon=True)
            stopping.start()
            stopping.join(STOPPING)  # a slow disk may take longer
            wait([printing], STOPPING)
            os._exit(128 + caught[0])
        return printing.result()


def _print_results(
    run: Run,
    console: Console,
    write: Callable[[Result], bytes],
    dump: Callable[[dict], bytes] | None,
    terminal: Terminal | None,
    log: Log | None,
    is_shared: bool,
) -> int:
    """Print every result, and at the end how many there were; return the exit status.

    ``is_shared`` is true where other processes do the rest of the pictures; ``dump`` writes the counts as JSON, if they
    are to be printed.
    """
    lost: Exception | None = None
    place, why = "standard output", None
    for result in run:
        console.add(result)
        words = write(result)
        if run.ends_with(result):
            why = result.error
        if words and not lost:
            try:
                console.write_out(partial(streams.write_out, words))
            except (OSError, ValueError) as error:  # nobody reads on, or the disk is full: what is lost must be known
                lost = error
                run.stop()
        if log and not lost:
            try:
                log.write(result)
            except OSError as error:
                lost, place = error, log.shown
                run.stop()
        if terminal and result.status == "done":
            terminal.show(result.outputs, console.say)
    if lost and not isinstance(lost, BrokenPipeError):
        console.say(f"convfilter: {place}: {getattr(lost, 'strerror', None) or lost}")
    if dump and not lost:
        words = dump({"counts": console.counts_to_dict(), "stopped": why if run.stopped else None})
        try:
            console.write_out(partial(streams.write_out, words))
        except (OSError, ValueError) as error:
            lost = error
    console.close(stopped=run.stopped)
    status = 3 if lost or run.stopped else console.exit_code
    if is_shared and not run.stopped:
        finish_together(failed=status != 0)
    return status


def _show_paths(result: Result, end: bytes) -> bytes:
    """The paths written, as the bytes that they are on disk."""
    return b"".join(os.fsencode(path) + end for path in result.outputs) if result.status == "done" else b""


def _show_json(result: Result, end: bytes) -> bytes:
    return _dump(result.to_dict(), end)


def _dump(value: dict, end: bytes) -> bytes:
    return json.dumps(value, allow_nan=False).encode() + end


def _show_nothing(result: Result, end: bytes) -> bytes:
    return b""


def _count(console: Console, run: Run) -> None:
    with contextlib.suppress(Exception):  # what is wrong with the inputs is said by the run itself
        console.total = run.count()


def _keep_showing(console: Console) -> None:
    """Show the progress until the end; in a thread that may wait for who reads standard error."""
    while console.show_progress():
        time.sleep(TICK)


@contextlib.contextmanager
def _signals_caught(asked: threading.Event) -> Iterator[list[int]]:
    """Return a list that gets the numbers of the signals that come; no more than that is done about them.

    ``asked`` is set by those that ask how far the run is.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught  # a program that uses us has signals for itself
        return
    before = {number: signal.getsignal(number) for number in (*streams.SIGNALS, *streams.ASKING)}
    streams.answer_signals(lambda number, frame: asked.set())
    streams.catch_signals(lambda number, frame: caught.append(number))
    try:
        yield caught
    finally:
        for number, handler in before.items():
            if handler is not None:  # None is one that is not Python's
                signal.signal(number, handler)
