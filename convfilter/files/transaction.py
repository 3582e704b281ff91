"""Writes all outputs of a picture or none: under temporary names first, then renamed when every one is whole."""

import contextlib
import errno
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, BinaryIO

from convfilter.errors import OutputError, escape
from convfilter.files.paths import above
from convfilter.files.temporary import create_beside, create_locked, invent, remove_stale, unlink

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
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}  # what costs all that go to the same disk
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


class OutputWriter:
    """Writes the outputs of one run: gives out transactions, and after ``stop()`` no file appears any more.

    ``folder`` is the one folder in or below which all outputs go, where there is one: what makes it or its disk useless
    is fatal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, OutputWriter().transaction() as files:
    ...     _ = files.open(folder + "/a.txt").write(b"whole")
    ...     before = os.listdir(folder)
    ...     files.commit()
    ...     before[0][:12], os.listdir(folder)
    ('.convfilter-', ['a.txt'])
    """

    def __init__(self, *, no_clobber: bool = False, folder: str | None = None) -> None:
        self.no_clobber, self.folder = no_clobber, folder
        self.stopped = False
        self.lock = threading.RLock()  # held while files get their names
        self.live: set[Transaction] = set()
        self._prepared: set[str] = set()
        self.token: str | None = None  # of the temporary files, where another process is to know them

    def transaction(self) -> "Transaction":
        """Return an empty transaction, for one picture's outputs."""
        return Transaction(self)

    def prepare_folder(self, folder: str) -> None:
        """Make the folder and those above it, and remove what killed runs left there; the first time it is named."""
        with self.lock:
            if folder not in self._prepared:
                self._make_folder(folder)
                remove_stale(folder)
                if len(self._prepared) >= 4096:  # a run may have many more folders than memory should keep
                    self._prepared.clear()
                self._prepared.add(folder)

    def rename(self, written: "Sequence[Written]") -> None:
        """Give every file its name: all appear, or none and OutputError says why; what was there before is restored."""
        with self.lock:
            if self.stopped:
                raise _stopped("outputs")
            _rename_all(self, sorted(written, key=lambda file: file.is_locked))  # a lock goes after what it guards

    def stop(self) -> None:
        """Let no file appear from now on, and remove every temporary file of this run."""
        with self.lock:
            self.stopped = True
            for transaction in list(self.live):
                transaction.discard()

    @contextlib.contextmanager
    def explained(self, path: str, *, done: str = "written", needed: str | None = None) -> Iterator[None]:
        """Let the system's errors in this block name the output; ``needed`` is the folder in which it is to be made."""
        try:
            yield
        except OSError as error:
            raise self.error(path, error.errno, done, needed) from None
        except ValueError:  # a file that stop() has closed
            raise _stopped(path) from None

    def error(self, path: str, number: int | None, done: str = "written", needed: str | None = None) -> OutputError:
        """Return the error of an output that cannot be written, fatal where every further one would fail as well."""
        reason = _REASONS.get(number or 0, os.strerror(number) if number else "unknown error")
        return OutputError(f"{escape(path)}: cannot be {done}: {reason}", fatal=self._is_fatal(path, number, needed))

    def _is_fatal(self, path: str, number: int | None = None, needed: str | None = None) -> bool:
        """Return whether the folder that all outputs need is gone, or useless, or its disk is full."""
        if self.folder is None:
            return False
        is_it = needed is not None and os.path.normpath(needed) == os.path.normpath(self.folder)
        is_full = number in _FULL and _find_disk(path) == _find_disk(self.folder)
        return is_it or is_full or not os.path.isdir(self.folder)

    def _make_folder(self, folder: str) -> None:
        """Make a folder and those above it, however deep, where they are missing."""
        missing = takewhile(lambda path: path and not os.path.isdir(path), (folder, *above(folder)))
        for path in reversed([*missing]):
            with self.explained(path, done="made", needed=folder):
                try:
                    os.mkdir(path)
                except FileExistsError:
                    if not os.path.isdir(path):  # which another run may have made meanwhile
                        what = "a link to nothing" if os.path.islink(path) else "a file"
                        reason = f"{escape(path)}: is {what}, and outputs need a folder"
                        raise OutputError(reason, fatal=self._is_fatal(path, needed=folder)) from None


@dataclass(frozen=True)
class Written:
    """An output that is whole, and only has to get its name: it lies at the path ``temporary``."""

    path: str
    temporary: str
    is_locked: bool


class Transaction:
    """The outputs of one picture: ``open`` and write each, then ``commit`` or ``discard`` all of them.

    Leaving a ``with`` block without a commit discards. OutputError where one cannot be written.
    """

    def __init__(self, writer: OutputWriter) -> None:
        self._writer = writer
        self._files: list[Unnamed] = []
        self._locked: dict[str, str] = {}  # the temporary file that keeps a folder's others from being taken for stale

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(self, *exception: object) -> None:
        self.discard()

    def open(self, path: str) -> "Unnamed":
        """Return a binary file to write, which lies beside ``path`` under a temporary name until the commit."""
        if self._writer.no_clobber and os.path.lexists(path):
            raise exists(path)
        if os.path.isdir(path):
            raise self._writer.error(path, errno.EISDIR)
        folder = os.path.dirname(path) or os.curdir
        locked = self._locked.get(folder)
        with self._writer.lock:  # so that stop() knows of every file
            if self._writer.stopped:
                raise _stopped(path)
            self._writer.prepare_folder(folder)
            with self._writer.explained(path, needed=folder):
                temporary, file = (
                    create_beside(locked, len(self._files)) if locked else create_locked(folder, self._writer.token)
                )
            self._locked.setdefault(folder, temporary)
            self._files.append(Unnamed(self._writer, path, temporary, file, is_locked=not locked))
            self._writer.live.add(self)
            return self._files[-1]

    def commit(self) -> None:
        """Give every file its name: all appear, or none and OutputError says why, with what was there before restored.

        Files are not synced to the disk, which would take longer than all else: each is whole when it appears even if
        the process is killed, but a machine that loses power may have lost the last seconds of it.
        """
        try:
            self._writer.rename(self.finish())
        finally:
            self.discard()

    def finish(self) -> list[Written]:
        """Return what there is to rename, all of it whole."""
        for file in self._files:
            file.close()
        return [Written(file.path, file.temporary, file.is_locked) for file in self._files]

    def leave(self) -> "list[Unnamed]":
        """Leave what is finished to another process; return the files, to be let go of when that has renamed them."""
        files, self._files = self._files, []
        self.discard()
        return files

    def discard(self) -> None:
        """Remove what has not been committed."""
        with self._writer.lock:
            self._writer.live.discard(self)
            while self._files:
                self._files.pop().discard()
            self._locked.clear()


class Unnamed:
    """A binary file to write, under a temporary name until the commit; its errors name the output."""

    def __init__(self, writer: OutputWriter, path: str, temporary: str, file: BinaryIO, *, is_locked: bool) -> None:
        self.path, self.temporary, self.is_locked = path, temporary, is_locked
        self._writer, self._file = writer, file

    def explained(self) -> contextlib.AbstractContextManager[None]:
        return self._writer.explained(self.path)

    def __enter__(self) -> "Unnamed":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, data: Any) -> int:
        with self.explained():
            return self._file.write(data)

    def writelines(self, pieces: Iterable[Any]) -> None:
        with self.explained():
            self._file.writelines(pieces)

    def flush(self) -> None:
        with self.explained():
            self._file.flush()

    def close(self) -> None:
        """Finish writing; the file appears with the transaction's commit."""
        with self.explained():
            if not self.is_locked or os.name == "nt":  # where no open file can be renamed
                self._file.close()
            elif not self._file.closed:
                self._file.flush()
                os.close(os.dup(self._file.fileno()))  # a network disk tells that it is full when a file is closed

    def discard(self) -> None:
        if os.name != "nt":
            unlink(self.temporary)  # before the lock goes, so that no other run takes it for a stale one
        self.let_go()
        unlink(self.temporary)

    def let_go(self) -> None:
        """Close the file, and with it the lock."""
        with contextlib.suppress(OSError):
            self._file.close()


def _rename_all(writer: OutputWriter, files: list[Written]) -> None:
    """Rename every temporary file to its path; if one fails, undo those before it and raise."""
    kept = []
    with contextlib.ExitStack() as undo:
        for file in files:
            with writer.explained(file.path):
                is_new = writer.no_clobber or not os.path.lexists(file.path)
                if not is_new and file is not files[-1] and (before := _keep(file.path)):
                    kept.append(before)
                    undo.callback(_put_back, before, file.path)
                (_appear if writer.no_clobber else os.replace)(file.temporary, file.path)
                if is_new:
                    undo.callback(unlink, file.path)
        undo.pop_all()
    for before in kept:
        unlink(before)


def _keep(path: str) -> str | None:
    """Give what is at the path a second name, and return that; None where there are no hard links."""
    kept = invent(os.path.dirname(path))
    try:
        os.link(path, kept, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return None
    return kept


def _put_back(kept: str, path: str) -> None:
    with contextlib.suppress(OSError):
        os.replace(kept, path)
    unlink(kept)  # is still there where both were the same file


def _appear(temporary: str, path: str) -> None:
    """Rename to a path that must be free: of two runs that try, one succeeds."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL))
            os.replace(temporary, path)
            return
        raise exists(path) from None
    unlink(temporary)


def _find_disk(path: str) -> int | None:
    """Return the file system of what is at a path, or of the folder that it is to be made in."""
    path = os.path.abspath(path)
    for place in (path, *above(path)):
        with contextlib.suppress(OSError):
            return os.stat(place).st_dev
    return None


def _stopped(path: str) -> OutputError:
    return OutputError(f"{escape(path)}: not written: the run was stopped", fatal=True)


def exists(path: str, *, is_foreign: bool = False) -> OutputError:
    """Return the error of an output that is there and stays, whether convfilter has made it or somebody else."""
    reason = "convfilter has not made it; --force replaces it" if is_foreign else "--no-clobber keeps it"
    return OutputError(f"{escape(path)}: exists, and {reason}", kind="exists")
