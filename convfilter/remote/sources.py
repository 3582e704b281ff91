"""Finds the pictures that inputs name, behind URLs and on this disk: in one order, with one set of names for both.

A folder in a store is listed page by page, with all below it. One of at most WHOLE objects gives its pictures in a
disk's order, under the names that they would have there. A larger one is never held in memory: its pictures come in the
store's order, and names that differ in case alone are told apart by nothing else, as stores do.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain, islice

from convfilter.errors import UsageError, escape
from convfilter.files.existing import mark_of
from convfilter.files.inputs import Identity, NamedInputs, Sources
from convfilter.files.labels import Listing, choose_labels, folder_label, hashed
from convfilter.files.output_folders import OutputFolders
from convfilter.files.paths import describe_error, fold, kind_of, split_name
from convfilter.files.patterns import ALL, LEFT_OUT, Patterns
from convfilter.files.walk import NO_PICTURE, PASSED, FolderWalk, Problem, Search, Source
from convfilter.images import formats
from convfilter.remote.store import Place, Store, Stored, Stores
from convfilter.remote.urls import STORES, WEB, hide_secrets, is_url, scheme_of

WHOLE = 10_000  # objects of a folder that are known before the first is filtered
MARK = 4096  # bytes of a PNG that tell whether convfilter has made it
LOOKED_AT = 200  # PNGs of a folder of nothing else, in which one is looked for that convfilter has not made

_BUCKETS = ("s3", "gs", "az", "abfs", "abfss")  # the first part of their paths is none of an object's name


@dataclass(frozen=True)
class RemoteSource(Source):
    """A picture behind a URL, which is its ``path`` without secrets.

    ``found`` is what a listing tells of it, None where none was made. What no listing tells is told when it is fetched:
    without ``is_certain`` it may be no picture, and it is no input if it has one of ``marks``; see
    ``existing.read_mark``.
    """

    place: Place = field(kw_only=True)
    found: Stored | None = field(kw_only=True)
    is_certain: bool = field(kw_only=True)
    marks: tuple[str, ...] = field(kw_only=True)

    @property
    def ext(self) -> str:
        return split_name(os.path.basename(self.place.name))[1]


def find_sources(
    inputs: Iterable[str],
    *,
    stores: Stores,
    is_picture: Callable[[str], bool],
    recursive: bool = False,
    output: str | None = None,
    filter: str = "filtered",
    extension: bool = False,
    metadata: bool = True,
    patterns: Patterns = ALL,
    resumed: bool = False,
    passed_over: Callable[[str, str], None] = lambda path, reason: None,
) -> Sources:
    """Return the sources that URLs, files, folders and "-" name, as ``files.inputs.find_sources`` does.

    Raises:
        UsageError: a URL's scheme is not known here, or a folder has no folder beside it.
    """
    named = _Named(list(dict.fromkeys(inputs)), stores, passed_over, resumed)
    if output is None:
        for place, is_folder in named.places.values():
            check_beside(place, is_folder)
    output_folders = OutputFolders(
        list(named.files.values()),
        list(named.folders.values()),
        output=output,
        filter=filter,
        extension=extension,
        alone=len(named.entries) == 1,
    )
    search = Search(is_picture, recursive, extension, None if metadata else filter, passed_over, patterns)
    walk = FolderWalk(named.found, search, output_folders, named.is_file)
    return _Sources(named, output_folders, walk, RemoteFolderWalk(named.places, search, output_folders))


class _Named(NamedInputs):
    """What the inputs name; ``places`` has those behind URLs, and whether they are folders, by their names."""

    def __init__(
        self, inputs: list[str], stores: Stores, passed_over: Callable[[str, str], None], resumed: bool
    ) -> None:
        self._stores = stores
        self.places: dict[str, tuple[Place, bool]] = {}
        super().__init__(inputs, passed_over, resumed)

    def _look(self, text: str) -> Identity | Problem | None:
        if not is_url(text):
            return super()._look(text)
        try:
            place = self._stores.connect(text)
            is_folder = is_folder_url(text, place)
        except OSError as error:
            return Problem(hide_secrets(text), describe_error(error), kind_of(error))
        named = self.folders if is_folder else self.files
        identity: Identity = ("url", is_folder, id(place.store), place.path)
        if identity in named:
            return self._passed_over(place.shown, "named before")
        named[identity] = place.name
        self.places[place.name] = (place, is_folder)
        return identity


class _Sources(Sources):
    def __init__(self, named: _Named, folders: OutputFolders, walk: FolderWalk, remote: "RemoteFolderWalk") -> None:
        super().__init__(named, folders, walk)
        self._remote, self._places = remote, named.places

    def _find(self, entry: Identity) -> Iterator[Source | Problem]:
        if entry[0] != "url":
            yield from super()._find(entry)
        elif entry in self._named.folders:
            yield from self._remote.walk(self._named.folders[entry])
        else:
            place, _ = self._places[self._named.files[entry]]
            folder, labels = self._output_folders.of_file(place.name)
            yield RemoteSource(
                place.shown, None, place.name, folder, labels, place.name,
                place=place, found=None, is_certain=True, marks=(),
            )  # fmt: skip

    def is_input(self, path: str) -> bool:
        return self._remote.is_input(path) if is_url(path) else super().is_input(path)


@dataclass(frozen=True)
class _Root:
    place: Place
    folder: str  # of its outputs
    holds_outputs: bool
    marks: tuple[str, ...]  # of PNGs that are no inputs


class RemoteFolderWalk:
    """The named folders behind URLs, whose pictures come from ``walk(name)``."""

    def __init__(self, places: Mapping[str, tuple[Place, bool]], search: Search, output_folders: OutputFolders) -> None:
        self._search, self._output_folders = search, output_folders
        self._places = {name: place for name, (place, is_folder) in places.items() if is_folder}
        self._files = {(place.store, place.path) for place, is_folder in places.values() if not is_folder}
        self._shown = {place.shown for place, is_folder in places.values() if not is_folder}

    def is_input(self, url: str) -> bool:
        """Return whether an output at this URL would replace an input."""
        if url in self._shown:
            return True
        for place in self._places.values():
            relative = url.removeprefix(f"{place.shown}/")
            inside = relative != url and (self._search.recursive or "/" not in relative)
            if inside and self._output_folders.lie_in(os.path.realpath(place.name)):
                try:
                    return mark_of(place.store.head(place.below(relative).path, MARK)) in ("alike", "")
                except FileNotFoundError:
                    return False
        return False

    def walk(self, name: str) -> Iterator[Source | Problem]:
        """Yield the sources in a named folder: its own files before those of its sub-folders, unless it is large."""
        place = self._places[name]
        below = "" if self._search.recursive else "; -r looks into its sub-folders"
        nothing = Problem(place.shown, f"no picture was found in it{below}", "empty")
        try:
            listed = chain.from_iterable(place.store.pages(place.path, recursive=self._search.recursive))
            first = list(islice(listed, WHOLE + 1))
            if not first and "/" in place.path.strip("/"):
                raise FileNotFoundError(2, os.strerror(2))
            root = self._root(place, first)
            walk = self._in_order(root, first) if len(first) <= WHOLE else self._as_listed(root, chain(first, listed))
            is_empty = True
            for source in walk:
                is_empty = False
                yield source
            if is_empty:
                yield nothing
        except OSError as error:
            reason = describe_error(error)
            if not isinstance(error, FileNotFoundError):
                reason = f"the folder cannot be listed: {reason}"
            yield Problem(place.shown, reason, kind_of(error))

    def _root(self, place: Place, first: list[Stored]) -> _Root:
        holds_outputs = self._output_folders.lie_in(os.path.realpath(place.name))
        marks: list[str] = []
        if holds_outputs or self._has_others(place, first):
            marks.append("marked")
        if holds_outputs and self._search.unmarked:
            marks.append("alike")
        return _Root(place, self._output_folders.of_root(place.name), holds_outputs, tuple(marks))

    def _has_others(self, place: Place, first: list[Stored]) -> bool:
        """Return whether a folder holds a picture that convfilter did not make: then what it made is no input."""
        paths = [entry.path for entry in first if formats.suffix_of(entry.path) in formats.SUFFIXES]
        if any(not path.endswith(".png") for path in paths):
            return True
        return any(_read_mark(place.store, path) in ("alike", "") for path in paths[:LOOKED_AT])

    def _in_order(self, root: _Root, listed: list[Stored]) -> Iterator[Source | Problem]:
        """Yield what a small folder holds, as a disk's would be walked."""
        files: dict[str, dict[str, Stored]] = {"": {}}  # by folder and name
        folders: dict[str, set[str]] = {}
        for found in self._tidy(root, listed):
            if isinstance(found, Problem):
                yield found
                continue
            relative, stored = found
            folder, _, name = relative.rpartition("/")
            files.setdefault(folder, {})[name] = stored
            while folder:
                up, _, name = folder.rpartition("/")
                folders.setdefault(up, set()).add(name)
                folder = up
        stack: list[Iterator[tuple[str, str]]] = [iter([("", root.folder)])]
        sniffing = _Sniffing(root.place)
        while stack:
            visit = next(stack[-1], None)
            if visit is None:
                stack.pop()
                continue
            folder, output = visit
            if folder and self._output_folders.is_for_outputs(os.path.realpath(f"{root.place.name}/{folder}")):
                self._search.passed_over(root.place.below(folder).shown, "outputs go there")
                continue
            here = files.get(folder, {})
            listing = Listing(here)
            for name in listing.names:
                yield from self._source(root, folder, name, here, listing, output, sniffing)
            stack.append(iter(self._below(folder, folders.get(folder, set()), output)))

    def _below(self, folder: str, names: Iterable[str], output: str) -> list[tuple[str, str]]:
        counts = Counter(map(fold, names))
        return [
            (f"{folder}/{name}".lstrip("/"), f"{output}/{folder_label([name], name, counts)}")
            for name in Listing(names).names
        ]

    def _as_listed(self, root: _Root, listed: Iterable[Stored]) -> Iterator[Source | Problem]:
        """Yield what a large folder holds, in the store's order.

        Names that may get the same label stand together there: they begin with the stem of the first of them and a dot.
        Where those are very many, each keeps its extension; what has none could meet others, and gets a hash.
        """
        sniffing = _Sniffing(root.place)
        output_of = lru_cache(256)(partial(self._output_of, root))
        group: dict[str, dict[str, Stored]] = {}  # by folder and name
        begin, size = "", 0
        for found in chain(self._tidy(root, listed), [None]):
            if isinstance(found, Problem):
                yield found
                continue
            relative, stored = found or ("", None)
            folder, _, name = relative.rpartition("/")
            is_more = stored is not None and size and relative.startswith(begin)
            if not is_more or size >= WHOLE:
                for within, here in group.items():
                    if (output := output_of(within)) is not None:
                        known = None if size >= WHOLE else Listing(here)
                        for file_name in sorted(here):
                            listing = known if split_name(file_name)[1] else None
                            yield from self._source(root, within, file_name, here, listing, output, sniffing)
                group = {}
            if not is_more:
                begin, size = f"{folder}/{split_name(name)[0]}.".lstrip("/"), 0
            if stored is not None:
                group.setdefault(folder, {})[name] = stored
                size += 1

    def _output_of(self, root: _Root, folder: str) -> str | None:
        """Return where the outputs of a sub-folder go; None where it is one for outputs itself."""
        output, real = root.folder, os.path.realpath(root.place.name)
        for name in filter(None, folder.split("/")):
            real = os.path.join(real, name)
            if self._output_folders.is_for_outputs(real):
                return None
            output = f"{output}/{folder_label([name], name, Counter([fold(name)]))}"
        return output

    def _tidy(self, root: _Root, listed: Iterable[Stored]) -> Iterator[Problem | tuple[str, Stored]]:
        """Yield the paths inside a folder of all that can be pictures, and say what is passed over."""
        place, last = root.place, ""
        others = [other.path for other in self._places.values() if other.store is place.store and other is not place]
        others = [f"{other}/" for other in others if len(other) > len(place.path)]
        for stored in listed:
            relative = stored.path[len(place.path) + 1 :] if place.path else stored.path.lstrip("/")
            parts = relative.split("/")
            name = parts[-1]
            reason = ""
            if not name and not stored.is_folder:
                continue  # what stands for an empty folder
            if any(part in ("", ".", "..") or (os.sep != "/" and os.sep in part) for part in parts):
                shown = place.below(relative).shown
                yield Problem(shown, "a part of its name is empty, or . or .., which no folder can hold", "picture")
                continue
            if hidden := next((part for part in parts if part.startswith(".")), ""):
                relative = relative.partition(hidden)[0] + hidden
                reason = "hidden or temporary"
            elif stored.is_folder:
                reason = "is a folder, and there is no -r"
            elif PASSED.fullmatch(name):
                reason = "hidden or temporary"
            elif any(stored.path.startswith(other) for other in others):
                continue  # of a folder that was named on its own
            elif (place.store, stored.path) in self._files:
                reason = "named on its own"
            if not reason:
                yield relative, stored
            elif relative != last:
                self._search.passed_over(place.below(relative).shown, reason)
                last = relative

    def _source(
        self,
        root: _Root,
        folder: str,
        name: str,
        here: Mapping[str, Stored],
        listing: Listing | None,
        output: str,
        sniffing: "_Sniffing",
    ) -> Iterator[Source]:
        relative = f"{folder}/{name}".lstrip("/")
        place = root.place.below(relative)
        is_certain = _is_named_so(name)
        if not self._search.patterns.take(relative):
            self._search.passed_over(place.shown, LEFT_OUT)
            return
        if not sniffing.passes(here[name].path, name):
            self._search.passed_over(place.shown, NO_PICTURE)
            return
        yield RemoteSource(
            place.shown, root.place.shown, relative, output, self._labels(root, name, here, listing), name,
            place=place, found=here[name], is_certain=is_certain, marks=self._marks(root, name),
        )  # fmt: skip

    def _labels(self, root: _Root, name: str, here: Mapping[str, Stored], listing: Listing | None) -> tuple[str, ...]:
        """Return what may stand for a name in its outputs'; without a listing nothing is known of those beside it."""
        stem, ext = split_name(name)
        if listing is None:
            return (name, hashed(name, name)) if ext else (hashed(name, name),)
        is_certain = _is_named_so(name)

        def rivals(label: str) -> Iterator[tuple[str, bool]]:
            for rival, theirs in listing.rivals(label):
                same = not self._search.extension or fold(split_name(rival)[1]) == fold(ext)
                if rival == name or not same or (is_certain and not _is_named_so(rival)):
                    continue
                if not self._is_ours(root, here[rival].path, rival):
                    yield theirs, theirs == split_name(rival)[0]

        return choose_labels([stem, name], name, rivals)

    def _is_ours(self, root: _Root, path: str, name: str) -> bool:
        """Return whether an object is an output of an earlier run that is no input; looked at where names meet."""
        marks = self._marks(root, name)
        return bool(marks) and _read_mark(root.place.store, path) in marks

    def _marks(self, root: _Root, name: str) -> tuple[str, ...]:
        """Return the marks that tell that an object of this name is no input."""
        alike = "alike" in root.marks and f"_{self._search.unmarked}" in name
        return tuple(mark for mark in root.marks if mark == "marked" or alike) if name.endswith(".png") else ()


class _Sniffing:
    """Looks into objects until a folder is known to hold a picture; the others' turn comes when they are fetched."""

    def __init__(self, root: Place) -> None:
        self._store, self.has_found = root.store, False

    def passes(self, path: str, name: str) -> bool:
        if self.has_found:
            return True
        try:
            head = self._store.head(path, formats.HEAD)
        except OSError:  # fetching it will say why
            head = b""
        self.has_found = formats.begins_picture(head, formats.suffix_of(name))
        return self.has_found


def _read_mark(store: Store, path: str) -> str:
    """Return what ``existing.read_mark`` says of an object."""
    try:
        return mark_of(store.head(path, MARK))
    except OSError:
        return "unknown"


def _is_named_so(name: str) -> bool:
    return formats.suffix_of(name) in formats.SUFFIXES


def is_folder_url(text: str, place: Place) -> bool:
    """Return whether a URL names a folder; the store is asked only where the URL does not tell."""
    scheme, url = scheme_of(text), text.split("::")[0]
    if scheme in WEB:
        return False
    if url.endswith("/") or ("/" not in place.path.strip("/") and scheme in _BUCKETS) or not place.path.strip("/"):
        return True
    return not _is_named_so(place.path) and place.store.look(place.path).is_folder


def check_beside(place: Place, is_folder: bool) -> None:
    """Return if there is a place beside this one for outputs.

    Raises:
        UsageError: there is none.
    """
    scheme = scheme_of(place.shown)
    parts = len(place.path.strip("/").split("/")) if place.path.strip("/") else 0
    least = 1 + (scheme in _BUCKETS) if is_folder else 2
    if scheme not in WEB and (scheme not in STORES or parts < least):
        raise UsageError(f"{escape(place.shown)} has no folder beside it; say with -o where its outputs go")
