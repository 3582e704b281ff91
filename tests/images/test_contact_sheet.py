import io
import weakref

import numpy as np
import pytest
from PIL import Image

from convfilter.errors import UsageError
from convfilter.images import contact_sheet
from convfilter.images.contact_sheet import Layout, Panel, draw_sheet, fit, name_channel, plan_sheet

BLUE = (0x1F, 0x5F, 0xBF)
LINE = (0xC4, 0xC4, 0xC4)
SIZES = [(1, 1), (4, 4), (100, 70), (512, 512), (4000, 3000), (3000, 4000), (20_000, 20_000), (5000, 1), (1, 5000)]


def flat(value, height=64, width=64):
    return np.full((height, width), value, np.uint8)


def ink(image):
    """Return where a sheet is not white."""
    return (np.asarray(image) != 255).any(axis=-1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 17, 65, 257, 2049])
def test_sheets_are_bounded_and_hold_every_panel(count, size):
    layout = plan_sheet(count, *size)
    wide, high = layout.size
    assert wide <= 2400
    assert wide * high <= 40e6
    assert layout.columns * layout.rows >= count > layout.columns * (layout.rows - 1)


@pytest.mark.parametrize(
    ("count", "size", "columns", "box"),
    [
        (2, (512, 512), 2, (512, 512)),
        (3, (512, 512), 3, (512, 512)),
        (3, (4000, 3000), 3, (640, 480)),
        (9, (512, 512), 3, (512, 512)),
        (3, (4, 4), 3, (256, 256)),
        (3, (100, 100), 3, (300, 300)),
        (4, (5000, 1), 1, (640, 80)),
        (4, (1, 5000), 4, (80, 640)),
    ],
)
def test_shapes_that_people_meet(count, size, columns, box):
    layout = plan_sheet(count, *size)
    assert (layout.columns, layout.box) == (columns, box)


@pytest.mark.parametrize("size", [(512, 512), (4000, 3000), (3000, 4000), (1920, 1080)], ids=str)
def test_256_channels_stay_legible(size):
    layout = plan_sheet(257, *size)
    assert min(layout.box) >= 80
    assert max(layout.box) >= 120
    assert layout.text >= 12


def test_too_many_panels():
    with pytest.raises(UsageError, match="room for 2049 panels, not 2050; choose some with --channels"):
        plan_sheet(2050, 8, 8)


@pytest.mark.parametrize(
    ("shape", "box", "size"),
    [
        ((512, 512), (512, 512), (512, 512)),
        ((508, 508), (512, 512), (512, 512)),
        ((254, 254), (512, 512), (512, 512)),
        ((300, 400), (512, 512), (512, 384)),
        ((1, 1), (256, 256), (256, 256)),
        ((1, 5000), (640, 80), (640, 80)),
        ((5000, 1), (512, 512), (64, 512)),
        ((2000, 3), (80, 640), (80, 640)),
    ],
)
def test_fit_fills_the_box(shape, box, size):
    fitted = fit(np.zeros(shape, np.uint8), box)
    assert fitted.size == size
    assert fit(fitted, box) is fitted


def test_small_pictures_keep_their_pixels():
    pixels = np.array([[0, 50, 100], [150, 200, 250]], np.uint8)
    assert np.array_equal(np.asarray(fit(pixels, (300, 200))), np.kron(pixels, np.ones((100, 100), np.uint8)))


def test_large_pictures_are_averaged():
    checks = np.indices((800, 800)).sum(0) % 2 * 255
    middle = np.asarray(fit(checks.astype(np.uint8), (100, 100)))[5:-5, 5:-5]
    assert abs(middle.astype(int) - 127).max() <= 3


def test_a_long_row_is_averaged_along_and_thickened_across():
    row = np.repeat(np.array([[0, 255] * 4], np.uint8), 1000, axis=1)
    drawn = np.asarray(fit(row, (640, 80)))
    assert (drawn == drawn[:1]).all()
    assert drawn[0, [40, 120, 200]].tolist() == [0, 255, 0]


@pytest.mark.parametrize("count", [1, 2, 5, 17])
def test_every_picture_stands_in_its_place(count):
    layout = plan_sheet(count, 64, 64)
    panels = [Panel(flat(100 + i), f"channel {i}", (0, 1)) for i in range(count)]
    pixels = np.asarray(draw_sheet(panels, layout=layout))
    (wide, high), (across, down) = layout.box, layout.cell
    for i in range(count):
        row, column = divmod(i, layout.columns)
        left = layout.margin + column * (across + layout.gap)
        top = layout.margin + row * (down + layout.gap)
        assert (pixels[top : top + high, left : left + wide] == 100 + i).all()
        assert (pixels[top - 1, left - 1 : left + wide + 1] == LINE).all()
        assert (pixels[top + high, left - 1 : left + wide + 1] == LINE).all()
        assert (pixels[top - 2, left : left + wide] == 255).all()


def test_the_input_is_framed_and_named_in_blue():
    panels = [Panel(flat(0), "input", (0, 255), is_input=True), Panel(flat(0), "channel 0", (0, 255))]
    pixels = np.asarray(draw_sheet(panels))
    layout = plan_sheet(2, 64, 64)
    left, right = pixels[:, : layout.margin + layout.cell[0]], pixels[:, layout.margin + layout.cell[0] + 8 :]
    assert (left == BLUE).all(axis=-1).sum() > 4 * layout.box[0]
    assert not (right == BLUE).all(axis=-1).any()


def test_margins_stay_white():
    panels = [Panel(flat(0), "m" * 300, (-1e30, 1e30)) for _ in range(7)]
    drawn = draw_sheet(panels, title="T" * 2000, subtitle="s" * 2000)
    margin = plan_sheet(7, 64, 64).margin
    rows, columns = np.nonzero(ink(drawn))
    assert rows.min() >= margin - 12
    assert columns.min() >= margin - 2
    assert columns.max() < drawn.width - margin + 2
    assert rows.max() < drawn.height - margin + 2


@pytest.mark.parametrize("label", ["m" * 300, "channel 12 · gaussian(size=31, sigma=12.5)", "W" * 40])
def test_long_labels_never_reach_the_next_panel(label):
    layout = plan_sheet(257, 64, 64)
    columns = ink(draw_sheet([Panel(flat(255), label, (-1e30, 1e30))] * layout.columns, layout=layout)).any(axis=0)
    for i in range(1, layout.columns):
        start = layout.margin + i * (layout.cell[0] + layout.gap)
        assert not columns[start - layout.gap + 2 : start - 2].any()


@pytest.mark.parametrize("count", [2, 65])
def test_texts_lie_between_their_picture_and_the_next_row(count):
    layout = plan_sheet(count, 64, 64)
    with_text = draw_sheet([Panel(flat(0), "Ågjpqy|", (-5, 5))] * count, layout=layout)
    without = draw_sheet([Panel(flat(0), "")] * count, layout=layout)
    for row in range(layout.rows):
        top = layout.margin + row * (layout.cell[1] + layout.gap)
        strip = slice(top, top + layout.box[1] + 2)
        assert np.array_equal(np.asarray(with_text)[strip], np.asarray(without)[strip])


def test_title_and_subtitle_stand_over_the_panels():
    panels = [Panel(flat(0), "input"), Panel(flat(0), "channel 0")]
    plain, titled = draw_sheet(panels), draw_sheet(panels, title="photo.png", subtitle="edge | ReLU")
    assert titled.width == plain.width
    added = titled.height - plain.height
    assert 20 < added < 100
    margin = plan_sheet(2, 64, 64).margin
    below = np.asarray(plain)[margin - 1 :]
    assert np.array_equal(np.asarray(titled)[margin - 1 + added :], below)
    assert not ink(titled)[margin + added - 8 : margin + added - 2].any(), "the subtitle keeps clear of the frame"


@pytest.mark.parametrize(
    "title", ["", "café.jpg", "日本.png", "Привет.png", "😀", "a\nb\x1b\u202e\udcff", "x" * 100_000]
)
def test_titles_of_all_kinds(title):
    assert draw_sheet([Panel(flat(0), title)], title=title, subtitle=title).mode == "RGB"


def test_the_own_font_has_the_letters_it_is_used_for():
    assert contact_sheet._lacking(contact_sheet._own_font(12), "".join(contact_sheet.OWN_LETTERS)) == 0
    assert contact_sheet._lacking(contact_sheet._own_font(12), "日é") == 2


@pytest.mark.parametrize(
    ("cell", "label"),
    [((640, 480), "channel 3 · sobel_x"), ((188, 188), "channel 3 · sobel_x"), ((120, 120), "3 · sobel_x")],
)
def test_channel_names_are_as_long_as_there_is_room(cell, label):
    layout = Layout(1, 1, cell, 12)
    assert name_channel(layout, 3, "sobel_x") == label
    assert name_channel(layout, 3) == label.partition(" · ")[0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (-612.0, "-612"),
        (1 / 3, "0.3333"),
        (3998.4, "3998"),
        (123456.7, "123457"),
        (1e-9, "1e-09"),
        (3.4e38, "3.4e+38"),
    ],
)
def test_numbers_are_short(value, text):
    assert contact_sheet._number(value) == text


def test_no_picture_is_kept():
    made = []

    def panels():
        for _ in range(20):
            assert sum(picture() is not None for picture in made) <= 1
            pixels = flat(0)
            made.append(weakref.ref(pixels))
            yield Panel(pixels, "")
            del pixels

    draw_sheet(panels(), layout=plan_sheet(20, 64, 64))
    assert len(made) == 20


def test_a_sheet_is_the_same_whether_pictures_were_fitted_before():
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900), dtype=np.uint8)
    layout = plan_sheet(3, 900, 700)

    def sheet_of(image):
        file = io.BytesIO()
        draw_sheet([Panel(image, "a", (0, 1))] * 3, title="t", layout=layout).save(file, "png")
        return file.getvalue()

    assert sheet_of(pixels) == sheet_of(Image.fromarray(pixels)) == sheet_of(fit(pixels, layout.box))
