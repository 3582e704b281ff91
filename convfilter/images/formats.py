"""Tells picture formats apart by their first bytes."""

import re
from collections.abc import Callable
from pathlib import PurePath

HEAD = 64  # bytes that identify() wants to see

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".tif", ".tiff", ".gif", ".webp", ".bmp", ".dib"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm", ".avif", ".jp2", ".j2k", ".qoi", ".dds", ".ico", ".sgi", ".pcx", ".tga"),
    ".psd",
    *(".heic", ".heif", ".hif", ".jxl"),  # which cannot be read here: that is said of each
)
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"II*\0", b"MM\0*", b"RIFF", b"qoif", b"DDS ")
_DIB_SIZES = (12, 40, 52, 56, 64, 108, 124)
_ISO_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIC picture"),
    **dict.fromkeys((b"mif1", b"mif2", b"msf1"), "HEIF picture"),
    b"qt  ": "film", b"isom": "film", b"mp41": "film", b"mp42": "film", b"M4V ": "film",
}  # fmt: skip
_FOREIGN = (
    (rb"%PDF-", "PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript file"),
    (rb"8BPS\x00\x02", "large Photoshop document"),
    (rb"\s*<(\?xml|svg)", "SVG or XML file"),
    (rb"(?i)\s*<(!doctype html|html|head)", "web page"),
    (rb"\xff\n|\0\0\0\x0cJXL ", "JPEG XL picture"),
    (rb"version https://git-lfs", "pointer of Git LFS"),
    (rb"PK\x03\x04|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf", "compressed archive"),
)


def identify(head: bytes, suffix: str = "") -> str | None:
    """Return the name of the picture format that begins with ``head``, or None where it is no picture.

    Names are Pillow's (``PNG``, ``JPEG``, ``TIFF``, ...). ``head`` is the first 64 bytes of the file, or all of a
    shorter one. Three formats have no signature worth the name (``TGA``, ``PCX``, ``DIB``): they are recognised only
    where the suffix says so as well, so that other files are not taken for pictures. A PNG whose signature is damaged
    (a file sent as text) is still a PNG, and a broken one.

    >>> identify(b"GIF89a"), identify(b"Dear all,"), identify(b"P5 640 480 255 ")
    ('GIF', None, 'PPM')
    """
    return next((name for name, (_, test) in _FORMATS.items() if test(head, suffix.lower())), None)


def begins_picture(head: bytes, suffix: str) -> bool:
    """Return whether a file in a folder that begins so is a picture, or by its suffix is said to be one.

    >>> begins_picture(b"GIF89a", ""), begins_picture(b"<html>", ".gif"), begins_picture(b"<html>", ".html")
    (True, True, False)
    """
    return suffix.lower() in SUFFIXES or identify(head, suffix) is not None


def is_cut_off(head: bytes) -> bool:
    """Return whether a file holds no more than a copy that was interrupted leaves: nothing, zeros, half a signature.

    >>> is_cut_off(b""), is_cut_off(bytes(64)), is_cut_off(b"\\x89PN"), is_cut_off(b"Dear")
    (True, True, True, False)
    """
    return not head.strip(b"\0") or any(signature.startswith(head) for signature in _SIGNATURES)


def plugin(name: str) -> str:
    """Return the name of the Pillow module that reads the format.

    >>> plugin("PNG")
    'PngImagePlugin'
    """
    return _FORMATS[name][0]


def describe_foreign(head: bytes) -> str | None:
    """Return what a file is that is no picture we read, in two words, or None where that cannot be told.

    >>> describe_foreign(b"%PDF-1.7")
    'PDF document'
    """
    if head[4:8] == b"ftyp":
        return _ISO_BRANDS.get(head[8:12])
    return next((words for pattern, words in _FOREIGN if re.match(pattern, head)), None)


def suffix_of(path: str) -> str:
    """Return the path's suffix in lower case, with its dot.

    >>> suffix_of("photos/A.JPG")
    '.jpg'
    """
    return PurePath(path).suffix.lower()


def _starts(*signatures: bytes) -> Callable[[bytes, str], bool]:
    return lambda head, suffix: head.startswith(signatures)


def _is_png(head: bytes, suffix: str) -> bool:
    return head.startswith(b"\x89PNG\r\n\x1a\n") or b"\0\0\0\rIHDR" in head[4:20]


def _is_bmp(head: bytes, suffix: str) -> bool:
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _DIB_SIZES


def _is_dib(head: bytes, suffix: str) -> bool:
    return suffix == ".dib" and int.from_bytes(head[:4], "little") in _DIB_SIZES


def _is_webp(head: bytes, suffix: str) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def _is_pnm(head: bytes, suffix: str) -> bool:
    return re.match(rb"P([1-6]\s+[#\d]|f\s+\d)", head) is not None


def _is_avif(head: bytes, suffix: str) -> bool:
    brands = head[8 : int.from_bytes(head[:4], "big")]
    return head[4:8] == b"ftyp" and (b"avif" in brands or b"avis" in brands)


def _is_ico(head: bytes, suffix: str) -> bool:
    count, offset = int.from_bytes(head[4:6], "little"), int.from_bytes(head[18:22], "little")
    return head[:4] == b"\0\0\1\0" and 0 < count <= 256 and head[9:10] == b"\0" and offset >= 6 + 16 * count


def _is_sgi(head: bytes, suffix: str) -> bool:
    return re.match(rb"\x01\xda[\x00\x01][\x01\x02]\x00[\x01-\x03]", head) is not None


def _is_pcx(head: bytes, suffix: str) -> bool:
    return suffix == ".pcx" and re.match(rb"\n[\x00\x02\x03\x05]\x01[\x01\x02\x04\x08]", head) is not None


def _is_tga(head: bytes, suffix: str) -> bool:
    named = suffix in (".tga", ".targa", ".icb", ".vda", ".vst")
    sane = re.match(rb"(?s).[\x00\x01][\x01-\x03\x09-\x0b].{13}[\x01\x08\x0f\x10\x18\x20]", head)
    return named and sane is not None


# Only formats that Pillow reads by itself: never EPS, WMF and others that start a program or need a plug-in.
_FORMATS: dict[str, tuple[str, Callable[[bytes, str], bool]]] = {
    "PNG": ("PngImagePlugin", _is_png),
    "JPEG": ("JpegImagePlugin", _starts(b"\xff\xd8\xff")),  # MPO too: it begins as a JPEG
    "TIFF": ("TiffImagePlugin", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    "GIF": ("GifImagePlugin", _starts(b"GIF87a", b"GIF89a")),
    "WEBP": ("WebPImagePlugin", _is_webp),
    "BMP": ("BmpImagePlugin", _is_bmp),
    "PPM": ("PpmImagePlugin", _is_pnm),
    "AVIF": ("AvifImagePlugin", _is_avif),
    "JPEG2000": ("Jpeg2KImagePlugin", _starts(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")),
    "PSD": ("PsdImagePlugin", _starts(b"8BPS\0\1")),
    "QOI": ("QoiImagePlugin", _starts(b"qoif")),
    "DDS": ("DdsImagePlugin", _starts(b"DDS ")),
    "ICO": ("IcoImagePlugin", _is_ico),
    "SGI": ("SgiImagePlugin", _is_sgi),
    "DIB": ("BmpImagePlugin", _is_dib),
    "PCX": ("PcxImagePlugin", _is_pcx),
    "TGA": ("TgaImagePlugin", _is_tga),
}
