"""Where the outputs of a source go, as a log of --json says it, so that a later run can put them there too."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STARTS = (b'{"source":', b'{"counts":')  # of the objects of a log, as --json and as jq -c write them


@dataclass(frozen=True)
class Destination:
    """A folder, and the labels of which one stands for {stem} there; a folder's pictures have labels of their own.

    ``output`` is the value of -o, and ``folder`` then lies below it.
    """

    output: str | None
    folder: str
    labels: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints.

        >>> Destination("out", "b", ("y",)).to_dict()
        {'output': 'out', 'folder': 'b', 'labels': ['y']}
        """
        paths = {"output": self.output, "folder": self.folder, "labels": list(self.labels)}
        return {**paths, **bytes_of(paths)}

    def find_folder(self, output: str | None) -> str | None:
        """Return the folder for a run with this -o; None where one of the two runs has none, and this is the one."""
        if self.output is None:
            return self.folder if output is None else None
        chosen = self.output if output is None else output
        return chosen if self.folder == os.curdir else os.path.join(chosen, self.folder)


def find_destination(output: str | None, folder: str | None, labels: tuple[str, ...]) -> Destination | None:
    """Return the destination of a source whose outputs go to ``folder``, with this -o; None where there is no folder.

    >>> find_destination("out", "out/b", ("y",))
    Destination(output='out', folder='b', labels=('y',))
    """
    if folder is None:
        return None
    return Destination(output, folder if output is None else os.path.relpath(folder, output), labels)


def read_object(record: bytes) -> tuple[str, Destination | None] | None:
    """Return the source that an object of a log names, and its destination; None for one that names no source.

    Raises:
        ValueError: it is no such object.

    >>> read_object(b'{"source": "b/y.png", "destination": {"output": "out", "folder": "b", "labels": ["y"]}}')
    ('b/y.png', Destination(output='out', folder='b', labels=('y',)))
    """
    try:
        found = json.loads(record)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if "source" not in found or "passed_over" in found:
        return None
    try:
        source = _path(found, "source")
        place = found.get("destination")
        if place is None:
            return source, None
        output = None if place["output"] is None else _path(place, "output")
        return source, Destination(output, _path(place, "folder"), _paths(place, "labels"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"expected what --json prints: {error}") from None


def bytes_of(paths: Mapping[str, str | list[str] | None]) -> dict[str, str | list[str]]:
    r"""Return the bytes of paths that are no UTF-8, in base64, so that a program can name the files exactly.

    >>> bytes_of({"source": "a\udcff", "outputs": ["b"]})
    {'source_base64': 'Yf8='}
    """
    coded = {}
    for name, value in paths.items():
        many = [value] if isinstance(value, str) else value or []
        raw = [os.fsencode(path) for path in many]
        try:
            b"".join(raw).decode()
        except UnicodeDecodeError:
            texts = [base64.b64encode(path).decode() for path in raw]
            coded[f"{name}_base64"] = texts[0] if isinstance(value, str) else texts
    return coded


def _path(found: Mapping[str, Any], name: str) -> str:
    coded = found.get(f"{name}_base64")
    [path] = _paths({name: [found[name]], f"{name}_base64": None if coded is None else [coded]}, name)
    return path


def _paths(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    coded = found.get(f"{name}_base64")
    if coded is not None:
        return tuple(os.fsdecode(base64.b64decode(word)) for word in coded)
    if not isinstance(found[name], list) or not all(isinstance(word, str) for word in found[name]):
        raise TypeError(f"{name} is no path")
    return tuple(found[name])
