"""What -o names: a folder, the one file of a run, or standard output; and whether something else is there."""

import contextlib
import os
import re
import stat

from convfilter.errors import UsageError, escape
from convfilter.files.labels import SUFFIXES
from convfilter.files.paths import above, describe_error, describe_kind

OTHERS = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pnm")  # not written


def is_file_name(output: str) -> bool:
    """Return whether the value of -o names a file: it ends in .png, .svg or .npy, and is no folder.

    >>> is_file_name("edges.png"), is_file_name("edges")
    (True, False)
    """
    return output.lower().endswith(SUFFIXES) and not os.path.isdir(output)


def find_single_file(output: str | None, suffix: str) -> str | None:
    """Return the value of -o where it names one file, and not a folder; ``suffix`` is the one of what is written.

    UsageError where it is the name of a picture of another format.

    >>> find_single_file("edges.png", ".png"), find_single_file("edges", ".png")
    ('edges.png', None)
    """
    if output is None or output == "-" or output.endswith(("/", os.sep)) or os.path.isdir(output):
        return None
    given = os.path.splitext(output)[1].lower()
    if given in OTHERS and given not in SUFFIXES:
        raise UsageError(f"-o {escape(output)}: pictures are written as PNG; give it the suffix .png")
    if not is_file_name(output):
        return None
    if given != suffix:
        raise UsageError(f"-o {escape(output)}: --format {suffix[1:]} needs the suffix {suffix}")
    return output


def check_ending(output: str | None, endings: tuple[str, ...] = SUFFIXES) -> None:
    """Return if the value of -o, for a single output, is not the name of a file of a kind that is not written.

    ``endings`` are those of the files that are.

    Raises:
        UsageError: it would else be taken for a folder's name.

    >>> check_ending("figure.pdf")
    Traceback (most recent call last):
    convfilter.errors.UsageError: -o figure.pdf: no output ends in .pdf, but in .png, .svg or .npy; a folder of this \
name is written figure.pdf/
    """
    ending = os.path.splitext(output or "")[1].lower()
    is_ending = re.fullmatch(r"\.(?=.*[a-z])[a-z0-9]{1,5}", ending) is not None
    if output and is_ending and ending not in endings and not os.path.lexists(output):
        known, shown = f"{', '.join(endings[:-1])} or {endings[-1]}", escape(output)
        raise UsageError(
            f"-o {shown}: no output ends in {ending}, but in {known}; a folder of this name is written {shown}/"
        )


def find_target(path: str) -> str:
    """Return the file to write where one output is to have this path: itself, or what a link there leads to.

    Raises:
        UsageError: what is there is no file, and would be lost; it cannot be looked at; or it is a URL.
    """
    scheme, mark, _ = path.partition("://")
    if mark and len(scheme) > 1 and scheme.isalnum():
        raise UsageError(f"{escape(path)}: URLs are written by presets and by run alone; name a file on this disk")
    target = os.path.realpath(path) if os.path.islink(path) else path
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return target
    except OSError as error:
        raise UsageError(f"{escape(path)}: {describe_error(error)}") from None
    with contextlib.suppress(OSError):
        if os.path.samestat(found, os.fstat(1)):
            raise UsageError(f"{escape(path)}: is standard output; say -o - to write there")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{escape(path)}: {describe_kind(found)}, and is not replaced; -o - writes to standard output")
    return target


def check_folder(folder: str) -> None:
    """Return if a folder is there or can be made, as far as names tell.

    Raises:
        UsageError: it, or one above it, is something else.
    """
    for path in (folder, *above(folder)):
        if not path or os.path.isdir(path):
            return
        if os.path.lexists(path):
            try:
                found = os.stat(path)
            except OSError as error:
                what = "is a link to nothing" if isinstance(error, FileNotFoundError) else describe_error(error)
            else:
                what = "is a file" if stat.S_ISREG(found.st_mode) else describe_kind(found)
            hint = "choose another with -o, or - for standard output"
            raise UsageError(f"{escape(path)}: {what}, and outputs need a folder; {hint}")
