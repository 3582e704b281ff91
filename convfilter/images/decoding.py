"""Opens and decodes pictures with Pillow, without its warnings and limits, and turns its errors into messages."""

import contextlib
import ctypes
import errno
import functools
import importlib
import logging
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convfilter.errors import ConvfilterError, InputError, escape
from convfilter.images import containers, formats, to_gray

_PLAIN_WORDS = {
    "cannot load this image": "it holds no picture data",
    "not identified by this driver": "its header makes no sense",
    "decoder error -2": "its compressed data cannot be decoded",
}
_ENDS_EARLY = r"(?i)truncated|not enough|\beof\b|only got|requires a buffer"
_PYTHON_WORDS = r"invalid literal|out of range|argument|object|NoneType|must be|unpack"
_ORIENTATION = 274  # the EXIF tag
_PHOTOMETRIC = 262  # the TIFF tag; 0 is WhiteIsZero
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or its errors would reach standard error

_lock = threading.Lock()
_readers = 0
_settings = contextlib.ExitStack()


@contextlib.contextmanager
def without_limits() -> Iterator[None]:
    """Return a context in which Pillow warns of nothing and refuses no size.

    Both are settings of the process: they hold while any thread is inside, and are given back by the last one out.

    >>> with without_limits():
    ...     Image.MAX_IMAGE_PIXELS is None
    True
    """
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            _settings.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
            _settings.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                _settings.close()


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Return a context in which Pillow is without limits, and whatever goes wrong is an InputError that says why.

    ``name`` is the format that is read, or nothing before it is known.

    >>> with reading("GIF"):
    ...     raise IndexError("index out of range")
    Traceback (most recent call last):
        ...
    convfilter.errors.InputError: truncated: the file ends in the middle of the picture data
    """
    try:
        with without_limits():
            yield
    except ConvfilterError:
        raise
    except MemoryError:
        raise InputError("too large: there is not enough memory to decode it") from None
    except Exception as error:
        raise InputError(_reason(error, name)) from None


def open_image(name: str, file: BinaryIO) -> Any:
    """Return Pillow's picture of the file, which is in the named format; nothing is decoded (but an icon's few pixels).

    A path is never given to Pillow: it would map some files into memory, and turn a raw TIFF on its side into nonsense.
    """
    if name == "TIFF":
        _silence_libtiff()
    importlib.import_module(f"PIL.{formats.plugin(name)}")
    factory, _ = Image.OPEN[name]
    file.seek(0)
    # What Image.open does for a file of one format; it keeps the reason of a failure, which Image.open drops.
    return factory(file, "")


def find_orientation(image: Any) -> tuple[int, tuple[str, ...]]:
    """Return how the frame must be turned to stand upright, as EXIF's 1 to 8, and notes; 1 where that is unknown."""
    if image.format == "TIFF":  # Pillow turns these itself, and says the upright size
        return 1, ()
    try:
        # The base class's: a PNG's own would decode the picture first.
        value = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:
        return 1, ("its EXIF data cannot be read, nor which way is up",)
    return value if value in _TURNS else 1, ()


def decode(
    image: Any,
    contents: containers.Contents,
    *,
    orientation: int,
    background: tuple[int, int, int],
    mode: Literal["L", "RGB"] = "L",
) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    """Return the frame at which the picture stands: upright values (HxW, or 3xHxW), what is white, and notes.

    Raises InputError where a PNG's data are too few for its rows, and whatever Pillow raises.
    """
    rawmode, alone = _rawmode(image), contents.frames == 1 or getattr(image, "n_frames", 1) == 1
    white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    values = _share_memory(image) if mode == "L" and orientation == 1 and alone else None
    shared = image._im
    mark = _mark_last_row(image) if image.format == "PNG" and alone else None
    image.load()
    # An interlaced one's last row is not the last to be decoded.
    doubtful = mark is not None and ("interlace" in image.info or _last_row(image) == mark)
    if doubtful and not containers.holds_all_rows(contents):
        raise InputError(containers.TRUNCATED)
    how = {"rawmode": rawmode, "white_is_zero": white_is_zero, "background": background}
    if mode == "L":
        values, white, notes = to_gray.to_gray(image, **how, values=values if image.im is shared else None)
    else:
        values, white, notes = to_gray.to_colour(image, **how)
    if orientation > 1:
        values = (
            _turn(values, orientation) if mode == "L" else np.stack([_turn(plane, orientation) for plane in values])
        )
    return values, white, notes


def _reason(error: Exception, name: str) -> str:
    text = escape((str(error).splitlines() or [""])[0]).strip()
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
        return f"cannot be read: {(error.strerror or text).lower()}"
    if not name:
        return f"cannot be read: {text}"
    if isinstance(error, EOFError | struct.error | IndexError) or re.search(_ENDS_EARLY, text):
        return containers.TRUNCATED
    if re.search(r"(?i)support|unknown pixel mode|unknown data organization", text):
        return f"a kind of {name} that cannot be read here: {text}"
    if not isinstance(error, OSError | SyntaxError | ValueError) or " " not in text or re.search(_PYTHON_WORDS, text):
        return f"damaged: its {name} data make no sense"
    return f"damaged: {_PLAIN_WORDS.get(text, text)}"


@functools.cache
def _silence_libtiff() -> None:
    """Take away libtiff's error handler, which writes to file descriptor 2; Pillow raises its errors as well."""
    # On Windows libtiff is inside Pillow's own library, out of reach.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def _share_memory(image: Any) -> NDArray[np.generic] | None:
    """Let Pillow decode plain gray into an array of ours, which saves a copy of a large picture."""
    dtype = {"L": np.uint8, "I;16": np.uint16}.get(image.mode)
    if dtype is None or not image.tile or to_gray.is_transparent(image):
        return None
    if image.format not in ("PNG", "JPEG", "TIFF", "BMP", "PPM"):
        return None
    if getattr(image, "tag_v2", {}).get(_ORIENTATION) in (5, 6, 7, 8):
        return None  # a TIFF on its side is decoded as it lies, and its size is that of the turned one
    values = np.zeros(image.size[::-1], dtype)
    image.im = to_gray.share(values).im
    return values


def _mark_last_row(image: Any) -> bytes | None:
    """Draw a row that decoding should overwrite: Pillow takes a PNG with too few rows for a whole one."""
    if not image.tile:
        return None
    row = Image.new(image.mode, (image.width, 1))
    length = len(row.tobytes())
    mark = (bytes(range(1, 252)) * (length // 251 + 1))[:length]
    row.frombytes(mark)
    if image._im is None:
        image.im = Image.core.new(image.mode, image.size)
    image.im.paste(row.im, (0, image.height - 1, image.width, image.height))
    return row.tobytes()


def _last_row(image: Any) -> bytes:
    return image.crop((0, image.height - 1, image.width, image.height)).tobytes()


def _rawmode(image: Any) -> str:
    """Return how the file stores a pixel, in Pillow's words: ``L;4``, ``RGB;16B``."""
    args = (image.tile and image.tile[0].args) or ""
    if image.format == "PPM" and image.mode == "RGB" and isinstance(args, tuple) and args[-1] > 255:
        return "RGB;16B"
    return args if isinstance(args, str) else str(args[0])


def _turn(values: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    small = values.dtype in (np.uint8, np.uint16)
    turned = (to_gray.share(values) if small else Image.fromarray(values)).transpose(_TURNS[orientation])
    if not small:
        return np.array(turned)
    result = np.empty(turned.size[::-1], values.dtype)
    to_gray.share(result).paste(turned, (0, 0))
    return result
