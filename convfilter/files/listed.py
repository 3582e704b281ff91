"""Names in a list, as --files-from gives them: read as they come, each with a place of its own below -o.

What stands further down is not known while a name is worked on, so nothing depends on it: what a source's outputs are
called depends on its own path and on the pictures that lie beside it.

A relative name keeps its folders below -o; of one that begins with "/" or leads out of the current folder, all of the
absolute path is kept; and "/./" in a name says, as rsync reads it, that only what follows is kept.
"""

import os
import select
import stat
import sys
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from convfilter.errors import InputError, UsageError, escape, shorten
from convfilter.files.destination import STARTS, Destination, read_object
from convfilter.files.existing import is_ours
from convfilter.files.hash_set import HashSet
from convfilter.files.inputs import STANDARD_INPUT, describe_missing, describe_other, identify
from convfilter.files.labels import Listing, choose_labels, folder_label, hashed
from convfilter.files.output_folders import OutputFolders, beside, folder_of
from convfilter.files.paths import describe_error, fold, kind_of, split_name
from convfilter.files.patterns import LEFT_OUT
from convfilter.files.walk import FolderWalk, Problem, Search, Source, scan

PIECE = 1 << 16
LONGEST = 1 << 20  # bytes of one name, or of one object of a log
KEPT = 100_000  # names in the listings of folders at hand, for a list may go to and fro between some


@dataclass(frozen=True)
class FileList:
    """A list of names: the path of its file, or "-" for standard input; a name a line, or with ``null`` before a NUL.

    An object that --json has printed stands for its source, and its outputs go where they would have gone then.
    """

    path: str
    null: bool = False

    @property
    def shown(self) -> str:
        """What errors call it."""
        return f"--files-from {escape(self.path)}"

    def check(self) -> None:
        """Return if the list can be opened.

        Raises:
            UsageError: it cannot.
        """
        if self.path not in STANDARD_INPUT:
            try:
                if stat.S_ISDIR(os.stat(self.path).st_mode):
                    raise UsageError(f"{self.shown}: is a folder; expected a file with a name a line")
                if not os.access(self.path, os.R_OK):
                    raise UsageError(f"{self.shown}: Permission denied")
            except (OSError, ValueError) as error:
                raise UsageError(f"{self.shown}: {describe_error(error)}") from None
        elif sys.stdin is None:
            raise UsageError(f"{self.shown}: standard input is closed")

    def read(self) -> Iterator[bytes]:
        """Yield what stands in the list, as it comes: names or objects; no empty ones.

        Raises:
            InputError: it cannot be read on, or is no list.
        """
        mark = b"\0" if self.null else b"\n"
        rest = b""
        try:
            number = 0 if self.path in STANDARD_INPUT else os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                while data := _read(number):
                    *records, rest = (rest + data).split(mark)
                    yield from filter(None, records)
                    if len(rest) > LONGEST:
                        what = "NULs" if self.null else "line breaks"
                        raise InputError(f"has no {what} in {LONGEST:,} bytes, so it is no list of names")
            finally:
                if number:
                    os.close(number)
        except OSError as error:
            raise InputError(describe_error(error), kind=kind_of(error)) from None
        if rest:
            yield rest

    def peek(self) -> str | None:
        """Return the first name, or None where there is none, or where the list can be read once only."""
        try:
            if self.path in STANDARD_INPUT or not stat.S_ISREG(os.stat(self.path).st_mode):
                return None
            record = next(self.read(), b"")
            found = read_object(record) if record.startswith(STARTS) else (os.fsdecode(record), None)
        except (OSError, ValueError, InputError):
            return None
        return found[0] if found else None

    def count(self) -> int | None:
        """Return how many names there are; None where the list can be read once only."""
        try:
            if self.path in STANDARD_INPUT or not stat.S_ISREG(os.stat(self.path).st_mode):
                return None
            return sum(1 for _ in self.read())
        except (OSError, InputError):
            return None


class ListedSources:
    """Iterates over Source and Problem for the names of a list, as ``inputs.Sources`` does for those of arguments.

    ``output`` is the value of -o, and ``filter`` the name by which a folder of outputs beside another is called;
    ``resumed`` is true where what convfilter has made is no input.
    UsageError where the list cannot be opened.
    """

    meet_outputs = False

    def __init__(
        self, names: FileList, search: Search, *, output: str | None, filter: str, resumed: bool = False
    ) -> None:
        names.check()
        self._names, self._search, self._output, self._filter = names, search, output, filter
        self._resumed = resumed
        self._files, self._places = HashSet(), HashSet()
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    @property
    def folder(self) -> str | None:
        """The one folder that all outputs go to or below, or None."""
        return self._output

    def is_input(self, path: str) -> bool:
        """Return whether there is a file at this path that the list has named so far."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return False
        if not stat.S_ISREG(found.st_mode) or (self._resumed and is_ours(path)):
            return False
        return _key(*identify(path, found)) in self._files

    def __iter__(self) -> Iterator[Source | Problem]:
        try:
            for record in self._names.read():
                for entry in self._read(record):
                    if isinstance(entry, Problem) or entry.is_stream:
                        yield entry
                    elif (source := self._admit(entry)) is not None:
                        yield source
        except InputError as error:
            yield Problem(self._names.path, f"the list {error}", error.kind)

    def _read(self, record: bytes) -> Iterator[Source | Problem]:
        """Yield what a name, or an object of a log, stands for."""
        name, destination = os.fsdecode(record), None
        if record.startswith(STARTS):
            try:
                found = read_object(record)
            except ValueError as error:
                yield Problem(shorten(name, 80), f"is no object that --json has printed: {error}", "missing")
                return
            if found is None:
                return
            name, destination = found
            if name == "-":
                yield Problem(name, "standard input is not read again from a log; name a file", "missing")
                return
        if "\0" in name:
            yield Problem(name, "has a NUL in it; -0 reads a list whose names end with NUL", "missing")
            return
        yield from self._find(name, destination)

    def _find(self, name: str, destination: Destination | None) -> Iterator[Source | Problem]:
        """Yield the picture of this name, or the pictures in the folder of this name."""
        base, relative = _split(name)
        path = name if base is None else os.path.join(base, relative)
        path = os.path.join(os.curdir, path) if path == "-" else path
        kept = _keep(base, relative)
        found, problem = None, ("", "")
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            problem = describe_missing(path, error), kind_of(error)
            if "://" in name:
                problem = "URLs are read from a list that is a file, and whose first name is a URL", problem[1]
            if self._names.null and "\n" in name:
                problem = f"{problem[0]}; leave out -0 if the list has a name a line", problem[1]
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        try:
            folder, labels = self._place(base, path, kept, destination, is_folder)
        except UsageError as error:
            yield Problem(path, str(error), "output")
            return
        if found is None:
            yield Problem(path, *problem, folder, labels)
        elif is_folder:
            folders = OutputFolders([], [path], output=folder, filter=self._filter, alone=True)
            yield from FolderWalk({path: found}, self._search, folders, lambda path, found: False).walk(path)
        elif not self._search.patterns.take(kept):
            self._search.passed_over(path, LEFT_OUT)
        elif stat.S_ISREG(found.st_mode) or stat.S_ISFIFO(found.st_mode):
            is_stream = stat.S_ISFIFO(found.st_mode)
            yield Source(path, None, kept, folder, labels, os.path.basename(path), is_stream)
        else:
            yield Problem(path, describe_other(found), "picture", folder, labels)

    def _place(
        self, base: str | None, path: str, kept: str, destination: Destination | None, is_folder: bool
    ) -> tuple[str, tuple[str, ...]]:
        """Return the folder that outputs go to, and their labels, which those of a folder find themselves.

        UsageError where there is no place beside a folder.
        """
        if destination and bool(destination.labels) != is_folder:
            folder = destination.find_folder(self._output)
            if folder is not None:
                return folder, destination.labels
        names = kept.split("/") if kept != os.curdir else []
        folders = names if is_folder else names[:-1]
        below = os.path.join("", *(folder_label([name], name, Counter([fold(name)])) for name in folders))
        labels = () if is_folder else self._labels(path)
        if self._output is not None:
            return os.path.join(self._output, below), labels
        if base is not None:
            return os.path.join(beside(base, self._filter), below), labels
        return (beside(path, self._filter) if is_folder else folder_of(path)), labels

    def _labels(self, path: str) -> tuple[str, ...]:
        folder, name = os.path.split(path)
        stem, ext = split_name(name)

        def rivals(label: str) -> Iterator[tuple[str, bool]]:
            for rival, theirs in self._list(folder or os.curdir).rivals(label):
                same = not self._search.extension or fold(split_name(rival)[1]) == fold(ext)
                if rival != name and same and self._may_be_input(os.path.join(folder, rival)):
                    yield theirs, theirs == split_name(rival)[0]

        return choose_labels([stem, name], name, rivals)

    def _may_be_input(self, path: str) -> bool:
        """Return whether a file beside a source is a picture that the list, too, may name."""
        return self._search.is_picture(path) and not is_ours(path)

    def _list(self, folder: str) -> Listing:
        if folder not in self._listings:
            try:
                self._listings[folder], _ = scan(folder)
            except (OSError, ValueError):
                self._listings[folder] = Listing(())
            while len(self._listings) > 1 and sum(len(listing.names) + 1 for listing in self._listings.values()) > KEPT:
                self._listings.popitem(last=False)
        return self._listings[folder]

    def _admit(self, source: Source) -> Source | None:
        """Return the source, with labels that no other has had; None where the list has named it before."""
        identity = self._identify(source)
        if identity is None:  # it is gone again, which reading it will say
            return source
        if not self._files.add(identity):
            self._search.passed_over(source.path, "the list has named it before")
            return None
        place = fold(os.path.normpath(os.path.join(source.folder, source.labels[0])))
        if self._places.add(_key(place, fold(source.ext) if self._search.extension else "")):
            return source
        return replace(source, labels=(hashed(os.path.basename(source.path), os.path.abspath(source.path)),))

    def _identify(self, source: Source) -> bytes | None:
        """Return what tells a source from all others; None where it is gone."""
        try:
            return _key(*identify(source.path, os.stat(source.path)))
        except OSError:
            return None


def _split(name: str) -> tuple[str | None, str]:
    """Return what stands before "/./" and after it; None and the name where there is none.

    >>> _split("photos/./b/y.png"), _split("./y.png")
    (('photos', 'b/y.png'), (None, './y.png'))
    """
    base, mark, relative = name.partition("/./")
    return (base or "/", relative.lstrip("/")) if mark else (None, name)


def _keep(base: str | None, relative: str) -> str:
    """Return the path that is kept below -o, with "/": the relative one, unless it leads out of its folder.

    >>> _keep(None, "a/../b//y.png"), _keep("photos", ""), _keep(None, "/data/y.png")
    ('b/y.png', '.', 'data/y.png')
    """
    kept = os.path.normpath(relative)
    if os.path.isabs(kept) or kept.split(os.sep)[0] == os.pardir:
        kept = os.path.splitdrive(os.path.abspath(os.path.join(base or "", relative)))[1].lstrip("/" + os.sep)
    return kept.replace(os.sep, "/") or os.curdir


def _key(*parts: int | str) -> bytes:
    return repr(parts).encode()


def _read(number: int) -> bytes:
    """Return the next bytes, as many as are there."""
    while True:
        try:
            return os.read(number, PIECE)
        except BlockingIOError:  # another program has set it to non-blocking
            select.select([number], [], [])
