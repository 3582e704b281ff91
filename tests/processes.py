"""Starts the program as a real process, forked from the warm one that has loaded torch already: no time is lost."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from convfilter.warm import client, protocol

PROGRAM = [sys.executable, "-m", "convfilter"]


def is_alive(process):
    """Return whether a process runs, and is not one that has ended and is waited for."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(find, seconds=60.0):
    """Return what a function returns as soon as it is true, and fail where that takes too long."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


class ForkServer:
    """A warm process for these tests alone, and a client that starts the program in it without a process of its own."""

    def __init__(self) -> None:
        self.keeper = subprocess.Popen(
            [*PROGRAM, "warm", "run", "--", "sh", "-c", f'echo "${protocol.VARIABLE}"; read end'],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
        )  # fmt: skip
        self.path = self.keeper.stdout.readline().strip()
        self.same = client.ask(self.path, "status")["same"]

    def start(self, *arguments, cwd, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=(), limits=()) -> "Child":
        """Start the program; streams are files or file descriptors, ``limits`` pairs of a resource and its limit."""
        sock = client.connect(self.path, seconds=30)
        with open(os.devnull, "r+") as null:
            streams = [null if stream in (subprocess.DEVNULL, None) else stream for stream in (stdin, stdout, stderr)]
            request = {
                **client.describe_call([0, 1, 2]),
                "same": self.same,
                "arguments": ["convfilter", *map(str, arguments)],
                "environment": {**os.environb, **{os.fsencode(k): os.fsencode(v) for k, v in dict(env).items()}},
                "streams": [("utf-8", errors, False) for errors in ("strict", "strict", "backslashreplace")],
                "blocked": [],
            }
            request["limits"] += [(number, limit, limit) for number, limit in limits]
            folder = os.open(cwd, os.O_RDONLY)
            fds = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
            protocol.send(sock, request, [folder, *fds])
            os.close(folder)
        assert protocol.receive_exactly(sock, 1) == protocol.STARTED
        return Child(sock, int.from_bytes(protocol.receive_exactly(sock, 4), "big"))

    def run(self, *arguments, cwd, input=b"", timeout=60, **how) -> subprocess.CompletedProcess:
        """Run the program to its end, and return what it has printed, as bytes."""
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            stdin.write(input)
            stdin.seek(0)
            child = self.start(*arguments, cwd=cwd, stdin=stdin, **{"stdout": stdout, "stderr": stderr, **how})
            status = child.wait(timeout)
            stdout.seek(0)
            stderr.seek(0)
            return subprocess.CompletedProcess(arguments, status, stdout.read(), stderr.read())

    def count(self) -> int:
        """Return how many calls it has done."""
        return client.ask(self.path, "status")["calls"]

    def close(self) -> None:
        self.keeper.communicate("\n")


def read_terminal(fd: int) -> bytes:
    """Return all that is written to a pseudo-terminal until its other end is closed; closes this one."""
    pieces = []
    while True:
        try:
            pieces.append(os.read(fd, 65536))
        except OSError:  # the other end is closed
            pieces.append(b"")
        if not pieces[-1]:
            os.close(fd)
            return b"".join(pieces)


class Child:
    """A running program, as subprocess.Popen has it."""

    def __init__(self, sock, pid: int) -> None:
        self._sock, self.pid = sock, pid
        self.returncode: int | None = None

    def wait(self, timeout: float = 60) -> int:
        """Return the exit status, or the negative number of the signal that killed it; TimeoutExpired."""
        if self.returncode is None:
            self._sock.settimeout(timeout)
            try:
                self.returncode = int.from_bytes(protocol.receive_exactly(self._sock, 4), "big", signed=True)
            except TimeoutError:
                raise subprocess.TimeoutExpired("convfilter", timeout) from None
            self._sock.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)
