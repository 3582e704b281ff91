"""Where the outputs of named files and folders go, and what they are labelled, so that no two ever meet."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache

from convfilter.errors import UsageError, escape
from convfilter.files.labels import choose_labels, folder_label, hashed
from convfilter.files.paths import above, fold, is_same, split_name, to_file_name
from convfilter.files.targets import is_file_name


class OutputFolders:
    """The folders of one run's outputs, known before the first folder is listed.

    ``files`` and ``roots`` are the paths of named files ("-" is standard input) and folders, each named once;
    ``output`` is the value of -o: without it outputs go beside a file, and to PHOTOS_FILTER beside a folder PHOTOS. In
    a folder given with -o, a named folder has a sub-folder of its own, unless it is ``alone``, the only input.
    ``extension`` is true where names hold {ext} anyway. UsageError where a folder has no folder beside it.

    >>> folders = OutputFolders(["x/a.png", "y/a.png"], ["photos"], output="out", filter="edge")
    >>> folders.of_file("x/a.png")[1][0], folders.of_root("photos").replace(os.sep, "/")
    ('x_a.png', 'out/photos')
    """

    def __init__(
        self,
        files: Sequence[str],
        roots: Sequence[str],
        *,
        output: str | None,
        filter: str,
        extension: bool = False,
        alone: bool = False,
    ) -> None:
        self._extension = extension
        self._real = cache(lambda folder: os.path.realpath(folder or os.curdir))
        single = output is not None and (output == "-" or is_file_name(output))
        self._output = os.path.dirname(output) or os.curdir if output is not None and single else output
        self._roots = self._place_roots(roots, filter, alone)
        trees = [] if single else [self._real(folder) for folder in self._roots.values()]
        self._trees = {fold(tree): [t for t in trees if fold(t) == fold(tree)] for tree in trees}
        self._files = {self._output} if single else {self._folder(path) for path in files}
        self._folders = {*trees, *map(self._real, self._files)} if output != "-" else set()
        self._claims: dict[tuple[str, ...], list[tuple[str, str]]] = {}  # what folds alike: path and label of each
        for path in files:
            for label in self._labels(path):
                self._claims.setdefault(self._key(path, label), []).append((path, label))

    @property
    def only(self) -> str | None:
        """The one folder that all outputs go to or below, or None."""
        if self._output is not None:
            return self._output
        folders = {*self._roots.values(), *self._files}
        return (folders.pop() or os.curdir) if len(folders) == 1 else None

    def of_root(self, root: str) -> str:
        """Return the folder that the outputs of a named folder go to; its sub-folders keep their places below it."""
        return self._roots[root]

    def of_file(self, path: str) -> tuple[str, tuple[str, ...]]:
        """Return the folder that a named file's outputs go to, and the labels they may have, the best first.

        A file that is not there is not among those that keep others from a label.
        """
        folder = self._folder(path)
        real = self._real(folder)
        if self._output is None and any(map(self.is_for_outputs, (real, *above(real)))):
            return folder, (
                hashed(os.path.basename(path), path),
            )  # among the outputs of a folder, which know no others

        def rivals(label: str) -> Iterator[tuple[str, bool]]:
            for other, theirs in self._claims.get(self._key(path, label), ()):
                if other != path:
                    yield theirs, theirs == self._labels(other)[0]

        return folder, choose_labels(self._labels(path), path, rivals)

    def lie_in(self, real: str) -> bool:
        """Return whether some outputs go to this folder (by its real path) or below it."""
        return any(real in (folder, *above(folder)) for folder in self._folders)

    def are_met(self, real: str) -> bool:
        """Return whether a walk of this folder (by its real path) comes upon outputs of this run."""
        for folder in self._folders:
            path = (folder, *above(folder))
            if real in path and not any(map(self.is_for_outputs, path[: path.index(real)])):
                return True
        return False

    def is_for_outputs(self, real: str) -> bool:
        """Return whether a folder (by its real path) is one for outputs, which no walk enters."""
        return any(real == tree or is_same(real, tree) for tree in self._trees.get(fold(real), ()))

    def _folder(self, path: str) -> str:
        return folder_of(path) if self._output is None else self._output

    def _labels(self, path: str) -> list[str]:
        """Return what a file's outputs may be labelled: photo, photo.png, and among those of -o folder_photo.png."""
        if path == "-":
            return ["stdin"]
        folder, name = os.path.split(path)
        labels = [split_name(name)[0], name]
        return labels if self._output is None else [*labels, f"{os.path.basename(self._real(folder))}_{name}"]

    def _key(self, path: str, label: str) -> tuple[str, ...]:
        place = "" if self._output is not None else self._real(self._folder(path))
        return place, fold(label), fold(split_name(path)[1]) if self._extension else ""

    def _place_roots(self, roots: Sequence[str], filter: str, alone: bool) -> dict[str, str]:
        if self._output is not None:
            if alone:
                return dict.fromkeys(roots, self._output)
            choices = {root: _root_labels(root) for root in roots}
            counts = Counter(fold(label) for labels in choices.values() for label in labels)
            return {
                root: os.path.join(self._output, folder_label(labels, root, counts)) for root, labels in choices.items()
            }
        placed = {root: beside(root, filter) for root in roots}
        trees = Counter(map(os.path.realpath, placed.values()))
        for root, folder in placed.items():
            real = os.path.realpath(folder)
            if trees[real] > 1 or any(up in trees for up in above(real)):
                placed[root] = hashed(folder, root)
        return placed


def folder_of(path: str) -> str:
    """Return the folder that a file's outputs go to where there is no -o."""
    folder = os.path.dirname(path)
    no_place = ("/dev/", "/proc/", "http://", "https://")  # a shell's pipe, and the web
    return "" if f"{folder}/".startswith(no_place) else folder


def beside(root: str, filter: str) -> str:
    """Return the folder beside a folder that its outputs go to.

    >>> beside("photos/", "edge")
    'photos_edge'
    """
    path = root.rstrip("/" + os.sep)
    if os.path.basename(path) in (os.curdir, os.pardir):
        path = os.path.normpath(os.path.join(path, os.pardir, os.path.basename(os.path.realpath(path))))
    if not os.path.basename(path) or os.path.basename(path) == os.pardir:
        raise UsageError(f"{escape(root)} has no folder beside it; say with -o where its outputs go")
    return f"{path}_{to_file_name(filter)}"


def _root_labels(root: str) -> list[str]:
    folder, name = os.path.split(os.path.realpath(root))
    return [name or "root", f"{os.path.basename(folder)}_{name}"]
