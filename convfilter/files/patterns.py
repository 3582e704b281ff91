"""Patterns of names, as --include and --exclude take them: those of .gitignore files and of git's pathspecs.

``*`` and ``?`` stand for characters of one name, ``**`` for folders too, ``[a-z]`` and ``[!a-z]`` for one character,
and ``\\`` before a character for itself. A pattern without "/" is looked for at any depth; with one, at its start or
inside, it begins at the folder that was named; with one at its end it is a folder's. What a pattern says of a folder
holds for all that lies in it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

LEFT_OUT = "left out by --include or --exclude"  # the reason for which files and folders are passed over
EVERYTHING = ("*", "**", "/*", "/**", "**/*")


@dataclass(frozen=True)
class Patterns:
    """Which files below a folder are wanted: all, or those that an ``include`` matches, without those of ``exclude``.

    >>> wanted = Patterns(include=("*.jpg",), exclude=("thumbs/",))
    >>> [wanted.take(path) for path in ("a.jpg", "b/a.jpg", "a.png", "b/thumbs/a.jpg")]
    [True, True, False, False]
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def take(self, path: str) -> bool:
        """Return whether a file is wanted; ``path`` is the one from the folder that was named, with "/"."""
        if not self.include and not self.exclude:
            return True
        places = list(_prefixes(path))
        included = not self.include or any(_match(pattern, *place) for pattern in self.include for place in places)
        return included and not any(_match(pattern, *place) for pattern in self.exclude for place in places)

    def enter(self, path: str) -> bool:
        """Return whether a folder may hold what is wanted; the folders above it may."""
        return not any(_match(pattern, path, True) for pattern in self.exclude)


ALL = Patterns()


def _prefixes(path: str) -> Iterator[tuple[str, bool]]:
    """Yield the folders that a path leads through, and itself: each with whether it is a folder."""
    for slash in re.finditer("/", path):
        yield path[: slash.start()], True
    yield path, False


def _match(pattern: str, path: str, is_folder: bool) -> bool:
    expression, only_folders = _compile(pattern)
    return (is_folder or not only_folders) and expression.fullmatch(path) is not None


@cache
def _compile(pattern: str) -> tuple[re.Pattern[str], bool]:
    """Return a pattern as a regular expression, and whether it is for folders only.

    >>> patterns = "a.*", "x/*.png", "x/**", "/a.png", "**/y/[ab].png"
    >>> [bool(_compile(pattern)[0].fullmatch("x/y/a.png")) for pattern in patterns]
    [True, False, True, False, True]
    """
    body = pattern.rstrip("/")
    anchored, body = "/" in body, body.removeprefix("/")
    text = "" if anchored else "(?:.*/)?"
    while body:
        if body.startswith("**/"):
            piece, made = body[:3], "(?:.*/)?"
        elif body.startswith("**"):
            piece, made = body[:2], ".*"
        elif body[0] in "*?":
            piece, made = body[0], "[^/]*" if body[0] == "*" else "[^/]"
        elif (found := re.match(r"\[[!^]?\]?[^\]]*\]", body)) is not None:
            piece = found[0]
            negated = piece[1] in "!^"
            members = re.sub(r"([\\\[\]&~|^])", r"\\\1", piece[1 + negated : -1])
            made = f"(?!/)[{'^' if negated else ''}{members}]"
        elif body[0] == "\\" and len(body) > 1:
            piece, made = body[:2], re.escape(body[1])
        else:
            piece, made = body[0], re.escape(body[0])
        text, body = text + made, body[len(piece) :]
    return re.compile(text, re.DOTALL), pattern.endswith("/")


def check_pattern(pattern: str) -> str:
    """Return the pattern.

    Raises:
        ValueError: it is none.

    >>> check_pattern("[z-a].png")
    Traceback (most recent call last):
    ValueError: '[z-a].png' is no pattern: bad character range z-a
    """
    if not pattern.strip("/"):
        raise ValueError("is empty; expected a pattern of names, such as '*.jpg' or 'thumbs/'")
    try:
        _compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error.msg}") from None
    return pattern
