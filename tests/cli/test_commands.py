"""The command line in a real folder: what a newcomer types, and what must come of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy import ndimage

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.images.png import read_floats, read_text
from convfilter.language.presets import PRESETS

SAMPLES = Path(__file__).parents[2] / "sample_images"


@pytest.fixture
def convfilter(tmp_path, monkeypatch):
    """Run the program in an empty folder; the result has exit_code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return lambda *arguments, stdin=None: CliRunner().invoke(cli, [str(a) for a in arguments], input=stdin)


def save(name, values, **options):
    Image.fromarray(np.asarray(values)).save(name, **options)
    return name


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def gray(path):
    return torch.from_numpy(np.array(Image.open(path).convert("L"), np.float32))[None, None]


def minmax(values):
    low, high = values.min(), values.max()
    return np.rint((values - low) / (high - low) * 255)


def tutorial(path, seed=0):
    """The tutorial's own lines."""
    torch.manual_seed(seed)
    conv = torch.nn.Conv2d(1, 2, 5, bias=False)
    with torch.no_grad():
        conv.weight[0, 0] = -1
        conv.weight[0, 0, 2, 2] = 24
        return conv(gray(path))[0].numpy()


def ramp(height=24, width=32):
    return np.arange(height * width, dtype=np.uint32).reshape(height, width).astype(np.uint8)


def noise(height=33, width=41, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)


def test_edge_equals_the_tutorial(convfilter, tmp_path):
    astronaut = Path("astronaut.png")
    astronaut.write_bytes((SAMPLES / "astronaut.png").read_bytes())
    done = convfilter("edge", astronaut)
    assert (done.exit_code, done.stdout) == (0, "astronaut_edge.png\n")
    assert done.stderr.startswith("1 picture, 1 output, 0 failed, ")
    assert sorted(os.listdir()) == ["astronaut.png", "astronaut_edge.png"]
    assert pixels("astronaut_edge.png").shape == (508, 508)
    assert abs(pixels("astronaut_edge.png") - minmax(tutorial(astronaut)[0])).max() <= 1


@pytest.mark.parametrize("seed", [0, 7])
def test_tutorial_gives_both_channels_the_random_one_by_the_seed(convfilter, seed):
    save("p.png", noise())
    done = convfilter("tutorial", "p.png", "--seed", seed)
    assert done.stdout == "p_tutorial_0.png\np_tutorial_1.png\n"
    for channel in (0, 1):
        assert abs(pixels(f"p_tutorial_{channel}.png") - minmax(tutorial("p.png", seed)[channel])).max() <= 1


def test_an_impulse_gives_the_kernel(convfilter):
    impulse = np.zeros((9, 9), np.uint8)
    impulse[4, 4] = 1
    save("impulse.png", impulse)
    assert (
        convfilter("run", "Filter2d([[1, 2, 3], [4, 5, 6], [7, 8, 9]])", "impulse.png", "--norm", "clip").exit_code == 0
    )
    assert pixels("impulse_Filter2d.png")[3:6, 3:6].tolist() == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]  # correlation


def test_presets_take_their_options(convfilter):
    save("p.png", noise())
    for arguments, text in {
        ("blur", "--sigma", "2"): "Filter2d(gaussian(sigma=2))",
        ("edge", "--size", "7"): "Conv2d(1, 1, 7, bias=False, weight=[edge(7)])",
        ("motion", "--angle", "-45"): "Filter2d(motion(9, angle=-45))",
        ("box", "--stride", "2", "--padding-mode", "reflect"): "Filter2d(box(3), stride=2, padding_mode='reflect')",
        ("laplace", "--padding", "0,2", "--dilation", "2"): "Filter2d(laplace4, padding=(0, 2), dilation=2)",
    }.items():
        done = convfilter(*arguments, "p.png")
        assert done.exit_code == 0, done.stderr
        assert read_text(done.stdout.strip())["convfilter:pipeline"] == text


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_runs_and_keeps_the_size_but_the_two_unpadded_and_the_block(convfilter, preset):
    save("p.png", noise())
    done = convfilter(preset, "p.png")
    assert done.exit_code == 0, done.stderr
    height, width = pixels(done.stdout.splitlines()[0]).shape
    smaller = {"edge": (29, 37), "tutorial": (29, 37), "block": (16, 20)}
    assert (height, width) == smaller.get(preset, (33, 41))


def test_user_presets_become_commands(convfilter):
    save("p.png", noise())
    Path("own.toml").write_text('[soft]\npipeline = "blur(sigma={s}) | ReLU"\noptions = { s = 1.5 }\nhelp = "Mine."\n')
    for arguments in (
        ["--presets", "own.toml", "soft", "p.png"],
        ["soft", "--s", "3", "p.png", "--presets", "own.toml"],
    ):
        done = convfilter(*arguments)
        assert (done.exit_code, done.stdout) == (0, "p_soft.png\n"), done.stderr
    assert convfilter("run", "soft | Tanh", "p.png", "--presets", "own.toml").stdout == "p_soft-Tanh.png\n"
    assert "Mine." in convfilter("--presets", "own.toml", "--help").stdout
    assert "--s VALUE" in convfilter("--presets", "own.toml", "soft", "--help").stdout
    shown = convfilter("presets", "soft", "--presets", "own.toml").stdout
    assert shown == "soft  Mine. [--s]\n      blur(sigma=1.5) | ReLU\n"


def test_presets_in_the_application_folder_are_found(convfilter, monkeypatch, tmp_path):
    import click

    folder = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    home = Path(click.get_app_dir("convfilter"))
    home.mkdir(parents=True)
    (home / "presets.toml").write_text('[mine]\npipeline = "sobel"\n')
    save("p.png", noise())
    assert convfilter("mine", "p.png").stdout == "p_mine.png\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Conv2d(1,, 2)", "between the two commas"),
        ("Conv2d(1, 2", "is not closed"),
        ("Relu()", "did you mean ReLU?"),
        ("edge |", "expected a layer after '|'"),
        ('__import__("os")', "no layer, preset or kernel '__import__'"),
        ("edge\0", "has no place in a pipeline"),
        ("x" * 1_000_000, "longer than"),
        ("Conv2d(3, 1, 3)", "3 channels"),
        ("Conv2d(1, 1, 3, padding='same', stride=2)", "stride"),
        ("(" * 5000, ""),
    ],
)
def test_a_wrong_pipeline_is_one_message_with_its_place_and_writes_nothing(convfilter, text, said):
    save("p.png", noise())
    Path("pipeline.txt").write_text(text)
    for argument in ([text] if "\0" not in text else []) + ["@pipeline.txt"]:
        done = convfilter("run", argument, "p.png")
        assert done.exit_code == 2
        assert said in done.stderr and done.stderr.rstrip().endswith("^") and "Traceback" not in done.stderr
        assert max(map(len, done.stderr.splitlines())) < 200
    assert sorted(os.listdir()) == ["p.png", "pipeline.txt"]


def test_a_picture_too_small_for_the_pipeline_is_that_pictures_error(convfilter):
    save("small.png", noise(4, 4))
    save("large.png", noise(40, 40))
    done = convfilter("edge", "small.png", "large.png")
    assert (done.exit_code, done.stdout) == (1, "large_edge.png\n")
    assert [line for line in done.stderr.splitlines() if "small.png" in line] == [
        line for line in done.stderr.splitlines() if line.startswith("convfilter: small.png: Conv2d: ")
    ]


def test_output_names(convfilter):
    save("p.png", noise())
    assert convfilter("edge", "p.png", "-o", "out/deep").stdout == "out/deep/p_edge.png\n"
    assert convfilter("edge", "p.png", "-o", "one.png").stdout == "one.png\n"
    assert convfilter("compass", "p.png", "--name", "{filter}/{stem}-{channel:03}").stdout.startswith(
        "compass/p-000.png\n"
    )
    assert convfilter("tutorial", "p.png", "-o", "one.png").exit_code == 2
    assert convfilter("edge", "p.png", "-o", "one.jpg").exit_code == 2
    assert convfilter("edge", "p.png", "-o", "p.png").exit_code != 0
    assert pixels("p.png").tolist() == noise().tolist()
    assert convfilter("edge", "p.png", "--name", "{stm}").exit_code == 2


def test_channels_chosen(convfilter):
    save("p.png", noise())
    assert convfilter("compass", "p.png", "--channels", "0,3-4").stdout.split() == [
        f"p_compass_{c}.png" for c in (0, 3, 4)
    ]
    for wrong in ("8", "3-1", "-1", "a", ""):
        assert convfilter("compass", "p.png", f"--channels={wrong}").exit_code == 2


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        (["--norm", "minmax"], [0, 64, 128, 191, 255]),
        (["--norm", "clip"], [0, 0, 0, 50, 100]),
        (["--norm", "abs"], [255, 128, 0, 128, 255]),
        (["--norm", "symmetric"], [0, 64, 128, 191, 255]),
        (["--vmin", "0", "--vmax", "200"], [0, 0, 0, 64, 128]),
        (["--norm", "clip", "--vmax", "50"], [0, 0, 0, 255, 255]),
    ],
)
def test_how_floats_become_gray(convfilter, norm, expected):
    save("p.png", np.array([[0, 0, 0, 0, 0], [50, 75, 100, 125, 150]], np.uint8))  # less 100: -100 to 100
    done = convfilter("run", "Filter2d([[0], [0], [1]], padding='valid') | Identity", save("q.png", np.array(
        [[0] * 5, [0] * 5, [0, 50, 100, 150, 200]], np.uint8)), *norm)  # fmt: skip
    assert done.exit_code == 0, done.stderr
    done = convfilter("run", "Conv2d(1, 1, 1, bias=-100, weight=[[[1]]])", "q.png", *norm)
    assert pixels(done.stdout.strip())[2].tolist() == expected


@pytest.mark.parametrize("norm", ["minmax", "clip", "symmetric"])
@pytest.mark.parametrize("bits", [8, 16])
def test_the_floats_can_be_rebuilt_from_the_png(convfilter, norm, bits):
    save("p.png", noise())
    done = convfilter("run", "Filter2d(sobel_x) | Tanhshrink", "p.png", "--norm", norm, "--bits", bits)
    floats, text = read_floats(done.stdout.strip())
    truth = ndimage.correlate(noise().astype(float), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], mode="nearest")
    truth = truth - np.tanh(truth)
    black, white = float(text["convfilter:black"]), float(text["convfilter:white"])
    assert abs(floats - truth.clip(black, white)).max() <= 0.5001 * (white - black) / (2**bits - 1) + 1e-3


def test_sixteen_bits_are_a_true_16_bit_gray_png(convfilter):
    save("p.png", noise())
    convfilter("blur", "p.png", "--bits", "16")
    image = Image.open("p_blur.png")
    assert image.mode.startswith("I;16")
    assert len(np.unique(np.asarray(image))) > 500


def test_npy_is_the_raw_activation(convfilter):
    save("p.png", noise())
    assert convfilter("tutorial", "p.png", "--format", "npy").stdout == "p_tutorial_0.npy\np_tutorial_1.npy\n"
    for channel in (0, 1):
        values = np.load(f"p_tutorial_{channel}.npy")
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, tutorial("p.png")[channel], rtol=1e-5, atol=1e-3)
    assert convfilter("edge", "p.png", "-o", "raw.npy").stdout == "raw.npy\n"
    assert np.load("raw.npy").shape == (29, 37)


def test_white_scales_the_tensor(convfilter):
    save("p.png", noise())
    convfilter("run", "Identity", "p.png", "--white", "1", "--format", "npy")
    assert np.array_equal(np.load("p_Identity.npy"), (noise() / np.float32(255)).astype(np.float32))


def test_steps_save_every_layer_in_names_that_sort(convfilter):
    save("p.png", noise(40, 40))
    text = "Conv2d(1, 2, 3) | ReLU | " + " | ".join(["Identity"] * 9)
    names = convfilter("run", text, "p.png", "--steps").stdout.split()
    assert len(names) == 2 * 11 and names == sorted(names)
    assert "01-Conv2d" in names[0] and "11-Identity" in names[-1]
    assert read_text(names[0])["convfilter:pipeline"] == "Conv2d(1, 2, 3)"


def test_standard_input_and_output(convfilter):
    data = Path(save("p.png", noise())).read_bytes()
    done = convfilter("edge", "-", stdin=data)
    assert (done.exit_code, done.stdout) == (0, "stdin_edge.png\n"), done.stderr
    done = convfilter("edge", "-", "-o", "-", stdin=data)
    assert done.stdout_bytes == Path("stdin_edge.png").read_bytes()
    assert convfilter("tutorial", "-", "-o", "-", stdin=data).exit_code == 2
    assert convfilter("edge", "-", stdin=b"").exit_code == 1


@pytest.mark.parametrize("kernel", ["sharpen", "sobel_x", "gaussian"])
@pytest.mark.parametrize("mode", ["replicate:nearest", "reflect:mirror", "zeros:constant", "circular:grid-wrap"])
def test_clip_equals_scipys_correlate(convfilter, kernel, mode):
    ours, theirs = mode.split(":")
    save("p.png", noise(50, 61))
    done = convfilter("run", f"Filter2d({kernel}, padding_mode='{ours}')", "p.png", "--norm", "clip")
    (matrix,) = parse(kernel).layers[0].kernels[0].matrices
    truth = ndimage.correlate(noise(50, 61).astype(float), np.array(matrix), mode=theirs)
    assert abs(pixels(done.stdout.strip()) - np.rint(truth.clip(0, 255))).max() <= 1


@pytest.mark.parametrize("norm", ["minmax", "clip", "abs", "symmetric"])
@pytest.mark.parametrize(
    ("text", "gray"),
    [
        *((text, 0) for text in ("sobel", "scharr", "roberts", "prewitt", "Filter2d(freichen_x)", "log", "laplace")),
        *((text, 77) for text in ("blur(sigma=2)", "Identity", "Upsample(scale_factor=3, mode='bicubic')")),
        ("Threshold(99, 255)", 255),
        ("Threshold(99, 300)", 255),
    ],
)
def test_a_flat_channel_is_drawn_in_its_own_gray_and_noted(convfilter, text, gray, norm):
    save("flat.png", np.full((20, 20), 77, np.uint8))
    for white in ("255", "1") if "Threshold" not in text else ("255",):
        done = convfilter("run", text, "flat.png", "--norm", norm, "--white", white)
        assert done.exit_code == 0 and "channel 0 is flat" in done.stderr
        assert (pixels(done.stdout.split()[0]) == gray).all()


@pytest.mark.parametrize(
    ("options", "gray"),
    [
        (["--vmin", "0", "--vmax", "154"], 128),
        (["--vmax", "77"], 255),
        (["--vmin", "77"], 0),
        (["--vmin", "-101"], 128),  # from it to white
        (["--vmin", "300"], 0),
        (["--vmax", "-5"], 255),
    ],
)
def test_a_flat_channel_is_drawn_on_the_scale_that_is_given(convfilter, options, gray):
    save("flat.png", np.full((20, 20), 77, np.uint8))
    done = convfilter("run", "Identity", "flat.png", *options)
    assert "channel 0 is flat" in done.stderr and (pixels(done.stdout.strip()) == gray).all()


def test_a_flat_channel_is_drawn_in_its_own_gray_on_the_sheet_and_in_16_bits(convfilter):
    lines = np.full((60, 60), 255, np.uint8)
    lines[::4] = 0  # which max pooling takes away
    save("lines.png", lines)
    done = convfilter("run", "MaxPool2d(2, 1)", "lines.png", "--grid")
    sheet = np.asarray(Image.open(done.stdout.strip()).convert("L"))
    assert (sheet == 255).sum() >= 59 * 59  # the panel: elsewhere the sheet is darker
    done = convfilter("run", "MaxPool2d(2, 1)", "lines.png", "--bits", "16")
    written = Image.open(done.stdout.strip())
    assert (pixels(done.stdout.strip()) == 65535).all()
    assert (written.text["convfilter:black"], written.text["convfilter:white"]) == ("0.0", "255.0")


HUGE = "Conv2d(1, 1, 1, bias=False, weight=[[[1e30]]])"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HUGE} | {HUGE}", "infinity comes out of layer 2, Conv2d, in channel 0"),
        ("Filter2d([[-1]]) | Identity | LPPool2d(1.5, 2)", "NaN comes out of layer 3, LPPool2d, in channel 0"),
    ],
)
@pytest.mark.parametrize("exact", [[], ["--exact"], ["--grid"], ["--format", "npy"]])
def test_nan_and_infinity_are_errors_that_name_the_layer(convfilter, text, said, exact):
    save("p.png", noise() // 2 + 1)
    done = convfilter("run", text, "p.png", *exact)
    assert done.exit_code == 1 and os.listdir() == ["p.png"]
    assert f"convfilter: p.png: {said}\n" in done.stderr


def test_outputs_down_to_one_pixel(convfilter):
    save("p.png", noise(5, 5))
    assert convfilter("edge", "p.png").exit_code == 0
    assert pixels("p_edge.png").shape == (1, 1)
    save("dot.png", noise(1, 1))
    assert convfilter("sobel", "dot.png").exit_code == 0
    assert convfilter("run", "AdaptiveAvgPool2d(1)", "p.png").exit_code == 0


def test_the_grid_is_one_sheet(convfilter):
    save("p.png", noise(64, 80))
    done = convfilter("compass", "p.png", "--grid")
    assert done.stdout == "p_compass_grid.png\n"
    assert Image.open("p_compass_grid.png").mode == "RGB"
    assert len(convfilter("compass", "p.png", "--grid", "--keep").stdout.split()) == 9
    assert convfilter("compass", "p.png", "--keep").exit_code == 2


def test_info_prints_the_texts(convfilter):
    save("p.png", noise())
    convfilter("blur", "p.png")
    done = convfilter("info", "p_blur.png", "p.png")
    assert done.exit_code == 0
    assert "  convfilter:pipeline: Filter2d(gaussian(sigma=1.0))" in done.stdout
    convfilter("blur", "p.png", "--no-metadata")
    assert read_text("p_blur.png") == {}
    Path("no.png").write_text("hello")
    assert convfilter("info", "no.png", "missing.png", "p.png").exit_code == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_info_opens_only_files(convfilter):
    os.mkfifo("pipe.png")
    os.mkdir("folder.png")
    done = convfilter("info", "pipe.png", "folder.png", "/dev/zero")
    assert done.exit_code == 1 and done.stderr.splitlines() == [
        "convfilter: pipe.png: is a pipe, not a picture file",
        "convfilter: folder.png: is a folder, not a picture file",
        "convfilter: /dev/zero: is a device, not a picture file",
    ]


def test_json_is_one_object_a_source_in_order(convfilter):
    save("a.png", ramp())
    Path("b.png").write_bytes(b"no picture")
    done = convfilter("tutorial", "a.png", "b.png", "--json", "-q")
    first, second, last = map(json.loads, done.stdout.splitlines())
    keys = [
        "source",
        "outputs",
        "width",
        "height",
        "shape",
        "ranges",
        "seconds",
        "status",
        "error",
        "kind",
        "notes",
        "destination",
    ]
    assert list(first) == list(second) == keys
    assert last == {"counts": {"done": 1, "skipped": 0, "failed": 1, "outputs": 2}, "stopped": None}
    assert (first["kind"], second["kind"]) == (None, "picture")
    assert (first["source"], first["width"], first["height"], first["shape"]) == ("a.png", 32, 24, [2, 20, 28])
    assert first["outputs"] == ["a_tutorial_0.png", "a_tutorial_1.png"] and len(first["ranges"]) == 2
    assert (first["status"], first["error"], second["status"]) == ("done", None, "failed")
    assert second["error"] and second["outputs"] == []


def test_memory_and_pixels_are_refused_before_decoding(convfilter):
    save("p.png", noise(300, 300))
    done = convfilter("edge", "p.png", "--max-pixels", "1000")
    assert done.exit_code == 1 and "90,000 pixels" in done.stderr and "--max-pixels" in done.stderr
    done = convfilter("edge", "p.png", "--max-memory", "1M")
    assert done.exit_code == 1 and "--max-memory" in done.stderr and "1.0 MiB" in done.stderr
    assert convfilter("edge", "p.png", "--max-memory", "lots").exit_code == 2


def test_options_that_make_no_sense_are_usage_errors(convfilter):
    save("p.png", noise())
    for arguments in (
        ["--white", "0"], ["--white", "nan"], ["--vmin", "5", "--vmax", "5"], ["--bits", "12"], ["--jobs", "-1"],
        ["--background", "nocolour"], ["--frames", "x"], ["--format", "npy", "--grid"], ["--shard", "3"],
    ):  # fmt: skip
        done = convfilter("edge", "p.png", *arguments)
        assert done.exit_code == 2 and "Traceback" not in done.output, arguments
    assert convfilter("edge").exit_code == 2
    assert os.listdir() == ["p.png"]


def test_help_groups_and_examples(convfilter):
    text = convfilter("--help").stdout
    assert text.index("Presets:") < text.index("Commands:") and "Examples:" in text
    for command in ("edge", "run"):
        text = convfilter(command, "--help").stdout
        places = [text.index(f"\n{group}:") for group in ("Pictures in", "Pipeline", "Pictures out", "Running")]
        assert places == sorted(places) and "Examples:" in text


def test_every_option_and_command_has_help(convfilter):
    import click

    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command.help, name
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, (name, parameter.name)


def test_a_child_process_in_a_real_folder(tmp_path):
    save(tmp_path / "photo 1.png", noise())
    done = subprocess.run(
        [sys.executable, "-m", "convfilter", "run", "edge | ReLU", "photo 1.png", "gone.png"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "photo 1_edge-ReLU.png\n")
    assert done.stderr.splitlines()[0] == "convfilter: gone.png: No such file or directory"
    assert sorted(os.listdir(tmp_path)) == ["photo 1.png", "photo 1_edge-ReLU.png"]


@pytest.mark.parametrize("size", [(300, 400), (41, 33), (700, 16)])
@pytest.mark.parametrize("text", ["edge(3)", "gaussian(5) | MaxPool2d(2)", "Filter2d(sobel_x, sobel_y)"])
@pytest.mark.parametrize("bits", [8, 16])
def test_tiles_and_exact_give_the_same_picture(convfilter, size, text, bits):
    save("p.png", noise(*size))
    done = convfilter("run", text, "p.png", "--bits", bits, "-o", "tiles")
    names = done.stdout.split()
    assert done.exit_code == 0 and names, done.stderr
    assert convfilter("run", text, "p.png", "--bits", bits, "-o", "exact", "--exact").exit_code == 0
    for name in names:
        assert abs(pixels(name) - pixels(name.replace("tiles", "exact"))).max() <= 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[run]\npipeline = "edge"\n', "'convfilter run' is a command"),
        ("[soft\n", "not a TOML file"),
        ('[soft]\nhelp = "x"\n', "pipeline"),
        ('[soft]\npipeline = "blur(sigma={quiet})"\noptions = { quiet = 1 }\n', "--quiet"),
    ],
)
@pytest.mark.parametrize("arguments", [["--help"], ["soft", "p.png"], ["presets"]])
def test_a_wrong_presets_file_is_one_message(convfilter, text, said, arguments):
    Path("own.toml").write_text(text)
    done = convfilter("--presets", "own.toml", *arguments)
    if "quiet" in text and arguments == ["presets"]:
        return
    assert done.exit_code == 2 and said in done.stderr and "Traceback" not in done.output, done.exception


@pytest.mark.parametrize("norm", ["minmax", "clip", "abs", "symmetric"])
@pytest.mark.parametrize(("end", "expected"), [(["--vmin", "1000"], 0), (["--vmax=-1000"], 255)])
@pytest.mark.parametrize("values", [noise(), np.full((9, 9), 77, np.uint8)])
def test_one_end_beyond_all_values_saturates_and_never_inverts(convfilter, norm, end, expected, values):
    save("p.png", values)
    done = convfilter("run", "Identity", "p.png", "--norm", norm, *end)
    assert done.exit_code == 0 and set(pixels("p_Identity.png").flatten()) == {expected}


@pytest.mark.parametrize(
    "text", ["Upsample(scale_factor=1000)", "ZeroPad2d(100000)", "ZeroPad2d(100000) | MaxPool2d(1000)"]
)
def test_a_pipeline_that_makes_too_many_pixels_is_refused_before_decoding(convfilter, text):
    save("p.png", noise(300, 300))
    for more in ([], ["--dry-run"], ["--exact"]):
        done = convfilter("run", text, "p.png", *more)
        assert done.exit_code == 1 and "pixels of it" in done.stderr and "--max-pixels" in done.stderr
    assert os.listdir() == ["p.png"]


def test_a_printed_model_runs_to_its_last_image_or_to_a_layer(program, tmp_path):
    (tmp_path / "net.txt").write_text(
        "VGG((features): Sequential((0): Conv2d(1, 2, kernel_size=(3, 3)) (1): ReLU()) (fc): Linear(in_features=2))"
    )
    Image.effect_noise((20, 16), 90).save(tmp_path / "a.png")
    done = program.run("run", "@net.txt", "a.png", "--format", "npy", cwd=tmp_path)
    assert done.returncode == 0 and b"note: fc (Linear) and what follows it are left out" in done.stderr
    done = program.run("run", "@net.txt", "a.png", "--format", "npy", "--until", "features.0", "-o", "x", cwd=tmp_path)
    assert done.returncode == 0 and b"left out" not in done.stderr
    before, after = (np.load(tmp_path / name) for name in ("x/a_net_0.npy", "a_net_0.npy"))
    assert before.min() < 0 and np.array_equal(np.maximum(before, 0), after)
    done = program.run("run", "@net.txt", "a.png", "--until", "fc", cwd=tmp_path)
    assert done.returncode == 2 and b"--until fc: the pipeline has no such layer; there are 0 to 1" in done.stderr
    done = program.run("explain", "edge | ReLU | Tanh", "--until", "1", cwd=tmp_path)
    assert b"ReLU" in done.stdout and b"Tanh" not in done.stdout


def test_a_long_pipeline_is_short_in_the_list_of_presets_and_whole_in_its_help(convfilter):
    lines = convfilter("presets").stdout.splitlines()
    assert max(map(len, lines)) < 240
    assert lines[-1].strip().startswith("ReplicationPad2d(7) | Conv2d(1, 32, 3, weight=")
    assert lines[-1].endswith("... ('convfilter denoise --help' has all of it)")
    assert "denoise.safetensors:13.bias" not in lines[-1]
    assert "bias='convfilter:denoise.safetensors:13.bias')" in convfilter("denoise", "--help").stdout
    assert "          Conv2d(1, 1, 5, bias=False, weight=[edge(5)])" in lines


@pytest.mark.parametrize(
    "command", ["info", "report edge", "compare edge blur", "explain edge --image", "fit edge a.png"]
)
def test_a_url_that_is_refused_is_shown_without_its_password(command, program, tmp_path):
    done = program.run(*command.split(), "https://me:hunter2@host/a.png?sig=hunter2", cwd=tmp_path)
    assert done.returncode in (1, 2) and b"hunter2" not in done.stdout + done.stderr
    assert done.stderr.count(b"\n") <= 2
