"""Writes all outputs of a picture or none: temporary files beside their targets, renamed when every one is whole."""

import ast
import contextlib
import errno
import math
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from convfilter.errors import OutputError, escape

try:
    import fcntl
except ImportError:  # Windows: there a file that is open cannot be removed, which tells the living as well
    fcntl = None

TEMPORARY = re.compile(r"\.convfilter-[0-9a-f]{16}\.tmp")
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"
_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "its folder is gone",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EISDIR: "it is a folder",
    errno.EFBIG: "larger than a file may be here",
    errno.EIO: "the disk reports an error",
    errno.ENAMETOOLONG: "its name is too long for this file system",
}
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class Outputs:
    """The outputs of one run: gives out batches, and after ``stop()`` no file appears any more.

    ``folder`` is the one folder that all outputs go to, where there is one: what fails for it fails for all.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Outputs().batch() as batch:
    ...     _ = batch.open(folder + "/a.txt").write(b"whole")
    ...     before = os.listdir(folder)
    ...     batch.commit()
    ...     before[0][:12], os.listdir(folder)
    ('.convfilter-', ['a.txt'])
    """

    def __init__(self, *, no_clobber: bool = False, folder: str | None = None) -> None:
        self.no_clobber, self.folder = no_clobber, folder
        self.stopped = False
        self._lock = threading.RLock()
        self._live: set[Batch] = set()
        self._tidied: dict[str, None] = {}

    def batch(self) -> "Batch":
        """Return an empty batch, for one picture's outputs."""
        return Batch(self)

    def tidy(self, folder: str) -> None:
        """Make the folder, with those above it, and remove what killed runs left there; once a run."""
        with self._lock:
            if folder in self._tidied:
                return
            if len(self._tidied) >= 4096:
                del self._tidied[next(iter(self._tidied))]
            self._tidied[folder] = None
        make_folder(folder, fatal=folder == self.folder)
        remove_stale(folder)

    def stop(self) -> None:
        """Let no commit happen from now on, and remove every temporary file of this run."""
        with self._lock:
            self.stopped = True
            for batch in list(self._live):
                batch.discard()


class Batch:
    """The outputs of one picture: ``open`` and write each, then ``commit`` or ``discard`` all of them.

    Leaving a ``with`` block without a commit discards. OutputError where one cannot be written.
    """

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._files: list[tuple[str, str, BinaryIO]] = []  # path, temporary path, file

    def __enter__(self) -> "Batch":
        return self

    def __exit__(self, *exception) -> None:
        self.discard()

    def open(self, path: str) -> "_File":
        """Return a binary file to write, which lies beside ``path`` under a temporary name; leave it open."""
        if self._outputs.no_clobber and os.path.lexists(path):
            raise _exists(path)
        if os.path.isdir(path):
            raise _error(path, errno.EISDIR)
        folder = os.path.dirname(path) or "."
        self._outputs.tidy(folder)
        with _explained(path, fatal=folder == self._outputs.folder):
            temporary, file = _create_temporary(os.path.dirname(path))
        with self._outputs._lock:
            self._files.append((path, temporary, file))
            self._outputs._live.add(self)
            if self._outputs.stopped:
                self.discard()
                raise OutputError(f"{escape(path)}: stopped", fatal=True)
        return _File(file, path)

    def commit(self) -> None:
        """Give every file its name: all appear, or none and OutputError says why; earlier ones are restored then."""
        for path, _, file in self._files:
            with _explained(path):
                file.flush()
                os.close(os.dup(file.fileno()))  # a network disk that is full says so when a file is closed
        with self._outputs._lock:
            if self._outputs.stopped:
                self.discard()
                raise OutputError("stopped before the outputs were complete", fatal=True)
            try:
                _rename_all(self._files, self._outputs.no_clobber)
            finally:
                self.discard()

    def discard(self) -> None:
        """Remove what has not been committed."""
        with self._outputs._lock:
            files, self._files = self._files, []
            self._outputs._live.discard(self)
        for _, temporary, file in files:
            if fcntl:
                _unlink(temporary)  # while the lock is held: no other run takes it for a dead one's
            with contextlib.suppress(OSError):
                file.close()
            if not fcntl:
                _unlink(temporary)


class _File:
    """A binary file to write, whose errors name the output."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path

    def write(self, data) -> int:
        with _explained(self._path):
            return self._file.write(data)

    def writelines(self, pieces: Iterable) -> None:
        with _explained(self._path):
            self._file.writelines(pieces)

    def flush(self) -> None:
        with _explained(self._path):
            self._file.flush()


def make_folder(folder: str, *, fatal: bool = False) -> None:
    """Make a folder and those above it, where they are missing; OutputError where that cannot be."""
    try:
        os.makedirs(folder, exist_ok=True)
    except FileExistsError:
        raise OutputError(f"{escape(folder)}: is a file, and outputs need a folder", fatal=fatal) from None
    except OSError as error:
        raise _error(folder, error.errno, fatal) from None


def remove_stale(folder: str) -> None:
    """Remove temporary files that killed runs left in a folder; those of runs that live stay."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if TEMPORARY.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                    if fcntl:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(entry.path)
                if not fcntl:
                    _unlink(entry.path)


def is_done(source: str, outputs: Iterable[str]) -> bool:
    """Return whether every output is there, whole (PNG or NPY, by its suffix) and not older than the source."""
    try:
        since = os.stat(source).st_mtime_ns
        return all(os.stat(path).st_mtime_ns >= since and is_whole(path) for path in outputs)
    except OSError:
        return False


def is_whole(path: str) -> bool:
    """Return whether a PNG file has its start and its end, or an NPY file the size that its header says."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(4096)
        if path.endswith(".npy"):
            return _npy_size(start) == size
        file.seek(max(0, size - len(PNG_END)))
        return start.startswith(PNG_START) and file.read() == PNG_END


def _npy_size(start: bytes) -> int:
    """Return the size in bytes that an NPY file has by its header, or -1."""
    wide = start[6:7] > b"\1"
    header = 12 if wide else 10
    length = int.from_bytes(start[8:header], "little")
    with contextlib.suppress(ValueError, SyntaxError, KeyError, TypeError):
        if start.startswith(b"\x93NUMPY"):
            fields = ast.literal_eval(start[header : header + length].decode("latin-1").strip())
            return header + length + math.prod(fields["shape"]) * int(fields["descr"][2:])
    return -1


def _create_temporary(folder: str) -> tuple[str, BinaryIO]:
    while True:
        path = os.path.join(folder, f".convfilter-{secrets.token_hex(8)}.tmp")
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
            return path, file  # a file system without locks; remove_stale leaves such files alone, too
        file.close()


def _rename_all(files: list[tuple[str, str, BinaryIO]], no_clobber: bool) -> None:
    """Rename every temporary file to its path; if one fails, undo those before it and raise."""
    done: list[tuple[str, str | None]] = []  # path, and where its earlier content is kept
    try:
        for path, temporary, file in files:
            with _explained(path):
                if not fcntl:
                    file.close()  # Windows renames no open file
                if no_clobber:
                    _appear(temporary, path)
                    done.append((path, None))
                    continue
                kept = _keep(path) if path != files[-1][0] else None
                done.append((path, kept)) if kept else None
                os.replace(temporary, path)
                done.append((path, None)) if not kept else None
    except BaseException:
        for path, kept in reversed(done):
            with contextlib.suppress(OSError):
                os.replace(kept, path) if kept else os.unlink(path)
        raise
    for _, kept in done:
        if kept:
            _unlink(kept)


def _keep(path: str) -> str | None:
    """Keep what is at the path under a second name, and return that; None if nothing is there."""
    kept = os.path.join(os.path.dirname(path), f".convfilter-{secrets.token_hex(8)}.tmp")
    try:
        os.link(path, kept, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(path, kept)
    return kept


def _appear(temporary: str, path: str) -> None:
    """Rename to a path that must be free: of two runs that try, one succeeds."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            os.replace(temporary, path)
            return
        raise _exists(path) from None


@contextlib.contextmanager
def _explained(path: str, *, fatal: bool = False) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error(path, error.errno, fatal) from None
    except ValueError:  # a file closed by stop()
        raise OutputError(f"{escape(path)}: stopped", fatal=True) from None


def _error(path: str, number: int | None, fatal: bool = False) -> OutputError:
    reason = _REASONS.get(number, os.strerror(number) if number else "unknown error")
    return OutputError(f"{escape(path)}: cannot be written: {reason}", fatal=fatal or number in _FATAL)


def _exists(path: str) -> OutputError:
    return OutputError(f"{escape(path)}: exists, and --no-clobber keeps it")


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
