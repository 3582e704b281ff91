"""Writes the report of one picture as a file, whole or not at all."""

import os
from collections.abc import Callable
from functools import partial

from convfilter.errors import UsageError, escape
from convfilter.explain.layer_table import peak_bytes
from convfilter.images.reader import Header
from convfilter.language.grammar import PICTURES
from convfilter.language.pipeline import Pipeline
from convfilter.run.loading import find_device
from convfilter.run.one_file import find_path, read_picture, write_file
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
    warn: Callable[[str], object] = lambda text: None,
) -> str:
    """Write the report of a picture, and return its path; "-" is standard output.

    ``image`` is a path or "-"; ``output`` a file's name or a folder, beside the picture where it is None. ``text`` is
    the pipeline as the user wrote it; of ``options`` those hold that say how the picture is read and computed.
    ``warn`` is told where a device did not compute, for want of memory.

    Raises:
        UsageError: the page would replace the picture, or what is no file, or there is no such pixel or device.
        PipelineError: a layer does not take the picture.
        InputError, OutputError: the picture cannot be read, or the page not written; names the file.
    """
    options.check(pipeline)
    device, _ = find_device(options.device)
    path = find_path(image, output, f"{pipeline.name}.html", ("",))
    if output and not os.path.isdir(output) and output.lower().endswith((*PICTURES, ".svg", ".npy", ".pdf")):
        raise UsageError(f"-o {escape(output)}: the report is a web page; give it the suffix .html")
    shown = "standard input" if image == "-" else image

    def predict(header: Header) -> int:
        return peak_bytes(pipeline, (options.channels_in, header.height, header.width))

    picture = read_picture(image, options, predict)
    _, height, width = picture.shape
    if pixel and not (pixel[0] < width and pixel[1] < height):
        raise UsageError(f"--pixel {pixel[0]},{pixel[1]} lies outside of the picture, which is {width}x{height}")
    from convfilter.engine.build import activations, build, to_tensor
    from convfilter.report.page import make_report

    x = to_tensor(picture.values, picture.white, options.inputs)
    network = build(pipeline, seed=options.seed, channels=x.shape[1])
    on_device = None
    compute = partial(activations, network)
    if device != "cpu":
        from convfilter.engine.device import DeviceFilter

        on_device = DeviceFilter(pipeline, network, device, x.shape[1])
        compute = on_device.activations
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
        compute=compute,
    )
    for warning in on_device.take_warnings() if on_device else ():
        warn(warning)
    write_file(path, lambda file: file.write(page.encode()), no_clobber=options.no_clobber)
    return path
