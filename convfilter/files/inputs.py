"""Finds the pictures that inputs name: each once, in one order, walked as lazily as they are filtered."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator

from convfilter.errors import escape
from convfilter.files.output_folders import Places
from convfilter.files.walk import Folders, Problem, Source, explain, kind


def find_sources(
    inputs: Iterable[str],
    *,
    is_picture: Callable[[str], bool],
    recursive: bool = False,
    output: str | None = None,
    filter: str = "filtered",
    extension: bool = False,
    metadata: bool = True,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
) -> "Sources":
    """Return the sources that files, folders and "-" name, to be iterated once: each a Source, or a Problem.

    Named files and folders are looked at here; folders are listed one at a time, as the iteration reaches them, files
    first. ``output`` is the value of -o; for it, ``filter`` and ``extension`` see Places. ``passed_over(path, reason)``
    is called for what is no input: hidden and temporary files, what is no picture, the same file once more, and
    pictures made by convfilter where outputs of this run go to the same folder, or where it holds others too.
    Without ``metadata`` in the outputs, those among inputs are known by looks and names: a PNG with nothing but pixels,
    called after the filter or a neighbour. UsageError where a folder has no folder beside it.
    """
    unmarked = None if metadata else filter
    return Sources(list(dict.fromkeys(inputs)), is_picture, recursive, output, filter, extension, unmarked, passed_over)


class Sources:
    """Iterates over Source and Problem; ``holds(path)`` tells what is an input, so that no output replaces it."""

    def __init__(
        self,
        inputs: list[str],
        is_picture: Callable[[str], bool],
        recursive: bool,
        output: str | None,
        filter: str,
        extension: bool,
        unmarked: str | None,
        passed_over: Callable[[str, str], None],
    ) -> None:
        self._passed_over = passed_over
        self._files: dict[tuple, str] = {}  # the identity of each named file, and the path it goes by
        self._roots: dict[tuple, str] = {}
        self._found: dict[str, os.stat_result] = {}  # of the roots
        self._entries = [entry for entry in map(self._look, inputs) if entry is not None]
        self._inodes = {identity[:2] for identity in self._files}
        self._places = Places(
            list(self._files.values()),
            list(self._roots.values()),
            output=output,
            filter=filter,
            extension=extension,
            alone=len(self._entries) == 1,
        )
        self._folders = Folders(
            self._found,
            self._places,
            is_picture=is_picture,
            is_named=self._is_named,
            recursive=recursive,
            extension=extension,
            unmarked=unmarked,
            passed_over=passed_over,
        )

    @property
    def folder(self) -> str | None:
        """The one folder that all outputs go to or below, or None."""
        return self._places.only

    @property
    def meet_outputs(self) -> bool:
        """Whether a walk of a named folder comes upon outputs of this run."""
        return any(self._places.are_met(os.path.realpath(root)) for root in self._roots.values())

    def __iter__(self) -> Iterator[Source | Problem]:
        for entry in self._entries:
            if isinstance(entry, Problem):
                yield entry
            elif entry in self._roots:
                yield from self._folders.walk(self._roots[entry])
            else:
                path = self._files[entry]
                yield Source(path, None, path.replace(os.sep, "/"), *self._places.of_file(path), path)

    def holds(self, path: str) -> bool:
        """Return whether there is a file at this path that this run takes as an input."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return False
        return stat.S_ISREG(found.st_mode) and (self._is_named(path, found) or self._folders.holds(path, found))

    def _look(self, text: str) -> tuple | Problem | None:
        """Return the identity of a file or folder, or a problem; None for what was named before."""
        if text == "-":
            self._files[("-",)] = text
            return ("-",)
        try:
            found = os.stat(text)
        except (OSError, ValueError) as error:
            return Problem(text, "is a link to nothing" if _is_dead_link(text) else explain(error))
        if stat.S_ISDIR(found.st_mode):
            identity = ("folder", found.st_dev, found.st_ino)
            if identity in self._roots:
                return self._passed_over(text, f"the same folder as {escape(self._roots[identity])}")
            self._roots[identity] = text
            self._found[text] = found
            return identity
        if not stat.S_ISREG(found.st_mode):
            return Problem(text, f"{kind(found)}; expected the file of a picture, or a folder")
        if not os.access(text, os.R_OK):
            return Problem(text, "Permission denied")
        identity = _identity(text, found)
        if identity in self._files:
            before = self._files[identity]
            self._files[identity] = min(text, before, key=_plainness)  # whichever came first
            return self._passed_over(text, f"the same file as {escape(before)}")
        self._files[identity] = text
        return identity

    def _is_named(self, path: str, found: os.stat_result) -> bool:
        return (found.st_dev, found.st_ino) in self._inodes and _identity(path, found) in self._files


def _identity(path: str, found: os.stat_result) -> tuple:
    """Return what all paths of one file share; hard links are files of their own."""
    key = (found.st_dev, found.st_ino)
    return key if found.st_nlink == 1 else (*key, os.path.realpath(path))


def _plainness(path: str) -> tuple[bool, int, str]:
    return os.path.realpath(path) != os.path.abspath(path), len(path), path


def _is_dead_link(path: str) -> bool:
    try:
        return os.path.islink(path)
    except ValueError:
        return False
