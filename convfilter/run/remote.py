"""Sources and outputs behind URLs: fetched to this disk, filtered as all others are, and put whole into stores."""

import contextlib
import errno
import itertools
import mimetypes
import os
import shutil
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, BinaryIO

from convfilter.errors import InputError, OutputError, UsageError, escape
from convfilter.files.existing import is_foreign_start, mark_of, read_mark
from convfilter.files.inputs import Sources
from convfilter.files.leaving import LeavingWriter
from convfilter.files.listed import ListedSources
from convfilter.files.paths import describe_error
from convfilter.files.temporary import NAME, create_locked, remove_stale, unlink
from convfilter.files.transaction import OutputWriter, exists
from convfilter.files.walk import NO_PICTURE, Problem, Source
from convfilter.images import formats, png_keys
from convfilter.numbers import show_bytes
from convfilter.remote.listed import RemoteListedSources
from convfilter.remote.sources import MARK, RemoteSource, find_sources
from convfilter.remote.store import Stored, Stores
from convfilter.remote.urls import STORES, WEB, hide_in, hide_secrets, is_url, scheme_of
from convfilter.run.filtering import Filtering, Input, attempt
from convfilter.run.options import Options
from convfilter.run.plan import Key
from convfilter.run.result import PASSED_OVER, Result

WAITING = 4  # pictures behind URLs that are fetched or put while one is computed with
_PREFIX = "convfilter-urls-"


class RemoteParts:
    """What a run with URLs has besides: its stores, and a folder on this disk for what is fetched and to be put.

    ``options`` are the run's, with the URL of -o in one spelling, and ``waiting`` says how many pictures are on their
    way for each that is computed.

    Raises:
        UsageError: -o is a URL to which nothing can be written whole or not at all.
    """

    def __init__(self, options: Options) -> None:
        self._stores, self.waiting = Stores(), WAITING
        self.options = options
        if options.output is not None and is_url(options.output):
            self.options = replace(options, output=self._find_output(options.output))
        self._staging = Staging()
        self.find_sources: Callable[..., Sources] = partial(find_sources, stores=self._stores)
        self.list_sources: Callable[..., ListedSources] = partial(RemoteListedSources, stores=self._stores)

    def writes_to(self, folder: str | None) -> str | None:
        """Return the folder on this disk that all outputs are written to, given the one that they go to."""
        return self._staging.folder if folder is not None and is_url(folder) else folder

    def filtering(self, jobs: int, *arguments: Any) -> Filtering:
        """Return a Filtering of these arguments that knows URLs, and computes for so many pictures at once."""
        return RemoteFiltering(
            *arguments,
            stores=self._stores,
            staging=self._staging,
            computing=threading.Semaphore(jobs),
        )

    def stop(self) -> None:
        """Let nothing be put any more."""
        self._stores.stop()
        self._staging.close()

    def close(self) -> None:
        """Remove what is on this disk."""
        self._staging.close()

    def _find_output(self, url: str) -> str:
        shown = escape(hide_secrets(url))
        if scheme_of(url) not in STORES or "::" in url:
            known = ", ".join(f"{scheme}://" for scheme in STORES if not scheme.startswith("abfs"))
            raise UsageError(
                f"-o {shown}: only in {known} does an output appear whole or not at all; take one of them, or a folder"
            )
        try:
            place = self._stores.connect(url)
        except OSError as error:
            raise UsageError(f"-o {shown}: {describe_error(error)}") from None
        return place.shown + "/" * url.endswith("/")


def make_worker(threads: int, **settings: Any) -> "RemoteFiltering":
    """Return what a worker of so many threads does: a RemoteFiltering of these settings with stores of its own."""
    computing = threading.Semaphore(max(1, threads // WAITING))
    return RemoteFiltering(**settings, stores=Stores(), staging=Staging(), computing=computing)


class Staging:
    """A folder on this disk that holds pictures' files while they are worked on, and is removed at the end.

    Those of processes that were killed are removed when the next one is made.
    """

    def __init__(self) -> None:
        self.folder = tempfile.mkdtemp(prefix=_PREFIX)
        _, lock = create_locked(self.folder)  # tells others that this process lives
        self._numbers = itertools.count()
        self.close = weakref.finalize(self, _remove_folder, self.folder, lock)
        with contextlib.suppress(OSError), os.scandir(os.path.dirname(self.folder)) as entries:
            for entry in entries:
                if entry.name.startswith(_PREFIX) and _is_locked(entry.path):
                    remove_stale(entry.path)
                    if not _is_locked(entry.path):
                        shutil.rmtree(entry.path, ignore_errors=True)

    def invent(self, path: str) -> str:
        """Return a path that no file has, with the suffix of this one."""
        return os.path.join(self.folder, f"{next(self._numbers)}{os.path.splitext(path)[1]}")


def _is_locked(folder: str) -> bool:
    """Return whether a folder has a lock, of a process that lives or of one that was killed."""
    with contextlib.suppress(OSError):
        return any(NAME.fullmatch(name) for name in os.listdir(folder))
    return False


def _remove_folder(folder: str, lock: BinaryIO) -> None:
    lock.close()
    shutil.rmtree(folder, ignore_errors=True)


class Copy(os.PathLike[str]):
    """The file on this disk that an object is fetched to when its path is asked for.

    An object whose size no store tells is refused when more than ``most`` bytes have come.
    ``not_input`` then is the reason for which it is none, or "".
    """

    def __init__(self, source: RemoteSource, staging: Staging, most: int) -> None:
        self._source, self._store, self._most = source, source.place.store, most
        self._file = staging.invent(source.place.name)
        self._is_here = False
        self.not_input = ""

    @cached_property
    def stored(self) -> Stored:
        """What the store tells of the object, asked before it is fetched."""
        return self._source.found or self._store.look(self._source.place.path)

    def head(self) -> bytes:
        """Return the first bytes; of a web server, which may give all instead, they are read from the copy."""
        if scheme_of(self._source.path) in WEB:
            with open(self, "rb") as file:
                return file.read(MARK)
        return self._store.head(self._source.place.path, MARK)

    def __fspath__(self) -> str:
        if not self._is_here:
            from convfilter.images.reader import is_picture  # which loads numpy

            source = self._source
            if not source.is_certain:  # of a large file that is no picture, a little is enough
                head = self._store.head(source.place.path, formats.HEAD)
                if not formats.begins_picture(head, formats.suffix_of(source.place.name)):
                    self._pass_over(NO_PICTURE)
            size = self.stored.size  # asked first: what comes later is seen by the next run
            try:
                self._store.fetch(source.place.path, self._file, self._most if size is None else None)
            except OSError as error:
                if error.errno != errno.EFBIG:
                    raise
                words = f"it has more than {show_bytes(self._most)}; --max-memory allows more"
                raise InputError(words, kind="size") from None
            self._is_here = True
            if source.root is not None and not is_picture(self._file):
                self._pass_over(NO_PICTURE)
            if source.marks and read_mark(self._file) in source.marks:
                self._pass_over("made by convfilter")
        return self._file

    def _pass_over(self, reason: str) -> None:
        self.not_input = reason
        raise InputError(reason)

    def settle(self, result: Result) -> Result:
        """Return a result, or that of a source which turned out to be no input."""
        return Result(result.source, PASSED_OVER, error=self.not_input) if self.not_input else result

    def remove(self) -> None:
        """Remove the file."""
        unlink(self._file)


@dataclass(frozen=True)
class _Taken(RemoteSource):
    """A source that is being worked on."""

    copy: Copy = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class RemoteFiltering(Filtering):
    """As Filtering, with sources and outputs that may lie behind URLs."""

    stores: Stores = field(kw_only=True)
    staging: Staging = field(kw_only=True)
    computing: threading.Semaphore = field(kw_only=True)  # held while one is computed: the rest takes no core
    may_put: Callable[[], bool] = field(default=lambda: True, kw_only=True)
    is_again: bool = field(default=False, kw_only=True)  # what is there may be what was put before a worker was lost

    def result(self, entry: Source | Problem) -> Result:
        if not isinstance(entry, RemoteSource):
            return super().result(entry)
        with self._take(entry) as taken:
            return taken.copy.settle(super().result(taken))

    def name(self, source: Source, file: Input) -> dict[Key, str]:
        if not isinstance(source, RemoteSource) or isinstance(source, _Taken):
            return super().name(source, file)
        with self._take(source) as taken:
            return super().name(taken, taken.copy)

    def make(self, entry: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        if not isinstance(entry, RemoteSource) or isinstance(entry, _Taken):
            return super().make(entry, file, paths)
        with self._take(entry) as taken:
            return taken.copy.settle(
                attempt(taken, lambda: super(RemoteFiltering, self).make(taken, taken.copy, paths))
            )

    def finish(self, entry: Source | Problem, result: Result) -> Result:
        if isinstance(entry, RemoteSource) and result.traceback:
            hide = partial(hide_in, secrets=entry.place.store.secrets)
            result = replace(result, traceback=hide(result.traceback), error=hide(result.error or ""))
        return super().finish(entry, result)

    @contextlib.contextmanager
    def _take(self, source: RemoteSource) -> Iterator[_Taken]:
        """Give the source with a copy on this disk, which is removed at the end."""
        copy = Copy(source, self.staging, self.budget.size)
        try:
            yield _Taken(**{part.name: getattr(source, part.name) for part in fields(source)}, copy=copy)
        finally:
            copy.remove()

    def _open(self, source: Source) -> Input:
        return source.copy if isinstance(source, _Taken) else super()._open(source)

    def _compare(self, source: Source, paths: Mapping[Key, str]) -> tuple[str | None, tuple[str, ...]]:
        if isinstance(source, _Taken) and not source.copy.stored.version:
            return "nothing tells whether its source is the same", ()
        return super()._compare(source, paths)

    @contextlib.contextmanager
    def _made(self, path: str) -> Iterator[str | None]:
        if not is_url(path):
            with super()._made(path) as made:
                yield made
            return
        store, inside = self.stores.at(path)
        file = self.staging.invent(path)
        is_there = True
        try:
            try:
                store.fetch(inside, file)
                if not (path.endswith(".png") and self.options.metadata):
                    date = store.look(inside).date or 0
                    os.utime(file, ns=(date, date))
            except FileNotFoundError:
                is_there = False
            yield file if is_there else None
        finally:
            unlink(file)

    def _date(self, source: Source) -> int:
        if isinstance(source, _Taken):
            date = source.copy.stored.date
            return sys.maxsize if date is None else date
        return super()._date(source)

    def _is_marked(self, source: Source) -> bool:
        if isinstance(source, _Taken):
            return source.place.name.lower().endswith(".png") and mark_of(source.copy.head()) == "marked"
        return super()._is_marked(source)

    def _tidy(self, folder: str) -> None:
        if not is_url(folder):
            super()._tidy(folder)

    def _check_free(self, paths: Sequence[str]) -> None:
        here = [path for path in paths if not is_url(path)]
        if here:
            super()._check_free(here)
        for path in paths:
            if not is_url(path):
                continue
            store, inside = self.stores.at(path)
            try:
                start = store.head(inside, MARK)
            except FileNotFoundError:
                continue
            except OSError as error:
                hint = "" if self.options.no_clobber else "; --force writes it without a look at what is there"
                raise OutputError(f"{escape(path)}: cannot be looked at: {describe_error(error)}{hint}") from None
            if self.options.no_clobber:
                if self.is_again:
                    continue  # the store will tell whether it is the same
                raise exists(path)
            if is_foreign_start(start, path):
                raise exists(path, is_foreign=True)

    def _texts(self, source: Source, frame: int) -> dict[str, str]:
        if isinstance(source, _Taken):
            return {png_keys.SOURCE: source.copy.stored.version, **self._texts_of_frame(frame)}
        return super()._texts(source, frame)

    def _make(self, source: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        plain = source
        if isinstance(source, _Taken):
            file = os.fspath(source.copy)
            plain = Source(
                source.place.name, source.root, source.relative, source.folder, source.labels, source.identity,
                version=source.copy.stored.version or "unknown",
            )  # fmt: skip
        if not any(map(is_url, paths.values())):
            return replace(self._compute(plain, file, paths), source=source.path)
        staged = {key: self.staging.invent(path) for key, path in paths.items()}
        try:
            here = self
            if isinstance(self.writer, LeavingWriter):  # whose files another process would rename
                here = replace(self, writer=OutputWriter(folder=self.staging.folder))
            result = here._compute(plain, file, staged)
            if result.status == "done":
                self._put(staged, paths)
        finally:
            for path in staged.values():
                unlink(path)
        return replace(result, source=source.path)

    def _compute(self, source: Source, file: Input, paths: Mapping[Key, str]) -> Result:
        with self.computing:
            return super()._make(source, file, paths)

    def _put(self, staged: Mapping[Key, str], paths: Mapping[Key, str]) -> None:
        """Put all outputs of a picture; where one cannot be put, those before it are removed."""
        with contextlib.ExitStack() as undo:
            for key, path in paths.items():
                store, inside = self.stores.at(path)
                try:
                    if not self.may_put():
                        raise InterruptedError
                    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
                    store.put(inside, Path(staged[key]).read_bytes(), create=self.options.no_clobber, kind=kind)
                except FileExistsError:
                    raise exists(path) from None
                except InterruptedError:
                    raise OutputError(f"{escape(path)}: not written: the run was stopped", fatal=True) from None
                except OSError as error:
                    is_gone = isinstance(error, FileNotFoundError)
                    why = "there is no such bucket" if is_gone else describe_error(error)
                    raise OutputError(f"{escape(path)}: cannot be written: {why}", fatal=is_gone) from None
                undo.callback(_remove, store, inside)
            undo.pop_all()


def _remove(store: Any, path: str) -> None:
    with contextlib.suppress(OSError):
        store.remove(path)
