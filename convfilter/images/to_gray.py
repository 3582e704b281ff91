"""Turns a decoded Pillow picture into exact gray values, or red, green and blue ones."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from convfilter.errors import InputError, UsageError
from convfilter.numbers import show_number

_BAND = 1 << 18  # pixels converted at a time
_KEY_SCALES = {"L;2": 85, "L;4": 17}
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
_INT32_MAX = 2**31 - 1
_UINT32_MAX = 2**32 - 1


def parse_background(text: str) -> tuple[int, int, int]:
    """Return the opaque colour that a text names, as red, green and blue from 0 to 255.

    Raises UsageError where it is none.

    >>> parse_background("white"), parse_background("#102030")
    ((255, 255, 255), (16, 32, 48))
    """
    try:
        colour = ImageColor.getrgb(text)
    except (ValueError, TypeError, AttributeError):
        colour = ()
    if len(colour) != 3 and colour[3:] != (255,):
        raise UsageError(f"the background {text!r} is no opaque colour; write a name or a code: white, gray, #336699")
    return colour[:3]  # type: ignore[return-value]


def to_gray(
    image: Image.Image,
    *,
    rawmode: str = "",
    white_is_zero: bool = False,
    background: tuple[int, int, int],
    values: NDArray[np.generic] | None = None,
) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    """Return a decoded picture as gray values, with the value that means white, and what there is to say about it.

    The values are HxW, and white is what the kind of number says, not what the picture holds: uint8 255; uint16 65535,
    or 4095 for 12 bits; int32 32767 for signed 16 bits; float32 1. Only 32-bit integers, which are used for anything,
    have a white of 65535 unless one goes past it, and then their type's largest number (unsigned ones past 2**31 - 1
    come as float32). Colour of 16 bits a channel is read by its upper 8, for Pillow holds no more.

    Pictures of 8 bits a channel without transparency give Pillow's ``convert("L")`` to the last bit:
    ``(19595 R + 38470 G + 7471 B + 32768) >> 16``. Transparent ones are first laid over ``background``, each channel by
    itself: ``(alpha * colour + (255 - alpha) * background) / 255``, rounded to the nearest. ``rawmode`` is how the
    file stored a pixel, in Pillow's words, ``white_is_zero`` says that a 16-bit or float TIFF counts from white to
    black, and ``values`` is the memory that the picture lies in, where that is an array already (see ``share``).

    Raises InputError where a float is NaN or infinite.

    >>> red = Image.new("RGB", (1, 1), (255, 0, 0))
    >>> to_gray(red, background=(255, 255, 255))
    (array([[76]], dtype=uint8), 255, ())
    """
    if image.mode.startswith("I;16"):
        values = _copy(image, np.uint16) if values is None else values
        return _gray16(values, image.info.get("transparency"), rawmode, white_is_zero, background)
    if image.mode == "I":
        return _gray32(_copy(image, np.int32), rawmode)
    if image.mode == "F":
        return _gray_float(_copy(image, np.float32), white_is_zero)
    if values is not None:
        return values, 255, ()
    _scale_key(image, rawmode)
    values = np.empty(image.size[::-1], np.uint8)
    canvas = share(values)
    for top, band in _bands(image):
        canvas.paste(_gray8(band, background), (0, top))
    return values, 255, _notes8(rawmode)


def to_colour(
    image: Image.Image, *, rawmode: str = "", white_is_zero: bool = False, background: tuple[int, int, int]
) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    """Return a decoded picture as red, green and blue values, with the value that means white, and notes.

    The values are 3xHxW. Pictures of 8 bits a channel give Pillow's ``convert("RGB")``, transparent ones laid over
    ``background`` as in ``to_gray``. Gray pictures of more bits keep their precision, and their three channels are
    equal. Colour of 16 bits a channel is read by its upper 8, for Pillow holds no more.

    Raises InputError where a float is NaN or infinite.

    >>> values, white, _ = to_colour(Image.new("RGB", (1, 1), (255, 128, 0)), background=(255, 255, 255))
    >>> values.ravel().tolist(), white
    ([255, 128, 0], 255)
    """
    if image.mode.startswith("I") or image.mode == "F":
        gray, white, notes = to_gray(image, rawmode=rawmode, white_is_zero=white_is_zero, background=background)
        return np.broadcast_to(gray, (3, *gray.shape)), white, notes
    _scale_key(image, rawmode)
    values = np.empty((3, image.height, image.width), np.uint8)
    for top, band in _bands(image):
        colour = _over(band, background).convert("RGB")
        for number, channel in enumerate(values):
            share(channel).paste(colour.getchannel(number), (0, top))
    return values, 255, _notes8(rawmode)


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Cut the picture into bands, each with its top row: what is done to them takes little more memory."""
    rows = max(1, _BAND // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _copy(image: Image.Image, dtype: type) -> NDArray[np.generic]:
    values = np.empty(image.size[::-1], dtype)
    for top, band in _bands(image):
        values[top : top + band.height] = np.asarray(band)
    return values


def share(values: NDArray[np.generic]) -> Image.Image:
    """Return a Pillow picture that lies in the memory of the uint8 or uint16 array: what is drawn there is in both.

    >>> values = np.zeros((1, 2), np.uint8)
    >>> share(values).paste(7, (0, 0, 1, 1))
    >>> values
    array([[7, 0]], dtype=uint8)
    """
    mode = {1: "L", 2: "I;16"}[values.itemsize]
    image = Image.frombuffer(mode, values.shape[::-1], values, "raw", mode, 0, 1)
    image.readonly = 0
    return image


def is_transparent(image: Image.Image) -> bool:
    """Return whether the picture has an alpha channel, a transparent palette entry or a transparent colour.

    >>> is_transparent(Image.new("RGBA", (1, 1))), is_transparent(Image.new("RGB", (1, 1)))
    (True, False)
    """
    return image.mode in _ALPHA or "transparency" in image.info


def _notes8(rawmode: str) -> tuple[str, ...]:
    deep = re.fullmatch(r"(?!BGR).*;16[BLN]?", rawmode)  # BGR;16 is 5, 6 and 5 bits
    return ("16 bits a channel are read as 8, their upper half",) if deep else ()


def _over(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """The picture laid over the background where it is transparent."""
    if not is_transparent(image):
        return image
    colour = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = colour.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return colour
    image = Image.new("RGB", colour.size, background)
    image.paste(colour.convert("RGB"), mask=alpha)
    return image


def _gray8(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    image = _over(image, background)
    if image.mode == "LAB":  # Pillow has no way from LAB to L but by RGB
        image = image.convert("RGB")
    return image.convert("L")


def _scale_key(image: Image.Image, rawmode: str) -> None:
    """Give the transparent colour of a PNG the scale that its pixels have after Pillow has read them."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = (key & 255) * _KEY_SCALES.get(rawmode, 1)
    elif image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(k >> 8 if rawmode == "RGB;16B" else k & 255 for k in key)


def _gray16(
    values: NDArray[np.uint16], key: int | None, rawmode: str, white_is_zero: bool, background: tuple[int, int, int]
) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    if isinstance(key, int):
        under = Image.new("RGB", (1, 1), background).convert("L").getpixel((0, 0))
        values[values == key] = under * 257  # type: ignore[operator]
    white = 4095 if rawmode == "I;12" else 65535
    if white_is_zero:
        np.subtract(white, values, out=values)
    return values, white, ("12 bits: white is 4095",) if white == 4095 else ()


def _gray32(values: NDArray[np.int32], rawmode: str) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    if not rawmode.startswith("I;32") and "S" not in rawmode:  # a PGM of more than 8 bits, scaled by Pillow
        return values.astype(np.uint16), 65535, ()
    if rawmode.startswith("I;16"):
        return values, 32767, ("signed 16-bit numbers: white is 32767",)
    unsigned = rawmode == "I;32N"
    wide = values.view(np.uint32) if unsigned else values
    top = int(wide.max())
    white = 65535 if top <= 65535 else _UINT32_MAX if unsigned else _INT32_MAX
    if top > _INT32_MAX:
        return wide.astype(np.float32), white, (f"32-bit numbers up to {top}: white is {white}",)
    return values, white, (f"32-bit numbers up to {top}: white is {white}",)


def _gray_float(values: NDArray[np.float32], white_is_zero: bool) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    wrong = ~np.isfinite(values)
    if wrong.any():
        y, x = np.argwhere(wrong)[0]
        raise InputError(f"{wrong.sum()} of its numbers are NaN or infinite, the first at column {x}, row {y}")
    if white_is_zero:
        np.subtract(1, values, out=values)
    low, high = float(values.min()), float(values.max())
    outside = low < 0 or high > 1
    return (
        values,
        1.0,
        (f"its numbers go from {show_number(low)} to {show_number(high)}; white is 1",) if outside else (),
    )
