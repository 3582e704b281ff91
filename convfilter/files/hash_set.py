"""A set of byte strings that takes 12 to 24 bytes for each: a list of a million names may not fill the memory."""

from array import array
from hashlib import blake2b

START = 1 << 10  # slots


class HashSet:
    """A set of byte strings, of which hashes of 64 bits are kept: two of a billion are taken for one once in 40 runs.

    One thread may add, and any may look.

    >>> seen = HashSet()
    >>> seen.add(b"a"), seen.add(b"b"), seen.add(b"a"), b"b" in seen, b"c" in seen
    (True, True, False, True, False)
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * START))  # open addressing; 0 is free
        self._count = 0

    def __contains__(self, value: bytes) -> bool:
        slots, number = self._slots, _hash(value)
        return slots[_find(slots, number)] == number

    def add(self, value: bytes) -> bool:
        """Remember a value, and return whether it is new."""
        number = _hash(value)
        at = _find(self._slots, number)
        if self._slots[at] == number:
            return False
        self._slots[at] = number
        self._count += 1
        if self._count * 3 > len(self._slots) * 2:
            self._grow()
        return True

    def _grow(self) -> None:
        slots = array("Q", bytes(16 * len(self._slots)))
        for number in self._slots:
            if number:
                slots[_find(slots, number)] = number
        self._slots = slots


def _hash(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "big") or 1


def _find(slots: "array[int]", number: int) -> int:
    """Return the slot that holds a number, or the free one where it belongs."""
    last = len(slots) - 1  # the length is a power of 2
    at = number & last
    while slots[at] and slots[at] != number:
        at = (at + 1) & last
    return at
