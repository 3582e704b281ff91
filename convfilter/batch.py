"""One run of the command line: results printed as they come, signals obeyed, and an exit status at the end."""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable

from convfilter.pipeline import Pipeline
from convfilter.progress import Report
from convfilter.run import Result, count_files, run_files


def run_batch(
    pipeline: Pipeline, inputs: tuple[str, ...], *, as_json: bool, null: bool, quiet: bool, verbose: int, **options
) -> int:
    """Run the pictures, print what is written, and return the exit status: 0, 1, 130 or 143.

    Raises:
        UsageError, PipelineError: before anything is written.
    """
    stop, report = threading.Event(), Report(quiet=quiet, verbose=verbose)
    to_stdout = options.get("output") == "-"
    results = run_files(pipeline, inputs, stop=stop, passed_over=report.detail, **options)
    if report.draws:
        counter = threading.Thread(target=lambda: report.expect(count_files(pipeline, inputs, **options)), daemon=True)
        counter.start()
    caught = _catch_signals(stop)
    print_result = _printer(as_json, null) if not to_stdout else lambda result: None
    lost = None
    for result in results:
        report.add(result)
        try:
            print_result(result)
        except (OSError, ValueError) as error:  # nobody reads on, or there is no room: what is lost must be known
            stop.set()
            lost = lost or error
    report.clear()
    if lost is not None:
        _drop_stdout()
        if not isinstance(lost, BrokenPipeError):
            report.say(f"convfilter: standard output: {getattr(lost, 'strerror', None) or lost}")
    if not quiet:
        report.say(report.closing)
    if caught:  # workers may still be computing: nothing of theirs will be written
        os._exit(128 + caught[0])
    return 1 if lost is not None else report.exit_code


def _printer(as_json: bool, null: bool) -> Callable[[Result], None]:
    """How a result is printed on standard output: file names as the bytes that they are, each picture at once."""
    out, end = sys.stdout.buffer, b"\0" if null else b"\n"

    def print_result(result: Result) -> None:
        if as_json:
            out.write(json.dumps(result.to_dict(), allow_nan=False).encode() + end)
        elif result.status == "done":
            out.write(b"".join(os.fsencode(path) + end for path in result.outputs))
        out.flush()

    return print_result


def _catch_signals(stop: threading.Event) -> list[int]:
    """Let SIGINT and SIGTERM pull the brake; the list that comes back holds those that came."""
    caught: list[int] = []

    def obey(number: int, frame) -> None:
        if caught:
            os._exit(128 + number)  # asked twice: at once
        caught.append(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, obey)
    return caught


def _drop_stdout() -> None:
    """Point standard output nowhere, so that the interpreter's last flush fails no more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
