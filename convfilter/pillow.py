"""Keeps Pillow and its decoders quiet, and lifts Pillow's own limit on pixels, while we read."""

import contextlib
import ctypes
import functools
import logging
import threading
import warnings
from collections.abc import Iterator

from PIL import Image

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
