"""The script that --code prints: which picture it reads, how it reads that, and what it calls what it writes."""

import os

from convfilter.code import Photo, write_code
from convfilter.errors import InputError, UsageError, escape
from convfilter.names import clean, split_name
from convfilter.norm import Norm
from convfilter.pipeline import Pipeline
from convfilter.settings import Options

ORIENTATION = 274  # the EXIF tag


def write_script(
    pipeline: Pipeline,
    picture: str | None = None,
    *,
    output: str | None = None,
    norm: str = "minmax",
    vmin: float | None = None,
    vmax: float | None = None,
    bits: int = 8,
    channels: tuple[int, ...] | None = None,
    white: float = 255.0,
    background: str = "white",
    seed: int = 0,
    **others,
) -> str:
    """Return the pipeline as a script that writes, of one picture, the pixels that the program writes.

    The keywords are the command's options. ``picture`` is looked at, where it is a file, for what the script must do to
    read it; without one the script reads photo.jpg. Outputs lie beside the picture unless ``output`` says otherwise.

    Raises:
        UsageError: an option is given that the script could not follow. InputError: the picture cannot be read.

    >>> from convfilter import parse
    >>> write_script(parse("edge | ReLU"), "of/holes.png").splitlines()[-1]
    'Image.fromarray(pixels).save("of/holes_edge-ReLU.png")'
    """
    wanted = {"grid": False, "steps": False, "frames": "first", "name": None, "format": None}
    for option, plain in wanted.items():
        if others.get(option, plain) not in (plain, "png" if option == "format" else plain):
            raise UsageError(f"--code prints a script for single PNGs of one picture; leave out --{option}")
    options = Options(output, norm=norm, vmin=vmin, vmax=vmax, bits=int(bits), channels=channels, white=white)
    options.check(pipeline)
    if picture and os.path.isfile(picture):
        photo = _look_at(picture, background)
    else:
        photo = Photo(picture if picture and picture != "-" and not os.path.isdir(picture) else Photo.path)
    return write_code(
        pipeline,
        photo=photo,
        output=_name(photo.path, pipeline, output),
        seed=seed,
        white=white,
        norm=Norm(norm, vmin, vmax),
        bits=int(bits),
        channels=channels,
    )


def _look_at(path: str, background: str) -> Photo:
    from PIL import Image

    from convfilter.images import read_header, read_pictures

    try:
        mode, white = read_header(path).mode, 255
        if mode[0] in "IF":
            white = next(read_pictures(path)).white
    except InputError as error:
        raise InputError(f"{escape(path)}: {error}") from None
    with Image.open(path) as image:
        turned = image.getexif().get(ORIENTATION, 1) != 1
        return Photo(path, mode, white, image.has_transparency_data, turned, background)


def _name(path: str, pipeline: Pipeline, output: str | None) -> str:
    folder, name = os.path.split(path)
    stem = f"{split_name(name)[0]}_{clean(pipeline.name)}"
    if output is None or output == "-":
        return os.path.join(folder, stem)
    if output.lower().endswith(".png") and not os.path.isdir(output):
        return output[:-4]
    return os.path.join(output, stem)
