"""Open a file of weights: what kind it is, which tensors it holds, and which one a name means."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import BinaryIO

from convfilter.errors import escape, shorten
from convfilter.numbers import quote
from convfilter.weights import numpy_files, safetensors_file, torch_files
from convfilter.weights.names import NEAR, Found, near, shorten_names
from convfilter.weights.pickles import NeedsCodeError
from convfilter.weights.tensors import Tensor, WeightsError
from convfilter.weights.zips import read_members

KINDS = {".safetensors": "safetensors", ".npy": "npy", ".npz": "npz"}  # suffixes that allow one kind only
SUFFIXES = (*KINDS, ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl")  # after which a tensor's name may stand
PACKAGE = "convfilter:"  # before the name of a file that this package brings
RECIPE = """
Where you trust who made it, take the tensors out of it with Python:
  import {modules}
  from safetensors.torch import save_file
  found = {load}  # runs what the file says
  found = found if isinstance(found, dict) else found.state_dict()
  found = next((found[key] for key in ("state_dict", "model") if key in found), found)
  found = found if isinstance(found, dict) else found.state_dict()
  found = {{name: torch.as_tensor(x).detach() for name, x in found.items() if hasattr(x, "shape")}}
  save_file({{name: x.clone(memory_format=torch.contiguous_format) for name, x in found.items()}}, {output})"""


@dataclass(frozen=True)
class WeightsFile:
    """A file's tensors by their names, in the file's order.

    ``kind`` is safetensors, npy, npz, pt, or pt (legacy). ``opened`` is the wrapper that they lay in, such as
    state_dict, and ``left_out`` names what lay beside it. ``size`` and ``changed`` tell whether the file is still the
    one that was looked at.
    """

    path: str
    kind: str
    tensors: Mapping[str, Tensor]
    opened: str = ""
    left_out: tuple[str, ...] = ()
    size: int = 0
    changed: int = field(default=0, repr=False)

    def find(self, name: str = "") -> Tensor:
        """Return the tensor of a name; without one, the only one there is.

        Raises:
            WeightsError: there is none; lists names near to it.
        """
        if not name:
            if len(self.tensors) == 1:
                return next(iter(self.tensors.values()))
            shown = ", ".join(escape(name) for name in list(self.tensors)[:3])
            raise WeightsError(
                f"{escape(self.path)}: holds {len(self.tensors)} tensors; name one behind a colon: {shown}"
            )
        plain = name.replace("_orig_mod.", "")
        for key in (name, plain, plain.removeprefix("module.")):
            if key in self.tensors:
                return self.tensors[key]
        raise WeightsError(f"{escape(self.path)}: holds no tensor {shorten(name, 80)!r}{self.hint(name)}")

    def hint(self, name: str, shape: tuple[int, ...] | None = None) -> str:
        """Return the sentence that names tensors near to a name, those of a ``shape`` first where one is given."""
        alike = [known for known, tensor in self.tensors.items() if tensor.shape == shape]
        both = [*near(name, alike), *near(name, self.tensors)]
        found = [escape(known) for known in dict.fromkeys(both)][:NEAR]
        return f"; near to it are {', '.join(found)}" if any(found) else "; its one tensor has no name"

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the whole file, in hexadecimal digits."""
        try:
            with self.open() as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (WeightsError, OSError) as error:
            reason = str(error) if isinstance(error, WeightsError) else f"cannot be read: {error.strerror or error}"
            raise WeightsError(f"{escape(self.path)}: {reason}") from None

    def open(self) -> BinaryIO:
        """Return the file, opened for reading.

        Raises:
            WeightsError: it has changed since it was looked at, so that its tensors may lie elsewhere now.
        """
        file = open(locate(self.path), "rb")  # noqa: SIM115
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != (self.size, self.changed):
            file.close()
            raise WeightsError("cannot be read: the file has changed since it was looked at")
        return file


def open_weights(path: str | os.PathLike) -> WeightsFile:
    """Return what a file of weights holds, without reading any numbers and without PyTorch.

    Raises:
        WeightsError: it cannot be read, is of no known kind, damaged, or would have to run code; names the file.
    """
    path = os.fspath(path)
    try:
        return _open(path)
    except NeedsCodeError as error:
        raise WeightsError(f"{escape(path)}: {error}.{_write_recipe(path)}") from None
    except WeightsError as error:
        raise WeightsError(f"{escape(path)}: {error}") from None
    except OSError as error:
        raise WeightsError(f"{escape(path)}: cannot be read: {error.strerror or error}") from None
    except ValueError:  # a zero byte in its name
        raise WeightsError(f"{escape(path)}: is no file's name") from None


def _write_recipe(path: str) -> str:
    """The lines of Python that take the tensors out of a file that PyTorch, or pickle alone, has written."""
    with open(path, "rb") as file:
        head = file.read(len(torch_files.MAGIC))
    by_torch = head == torch_files.MAGIC or head.startswith(b"PK")
    load = 'torch.load({}, map_location="cpu", weights_only=False)' if by_torch else 'pickle.load(open({}, "rb"))'
    output = os.path.splitext(path)[0] + ".safetensors"
    modules = "torch" if by_torch else "pickle, torch"
    return RECIPE.format(load=load.format(quote(path)), output=quote(output), modules=modules)


def locate(path: str) -> str:
    """Return where a file lies: those of this package, such as ``convfilter:denoise.safetensors``, lie in it.

    >>> os.path.basename(locate("convfilter:denoise.safetensors")), locate("w.pt")
    ('denoise.safetensors', 'w.pt')
    """
    if not path.startswith(PACKAGE):
        return path
    return os.path.join(os.path.dirname(__file__), "trained", os.path.basename(path.removeprefix(PACKAGE)))


def split_name(text: str) -> tuple[str, str]:
    """Return the file and the tensor's name of ``FILE:NAME``; the name is empty where there is none.

    >>> split_name("model.safetensors:conv1.weight"), split_name("C:/w.npz:conv/kernel:0"), split_name("w.npy")
    (('model.safetensors', 'conv1.weight'), ('C:/w.npz', 'conv/kernel:0'), ('w.npy', ''))
    """
    lower = text.lower()
    ends = [lower.find(f"{suffix}:") + len(suffix) for suffix in SUFFIXES if f"{suffix}:" in lower]
    if ends:
        return text[: min(ends)], text[min(ends) + 1 :]
    if lower.endswith(SUFFIXES):
        return text, ""
    path, _, name = text.rpartition(":")
    return (path, name) if path else (name, "")


def _open(path: str) -> WeightsFile:
    place = locate(path)
    status = os.stat(place)
    if not stat.S_ISREG(status.st_mode):  # a pipe that nobody writes to would be waited for without an end
        raise WeightsError("is a folder" if stat.S_ISDIR(status.st_mode) else "is not a regular file")
    return _look(path, status.st_size, status.st_mtime_ns, os.path.realpath(place))


@lru_cache(maxsize=8)
def _look(path: str, size: int, changed: int, place: str) -> WeightsFile:
    # A pipeline names one file many times; ``place`` tells two of one name apart, should the current folder change.
    with open(place, "rb") as file:
        kind, found = _read(file, size, KINDS.get(os.path.splitext(path)[1].lower()))
    if not found.tensors:
        raise WeightsError("holds no tensor")
    short = shorten_names(tensor.name for _, tensor in found.tensors)
    named = (replace(tensor, name=short[tensor.name], keys=(*found.opened, *keys)) for keys, tensor in found.tensors)
    tensors = {tensor.name: tensor for tensor in named}
    opened = ".".join(map(str, found.opened))
    return WeightsFile(path, kind, tensors, opened, found.left_out, size, changed)


def _read(file: BinaryIO, size: int, expected: str | None) -> tuple[str, Found]:
    head = file.read(16)
    file.seek(0)
    kind = _kind(head)
    members = read_members(file, size) if kind == "zip" else {}
    if kind == "zip":
        kind = "npz" if members and all(name.endswith(".npy") for name in members) else "pt"
    if expected and kind != expected:
        begins = {"pickle": "as a pickle", "pt": "as a file of PyTorch", "": "otherwise"}.get(kind, f"as .{kind}")
        raise WeightsError(f"is no .{expected} file: it begins {begins}")
    if kind == "safetensors":
        return kind, Found(tuple(((tensor.name,), tensor) for tensor in safetensors_file.read_header(file, size)))
    if kind == "npy":
        return kind, Found((((), numpy_files.read_npy(file, size)),))
    if kind == "npz":
        return kind, Found(tuple(((tensor.name,), tensor) for tensor in numpy_files.read_npz(file, members)))
    if kind == "pt":
        return kind, torch_files.read_zip(file, members)
    if kind == "pickle":
        return "pt (legacy)", torch_files.read_legacy(file, size)
    raise WeightsError("is no file of weights: it is none of .safetensors, .npz, .npy, .pt and .pth")


def _kind(head: bytes) -> str:
    if safetensors_file.looks_like(head):  # first, for its length may begin as the others do
        return "safetensors"
    if head.startswith(numpy_files.MAGIC):
        return "npy"
    return "zip" if head.startswith(b"PK") else "pickle" if head[:1] == b"\x80" else ""
