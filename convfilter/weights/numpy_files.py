"""numpy's files: .npy, one array behind a short header, and .npz, a zip of them; no array of Python objects is read."""

import ast
import io
import re
import struct
import zipfile
from collections.abc import Iterator
from math import prod
from typing import BinaryIO

from convfilter.weights.tensors import BYTES, Tensor, WeightsError, check_shape, dense
from convfilter.weights.zips import Member

MAGIC = b"\x93NUMPY"
LONGEST = 10_000  # characters of a header, numpy's own limit
KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex"}


def read_npy(file: BinaryIO, size: int, name: str = "") -> Tensor:
    """Return the one array of a .npy file of ``size`` bytes, from its header alone; numbers behind it are ignored.

    Raises:
        WeightsError: it is damaged, or holds what are no numbers.
    """
    start, shape, dtype, fortran, big = _header(file)
    need, held = prod(shape) * BYTES[dtype], size - start
    if need > held:
        raise WeightsError(f"its array needs {need:,} bytes, and {held:,} are there; it was cut off")
    return Tensor(name, shape, dtype, start, dense(shape, fortran=fortran), big=big)


def read_npz(file: BinaryIO, members: dict[str, Member]) -> Iterator[Tensor]:
    """Yield the arrays of a .npz file, named without their .npy.

    Raises:
        WeightsError: one of them is damaged, or holds what are no numbers.
    """
    for member in members.values():
        name = member.name.removesuffix(".npy")
        try:
            if not member.compressed:
                file.seek(member.start)
                tensor = read_npy(io.BytesIO(file.read(min(member.size, LONGEST + 12))), member.size, name)
                yield _moved(tensor, tensor.start + member.start)
                continue
            with zipfile.ZipFile(file) as archive, archive.open(member.name) as inflated:
                tensor = read_npy(io.BytesIO(inflated.read(LONGEST + 12)), member.size, name)
            yield _moved(tensor, tensor.start, member.name)
        except WeightsError as error:
            raise WeightsError(f"member {member.name!r}: {error}") from None
        except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, OSError, ValueError, RuntimeError):
            raise WeightsError(f"member {member.name!r} cannot be decompressed; the file is damaged") from None


def _moved(tensor: Tensor, start: int, member: str | None = None) -> Tensor:
    return Tensor(tensor.name, tensor.shape, tensor.dtype, start, tensor.strides, member, tensor.big)


def _header(file: BinaryIO) -> tuple[int, tuple[int, ...], str, bool, bool]:
    head = file.read(8)
    if head[:6] != MAGIC or len(head) < 8 or head[6] not in (1, 2, 3):
        raise WeightsError("is no .npy file of numpy, or one of a version that is not known")
    form = "<H" if head[6] == 1 else "<L"
    count = file.read(struct.calcsize(form))
    if len(count) < struct.calcsize(form):
        raise WeightsError("ends within its header; it was cut off")
    (length,) = struct.unpack(form, count)
    if length > LONGEST:
        raise WeightsError(f"its header has {length:,} characters, and {LONGEST:,} is the most; the file is damaged")
    text = file.read(length)
    if len(text) < length:
        raise WeightsError("ends within its header; it was cut off")
    try:
        header = ast.literal_eval(text.decode("utf-8" if head[6] == 3 else "latin1").strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        header = None
    if not isinstance(header, dict) or set(header) != {"descr", "fortran_order", "shape"}:
        raise WeightsError("its header does not say descr, fortran_order and shape; the file is damaged")
    dtype, big = _dtype(header["descr"])
    if not isinstance(header["shape"], tuple):
        raise WeightsError("its shape is no tuple of whole numbers; the file is damaged")
    return len(head) + len(count) + length, check_shape(header["shape"]), dtype, header["fortran_order"] is True, big


def _dtype(descr: object) -> tuple[str, bool]:
    match = re.fullmatch(r"([<>|=]?)([fiucb])([0-9]{1,2})", descr) if isinstance(descr, str) else None
    if isinstance(descr, str) and descr.strip("<>|=") == "O":
        raise WeightsError("holds Python objects, which are a pickle that can run anything; save numbers")
    dtype = "bool" if match and match[2] + match[3] == "b1" else None
    if match and match[2] in KINDS:
        dtype = f"{KINDS[match[2]]}{8 * int(match[3])}"
    if dtype not in BYTES:
        raise WeightsError("holds what are no plain numbers; save an array of floats or whole numbers")
    return dtype, match[1] == ">"
