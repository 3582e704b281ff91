"""URLs in a list of names: each with a place of its own below -o, as names on this disk have it.

What lies beside an object is not looked at: where two of a list would share a name, the second gets a hash.
"""

import os
from collections.abc import Iterator
from typing import Any

from convfilter.errors import UsageError
from convfilter.files.destination import Destination
from convfilter.files.labels import choose_labels
from convfilter.files.listed import FileList, ListedSources
from convfilter.files.output_folders import OutputFolders
from convfilter.files.paths import describe_error, kind_of, split_name
from convfilter.files.patterns import LEFT_OUT
from convfilter.files.walk import Problem, Search, Source
from convfilter.remote.sources import RemoteFolderWalk, RemoteSource, check_beside, is_folder_url
from convfilter.remote.store import Stores
from convfilter.remote.urls import hide_secrets, is_url, to_path


class RemoteListedSources(ListedSources):
    """As ListedSources, with URLs among the names; "/./" in one says, as in a path, that only what follows is kept."""

    def __init__(self, names: FileList, search: Search, *, stores: Stores, **places: Any) -> None:
        super().__init__(names, search, **places)
        self._stores = stores

    def is_input(self, path: str) -> bool:
        return self._key(path) in self._files if is_url(path) else super().is_input(path)

    def _find(self, name: str, destination: Destination | None) -> Iterator[Source | Problem]:
        name = to_path(name)
        if not is_url(name):
            yield from super()._find(name, destination)
            return
        base, mark, relative = name.partition("/./")
        url = f"{base}/{relative}" if mark else name
        shown = hide_secrets(url)
        try:
            place = self._stores.connect(url)
            is_folder = is_folder_url(url, place)
            kept = (relative if mark else place.name.partition("://")[2]).strip("/")
            if any(part in ("", ".", "..") for part in kept.split("/")):
                raise UsageError("a part of its name is empty, or . or .., which no folder can hold")
            if self._output is None:
                check_beside(place, is_folder)
            folder, labels = self._place(base if mark else None, place.name, kept, destination, is_folder)
        except UsageError as error:
            yield Problem(shown, str(error).removeprefix(f"{shown}: "), "output")
            return
        except OSError as error:
            yield Problem(shown, describe_error(error), kind_of(error))
            return
        if is_folder:
            folders = OutputFolders([], [place.name], output=folder, filter=self._filter, alone=True)
            yield from RemoteFolderWalk({place.name: (place, True)}, self._search, folders).walk(place.name)
        elif not self._search.patterns.take(kept):
            self._search.passed_over(place.shown, LEFT_OUT)
        else:
            yield RemoteSource(
                place.shown, None, kept, folder, labels, os.path.basename(place.name),
                place=place, found=None, is_certain=True, marks=(),
            )  # fmt: skip

    def _labels(self, path: str) -> tuple[str, ...]:
        if not is_url(path):
            return super()._labels(path)
        name = os.path.basename(path)
        return choose_labels([split_name(name)[0], name], name)

    def _identify(self, source: Source) -> bytes | None:
        return self._key(source.place.name) if isinstance(source, RemoteSource) else super()._identify(source)

    @staticmethod
    def _key(url: str) -> bytes:
        return url.encode("utf-8", "surrogateescape")
