"""``convfilter demo``: the tutorial's figure of a picture that comes with the program, and what to try next."""

import os
import shlex
from collections.abc import Callable
from typing import BinaryIO, cast

from convfilter.cli.bundled import PICTURE, find_bundled
from convfilter.errors import OutputError, UsageError, escape
from convfilter.files.transaction import OutputWriter
from convfilter.language.pipeline import parse_preset
from convfilter.run.api import run_files

FIGURE = """\
{picture} is a picture of {width}x{height} pixels, and {figure} shows what the tutorial's layer makes of it:
torch.nn.Conv2d(1, 2, 5, bias=False). Its first kernel, 5x5, is an edge detector: -1 everywhere and 24 in the middle.
Its second one keeps the random numbers with which PyTorch starts every layer. So there are two channels, each of
{columns}x{rows} pixels: the window of 5x5 must lie inside the picture, and has {columns} places in a row of {width}.
"""

NEXT = (
    ("edge {picture}", "the first channel alone"),
    ("blur --sigma 3 {picture}", "another preset; 'convfilter presets' lists them"),
    ("run 'edge | ReLU | MaxPool2d(4)' {picture} --grid --steps", "three layers, and what comes out of each"),
    ("compare 'edge | MaxPool2d(8)' 'edge | AvgPool2d(8)' {picture}", "two kinds of pooling, side by side"),
    ("explain 'edge | ReLU | MaxPool2d(4)'", "how large each output is, and why"),
    ("report tutorial {picture}", "a web page with the arithmetic behind every pixel"),
    ("help language", "how a pipeline is written"),
)


def make_demo(folder: str | None, say: Callable[[str], None]) -> list[str]:
    """Write the sample picture and its figure into a folder, the current one unless given, and return their paths.

    ``say`` is told what was done, and which commands to try next.

    Raises:
        UsageError: another file has the picture's name. OutputError: one of them cannot be written; names it.
    """
    if folder and os.path.lexists(folder) and not os.path.isdir(folder):
        raise UsageError(f"demo: -o {escape(folder)}: it is a file; name a folder")
    data = find_bundled(PICTURE).read_bytes()
    picture = os.path.join(folder or "", os.path.basename(PICTURE))
    try:
        with open(picture, "rb") as file:
            is_there = file.read(len(data) + 1) == data
    except FileNotFoundError:
        with OutputWriter(no_clobber=True).transaction() as files:
            cast(BinaryIO, files.open(picture)).write(data)
            files.commit()
    except OSError as error:
        raise OutputError(f"{escape(picture)}: cannot be written: {error.strerror}") from None
    else:
        if not is_there:
            raise _taken(picture)
    [result] = run_files(parse_preset("tutorial", {}), picture, grid=True)
    if result.kind == "exists":
        raise _taken(os.path.join(folder or "", "camera_tutorial_grid.png"))
    if result.error is not None or result.shape is None:
        raise OutputError(f"{escape(picture)}: {result.error}")
    [figure] = result.outputs
    _, rows, columns = result.shape
    shown = {"picture": escape(picture), "figure": escape(figure)}
    say(FIGURE.format(**shown, width=result.width, height=result.height, rows=rows, columns=columns))
    say("\nTry next:\n")
    for command, what in NEXT:
        say(f"  convfilter {command.format(picture=shlex.quote(picture))}\n      {what}\n")
    return [picture, figure]


def _taken(path: str) -> UsageError:
    return UsageError(
        f"{escape(path)}: there is another file of this name; write into a folder: convfilter demo -o demo"
    )
