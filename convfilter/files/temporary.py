"""Hidden files that stand for outputs until they are whole, and which of them a killed run has left."""

import contextlib
import os
import re
import secrets
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where no one can remove a file that is open
    fcntl = None  # type: ignore[assignment]

NAME = re.compile(r"(\.convfilter-[0-9a-f]{16})(-\d+)?\.tmp")


def create_locked(folder: str, token: str | None = None) -> tuple[str, BinaryIO]:
    """Return path and file of a new temporary file, which tells other runs that this one lives while it stays open.

    ``token``, of 16 hexadecimal digits, makes its name; else it is a random one.
    """
    while True:
        path = invent(folder, token)
        file = open(path, "xb")  # noqa: SIM115
        if not fcntl:
            return path, file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:
                return path, file
        except BlockingIOError:
            pass  # another run is just removing it as a dead one's
        except OSError:
            return path, file  # a file system without locks, where remove_stale leaves everything alone
        file.close()


def create_beside(locked: str, number: int) -> tuple[str, BinaryIO]:
    """Return path and file of one that may be closed: it lives as long as the locked one beside it, by its name."""
    path = name_beside(locked, number)
    return path, open(path, "xb")


def name_beside(locked: str, number: int) -> str:
    """Return the name of a temporary file beside a locked one."""
    return f"{locked.removesuffix('.tmp')}-{number}.tmp"


def invent(folder: str, token: str | None = None) -> str:
    """Return a path in the folder that no file has, or the one with this token."""
    return os.path.join(folder, f".convfilter-{token or make_token()}.tmp")


def make_token() -> str:
    """Return what tells a temporary file from all others."""
    return secrets.token_hex(8)


def remove_made(folder: str, token: str, count: int) -> None:
    """Remove the temporary files of a token in a folder: the locked one, and as many beside it as there may be."""
    locked = invent(folder, token)
    for path in (locked, *(name_beside(locked, number) for number in range(1, count))):
        unlink(path)


def remove_stale(folder: str) -> None:
    """Remove temporary files that killed runs left in a folder; those of runs that live stay."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = NAME.fullmatch(entry.name)
            if name and entry.is_file(follow_symlinks=False) and _bury(os.path.join(folder, name[1] + ".tmp")):
                unlink(entry.path)


def unlink(path: str) -> None:
    """Remove a file, if it is there and may be removed."""
    with contextlib.suppress(OSError):
        os.unlink(path)


def _bury(locked: str) -> bool:
    """Remove a locked file of a run that lives no more, and return whether there is none."""
    try:
        if fcntl:
            with open(locked, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(locked)
        else:
            os.unlink(locked)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
