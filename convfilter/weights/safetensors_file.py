"""The header of a .safetensors file: its length in 8 bytes, then JSON that says where each tensor lies."""

import json
import struct
from collections.abc import Iterator
from math import prod
from typing import BinaryIO

from convfilter.weights.tensors import BYTES, Tensor, WeightsError, check_shape, dense

LONGEST = 20_000_000  # bytes of a header: 100,000 tensors; the format's own limit takes too long to read
DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64",
    "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


def looks_like(head: bytes) -> bool:
    """Return whether these first bytes can be those of a safetensors file.

    >>> looks_like(b"\\x02" + bytes(7) + b"{}"), looks_like(b"PK\\x03\\x04 a zip")
    (True, False)
    """
    return len(head) > 8 and head[8:9] == b"{"


def read_header(file: BinaryIO, size: int) -> Iterator[Tensor]:
    """Yield the tensors of a safetensors file of ``size`` bytes, from its header alone.

    Raises:
        WeightsError: it is none, or damaged; says what is wrong.
    """
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LONGEST:
        raise WeightsError(f"its header says that it has {length:,} bytes, and {LONGEST:,} is the most that is read")
    if 8 + length > size:
        raise WeightsError("ends within its header; it was cut off")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _DoubleError) else "its header is no JSON"
        raise WeightsError(f"{reason}; the file is damaged") from None
    if not isinstance(header, dict):
        raise WeightsError("its header is no JSON object; the file is damaged")
    header.pop("__metadata__", None)
    places, tensors = [], []
    for name, entry in header.items():
        place, tensor = _tensor(name, entry, 8 + length)
        places.append(place)
        tensors.append(tensor)
    end = 0
    for first, last in sorted(places):
        if first != end:
            what = "share bytes" if first < end else "leave bytes between them"
            raise WeightsError(f"two tensors {what}; the file is damaged")
        end = last
    if 8 + length + end != size:
        what = "ends before its last tensor does; it was cut off" if 8 + length + end > size else "has bytes too many"
        raise WeightsError(what)
    yield from tensors


class _DoubleError(ValueError):
    """A name stands twice in one object."""


def _without_doubles(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DoubleError("its header gives a name twice")
    return found


def _tensor(name: str, entry: object, begin: int) -> tuple[tuple[int, int], Tensor]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise WeightsError("its header does not say of each tensor dtype, shape and data_offsets; the file is damaged")
    dtype, offsets, shape = entry["dtype"], entry["data_offsets"], check_shape(entry["shape"])
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise WeightsError(f"holds a tensor of a type that is not known; {', '.join(DTYPES)} are")
    whole = isinstance(offsets, list) and len(offsets) == 2 and all(type(place) is int for place in offsets)
    if not whole or not 0 <= offsets[0] <= offsets[1]:
        raise WeightsError("the data_offsets of a tensor are no two places in the file; the file is damaged")
    first, last = offsets
    if last - first != prod(shape) * BYTES[DTYPES[dtype]]:
        raise WeightsError("a tensor's shape and type need other bytes than its data_offsets give; the file is damaged")
    return (first, last), Tensor(name, shape, DTYPES[dtype], begin + first, dense(shape))
