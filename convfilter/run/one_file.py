"""One picture in and one file out, as the report and the comparison have it."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from convfilter import streams
from convfilter.errors import InputError, UsageError, escape
from convfilter.files.targets import check_folder, find_target
from convfilter.files.transaction import OutputWriter
from convfilter.numbers import show_bytes
from convfilter.run.budget import available
from convfilter.run.options import Options

if TYPE_CHECKING:
    from convfilter.images.reader import Header, Picture


def find_path(image: str, output: str | None, name: str, endings: tuple[str, ...]) -> str:
    """Return the path of the one output of a picture, or "-" for standard output.

    ``image`` is the picture's path or "-", ``output`` the value of -o, None to write beside the picture. ``name``
    follows the picture's stem where -o does not name the file; what does not end in one of ``endings`` is a folder.

    Raises:
        UsageError: the output would replace the picture, or what is no file, or its folder cannot be made.

    >>> find_path("of/photo.jpg", None, "compare.png", (".png",)), find_path("-", "edges.png", "x.png", (".png",))
    ('of/photo_compare.png', 'edges.png')
    """
    if output == "-":
        return output
    name = f"{'stdin' if image == '-' else Path(image).stem}_{name}"
    if output is None:
        path = name if image == "-" else os.path.join(os.path.dirname(image), name)
    elif output.endswith(("/", os.sep)) or os.path.isdir(output) or not output.lower().endswith(endings):
        path = os.path.join(output, name)
    else:
        path = output
    if image != "-" and os.path.exists(path) and os.path.exists(image) and os.path.samefile(path, image):
        raise UsageError(f"-o {escape(path)}: is the picture itself, and no input is replaced; choose another name")
    check_folder(os.path.dirname(path))
    find_target(path)
    return path


def read_picture(image: str, options: Options, predict: Callable[["Header"], int]) -> "Picture":
    """Return a picture, read as the options say, from a path or "-" for standard input.

    ``predict`` returns how many bytes a picture needs, or raises PipelineError where a pipeline does not take it.

    Raises:
        InputError: it cannot be read, or needs more memory than there is; names it.
    """
    from convfilter.images.reader import read_pictures

    limit = options.max_memory or available() * 3 // 4

    def admit(header: "Header") -> None:
        if (need := predict(header)) > limit:
            raise InputError(
                f"at {header.width}x{header.height} it needs {show_bytes(need)} of memory, and {show_bytes(limit)} can "
                "be used; make the picture smaller, or take fewer channels"
            )

    try:
        source = streams.read_in(limit) if image == "-" else image
        if source is None:
            raise InputError(f"it has more than {show_bytes(limit)}, which can be used")
        return next(read_pictures(source, background=options.background, mode=options.mode, admit=admit))
    except InputError as error:
        raise InputError(f"{escape('standard input' if image == '-' else image)}: {error}") from None


def write_file(path: str, write: Callable[[BinaryIO], object], *, no_clobber: bool) -> None:
    """Write one file whole or not at all, or standard output where the path is "-".

    Raises:
        OutputError: it cannot be written; names it.
    """
    if path == "-":
        held = io.BytesIO()
        write(held)
        streams.write_out(held.getbuffer())
        return
    with OutputWriter(no_clobber=no_clobber).transaction() as files:
        write(cast(BinaryIO, files.open(find_target(path))))  # it has of one what writers call
        files.commit()
