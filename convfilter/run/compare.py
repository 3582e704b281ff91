"""Several pipelines on one picture: one figure, a row a pipeline, drawn on one scale so that they can be compared."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from convfilter.errors import InputError, UsageError, escape
from convfilter.files.targets import check_ending
from convfilter.gray.scale import Shade, common_ends, describe_scale, join_ranges
from convfilter.images import png_keys
from convfilter.language.pipeline import Pipeline
from convfilter.run.budget import predict
from convfilter.run.loading import find_device
from convfilter.run.one_file import find_path, read_picture, write_file
from convfilter.run.options import Options

if TYPE_CHECKING:
    from convfilter.engine.tiles import Output
    from convfilter.images.reader import Header, Picture
    from convfilter.run.render import Activation, Renderer

MOST = 64  # pipelines: each holds its output until all are known
ENDINGS = (".png", ".svg")


@dataclass(frozen=True, eq=False)
class Compared:
    """One pipeline of a comparison: its text, what computed it, its output, and how its channels become gray."""

    text: str
    renderer: "Renderer"
    output: "Output | Activation"
    shades: list[Shade]


def write_comparison(
    pipelines: Sequence[Pipeline],
    image: str,
    options: Options,
    *,
    texts: Sequence[str] = (),
    warn: Callable[[str], object] = lambda text: None,
) -> str:
    """Write a figure of what each pipeline makes of one picture, and return its path; "-" is standard output.

    ``image`` is a path or "-"; ``texts`` are the pipelines as the user wrote them. Of ``options`` those hold that say
    how a picture is read, computed and drawn; ``scale`` is "run" unless it is said: one black and one white for all
    pipelines, "layer" has one for each of them, and "channel" one for each channel. ``warn`` is told where a device
    did not compute, for want of memory.

    Raises:
        UsageError: an option does not go with a comparison, the figure would replace the picture, or there is no such
            device.
        PipelineError: a layer does not take the picture.
        InputError, OutputError: the picture cannot be read or computed, or the figure not written; names the file.

    >>> import tempfile, pathlib
    >>> from convfilter import parse
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "dot.pgm").write_bytes(b"P5 6 6 255 " + bytes(14) + bytes([9]) + bytes(21))
    >>> pools = [parse("AvgPool2d(2)"), parse("MaxPool2d(2)")]
    >>> pathlib.Path(write_comparison(pools, str(folder / "dot.pgm"), Options())).name
    'dot_compare.png'
    """
    options = check_comparison(pipelines, options, ENDINGS)
    path = find_path(image, options.output, f"compare{options.suffix}", ENDINGS)
    title, picture, rows = compare_on_file(pipelines, image, options, texts=texts, warn=warn)

    def write(file: BinaryIO) -> None:
        draw_comparison(rows, picture, options, title, file)

    write_file(path, write, no_clobber=options.no_clobber)
    return path


def check_comparison(pipelines: Sequence[Pipeline], options: Options, endings: tuple[str, ...]) -> Options:
    """Return the options of a comparison, whose output ends in one of ``endings``.

    Raises:
        UsageError: an option does not go with a comparison, or there are too few or too many pipelines.
    """
    if not 2 <= len(pipelines) <= MOST:
        given = f"{len(pipelines)} pipeline{'s' * (len(pipelines) != 1)}"
        example = "; for example: convfilter compare edge 'edge | ReLU' photo.png"
        raise UsageError(f"compare takes 2 to {MOST} pipelines and then a picture, not {given}{example}")
    check_ending(options.output, endings)
    options = replace(options, grid=True, scale=options.scale or "run")
    for pipeline in pipelines:
        options.check(pipeline)
    find_device(options.device)
    return options


def compare_on_file(
    pipelines: Sequence[Pipeline],
    image: str,
    options: Options,
    *,
    texts: Sequence[str] = (),
    warn: Callable[[str], object] = lambda text: None,
) -> tuple[str, "Picture", list[Compared]]:
    """Return a picture's name, the picture, and what each pipeline makes of it; ``image`` is a path or "-".

    Raises:
        PipelineError: a layer does not take the picture.
        InputError: the picture cannot be read or computed; names it.
    """

    def predict_all(header: "Header") -> int:  # every output is kept until the last one is known
        return sum(predict(pipeline, options, header) for pipeline in pipelines)

    picture = read_picture(image, options, predict_all)
    name = os.path.basename("standard input" if image == "-" else image)
    try:
        return name, picture, compare(pipelines, picture, options, texts=texts, warn=warn)
    except InputError as error:
        raise InputError(f"{escape(name)}: {error}") from None


def compare(
    pipelines: Sequence[Pipeline],
    picture: "Picture",
    options: Options,
    *,
    texts: Sequence[str] = (),
    warn: Callable[[str], object] = lambda text: None,
) -> list[Compared]:
    """Return what each pipeline makes of a picture, with the black and the white that ``options.scale`` gives.

    Raises:
        InputError: NaN or infinity comes out of a layer.
    """
    from convfilter.run.figure import choose
    from convfilter.run.render import Renderer

    found = []
    device, _ = find_device(options.device)
    for number, pipeline in enumerate(pipelines):
        renderer = Renderer(pipeline, options, options.jobs or os.cpu_count() or 1, device)
        [(layer, output)] = renderer.activations(picture)
        for warning in renderer.take_warnings():
            warn(warning)
        text = texts[number] if texts else str(pipeline)
        found.append((text, renderer, layer, output, renderer.ranges(picture, output)))
    shared = None
    if options.scale == "run":
        shared = join_ranges(ends for *_, ranges in found for ends in choose(ranges, options))
    return [
        Compared(text, renderer, output, choose(renderer.shades(picture, layer, ranges, shared, []), options))
        for text, renderer, layer, output, ranges in found
    ]


def describe(rows: Sequence[Compared], options: Options) -> str:
    """Return what is black and what is white in a comparison."""
    scale = "row" if options.scale == "layer" else options.scale or "run"
    return describe_scale(
        options.levels, scale, options.white, common_ends(shade for row in rows for shade in row.shades)
    )


def draw_comparison(rows: Sequence[Compared], picture: "Picture", options: Options, title: str, file: BinaryIO) -> None:
    """Write the figure of a comparison as a PNG or an SVG."""
    from convfilter.figures.layout import Row
    from convfilter.run.figure import Figure

    plan = []
    for row in rows:
        channels, height, width = row.output.shape
        plan.append(Row(len(row.shades), (width, height), row.text, f"{channels}x{height}x{width}"))
    figure = Figure(picture, plan, options, title=title, note=describe(rows, options))
    for row in rows:
        row.renderer.add_row(figure, picture, len(row.renderer.pipeline.layers) - 1, row.output, row.shades)
    texts = {}
    if options.metadata:
        pipelines = "\n".join(str(row.renderer.pipeline) for row in rows)
        last = rows[0].renderer
        texts = last.texts(0, {png_keys.PIPELINE: pipelines, png_keys.SCALE: figure.note})
    figure.write(file, texts, level=options.compress, workers=rows[0].renderer.threads)
