"""What becomes of a process that the warm one has forked: it takes over all that the call has, and is the program."""

import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TextIO

from convfilter import streams
from convfilter.warm import protocol

BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}  # which Python itself ignores, whatever it is started with
BEGUN = -1  # reported in an exit status's place
REFUSALS = (OSError, EOFError, ValueError, KeyError, TypeError)  # of what is asked, or of the system


def work(sock, report_pipe: int, same: dict, state: dict, run: Callable[[], int]) -> NoReturn:
    """Take one message from the socket, and obey it; the process ends with it.

    ``same`` is the warm process's ``describe_process``, ``state`` the answer to "status", and ``run`` the program,
    which finds its arguments in sys.argv and returns its exit status. ``report_pipe`` is the end of a pipe on which the
    warm process learns that the call has begun, and how it ends.
    """
    try:
        request, descriptors = protocol.receive(sock)
        if request["ask"] == "status":
            protocol.send(sock, {**state, "same": same})
            os._exit(0)
        if protocol.differences(request["same"], same):
            raise ValueError("here the call would not be the same")
        os.setpgid(0, 0)  # with what it starts, it is stopped, continued and killed as one
        report(report_pipe, BEGUN)
        sock, report_pipe = _place_descriptors(sock.detach(), report_pipe, request["descriptors"], descriptors)
        _take_over(request)
        sock.sendall(protocol.STARTED + os.getpid().to_bytes(4, "big"))
        sock.close()
    except REFUSALS:
        with contextlib.suppress(OSError):
            sock.sendall(protocol.REFUSED)
        os._exit(0)
    status = _run(run)
    # Others may wait for these, and the system would close them only when it has taken back the memory: 10 ms.
    os.closerange(0, report_pipe)
    os.closerange(report_pipe + 1, 1 << 16)
    report(report_pipe, status)
    os._exit(status)


def report(report_pipe: int, status: int) -> None:
    """Tell the warm process that this worker has BEGUN, or its exit status."""
    os.write(report_pipe, os.getpid().to_bytes(4, "big") + status.to_bytes(4, "big", signed=True))


def read_reports(pipe: int) -> list[tuple[int, int]]:
    """Return what workers have reported: pairs of a process number and BEGUN or an exit status."""
    data = os.read(pipe, 8 * 128)
    records = [data[start : start + 8] for start in range(0, len(data), 8)]
    return [(int.from_bytes(record[:4], "big"), int.from_bytes(record[4:], "big", signed=True)) for record in records]


def _place_descriptors(sock: int, report_pipe: int, numbers: list[int], received: list[int]):
    """Enter the folder received, give the other descriptors their numbers, and close all else but the first two.

    They are returned, as socket and as number.
    """
    os.fchdir(received[0])
    above = max(numbers, default=2) + 1
    lifted = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in (sock, report_pipe, *received[1:])]
    first = 0
    for fd in sorted(lifted):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1 << 16)
    for number, fd in zip(numbers, lifted[2:], strict=True):
        os.dup2(fd, number)
        os.close(fd)
    return protocol.open_socket(lifted[0]), lifted[1]


def _take_over(request: dict) -> None:
    """Make this process in all else what the call's is. OSError and ValueError where it may not."""
    os.umask(request["umask"])
    if os.getpriority(os.PRIO_PROCESS, 0) != request["nice"]:
        os.setpriority(os.PRIO_PROCESS, 0, request["nice"])
    if request["cores"] and set(request["cores"]) != os.sched_getaffinity(0):
        os.sched_setaffinity(0, request["cores"])
    for number, *limits in request["limits"]:
        if resource.getrlimit(number) != tuple(limits):
            resource.setrlimit(number, limits)
    os.environb.clear()
    os.environb.update(request["environment"])
    time.tzset()
    sys.argv, sys.path[:] = request["arguments"], request["path"]
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # it is that of the environment
    sys.stdin, sys.stdout, sys.stderr = (_open_stream(number, how) for number, how in enumerate(request["streams"]))
    for number in range(1, 32):
        handler = signal.getsignal(number)
        if number in request["ignored"]:
            wanted = signal.SIG_IGN
        elif number == signal.SIGINT:
            wanted = signal.default_int_handler
        elif number in streams.ASKING:
            wanted = _pass_by  # until the run, which begins now, answers them
        else:
            wanted = signal.SIG_IGN if number in BY_PYTHON else signal.SIG_DFL
        if handler != wanted and number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    gc.enable()


def _pass_by(number: int, frame: object) -> None:
    """What becomes of a signal that asks how far a run is that has not begun."""


def _open_stream(number: int, how) -> TextIO | None:
    """Return a standard stream as Python makes it at its start; None for one that is closed."""
    if how is None:
        return None
    encoding, errors, write_through = how
    mode, newline = ("w", "\n") if number else ("r", None)
    stream = open(number, mode, encoding=encoding, errors=errors, newline=newline, closefd=False)  # noqa: SIM115
    stream.reconfigure(write_through=write_through, line_buffering=number == 2 or os.isatty(number))
    return stream


def _run(run: Callable[[], int]) -> int:
    """Run the program, and return its exit status, as a process has it."""
    try:
        status = run()
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream and stream.flush()
    return status & 0xFF
