"""What the values of options may be: each function returns a value checked, from a text or from a Python value.

ValueError says what is wrong with a value, without the option's name: the command line and ``Options`` put it before.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from operator import index
from typing import Any, Literal, TypeVar

from convfilter.errors import did_you_mean
from convfilter.files.patterns import check_pattern

Value = TypeVar("Value", bound=int | str)


def switch(value: Any) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is not True or False")
    return value


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def numbers(value: Any) -> tuple[float, ...]:
    """Return finite numbers, from one or several of them, or from a text with commas.

    >>> numbers("0.5, 1"), numbers(2)
    ((0.5, 1.0), (2.0,))
    """
    given = value.split(",") if isinstance(value, str) else [value] if isinstance(value, int | float) else list(value)
    return tuple(number(item) for item in given)


def positive(value: Any) -> tuple[float, ...]:
    """Return finite numbers above 0, as ``numbers`` reads them."""
    found = numbers(value)
    if not all(item > 0 for item in found):
        raise ValueError(f"{value!r} is not a number above 0, or several of them")
    return found


def layer(value: Any) -> str:
    """Return the name of a layer, or its index, as a text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else text(value)


def device(value: Any) -> str:
    """Return the name of a device, which may or may not be here.

    >>> device("cuda:1")
    'cuda:1'
    """
    if not re.fullmatch(r"cpu|cuda(:\d{1,4})?|mps|auto", text(value)):
        hint = "; write cuda" if str(value).lower() in ("gpu", "cuda", "nvidia") else ""
        raise ValueError(f"{value!r} is none of cpu, cuda, cuda:N, mps and auto{hint}")
    return str(value)


def cluster(value: Any) -> str:
    """Return where a cluster's scheduler is, or "local", or "local:N".

    >>> cluster("10.0.0.7:8786")
    '10.0.0.7:8786'
    """
    match = re.fullmatch(r"local(:[1-9]\d{0,3})?|((tcp|tls|ws|wss|ucx)://)?[^\s/]+:\d{1,5}|\S.*\.json", text(value))
    if not match:
        raise ValueError(
            f"{value!r} is no cluster; write its scheduler's address, such as tcp://10.0.0.7:8786, or its scheduler "
            "file, such as scheduler.json, or local:4 for four processes of this machine"
        )
    return str(value)


def find_count(cluster: str) -> int | None:
    """Return how many processes of this machine a cluster is to be, 0 for one a core; None where it is elsewhere.

    >>> find_count("local"), find_count("local:4"), find_count("10.0.0.7:8786")
    (0, 4, None)
    """
    name, _, number = cluster.partition(":")
    return int(number or 0) if name == "local" and len(number) < 5 else None


def path(value: Any) -> str:
    """Return the path of a file or folder as a text."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise ValueError(f"{value!r} is not a path") from None


def whole(least: int, most: int) -> Callable[[Any], int]:
    """Return a function that returns a whole number of this interval.

    >>> whole(0, 9)("7")
    7
    >>> whole(0, 9)(11)
    Traceback (most recent call last):
    ValueError: 11 is not a whole number from 0 to 9
    """

    def read(value: Any) -> int:
        shown = value
        with contextlib.suppress(TypeError, ValueError):
            shown = int(value) if isinstance(value, str) else index(value)
            if not isinstance(value, bool) and least <= shown <= most:
                return shown
        raise ValueError(f"{shown!r} is not a whole number from {least} to {most}")

    return read


def number(value: Any) -> float:
    """Return a finite number.

    >>> number("2.5"), number(3)
    (2.5, 3.0)
    """
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if isinstance(value, bool) or found - found != 0:
        raise ValueError(f"{value!r} is not a number")
    return found


def white(value: Any) -> float:
    """Return the value of a white pixel: a number above 0 that a 32-bit float holds in full precision.

    >>> white("1")
    1.0
    """
    found = number(value)
    if not 2.0**-126 <= found <= (2 - 2.0**-23) * 2.0**127:
        raise ValueError(f"{found!r} is not from 1.2e-38 to 3.4e38, such as 255 or 1")
    return found


def one_of(choices: Iterable[Value], hints: Mapping[str, str] | None = None) -> Callable[[Any], Value]:
    """Return a function that returns one of these words or numbers; ``hints`` says what to do instead of other words.

    >>> one_of((8, 16))("16")
    16
    """
    known = {str(choice): choice for choice in choices}

    def read(value: Any) -> Value:
        if isinstance(value, bool) or str(value) not in known:
            hint = (hints or {}).get(str(value).lower())
            near = f"; {hint}" if hint else did_you_mean(str(value), known)
            raise ValueError(f"{str(value)!r} is not one of {', '.join(map(repr, known))}{near}")
        return known[str(value)]

    return read


def size(value: Any) -> int:
    """Return a number of bytes.

    >>> size("2G"), size("1.5 kB"), size(1000)
    (2147483648, 1536, 1000)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", str(value).strip(), re.IGNORECASE)
    found = float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ") if match else 0
    if not 1 <= found < 2**63:
        what = "not a size" if found < 1 else "too large a size"
        raise ValueError(f"{value!r} is {what}; write bytes, or 800M, or 2.5G")
    return int(found)


def channels(value: Any) -> tuple[int, ...]:
    """Return channel numbers in order, each once.

    >>> channels("0,3-5"), channels([2, 1])
    ((0, 3, 4, 5), (1, 2))
    """
    given = [value] if isinstance(value, str | int) else value
    try:
        parts = [part for item in given for part in (item.split(",") if isinstance(item, str) else [str(index(item))])]
    except TypeError:
        parts = []
    chosen: set[int] = set()
    for part in parts:
        match = re.fullmatch(r"\s*(\d{1,7})(?:\s*-\s*(\d{1,7}))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            chosen.clear()
            break
        chosen.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not chosen:
        raise ValueError(f"{value!r} is no list of channels; write numbers from 0 and ranges, such as 0,3-5")
    return tuple(sorted(chosen))


def patterns(value: Any) -> tuple[str, ...]:
    """Return patterns of names, from one or several of them.

    >>> patterns("*.jpg"), patterns(["a*", "b/"])
    (('*.jpg',), ('a*', 'b/'))
    """
    given = [value] if isinstance(value, str) else value
    try:
        return tuple(check_pattern(text(item)) for item in given)
    except TypeError:
        raise ValueError(f"{value!r} is no pattern of names, nor several of them") from None


def frames(value: Any) -> Literal["first", "all"] | int:
    """Return "first", "all" or a frame's number from 0."""
    if isinstance(value, str) and value in ("first", "all"):
        return "first" if value == "first" else "all"
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)):
        raise ValueError(f"{str(value)!r} is not first, all or a frame's number from 0")
    return int(value)


def colour(value: Any) -> str:
    """Return the name or code of a colour."""
    if value != "white":  # the default needs no Pillow to be known as a colour
        from convfilter.images.to_gray import parse_background

        parse_background(value)
    return str(value)


def whole_numbers(
    name: str, mark: str, example: str, *, least: int = 0, most: int = 9_999_999, counts: tuple[int, ...] = (2,)
) -> Callable[[Any], tuple[int, ...]]:
    """Return a function that returns two whole numbers, or as many as ``counts`` has, written with a mark between.

    >>> whole_numbers("size", "x", "640x480")("640x480")
    (640, 480)
    """

    def read(value: Any) -> tuple[int, ...]:
        words = str(value).lower().split(mark)
        if len(words) in counts and all(re.fullmatch(r"\s*[0-9]{1,9}\s*", word) for word in words):
            numbers = tuple(map(int, words))
            if min(numbers) >= least and max(numbers) <= most:
                return numbers
        raise ValueError(f"{value!r} is no {name}; write whole numbers from {least} to {most:,}, such as {example}")

    return read
