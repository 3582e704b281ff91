import base64
import io
import re
import weakref

import numpy as np
import pytest
from PIL import Image

from convfilter.figures.layout import Row, plan_sheet
from convfilter.figures.sheet import Panel, Sheet, resize
from convfilter.figures.themes import THEMES

BLUE = (0x1F, 0x5F, 0xBF)
LINE = (0xC4, 0xC4, 0xC4)


def draw_sheet(layout, panels, theme="light", format="png"):
    """Return the canvas of a sheet with all of its panels."""
    sheet = Sheet(layout, theme, format)
    for panel in panels:
        sheet.add(panel)
    return sheet.canvas


def flat(value, height=64, width=64):
    return np.full((height, width), value, np.uint8)


def pixels_of(canvas):
    return np.asarray(canvas.image)


def ink(canvas):
    """Return where a sheet is not white."""
    return (pixels_of(canvas) != 255).any(axis=-1)


def one_row(count, size=(64, 64), **texts):
    return plan_sheet([Row(count, size)], **texts)


def svg_texts(canvas):
    file = io.BytesIO()
    canvas.write(file, {})
    return re.findall("<text[^>]*>([^<]*)</text>", file.getvalue().decode())


@pytest.mark.parametrize("count", [1, 2, 5, 17])
def test_every_picture_stands_in_its_place_pixel_for_pixel(count):
    layout = one_row(count)
    pictures = [np.random.default_rng(i).integers(1, 255, (64, 64), dtype=np.uint8) for i in range(count)]
    drawn = pixels_of(draw_sheet(layout, [Panel(picture, "channel") for picture in pictures]))
    assert layout.scale == 4
    for i, picture in enumerate(pictures):
        left, bottom = layout.place(0, i)
        enlarged = np.kron(picture, np.ones((4, 4), np.uint8))
        assert np.array_equal(drawn[bottom - 256 : bottom, left : left + 256, 0], enlarged)
        for row in (bottom - 257, bottom):
            assert (drawn[row, left - 1 : left + 257] == LINE).all()
        assert (drawn[bottom - 258, left : left + 256] == 255).all()


def test_a_pooled_picture_is_half_as_long_and_zoom_makes_it_as_long():
    rows = [Row(1, (200, 100)), Row(1, (100, 50))]
    pictures = [flat(7, 100, 200), flat(9, 50, 100)]

    def areas(**options):
        drawn = pixels_of(draw_sheet(plan_sheet(rows, **options), [Panel(picture, "") for picture in pictures]))[..., 0]
        return (drawn == 7).sum(), (drawn == 9).sum()

    assert areas() == (400 * 200, 200 * 100)
    assert areas(zoom=True) == (400 * 200, 400 * 200)


def test_the_input_is_framed_and_named_in_blue():
    layout = one_row(2)
    panels = [Panel(flat(0), "input", None, (0, 255), is_input=True), Panel(flat(0), "channel 0", None, (0, 255))]
    drawn = pixels_of(draw_sheet(layout, panels))
    start = layout.place(0, 1)[0] - 4
    assert (drawn[:, :start] == BLUE).all(axis=-1).sum() > 4 * 256
    assert not (drawn[:, start:] == BLUE).all(axis=-1).any()


def test_a_sheet_says_what_it_shows():
    rows = [Row(1, (64, 64)), Row(1, (32, 32), "layer 1: MaxPool2d(2)", "1x32x32")]
    layout = plan_sheet(rows, title="photo.png", subtitle="MaxPool2d(2)", note="norm minmax")
    panels = [
        Panel(flat(0), "input", (1, 64, 64), (0, 255), is_input=True),
        Panel(flat(0), "0", (1, 32, 32), (-0.5, 3)),
    ]
    assert svg_texts(draw_sheet(layout, panels, format="svg")) == [
        "photo.png", "MaxPool2d(2)", "norm minmax", "layer 1: MaxPool2d(2)", "1x32x32",
        "input", "1x64x64", "0 to 255", "0", "1x32x32", "-0.5 to 3",
    ]  # fmt: skip


def test_an_svg_holds_each_picture_as_it_stands_on_the_png():
    pictures = [np.random.default_rng(i).integers(0, 256, (300, 300), dtype=np.uint8) for i in range(2)]
    layout = one_row(2, (300, 300))
    panels = [Panel(picture, "a & b < c") for picture in pictures]
    file = io.BytesIO()
    draw_sheet(layout, panels, format="svg").write(file, {"Software": "x\x00y"})
    text = file.getvalue().decode()
    assert "a &amp; b &lt; c" in text
    assert "Software: x\ufffdy" in text
    assert text.endswith("</svg>\n")
    for picture, data in zip(pictures, re.findall(r"base64,([^\"]*)", text), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), picture)


def test_texts_of_an_svg_that_other_letters_could_make_too_long_are_held_to_their_width():
    layout = one_row(1)
    file = io.BytesIO()
    draw_sheet(layout, [Panel(flat(0), "m" * 300, None, (0, 1))], format="svg").write(file, {})
    long, short = re.findall("<text[^>]*>", file.getvalue().decode())
    assert "textLength" in long
    assert "textLength" not in short


@pytest.mark.parametrize("theme", THEMES)
def test_themes_are_legible(theme):
    """WCAG's contrast of 4.5 to 1 for small texts."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    colours = THEMES[theme]
    paper = luminance(colours.background)
    for colour in (colours.ink, colours.faint, colours.accent):
        dark, bright = sorted((paper, luminance(colour)))
        assert (bright + 0.05) / (dark + 0.05) > 4.5


def test_a_theme_is_the_paper_of_both_kinds():
    panels = [Panel(flat(0), "")]
    png = draw_sheet(one_row(1), panels, "dark")
    assert tuple(pixels_of(png)[0, 0]) == (0x16, 0x18, 0x1D)
    file = io.BytesIO()
    draw_sheet(one_row(1), panels, "dark", "svg").write(file, {})
    assert b'fill="#16181d"' in file.getvalue()


def test_margins_stay_white():
    panels = [Panel(flat(0), "m" * 300, (9, 9, 9), (-1e30, 1e30)) for _ in range(7)]
    layout = one_row(7, title="T" * 2000, subtitle="s " * 2000, note="n" * 500)
    canvas = draw_sheet(layout, panels)
    margin = layout.margin
    rows, columns = np.nonzero(ink(canvas))
    assert rows.min() >= margin - 12
    assert columns.min() >= margin - 2
    assert columns.max() < layout.width - margin + 2
    assert rows.max() < layout.height - margin + 2


@pytest.mark.parametrize("label", ["m" * 300, "channel 12 · gaussian(size=31, sigma=12.5)", "W" * 40])
def test_long_labels_never_reach_the_next_panel(label):
    layout = one_row(257)
    columns = ink(draw_sheet(layout, [Panel(flat(255), label, (1, 64, 64), (-1e30, 1e30))] * 257)).any(axis=0)
    for i in range(1, layout.bands[0].columns):
        start = layout.place(0, i)[0]
        assert not columns[start - layout.gap + 2 : start - 2].any()


@pytest.mark.parametrize("count", [2, 65])
def test_texts_lie_between_their_picture_and_the_next_row(count):
    layout = one_row(count)
    with_text = pixels_of(draw_sheet(layout, [Panel(flat(0), "Ågjpqy|", (1, 9, 9), (-5, 5))] * count))
    without = pixels_of(draw_sheet(layout, [Panel(flat(0), "")] * count))
    for i in range(count):
        bottom = layout.place(0, i)[1]
        strip = slice(bottom - layout.bands[0].box[1] - 1, bottom + 2)
        assert np.array_equal(with_text[strip], without[strip])


def test_headings_stand_between_the_rows():
    rows = [Row(2, (64, 64), "layer 1: " + "Filter2d(sobel_x, sobel_y) " * 9, "2x64x64"), Row(2, (64, 64), "layer 2")]
    layout = plan_sheet(rows)
    canvas = draw_sheet(layout, [Panel(flat(0), "Ågjpqy|", (1, 9, 9), (-5, 5))] * 4)
    assert [len(band.heading) for band in layout.bands] == [2, 1]
    lines = ink(canvas).any(axis=1)
    for row in (0, 1):
        bottom = layout.place(row, 0)[1]
        frame = bottom - layout.bands[row].box[1] - 1
        assert not lines[frame - 4 : frame].any(), "the heading keeps clear of the frame"
        assert lines[layout.bands[row].top : frame].any()


@pytest.mark.parametrize(
    "title", ["", "café.jpg", "日本.png", "Привет.png", "😀", "a\nb\x1b\u202e\udcff", "x" * 100_000]
)
@pytest.mark.parametrize("format", ["png", "svg"])
def test_titles_of_all_kinds(title, format):
    file = io.BytesIO()
    layout = one_row(1, title=title, subtitle=title, note=title)
    draw_sheet(layout, [Panel(flat(0), title)], format=format).write(file, {"Title": title})
    assert file.getvalue()[:4] in (b"\x89PNG", b"<svg")


def test_colour_pictures_stay_colour():
    colour = np.zeros((256, 256, 3), np.uint8)
    colour[...] = (200, 30, 60)
    layout = one_row(1, (256, 256))
    drawn = pixels_of(draw_sheet(layout, [Panel(colour, "input")]))
    left, bottom = layout.place(0, 0)
    assert (drawn[bottom - 256 : bottom, left : left + 256] == (200, 30, 60)).all()
    assert draw_sheet(layout, [Panel(colour, "input")], format="svg")


def test_small_pictures_keep_their_pixels():
    pixels = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
    resized = resize(Image.fromarray(pixels), (300, 200))
    assert np.array_equal(np.asarray(resized), np.kron(pixels, np.ones((100, 100), np.uint8)))


def test_large_pictures_are_averaged():
    checks = (np.indices((800, 800)).sum(0) % 2 * 255).astype(np.uint8)
    middle = np.asarray(resize(Image.fromarray(checks), (100, 100)))[5:-5, 5:-5]
    assert abs(middle.astype(int) - 127).max() <= 3


def test_a_long_row_is_averaged_along_and_thickened_across():
    row = np.repeat(np.array([[0, 255] * 4], np.uint8), 1000, axis=1)
    layout = one_row(1, (8000, 1))
    assert layout.drawn_size(0, (8000, 1)) == (640, 80)
    drawn = np.asarray(resize(Image.fromarray(row), (640, 80)))
    assert (drawn == drawn[:1]).all()
    assert drawn[0, [40, 120, 200]].tolist() == [0, 255, 0]


def test_no_picture_is_kept():
    made = []
    sheet = Sheet(one_row(20))
    for _ in range(20):
        assert sum(picture() is not None for picture in made) == 0
        pixels = flat(0)
        made.append(weakref.ref(pixels))
        sheet.add(Panel(pixels, ""))
        del pixels
    assert len(made) == 20
