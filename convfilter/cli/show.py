"""What --show does: the pictures written are drawn in the terminal that standard error is."""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence

from convfilter.errors import UsageError
from convfilter.run.options import Options

MOST_COLUMNS = 120


def check_show(options: Options) -> None:
    """Return if what is written can be drawn.

    Raises:
        UsageError: it is no PNG in a file.
    """
    if options.output == "-":
        raise UsageError("--show draws the files that are written, and -o - writes none; leave out one of them")
    if options.dry_run:
        raise UsageError("--show draws what is written, and --dry-run writes nothing; leave out one of them")
    if options.suffix != ".png":
        raise UsageError(f"--show draws PNGs, and {options.suffix[1:]} is to be written; leave out one of them")


class Terminal:
    """The terminal that pictures are drawn in; ``why_not`` says why none are, where that is so."""

    def __init__(self) -> None:
        self.protocol: str | None = None
        self.why_not = ""
        if sys.stderr is None or not sys.stderr.isatty():
            self.why_not = "standard error is no terminal"
            return
        from convfilter.figures.terminal import ask_for_sixel, choose_protocol

        self.protocol = choose_protocol(os.environ)
        if self.protocol not in ("kitty", "iTerm2") and os.environ.get("TERM") != "dumb":
            self.protocol = choose_protocol(os.environ, has_sixel=ask_for_sixel())
        if self.protocol is None:
            has_colours = not os.environ.get("NO_COLOR")
            self.why_not = (
                "this terminal draws no pictures" if has_colours else "NO_COLOR is set, and they need colours"
            )

    def show(self, paths: Sequence[str], say: Callable[[str], None]) -> None:
        """Draw PNG files side by side; ``say`` writes lines to the terminal. One that is not there is passed over."""
        if self.protocol is None or not paths:
            return
        from PIL import Image

        from convfilter.figures.terminal import draw, join

        columns, lines = shutil.get_terminal_size()
        columns = min(columns, MOST_COLUMNS)
        images = []
        for path in paths:
            with contextlib.suppress(OSError), Image.open(path) as image:
                shown = image.point(lambda level: level / 256).convert("L") if image.mode[:1] == "I" else image
                images.append(shown.convert("RGB" if shown.mode == "RGB" else "L"))
        all_colours = os.environ.get("COLORTERM") in ("truecolor", "24bit")
        for image in join(images, columns):
            say(draw(image, self.protocol, columns, max(4, lines - 3), all_colours=all_colours))
