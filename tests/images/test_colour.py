"""Pictures read as red, green and blue."""

import io

import numpy as np
import pytest
from PIL import Image

from convfilter.images.reader import read_pictures

RANDOM = np.random.default_rng(7).integers(0, 256, (9, 13, 4), np.uint8)
WHITE = (255, 255, 255)


def save(image: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, kind, **options)
    file.seek(0)
    return file


def read(file: io.BytesIO, **options):
    return next(read_pictures(file, mode="RGB", **options))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP", "JPEG", "PPM"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_format_gives_pillows_colours(kind, mode):
    file = save(Image.fromarray(RANDOM[..., :3]).convert(mode), kind, **({"lossless": True} if kind == "WEBP" else {}))
    expected = np.asarray(Image.open(file).convert("RGB"))
    picture = read(file)
    assert picture.shape == (3, 9, 13) and picture.values.dtype == np.uint8 and picture.white == 255
    assert np.array_equal(picture.values.transpose(1, 2, 0), expected)


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "LAB"])
def test_other_modes_give_pillows_colours(mode):
    image = Image.fromarray(RANDOM[..., :3])
    image = Image.merge("LAB", image.split()) if mode == "LAB" else image.convert(mode)
    file = save(image, "TIFF")
    expected = np.asarray(Image.open(file).convert("RGB"))
    assert np.array_equal(read(file).values.transpose(1, 2, 0), expected)


def test_transparency_shows_the_background_channel_by_channel():
    image = Image.fromarray(RANDOM, "RGBA")
    expected = Image.new("RGB", image.size, (10, 200, 30))
    expected.paste(image.convert("RGB"), mask=image.getchannel("A"))
    values = read(save(image, "PNG"), background="#0ac81e").values
    assert np.array_equal(values.transpose(1, 2, 0), np.asarray(expected))


def test_gray_of_16_bits_keeps_its_precision_in_three_equal_channels():
    gray = (RANDOM[..., 0].astype(np.uint16) << 8) + RANDOM[..., 1]
    picture = read(save(Image.fromarray(gray), "PNG"))
    assert picture.white == 65535 and picture.shape == (3, 9, 13)
    assert all(np.array_equal(channel, gray) for channel in picture.values)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_come_out_upright(orientation):
    image = Image.fromarray(RANDOM[..., :3])
    exif = Image.Exif()
    exif[274] = orientation
    picture = read(save(image, "PNG", exif=exif))
    turns = [None, 0, 3, 1, 5, 4, 6, 2]  # Pillow's transpositions, by EXIF's orientation from 1
    turn = turns[orientation - 1]
    expected = image if turn is None else image.transpose(turn)
    assert np.array_equal(picture.values.transpose(1, 2, 0), np.asarray(expected))


def test_the_frames_of_an_animation_have_their_colours():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    file = save(frames[0], "GIF", save_all=True, append_images=frames[1:])
    found = [picture.values[:, 0, 0].tolist() for picture in read_pictures(file, frames="all", mode="RGB")]
    assert found == [[255, 0, 0], [0, 0, 255]]


def test_a_picture_larger_than_a_band_is_whole():
    wide = np.random.default_rng(1).integers(0, 256, (700, 1000, 3), np.uint8)
    assert np.array_equal(read(save(Image.fromarray(wide), "PNG")).values.transpose(1, 2, 0), wide)
