"""Loads PyTorch when the first picture needs it, in a way that lets signals be obeyed meanwhile."""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from convfilter.errors import LibraryError
from convfilter.language.pipeline import Pipeline
from convfilter.run.options import Options

if TYPE_CHECKING:
    from convfilter.run.render import Renderer

Made = TypeVar("Made")


def load_renderer(pipeline: Pipeline, options: Options, threads: int, device: str = "cpu") -> "Renderer":
    """Return what turns pictures into outputs, with so many threads for each picture.

    Raises:
        LibraryError: PyTorch cannot be loaded.
    """
    load_modules()
    from convfilter.run.render import Renderer

    return Renderer(pipeline, options, threads, device)


def find_device(name: str) -> tuple[str, str]:
    """Return PyTorch's name of the device that ``--device`` names, and what it is; loads PyTorch unless that is cpu.

    Raises:
        UsageError: there is no such device here.
        LibraryError: PyTorch cannot be loaded.
    """
    if name == "cpu":
        return "cpu", "the processor"
    load_modules()
    from convfilter.engine.device import choose_device

    return choose_device(name)


def load_modules() -> None:
    """Load what turns pictures into outputs, and compute nothing; LibraryError where PyTorch cannot be loaded."""
    try:
        _load_torch()
        import convfilter.images.reader
        import convfilter.run.render  # noqa: F401
    except (ImportError, OSError) as error:
        raise LibraryError(f"PyTorch cannot be loaded, memory or a part may be missing: {error}") from None


def once(make: Callable[[], Made]) -> Callable[[], Made]:
    """Return a function that makes a value when it is first called, in one thread while the others wait for it."""
    lock, made = threading.Lock(), cache(make)

    def get() -> Made:
        with lock:
            return made()

    return get


def _load_torch() -> None:
    """Load torch's large library without Python's lock, so that other threads run meanwhile."""
    name = {"linux": "libtorch_cpu.so", "darwin": "libtorch_cpu.dylib"}.get(sys.platform)
    found = find_spec("torch")
    if name and "torch" not in sys.modules and found and found.submodule_search_locations:
        with contextlib.suppress(OSError):
            ctypes.CDLL(os.path.join(found.submodule_search_locations[0], "lib", name))
