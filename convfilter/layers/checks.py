"""Check one argument of a layer; what is wrong is said with the argument's name."""

import math


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
        raise ArgumentError(name, f"must be a whole number from {least:,} to {most:,}, not {show(value)}")
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


def sides(value, name: str) -> tuple[int, int, int, int]:
    """Return (left, right, top, bottom) of one whole number or four of them, PyTorch's order for padding."""
    if isinstance(value, tuple):
        if len(value) != 4:
            raise ArgumentError(name, f"must be one number or four (left, right, top, bottom), not {show(value)}")
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
        raise ArgumentError(name, f"must be a number, not {show(value)}")
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
        raise ArgumentError(name, f"must be True or False, not {show(value)}")
    return value


def choice(value, name: str, choices: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``choices``."""
    if value not in choices:
        *others, last = map(repr, choices)
        raise ArgumentError(name, f"must be {', '.join(others)}{' or ' * bool(others)}{last}, not {show(value)}")
    return value


def only(value, name: str, allowed, why: str) -> None:
    """Refuse every value but ``allowed``, and say why."""
    if value is not allowed and value != allowed:
        raise ArgumentError(name, f"must be {allowed}: {why}")


def plain(device, dtype) -> None:
    """Refuse what chooses a device or a type inside a pipeline: one run has one of each."""
    only(device, "device", None, "the whole run is on one device, chosen outside of the pipeline")
    only(dtype, "dtype", None, "everything is float32")


def show(value) -> str:
    """Return a value as a user wrote it, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
