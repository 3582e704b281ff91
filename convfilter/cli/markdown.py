"""Markdown as a terminal shows it: paragraphs, lists and tables laid out for a width, pictures left out."""

import re
import textwrap
from collections.abc import Iterator
from itertools import zip_longest

_ITEM = re.compile(r"(\s*)([-*]|\d+\.) ")
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)")
_EMPHASIS = re.compile(r"(?<![\w*])\*{1,2}(?=\S)(.+?)(?<=\S)\*{1,2}(?![\w*])")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")


def lay_out(text: str, width: int) -> str:
    """Return a page of Markdown as plain text whose paragraphs, lists and tables are at most ``width`` wide.

    What is in code stays as it is. A link to another page is shown as the command that prints it.

    >>> print(lay_out("# A *page*\\n\\nTwo\\nlines, **one** `paragraph`; see [files](weights.md#x).", 60))
    A page
    ======
    <BLANKLINE>
    Two lines, one `paragraph`; see files (convfilter help
    weights).
    """
    return "\n\n".join(block for block in _blocks(text.splitlines(), width) if block)


def _blocks(lines: list[str], width: int) -> Iterator[str]:
    """The blocks of a page, one after the other, each laid out; empty ones too."""
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip():
            continue
        if line.startswith("```"):
            while at < len(lines) and not lines[at].startswith("```"):
                at += 1
            yield textwrap.indent("\n".join(lines[start + 1 : at]), "    ")
            at += 1
        elif line.startswith("    "):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield "\n".join(lines[start:at]).rstrip()
        elif line.startswith("#"):
            level, _, title = line.partition(" ")
            title = _words(title)
            yield title + f"\n{'=-'[len(level) - 1] * len(title)}" * (len(level) < 3)
        elif line.startswith("|"):
            while at < len(lines) and lines[at].startswith("|"):
                at += 1
            yield _table([_cells(row) for row in lines[start:at]], width)
        elif line.startswith("<!--"):
            while "-->" not in lines[at - 1] and at < len(lines):
                at += 1
        else:
            while at < len(lines) and lines[at].strip() and not re.match(r"```|#|\|", lines[at]):
                at += 1
            yield "\n".join(_wrapped(lines[start:at], width))


def _wrapped(lines: list[str], width: int) -> Iterator[str]:
    """A paragraph, or the items of a list, each with its further lines under its text."""
    parts: list[str] = []
    for line in lines:
        if _ITEM.match(line) or not parts:
            parts.append(line)
        else:
            parts[-1] += f" {line.strip()}"
    for part in parts:
        item = _ITEM.match(part)
        first = item[0] if item else ""
        if words := _words(part[len(first) :]):
            options = {"break_long_words": False, "break_on_hyphens": False}
            yield textwrap.fill(words, width, initial_indent=first, subsequent_indent=" " * len(first), **options)


def _cells(row: str) -> list[str]:
    return [_words(cell.replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", row.strip().strip("|"))]


def _table(rows: list[list[str]], width: int) -> str:
    """Rows of cells in columns; the last column takes the width that is left, and long cells have several lines."""
    rows = [row for row in rows if any(set(cell) - set("-: ") for cell in row)]  # not pictures alone, nor the rule
    if not rows:
        return ""
    count = max(map(len, rows))
    rows = [row + [""] * (count - len(row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(count)]
    available = width - 2 * (count - 1)
    while sum(widths) > available and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    rows.insert(1, ["-" * size for size in widths])
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, size, break_on_hyphens=False) for cell, size in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            lines.append("  ".join(part.ljust(size) for part, size in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(lines)


def _words(text: str) -> str:
    """Text without emphasis and pictures, and with links as what to type or to open."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else _plain(piece) for piece in pieces).strip()


def _plain(text: str) -> str:
    return _EMPHASIS.sub(r"\1", _LINK.sub(_link, _PICTURE.sub("", text)))


def _link(match: re.Match) -> str:
    shown, target = match.groups()
    page = re.fullmatch(r"(?:docs/)?([\w-]+)\.md(?:#.*)?", target)
    if page:
        where = f"convfilter help {page[1]}"
        return where if shown in (target, page[1]) else f"{shown} ({where})"
    return shown if shown == target or target.startswith("#") else f"{shown} ({target})"
