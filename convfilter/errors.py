"""The errors a user reads: each says what is wrong, where, and what to do."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches


class ConvfilterError(Exception):
    """Anything that is the user's to mend; ``str(error)`` is what the user reads."""


class PipelineError(ConvfilterError):
    r"""A pipeline's text is wrong; ``str(error)`` shows the line with a caret under the place.

    ``reason`` is the same without the picture of the line, for messages of one line.

    >>> print(PipelineError("there is no layer 'Relu'; did you mean ReLU?", "edge | Relu()", 7, 11))
    there is no layer 'Relu'; did you mean ReLU?
      edge | Relu()
             ^^^^
    """

    def __init__(self, reason: str, text: str, start: int, end: int, *, file: str | None = None) -> None:
        self.reason, self.text, self.start, self.end, self.file = reason, text, start, end, file
        where = ""
        if file is not None or "\n" in text.strip():
            column = start - text.rfind("\n", 0, start)
            where = f"line {text.count(chr(10), 0, start) + 1}, column {column}"
            where = f"{escape(file)}, {where}: " if file is not None else f"{where}: "
        super().__init__(f"{where}{reason}\n{show_place(text, start, end)}")


class UsageError(ConvfilterError):
    """An option or argument makes no sense; nothing has been read or written."""


class InputError(ConvfilterError):
    """One picture cannot be read or filtered; the message is the reason, without the file's name.

    ``kind`` is a word for programs: "picture" for a file that is none or a broken one, "missing", "denied", "size",
    "values" for NaN and infinity, "system".
    """

    def __init__(self, message: str, *, kind: str = "picture") -> None:
        super().__init__(message)
        self.kind = kind


class OutputError(ConvfilterError):
    """One output cannot be written; ``fatal`` is true where every further one would fail as well.

    ``kind`` is a word for programs: "output", or "exists" for a file that is not to be replaced.
    """

    def __init__(self, message: str, *, fatal: bool = False, kind: str = "output") -> None:
        super().__init__(message)
        self.fatal, self.kind = fatal, kind


class LibraryError(ConvfilterError):
    """A library that every picture needs cannot be loaded: each further one would fail as well."""

    fatal = True
    kind = "library"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean NAME?"`` with the nearest known name, or those that begin with it, or nothing.

    >>> did_you_mean("Relu", ["ReLU", "ELU", "Tanh"])
    '; did you mean ReLU?'
    >>> did_you_mean("sobel", ["sobel_y", "sobel_x", "box"])
    '; did you mean sobel_x or sobel_y?'
    """
    if len(name) > 60:
        return ""
    lower = {k.lower(): k for k in sorted(known, reverse=True)}
    family = sorted(k for k in lower if k.startswith(f"{name.lower()}_"))
    if 1 < len(family) < 5 and name.lower() not in lower:
        *others, last = (lower[k] for k in family)
        return f"; did you mean {', '.join(others)} or {last}?"
    near = get_close_matches(name.lower(), lower, n=1, cutoff=0.7)
    if not near and len(name) > 1:  # a part of it, in whole words
        near = sorted((k for k in lower if k.startswith(name.lower()) or k.endswith(f"_{name.lower()}")), key=len)
    return f"; did you mean {lower[near[0]]}?" if near else ""


def escape(text: str) -> str:
    r"""Return the text on one line, control characters and undecodable bytes written as escapes.

    >>> print(escape("a\nb\x1b[31m \udcff"))
    a\nb\x1b[31m \xff
    """
    return "".join(_escape(c) if _unprintable(c) else c for c in text)


def shorten(text: str, width: int = 40) -> str:
    """Return the text escaped and no longer than ``width``, cut with an ellipsis.

    >>> shorten("x" * 100, 10)
    'xxxxxxx...'
    """
    text = escape(text[: 4 * width])
    return text if len(text) <= width else text[: width - 3] + "..."


def tidy(message: str, width: int = 40) -> str:
    r"""Return a message on one line, with what it quotes escaped and cut to about ``width``.

    >>> print(tidy("'" + "9" * 5000 + "' is not a valid integer; '\\udcff\udcff'"))
    '9999999999999999999999999999999999999...' is not a valid integer; '\xff\xff'
    """
    bytes_shown = re.sub(r"(?<!\\)\\udc([89a-f][0-9a-f])", r"\\x\1", message)  # repr() writes bytes that are no text so
    text = escape(bytes_shown)
    text = re.sub(rf"'((?:[^'\\]|\\.){{{width - 3}}})(?:[^'\\]|\\.){{4,}}'", r"'\1...'", text)
    return re.sub(rf"(?<!\S)([^\s']{{{width - 3}}})\S{{20,}}", r"\1...", text)


def show_place(text: str, start: int, end: int, *, width: int = 76) -> str:
    """Return the line of ``text`` that holds ``start``, and under it a caret line that marks ``start`` to ``end``.

    A long line is cut around the place; what cannot be printed is escaped, and the caret still stands under it.

    >>> print(show_place("edge | Relu()", 7, 11))
      edge | Relu()
             ^^^^
    """
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    last = len(text) if last < 0 else last
    end = max(start + 1, min(end, last, start + width // 2))
    left = max(first, start - width // 2)
    right = min(last, max(end, left + width))
    before = ("..." if left > first else "") + escape(text[left:start])
    marked = escape(text[start : min(end, last)])
    after = escape(text[min(end, last) : right]) + ("..." if right < last else "")
    return f"  {before}{marked}{after}\n  {' ' * _columns(before)}{'^' * max(1, _columns(marked))}"


def _unprintable(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def _escape(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not UTF-8 (surrogateescape)
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode("ascii")


def _columns(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.category(c) in ("Mn", "Me") for c in text)
