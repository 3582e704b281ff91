"""The letters of figures: how wide a text is, how it is cut or broken into lines, and its pixels."""

from bisect import bisect_right
from contextlib import suppress
from functools import cache

from PIL import Image, ImageDraw, ImageFont

from convfilter.errors import escape

FINER = 3  # text is drawn this many times as large, then reduced: small letters keep their spacing
OWN_LETTERS = frozenset(map(chr, range(32, 127))) | {"·", "…"}  # those of Pillow's own font
FONTS = ("DejaVuSans.ttf", "segoeui.ttf", "Arial Unicode.ttf", "NotoSansCJK-Regular.ttc", "msyh.ttc", "msgothic.ttc")
LONGEST = 1000  # letters of a text that can be seen


def measure(text: str, size: int) -> float:
    """Return how many pixels wide a text is in letters of ``size`` pixels."""
    return _font(size, text).getlength(text) / FINER


def cut(text: str, size: int, width: float) -> str:
    """Return a text no wider than ``width`` pixels: one that is too long ends in an ellipsis.

    >>> cut("a short text", 12, 200), cut("a text that is too long", 12, 60)
    ('a short text', 'a text tha…')
    """
    text = escape(text[:LONGEST])
    if measure(text, size) <= width:
        return text
    fitting = bisect_right(range(len(text)), width, key=lambda end: measure(text[:end] + "…", size))
    return text[: max(0, fitting - 1)].rstrip() + "…"


def break_lines(text: str, size: int, width: float, most: int) -> list[str]:
    """Return a text in at most ``most`` lines no wider than ``width`` pixels, broken at spaces.

    What does not fit ends in an ellipsis. A line begins with what joins it to the one before, such as ``|``.

    >>> break_lines("Conv2d(1, 8, 3) | ReLU() | MaxPool2d(2)", 12, 160, 3)
    ['Conv2d(1, 8, 3) | ReLU()', '| MaxPool2d(2)']
    """
    words = escape(text[:LONGEST]).replace("| ", "|\u00a0").split(" ")
    lines = [words[0]]
    for at, word in enumerate(words[1:], 1):
        if measure(longer := f"{lines[-1]} {word}", size) <= width:
            lines[-1] = longer
        elif len(lines) == most:
            lines[-1] = " ".join([lines[-1], *words[at:]])
            break
        else:
            lines.append(word)
    return [cut(line.replace("\u00a0", " "), size, width) for line in lines]


def draw(text: str, size: int) -> Image.Image:
    """Return a line of text as a mask (mode L), twice as high as ``size``; the letters' box begins at its top left."""
    font = _font(size, text)
    wide = max(1, -(-int(font.getlength(text) + 2 * FINER) // FINER))
    mask = Image.new("L", (wide * FINER, 2 * size * FINER))
    ImageDraw.Draw(mask).text((0, round(1.1 * size * FINER)), text, fill=255, font=font, anchor="ls")
    return mask.reduce(FINER)


def _font(size: int, text: str) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font, or where it lacks some of the letters, that of the machine's which lacks fewest."""
    if set(text) <= OWN_LETTERS:
        return _own_font(size)
    return min((_own_font(size), *_other_fonts(size)), key=lambda font: _lacking(font, text))


@cache
def _own_font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * FINER)


@cache
def _other_fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    fonts = []
    for name in FONTS:
        with suppress(OSError):
            fonts.append(ImageFont.truetype(name, size * FINER))
    return fonts


def _lacking(font: ImageFont.FreeTypeFont, text: str) -> int:
    """Count the letters for which the font draws what it draws for none."""
    nothing = bytes(font.getmask("\uffff"))
    return sum(bytes(font.getmask(letter)) == nothing for letter in set(text))
