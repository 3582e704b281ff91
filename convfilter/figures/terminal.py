"""Pictures in a terminal, by what the terminal knows: kitty's protocol, iTerm2's, sixel, or half blocks in colours.

No small library does all four (term-image knows no sixel and textual-image no iTerm2's, and both bring others), and
each is a few lines: kitty and iTerm2 take a PNG in base64, sixel is bands of six rows, a run-length a colour, and half
blocks are the character ▀ in the colours of two pixels.
"""

import base64
import contextlib
import io
import math
import os
import re
import select
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

KITTY, ITERM, SIXEL, BLOCKS = "kitty", "iTerm2", "sixel", "half blocks"
CELL = 10, 20  # pixels of a character, about
PIECE = 4096  # bytes of base64 that kitty takes at once
COLOURS = 64  # of a sixel picture
WAIT = 0.3  # seconds for a terminal to say what it knows
LEAST = 30  # columns of one picture beside others
GAP = 12  # pixels between them


def choose_protocol(environ: Mapping[str, str], *, has_sixel: bool = False) -> str | None:
    """Return how a terminal draws pictures, None where it cannot.

    ``environ`` are its environment variables; ``has_sixel`` that it says so when asked. Half blocks need colours,
    which NO_COLOR forbids.

    >>> choose_protocol({"TERM": "xterm-kitty"}), choose_protocol({"TERM": "xterm-256color"})
    ('kitty', 'half blocks')
    >>> choose_protocol({"TERM": "xterm-256color", "NO_COLOR": "1"}), choose_protocol({"TERM": "dumb"})
    (None, None)
    """
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    if not term or term == "dumb":
        return None
    if not environ.get("TMUX"):  # which passes neither on
        if "kitty" in term or "ghostty" in term or "KITTY_WINDOW_ID" in environ or program in ("ghostty", "WezTerm"):
            return KITTY
        if program in ("iTerm.app", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
            return ITERM
    if has_sixel:
        return SIXEL
    return None if environ.get("NO_COLOR") else BLOCKS


def ask_for_sixel(path: str = "/dev/tty") -> bool:
    """Return whether the terminal, asked for its attributes, says that it draws sixels."""
    try:
        import termios
        import tty
    except ImportError:  # on Windows
        return False
    with contextlib.suppress(OSError, termios.error):
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            if os.tcgetpgrp(terminal) != os.getpgrp():  # in the background, where reading would stop this process
                return False
            before = termios.tcgetattr(terminal)
            try:
                tty.setcbreak(terminal)
                os.write(terminal, b"\x1b[c")
                answer = b""
                while b"c" not in answer and select.select([terminal], [], [], WAIT)[0]:
                    answer += os.read(terminal, 64)
            finally:
                termios.tcsetattr(terminal, termios.TCSANOW, before)
        finally:
            os.close(terminal)
        found = re.search(rb"\x1b\[\?([\d;]*)c", answer)
        return found is not None and b"4" in found[1].split(b";")[1:]
    return False


def draw(image: Image.Image, protocol: str, columns: int, rows: int, *, all_colours: bool = True) -> str:
    r"""Return what a terminal draws a picture by, in at most so many columns and rows of characters.

    ``all_colours`` is False for terminals that know 256 colours.

    >>> draw(Image.fromarray(np.array([[0], [255]], np.uint8)), BLOCKS, 1, 1)
    '\x1b[38;2;0;0;0m\x1b[48;2;255;255;255m▀\x1b[0m'
    """
    image = image if image.mode in ("L", "RGB") else image.convert("RGB")
    wide, high = (CELL[0], CELL[1]) if protocol != BLOCKS else (1, 2)
    scale = min(columns * wide / image.width, rows * high / image.height)
    if protocol != BLOCKS:
        scale = min(scale, max(1.0, 256 // max(image.size)))  # small ones are enlarged, others as large as they are
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    image = image.resize(size, Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS)
    if protocol == KITTY:
        return "".join(_kitty(image))
    if protocol == ITERM:
        data = _png(image)
        return f"\x1b]1337;File=inline=1;size={len(data)}:{base64.b64encode(data).decode()}\a"
    if protocol == SIXEL:
        return "".join(_sixel(image))
    return "\n".join(_blocks(image, all_colours))


def join(images: Sequence[Image.Image], columns: int) -> list[Image.Image]:
    """Return pictures side by side, as many in one as have 30 columns each.

    >>> [image.size for image in join([Image.new("L", (40, 40))] * 3, 80)]
    [(92, 40), (40, 40)]
    """
    most = max(1, columns // LEAST)
    rows = [images[at : at + most] for at in range(0, len(images), most)]
    joined = []
    for row in rows:
        height = max(image.height for image in row)
        mode = "RGB" if any(image.mode == "RGB" for image in row) else "L"
        strip = Image.new(mode, (sum(image.width for image in row) + GAP * (len(row) - 1), height), "gray")
        left = 0
        for image in row:
            strip.paste(image, (left, 0))
            left += image.width + GAP
        joined.append(strip)
    return joined


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _kitty(image: Image.Image) -> Iterator[str]:
    data = base64.b64encode(_png(image)).decode()
    for at in range(0, len(data), PIECE):
        first, more = "a=T,f=100,q=2," if at == 0 else "", int(at + PIECE < len(data))
        yield f"\x1b_G{first}m={more};{data[at : at + PIECE]}\x1b\\"


def _sixel(image: Image.Image) -> Iterator[str]:
    palette = image.quantize(COLOURS)
    numbers = np.asarray(palette)
    colours = (palette.getpalette() or [])[: 3 * COLOURS]
    yield f'\x1bPq"1;1;{image.width};{image.height}'
    for number in range(len(colours) // 3):
        red, green, blue = (round(100 * part / 255) for part in colours[3 * number : 3 * number + 3])
        yield f"#{number};2;{red};{green};{blue}"
    for top in range(0, image.height, 6):
        band = numbers[top : top + 6]
        for number in np.unique(band):
            bits = ((band == number) << np.arange(len(band))[:, None]).sum(axis=0)
            ends = np.flatnonzero(np.diff(bits, append=-1)) + 1
            lengths = np.diff(ends, prepend=0)
            yield f"#{number}" + "".join(f"!{n}{chr(63 + bits[end - 1])}" for end, n in zip(ends, lengths, strict=True))
            yield "$"
        yield "-"
    yield "\x1b\\"


def _blocks(image: Image.Image, all_colours: bool) -> Iterator[str]:
    pixels = np.asarray(image.convert("RGB"))
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    colour = _true_colour if all_colours else _one_of_256
    for upper, lower in zip(pixels[::2].tolist(), pixels[1::2].tolist(), strict=True):
        pairs = zip(upper, lower, strict=True)
        cells = (f"\x1b[38;{colour(top)}m\x1b[48;{colour(bottom)}m▀" for top, bottom in pairs)
        yield "".join(cells) + "\x1b[0m"


def _true_colour(colour: Sequence[int]) -> str:
    return "2;" + ";".join(map(str, colour))


def _one_of_256(colour: Sequence[int]) -> str:
    """The nearest of the terminal's 24 grays where the colour is one, else of its cube of 6x6x6."""
    red, green, blue = colour
    if red == green == blue:
        return f"5;{232 + min(23, math.floor(red / 255 * 24))}"
    return f"5;{16 + 36 * round(red / 51) + 6 * round(green / 51) + round(blue / 51)}"
