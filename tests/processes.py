"""Starts the program as a real process, forked from one that has loaded torch already: 30 ms in place of seconds."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

PROGRAM = [sys.executable, "-m", "convfilter"]


class ForkServer:
    """A process that has loaded all there is, and forks for every start of the program."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.process = subprocess.Popen([sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()])
        theirs.close()
        self.socket.recv(1)  # it has loaded

    def start(self, *arguments, cwd, stdin=subprocess.DEVNULL, stdout=None, stderr=None, env=(), limits=()) -> "Child":
        """Start the program; streams are files or file descriptors, ``limits`` pairs of a resource and its limit."""
        with open(os.devnull, "r+") as null:
            streams = [null if stream in (subprocess.DEVNULL, None) else stream for stream in (stdin, stdout, stderr)]
            reader, writer = os.pipe()
            request = {"arguments": [*map(str, arguments)], "cwd": str(cwd), "env": dict(env), "limits": list(limits)}
            fds = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
            socket.send_fds(self.socket, [json.dumps(request).encode()], [*fds, writer])
            self.socket.recv(1)  # or two requests could become one
            os.close(writer)
        return Child(reader)

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

    def close(self) -> None:
        self.socket.close()
        self.process.wait()


class Child:
    """A running program, as subprocess.Popen has it."""

    def __init__(self, reader: int) -> None:
        self._reader = open(reader, "rb", buffering=0)  # noqa: SIM115
        self.pid = int(self._line())
        self.returncode: int | None = None

    def wait(self, timeout: float = 60) -> int:
        """Return the exit status, or the negative number of the signal that killed it; TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._reader], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("convfilter", timeout)
            self.returncode = int(self._line())
            self._reader.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            piece = self._reader.read(1)
            assert piece, "the fork server has died"
            line += piece
        return line


def _serve(sock: socket.socket) -> None:
    import convfilter.cli.main
    import convfilter.run.render
    import convfilter.run.runner  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for pytest
    sock.send(b".")
    while True:
        data, fds, _, _ = socket.recv_fds(sock, 1 << 20, 4)
        if not data:
            return
        waiter = os.fork()
        if not waiter:
            _watch(json.loads(data), fds)
        for fd in fds:
            os.close(fd)
        sock.send(b".")
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # waiters need none to wait for them


def _watch(request: dict, fds: list[int]) -> None:
    """Fork the program, and tell its process number and at last its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if not child:
        _become(request, fds)
    for fd in fds[:3]:
        os.close(fd)
    os.write(fds[3], b"%d\n" % child)
    os.write(fds[3], b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os._exit(0)


def _become(request: dict, fds: list[int]) -> None:
    status = 99
    try:
        for number, fd in enumerate(fds[:3]):
            os.dup2(fd, number)
        os.closerange(3, 1000)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["cwd"])
        os.environ.update(request["env"])
        for name, limit in request["limits"]:
            resource.setrlimit(name, (limit, limit))
        sys.argv = ["convfilter", *request["arguments"]]
        sys.stdin, sys.stdout, sys.stderr = (open(n, mode, closefd=False) for n, mode in enumerate("rww"))  # noqa: SIM115
        from convfilter.__main__ import main

        main()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    _serve(socket.socket(fileno=int(sys.argv[1])))
