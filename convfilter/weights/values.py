"""The numbers of a tensor in a file, as float32, and what they may not be."""

import zipfile
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from convfilter.errors import escape
from convfilter.weights.file import WeightsFile
from convfilter.weights.tensors import BYTES, Tensor, WeightsError


def read_values(file: WeightsFile, tensor: Tensor) -> NDArray[np.float32]:
    """Return a tensor's numbers, in its shape; whole numbers and other floats become the nearest float32.

    Raises:
        WeightsError: the file has changed or cannot be read, or the numbers are complex, NaN, or too large.

    >>> import os, tempfile
    >>> from convfilter.weights.file import open_weights
    >>> path = os.path.join(tempfile.mkdtemp(), "w.npy")
    >>> np.save(path, np.eye(2))
    >>> file = open_weights(path)
    >>> read_values(file, file.find()).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    try:
        data = _read(file, tensor)
        values = _floats(data, tensor)
    except WeightsError as error:
        raise WeightsError(f"{escape(file.path)}: {_called(tensor)} {error}") from None
    except OSError as error:
        raise WeightsError(f"{escape(file.path)}: cannot be read: {error.strerror or error}") from None
    if not np.isfinite(values).all():
        what = "NaN" if np.isnan(values).any() else "infinity, or more than a 32-bit float holds"
        where = tuple(int(axis) for axis in np.argwhere(~np.isfinite(values))[0])
        raise WeightsError(f"{escape(file.path)}: {_called(tensor)} holds {what}, first at {where}")
    return values


def to_array(numbers: list[float], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers that were written out, in a shape.

    >>> to_array([1.0, 2.0], (2, 1)).tolist()
    [[1.0], [2.0]]
    """
    return np.array(numbers, np.float32).reshape(shape)


def _called(tensor: Tensor) -> str:
    return f"tensor {escape(tensor.name)}" if tensor.name else "its tensor"


def _read(file: WeightsFile, tensor: Tensor) -> bytes:
    need = tensor.span * BYTES[tensor.dtype]
    with file.open() as opened:
        if tensor.member is None:
            opened.seek(tensor.start)
            data = opened.read(need)
        else:
            try:
                with zipfile.ZipFile(opened) as archive, archive.open(tensor.member) as inflated:
                    inflated.read(tensor.start)
                    data = BytesIO(inflated.read(need)).getvalue()
            except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, ValueError, RuntimeError):
                raise WeightsError("cannot be decompressed; the file is damaged") from None
    if len(data) < need:
        raise WeightsError("is cut off: the file ends before it does")
    return data


def _floats(data: bytes, tensor: Tensor) -> NDArray[np.float32]:
    if tensor.dtype.startswith(("float8", "complex")):
        raise WeightsError(f"is of type {tensor.dtype}, and weights are real numbers of 16 bits or more")
    kind = "uint16" if tensor.dtype == "bfloat16" else tensor.dtype
    flat = np.frombuffer(bytearray(data), np.dtype(kind).newbyteorder(">" if tensor.big else "<"))
    steps = tuple(step * flat.itemsize for step in tensor.strides)
    shown = np.lib.stride_tricks.as_strided(flat, tensor.shape, steps, subok=False) if tensor.count else flat
    if tensor.dtype == "bfloat16":  # the upper half of a float32
        return (shown.astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(shown.reshape(tensor.shape), np.float32).reshape(tensor.shape)
