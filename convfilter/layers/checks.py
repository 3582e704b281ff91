"""Check one argument of a layer; what is wrong is said with the argument's name."""

import math
import re

from convfilter.errors import did_you_mean


class ArgumentError(ValueError):
    """One argument makes no sense; ``argument`` is its name, so that the caret can stand under it."""

    def __init__(self, argument: str, reason: str) -> None:
        super().__init__(f"{argument} {reason}")
        self.argument = argument


LARGEST = 3.4e38  # what a 32-bit float holds
MOST = 1_000_000  # no kernel, stride, padding or channel count is larger: what would be is a slip of the finger


def whole(value, name: str, least: int = 1, most: int = MOST) -> int:
    """Return ``value`` if it is a whole number from ``least`` to ``most``.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ArgumentError(name, f"must be a whole number from {least:,} to {most:,}, not {show(value)}{hint(value)}")
    return value


def pair(value, name: str, least: int = 1, most: int = MOST) -> tuple[int, int]:
    """Return (height, width) of one whole number or a pair of them.

    >>> pair(3, "kernel_size"), pair((3, 5), "kernel_size")
    ((3, 3), (3, 5))
    """
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ArgumentError(name, f"must be one number or a pair (height, width), not {show(value)}")
        return whole(value[0], name, least, most), whole(value[1], name, least, most)
    return (whole(value, name, least, most),) * 2


def sides(value, name: str, *, two: bool) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) of one whole number or four of them, PyTorch's order for padding.

    ``two`` says that (left, right) alone is taken as well.

    >>> sides(1, "padding", two=True), sides((2, 3), "padding", two=True)
    ((1, 1, 1, 1), (2, 3, 0, 0))
    """
    if isinstance(value, tuple):
        if len(value) == 2 and two:
            value = (*value, 0, 0)
        if len(value) != 4:
            shape = "two (left, right) or four (left, right, top, bottom)" if two else "four (left, right, top, bottom)"
            raise ArgumentError(name, f"must be one number or {shape}, not {show(value)}")
        return tuple(whole(v, name, -MOST) for v in value)
    return (whole(value, name, -MOST),) * 4


def number(
    value, name: str, *, above: float | None = None, least: float | None = None, most=LARGEST, finite: bool = True
) -> float:
    """Return ``value`` if it is a number that a 32-bit float holds, greater than ``above`` or at least ``least``.

    Raises:
        ArgumentError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or (finite and not math.isfinite(value)):
        raise ArgumentError(name, f"must be a number, not {show(value)}{hint(value)}")
    if above is not None and not value > above:
        raise ArgumentError(name, f"must be greater than {above:g}, not {show(value)}")
    if least is not None and not value >= least:
        raise ArgumentError(name, f"must be at least {least:g}, not {show(value)}")
    if math.isfinite(value) and abs(value) > most:
        raise ArgumentError(name, f"must be no larger than {most:g}, and it is {show(value)}")
    return value


def flag(value, name: str) -> bool:
    """Return ``value`` if it is True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(name, f"must be True or False, not {show(value)}{flag_hint(value)}")
    return value


def choice(value, name: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        *others, last = map(repr, choices)
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        raise ArgumentError(name, f"must be {', '.join(others)}{' or ' * bool(others)}{last}, not {show(value)}{near}")
    return value


def only(value, name: str, allowed, why: str) -> None:
    """Refuse every value but ``allowed``, and say why."""
    if value is not allowed and value != allowed:
        raise ArgumentError(name, f"must be {allowed}: {why}")


def plain(device, dtype) -> None:
    """Refuse a device that gives no values and a type that a run does not have.

    What is left has no meaning inside a pipeline: one run is on one device, chosen outside of it, in float32.
    """
    if device is not None and not (isinstance(device, str) and re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", device)):
        raise ArgumentError("device", f"must be None, 'cpu', 'cuda' or 'mps', not {show(device)}")
    if dtype not in (None, "float32", "float"):
        raise ArgumentError("dtype", f"must be torch.float32, which everything is, not {show(dtype)}")


def hint(value) -> str:
    """Return what to write in place of a value that a learner writes for a number, or an empty text.

    >>> hint("3"), hint(3.0), hint((1, 5))
    ('; leave off the quotes', '; write 3', '; a decimal number has a point: 1.5')
    """
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?", value):
        return "; leave off the quotes"
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST:
        return f"; write {int(value)}"
    if isinstance(value, tuple) and len(value) == 2 and all(type(part) is int and part >= 0 for part in value):
        return f"; a decimal number has a point: {value[0]}.{value[1]}"
    return ""


def flag_hint(value) -> str:
    """Return what to write in place of a word that a learner writes for True or False, or an empty text.

    >>> flag_hint("false"), flag_hint("yes"), flag_hint(1)
    ('; write False', '; write True', '')
    """
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    return f"; write {words[value.lower()]}" if isinstance(value, str) and value.lower() in words else ""


def show(value) -> str:
    """Return a value as a user wrote it, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
