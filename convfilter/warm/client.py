"""What a call does first: hand itself to a warm process, if one runs, and wait for its end as if it were its own.

Here counts what is imported: the whole takes some 10 ms, and Python's start 20.
"""

import _signal as signal  # not `signal`, which loads enum and with it ten other modules: 5 ms
import os
import sys

from convfilter.warm import protocol

ANSWER = 0.05  # seconds that the warm process may take to answer; after that the call goes the ordinary way
OWN_ANSWER = 2.0  # the same, of one that `warm run` has started for this call: it lives, and the machine may be busy
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP"))
ASKING = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGINFO") if hasattr(signal, name))
PASSED_ON = tuple(
    getattr(signal, name)
    for name in ("SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGINFO")
    if hasattr(signal, name)
)
LOST = 3  # the exit status of a call whose warm process was killed: it was stopped early


def call(version: str) -> int | None:
    """Let the warm process do this call, and return its exit status, or the negative number of a signal that killed it.

    None where there is no warm process, or anything else is in the way: nothing has been done, and nothing is changed.
    """
    wanted = os.environ.get(protocol.VARIABLE, "")
    if wanted == "0" or not protocol.is_possible():
        return None
    own = os.path.isabs(wanted)
    path = wanted if own else protocol.find_socket(version)
    if not os.path.exists(path):
        return None
    before = {number: signal.getsignal(number) for number in (*ENDING, *PASSED_ON, signal.SIGTSTP, signal.SIGCONT)}
    waiting = Waiting([number for number, handler in before.items() if handler == signal.SIG_IGN])
    status = None
    try:
        waiting.catch(ENDING, waiting.end)
        waiting.catch(ASKING, waiting.pass_on)
        status = waiting.run(path, OWN_ANSWER if own else ANSWER)
    finally:
        if status is None:
            for number, handler in before.items():
                signal.signal(number, handler)
    return status


def connect(path: str, seconds: float = ANSWER):
    """Return a socket on which a process forked by the warm one listens, or None where none answers in time."""
    if not protocol.is_private(os.path.dirname(path)):
        return None
    sock = protocol.open_socket()
    try:
        sock.settimeout(seconds)
        sock.connect(path)
        if protocol.peer_of(sock) == os.geteuid() and sock.recv(1) == protocol.READY:
            sock.settimeout(None)
            return sock
    except OSError:
        pass
    sock.close()
    return None


def ask(path: str, question: str) -> dict | None:
    """Return the warm process's answer to a question other than a call, or None where there is none."""
    sock = connect(path, seconds=5)
    if sock is None:
        return None
    try:
        sock.settimeout(5)
        protocol.send(sock, {"ask": question})
        return protocol.receive(sock)[0]
    except (OSError, EOFError, ValueError):
        return None
    finally:
        sock.close()


class Waiting:
    """A call that another process runs: signals go on to that one, and its end is this one's."""

    def __init__(self, ignored: list[int]) -> None:
        self.ignored, self.worker = ignored, 0

    def run(self, path: str, seconds: float) -> int | None:
        """Do as ``call`` says."""
        descriptors = list_descriptors()  # before there are others of our own
        sock = connect(path, seconds)
        if sock is None:
            return None
        try:
            request = describe_call(descriptors)
            folder = os.open(".", getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC)
            try:
                protocol.send(sock, request, [folder, *descriptors])
            finally:
                os.close(folder)
            if protocol.receive_exactly(sock, 1) != protocol.STARTED:
                return None
            self.worker = int.from_bytes(protocol.receive_exactly(sock, 4), "big")
        except (OSError, EOFError, ValueError):
            return None
        finally:
            if not self.worker:
                sock.close()
        self.catch(PASSED_ON, self.pass_on)
        self.catch((signal.SIGTSTP,), self.suspend)
        self.catch((signal.SIGCONT,), self.go_on)
        try:
            return int.from_bytes(protocol.receive_exactly(sock, 4), "big", signed=True)
        except (OSError, EOFError):
            self.kill(signal.SIGKILL)
            os.write(
                2, b"convfilter: the warm process was ended during this call; what is written is whole: run it again\n"
            )
            return LOST

    def catch(self, numbers, handler) -> None:
        for number in numbers:
            if number not in self.ignored:
                signal.signal(number, handler)

    def end(self, number: int, frame) -> None:
        if not self.worker:
            os._exit(128 + number)
        self.pass_on(number, frame)

    def pass_on(self, number: int, frame) -> None:
        if not self.worker:
            return  # of those that end a program, see `end`
        try:
            os.kill(self.worker, number)
        except OSError:
            return  # it has just ended

    def suspend(self, number: int, frame) -> None:
        self.kill(signal.SIGSTOP)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here it stops, until it is continued
        signal.signal(signal.SIGTSTP, self.suspend)
        self.kill(signal.SIGCONT)

    def go_on(self, number: int, frame) -> None:
        self.kill(signal.SIGCONT)

    def kill(self, number: int) -> None:
        """Send a signal to the call's process and to those that it has started."""
        try:
            os.killpg(self.worker, number)
        except OSError:
            return  # it has just ended


def list_descriptors() -> list[int]:
    """Return the descriptors that this process was started with: the standard streams, and what a shell added."""
    found = []
    for name in os.listdir("/dev/fd"):
        number = int(name)
        try:
            if number <= 2 or os.get_inheritable(number):
                os.fstat(number)
                found.append(number)
        except OSError:
            pass  # the one by which the folder was listed
    return sorted(found)


def describe_call(descriptors: list[int]) -> dict:
    """Return all that a process takes over from the one that starts it, as one message to the warm process.

    ValueError where that is more than can be sent.
    """
    import resource

    if len(descriptors) > 250:
        raise ValueError("the system sends no more descriptors at once")
    umask = os.umask(0o077)
    os.umask(umask)
    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    streams = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return {
        "ask": "run",
        "same": protocol.describe_process(),
        "arguments": sys.argv,
        "path": sys.path,
        "environment": dict(os.environb),
        "descriptors": descriptors,
        "streams": [stream and (stream.encoding, stream.errors, stream.write_through) for stream in streams],
        "umask": umask,
        "limits": [(number, *resource.getrlimit(number)) for number in limits],
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "ignored": [number for number in range(1, 32) if signal.getsignal(number) == signal.SIG_IGN],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    }


def leave(status: int) -> None:
    """End with what ``call`` returned: an exit status, or the negative number of a signal."""
    if status >= 0:
        os._exit(status)
    import resource

    number = -status

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the state that a core file would show is not this process's
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    os._exit(128 + number)
