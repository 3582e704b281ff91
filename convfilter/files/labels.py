"""Labels: what stands for a source in its outputs' names, so that no two sources of one folder share a name."""

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b

from convfilter.files.paths import fold, split_name

HASHED = re.compile("~[0-9a-f]{12}$")
SUFFIXES = (".png", ".svg", ".npy")  # of the files that are written


def hashed(label: str, identity: str) -> str:
    """Return a label that no other has: with a hash of what the source is."""
    return f"{label}~{blake2b(os.fsencode(identity), digest_size=6).hexdigest()}"


def choose_labels(
    candidates: Sequence[str], identity: str, rivals: Callable[[str], Iterable[tuple[str, bool]]] = lambda label: ()
) -> tuple[str, ...]:
    """Return those candidates that no other source takes, and last a hashed one that always is free.

    ``rivals(label)`` yields the candidates of others that fold to the same, and if each is its source's first. A first
    candidate is taken only where there are none. A later one may meet first ones, which then are not taken, and of
    those that meet it the one that is spelled as it folds keeps it: of a.png and A.png, a.png.

    >>> choose_labels(["a", "a.png"], "a.png", {"a": [("a", True)], "a.png": [("A.png", False)]}.get)
    ('a.png', 'a.png~b507adc5993d')
    """

    def is_free(label: str) -> bool:
        if label == candidates[0]:
            return not any(True for _ in rivals(label))
        return not any(not first and (theirs == label or label != fold(label)) for theirs, first in rivals(label))

    free = (label for label in dict.fromkeys(candidates) if not HASHED.search(label) and is_free(label))
    return (*free, hashed(candidates[-1], identity))


def folder_label(labels: Sequence[str], identity: str, counts: Counter[str]) -> str:
    """Return the first label that only one folder has (``counts`` is of folded labels) and that looks like no file."""
    for label in labels:
        if counts[fold(label)] == 1 and not label.lower().endswith(SUFFIXES) and not HASHED.search(label):
            return label
    return hashed(labels[-1], identity)


class Listing:
    """The names in one folder, in order, so that those which could share a label are found without a walk.

    >>> list(Listing(["b.png", "A.png", "a.jpg", "a.v1.png"]).rivals("a"))
    [('a.jpg', 'a'), ('A.png', 'A')]
    """

    def __init__(self, names: Iterable[str]) -> None:
        pairs = sorted((fold(name), name) for name in names)
        self.names = [name for _, name in pairs]
        self._folded = [folded for folded, _ in pairs]

    def rivals(self, label: str) -> Iterator[tuple[str, str]]:
        """Yield the names that fold to what the label does, or whose stems do: each with what of it folds so."""
        folded = fold(label)
        for name in self._between(folded, folded + "\0"):
            yield name, name
        for name in self._between(folded + ".", folded + "/"):
            stem, _ = split_name(name)
            if fold(stem) == folded:
                yield name, stem

    def _between(self, first: str, last: str) -> Iterator[str]:
        for i in range(bisect_left(self._folded, first), bisect_left(self._folded, last)):
            yield self.names[i]
