"""The script that --code prints: which picture it reads, how it reads that, and what it calls what it writes."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING

from convfilter.errors import InputError, PipelineError, UsageError, escape
from convfilter.export.pytorch_code import Photo, write_code
from convfilter.files.paths import split_name, to_file_name
from convfilter.files.targets import check_folder, find_single_file, find_target
from convfilter.language.pipeline import Pipeline
from convfilter.run.options import DEFAULTS, Options, flags
from convfilter.run.plan import check_names

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 274  # the EXIF tag
FOLLOWED = {  # what a script does as the program does
    "background", "bits", "channels", "gray_weights", "mean", "mode", "norm", "normalize", "output", "prefix",
    "recombine", "seed", "std", "until", "vmax", "vmin", "weights", "white",
}  # fmt: skip
NO_MATTER = {  # what changes none of one picture's pixels
    "compress", "dry_run", "exact", "exclude", "fail_fast", "include", "jobs", "max_memory", "max_pixels", "metadata",
    "recursive",
}  # fmt: skip
ALIKE = {"format": "png", "frames": 0, "scale": "channel"}  # of other options, what comes to the same as the default


def write_script(pipeline: Pipeline, *pictures: str, options: Options) -> str:
    """Return the pipeline as a script that writes, of one picture, the pixels that the program writes.

    One of ``pictures`` is looked at, where it is a file, for what the script must do to read it; without one the script
    reads photo.jpg. Outputs lie beside the picture unless the options say otherwise.

    Raises:
        UsageError: a script could not follow an option, or there are several pictures.
        InputError: the picture cannot be read, or not by Pillow alone.

    >>> from convfilter import parse
    >>> write_script(parse("edge | ReLU"), "of/holes.png", options=Options()).splitlines()[-1]
    'Image.fromarray(pixels).save("of/holes_edge-ReLU.png")'
    """
    if len(pictures) > 1:
        raise UsageError(f"--code prints a script for one picture, and {len(pictures)} are named; leave out the others")
    picture = pictures[0] if pictures else None
    output = options.output
    if output == "-":
        raise UsageError("--code: the script writes files; leave out -o -, or name a folder or a file")
    for option in sorted(DEFAULTS.keys() - FOLLOWED - NO_MATTER):
        if getattr(options, option) not in (DEFAULTS[option], ALIKE.get(option, DEFAULTS[option])):
            flag = flags(option)[-1]
            raise UsageError(f"--code prints a script for single PNGs of one picture; leave out {flag}")
    options.check(pipeline)
    if options.recombine and options.bits == 16:
        raise UsageError(
            "--code: Pillow, which the script writes PNGs with, has no colour of 16 bits a channel; leave out --bits 16"
        )
    if options.suffix != ".png":
        raise UsageError(f"-o {escape(output)}: --code prints a script for PNGs; give it the suffix .png")
    check_names(pipeline, options, several=False)
    file = find_single_file(options.output, options.suffix)
    folder = os.path.dirname(file) if file else output
    if folder:
        check_folder(folder)
    if file:
        find_target(file)
    if picture and os.path.isfile(picture):
        photo = _look_at(picture, pipeline, options)
        count = 1 if options.recombine else pipeline.channels(options.channels_in)
        for path in [file] if file else _outputs(_name(picture, pipeline, output), count):
            if os.path.exists(path) and os.path.samefile(path, picture):
                raise UsageError(f"{escape(path)}: is the input, and no input is replaced; choose another name with -o")
    else:
        path = picture if picture and picture != "-" and not os.path.isdir(picture) else Photo.path
        photo = Photo(path, colour=options.mode == "RGB")
    return write_code(
        pipeline,
        photo=photo,
        output=_name(photo.path, pipeline, output),
        file=file,
        folder="" if not folder or os.path.isdir(folder) else folder,
        seed=options.seed,
        inputs=options.inputs,
        norm=options.levels,
        bits=options.bits,
        channels=options.channels,
        recombine=options.recombine,
    )


def _look_at(path: str, pipeline: Pipeline, options: Options) -> Photo:
    import numpy as np
    from PIL import Image

    from convfilter.images.decoding import without_limits
    from convfilter.images.reader import read_header, read_pictures

    try:
        header = read_header(path)
        pipeline.shapes((options.channels_in, header.height, header.width))
        picture = next(read_pictures(path, background=options.background, mode=options.mode))
    except InputError as error:
        raise InputError(f"{escape(path)}: {error}") from None
    except PipelineError as error:
        raise InputError(f"{escape(path)}: {error.reason}") from None
    try:
        with without_limits(), Image.open(path) as image:
            turned, tiff = image.getexif().get(ORIENTATION, 1) != 1, image.format == "TIFF"
            colour, transparent = options.mode == "RGB", image.has_transparency_data
            pixels = picture.shape[1] * picture.shape[2]
            photo = Photo(
                path, header.mode, picture.white, colour, transparent, turned, tiff, options.background, pixels
            )
            values = picture.values
            if colour:
                values = values[0] if photo.has_one_channel else np.moveaxis(values, 0, -1)
            alike = np.array_equal(np.asarray(_read_as_scripts_do(photo)), values)
    except (OSError, ValueError, SyntaxError):  # what Pillow says of pictures that it cannot read
        alike = False
    if not alike:
        raise InputError(
            f"{escape(path)}: Pillow alone, which a script has, reads this kind of {header.format} otherwise than "
            "convfilter does; save it as a PNG of 8 or 16 bits without transparency"
        )
    return photo


def _read_as_scripts_do(photo: Photo) -> "Image.Image":
    """Return the picture as the statements of ``pytorch_code.read_picture`` read it."""
    from PIL import Image, ImageOps

    picture = Image.open(io.BytesIO(Path(photo.path).read_bytes()) if photo.turned and photo.tiff else photo.path)
    if photo.turned and not photo.tiff:
        picture = ImageOps.exif_transpose(picture)
    if photo.has_one_channel:
        return picture
    if photo.transparent:
        colours = picture.convert("RGBA")
        picture = Image.new("RGB", colours.size, photo.background)
        picture.paste(colours.convert("RGB"), mask=colours.getchannel("A"))
    if photo.colour or photo.mode == "LAB":
        picture = picture.convert("RGB")
    return picture if photo.colour else picture.convert("L")


def _outputs(stem: str, count: int) -> list[str]:
    """The files that a script may write, of all channels."""
    marks = [""] if count == 1 else [f"_{channel:0{len(str(count - 1))}}" for channel in range(count)]
    return [f"{stem}{mark}.png" for mark in marks]


def _name(path: str, pipeline: Pipeline, folder: str | None) -> str:
    beside, name = os.path.split(path)
    return os.path.join(beside if folder is None else folder, f"{split_name(name)[0]}_{to_file_name(pipeline.name)}")
