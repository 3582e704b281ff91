import os
import random
import sys
import threading
from pathlib import Path

import pytest
import random_layers

from convfilter import Pipeline, PipelineError, UsageError, parse
from convfilter.language.pipeline import parse_preset
from convfilter.language.presets import PRESETS
from convfilter.layers.kernels import KERNELS


def reason(text: str) -> str:
    with pytest.raises(PipelineError) as caught:
        parse(text).shapes((1, 64, 64))
    return caught.value.reason


def random_text(rng: random.Random, most: int = 4) -> str:
    texts = []
    for _ in range(rng.randint(1, most)):
        name = rng.choice(list(random_layers.LAYERS))
        arguments = random_layers.LAYERS[name](rng, rng.choice([1, 4]), 9, 12)
        texts.append(random_layers.write(rng, name, arguments))
        if rng.random() < 0.2:
            texts.append(rng.choice([*PRESETS, *KERNELS, "flip(sobel_x)", "blur(sigma=1/3, stride=2)", "box(5)"]))
    return rng.choice([" | ", "|", "\n|", " |  # so\n"]).join(texts)


def test_a_random_pipeline_is_written_so_that_it_reads_back_equal():
    rng = random.Random(2)
    parsed = 0
    while parsed < 500:
        try:
            pipeline = parse(random_text(rng))
        except PipelineError:  # channels that do not meet
            continue
        parsed += 1
        again = parse(str(pipeline))
        assert again == pipeline and str(again) == str(pipeline) and hash(again) == hash(pipeline)


@pytest.mark.parametrize(
    "text, written",
    [
        ("edge", "Conv2d(1, 1, 5, bias=False, weight=[edge(5)])"),
        ("sobel_x | ReLU", "Filter2d(sobel_x) | ReLU()"),
        ("flip(sobel_x)", "Filter2d(flip(sobel_x))"),
        ("gaussian(sigma=1/4)", "Filter2d(gaussian(sigma=0.25))"),
        ("Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1), padding=[1, 1], bias=True)", "Conv2d(1, 2, 3, padding=1)"),
        ("Conv2d(1, 2, (3, 5), padding=same)", "Conv2d(1, 2, (3, 5), padding='same')"),
        ("Conv2d(padding_mode='reflect', kernel_size=3, out_channels=2, in_channels=1, padding=1)",
         "Conv2d(1, 2, 3, padding=1, padding_mode='reflect')"),
        ("Conv2d(1, 1, 2, weight=[[1, 2], [3, 4]], bias=[1])", "Conv2d(1, 1, 2, bias=1, weight=[[[1, 2], [3, 4]]])"),
        ("Conv2d(1, 2, 5, weight=edge)", "Conv2d(1, 2, 5, weight=[edge])"),
        ("Conv2d(1, 2, 5, weight=None)", "Conv2d(1, 2, 5)"),
        ("MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)", "MaxPool2d(2, stride=2)"),
        ("ZeroPad2d((1, 1, 1, 1)) | ZeroPad2d((1, 2, 3, 4))", "ZeroPad2d(1) | ZeroPad2d((1, 2, 3, 4))"),
        ("AdaptiveAvgPool2d((None, 7))", "AdaptiveAvgPool2d((None, 7))"),
        ("Hardtanh(-inf, inf)", "Hardtanh(min_val=-inf, max_val=inf)"),
        ("Identity(54, unused='it\"s', other=(1,))", "Identity(54, unused='it\"s', other=1)"),
        ("Filter2d([[1, -2.5], [1e-3, 1/4]], stride=2)", "Filter2d([[1, -2.5], [0.001, 0.25]], stride=2)"),
        ("blur(sigma=2, stride=2) | block", "Filter2d(gaussian(sigma=2), stride=2) | LazyConv2d(8, 3, padding='same')"
         " | ReLU() | MaxPool2d(2)"),
        ("ZeroPad2d((1, 1)) | LayerNorm((9, 9)) | LayerNorm((5,))", "ZeroPad2d((1, 1)) | LayerNorm((9, 9)) | "
         "LayerNorm((5,))"),
        ("Conv2d(1, 2, 3, device='cuda:0', dtype=torch.float32)", "Conv2d(1, 2, 3)"),
    ],
)  # fmt: skip
def test_how_a_pipeline_is_written(text, written):
    assert str(parse(text)) == written
    assert parse(written) == parse(text)


def test_layers_that_mean_the_same_are_equal():
    assert parse("Conv2d(1, 2, 3, stride=1)") == parse("nn.Conv2d(1, out_channels=2, kernel_size=(3, 3))")
    assert parse("ELU(alpha=1.0)") == parse("ELU")
    assert parse("sobel") == parse("Filter2d(sobel_x, sobel_y) | Magnitude")
    assert parse("MaxPool2d(2)") != parse("MaxPool2d(3)")
    assert len({parse("edge"), parse("edge()"), parse("edge(size=5)")}) == 1


def test_shapes_and_channels():
    pipeline = parse("tutorial | MaxPool2d(2)")
    assert pipeline.shapes((1, 512, 512)) == [(2, 508, 508), (2, 254, 254)]
    assert pipeline.channels() == 2
    assert parse("Filter2d(kirsch) | Filter2d(sobel_x, sobel_y)").channels(3) == 48
    assert parse("ReLU | PReLU(3)").channels(3) == 3
    with pytest.raises(PipelineError, match="it takes 3 channels, and 1 comes in"):
        parse("ReLU | PReLU(3)").channels()


def test_channels_that_cannot_meet_are_found_without_a_picture():
    assert reason("ReLU | Conv2d(3, 8, 1) | Tanh | Conv2d(4, 1, 1)").startswith(
        "Conv2d: it takes 4 channels, and 8 come in"
    )
    parse("ReLU | Conv2d(3, 8, 1)")  # three channels may come in yet


def test_the_kernels_of_a_layer():
    first, second, third = parse("Conv2d(1, 3, 3, weight=[sobel_x, box]) | Filter2d(kirsch) | ReLU").layers
    assert [kernel.text for kernel in first.kernels] == ["sobel_x", "box"]
    assert len(second.kernels[0].matrices) == 8 and third.kernels == ()


@pytest.mark.parametrize(
    "text, name",
    [
        ("edge", "edge"),
        ("blur(sigma=2) | ReLU", "blur-ReLU"),
        ("Conv2d(1, 1, 3) | ReLU | MaxPool2d(2) | Tanh", "Conv2d-ReLU-MaxPool2d-Tanh"),
        ("ReLU | ReLU | ReLU | ReLU | ReLU", "ReLU-ReLU-ReLU-ReLU-5-layers"),
    ],
)
def test_a_pipeline_is_named_as_it_was_written(text, name):
    assert parse(text).name == name


def test_a_file_names_its_pipeline(tmp_path):
    (tmp_path / "my blocks.txt").write_text("ReLU")
    assert parse(f'@"{tmp_path}/my blocks.txt"').name == "my blocks"
    assert parse(f'edge | @"{tmp_path}/my blocks.txt"').name == "edge-my blocks"


# Files.


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_file_holds_a_pipeline_with_comments_and_line_breaks(tmp_path):
    path = write(
        tmp_path / "blocks.txt",
        "\ufeff# a block\r\nConv2d(1, 8, 3, padding='same')  # first\r\n| ReLU\r\n| MaxPool2d(2)\r\n",
    )
    assert str(parse(f"@{path} | Tanh")) == "Conv2d(1, 8, 3, padding='same') | ReLU() | MaxPool2d(2) | Tanh()"


def test_a_file_holds_a_kernel(tmp_path):
    path = write(tmp_path / "kernel.txt", "0 1/2 0  # a row\n-1 2 -1\n0, 0.5, 0\n")
    pipeline = parse(f"Filter2d(@{path}, flip(@{path})) | Conv2d(1, 1, 3, weight=[@{path}])")
    assert pipeline.layers[0].kernels[0].matrices == (((0, 0.5, 0), (-1, 2, -1), (0, 0.5, 0)),)
    assert "kernel.txt" not in str(pipeline)  # it reads back without the file
    assert parse(str(pipeline)) == pipeline


def test_a_name_in_a_file_starts_from_that_file(tmp_path, monkeypatch):
    write(tmp_path / "outer.txt", "@sub/inner.txt | ReLU")
    write(tmp_path / "sub" / "inner.txt", "Filter2d(@k.txt) | @more.txt")
    write(tmp_path / "sub" / "more.txt", "Tanh")
    write(tmp_path / "sub" / "k.txt", "1 2")
    monkeypatch.chdir(tmp_path)
    assert str(parse("@outer.txt")) == "Filter2d([[1.0, 2.0]]) | Tanh() | ReLU()"


def test_a_mistake_in_a_file_shows_the_file_and_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.txt", "edge\n| @b.txt\n")
    write(tmp_path / "b.txt", "# fine\nReLU\n| Conv2d(1, 1, 3, weight=[sobel])\n")
    with pytest.raises(PipelineError) as caught:
        parse("@a.txt")
    assert str(caught.value).splitlines() == [
        "b.txt, line 3, column 27: there is no kernel 'sobel'; did you mean sobel_x or sobel_y?",
        "  | Conv2d(1, 1, 3, weight=[sobel])",
        "                            ^^^^^",
    ]
    write(tmp_path / "b.txt", "MaxPool2d(100)")
    with pytest.raises(
        PipelineError, match=r"^b.txt, line 1, column 1: MaxPool2d: the picture is 60 high here"
    ) as caught:
        parse("@a.txt").shapes((1, 64, 64))


def test_files_that_hold_no_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "self.txt", "ReLU | @./self.txt")
    write(tmp_path / "ping.txt", "@pong.txt")
    write(tmp_path / "pong.txt", "@ping.txt")
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    write(tmp_path / "empty", "")
    write(tmp_path / "huge", "ReLU | " * 150_000)
    write(tmp_path / "ragged", "1 2\n3")
    (tmp_path / "folder").mkdir()
    assert reason("@self.txt") == "./self.txt stands for itself here, without an end"
    assert reason("@ping.txt") == "ping.txt stands for itself here, without an end"
    assert reason("@binary").startswith("binary is not a text file in UTF-8; 'convfilter help weights' says")
    assert reason("@empty").startswith("the pipeline is empty")
    assert reason("@huge") == "huge is longer than 999,999 characters"
    assert reason("@folder") == "folder is a folder"
    assert reason("@missing").startswith("missing cannot be read: No such file")
    assert reason("@'two words'").startswith("two words cannot be read")
    assert reason("@" + "x" * 5000).endswith("File name too long") or os.name == "nt"
    assert reason("Filter2d(@ragged)").startswith("ragged: line 2: 1 in this row and 2 in line 1")
    assert reason("Filter2d(@folder)") == "folder is a folder"


def test_files_that_double_and_double_again_have_an_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for depth in range(20):
        write(tmp_path / f"{depth}.txt", f"@{depth + 1}.txt | @{depth + 1}.txt")
    write(tmp_path / "20.txt", "|".join(["ReLU"] * 500))
    assert reason("@3.txt").startswith("a pipeline has at most 50,000 layers")
    assert reason("@0.txt") == "files and presets stand more than 20 deep inside each other"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for text in (f"@{tmp_path}/pipe", f"Filter2d(@{tmp_path}/pipe)"):
        found = []
        waiting = threading.Thread(target=lambda text=text, found=found: found.append(reason(text)), daemon=True)
        waiting.start()
        waiting.join(10)
        assert found and found[0].endswith("pipe is not a regular file")


@pytest.mark.skipif(sys.platform == "win32", reason="the system's own files are elsewhere")
def test_a_device_is_not_read():
    assert reason("@/dev/zero") == "/dev/zero is not a regular file"


def test_every_layer_knows_where_it_stands(tmp_path):
    text = "edge |\n blur(sigma=2) | ReLU"
    assert [text[layer.place.start : layer.place.end] for layer in parse(text).layers] == [
        "edge",
        "blur(sigma=2)",
        "ReLU",
    ]


def test_an_empty_name_is_not_a_pipelines():
    assert Pipeline(parse("ReLU").layers).name == "pipeline"


def test_a_preset_from_the_command_line_takes_values_and_nothing_else():
    assert str(parse_preset("blur", {"sigma": "1/2"})) == "Filter2d(gaussian(sigma=0.5))"
    assert (
        str(parse_preset("edge", {"padding": "same"}))
        == "Conv2d(1, 1, 5, padding='same', bias=False, weight=[edge(5)])"
    )
    assert parse_preset("edge", {"size": "7"}).name == "edge"
    for value in ("2) | ReLU(", "2, stride=2", "", "2 3", "#", "2\n"):
        if value.strip() != "2":
            with pytest.raises(PipelineError):
                parse_preset("blur", {"sigma": value})


VGG = """VGG(
  (features): Sequential(
    (0): Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    (1): ReLU(inplace=True)
    (2): MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
  )
  (avgpool): AdaptiveAvgPool2d(output_size=(7, 7))
  (classifier): Sequential(
    (0): {first}
    (1): Linear(in_features=196, out_features=10, bias=True)
    (2): ReLU(inplace=True)
  )
)"""


@pytest.mark.parametrize("first", ["Dropout(p=0.5, inplace=False)", "Flatten(start_dim=1, end_dim=-1)"])
def test_a_printed_network_ends_where_its_image_does(first):
    pipeline = parse(VGG.format(first=first))
    assert [layer.path for layer in pipeline.layers] == ["features.0", "features.1", "features.2", "avgpool"]
    [note] = pipeline.notes
    assert note.startswith(f"classifier.0 ({first.partition('(')[0]}) and what follows it are left out")
    assert pipeline.name == "Conv2d-ReLU-MaxPool2d-AdaptiveAvgPool2d"
    assert parse("edge | ReLU").notes == ()


def test_until_stops_after_a_layer():
    pipeline = parse(VGG.format(first="Flatten()"))
    assert len(pipeline.until("features.1").layers) == len(pipeline.until("1").layers) == 2
    assert pipeline.until("avgpool") == pipeline and pipeline.until("0").layers == pipeline.layers[:1]
    for name, hint in (("features.9", "did you mean"), ("4", "there are 0 to 3, or names such as avgpool"), ("-1", "")):
        with pytest.raises(UsageError, match=hint):
            pipeline.until(name)


def test_a_printed_alexnet_is_what_torch_has():
    from torch import nn

    from convfilter.engine.build import build

    features = nn.Sequential(nn.Conv2d(1, 64, 11, stride=4, padding=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
    classifier = nn.Sequential(nn.Dropout(), nn.Linear(256, 10))
    printed = str(nn.ModuleDict({"features": features, "classifier": classifier})).replace("ModuleDict", "AlexNet")
    assert str(build(parse(printed))).replace("ReLU()", "ReLU(inplace=True)") == str(features.eval())


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("AvgPool2d(2)", ()),
        ("nn.Sequential(nn.AvgPool2d(2), nn.PReLU())", ()),
        ("Sequential((0): AvgPool2d(kernel_size=2, stride=2, padding=0))",
         ("AvgPool2d: PyTorch does not print ceil_mode, count_include_pad and divisor_override; "
          "the default is taken",)),
        ("Sequential((0): AvgPool2d(kernel_size=2, ceil_mode=True, count_include_pad=False, divisor_override=3))", ()),
        ("Sequential((0): PReLU(num_parameters=1) (1): PReLU(num_parameters=1))",
         ("PReLU: PyTorch does not print init; the default is taken",)),
        ("Sequential((0): Upsample(scale_factor=2.0, mode='bilinear'))",
         ("Upsample: PyTorch does not print align_corners and recompute_scale_factor; the default is taken",)),
        ("Sequential((0): UpsamplingBilinear2d(scale_factor=2.0, mode='bilinear'))", ()),
        ("Conv2d(1, 1, 3, device='cuda')", ("Conv2d: device='cuda' has no effect: a whole run is on one device",)),
        ("Conv2d(1, 1, 3, dtype=torch.float32)", ()),
        ("BatchNorm2d(1) | BatchNorm2d(1)",
         ("BatchNorm2d: without a trained network's mean and variance it is the identity",)),
        ("BatchNorm2d(1, track_running_stats=False) | InstanceNorm2d(1)", ()),
        ("LazyInstanceNorm2d()",
         ("LazyInstanceNorm2d: without a trained network's mean and variance it is the identity",)),
    ],
)  # fmt: skip
def test_a_note_says_what_the_text_leaves_open(text, notes):
    assert parse(text).notes == notes


def test_a_printed_mode_that_is_not_the_layers_own_is_refused():
    with pytest.raises(PipelineError, match="UpsamplingNearest2d has no argument 'mode'"):
        parse("Sequential((0): UpsamplingNearest2d(scale_factor=2.0, mode='bicubic'))")


def test_until_a_block_is_until_its_last_layer():
    model = parse(
        "VGG((features): Sequential((0): ReLU() (1): Sequential((0): Tanh() (1): Sigmoid())) (avgpool): AvgPool2d(2))"
    )
    for name, count in (("features", 3), ("features.1", 3), ("features.1.0", 2), ("avgpool", 4), ("0", 1), ("3", 4)):
        assert len(model.until(name).layers) == count, name
    repeated = parse("Sequential((0): ReLU() (1-2): 2 x Sequential((0): Tanh() (1): Sigmoid()))")
    assert [len(repeated.until(name).layers) for name in ("0", "1", "2", "2.0", "1.1")] == [1, 3, 5, 4, 3]
    with pytest.raises(UsageError, match="--until feature: the pipeline has no such layer"):
        model.until("feature")


@pytest.mark.parametrize("before", ["", "ReLU | ", "ReplicationPad2d(7) | MaxPool2d(2) | "])
def test_colour_and_gray_are_told_apart_behind_layers_that_take_any_channels(before):
    for ask in (lambda one, c: one.channels(c), lambda one, c: one.shapes((c, 40, 40))):
        with pytest.raises(PipelineError, match="loaded as grayscale; --mode RGB loads colour"):
            ask(parse(f"{before}Conv2d(3, 4, 3)"), 1)
        with pytest.raises(PipelineError, match="--mode RGB loads three channels: leave it out"):
            ask(parse(f"{before}Conv2d(1, 4, 3)"), 3)
    with pytest.raises(PipelineError) as error:
        parse(f"{before}LazyConv2d(1, 3) | Conv2d(3, 4, 3)").channels(1)
    assert "grayscale" not in str(error.value)
