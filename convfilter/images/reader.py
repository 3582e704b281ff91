"""Reads pictures of every kind as upright gray or colour values, and says in one line why one cannot be read."""

import math
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from convfilter.errors import InputError, UsageError
from convfilter.images import containers, decoding, formats, tiff, to_gray

PictureFile = str | os.PathLike[str] | BinaryIO
Frames = Literal["first", "all"] | int
Mode = Literal["L", "RGB"]  # gray, or red, green and blue

# Peak bytes a pixel, as measured.
_BYTES_BY_MODE = {"L": 1.25, "1": 2.25, "P": 2.25, "I;16": 2.25, "I;16B": 4.5, "I": 10.5, "F": 9.5}  # others 8
_BYTES_BY_FORMAT = {"WEBP": 21, "JPEG2000": 20, "AVIF": 12, "QOI": 10}
_BYTES_OF_COLOUR = 2  # more than gray values
_BYTES_OF_MANY_FRAMES = {"GIF": 14, "PNG": 12}
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


@dataclass(frozen=True)
class Header:
    """What a file's header says of one frame: the upright size in pixels, how many frames, Pillow's format and mode."""

    width: int
    height: int
    frames: int
    format: str
    mode: str

    def bytes_to_read(self, mode: Mode = "L") -> int:
        """Return about how many bytes reading a frame takes at its peak, its values included; as measured.

        >>> Header(1000, 1000, 1, "PNG", "L").bytes_to_read(), Header(1000, 1000, 1, "WEBP", "RGB").bytes_to_read()
        (1250000, 21000000)
        """
        by_format = (_BYTES_OF_MANY_FRAMES if self.frames > 1 else {}) | _BYTES_BY_FORMAT
        pixel = max(by_format.get(self.format, 0), _BYTES_BY_MODE.get(self.mode, 8))
        return math.ceil(self.width * self.height * (pixel if mode == "L" else pixel + _BYTES_OF_COLOUR))


@dataclass(frozen=True, eq=False)
class Picture:
    """One upright picture: ``values`` is HxW (uint8, uint16, int32 or float32), and ``white`` means white there.

    A colour picture's ``values`` are 3xHxW: red, green and blue.
    ``frame`` counts from 0, ``frames`` is how many the file has, and ``notes`` are sentences worth telling a user.
    """

    values: NDArray[np.generic]
    white: float
    frame: int
    frames: int
    notes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W): one channel, or three."""
        return (1, *self.values.shape) if self.values.ndim == 2 else self.values.shape  # type: ignore[return-value]


def read_header(source: PictureFile) -> Header:
    """Return the header of the first frame, without decoding a pixel.

    ``source`` is a path or a seekable binary file. Raises InputError where it is no picture or a broken one: a file
    that has lost its end is found here in most formats, damaged pixels are not.

    >>> import io
    >>> read_header(io.BytesIO(b"P5 2 1 255 \\x00\\xff"))
    Header(width=2, height=1, frames=1, format='PPM', mode='L')
    """
    with _opened(source) as opened:
        return opened.header


def read_pictures(
    source: PictureFile,
    *,
    frames: Frames = "first",
    background: str = "white",
    mode: Mode = "L",
    admit: Callable[[Header], Any] | None = None,
) -> Iterator[Picture]:
    """Return an iterator over the chosen frames of a picture file, each read when it is asked for.

    ``source`` is a path or a seekable binary file. ``frames`` is ``"first"``, ``"all"`` or one frame's number, counted
    from 0. The frames of an animation are whole canvases, as Pillow composes them; an APNG's default picture that is
    not part of the animation is its frame 0. Values and what is white are those of ``to_gray.to_gray``, or of
    ``to_gray.to_colour`` where ``mode`` is RGB; EXIF orientation is applied, transparency laid over ``background`` (a
    colour's name or code).
    ``admit`` is called with the header before anything is decoded, and again before a frame of another size; what
    it raises stops the reading. No other limit on a picture's size is in force, Pillow's own neither.

    Raises InputError where the file is no picture, damaged (a wrong PNG checksum included), or truncated: a PNG, GIF,
    WebP or TIFF anywhere, whichever frame is asked for; or where it has no such frame. Raises UsageError where
    ``frames`` or ``background`` makes no sense.

    >>> import io
    >>> picture = next(read_pictures(io.BytesIO(b"P5 2 1 255 \\x00\\xff")))
    >>> picture.values, picture.white
    (array([[  0, 255]], dtype=uint8), 255)
    """
    if frames not in ("first", "all") and not (isinstance(frames, int) and frames >= 0):
        raise UsageError(f"frames is first, all, or a frame's number from 0, not {frames!r}")
    return _read(source, frames, to_gray.parse_background(background), mode, admit or (lambda header: None))


def is_picture(path: str | Path) -> bool:
    """Return whether a path is a regular file whose suffix or first bytes are those of a picture.

    Pipes, sockets, devices and folders are never opened. Broken pictures are pictures, and so is by its suffix what
    cannot be read here, is something else, leads to nothing or has just vanished: the reason belongs in front of the
    user.
    """
    suffix = formats.suffix_of(str(path))
    is_named_so = suffix in formats.SUFFIXES
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        if is_named_so:
            return True
        with open(path, "rb") as file:
            head = file.read(formats.HEAD)
    except OSError:
        return is_named_so
    except ValueError:
        return False
    return formats.begins_picture(head, suffix)


def check_frames(frames: Frames, header: Header) -> None:
    """Return if a picture has the frames that are asked for; InputError where it has no such frame."""
    if isinstance(frames, int) and frames >= header.frames:
        raise InputError(f"has no frame {frames}: it holds {header.frames}, counted from 0")


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Return a regular file opened for reading; InputError or OSError where it is none, which is never opened."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputError("is a link to nothing") from None
        if "://" in os.fspath(path):
            raise InputError("URLs are read by presets and by run alone; download the picture first") from None
        raise
    if kind != stat.S_IFREG:  # opening a pipe would wait for its writer
        raise InputError(f"is {_KINDS.get(kind, 'a device')}, not a picture file")
    return open(path, "rb")


def _read(
    source: PictureFile, frames: Frames, background: tuple[int, int, int], mode: Mode, admit: Callable[[Header], Any]
) -> Iterator[Picture]:
    with _opened(source) as opened:
        header = opened.header
        check_frames(frames, header)
        admit(header)
        with decoding.reading(header.format):
            containers.verify(opened.contents)
        last = header.frames - 1 if frames == "all" else 0 if frames == "first" else frames
        # A GIF's frames are drawn on each other, and the canvas may grow with each.
        step_by_step = frames == "all" or header.format == "GIF"
        for frame in range(last + 1) if step_by_step else (last,):
            with decoding.reading(header.format):
                opened.seek(frame)
            if replace(opened.header, mode="") != replace(header, mode=""):
                header = opened.header
                admit(header)
            if frames == "all" or frame == last:
                with decoding.reading(header.format):
                    values, white, notes = decoding.decode(
                        opened.image,
                        opened.contents,
                        orientation=opened.orientation,
                        background=background,
                        mode=mode,
                    )
                if frame == last:
                    opened.close()
                notes = opened.notes + notes
                if frames == "first" and header.frames > 1:
                    notes += (f"the first of {header.frames} frames; --frames all takes every one",)
                yield Picture(values, white, frame, header.frames, notes)
                del values  # or two frames would be held while the next is decoded


class _Opened:
    """A picture file at one of its frames."""

    def __init__(self, image: Any, contents: containers.Contents) -> None:
        self.image = image  # Pillow's, of whichever format
        self.contents = contents
        self._look()

    def _look(self) -> None:
        image = self.image
        self.orientation, self.notes = decoding.find_orientation(image)
        width, height = image.size[::-1] if self.orientation >= 5 else image.size
        frames = self.contents.frames or getattr(image, "n_frames", 1)
        self.header = Header(width, height, frames, image.format, image.mode)

    def seek(self, frame: int) -> None:
        if self.header.frames > 1 and frame != self.image.tell():
            self.image.seek(frame)
            self._look()

    def close(self) -> None:
        self.image = None  # a large picture need not wait for its reader to be done with the last frame


@contextmanager
def _opened(source: PictureFile) -> Iterator[_Opened]:
    with ExitStack() as stack:
        with decoding.reading(""):
            if isinstance(source, str | os.PathLike):
                file, suffix = stack.enter_context(open_file(source)), formats.suffix_of(os.fspath(source))
            else:
                file, suffix = source, ""
            file.seek(0)
            head = file.read(formats.HEAD)
        name = formats.identify(head, suffix)
        if name is None:
            raise InputError(_refusal(head))
        with decoding.reading(name):
            contents = _walk(name, file)
            opened = _Opened(decoding.open_image(name, contents.file), contents)
        yield opened


def _walk(name: str, file: BinaryIO) -> containers.Contents:
    if name == "TIFF":
        return containers.Contents(file, file, tiff.count_pages(file))
    return containers.walk(name, file)


def _refusal(head: bytes) -> str:
    if not head:
        return "is empty"
    if not head.strip(b"\0"):
        return "damaged: it begins with nothing but zeros, as a copy that was interrupted does"
    if formats.is_cut_off(head):
        return "truncated: the file ends in its first bytes; copy or download it again"
    foreign = formats.describe_foreign(head)
    return f"not a picture that can be read: it is a {foreign}" if foreign else "not a picture that can be read"
