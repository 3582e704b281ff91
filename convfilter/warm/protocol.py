"""What a call and the warm process agree upon: the socket's place, the words exchanged, and who may talk to whom.

The call connects, and the warm process greets it with READY and forks. The call then sends one message (its length in
8 bytes, and a dictionary written by ``marshal``; the call's descriptors travel with its first byte) to the process
forked, which answers REFUSED, or STARTED and its process number in 4 bytes. At the end the warm process tells how that
process ended, in 4 bytes: its exit status, or the negative number of the signal that killed it.

A message is ``{"ask": "run", ...}`` or ``{"ask": "status", ...}``; see ``client.describe_call``.
"""

import marshal
import os
import sys
from zlib import crc32

try:  # the modules that Python's own `socket` stands on: that one loads twenty others, which takes 10 ms
    import _socket
except ImportError:
    _socket = None

READY, STARTED, REFUSED = b"+", b"!", b"-"
VARIABLE = "CONVFILTER_WARM"  # "0": no warm process; a path: the socket of this one, which `warm run` has started
PACKAGE = os.path.dirname(os.path.dirname(__file__))
MOST = 1 << 26  # bytes of a message: arguments and environment of a process have less
LOADED = ("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_", "ATEN_", "TORCH_", "PYTORCH_", "NPY_",
          "LD_", "DYLD_", "MALLOC_", "GLIBC_")  # fmt: skip


def is_possible() -> bool:
    """Return whether this system has what a warm process needs: fork, and Unix sockets that tell the peer's user."""
    return sys.platform in ("linux", "darwin") and hasattr(_socket, "AF_UNIX")


def find_socket(version: str, environ=os.environ) -> str:
    """Return the path of the socket of this installation's warm process; neither it nor its folder need exist.

    It lies in ``$XDG_RUNTIME_DIR/convfilter``, else in a folder of that kind in the temporary folder.
    """
    key = f"{PACKAGE}\0{sys.prefix}\0{sys.version}"
    name = f"{version}-{crc32(os.fsencode(key)):08x}"
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and fits(path := os.path.join(runtime, "convfilter", name)):
        return path
    for folder in (environ.get("TMPDIR", ""), "/tmp"):
        if os.path.isabs(folder) and fits(path := os.path.join(folder, f"convfilter-{os.geteuid()}", name)):
            break
    return path


def fits(path: str) -> bool:
    """Return whether a socket can have this path."""
    return len(os.fsencode(path)) <= 100  # the address of a Unix socket holds 103 bytes on macOS


def open_socket(fd: int | None = None):
    """Return a new Unix socket, or the one that has this descriptor."""
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)


def is_private(folder: str) -> bool:
    """Return whether nobody but this user can put or replace anything in a folder."""
    try:
        status = os.lstat(folder)
    except OSError:
        return False
    return status.st_mode & 0o170077 == 0o040000 and status.st_uid == os.geteuid()  # a folder, and no link to one


def peer_of(sock) -> int:
    """Return the number of the user at the other end of a Unix socket. OSError where the system does not say."""
    if sys.platform == "linux":
        data = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # process, user, group
    else:
        data = sock.getsockopt(0, 1, 76)  # LOCAL_PEERCRED of SOL_LOCAL: a version, the user, groups
    return int.from_bytes(data[4:8], sys.byteorder)


def describe_process() -> dict[str, object]:
    """Return what must be the same in a call and in the warm process, for the libraries take it up as they are loaded.

    The names are what a user is told where they differ.
    """
    import resource

    same: dict[str, object] = {
        "Python or convfilter": (PACKAGE, sys.version, sys.prefix),
        "Python's options": (tuple(sys.flags), tuple(sys.warnoptions), tuple(sys._xoptions)),
        "PYTHONPATH": tuple(sys.path[1:]),
        "the file names' encoding": (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()),
        "user and groups": (os.getuid(), os.geteuid(), os.getgid(), os.getegid(), tuple(sorted(os.getgroups()))),
    }
    for name in ("AS", "DATA", "RSS", "STACK"):
        if hasattr(resource, f"RLIMIT_{name}"):
            same[f"the limit RLIMIT_{name}"] = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))
    for place in ("/", "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/user"):  # another container's files
        try:
            status = os.stat(place)
        except OSError:
            continue
        same[f"the file system {place}"] = (status.st_dev, status.st_ino)
    for name, value in os.environ.items():
        if name.startswith(LOADED):
            same[name] = value
    return same


def differences(here: dict[str, object], there: dict[str, object]) -> list[str]:
    """Return the names of what is not the same in two answers of ``describe_process``."""
    return [name for name in {**here, **there} if here.get(name) != there.get(name)]


def send(sock, message: dict, descriptors=()) -> None:
    """Send one message, with descriptors; OSError where the other end is gone."""
    data = marshal.dumps(message)
    data = len(data).to_bytes(8, "big") + data
    fds = b"".join(fd.to_bytes(4, sys.byteorder) for fd in descriptors)
    sent = sock.sendmsg([data], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fds)] if fds else [])
    sock.sendall(memoryview(data)[sent:])


def receive(sock) -> tuple[dict, list[int]]:
    """Return one message and the descriptors that came with it; EOFError where the other end is gone."""
    data, ancillary, flags, _ = sock.recvmsg(8, _socket.CMSG_SPACE(4 * 256))
    fds = []
    for level, kind, content in ancillary:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            fds += [int.from_bytes(content[i : i + 4], sys.byteorder) for i in range(0, len(content) & ~3, 4)]
    data += receive_exactly(sock, 8 - len(data))
    length = int.from_bytes(data, "big")
    if flags & _socket.MSG_CTRUNC or length > MOST:
        raise EOFError("the message makes no sense")
    return marshal.loads(receive_exactly(sock, length)), fds


def receive_exactly(sock, count: int) -> bytes:
    """Return the next bytes; EOFError where the other end is gone before."""
    data = bytearray()
    while len(data) < count:
        piece = sock.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise EOFError("the connection has ended")
        data += piece
    return bytes(data)
