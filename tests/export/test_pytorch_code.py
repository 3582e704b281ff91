import ast
import glob
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from random_pipelines import random_pipeline

from convfilter import UsageError, parse
from convfilter.cli.main import cli
from convfilter.export.pytorch_code import Photo, write_code
from convfilter.export.script import write_script
from convfilter.language.presets import PRESETS
from convfilter.run.api import run_files
from convfilter.run.options import Options


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def noise(height=30, width=34, dtype=np.uint8, high=256):
    return np.random.default_rng(0).integers(0, high, (height, width), dtype)


def compare(pipeline, picture="a.png", **options):
    """Run the program and the script; return how many files both wrote, with the same pixels.

    They are the very same where ``exact`` is. Else sums are made in another order, and a pixel may be a level off.
    """
    pipeline = parse(pipeline) if isinstance(pipeline, str) else pipeline
    (result,) = run_files(pipeline, [picture], **{"exact": True, "jobs": 1, **options})
    assert result.status == "done", result.error
    theirs = {path: np.array(Image.open(path)) for path in result.outputs}
    for path in theirs:
        os.remove(path)
    levels = 0 if options.pop("exact", True) else 1
    code = write_script(pipeline, picture, options=Options(**options))
    exec(compile(code, "script", "exec"), {})
    assert sorted(set(glob.glob("**/*.png", recursive=True)) - {picture, "b.png"}) == sorted(theirs)
    for path, pixels in theirs.items():
        mine = np.array(Image.open(path))
        assert mine.dtype == pixels.dtype and mine.shape == pixels.shape, (path, code)
        assert np.abs(mine.astype(int) - pixels).max() <= levels, (path, code)
        os.remove(path)
    return len(theirs)


def test_the_tutorial_as_a_script():
    assert write_code(parse("tutorial"), photo=Photo("a.png", turned=False), output="a_tutorial").splitlines() == [
        "# Conv2d(1, 2, 5, bias=False, weight=[edge(5)])",
        "import numpy as np",
        "import torch",
        "from PIL import Image",
        "from torch import nn",
        "",
        "torch.manual_seed(0)",
        "network = nn.Sequential(",
        "    nn.Conv2d(1, 2, 5, bias=False),",
        ")",
        "with torch.no_grad():",
        "    network[0].weight[0] = -1  # edge(5)",
        "    network[0].weight[0, :, 2, 2] = 24",
        "",
        'picture = Image.open("a.png").convert("L")',
        "x = torch.from_numpy(np.array(picture, np.float32))[None, None]",
        "with torch.no_grad():",
        "    y = network(x)[0]",
        "",
        "for channel, values in enumerate(y):",
        "    low, high = values.min().item(), values.max().item()",
        "    if high - low <= 0.004896:  # flat: the gray of its value",
        "        low, high = 0, 255",
        "    pixels = ((values - low) * (255 / (high - low))).round().clamp(0, 255).byte().numpy()",
        '    Image.fromarray(pixels).save(f"a_tutorial_{channel}.png")',
    ]


def test_sobel_is_readable():
    lines = write_code(parse("sobel")).splitlines()
    start = lines.index("class Magnitude(nn.Module):")
    assert lines[start + 1 : start + 3] == [
        "    def forward(self, x):",
        "        return x.square().sum(1, keepdim=True).sqrt()",
    ]
    assert '    nn.Conv2d(1, 2, 3, padding=1, padding_mode="replicate", bias=False),' in lines
    assert lines[lines.index("    network[0].weight[1] = torch.tensor([  # sobel_y") + 1 :][:4] == [
        "        [-1, -2, -1],",
        "        [0, 0, 0],",
        "        [1, 2, 1],",
        "    ])",
    ]
    assert "manual_seed" not in "".join(lines)


@pytest.mark.parametrize("exact", [True, False])
def test_random_pipelines_give_the_programs_pixels(exact):
    Image.fromarray(noise()).save("a.png")
    written = 0
    for seed in range(60):
        written += compare(random_pipeline(random.Random(seed)), seed=seed, exact=exact)
    assert written > 100


@pytest.mark.parametrize("name", PRESETS)
def test_presets_give_the_programs_pixels(name):
    Image.fromarray(noise(70, 90)).save("a.png")
    compare(name)


@pytest.mark.parametrize(
    "options",
    [
        {"white": 1.0},
        {"white": 0.3},
        {"norm": "clip"},
        {"norm": "clip", "white": 1.0, "bits": 16},
        {"norm": "abs"},
        {"norm": "symmetric", "bits": 16},
        {"vmin": -10.0, "vmax": 100.5},
        {"vmin": 0.0},
        {"norm": "symmetric", "vmax": 90.0},
        {"norm": "abs", "vmax": 90.0},
        {"vmin": 1e16},
        {"vmax": -1e300},
        {"vmin": -1e300, "vmax": 1e300},
        {"vmin": 1e-40, "vmax": 2e-40},
        {"norm": "clip", "vmin": 1e17},
        {"channels": (1,)},
        {"seed": 3},
    ],
    ids=str,
)
def test_options_give_the_programs_pixels(options):
    Image.fromarray(noise()).save("a.png")
    for pipeline in ("tutorial | Conv2d(2, 2, 3)", "Filter2d(sobel_x, gaussian)"):
        compare(pipeline, **options)


@pytest.mark.parametrize("text", ["edge", "blur", "sobel", "Filter2d(box(7))", "ReLU", "Filter2d(log)"])
@pytest.mark.parametrize("norm", ["minmax", "abs", "symmetric", "clip"])
@pytest.mark.parametrize("white", [255.0, 1.0])
def test_flat_pictures_are_as_flat(text, norm, white):
    Image.new("L", (40, 50), 77).save("a.png")
    compare(text, norm=norm, white=white)


FLAT = [
    "Conv2d(1, 1, 5, bias=0.1, weight=edge)",
    "Conv2d(1, 1, 5, bias=1000000, weight=edge)",
    "Conv2d(1, 3, 5, bias=False, weight=[edge, edge, edge]) | Conv2d(3, 1, 5, bias=False, weight=[edge])",
    "edge | edge",
    "AvgPool2d(3)",
    "edge | Sigmoid",
    "edge(9) | edge(9) | Tanh",
    "Conv2d(1, 2, 5)",
    "tutorial",
    "Conv2d(1, 3, 3) | Tanh | Conv2d(3, 1, 3, groups=1)",
    "ConvTranspose2d(1, 1, 3, padding=2)",
]


@pytest.mark.parametrize("text", FLAT)
@pytest.mark.parametrize("value", [0, 77, 255])
def test_what_rounding_alone_makes_is_no_picture(text, value):
    picture = np.full((40, 50), value, np.uint8)
    picture[::7, ::5] ^= 1  # so little that a deep kernel's own rounding is as large
    for one in (picture, np.full((40, 50), value, np.uint8)):
        Image.fromarray(one).save("a.png")
        for options in ({}, {"white": 1.0}, {"vmin": 0.0}, {"white": 1.0, "vmin": 0.0}, {"white": 1.0, "vmax": 9.0}):
            compare(text, **options)
            compare(text, norm="abs", **options)


def test_more_than_ten_channels_are_numbered_alike():
    Image.fromarray(noise()).save("a.png")
    assert compare("Conv2d(1, 12, 3)") == 12


def pictures():
    """Name, picture, and how it is saved."""
    rgba = np.dstack([noise(9, 9), noise(9, 9)[::-1], noise(9, 9).T, noise(9, 9)[:, ::-1]])
    yield "rgba.png", Image.fromarray(rgba, "RGBA"), {}
    yield "la.png", Image.fromarray(rgba[..., :2].copy(), "LA"), {}
    yield "rgb.png", Image.fromarray(rgba[..., :3].copy(), "RGB"), {}
    yield "key.png", Image.fromarray(rgba[..., :3].copy(), "RGB"), {"transparency": tuple(map(int, rgba[4, 4, :3]))}
    palette = Image.fromarray(rgba[..., :3].copy(), "RGB").quantize(16)
    yield "palette.png", palette, {"transparency": 3}
    yield "one.png", Image.fromarray(noise(9, 9) > 99), {}
    yield "gray16.png", Image.fromarray(noise(9, 9, np.uint16, 65536)), {}
    yield "float.tif", Image.fromarray(noise(9, 9).astype(np.float32) / 300), {}
    exif = Image.Exif()
    exif[274] = 6
    yield "turned.jpg", Image.fromarray(rgba[:7, :, :3].copy(), "RGB"), {"exif": exif}
    for mode in (np.uint8, np.uint16):
        yield f"turned{np.dtype(mode).itemsize}.tif", Image.fromarray(noise(9, 7, mode, 256)), {"exif": exif}
    yield "lab.tif", Image.frombytes("LAB", (9, 9), rgba[..., :3].tobytes()), {}
    yield "cmyk.jpg", Image.fromarray(rgba, "CMYK"), {}
    yield "animation.gif", palette, {"save_all": True, "append_images": [palette.rotate(90)]}


@pytest.mark.parametrize(("name", "image", "options"), list(pictures()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_kind_of_picture_is_read_alike(name, image, options):
    image.save(name, **options)
    compare("sobel_x", name)
    compare("ReLU", name, background="#8090f0", white=1.0)


def test_pictures_that_pillow_alone_reads_otherwise_are_refused():
    for name, dtype in (("a.tif", np.uint16), ("b.tif", np.float32)):
        Image.fromarray(noise(9, 9).astype(dtype)).save(name, tiffinfo={262: 0})  # it counts from white to black
    Image.fromarray(np.arange(81, dtype=np.uint16).reshape(9, 9)).save("key.png", transparency=7)
    for name in ("a.tif", "b.tif", "key.png"):
        done = CliRunner().invoke(cli, ["edge", "--code", name])
        assert (done.exit_code, done.stdout) == (1, "") and f"{name}: Pillow alone" in done.stderr


HOSTILE = [
    "{channel}.png",
    "'\".png",
    "a\\n.png",
    "new\nline.png",
    "\u202eevil.png",
    "\udcff.png",
    "*.png",
    "%s{{}}.png",
]


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_only_names(name):
    try:
        Image.fromarray(noise()).save(name, format="png")
    except (OSError, UnicodeEncodeError):
        pytest.skip("the file system takes no such name")
    code = write_script(parse("tutorial"), name, options=Options())
    assert code.isascii()
    exec(compile(code, "script", "exec"), {})
    stem = name.removesuffix(".png")
    assert sorted(os.listdir()) == sorted([name, f"{stem}_tutorial_0.png", f"{stem}_tutorial_1.png"])


@pytest.mark.parametrize(
    "text",
    [
        """Identity("'); import os; os.abort() #\\\\", '\u202e"')""",
        "Identity(class_=1, lambda_='x')",
        "Hardtanh(-inf, inf) | LPPool2d(inf, 2) | Threshold(-1e38, 1e-300)",
        "Filter2d([[3.4e38, -3e-45, 0.1]])",
        "Conv2d(1, 3, 1, bias=[1e-40, -0.1, 16777217], weight=[[[1e20]], [[1/3]]])",
        "Upsample(scale_factor=(1.5, 2.0)) | AdaptiveAvgPool2d((None, 3))",
        "FractionalMaxPool2d((2, 2), output_ratio=(0.5, 0.9))",
        "MaxPool2d((2, 3), stride=(2, 1)) | AvgPool2d(2, divisor_override=3) | Dropout(0.2, inplace=True)",
    ],
)
def test_whatever_parses_gives_a_script_that_runs(text):
    Image.fromarray(noise()).save("a.png")
    code = write_script(parse(text), "a.png", options=Options())
    assert code.isascii()
    exec(compile(code, "script", "exec"), {})


def test_every_random_pipeline_gives_python():
    for seed in range(300):
        ast.parse(write_code(random_pipeline(random.Random(seed), most=9)))


def test_numbers_are_the_shortest_that_give_the_same_float():
    code = write_code(parse("Conv2d(1, 1, (1, 6), bias=False, weight=[[[0.1, 1/3, 1e-8, 3, -0.0625, 123456789.5]]])"))
    assert "[0.1, 0.33333334, 1e-08, 3, -0.0625, 123456792]," in code


def test_large_kernels_are_wrapped_and_quick():
    code = write_code(parse("gaussian(301, sigma=60) | Conv2d(1, 1, 999, weight=edge(999))"))
    assert max(map(len, code.splitlines())) <= 125
    assert "weight[0] = -1  # edge(999)" in code


def test_it_runs_as_a_program_of_its_own():
    Image.fromarray(noise()).save("a.png")
    done = CliRunner().invoke(cli, ["run", "Conv2d(1, 2, 3) | ReLU", "--seed", "5", "--code", "a.png"])
    assert done.exit_code == 0
    (result,) = run_files("Conv2d(1, 2, 3) | ReLU", ["a.png"], seed=5)
    theirs = [np.array(Image.open(path)) for path in result.outputs]
    for path in result.outputs:
        os.remove(path)
    with open("script.py", "w") as file:
        file.write(done.stdout)
    subprocess.run([sys.executable, "script.py"], check=True)
    for path, pixels in zip(result.outputs, theirs, strict=True):
        assert np.array_equal(np.array(Image.open(path)), pixels)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["edge", "--code", "--grid"], "leave out --grid"),
        (["edge", "--code", "--steps", "a.png"], "leave out --steps"),
        (["edge", "--code", "--format", "npy"], "leave out --format"),
        (["edge", "--code", "--frames", "all"], "leave out --frames"),
        (["edge", "--code", "--name", "x"], "leave out --name"),
        (["edge", "--code", "--keep"], "leave out --keep"),
        (["edge", "--code", "--shard", "1/2"], "leave out --shard"),
        (["edge", "--code", "--no-clobber"], "leave out --no-clobber"),
        (["edge", "--code", "-o", "/dev/null"], "is a device, and outputs need a folder"),
        (["edge", "--code", "-o", f"{__file__}/x.png"], "outputs need a folder"),
        (["edge", "--code", "-o", __file__], "outputs need a folder"),
        (["edge", "--code", "-o", "-"], "leave out -o -"),
        (["edge", "--code", "-o", "x.npy"], "the suffix .png"),
        (["edge", "--code", "-o", "x.jpg"], "the suffix .png"),
        (["tutorial", "--code", "-o", "x.png"], "there are several channels"),
        (["edge", "--code", "a.png", "-o", "./a.png"], "no input is replaced"),
        (["edge", "--code", "a.png", "b.png"], "one picture, and 2 are named"),
        (["explain", "edge", "--code", "--size", "9x9"], "leave out --size"),
        (["tutorial", "--code", "--channels", "2"], "channels 0 to 1"),
        (["run", "Conv2d(3, 1, 1)", "--code"], "it takes 3 channels"),
    ],
)
def test_what_a_script_cannot_do_is_refused(arguments, words):
    Image.fromarray(noise()).save("a.png")
    done = CliRunner().invoke(cli, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in done.stderr


def test_one_chosen_channel_goes_where_o_says():
    Image.fromarray(noise()).save("a.png")
    code = write_script(parse("tutorial"), "a.png", options=Options(channels=(1,), output="new/of/x.png"))
    exec(compile(code, "script", "exec"), {})
    assert [result.status for result in run_files("tutorial", ["a.png"], channels=(1,), output="theirs.png")] == [
        "done"
    ]
    assert os.listdir("new/of") == ["x.png"]
    assert np.array_equal(np.array(Image.open("new/of/x.png")), np.array(Image.open("theirs.png")))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_the_picture_is_not_written_to():
    Image.fromarray(noise()).save("a.png")
    os.symlink("a.png", "a_edge.png")
    os.link("a.png", "a_tutorial_1.png")
    for preset in ("edge", "tutorial"):
        done = CliRunner().invoke(cli, [preset, "--code", "a.png"])
        assert done.exit_code == 2 and "no input is replaced" in done.stderr


def test_a_folder_that_is_not_there_is_made():
    Image.fromarray(noise()).save("a.png")
    exec(compile(write_script(parse("tutorial"), "a.png", options=Options(output="new")), "script", "exec"), {})
    assert sorted(os.listdir("new")) == ["a_tutorial_0.png", "a_tutorial_1.png"]


def test_a_picture_that_is_too_small_is_named():
    Image.fromarray(noise(3, 3)).save("a.png")
    done = CliRunner().invoke(cli, ["edge", "--code", "a.png"])
    assert done.exit_code == 1 and "a.png: " in done.stderr and "larger than" in done.stderr


def test_code_needs_no_picture_and_no_torch():
    done = CliRunner().invoke(cli, ["explain", "edge", "--code"])
    assert done.stdout == write_script(parse("edge"), options=Options()) and "photo.jpg" in done.stdout
    assert CliRunner().invoke(cli, ["run", "edge", "--code", "."]).stdout == done.stdout
    code = (
        "import sys; from convfilter import parse; from convfilter.export.script import write_script; "
        "from convfilter.run.options import Options; write_script(parse('edge'), options=Options()); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_broken_picture_is_named():
    with open("broken.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\nnothing")
    done = CliRunner().invoke(cli, ["edge", "--code", "broken.png"])
    assert done.exit_code == 1 and "broken.png: " in done.stderr


def test_an_option_that_no_script_is_known_to_follow_is_refused():
    """So a new option cannot be forgotten here."""
    from convfilter.export.script import ALIKE, FOLLOWED, NO_MATTER
    from convfilter.run.options import DEFAULTS

    assert FOLLOWED | NO_MATTER | ALIKE.keys() <= DEFAULTS.keys() and not FOLLOWED & NO_MATTER
    for option in ({"grid": True}, {"no_clobber": True}, {"frames": "all"}, {"shard": "0/2"}):
        with pytest.raises(UsageError, match=f"leave out --{next(iter(option)).replace('_', '-')}"):
            write_script(parse("edge"), options=Options(**option))
    write_script(parse("edge"), options=Options(jobs=1, format="png", frames=0, scale="channel"))
