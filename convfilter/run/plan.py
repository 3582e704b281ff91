"""What a run writes of each picture: one output a frame, layer and channel, or sheets; and if names can hold it."""

import contextlib
import os
import stat
import sys

from convfilter.errors import UsageError, escape
from convfilter.files.names import Part, check_template
from convfilter.files.output_folders import above, is_file_name
from convfilter.files.walk import explain, kind
from convfilter.language.pipeline import Pipeline

OTHERS = (".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pnm")  # not written

Key = tuple[int, int, int | None]  # frame, layer, and channel (None: the sheet of all), each counted from 0


def find_single_file(options) -> str | None:
    """Return the value of -o where it names one file, and not a folder.

    ``options`` are the run's. UsageError where it is the name of a picture of another format.

    >>> from convfilter.run.options import Options
    >>> find_single_file(Options(output="edges.png")), find_single_file(Options(output="edges"))
    ('edges.png', None)
    """
    output = options.output
    if output in (None, "-") or output.endswith(("/", os.sep)) or os.path.isdir(output):
        return None
    suffix = os.path.splitext(output)[1].lower()
    if suffix in OTHERS:
        raise UsageError(f"-o {escape(output)}: pictures are written as PNG; give it the suffix .png")
    if not is_file_name(output):
        return None
    if suffix != options.suffix:
        raise UsageError(f"-o {escape(output)}: --format {options.format} needs the suffix {options.suffix}")
    return output


def find_target(path: str) -> str:
    """Return the file to write where one output is to have this path: itself, or what a link there leads to.

    Raises:
        UsageError: what is there is no file, and would be lost; or it cannot be looked at.
    """
    target = os.path.realpath(path) if os.path.islink(path) else path
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return target
    except OSError as error:
        raise UsageError(f"{escape(path)}: {explain(error)}") from None
    with contextlib.suppress(OSError):
        if os.path.samestat(found, os.fstat(1)):
            raise UsageError(f"{escape(path)}: is standard output; say -o - to write there")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{escape(path)}: {kind(found)}, and is not replaced; -o - writes to standard output")
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
                what = "is a link to nothing" if isinstance(error, FileNotFoundError) else explain(error)
            else:
                what = "is a file" if stat.S_ISREG(found.st_mode) else kind(found)
            hint = "choose another with -o, or - for standard output"
            raise UsageError(f"{escape(path)}: {what}, and outputs need a folder; {hint}")


def check_marks(options) -> None:
    """Return if outputs that lie among inputs can be told from them by a later run.

    Raises:
        UsageError: neither their metadata nor their names tell.
    """
    marked = options.metadata or options.suffix != ".png"  # others are no pictures to it
    if not marked and options.name is not None and "_{filter}" not in options.name.rpartition("/")[2]:
        raise UsageError(
            "--no-metadata and --name: outputs go into an input folder, where the next run would take them for inputs; "
            "put _{filter} into the name, leave the metadata in, or choose another folder with -o"
        )


def list_parts(pipeline: Pipeline, options, frames: int = 1) -> dict[Key, Part]:
    """Return what each output of a picture holds, in the order in which they are listed: frames, then layers.

    >>> from convfilter import parse
    >>> from convfilter.run.options import Options
    >>> list(list_parts(parse("tutorial | ReLU"), Options(grid=True, keep=True)))
    [(0, 1, 0), (0, 1, 1), (0, 1, None)]
    """
    parts, count, layers = {}, 1, pipeline.layers
    for index, layer in enumerate(layers):
        count = layer.effect.channels(count)
        if index < len(layers) - 1 and not options.steps:
            continue
        step = f"{index + 1:0{len(str(len(layers)))}}-{layer.name}" if options.steps else ""
        chosen = [channel for channel in options.channels or range(count) if channel < count]
        single = [] if options.grid and not options.keep else chosen
        for channel in [*single, *([None] if options.grid else [])]:
            for frame in range(frames):
                label = "grid" if channel is None else channel
                parts[frame, index, channel] = Part(label, count, frame, frames, step)
    return dict(sorted(parts.items(), key=lambda item: item[0][:2]))


def check_names(pipeline: Pipeline, options, *, several: bool) -> None:
    """Return if every output can have a place of its own; ``several`` is true where there are several pictures.

    Raises:
        UsageError: -o names one file, or --name gives one name, for what are several outputs.
    """
    layers = [layer for _, layer, _ in list_parts(pipeline, options)]
    many = {
        "pictures": several,
        "layers": options.steps and len(pipeline.layers) > 1,
        "channels": len(set(layers)) < len(layers),
        "frames": options.frames == "all",
    }
    if options.output == "-" or find_single_file(options):
        why = next((what for what, found in many.items() if found), None)
        if why:
            raise UsageError(
                f"-o {escape(options.output)} takes one output, and there are several {why}; give a folder"
            )
        if options.output == "-" and sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("-o -: standard output is a terminal; send it to a file or a pipe")
    elif options.name is not None:
        check_template(
            options.name,
            several_sources=several,
            several_channels=many["channels"],
            frames=many["frames"],
            steps=options.steps,
        )
