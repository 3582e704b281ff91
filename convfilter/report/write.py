"""Writes the report of one picture as a file, whole or not at all."""

import io
import os
import sys
from pathlib import Path

from convfilter import streams
from convfilter.errors import InputError, UsageError, escape
from convfilter.explain.layer_table import peak_bytes
from convfilter.files.targets import check_folder, find_target
from convfilter.files.transaction import OutputWriter
from convfilter.images.reader import Header, Picture, read_pictures
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import available
from convfilter.run.options import Options

DEFAULT = Options()


def write_report(
    pipeline: Pipeline,
    image: str,
    output: str | None = None,
    *,
    text: str,
    pixel: tuple[int, int] | None = None,
    options: Options = DEFAULT,
) -> str:
    """Write the report of a picture, and return its path; "-" is standard output.

    ``image`` is a path or "-"; ``output`` a file's name or a folder, beside the picture where it is None. ``text`` is
    the pipeline as the user wrote it; of ``options`` those hold that say how the picture is read and computed.

    Raises:
        UsageError: the page would replace the picture, or what is no file, or there is no such pixel.
        PipelineError: a layer does not take the picture.
        InputError, OutputError: the picture cannot be read, or the page not written; names the file.
    """
    options.check(pipeline)
    path = _find_path(pipeline, image, output)
    target = _find_target(path)
    shown = "standard input" if image == "-" else image
    try:
        picture = _read(pipeline, image, options)
    except InputError as error:
        raise InputError(f"{escape(shown)}: {error}") from None
    _, height, width = picture.shape
    if pixel and not (pixel[0] < width and pixel[1] < height):
        raise UsageError(f"--pixel {pixel[0]},{pixel[1]} lies outside of the picture, which is {width}x{height}")
    from convfilter.engine.build import build, to_tensor
    from convfilter.report.page import make_report

    x = to_tensor(picture.values, picture.white, options.inputs)
    network = build(pipeline, seed=options.seed, channels=x.shape[1])
    name = os.path.basename(shown)
    page = make_report(
        pipeline,
        network,
        x,
        source_name=name,
        text=text,
        seed=options.seed,
        white=options.white,
        inputs=options.inputs,
        pixel=pixel,
    )
    data = page.encode()
    if path == "-":
        streams.write_out(data)
        return path
    with OutputWriter(no_clobber=options.no_clobber).transaction() as batch:
        batch.open(target).write(data)
        batch.commit()
    return path


def _find_path(pipeline: Pipeline, image: str, output: str | None) -> str:
    if output == "-":
        return output
    stem = "stdin" if image == "-" else Path(image).stem
    name = f"{stem}_{pipeline.name}.html"
    if output is None:
        return name if image == "-" else os.path.join(os.path.dirname(image), name)
    folder = os.path.isdir(output) or output.endswith(("/", os.sep))
    path = os.path.join(output, name) if folder else output
    if image != "-" and os.path.exists(path) and os.path.exists(image) and os.path.samefile(path, image):
        raise UsageError(f"-o {escape(output)}: is the picture itself, and no input is replaced; choose another name")
    return path


def _find_target(path: str) -> str:
    """Return the file to write for a path; UsageError where that would replace what is no file."""
    if path == "-":
        return path
    check_folder(os.path.dirname(path))
    return find_target(path)


def _read(pipeline: Pipeline, image: str, options: Options) -> Picture:
    def admit(header: Header) -> None:
        shape = (options.channels_in, header.height, header.width)
        pipeline.shapes(shape)
        need, limit = peak_bytes(pipeline, shape), available() * 3 // 4
        if need > limit:
            raise InputError(
                f"all its layers at {header.width}x{header.height} need {show_bytes(need)} of memory, and "
                f"{show_bytes(limit)} can be used; make the picture smaller, or take fewer channels"
            )

    source = io.BytesIO(sys.stdin.buffer.read()) if image == "-" else image
    return next(read_pictures(source, background=options.background, mode=options.mode, admit=admit))
