import pytest

from convfilter.errors import UsageError
from convfilter.figures import letters
from convfilter.figures.layout import MAX_WIDTH, Row, plan_sheet

SIZES = [(1, 1), (4, 4), (100, 70), (512, 512), (4000, 3000), (3000, 4000), (20_000, 20_000), (5000, 1), (1, 5000)]
BLOCKS = [Row(1, (512, 512)), *[Row(8, (512 >> n // 3, 512 >> n // 3), f"layer {n}") for n in range(1, 10)]]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 17, 65, 257, 2049])
def test_sheets_are_bounded_and_hold_every_panel(count, size):
    layout = plan_sheet([Row(count, size)])
    [band] = layout.bands
    assert layout.width <= MAX_WIDTH
    assert layout.width * layout.height <= 40e6
    assert band.columns * band.lines >= count > band.columns * (band.lines - 1)
    left, bottom = layout.place(0, count - 1)
    assert left + band.cell <= layout.width
    assert bottom + layout.caption <= layout.height


@pytest.mark.parametrize(
    ("count", "size", "columns", "drawn"),
    [
        (2, (512, 512), 2, (512, 512)),
        (3, (512, 512), 3, (512, 512)),
        (3, (4000, 3000), 3, (640, 480)),
        (9, (512, 512), 3, (512, 512)),
        (3, (4, 4), 3, (256, 256)),
        (3, (100, 100), 3, (300, 300)),
        (4, (5000, 1), 1, (640, 80)),
        (4, (1, 5000), 4, (80, 640)),
        (1, (1, 1), 1, (256, 256)),
    ],
)
def test_shapes_that_people_meet(count, size, columns, drawn):
    layout = plan_sheet([Row(count, size)])
    assert (layout.bands[0].columns, layout.drawn_size(0, size)) == (columns, drawn)


@pytest.mark.parametrize("size", [(512, 512), (4000, 3000), (3000, 4000), (1920, 1080)], ids=str)
def test_256_channels_stay_legible(size):
    layout = plan_sheet([Row(257, size)])
    drawn = layout.drawn_size(0, size)
    assert min(drawn) >= 80
    assert max(drawn) >= 119
    assert layout.text >= 12


def test_rows_of_three_blocks_are_half_as_long_after_each_pool_and_stand_in_the_same_columns():
    layout = plan_sheet(BLOCKS)
    sides = [layout.drawn_size(row, each.size)[0] for row, each in enumerate(BLOCKS)]
    assert layout.scale == pytest.approx(sides[0] / 512, abs=0.002)
    for side, row in zip(sides, BLOCKS, strict=True):
        assert abs(side - row.size[0] * layout.scale) <= 0.5
    assert {band.columns for band in layout.bands[1:]} == {8}
    assert len({layout.place(row, 7)[0] for row in range(1, 10)}) == 1


def test_scales_above_one_are_whole_so_that_pixels_stay_square_and_alike():
    for side in (3, 30, 100, 129, 200, 255):
        for count in (1, 4, 40, 400):
            scale = plan_sheet([Row(count, (side, side))]).scale
            assert scale <= 1 or scale == int(scale)


def test_an_output_of_one_pixel_is_seen():
    layout = plan_sheet([Row(1, (512, 512)), Row(4, (1, 1))])
    assert layout.drawn_size(1, (1, 1)) == (16, 16)


def test_zoom_makes_all_alike():
    layout = plan_sheet(BLOCKS, zoom=True)
    assert len({layout.drawn_size(row, each.size) for row, each in enumerate(BLOCKS)}) == 1


@pytest.mark.parametrize(("columns", "lines"), [(1, 9), (2, 5), (4, 3), (9, 1), (40, 1)])
def test_columns_are_as_many_as_said(columns, lines):
    layout = plan_sheet([Row(9, (512, 512))], columns=columns)
    assert (layout.bands[0].columns, layout.bands[0].lines) == (min(columns, 9), lines)
    assert layout.width * layout.height <= 40e6


def test_more_columns_than_there_is_width_for_make_the_sheet_wider():
    layout = plan_sheet([Row(64, (512, 512))], columns=64)
    assert layout.bands[0].lines == 1
    assert layout.width > MAX_WIDTH


def test_too_many_panels():
    with pytest.raises(UsageError, match="room for 2049 panels, not 2050; choose some with --channels"):
        plan_sheet([Row(2050, (8, 8))])
    with pytest.raises(UsageError, match="2000 panels in 1 columns would be larger than 40 megapixels; raise --col"):
        plan_sheet([Row(2000, (8, 8))], columns=1)
    with pytest.raises(UsageError, match="1500 panels in 1500 rows would be larger than 40 megapixels; choose some"):
        plan_sheet([Row(1, (512, 512), "layer")] * 1500)


def test_titles_stand_over_the_rows_and_long_ones_take_more_lines():
    plain = plan_sheet([Row(2, (64, 64))])
    titled = plan_sheet([Row(2, (64, 64))], title="photo.png", subtitle="edge | ReLU", note="norm minmax")
    long = plan_sheet(
        [Row(2, (64, 64))], title="photo.png", subtitle="edge | ReLU | " * 20 + "ReLU", note="norm minmax"
    )
    assert [line.text for line in titled.title] == ["photo.png", "edge | ReLU", "norm minmax"]
    assert [line.faint for line in titled.title] == [False, True, True]
    assert titled.width == plain.width == long.width
    assert 20 < titled.height - plain.height < 120
    assert len(long.title) > 4
    assert not any(line.text.endswith("…") for line in long.title)
    for upper, lower in zip(long.title, long.title[1:], strict=False):
        assert upper.top + upper.size < lower.top
    assert long.title[-1].top + long.title[-1].size < long.bands[0].top


def test_the_own_font_has_the_letters_it_is_used_for():
    assert letters._lacking(letters._own_font(12), "".join(letters.OWN_LETTERS)) == 0
    assert letters._lacking(letters._own_font(12), "日é") == 2


@pytest.mark.parametrize("text", ["one two three four", "a | b | c | d", "x" * 50, "x" * 50 + " y", "a  b", "|"])
@pytest.mark.parametrize("room", [30, 60, 200])
def test_broken_lines_fit_and_lose_nothing_but_what_an_ellipsis_stands_for(text, room):
    lines = letters.break_lines(text, 12, room, 3)
    assert 1 <= len(lines) <= 3
    for line in lines:
        assert letters.measure(line, 12) <= room
    if not any("…" in line for line in lines):
        assert " ".join(lines).split() == text.split()
