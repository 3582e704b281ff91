"""What explain prints: a table, an object, a script, or the arithmetic behind one pixel."""

import json
import shutil
from collections.abc import Iterator

from convfilter.errors import InputError, UsageError, escape
from convfilter.explain.layer_table import explain, peak_bytes
from convfilter.explain.text_table import write_table
from convfilter.export.script import write_script
from convfilter.language.pipeline import Pipeline
from convfilter.numbers import show_bytes
from convfilter.run.budget import available
from convfilter.run.options import Options


def answer(
    pipeline: Pipeline,
    options: Options,
    *,
    size: tuple[int, int] | None = None,
    image: str | None = None,
    pixel: tuple[int, ...] | None = None,
    as_json: bool = False,
    code: bool = False,
) -> Iterator[str]:
    """Yield the texts that ``explain`` prints; ``options`` and the keywords are its options.

    Raises:
        UsageError: two options do not go together. InputError: the picture cannot be read.
        PipelineError: a layer does not take its input; the rows up to it have been yielded.

    >>> from convfilter import parse
    >>> next(answer(parse("ReLU"), Options(), size=(4, 3), as_json=True))[:38]
    '{"input": [1, 3, 4], "layers": [{"laye'
    """
    chosen = [name for name, given in (("--pixel", pixel), ("--json", as_json), ("--code", code)) if given]
    if len(chosen) > 1:
        raise UsageError(f"{chosen[0]} and {chosen[1]} ask for two answers; choose one of them")
    if size and image:
        raise UsageError("--size and --image both say how large the picture is; give one of them")
    if size and code:
        raise UsageError("--code prints a script that takes every size; leave out --size")
    if pixel and not image:
        raise UsageError("--pixel needs a picture: give one with --image")
    columns = shutil.get_terminal_size().columns
    if code:
        yield write_script(pipeline, *([image] if image else []), options=options).rstrip("\n")
        return
    if pixel:
        yield _follow(pipeline, image, pixel, options, columns)
        return
    width, height = _measure(image) if image else size or (512, 512)
    explanation = explain(pipeline, (options.channels_in, height, width), options.inputs)
    if as_json and not explanation.error:
        yield json.dumps(explanation.to_dict())
    elif not as_json:
        yield write_table(explanation, columns)
    if explanation.error:
        raise explanation.error


def _measure(image: str) -> tuple[int, int]:
    from convfilter.images.reader import read_header

    try:
        header = read_header(image)
    except InputError as error:
        raise InputError(f"{escape(image)}: {error}") from None
    return header.width, header.height


def _follow(pipeline: Pipeline, image: str, pixel: tuple[int, ...], options: Options, columns: int) -> str:
    from convfilter.engine.build import build, to_tensor
    from convfilter.explain.pixel.trace import Pixel, explain_pixel, write_steps
    from convfilter.images.reader import read_pictures

    column, row, channel = (*pixel, 0)[:3]
    width, height = _measure(image)
    need = peak_bytes(pipeline, (options.channels_in, height, width))  # before the picture is decoded
    if need > available():
        raise InputError(
            f"{escape(image)}: following a pixel computes the whole picture, which takes {show_bytes(need)},"
            f" and {show_bytes(available())} are free; cut the part around the pixel out of it"
        )
    try:
        picture = next(read_pictures(image, background=options.background, mode=options.mode))
    except InputError as error:
        raise InputError(f"{escape(image)}: {error}") from None
    x = to_tensor(picture.values, picture.white, options.inputs)
    steps = explain_pixel(
        pipeline, build(pipeline, seed=options.seed, channels=x.shape[1]), x, Pixel(channel, row, column)
    )
    return write_steps(steps, columns)
