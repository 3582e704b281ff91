"""Finds the pictures that inputs name: each once, in one order, walked as lazily as they are filtered."""

import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from convfilter.errors import UsageError, escape
from convfilter.names import Listing, choose_labels, fold, hashed, split_name

TEMPORARY = re.compile(r"\..*|~\$.*|#.*#|.*(~|\.(tmp|temp|part|partial|crdownload|download|swp|bak))", re.I | re.S)
_PNG = b"\x89PNG\r\n\x1a\n"
_MARK = re.compile(b"[ti][ET]XtSoftware\0+convfilter")
_UNMARKED_START, _UNMARKED_END = b"IDAT\x78\x01", re.compile(b"\0\0\0\4IDAT.{8}\0\0\0\0IEND\xaeB`\x82", re.S)
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


@dataclass(frozen=True)
class Source:
    """One picture to filter, and what its outputs are named by.

    ``path`` is written as the user would, "-" for standard input; ``root`` is the folder argument it was found in, or
    None; ``relative`` its path inside root, or the path as given, with "/". Outputs go to ``folder``; ``labels``
    may stand for {stem}, the best first; ``identity`` is what hashes in names are made from.
    """

    path: str
    root: str | None
    relative: str
    folder: str
    labels: tuple[str, ...]
    identity: str

    @property
    def is_stdin(self) -> bool:
        return self.path == "-"

    @property
    def ext(self) -> str:
        return split_name(os.path.basename(self.path))[1]


@dataclass(frozen=True)
class Problem:
    """An input that cannot be read, and why."""

    path: str
    reason: str


@dataclass
class _Root:
    """A folder that was named: where its outputs go, and whether convfilter's pictures in it are passed over."""

    path: str
    real: str
    key: tuple[int, int]
    folder: str = ""
    pass_ours: bool | None = None
    outputs_inside: bool = False


def find_sources(
    inputs: Iterable[str],
    *,
    is_picture: Callable[[str], bool],
    recursive: bool = False,
    output: str | None = None,
    filter: str = "filtered",
    extension: bool = False,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
) -> "Sources":
    """Return the sources that files, folders and "-" name, to be iterated once: each a Source, or a Problem.

    Named files and folders are looked at here; folders are listed one at a time, as the iteration reaches them.
    ``output`` is the folder of -o; without it outputs go beside a file, and to PHOTOS_FILTER beside a folder PHOTOS.
    ``extension`` is true where the names of outputs hold {ext} anyway. ``passed_over(path, reason)`` is called for what
    is no input: hidden and temporary files, no pictures, the same file once more, outputs of convfilter.
    UsageError where a folder has no folder beside it.
    """
    return Sources(list(inputs), is_picture, recursive, output, filter, extension, passed_over)


class Sources:
    """Iterates over Source and Problem; ``holds(path)`` tells whether a file is an input, which no output replaces."""

    def __init__(self, inputs, is_picture, recursive, output, filter, extension, passed_over) -> None:
        self._is_picture, self._recursive, self._output = is_picture, recursive, output
        self._extension, self._passed_over = extension, passed_over
        self._named: dict[tuple, str] = {}  # identity of a named file: the path it goes by
        self._roots: dict[tuple[int, int], _Root] = {}
        self._seen: set[tuple[int, int]] = set()  # files found through links
        self._visited: set[tuple[int, int]] = set()  # folders
        self._trees: dict[str, _Root] = {}  # real paths of named and linked folders
        self._last: tuple[str, Listing] = ("", Listing(()))
        self._entries = [e for e in map(self._look, dict.fromkeys(inputs)) if e is not None]
        self._inodes = {identity[:2] for identity in self._named}
        self._place_roots(len({_real(text) if text != "-" else "-" for text in inputs}), filter)
        self._count_labels()

    def __iter__(self) -> Iterator[Source | Problem]:
        for entry in self._entries:
            if isinstance(entry, _Root):
                yield from self._walk(entry)
            elif isinstance(entry, Problem):
                yield entry
            else:
                yield self._source(self._named[entry])

    def holds(self, path: str) -> bool:
        """Return whether there is a file at this path that this run takes as an input."""
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return False
        if _identity(path, found) in self._named or (found.st_dev, found.st_ino) in self._seen:
            return True
        real = _real(path)
        root = self._walked(real)
        if root is None or not stat.S_ISREG(found.st_mode):
            return False
        folder, name = os.path.split(real)
        return self._reason(root, folder, name, self._list(folder)) is None

    def _look(self, text: str):
        """Return what an input names: the identity of a file, a root or a problem; None where it was named before."""
        if text == "-":
            self._named[("-",)] = "-"
            return ("-",)
        try:
            found = os.stat(text)
        except (OSError, ValueError) as error:
            link = isinstance(error, FileNotFoundError) and os.path.islink(text)
            return Problem(text, "is a link to nothing" if link else getattr(error, "strerror", None) or str(error))
        if stat.S_ISDIR(found.st_mode):
            key = (found.st_dev, found.st_ino)
            if key in self._roots:
                return self._passed_over(text, f"the same folder as {escape(self._roots[key].path)}")
            self._roots[key] = self._trees[_real(text)] = _Root(text, _real(text), key)
            return self._roots[key]
        if not stat.S_ISREG(found.st_mode):
            kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
            return Problem(text, f"is {kind}; expected a picture's file or a folder")
        if not os.access(text, os.R_OK):
            return Problem(text, "Permission denied")
        identity = _identity(text, found)
        before = self._named.get(identity)
        self._named[identity] = text if before is None else min(text, before, key=_plainness)
        return identity if before is None else self._passed_over(text, f"the same file as {escape(before)}")

    def _place_roots(self, inputs: int, filter: str) -> None:
        roots = list(self._roots.values())
        if self._output is None:
            for root in roots:
                root.folder = _beside(root.path, filter)
            places = Counter(_real(root.folder) for root in roots)
            for root in roots:
                real = _real(root.folder)
                if places[real] > 1 or any(up in places for up in _above(real)):
                    root.folder = hashed(root.folder, root.path)
        elif inputs == 1:
            for root in roots:
                root.folder = self._output
        else:
            labels = {}
            for root in roots:
                name, parent = os.path.basename(root.real) or "root", os.path.basename(os.path.dirname(root.real))
                labels[root.key] = [name, f"{parent}_{name}"] if parent else [name]
            counts = Counter(fold(c) for choices in labels.values() for c in choices)
            for root in roots:
                free = choose_labels(labels[root.key], root.path, lambda c: counts[fold(c)] == 1 and not _is_output(c))
                root.folder = os.path.join(self._output, free[0])
        self._places = {_real(root.folder) for root in roots} | ({_real(self._output)} if self._output else set())
        used = set(self._places)
        if self._output is None:
            used |= {_real(os.path.dirname(path) or ".") for path in self._named.values()}
        for root in roots:
            root.outputs_inside = any(root.real in (place, *_above(place)) for place in used)

    def _count_labels(self) -> None:
        self._counts: Counter = Counter()
        for path in self._named.values():
            self._counts.update({self._label_key(path, c) for c in self._candidates(path)})

    def _candidates(self, path: str) -> list[str]:
        """Return what a named file's outputs may be labelled: photo, photo.png, folder_photo.png."""
        if path == "-":
            return ["stdin"]
        folder, name = os.path.split(path)
        parent = os.path.basename(_real(folder or "."))
        return [split_name(name)[0], name, f"{parent}_{name}"]

    def _label_key(self, path: str, label: str) -> tuple[str, str, str]:
        place = self._output or _real(os.path.dirname(path) or ".")
        return place, fold(label), fold(split_name(path)[1]) if self._extension else ""

    def _source(self, path: str) -> Source:
        folder = self._output if self._output is not None else os.path.dirname(path)
        real = _real(folder or ".")
        crowded = self._output is None and any(place in self._places for place in (real, *_above(real)))
        labels = choose_labels(
            self._candidates(path), path, lambda c: not crowded and self._counts[self._label_key(path, c)] == 1
        )
        return Source(path, None, path.replace(os.sep, "/"), folder, labels, path)

    def _walk(self, root: _Root) -> Iterator[Source | Problem]:
        stack = [iter([(root.path, root.real, "", root.folder)])]
        while stack:
            visit = next(stack[-1], None)
            if visit is None:
                stack.pop()
                continue
            path, real, relative, folder = visit
            try:
                listing, folders = self._enter(root, path, real)
            except OSError as error:
                yield Problem(path, f"cannot be listed: {error.strerror or error}")
                continue
            if listing is None:
                continue
            for name in listing.names:
                if self._is_found(root, path, name, listing):
                    labels = self._labels(root, path, name, listing)
                    yield Source(os.path.join(path, name), root.path, relative + name, folder, labels, name)
            stack.append(self._below(root, path, real, relative, folder, folders))

    def _enter(self, root: _Root, path: str, real: str) -> tuple[Listing | None, list[str]]:
        """Return the names of files and of folders in a folder that is to be walked, or None where it is not."""
        found = os.stat(path)
        key = (found.st_dev, found.st_ino)
        if key in self._visited or (key in self._roots and key != root.key):
            self._passed_over(path, "found elsewhere")
            return None, []
        if real != root.real and self._is_place(real, found):
            self._passed_over(path, "it holds outputs")
            return None, []
        self._visited.add(key)
        files, folders = [], []
        with os.scandir(path) as entries:
            for entry in entries:
                is_folder = entry.is_dir()
                if entry.name.startswith(".") if is_folder else TEMPORARY.fullmatch(entry.name):
                    self._passed_over(entry.path, "hidden or temporary")
                else:
                    (folders if is_folder else files).append(entry.name)
        listing = Listing(files)
        self._last = (real, listing)
        return listing, sorted(folders, key=lambda name: (fold(name), name))

    def _below(self, root, path, real, relative, folder, names) -> Iterator[tuple[str, str, str, str]]:
        """Yield the sub-folders to walk: path, real path, relative path, and where their outputs go."""
        counts = Counter(map(fold, names))
        for name in names:
            child, child_real = os.path.join(path, name), os.path.join(real, name)
            if not self._recursive:
                self._passed_over(child, "is a folder, and there is no -r")
                continue
            if os.path.islink(child):
                child_real = _real(child)
                if child_real in self._trees or self._walked(child_real):
                    self._passed_over(child, f"another name of {escape(child_real)}")
                    continue
                self._trees[child_real] = root
            label = choose_labels([name], name, lambda c: counts[fold(c)] == 1 and not _is_output(c))[0]
            yield child, child_real, f"{relative}{name}/", os.path.join(folder, label)

    def _is_found(self, root: _Root, path: str, name: str, listing: Listing) -> bool:
        full = os.path.join(path, name)
        reason = self._reason(root, path, name, listing)
        if reason is None:
            found = os.stat(full)
            key = (found.st_dev, found.st_ino)
            if key not in self._seen:
                if os.path.islink(full):
                    self._seen.add(key)
                return True
            reason = "the same file was found through a link"
        self._passed_over(full, reason)
        return False

    def _reason(self, root: _Root, path: str, name: str, listing: Listing) -> str | None:
        """Return why a file in a folder is no input, or None; the same whenever it is asked."""
        full = os.path.join(path, name)
        try:
            link = os.lstat(full)
            found = os.stat(full) if stat.S_ISLNK(link.st_mode) else link
        except OSError as error:
            return error.strerror or str(error)
        if not stat.S_ISREG(found.st_mode):
            return f"is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no file')}"
        if (found.st_dev, found.st_ino) in self._inodes and _identity(full, found) in self._named:
            return "named on its own"
        if stat.S_ISLNK(link.st_mode) and self._walked(_real(full)):
            return f"another name of {escape(_real(full))}"
        if not self._is_picture(full):
            return "not a picture"
        return "made by convfilter" if self._is_ours(root, full, name, listing) else None

    def _labels(self, root: _Root, path: str, name: str, listing: Listing) -> tuple[str, ...]:
        stem, ext = split_name(name)

        def is_free(label: str) -> bool:
            for rival in listing.rivals(label):
                same = not self._extension or fold(split_name(rival)[1]) == fold(ext)
                if rival != name and same and self._reason(root, path, rival, listing) is None:
                    return False
            return True

        return choose_labels([stem, name], name, is_free)

    def _is_ours(self, root: _Root, full: str, name: str, listing: Listing) -> bool:
        """Return whether a picture is an output of an earlier run that is to be passed over."""
        if not _is_output(name):
            return False
        mark = read_mark(full)
        if mark == "marked":
            if root.pass_ours is None:
                root.pass_ours = root.outputs_inside or self._has_others(root)
            return root.pass_ours
        stems = (name[: m.start()] for m in re.finditer("_", name))
        return root.outputs_inside and mark == "alike" and any(any(listing.rivals(stem)) for stem in stems)

    def _has_others(self, root: _Root) -> bool:
        """Return whether there is a picture in a folder that convfilter did not make."""
        for path, folders, names in os.walk(root.path):
            folders[:] = [f for f in folders if self._recursive and not f.startswith(".")]
            if path != root.path and _real(path) in self._places:
                folders.clear()
                continue
            for name in names:
                full = os.path.join(path, name)
                if not TEMPORARY.fullmatch(name) and self._is_picture(full) and read_mark(full) != "marked":
                    return True
        return False

    def _is_place(self, real: str, found: os.stat_result) -> bool:
        if real in self._places:
            return True
        return any(fold(real) == fold(place) and _is_same(found, place) for place in self._places)

    def _walked(self, real: str) -> _Root | None:
        """Return the root whose walk finds a file or folder under its real path, or None."""
        if TEMPORARY.fullmatch(os.path.basename(real)):
            return None
        for above in _above(real):
            if above in self._trees:
                return self._trees[above]
            if not self._recursive or os.path.basename(above).startswith(".") or above in self._places:
                return None
        return None

    def _list(self, real: str) -> Listing:
        last, listing = self._last
        if last != real:
            with os.scandir(real) as entries:
                listing = Listing(e.name for e in entries if not e.is_dir() and not TEMPORARY.fullmatch(e.name))
            self._last = (real, listing)
        return listing


def read_mark(path: str) -> str:
    """Return "marked" for a PNG that says convfilter made it, "alike" for one written as its own are, or ""."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
            if not start.startswith(_PNG):
                return ""
            if _MARK.search(start):
                return "marked"
            file.seek(-28, os.SEEK_END)
            return "alike" if start[37:43] == _UNMARKED_START and _UNMARKED_END.fullmatch(file.read()) else ""
    except OSError:
        return ""


def _beside(root: str, filter: str) -> str:
    """Return the folder beside a folder that its outputs go to."""
    path = root.rstrip("/" + os.sep + (os.altsep or ""))
    name = os.path.basename(path)
    if name in (os.curdir, os.pardir):
        name = os.path.basename(_real(path))
        path = os.path.normpath(os.path.join(path, os.pardir, name))
    if not name or os.path.splitdrive(path)[1] == "":
        raise UsageError(f"{escape(root)} has no folder beside it; say with -o where its outputs go")
    return f"{path}_{filter.replace('/', '_')}"


def _identity(path: str, found: os.stat_result) -> tuple:
    """Return what two paths of one file share; hard links are files of their own."""
    key = (found.st_dev, found.st_ino)
    return key if found.st_nlink == 1 else (*key, _real(path))


def _plainness(path: str) -> tuple[bool, int, str]:
    return os.path.realpath(path) != os.path.abspath(path), len(path), path


def _real(path: str) -> str:
    return os.path.realpath(path)


def _above(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first."""
    while (up := os.path.dirname(path)) != path:
        yield up
        path = up


def _is_output(name: str) -> bool:
    return name.lower().endswith((".png", ".npy"))


def _is_same(found: os.stat_result, path: str) -> bool:
    try:
        return os.path.samestat(found, os.stat(path))
    except OSError:
        return False
