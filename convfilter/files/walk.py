"""Walks named folders one listing at a time, and tells for every file in them whether it is an input."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from convfilter.errors import escape
from convfilter.files.existing import read_mark
from convfilter.files.labels import Listing, choose_labels, folder_label
from convfilter.files.output_folders import OutputFolders
from convfilter.files.paths import above, describe_error, describe_kind, fold, kind_of, split_name
from convfilter.files.patterns import ALL, LEFT_OUT, Patterns

NO_PICTURE = "not a picture"  # the reason for which most other files are passed over
PASSED = re.compile(r"\..*|~\$.*|#.*#|.*(~|\.(tmp|temp|part|partial|crdownload|download|swp|bak))", re.I | re.S)


@dataclass(frozen=True)
class Source:
    """One picture to filter, and what its outputs are named by.

    ``path`` is written as the user would, "-" for standard input; ``root`` is the folder argument it was found in, or
    None; ``relative`` its path inside root, or the path as given, with "/". Outputs go to ``folder``; ``labels``
    may stand for {stem}, the best first; ``identity`` is what hashes in names are made from. ``is_stream`` is true for
    standard input and for pipes, which can be read once. ``version`` tells a source that is no file on this disk from
    other versions of it.
    """

    path: str
    root: str | None
    relative: str
    folder: str
    labels: tuple[str, ...]
    identity: str
    is_stream: bool = False
    version: str | None = None

    @property
    def ext(self) -> str:
        return split_name(os.path.basename(self.path))[1]


@dataclass(frozen=True)
class Problem:
    """An input that cannot be read, and why; ``kind`` is a word for programs, as errors have it.

    ``folder`` and ``labels`` say where its outputs would have gone, as those of Source do; a folder has no labels.
    """

    path: str
    reason: str
    kind: str
    folder: str | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """How pictures are looked for in folders; see ``inputs.find_sources``."""

    is_picture: Callable[[str], bool]
    recursive: bool
    extension: bool  # whether output names hold {ext}
    unmarked: str | None  # the filter's name, where outputs carry no mark of ours
    passed_over: Callable[[str, str], None]
    patterns: Patterns = ALL


@dataclass(frozen=True)
class _Root:
    """A named folder."""

    path: str
    real: str
    key: tuple[int, int]
    holds_outputs: bool  # whether some outputs of this run go into it


class FolderWalk:
    """The named folders of a run, whose files come from ``walk(root)``; ``is_input(path)`` tells what they give.

    ``is_named(path, stat)`` tells files that were named on their own.
    """

    def __init__(
        self,
        roots: Mapping[str, os.stat_result],
        search: Search,
        output_folders: OutputFolders,
        is_named: Callable[[str, os.stat_result], bool],
    ) -> None:
        self._search, self._output_folders, self._is_named = search, output_folders, is_named
        self._roots = {path: self._root(path, found) for path, found in roots.items()}
        self._keys = {root.key for root in self._roots.values()}
        self._trees = {root.real: root for root in self._roots.values()}  # named and linked folders by real paths
        self._visited: set[tuple[int, int]] = set()  # folders
        self._linked: set[tuple[int, int]] = set()  # files found through links
        self._last = ("", Listing(()))  # the folder listed last, by its real path
        self._has_others = cache(self._look_for_others)

    def is_input(self, path: str, found: os.stat_result) -> bool:
        """Return whether the walks take the file at this path as an input."""
        if (found.st_dev, found.st_ino) in self._linked:
            return True
        real = os.path.realpath(path)
        root = self._find_root(real)
        if root is None:
            return False
        return self._reason(root, *os.path.split(real)) is None

    def _root(self, path: str, found: os.stat_result) -> _Root:
        real = os.path.realpath(path)
        return _Root(path, real, (found.st_dev, found.st_ino), self._output_folders.lie_in(real))

    def walk(self, path: str) -> Iterator[Source | Problem]:
        """Yield the sources in a named folder, its own files before those of its sub-folders."""
        root, wanted = self._roots[path], self._search.patterns
        holds_pictures = some_are_left_out = False
        stack = [iter([(root.path, root.real, "", self._output_folders.of_root(root.path))])]
        while stack:
            visit = next(stack[-1], None)
            if visit is None:
                stack.pop()
                continue
            path, real, relative, folder = visit
            try:
                if not self._is_new(root, path, real):
                    holds_pictures = True  # as far as is known: they are another walk's, or outputs
                    continue
                listing, folders = scan(path, self._search.passed_over)
            except OSError as error:
                yield Problem(path, f"the folder cannot be listed: {describe_error(error)}", kind_of(error), folder)
                if not os.path.isdir(root.path):
                    return
                continue
            self._last = (real, listing)
            for name in listing.names:
                full = os.path.join(path, name)
                reason = self._reason(root, path, name) or self._note_link(full)
                if reason is None and not wanted.take(relative + name):
                    reason, some_are_left_out = LEFT_OUT, True
                holds_pictures = holds_pictures or reason not in (NO_PICTURE, LEFT_OUT)
                if reason is None:
                    labels = self._labels(root, path, name, listing)
                    yield Source(full, root.path, relative + name, folder, labels, name)
                elif os.path.isdir(path):
                    self._search.passed_over(full, reason)
                else:
                    vanished = "the folder vanished while the pictures in it were filtered"
                    yield Problem(path, vanished, "missing", folder)
                    break
            stack.append(self._below(root, path, real, relative, folder, folders))
        if not holds_pictures:
            left = " that --include and --exclude leave" if some_are_left_out else ""
            below = "" if self._search.recursive else "; -r looks into its sub-folders"
            folder = self._output_folders.of_root(root.path)
            yield Problem(root.path, f"no picture was found in it{left}{below}", "empty", folder)

    def _is_new(self, root: _Root, path: str, real: str) -> bool:
        """Return whether a folder is to be walked here and now, and note that it has been."""
        found = os.stat(path)
        key = (found.st_dev, found.st_ino)
        if key in self._visited or (key in self._keys and key != root.key):
            self._search.passed_over(path, "the same folder is walked elsewhere")
            return False
        if real != root.real and self._output_folders.is_for_outputs(real):
            self._search.passed_over(path, "outputs go there")
            return False
        self._visited.add(key)
        return True

    def _below(
        self, root: _Root, path: str, real: str, relative: str, folder: str, names: list[str]
    ) -> Iterator[tuple[str, str, str, str]]:
        """Yield the sub-folders to walk: path, real path, path inside root, and where their outputs go."""
        counts = Counter(map(fold, names))
        for name in Listing(names).names:
            child, child_real = os.path.join(path, name), os.path.join(real, name)
            if not self._search.recursive:
                self._search.passed_over(child, "is a folder, and there is no -r")
                continue
            if not self._search.patterns.enter(relative + name):
                self._search.passed_over(child, LEFT_OUT)
                continue
            if os.path.islink(child):
                child_real = os.path.realpath(child)
                if child_real in self._trees or self._find_root(child_real):
                    self._search.passed_over(child, f"another name of {escape(child_real)}")
                    continue
                self._trees[child_real] = root
            label = folder_label([name], name, counts)
            yield child, child_real, f"{relative}{name}/", os.path.join(folder, label)

    def _reason(self, root: _Root, path: str, name: str) -> str | None:
        """Return why a file in a folder is no input, or None; the same whenever it is asked."""
        full = os.path.join(path, name)
        try:
            found = os.lstat(full)
            is_link = stat.S_ISLNK(found.st_mode)
            found = os.stat(full) if is_link else found
        except OSError as error:  # it may have vanished, and is then counted, unless its folder has
            return None if self._search.is_picture(full) and os.path.isdir(path) else describe_error(error)
        if not stat.S_ISREG(found.st_mode):
            return describe_kind(found)
        if self._is_named(full, found):
            return "named on its own"
        if is_link and self._find_root(os.path.realpath(full)):
            return f"another name of {escape(os.path.realpath(full))}"
        if not self._search.is_picture(full):
            return NO_PICTURE
        return "made by convfilter" if self._is_ours(root, full, name) else None

    def _note_link(self, full: str) -> str | None:
        """Return a reason to pass over a file that was found through a link before; note it if this is a link."""
        if not self._linked and not os.path.islink(full):
            return None
        try:
            found = os.stat(full)
        except OSError:
            return None
        key = (found.st_dev, found.st_ino)
        if key in self._linked:
            return "the same file was found through a link"
        if os.path.islink(full):
            self._linked.add(key)
        return None

    def _labels(self, root: _Root, path: str, name: str, listing: Listing) -> tuple[str, ...]:
        stem, ext = split_name(name)

        def rivals(label: str) -> Iterator[tuple[str, bool]]:
            for rival, theirs in listing.rivals(label):
                same = not self._search.extension or fold(split_name(rival)[1]) == fold(ext)
                if rival != name and same and self._reason(root, path, rival) is None:
                    yield theirs, theirs == split_name(rival)[0]

        return choose_labels([stem, name], name, rivals)

    def _is_ours(self, root: _Root, full: str, name: str) -> bool:
        """Return whether a picture is an output of an earlier run that is to be passed over."""
        mark = read_mark(full) if name.endswith(".png") else ""
        if mark == "marked":
            return root.holds_outputs or self._has_others(root)
        if mark == "alike" and root.holds_outputs and self._search.unmarked:
            stems = (name[: gap.start()] for gap in re.finditer("_", name))
            neighbours = (n for stem in stems for n in self._list(os.path.dirname(full)).rivals(stem))
            return f"_{self._search.unmarked}" in name or any(True for _ in neighbours)
        return False

    def _look_for_others(self, root: _Root) -> bool:
        """Return whether a folder holds a picture that convfilter did not make: then what it made is no input."""
        for path, folders, names in os.walk(root.path):
            folders[:] = [name for name in folders if self._search.recursive and not name.startswith(".")]
            if path != root.path and self._output_folders.is_for_outputs(os.path.realpath(path)):
                folders.clear()
                continue
            for name in names:
                full = os.path.join(path, name)
                if not PASSED.fullmatch(name) and self._search.is_picture(full) and read_mark(full) in ("alike", ""):
                    return True
        return False

    def _find_root(self, real: str) -> _Root | None:
        """Return the named folder whose walk reaches this file or folder by its real path, or None."""
        if PASSED.fullmatch(os.path.basename(real)):
            return None
        for folder in above(real):
            if folder in self._trees:
                return self._trees[folder]
            if (
                not self._search.recursive
                or os.path.basename(folder).startswith(".")
                or self._output_folders.is_for_outputs(folder)
            ):
                return None
        return None

    def _list(self, path: str) -> Listing:
        """Return the names of files in a folder; those of the folder listed last are at hand."""
        real = os.path.realpath(path)
        last, listing = self._last
        if last != real:
            listing, _ = scan(real)
            self._last = (real, listing)
        return listing


def scan(path: str, passed_over: Callable[[str, str], None] = lambda path, reason: None) -> tuple[Listing, list[str]]:
    """Return the names of the files (and all else), and of the folders, that are not hidden or temporary."""
    files: list[str] = []
    folders: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            is_folder = _is_folder(entry)
            if entry.name.startswith(".") or (not is_folder and PASSED.fullmatch(entry.name)):
                passed_over(entry.path, "hidden or temporary")
            else:
                (folders if is_folder else files).append(entry.name)
    return Listing(files), folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
