"""Keeps Pillow quiet and without a limit of its own while we read, and says in words what it raises."""

import contextlib
import ctypes
import errno
import functools
import logging
import re
import struct
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

from convfilter.containers import TRUNCATED
from convfilter.errors import ConvfilterError, InputError, escape

_PLAIN_WORDS = {
    "cannot load this image": "it holds no picture data",
    "not identified by this driver": "its header makes no sense",
    "decoder error -2": "its compressed data cannot be decoded",
}
_ENDS_EARLY = r"(?i)truncated|not enough|\beof\b|only got|requires a buffer"
_PYTHON_WORDS = r"invalid literal|out of range|argument|object|NoneType|must be|unpack"

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or its errors would reach standard error

_lock = threading.Lock()
_readers = 0
_settings = contextlib.ExitStack()


@contextlib.contextmanager
def at_ease() -> Iterator[None]:
    """Return a context in which Pillow warns of nothing and refuses no size.

    Both are settings of the process: they hold while any thread is inside, and are given back by the last one out.

    >>> with at_ease():
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


@functools.cache
def silence_libtiff() -> None:
    """Take away libtiff's error handler, which writes to file descriptor 2; Pillow raises its errors as well."""
    # On Windows libtiff is inside Pillow's own library, out of reach.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Return a context in which Pillow is at ease, and whatever goes wrong is an InputError in words.

    ``name`` is the format that is read, or nothing before it is known.

    >>> with reading("GIF"):
    ...     raise IndexError("index out of range")
    Traceback (most recent call last):
        ...
    convfilter.errors.InputError: truncated: the file ends in the middle of the picture data
    """
    try:
        with at_ease():
            yield
    except ConvfilterError:
        raise
    except MemoryError:
        raise InputError("too large: there is not enough memory to decode it") from None
    except Exception as error:
        raise InputError(_reason(error, name)) from None


def _reason(error: Exception, name: str) -> str:
    text = escape((str(error).splitlines() or [""])[0]).strip()
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
        return f"cannot be read: {(error.strerror or text).lower()}"
    if not name:
        return f"cannot be read: {text}"
    if isinstance(error, EOFError | struct.error | IndexError) or re.search(_ENDS_EARLY, text):
        return TRUNCATED
    if re.search(r"(?i)support|unknown pixel mode|unknown data organization", text):
        return f"a kind of {name} that cannot be read here: {text}"
    if not isinstance(error, OSError | SyntaxError | ValueError) or " " not in text or re.search(_PYTHON_WORDS, text):
        return f"damaged: its {name} data make no sense"
    return f"damaged: {_PLAIN_WORDS.get(text, text)}"
