import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from convfilter.figures.terminal import BLOCKS, ITERM, KITTY, SIXEL, choose_protocol, draw, join

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 300), dtype=np.uint8))
FOUR = Image.fromarray(np.array([[0, 255], [100, 200]], np.uint8))


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, KITTY),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app", "NO_COLOR": "1"}, ITERM),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, ITERM),
        ({"TERM": "screen", "TMUX": "x", "LC_TERMINAL": "iTerm2"}, BLOCKS),
        ({"TERM": "xterm-256color"}, BLOCKS),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, None),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, BLOCKS),
        ({"TERM": "dumb"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_protocol_is_the_terminal_s(environ, protocol):
    assert choose_protocol(environ) == protocol
    assert choose_protocol(environ, has_sixel=True) in (protocol, SIXEL)


def test_a_terminal_that_draws_sixels_gets_them_in_any_colours():
    assert choose_protocol({"TERM": "foot", "NO_COLOR": "1"}, has_sixel=True) == SIXEL


def test_kitty_gets_the_picture_in_pieces():
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", draw(NOISE, KITTY, 80, 40))
    assert len(pieces) > 2
    assert pieces[0][0] == "a=T,f=100,q=2,m=1"
    assert [keys for keys, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    assert all(len(data) == 4096 for _, data in pieces[:-1])
    picture = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces))))
    assert np.array_equal(np.asarray(picture), np.asarray(NOISE))


def test_iterm_gets_the_picture_and_its_size():
    size, data = re.fullmatch(r"\x1b]1337;File=inline=1;size=(\d+):(.*)\a", draw(NOISE, ITERM, 80, 40)).groups()
    data = base64.b64decode(data)
    assert len(data) == int(size)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), np.asarray(NOISE))


def read_sixel(text):
    """Return the picture that a terminal would draw, (H, W, 3)."""
    width, height, body = re.fullmatch(r'\x1bPq"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL).groups()
    pixels, colours = np.zeros((int(height) + 6, int(width), 3), int), {}
    x = y = colour = 0
    for number, rgb, count, char in re.findall(r"#(\d+)(?:;2;(\d+;\d+;\d+))?|(?:!(\d+))?([?-~$-])", body):
        if rgb:
            colours[int(number)] = [round(int(part) * 2.55) for part in rgb.split(";")]
        elif number:
            colour = int(number)
        elif char in "$-":
            x, y = 0, y + 6 * (char == "-")
        else:
            for bit in range(6):
                if ord(char) - 63 >> bit & 1:
                    pixels[y + bit, x : x + int(count or 1)] = colours[colour]
            x += int(count or 1)
    return pixels[: int(height)]


def test_sixels_give_the_picture_back():
    steps = Image.fromarray(np.repeat(np.arange(0, 256, 16, dtype=np.uint8), 16)[None].repeat(100, 0))
    assert np.abs(read_sixel(draw(steps, SIXEL, 80, 40))[..., 0] - np.asarray(steps)).max() <= 3
    colour = Image.new("RGB", (300, 7), (255, 0, 128))
    assert np.abs(read_sixel(draw(colour, SIXEL, 80, 40)) - (255, 0, 128)).max() <= 3


def test_half_blocks_are_the_colours_of_two_pixels():
    lines = draw(FOUR, BLOCKS, 2, 9).split("\n")
    assert lines == ["\x1b[38;2;0;0;0m\x1b[48;2;100;100;100m▀\x1b[38;2;255;255;255m\x1b[48;2;200;200;200m▀\x1b[0m"]
    grays = re.findall(r"[34]8;5;(\d+)m", draw(FOUR, BLOCKS, 2, 9, all_colours=False))
    assert grays == ["232", "241", "255", "250"]
    assert "48;5;196m" in draw(Image.new("RGB", (1, 1), (255, 0, 0)), BLOCKS, 1, 1, all_colours=False)


@pytest.mark.parametrize("size", [(1, 1), (5000, 20), (20, 5000), (512, 512)])
def test_half_blocks_stay_within_the_terminal(size):
    lines = draw(Image.new("L", size), BLOCKS, 60, 20).split("\n")
    assert len(lines) <= 20
    assert max(line.count("▀") for line in lines) <= 60


@pytest.mark.parametrize("protocol", [KITTY, ITERM])
def test_large_pictures_are_reduced_and_small_ones_enlarged(protocol):
    def size(image):
        data = re.sub(r"\x1b_G[^;]*;|\x1b\\|.*:|\a", "", draw(image, protocol, 80, 20))
        return Image.open(io.BytesIO(base64.b64decode(data))).size

    assert size(Image.new("L", (4000, 1000))) == (800, 200)
    assert size(Image.new("L", (8, 8))) == (256, 256)
    assert size(Image.new("L", (200, 200))) == (200, 200)


def test_pictures_stand_side_by_side():
    joined = join([FOUR, Image.new("RGB", (3, 5), "red"), FOUR], 80)
    assert [(image.mode, image.size) for image in joined] == [("RGB", (17, 5)), ("L", (2, 2))]
    assert joined[0].getpixel((16, 4)) == (255, 0, 0)
    assert joined[0].getpixel((1, 1)) == (200, 200, 200)
