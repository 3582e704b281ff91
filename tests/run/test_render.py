"""Which values are drawn black and white, and what contact sheets say, in numbers that an eye can check."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfilter import parse, run_files
from convfilter.errors import UsageError
from convfilter.images.png import read_floats, read_text
from convfilter.images.reader import read_header
from convfilter.run.budget import predict
from convfilter.run.options import Options

LESS_100 = "Conv2d(1, 1, 1, bias=-100, weight=[[[1]]])"  # of 0, 50, 100, 200 it makes -100, -50, 0, 100
ONCE_AND_TWICE = "Filter2d([[1]], [[2]])"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "dots.pgm"
    path.write_bytes(b"P5 4 1 255 " + bytes([0, 50, 100, 200]))
    return path


def levels(path):
    return np.asarray(Image.open(path)).ravel().tolist()


def ends(path):
    text = read_text(path)
    return float(text["convfilter:black"]), float(text["convfilter:white"])


def draw(pipeline, picture, **options):
    [result] = run_files(pipeline, picture, **options)
    assert result.error is None
    return result.outputs


def texts(path):
    return re.findall("<text[^>]*>([^<]*)</text>", open(path, encoding="utf-8").read())


def pictures_of(path):
    found = re.findall('href="data:image/png;base64,([^"]*)"', Path(path).read_text())
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


def test_relu_is_drawn_on_the_scale_of_its_input_and_shows_what_it_removes(picture):
    before, after, pooled = draw(f"{LESS_100} | ReLU | MaxPool2d((1, 2))", picture, steps=True)
    assert levels(before) == [0, 64, 128, 255]
    assert levels(after) == [128, 128, 128, 255]
    assert levels(pooled) == [128, 255]
    assert ends(before) == ends(after) == ends(pooled) == (-100, 100)
    assert np.abs(read_floats(after)[0] - [[0, 0, 0, 100]]).max() < 200 / 255


def test_what_has_bounds_of_its_own_has_its_own_scale(picture):
    before, sigmoid, pooled = draw(f"{LESS_100} | Sigmoid | MaxPool2d((1, 2))", picture, steps=True)
    assert levels(sigmoid) == [0, 0, 128, 255]
    assert ends(before) == (-100, 100)
    assert ends(pooled) == ends(sigmoid) == (pytest.approx(3.8e-44, rel=0.1), 1)


def test_the_first_layer_s_input_is_the_picture(picture):
    [pooled] = draw("AvgPool2d((1, 2))", picture, steps=True)
    assert levels(pooled) == [25, 150]
    assert ends(pooled) == (0, 255)
    [pooled] = draw("AvgPool2d((1, 2))", picture)
    assert levels(pooled) == [0, 255]


def test_scale_channel_is_each_one_s_own(picture):
    _, after = draw(f"{LESS_100} | ReLU", picture, steps=True, scale="channel")
    assert levels(after) == [0, 0, 0, 255]
    once, twice = draw(ONCE_AND_TWICE, picture)
    assert levels(once) == levels(twice) == [0, 64, 128, 255]


@pytest.mark.parametrize("scale", ["layer", "run"])
@pytest.mark.parametrize("exact", [False, True])
def test_scale_layer_is_one_for_all_channels(picture, scale, exact):
    once, twice = draw(ONCE_AND_TWICE, picture, scale=scale, exact=exact)
    assert levels(once) == [0, 32, 64, 128]
    assert levels(twice) == [0, 64, 128, 255]
    assert ends(once) == ends(twice) == (0, 400)


def test_scale_layer_is_of_the_channels_that_are_written(picture):
    [once] = draw(ONCE_AND_TWICE, picture, scale="layer", channels=[0])
    assert ends(once) == (0, 200)


def test_scale_layer_has_one_for_each_layer_and_scale_run_one_for_all(picture):
    pipeline = f"{LESS_100} | Filter2d([[2]])"
    first, second = draw(pipeline, picture, steps=True, scale="layer")
    assert (ends(first), ends(second)) == ((-100, 100), (-200, 200))
    first, second = draw(pipeline, picture, steps=True, scale="run")
    assert ends(first) == ends(second) == (-200, 200)
    assert levels(first) == [64, 96, 128, 191]
    assert levels(second) == [0, 64, 128, 255]


def test_scales_go_with_every_norm(picture):
    pipeline = f"{ONCE_AND_TWICE} | ReLU"
    for norm, expected in {"symmetric": (-400, 400), "abs": (0, 400), "clip": (0, 255)}.items():
        for path in draw(pipeline, picture, scale="layer", norm=norm):
            assert ends(path) == expected
    for path in draw(pipeline, picture, scale="layer", vmin=-1):
        assert ends(path) == (-1, 400)


def test_a_flat_channel_is_drawn_on_a_shared_scale_and_noted(picture):
    [result] = run_files("Filter2d([[1]], [[0]])", picture, scale="layer")
    assert levels(result.outputs[1]) == [0, 0, 0, 0]
    assert ends(result.outputs[1]) == (0, 200)
    assert result.notes == ("channel 1 is flat: every value is 0",)


def test_scale_run_of_several_pictures_is_refused_unless_it_is_said(picture):
    other = picture.with_name("other.pgm")
    other.write_bytes(picture.read_bytes())
    with pytest.raises(UsageError, match=r"--scale run: .* several pictures .* --vmin and --vmax"):
        run_files("edge(1)", [picture, other], scale="run")
    with pytest.raises(UsageError, match=r"--scale run: .* several frames"):
        run_files("edge(1)", picture, scale="run", frames="all")
    results = list(run_files("Filter2d([[1]])", [picture, other], scale="run", vmin=0, vmax=400))
    assert [levels(result.outputs[0]) for result in results] == [[0, 32, 64, 128]] * 2


def test_a_sheet_says_what_it_shows(picture):
    [sheet] = draw("tutorial(padding='same') | ReLU", picture, grid=True, format="svg")
    assert sheet.endswith("dots_tutorial-ReLU_grid.svg")
    words = texts(sheet)
    assert words[:3] == [
        "dots.pgm",
        "Conv2d(1, 2, 5, padding='same', bias=False, weight=[edge(5)]) | ReLU()",
        "shapes are CxHxW · norm minmax: black is each channel's minimum, white its maximum",
    ]
    assert words[3:6] == ["input", "1x1x4", "0 to 200"]
    assert words[6:8] == ["channel 0: edge(5)", "1x1x4"]
    assert words[9] == "channel 1: random"
    assert len(words) == 12


def test_a_sheet_with_one_scale_says_its_numbers(picture):
    [sheet] = draw(ONCE_AND_TWICE, picture, grid=True, format="svg", scale="layer")
    assert texts(sheet)[2] == "shapes are CxHxW · norm minmax, one scale a layer: black is 0, white is 400"
    [sheet] = draw(ONCE_AND_TWICE, picture, grid=True, scale="layer")
    assert read_text(sheet)["convfilter:scale"] == "norm minmax, one scale a layer: black is 0, white is 400"


def test_the_sheet_of_all_layers_has_a_row_for_each(picture):
    pipeline = f"{LESS_100} | ReLU | {ONCE_AND_TWICE} | MaxPool2d((1, 2))"
    [sheet] = draw(pipeline, picture, grid=True, steps=True, format="svg")
    assert sheet.endswith("_steps_grid.svg")
    words = texts(sheet)
    headings = [word for word in words if word.startswith("layer")]
    assert [heading.partition(":")[0] for heading in headings] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert [words[words.index(heading) + 1] for heading in headings] == [
        "1x1x4", "1x1x4 · on the scale of layer 1", "2x1x4", "2x1x2 · on the scale of layer 3",
    ]  # fmt: skip
    assert [word for word in words if " to " in word] == [
        "0 to 200", "-100 to 100", "0 to 100", "0 to 100", "0 to 200", "0 to 100", "0 to 200",
    ]  # fmt: skip


def test_the_sheet_of_all_layers_is_one_output_beside_the_single_pictures(picture):
    [result] = run_files(f"{LESS_100} | ReLU", picture, grid=True, steps=True, keep=True)
    assert [path.rpartition("_")[2] for path in result.outputs] == ["1-Conv2d.png", "2-ReLU.png", "grid.png"]
    assert (result.shape, result.ranges) == ((1, 1, 4), ((0.0, 100.0),))
    assert draw(f"{LESS_100} | ReLU", picture, grid=True, steps=True, output=str(picture.with_name("a.svg")))


def test_channels_choose_the_tiles_of_every_row(picture):
    pipeline = f"{LESS_100} | {ONCE_AND_TWICE}"
    [sheet] = draw(pipeline, picture, grid=True, steps=True, format="svg", channels=[1])
    assert [word.partition(":")[0] for word in texts(sheet) if word.startswith("layer")] == ["layer 2"]
    assert [word for word in texts(sheet) if word.startswith("channel")] == ["channel 1: own numbers"]


def test_a_pooled_picture_is_drawn_smaller_beside_its_input(tmp_path):
    path = tmp_path / "white.pgm"
    path.write_bytes(b"P5 64 64 255 " + bytes([250]) * 4096)
    options = {"grid": True, "norm": "clip"}

    def widest_row(**more):
        [sheet] = draw("MaxPool2d(2)", path, **options, **more)
        return (np.asarray(Image.open(sheet)) == 250).all(axis=-1).sum(axis=1).max()

    assert widest_row() == 256 + 128
    assert widest_row(zoom=True) == 256 + 256


def test_columns_and_theme(picture):
    [sheet] = draw(ONCE_AND_TWICE, picture, grid=True, columns=1, theme="dark")
    tall = Image.open(sheet)
    assert tall.getpixel((0, 0)) == (0x16, 0x18, 0x1D)
    [sheet] = draw(ONCE_AND_TWICE, picture, grid=True, columns=3)
    wide = Image.open(sheet)
    assert wide.getpixel((0, 0)) == (255, 255, 255)
    assert (wide.width > tall.width, wide.height < tall.height) == (True, True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"columns": 2}, "--columns goes with --grid"),
        ({"zoom": True}, "--zoom goes with --grid"),
        ({"theme": "dark"}, "--theme goes with --grid"),
        ({"format": "svg"}, "svg is for contact sheets; add --grid"),
        ({"output": "a.svg"}, "svg is for contact sheets; add --grid"),
        ({"format": "svg", "grid": True, "keep": True}, "--keep keeps single pictures"),
        ({"output": "a.svg", "grid": True, "format": "png"}, "--format png needs the suffix .png"),
        ({"output": "x.pdf"}, r"-o x.pdf: no output ends in .pdf, but in .png, .svg or .npy; a folder"),
        ({"output": "x.pdf", "grid": True}, "a folder of this name is written x.pdf/"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together(picture, monkeypatch, options, reason):
    monkeypatch.chdir(picture.parent)
    with pytest.raises(UsageError, match=reason):
        run_files("Filter2d([[1]])", "dots.pgm", **options)
    assert [path.name for path in picture.parent.iterdir()] == ["dots.pgm"]


def test_names_that_are_no_kind_of_file_are_folders(picture, monkeypatch):
    monkeypatch.chdir(picture.parent)
    for name in ("results.2024", "x.pdf/", "out.photographs"):
        [path] = draw("Filter2d([[1]])", picture, output=name)
        assert path.startswith(name)
    first, _ = draw(ONCE_AND_TWICE, picture, output="v1.x")
    assert first.startswith("v1.x/")


def test_a_resumed_run_knows_a_whole_svg(picture):
    path = picture.with_name("sheet.svg")

    def status():
        [result] = run_files(ONCE_AND_TWICE, picture, grid=True, output=path, skip_existing=True)
        return result.status

    assert [status(), status()] == ["done", "skipped"]
    path.write_bytes(path.read_bytes()[:-20])
    assert status() == "done"


@pytest.mark.parametrize("steps", [False, True])
def test_the_memory_of_a_sheet_is_known_before(picture, steps):
    pipeline = parse(ONCE_AND_TWICE)
    header = read_header(picture)
    plain, grid = (predict(pipeline, Options(grid=grid, steps=steps), header) for grid in (False, True))
    [sheet] = draw(ONCE_AND_TWICE, picture, grid=True, steps=steps)
    width, height = Image.open(sheet).size
    assert 0.8 < 3 * width * height / (grid - plain) < 1.3  # the title comes on top


def test_a_colour_picture_stands_on_its_sheet_in_colour_with_the_range_of_its_tensor(tmp_path):
    path = tmp_path / "red.ppm"
    path.write_bytes(b"P6 2 1 255 " + bytes([255, 0, 0, 255, 51, 0]))
    options = {"grid": True, "mode": "RGB", "white": 1}
    [sheet] = draw("Filter2d([[1]])", path, **options)
    assert {(255, 0, 0), (255, 51, 0)} <= {colour for _, colour in Image.open(sheet).getcolors(99999)}
    [sheet] = draw("Filter2d([[1]]) | ReLU", path, **options, mean=(0.5, 0, 0), std=0.5, format="svg", steps=True)
    words = texts(sheet)
    assert words[words.index("input") :][:3] == ["input", "3x1x2", "0 to 1"]
    assert [word for word in words if " to " in word][1:] == ["1 to 1", "0 to 0.4", "0 to 0"] * 2


def test_kernels_of_a_colour_layer_stand_on_the_sheet_in_colour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 48, 3), np.uint8)).save("a.png")
    weight = np.zeros((4, 3, 2, 2), np.float32)
    weight[1] = np.array([-1, 1, 0])[:, None, None]
    weight[2, 0, 0, 0], weight[2, 2, 1, 1] = 3, -1
    np.save("w.npy", weight)
    conv = "Conv2d(3, 4, 2, weight='w.npy')"
    [sheet] = draw(f"{conv} | ReLU", "a.png", grid=True, mode="RGB", format="svg")
    words = texts(sheet)
    assert words[words.index("kernels of layer 1") + 1] == "in colour, each on a scale of its own"
    assert [words[words.index(f"kernel {n}") + 2] for n in range(4)] == ["0 to 0", "-1 to 1", "-1 to 3", "0 to 0"]
    colours = [set(map(tuple, np.asarray(image).reshape(-1, 3).tolist())) for image in pictures_of(sheet)[1:5]]
    assert colours[:2] == [{(0, 0, 0)}, {(0, 255, 128)}]
    assert colours[2] == {(255, 64, 64), (64, 64, 64), (64, 64, 0)}
    for text, options, shown in (
        (f"{conv} | ReLU", {"channels": "1,2"}, 2),
        (f"{conv} | Conv2d(4, 1, 3)", {"steps": True}, 4),
        (f"{conv} | Conv2d(4, 4, 3)", {}, 0),
        ("Conv2d(3, 2, 1)", {}, 0),
        ("blur", {}, 0),
        (f"{conv} | ReLU", {"mode": "L", "gray_weights": True}, 0),
    ):
        [sheet] = draw(text, "a.png", **{"grid": True, "mode": "RGB", "format": "svg", **options})
        assert len([word for word in texts(sheet) if word.startswith("kernel ")]) == shown, text
    header, pipeline = read_header("a.png"), parse(conv)
    plain, grid = (predict(pipeline, Options(grid=grid, mode="RGB"), header) for grid in (False, True))
    width, height = Image.open(draw(conv, "a.png", grid=True, mode="RGB")[0]).size
    assert 0.8 < 3 * width * height / (grid - plain) < 1.3
