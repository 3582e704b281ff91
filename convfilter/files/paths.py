"""What a path tells: stem and extension, the folders above, which names some disks take for one, and what is there."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator

_KINDS = {
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFDIR: "is a folder",
}


def split_name(name: str) -> tuple[str, str]:
    """Return stem and extension of a file name; an extension is short, and letters and digits only.

    >>> split_name("photo.v1.png"), split_name("scan of 3. May"), split_name(".hidden")
    (('photo.v1', 'png'), ('scan of 3. May', ''), ('.hidden', ''))
    """
    stem, dot, ext = name.rpartition(".")
    if dot and stem.strip(".") and ext.isalnum() and len(ext) <= 12:
        return stem, ext
    return name, ""


def to_file_name(text: str) -> str:
    """Return a text as a part of a file's name.

    >>> to_file_name("a/b")
    'a_b'
    """
    return re.sub(r"[/\\\0]", "_", text)


def fold(name: str) -> str:
    """Return the name as a file system that knows neither case nor ways to write accents would see it."""
    if name.isascii():
        folded = name.lower()
        return name if folded == name else folded  # one string where 100,000 of them are kept
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def above(path: str) -> Iterator[str]:
    """Yield the folders above a path, the nearest first.

    >>> list(above("/a/b"))
    ['/a', '/']
    """
    while (up := os.path.dirname(path)) != path:
        yield up
        path = up


def is_same(first: str, second: str) -> bool:
    """Return whether two paths lead to one file or folder that is there."""
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False


def describe_kind(found: os.stat_result) -> str:
    """Return what something that is no file is."""
    return _KINDS.get(stat.S_IFMT(found.st_mode), "is no file")


def describe_error(error: OSError | ValueError) -> str:
    """Return the system's words for what went wrong."""
    return getattr(error, "strerror", None) or str(error)


def kind_of(error: OSError | ValueError) -> str:
    """Return a word for programs that says what went wrong at a path.

    >>> kind_of(FileNotFoundError()), kind_of(PermissionError()), kind_of(OSError(5, "Input/output error"))
    ('missing', 'denied', 'system')
    """
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "missing"
    return "denied" if isinstance(error, PermissionError) else "system"
