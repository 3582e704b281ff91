"""Processes that read, render and write the pictures of a run, where threads would wait for Python's lock.

This process walks, names, counts memory and renames; what takes long is done by others. They are forked from one, the
base, that has loaded PyTorch and computed nothing, for OpenMP's threads do not survive a fork. The base is forked
before this process has threads, and loads PyTorch when the first picture needs it.

A worker is asked over a socket, which one thread of this process has to itself: that sends (source, paths, token of the
temporary files). The worker asks ("take", bytes) before it decodes, and waits for the answer; at the end it says
("done", (result, files that are whole)). They get their names here, so that a stop, or a worker that is killed, leaves
all outputs of a picture or none.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import signal
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from convfilter import streams
from convfilter.errors import InputError
from convfilter.files.leaving import LeavingWriter
from convfilter.files.temporary import make_token, remove_made
from convfilter.files.walk import Source
from convfilter.run.filtering import Filtering, Input, attempt
from convfilter.run.loading import load_modules
from convfilter.run.plan import Key
from convfilter.run.result import Result

ENDING = 0.2  # seconds that killed workers may take to be gone, all together: who stops a run waits no longer than 0.4


def can_fork() -> bool:
    """Return whether a copy of this process can go on by itself: nothing else runs in it.

    What torch has computed may have left threads that a copy would wait for; only Linux tells that there are none.
    Those of fsspec wait for the network, and a copy does without.
    """
    waiting = sum(thread.name.startswith(("fsspecIO", "asyncio_")) for thread in threading.enumerate())
    if sys.platform not in ("linux", "darwin") or threading.active_count() > 1 + waiting:
        return False
    return "torch" not in sys.modules or (sys.platform == "linux" and len(os.listdir("/proc/self/task")) == 1 + waiting)


class Workers:
    """The worker processes of one run; ``filtering`` is what they do.

    OSError where the system gives no process for the base.
    """

    def __init__(self, filtering: Filtering) -> None:
        self._filtering = filtering
        self._lock = threading.Lock()  # of the base, which is asked for one worker at a time
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._stopped = False
        self._base, theirs = socket.socketpair()
        parent = os.getpid()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's, of threads: numpy has some, which it takes back before a fork
            self._process = os.fork()
        if not self._process:
            self._base.close()
            _be_base(theirs, filtering, parent)
        theirs.close()

    def write(self, source: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        """Return what became of a source, read from this file, with the outputs that are due to it at these paths.

        Raises:
            InputError: its worker was killed, or the run stopped. OutputError: an output cannot get its name.
        """
        try:
            worker = self._idle.pop()
        except IndexError:
            worker = self._start()
        if worker is None:  # no process is to be had: this thread does it
            return self._filtering.write(source, file, paths)
        try:
            result = worker.write(source, file, paths, self._filtering)
        except EOFError:
            self._forget(worker)
            if self._stopped:
                raise InputError("the run was stopped") from None
            raise InputError("the process that worked on it was killed; memory may be short", kind="memory") from None
        except BaseException:
            self._idle.append(worker)
            raise
        self._idle.append(worker)
        return result

    def stop(self) -> None:
        """Kill all workers, whose temporary files are then removed; any thread may call this."""
        self._stopped = True
        for process in (self._process, *(worker.process for worker in list(self._all))):
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        deadline = time.monotonic() + ENDING
        for worker in list(self._all):
            if not worker.idle.wait(max(0.0, deadline - time.monotonic())):
                worker.remove_made()  # it cannot answer any more, but on a busy machine is not gone yet

    def close(self) -> None:
        """Let all processes end; nobody calls ``write`` any more."""
        for worker in list(self._all):
            worker.channel.close()
        self._base.close()
        threading.Thread(target=os.waitpid, args=(self._process, 0), daemon=True).start()

    def _start(self) -> "_Worker | None":
        """Return a new worker, or None where there can be none."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                socket.send_fds(self._base, [b"f"], [theirs.fileno()])
                process = int.from_bytes(self._base.recv(4), "big")
            except OSError:
                process = 0
        if not process:
            ours.close()
            if self._stopped:
                raise InputError("the run was stopped")
            return None
        worker = _Worker(process, Channel(ours))
        self._all.add(worker)
        if self._stopped:  # which may have seen only those before this one
            self.stop()
        return worker

    def _forget(self, worker: "_Worker") -> None:
        self._all.discard(worker)
        worker.channel.close()


class _Worker:
    """A worker as this process sees it."""

    def __init__(self, process: int, channel: "Channel") -> None:
        self.process, self.channel = process, channel
        self.idle = threading.Event()  # nothing of it lies on the disk
        self.idle.set()
        self._token, self._paths = "", tuple[str, ...]()

    def write(self, source: Source, file: Input, paths: Mapping[Key, str], filtering: Filtering) -> Result:
        """Do as ``Workers.write`` says; EOFError where the worker was killed."""
        self._token, self._paths = make_token(), tuple(paths.values())
        self.idle.clear()
        try:
            with filtering.budget.share() as share:
                self.channel.send((source, file, paths, self._token))
                while (message := self.channel.receive())[0] == "take":
                    share.take(message[1])
                    self.channel.send(None)
                result, written = message[1]
                if written:
                    filtering.writer.rename(written)
                return result
        except BaseException:
            self.remove_made()
            raise
        finally:
            self.idle.set()

    def remove_made(self) -> None:
        """Remove the temporary files of the picture that it has worked on last."""
        for folder in {os.path.dirname(path) for path in self._paths}:
            remove_made(folder or os.curdir, self._token, len(self._paths))


class Channel:
    """One end of a socket over which values go, one at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, value: Any) -> None:
        """Send a value; EOFError where the other end is gone."""
        data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        try:
            self._sock.sendall(len(data).to_bytes(4, "big") + data)
        except OSError:
            raise EOFError from None

    def receive(self) -> Any:
        """Return the next value; EOFError where the other end is gone."""
        data = self._read(1 << 16)
        size = 4 + int.from_bytes(data[:4], "big")
        while len(data) < size:
            data += self._read(size - len(data))
        return pickle.loads(memoryview(data)[4:])

    def close(self) -> None:
        self._sock.close()

    def _read(self, most: int) -> bytes:
        try:
            data = self._sock.recv(most)
        except OSError:
            data = b""
        if not data:
            raise EOFError
        return data


def _be_base(sock: socket.socket, filtering: Filtering, parent: int) -> NoReturn:
    """Fork a worker whenever one is asked for, until the one that asks is gone."""
    try:
        _end_with(parent)
        for number in (*streams.SIGNALS, *streams.ASKING, signal.SIGQUIT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # the one that asks obeys them, and kills
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)  # or who reads that would wait for us
        loaded = False
        while True:
            data, fds, _, _ = socket.recv_fds(sock, 1, 1)
            if not data:
                os._exit(0)
            if not loaded:
                with contextlib.suppress(Exception):  # each worker finds out by itself, and says so
                    load_modules()
                gc.collect()
                gc.freeze()  # a worker's first collection would else copy every page that holds an object
                loaded = True
            base, process = os.getpid(), _fork()
            if not process:
                sock.close()
                _end_with(base)
                _work(Channel(socket.socket(fileno=fds[0])), filtering)
            os.close(fds[0])
            sock.sendall(max(process, 0).to_bytes(4, "big"))
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    finally:
        os._exit(1)


def _fork() -> int:
    try:
        return os.fork()
    except OSError:
        return -1


def _end_with(parent: int) -> None:
    """Let the system kill this process when its parent, which has this number, has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)


def _work(channel: Channel, filtering: Filtering) -> NoReturn:
    """Do what is asked over the channel, until nobody asks any more."""
    writer = LeavingWriter(no_clobber=filtering.writer.no_clobber, folder=filtering.writer.folder)
    filtering = replace(filtering, writer=writer, budget=_AskingBudget(filtering.budget.size, channel))
    try:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
        while True:
            source, file, paths, writer.token = channel.receive()
            for output in writer.left:
                output.let_go()
            writer.written, writer.left = [], []
            result = attempt(source, partial(filtering.write, source, file, paths))
            channel.send(("done", (result, writer.written)))
    except EOFError:
        os._exit(0)


class _AskingBudget:
    """The run's budget, as a worker sees it."""

    stopped = False

    def __init__(self, size: int, channel: Channel) -> None:
        self.size, self._channel = size, channel

    @contextlib.contextmanager
    def share(self) -> Iterator["_AskingBudget"]:
        yield self

    def take(self, need: int) -> None:
        self._channel.send(("take", need))
        self._channel.receive()
