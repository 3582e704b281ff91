"""The warm process: it has loaded everything and computed nothing, and forks for each call until it is not needed.

Nothing may have been computed before a fork, for the threads of OpenMP do not survive it, and a child that waits for
them hangs. So what is loaded is given as a function that only imports.
"""

import contextlib
import fcntl
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NoReturn

from convfilter.errors import ConvfilterError
from convfilter.warm import protocol
from convfilter.warm.worker import BEGUN, read_reports, work

IDLE = 15 * 60  # seconds without a call after which it ends
LOOK = 60  # seconds between two looks at what is installed


class WarmError(ConvfilterError):
    """There can be no warm process; the message says why."""


def start(path: str, *, load: Callable[[], None], run: Callable[[], int], owner_pipe: int | None = None) -> int:
    """Start a warm process that listens at this path, and return its process number once it answers.

    ``load`` imports all that a call needs, and ``run`` is the program. ``owner_pipe`` is the reading end of a pipe:
    when nobody has the writing end any more, the process ends, and removes the folder of its socket.

    Raises:
        WarmError: it cannot be started; the message says why.
    """
    _prepare_folder(os.path.dirname(path))
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _become_warm(path, writer, owner_pipe, load, run)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader, "rb") as pipe:
        message = pipe.read()
    number, _, reason = message.decode(errors="replace").partition(" ")
    if reason or not number:
        raise WarmError(f"the warm process could not be started: {reason or 'it was ended while it was loading'}")
    return int(number)


def _prepare_folder(folder: str) -> None:
    """Make the socket's folder, or make sure that it is only this user's."""
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise WarmError(f"{folder}: the folder of the warm process's socket cannot be made: {error.strerror}") from None
    if not protocol.is_private(folder):
        raise WarmError(f"{folder}: must be a folder that only you can enter (mode 0700); remove it or set TMPDIR")


def _become_warm(path: str, writer: int, owner_pipe: int | None, load, run) -> NoReturn:
    """Be the warm process, in a session of its own; tell the pipe its process number, or a 0 and what went wrong."""
    os.setsid()
    if os.fork():
        os._exit(0)  # so that whoever starts it need not wait for it
    try:
        os.chdir("/")
        os.umask(0o077)
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        keep = {0, 1, 2, writer, owner_pipe}
        for fd in (fd for fd in map(int, os.listdir("/dev/fd")) if fd not in keep):
            with contextlib.suppress(OSError):
                os.close(fd)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTSTP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)  # what a terminal sends is for its own
        with _locked(path):
            server = Server(path, run, owner_pipe)
            load()
            server.listen()
            os.write(writer, b"%d" % os.getpid())
            os.close(writer)
            server.serve()
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(writer, b"0 " + " ".join(str(error).split()).encode(errors="replace"))
    os._exit(0)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Be the only warm process of this path; wait for one that is just ending."""
    with open(f"{path}.lock", "w") as lock:
        deadline = time.monotonic() + 5
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WarmError("another one is running or starting") from None
                time.sleep(0.05)
        yield


class Server:
    """Listens at a path, and forks a worker for each call; ``serve`` ends when nobody needs it any more."""

    def __init__(self, path: str, run: Callable[[], int], owner_pipe: int | None) -> None:
        self.path, self.run, self.owner_pipe = path, run, owner_pipe
        self.same = protocol.describe_process()  # before the libraries are loaded, which may add to the environment
        self.installed = [(file, _stamp(file)) for file in _installation()]
        self.begun, self.calls = time.time(), 0
        self.workers: dict[int, socket.socket | None] = {}  # process number: the connection on which its call waits
        self.ending = False

    def listen(self) -> None:
        """Open the socket; calls may come from now on."""
        gc.collect()
        gc.freeze()  # a child's first collection would else write to every page that holds an object
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # of one that was killed: the lock is ours
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(128)
        self.listener.setblocking(False)

    def serve(self) -> None:
        """Fork for each call, until a signal, 15 idle minutes, a changed installation, or the owner pipe's end."""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        if self.owner_pipe is not None:
            self.selector.register(self.owner_pipe, selectors.EVENT_READ, self.end)
        woken, wake = _pipe()
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # it is the byte in the pipe that counts
        signal.signal(signal.SIGTERM, lambda number, frame: self.end())
        self.selector.register(woken, selectors.EVENT_READ, lambda: os.read(woken, 4096))
        self.reports, self.report_pipe = _pipe()
        self.selector.register(self.reports, selectors.EVENT_READ, self.read_workers)
        last = time.monotonic()
        while self.workers or not self.ending:
            events = self.selector.select(LOOK)
            for key, _ in events:
                key.data()
            self.reap()
            if events or self.workers:
                last = time.monotonic()
            elif time.monotonic() - last > IDLE or self.has_changed():
                self.end()
            if self.ending and self.listener:
                self.close()

    def has_changed(self) -> bool:
        """Return whether another convfilter, or another library, would be loaded now."""
        return any(_stamp(file) != stamp for file, stamp in self.installed)

    def accept(self) -> None:
        """Take one connection, and fork a worker for it."""
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return  # it is gone already
        try:
            if self.ending or self.has_changed():
                self.end()
                return
            if protocol.peer_of(sock) != os.geteuid():
                return
            sock.sendall(protocol.READY)
            state = {"process": os.getpid(), "begun": self.begun, "calls": self.calls, "running": len(self.workers)}
            child = os.fork()
            if not child:
                try:
                    signal.set_wakeup_fd(-1)
                    work(sock, self.report_pipe, self.same, state, self.run)
                finally:
                    os._exit(1)  # whatever happens, there is one warm process
            self.workers[child], sock = sock, None
        except OSError:
            pass  # the call goes the ordinary way
        finally:
            if sock:
                sock.close()

    def read_workers(self) -> None:
        """Watch the calls whose workers have begun, and tell those whose workers are done how they end."""
        for child, status in read_reports(self.reports):
            if status != BEGUN:
                self.tell(child, status)
            elif self.workers.get(child):
                self.calls += 1  # on its connection a call says no more: it can only be closed
                self.selector.register(self.workers[child], selectors.EVENT_READ, partial(self.give_up, child))

    def give_up(self, child: int) -> None:
        """Kill a worker whose call was killed, together with what it has started."""
        if sock := self.workers.get(child):  # else it has just ended
            self.selector.unregister(sock)
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGKILL)

    def reap(self) -> None:
        """Take back what is left of workers that have ended; the calls of those that were killed learn of it."""
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self.tell(ended[0], os.waitstatus_to_exitcode(ended[1]))
                del self.workers[ended[0]]

    def tell(self, child: int, status: int) -> None:
        """Tell a call how its worker has ended, if it does not know yet."""
        if sock := self.workers.get(child):
            self.workers[child] = None
            with contextlib.suppress(KeyError):
                self.selector.unregister(sock)
            with contextlib.suppress(OSError):
                sock.sendall(status.to_bytes(4, "big", signed=True))
            sock.close()

    def end(self) -> None:
        """Take no more calls; ``serve`` returns when those under way have ended."""
        self.ending = True

    def close(self) -> None:
        """Let no more calls come, and remove what lies on the disk."""
        self.selector.unregister(self.listener)
        self.listener.close()
        self.listener = None
        os.unlink(self.path)
        if self.owner_pipe is not None:
            self.selector.unregister(self.owner_pipe)
            shutil.rmtree(os.path.dirname(self.path), ignore_errors=True)


def _pipe() -> tuple[int, int]:
    """Return the ends of a pipe that nobody waits for."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    return reader, writer


def _installation() -> Iterator[str]:
    """Yield the files of this installation, and the folders to which pip adds when it installs a library."""
    for folder, _, files in os.walk(protocol.PACKAGE):
        if os.path.basename(folder) != "__pycache__":
            yield from (os.path.join(folder, name) for name in files)
    yield from (folder for folder in sys.path[1:] if folder.endswith(("site-packages", "dist-packages")))


def _stamp(file: str) -> tuple[int, int] | None:
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
