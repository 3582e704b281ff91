import io
import shutil
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from convfilter.errors import InputError
from convfilter.images import deflate
from convfilter.images.png import BLACK, BLOCK, SIGNATURE, WHITE, read_floats, read_text, write_png

NOISE = np.random.default_rng(0)


def encode(pixels, *, cut=None, **options):
    """Encode a picture given in bands of ``cut`` rows."""
    cut = cut or len(pixels)
    file = io.BytesIO()
    bands = (pixels[row : row + cut] for row in range(0, len(pixels), cut))
    bits, channels = pixels.dtype.itemsize * 8, 1 if pixels.ndim == 2 else 3
    write_png(file, bands, pixels.shape[1], pixels.shape[0], bits=bits, channels=channels, **options)
    return file.getvalue()


def chunks(data):
    """Yield (kind, content) of a PNG, its signature and every checksum verified."""
    assert data[:8] == SIGNATURE
    at = 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        assert zlib.crc32(body) == int.from_bytes(data[at + 8 + length : at + 12 + length], "big")
        yield body[:4], body[4:]
        at += 12 + length


def decode(data):
    """Decode by the letter of the specification, pixel by pixel, without any code of the encoder."""
    parts = list(chunks(data))
    (kind, header), (end, nothing) = parts[0], parts[-1]
    assert (kind, end, nothing) == (b"IHDR", b"IEND", b"")
    width, height = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    bits, color = header[8], header[9]
    pixel = {0: 1, 2: 3}[color] * bits // 8
    raw = zlib.decompress(b"".join(content for kind, content in parts if kind == b"IDAT"))
    wide = width * pixel
    assert len(raw) == height * (1 + wide)
    above, rows = bytes(wide), []
    for y in range(height):
        row = bytearray(raw[y * (wide + 1) + 1 : (y + 1) * (wide + 1)])
        method = raw[y * (wide + 1)]
        for x in range(wide):
            a = row[x - pixel] if x >= pixel else 0
            b = above[x]
            c = above[x - pixel] if x >= pixel else 0
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x] = (row[x] + (0, a, b, (a + b) // 2, nearest)[method]) % 256
        above = bytes(row)
        rows.append(above)
    values = np.frombuffer(b"".join(rows), np.uint8 if bits == 8 else ">u2")
    return values.reshape((height, width) if color == 0 else (height, width, 3))


def filters(data):
    """Return the numbers of the filters a picture's rows are under."""
    header = next(content for kind, content in chunks(data) if kind == b"IHDR")
    wide = int.from_bytes(header[:4], "big") * {0: 1, 2: 3}[header[9]] * header[8] // 8
    raw = zlib.decompress(b"".join(content for kind, content in chunks(data) if kind == b"IDAT"))
    return set(raw[:: wide + 1])


def ramp(height, width, dtype=np.uint8):
    top = np.iinfo(dtype).max
    rows, columns = np.mgrid[:height, :width]
    return ((rows * 7 + columns * 3) % (top + 1)).astype(dtype)


PICTURES = {
    "1x1": np.full((1, 1), 7, np.uint8),
    "1x300": ramp(300, 1),
    "300x1": ramp(1, 300),
    "odd": ramp(37, 53),
    "noise": NOISE.integers(0, 256, (64, 64), dtype=np.uint8),
    "two tones": np.kron(NOISE.integers(0, 2, (8, 8)), np.full((8, 8), 255)).astype(np.uint8),
    "flat": np.zeros((40, 90), np.uint8),
    "16 bits": NOISE.integers(0, 65536, (31, 17)).astype(np.uint16),
    "16-bit ramp": ramp(40, 40, np.uint16) * 256 + 1,
    "color": NOISE.integers(0, 256, (20, 33, 3), dtype=np.uint8),
    "color ramp": np.stack([ramp(30, 30), ramp(30, 30) + 9, ramp(30, 30)[::-1]], axis=-1),
    "color 1x1": np.full((1, 1, 3), (1, 2, 3), np.uint8),
}


@pytest.mark.parametrize("level", [None, 0, 1, 6, 9])
@pytest.mark.parametrize("name", PICTURES)
def test_every_decoder_gives_the_pixels_back(name, level):
    pixels = PICTURES[name]
    data = encode(pixels, level=level)
    assert np.array_equal(decode(data), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


@pytest.mark.parametrize("name", PICTURES)
def test_opencv_gives_the_pixels_back(name):
    import cv2

    pixels = PICTURES[name]
    read = cv2.imdecode(np.frombuffer(encode(pixels), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(read if pixels.ndim == 2 else read[..., ::-1], pixels)


def test_big_endian_sixteen_bits():
    data = encode(np.array([[0x0102, 0xFFFE]], np.uint16), level=0)
    raw = zlib.decompress(b"".join(content for kind, content in chunks(data) if kind == b"IDAT"))
    assert raw == bytes([0, 1, 2, 0xFF, 0xFE])


def test_sixteen_bits_of_either_byte_order_give_the_same_file():
    pixels = PICTURES["16 bits"]
    assert encode(pixels.astype(">u2")) == encode(pixels.astype("<u2"))


@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1), (3, BLOCK + 5)], ids=str)
def test_long_pictures(shape):
    pixels = ramp(*shape)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(pixels)))), pixels)


BIG = ramp(2300, 1000) ^ (NOISE.integers(0, 9, (2300, 1000), dtype=np.uint8) // 8)


@pytest.mark.parametrize("cut", [1, 7, 999, 1048, 2300])
@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_depend_on_neither_bands_nor_workers(cut, workers):
    data = encode(BIG, cut=cut, workers=workers)
    assert data == encode(BIG)
    assert sum(kind == b"IDAT" for kind, _ in chunks(data)) == 3, "blocks of at most a megabyte"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), BIG)


def test_a_band_may_be_used_again():
    def bands():
        buffer = np.empty((100, 1000), np.uint8)
        for row in range(0, 2300, 100):
            buffer[:] = BIG[row : row + 100]
            yield buffer

    file = io.BytesIO()
    write_png(file, bands(), 1000, 2300, workers=2)
    assert file.getvalue() == encode(BIG)


def test_rows_are_taken_as_they_are_written():
    asked = []

    class Disk(io.BytesIO):
        def write(self, data):
            if data[4:8] == b"IDAT":
                asked.append(len(taken))
            return super().write(data)

    taken = []

    def bands():
        for row in range(0, 23_000, 100):
            taken.append(row)
            yield BIG[:100]

    write_png(Disk(), bands(), 1000, 23_000, workers=2)
    assert asked[0] <= 60, "of 230 bands no more are held than six blocks of 10.48"


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([np.zeros((2, 3), np.uint8)], {}, "2 rows where the height is 3"),
        ([np.zeros((4, 3), np.uint8)], {}, "more rows than the height of 3"),
        ([np.zeros((3, 4), np.uint8)], {}, "expected"),
        ([np.zeros((3, 3), np.float32)], {}, "expected"),
        ([np.zeros((3, 3), np.int8)], {}, "expected"),
        ([np.zeros((3, 3), np.uint8)], {"bits": 16}, "expected"),
        ([np.zeros((3, 3), np.uint8)], {"channels": 3}, "expected"),
        ([], {"bits": 16, "channels": 2}, "16 bits and 2 channels"),
        ([], {"level": 10}, "0 to 9"),
        ([np.zeros((3, 3), np.uint8)], {"text": {"": "x"}}, "text key ''"),
        ([np.zeros((3, 3), np.uint8)], {"text": {"a\nb": "x"}}, "text key"),
        ([np.zeros((3, 3), np.uint8)], {"text": {"a  b": "x"}}, "text key"),
        ([np.zeros((3, 3), np.uint8)], {"text": {"é" * 80: "x"}}, "text key"),
        ([np.zeros((3, 3), np.uint8)], {"text": {"日": "x"}}, "text key"),
    ],
)
def test_what_does_not_fit_is_refused(rows, options, reason):
    with pytest.raises(ValueError, match=reason):
        write_png(io.BytesIO(), rows, 3, 3, **options)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_the_rows_comes_through(workers):
    def bands():
        yield BIG[:1500]
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        write_png(io.BytesIO(), bands(), 1000, 2300, workers=workers)


TEXTS = {
    "plain": "Conv2d(1, 2, 5) | ReLU",
    "empty": "",
    "Latin-1": "café ÿ\xa0",
    "lines": "edge\n| ReLU\n",
    "Windows lines": "edge\r\n| ReLU",
    "beyond the BMP": "日本 😀 𝒳",
    "control": "a\x1b[31mred\x07\x7f\x80\x9f",
    "right to left": "\u202eevil\u2066",
    "soft hyphen": "a\xadb",
    "long": "0.5, -1e-3\n" * 1000,
    "long, not Latin": "日, " * 1000,
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts_come_back(name):
    text = {"Software": "convfilter", "convfilter:pipeline": TEXTS[name], "Ende é": "!"}
    data = encode(np.zeros((2, 2), np.uint8), text=text)
    assert read_text(io.BytesIO(data)) == text
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.text == text
    kind = {key.partition(b"\0")[0]: kind for kind, key in chunks(data)}[b"convfilter:pipeline"]
    latin = all(c == "\n" or (c.isprintable() and c < "\u0100") or c in "\xa0\xad" for c in TEXTS[name])
    assert kind == (b"iTXt" if not latin else b"zTXt" if len(TEXTS[name]) > 1024 else b"tEXt")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a\0b", "a\ufffdb"),
        ("name \udcff.png", "name \ufffd.png"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        ("x" * 1_000_001, "x" * 1_000_000),
        ("日" * 333_334, "日" * 333_333),
    ],
    ids=["NUL", "a file name's byte", "surrogates", "cut", "cut between characters"],
)
def test_what_no_text_chunk_can_hold(given, read):
    data = encode(np.zeros((2, 2), np.uint8), text={"k": given})
    assert read_text(io.BytesIO(data)) == {"k": read}
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.text == {"k": read}


def test_texts_that_pillow_wrote(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("a", "plain")
    info.add_text("b", "packed é" * 9, zip=True)
    info.add_itxt("c", "日本", "ja", "かぎ")
    info.add_itxt("d", "日本" * 99, zip=True)
    Image.new("P", (3, 3)).save(tmp_path / "a.png", pnginfo=info)
    assert read_text(tmp_path / "a.png") == {"a": "plain", "b": "packed é" * 9, "c": "日本", "d": "日本" * 99}
    assert read_text(str(tmp_path / "a.png"))["a"] == "plain"


def png_of(*parts):
    """Build a file of (kind, content) chunks with right checksums."""
    return SIGNATURE + b"".join(
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in parts
    )


BOMB = zlib.compress(bytes(1 << 25), 9)
GOOD = encode(np.zeros((2, 2), np.uint8), text={"k": "value"})


HEAD, TAIL = (b"IHDR", b"\0\0\0\2\0\0\0\2\10\0\0\0\0"), (b"IDAT", b"")


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE,
        GOOD[:45],
        GOOD.replace(b"value", b"velue"),
        SIGNATURE + b"\xff\xff\xff\xfftEXtk\0",
        png_of(HEAD) + b"\0\xff\xff\xfftEXtk\0",
        png_of(HEAD, (b"zTXt", b"k\0\0" + BOMB), TAIL),
        png_of(HEAD, (b"iTXt", b"k\0\1\0\0\0" + BOMB), TAIL),
        png_of(HEAD, *[(b"tEXt", b"k\0" + bytes(1 << 24))] * 5, TAIL),
    ],
    ids=["nothing", "cut", "changed", "no length", "too long", "packed", "packed Unicode", "too many"],
)
def test_broken_files(data):
    with pytest.raises(InputError, match=r"damaged|truncated"):
        read_text(io.BytesIO(data))


@pytest.mark.parametrize("data", [b"", b"GIF89a"])
def test_what_is_no_png(data):
    with pytest.raises(InputError, match="not a PNG"):
        read_text(io.BytesIO(data))


@pytest.mark.parametrize(
    ("parts", "texts"),
    [
        ([(b"tEXt", b"only a key")], {"only a key": ""}),
        ([(b"tEXt", b"k\0a"), (b"tEXt", b"k\0b")], {"k": "b"}),
        ([(b"gAMA", b"\0\0\1\0"), (b"pHYs", b"\0\0\0\1\0\0\0\1\1"), (b"tEXt", b"k\0v")], {"k": "v"}),
        ([(b"zTXt", b"k\0\0junk"), (b"tEXt", b"l\0v")], {"k": "", "l": "v"}),
    ],
)
def test_texts_are_read_among_other_chunks_and_as_far_as_they_go(parts, texts):
    assert read_text(io.BytesIO(png_of(HEAD, *parts, TAIL))) == texts


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("black", "white"), [(-612.5, 2290.25), (0.0, 255.0), (1e-6, 3e-6), (5.0, -5.0), (7.0, 7.0)])
def test_floats_come_back_within_half_a_level(bits, black, white, tmp_path):
    values = np.linspace(min(black, white), max(black, white), 35, dtype=np.float32).reshape(5, 7)
    levels = 2**bits - 1
    scaled = (values.astype(float) - black) * (levels / (white - black) if white != black else 0)
    pixels = np.rint(scaled).astype(np.uint8 if bits == 8 else np.uint16)
    text = {BLACK: repr(black), WHITE: repr(white)}
    (tmp_path / "a.png").write_bytes(encode(pixels, text=text))
    floats, texts = read_floats(tmp_path / "a.png")
    assert texts == text
    assert (floats.dtype, floats.shape) == (np.float32, (5, 7))
    half = abs(white - black) / levels / 2
    assert abs(floats - values).max() <= half * 1.02


@pytest.mark.parametrize("text", [{}, {BLACK: "0.0"}, {BLACK: "0.0", WHITE: "bright"}])
def test_floats_need_both_values(text):
    with pytest.raises(InputError, match="black and white"):
        read_floats(io.BytesIO(encode(np.zeros((2, 2), np.uint8), text=text)))


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_text(tmp_path / "none.png")


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
def test_pngcheck(tmp_path):
    for number, pixels in enumerate([*PICTURES.values(), BIG]):
        (tmp_path / f"{number}.png").write_bytes(encode(pixels, text=TEXTS))
    checked = subprocess.run(["pngcheck", *sorted(tmp_path.glob("*.png"))], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("OK:") == len(PICTURES) + 1


def test_every_filter_is_used_where_it_helps():
    steps = NOISE.integers(0, 3, (200, 256), dtype=np.uint8)
    assert filters(encode(steps.cumsum(0, np.uint8))) == {deflate.UP}
    assert filters(encode(steps.cumsum(1, np.uint8))) == {deflate.SUB}
    assert filters(encode(NOISE.choice(np.array([0, 9, 77, 200], np.uint8), (99, 99)))) == {deflate.NONE}


def test_each_level_is_at_most_as_large_as_pillow_at_it():
    rows, columns = np.mgrid[:200, :300]
    waves = 127 + 60 * np.sin(rows / 9) * np.cos(columns / 7) + NOISE.normal(0, 2, (200, 300))
    pixels = waves.astype(np.uint8)
    sizes = {level: len(encode(pixels, level=level)) for level in (None, 1, 6, 9)}
    for level in (1, 6, 9):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png", compress_level=level)
        assert sizes[level] <= file.tell()
    assert sizes[9] <= sizes[6] <= sizes[1] <= sizes[None] < pixels.size


def test_without_zlib_ng_the_pixels_are_the_same(tmp_path):
    np.save(tmp_path / "pixels.npy", BIG)
    script = """
import sys
sys.modules["zlib_ng"] = None  # as where it is not installed
import numpy as np
import zlib

from convfilter.images import deflate
from convfilter.images import png
pixels = np.load("pixels.npy")
with open("a.png", "wb") as file:
    png.write_png(file, [pixels], 1000, 2300, text={"k": "v"})
assert deflate.fast is zlib and png.read_text("a.png") == {"k": "v"}
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), BIG)
