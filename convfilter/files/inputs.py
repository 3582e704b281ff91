"""Finds the pictures that inputs name: each once, in one order, walked as lazily as they are filtered."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from convfilter.errors import escape
from convfilter.files.existing import is_ours
from convfilter.files.output_folders import OutputFolders
from convfilter.files.paths import describe_error, describe_kind, kind_of
from convfilter.files.patterns import ALL, Patterns
from convfilter.files.walk import FolderWalk, Problem, Search, Source

Identity = tuple[int | str, ...]  # what all paths of one file or folder share

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


def find_sources(
    inputs: Iterable[str],
    *,
    is_picture: Callable[[str], bool],
    recursive: bool = False,
    output: str | None = None,
    filter: str = "filtered",
    extension: bool = False,
    metadata: bool = True,
    patterns: Patterns = ALL,
    resumed: bool = False,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
) -> "Sources":
    """Return the sources that files, folders and "-" name, to be iterated once: each a Source, or a Problem.

    Named files and folders are looked at here; folders are listed one at a time, as the iteration reaches them, files
    first. ``output`` is the value of -o; for it, ``filter`` and ``extension`` see OutputFolders. ``patterns`` say which
    files in folders are wanted. ``resumed`` is true where named files that convfilter has made are no inputs.
    ``passed_over(path, reason)`` is called for what is no input: hidden and temporary files, what is no picture, the
    same file once more, and pictures made by convfilter where outputs of this run go to the same folder, or where it
    holds others too.
    Without ``metadata`` in the outputs, those among inputs are known by looks and names: a PNG with nothing but pixels,
    called after the filter or a neighbour. UsageError where a folder has no folder beside it.
    """
    named = NamedInputs(list(dict.fromkeys(inputs)), passed_over, resumed)
    output_folders = OutputFolders(
        list(named.files.values()),
        list(named.folders.values()),
        output=output,
        filter=filter,
        extension=extension,
        alone=len(named.entries) == 1,
    )
    search = Search(is_picture, recursive, extension, None if metadata else filter, passed_over, patterns)
    return Sources(named, output_folders, FolderWalk(named.found, search, output_folders, named.is_file))


class Sources:
    """Iterates over Source and Problem; ``is_input(path)`` tells what is an input, so that no output replaces it."""

    def __init__(self, named: "NamedInputs", output_folders: OutputFolders, walk: FolderWalk) -> None:
        self._named, self._output_folders, self._walk = named, output_folders, walk

    @property
    def folder(self) -> str | None:
        """The one folder that all outputs go to or below, or None."""
        return self._output_folders.only

    @property
    def meet_outputs(self) -> bool:
        """Whether a walk of a named folder comes upon outputs of this run."""
        return any(self._output_folders.are_met(os.path.realpath(folder)) for folder in self._named.folders.values())

    def __iter__(self) -> Iterator[Source | Problem]:
        for entry in self._named.entries:
            if isinstance(entry, Problem):
                if "\0" not in entry.path:
                    folder, labels = self._output_folders.of_file(entry.path)
                    entry = replace(entry, folder=folder, labels=labels)
                yield entry
            else:
                yield from self._find(entry)

    def _find(self, entry: Identity) -> Iterator[Source | Problem]:
        """Yield the sources of one input."""
        if entry in self._named.folders:
            yield from self._walk.walk(self._named.folders[entry])
        else:
            path = self._named.files[entry]
            folder, labels = self._output_folders.of_file(path)
            is_stream = entry[0] in ("-", "pipe")
            yield Source(path, None, path.replace(os.sep, "/"), folder, labels, path, is_stream)

    def is_input(self, path: str) -> bool:
        """Return whether there is a file at this path that this run takes as an input."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode) and (self._named.is_input(path, found) or self._walk.is_input(path, found))


class NamedInputs:
    """What the inputs name, looked at once: files and folders by what makes them the same, and problems.

    ``entries`` has them in order: the key of a file or folder, or a Problem.
    """

    def __init__(self, inputs: list[str], passed_over: Callable[[str, str], None], resumed: bool) -> None:
        self._passed_over, self._resumed = passed_over, resumed
        self.files: dict[Identity, str] = {}  # the path that each goes by
        self.folders: dict[Identity, str] = {}
        self.found: dict[str, os.stat_result] = {}  # of the folders
        self.entries = [entry for entry in map(self._look, inputs) if entry is not None]
        self._inodes = {identity[:2] for identity in self.files}

    def is_file(self, path: str, found: os.stat_result) -> bool:
        """Return whether the file at this path was named."""
        return (found.st_dev, found.st_ino) in self._inodes and identify(path, found) in self.files

    def is_input(self, path: str, found: os.stat_result) -> bool:
        """Return whether the file at this path was named, and is taken."""
        return self.is_file(path, found) and not (self._resumed and is_ours(path))

    def _look(self, text: str) -> Identity | Problem | None:
        """Return the identity of a file or folder, or a problem; None for what was named before."""
        if text in STANDARD_INPUT:
            self.files[("-",)] = "-"
            return ("-",)
        try:
            found = os.stat(text)
        except (OSError, ValueError) as error:
            return Problem(text, describe_missing(text, error), kind_of(error))
        if stat.S_ISDIR(found.st_mode):
            identity: Identity = ("folder", found.st_dev, found.st_ino)
            if identity in self.folders:
                return self._passed_over(text, f"the same folder as {escape(self.folders[identity])}")
            self.folders[identity] = text
            self.found[text] = found
            return identity
        if stat.S_ISFIFO(found.st_mode):  # a named pipe, or what a shell makes of <(command)
            identity = ("pipe", found.st_dev, found.st_ino)
            if identity in self.files:
                return self._passed_over(text, f"the same pipe as {escape(self.files[identity])}")
            self.files[identity] = text
            return identity
        if not stat.S_ISREG(found.st_mode):
            return Problem(text, describe_other(found), "picture")
        if not os.access(text, os.R_OK):
            return Problem(text, "Permission denied", "denied")
        identity = identify(text, found)
        if identity in self.files:
            before = self.files[identity]
            self.files[identity] = min(text, before, key=_plainness)  # whichever came first
            return self._passed_over(text, f"the same file as {escape(before)}")
        self.files[identity] = text
        return identity


def identify(path: str, found: os.stat_result) -> Identity:
    """Return what all paths of one file share; hard links are files of their own."""
    key = (found.st_dev, found.st_ino)
    return key if found.st_nlink == 1 else (*key, os.path.realpath(path))


def _plainness(path: str) -> tuple[bool, int, str]:
    return os.path.realpath(path) != os.path.abspath(path), len(path), path


def describe_missing(path: str, error: OSError | ValueError) -> str:
    """Return why there is nothing to read at a path."""
    try:
        return "is a link to nothing" if os.path.islink(path) else describe_error(error)
    except ValueError:
        return describe_error(error)


def describe_other(found: os.stat_result) -> str:
    """Return why what is neither file nor folder nor pipe is no input."""
    return f"{describe_kind(found)}; expected the file of a picture, or a folder"
