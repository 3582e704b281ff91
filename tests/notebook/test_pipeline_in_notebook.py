"""The Python face: pipelines that show, join and run themselves, and come from an nn.Sequential with its weights."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import convfilter
from convfilter import Pipeline, PipelineError, UsageError, parse, run_files

ROOT = Path(__file__).parents[2]
NOISE = np.random.default_rng(0).integers(0, 256, (60, 90), np.uint8)


def test_a_pipeline_is_a_short_value():
    pipeline = parse("edge | ReLU | MaxPool2d(2)")
    assert type(pipeline) is Pipeline and isinstance(pipeline, convfilter.Pipeline)
    assert repr(pipeline) == "Pipeline('Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | ReLU() | MaxPool2d(2)')"
    assert len(repr(parse(" | ".join(["ReLU"] * 99)))) < 100 and len(pipeline) == 3
    assert parse(str(pipeline)) == pipeline == parse(pipeline) and hash(parse(str(pipeline))) == hash(pipeline)
    assert type(pipeline.until("1")) is Pipeline and len(pipeline.until("1")) == 2


def test_pipelines_are_joined_with_each_other_and_with_texts():
    joined = parse("edge") | "ReLU" | parse("MaxPool2d(2)")
    assert type(joined) is Pipeline and joined == parse("edge | ReLU | MaxPool2d(2)")
    assert "blur" | parse("sobel") == parse("blur | sobel")
    with pytest.raises(PipelineError, match="channels"):
        parse("Conv2d(1, 2, 3)") | "Conv2d(3, 1, 3)"
    with pytest.raises(TypeError):
        parse("edge") | 3


def test_an_explanation_prints_its_table_and_shows_it_in_a_notebook():
    explanation = parse("edge | MaxPool2d(2)").explain((1, 60, 60))
    assert explanation.output == (1, 28, 28) and "1x56x56" in str(explanation) and "receptive" in str(explanation)
    html = explanation._repr_html_()
    assert html.count("<tr>") == 4 and "<td>1x28x28</td>" in html and "weight=[edge(5)]" in html
    assert "<td>1x508x508</td>" in parse("edge")._repr_html_()
    assert (
        "&lt;" not in parse("Conv2d(1, 1, 600)")._repr_html_() and "<code>" in parse("Conv2d(1, 1, 600)")._repr_html_()
    )
    with pytest.raises(PipelineError):
        parse("edge").explain((1, 3, 3))
    assert parse("Conv2d(3, 1, 1)").explain().input == (3, 512, 512)


@pytest.mark.parametrize("text", ["edge | ReLU", "Conv2d(1, 4, 3) | InstanceNorm2d(4) | MaxPool2d(2)", "sobel"])
@pytest.mark.parametrize("kind", ["image", "array", "tensor", "floats", "batch of one", "uint16"])
def test_a_call_gives_what_the_module_gives(text, kind):
    pipeline, floats = parse(text), NOISE.astype(np.float32)
    x = {
        "image": Image.fromarray(NOISE), "array": NOISE, "tensor": torch.from_numpy(NOISE),
        "floats": floats, "batch of one": torch.from_numpy(floats)[None, None], "uint16": NOISE * np.uint16(257),
    }[kind]  # fmt: skip
    y = pipeline(x, seed=3)
    expected = pipeline.module(seed=3)(torch.from_numpy(floats)[None, None])[0]
    assert y.dtype == torch.float32 and y.shape == expected.shape
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=0.05)
    torch.testing.assert_close(pipeline(NOISE, seed=3, white=1), pipeline.module(seed=3)(
        torch.from_numpy(floats / 255)[None, None])[0], rtol=1e-4, atol=1e-3)  # fmt: skip


def test_colour_where_the_first_layer_takes_it():
    photo = Image.fromarray(np.dstack([NOISE, NOISE.T.copy().reshape(60, 90), 255 - NOISE]))
    colour, gray = parse("Conv2d(3, 2, 3)"), parse("Conv2d(1, 2, 3)")
    x = torch.from_numpy(np.asarray(photo).transpose(2, 0, 1).astype(np.float32))
    torch.testing.assert_close(colour(photo), colour.module()(x[None])[0], rtol=1e-4, atol=0.05)
    torch.testing.assert_close(colour(x), colour(photo))
    torch.testing.assert_close(gray(photo), gray(photo.convert("L")))


@pytest.mark.parametrize("text", ["tutorial", "Filter2d(sobel_x) | Tanhshrink", "blur", "sobel"])
@pytest.mark.parametrize("norm", ["minmax", "clip", "abs", "symmetric"])
def test_images_are_those_that_the_program_saves(text, norm, tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    (result,) = run_files(text, tmp_path / "a.png", norm=norm, jobs=1)
    images = parse(text).images(Image.open(tmp_path / "a.png"), norm=norm)
    assert len(images) == len(result.outputs)
    for image, path in zip(images, result.outputs, strict=True):
        assert image.mode == "L" and np.array_equal(np.asarray(image), np.asarray(Image.open(path)))


def test_a_module_keeps_its_own_weights_wherever_it_goes(tmp_path):
    torch.manual_seed(7)
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.InstanceNorm2d(4, affine=True))
    module = nn.Sequential(first, nn.MaxPool2d(2), nn.Conv2d(4, 2, 3, bias=False))
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.9)
    module.eval()
    pipeline = parse(module)
    with torch.no_grad():
        expected = module(torch.from_numpy(NOISE.astype(np.float32))[None, None])[0]
        module[0][0].weight.zero_()  # the pipeline has a copy
    torch.testing.assert_close(pipeline(NOISE), expected, rtol=1e-4, atol=0.05)
    torch.testing.assert_close((pipeline | "Identity")(NOISE, seed=9), expected, rtol=1e-4, atol=0.05)
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    results = list(run_files(pipeline, tmp_path / "a.png", format="npy", name="y_{channel}"))
    assert [r.error for r in results] == [None]
    for channel, path in enumerate(results[0].outputs):
        np.testing.assert_allclose(np.load(path), expected[channel], rtol=1e-4, atol=0.05)
    assert parse(module) != pipeline and "0.0.weight~" in str(pipeline)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 3, 4, 5)), "expected one picture"), (np.zeros(4), "expected one picture"),
        (np.zeros((0, 4)), "expected one picture"), (np.zeros((4, 4), np.int64), "uint8 or uint16"),
        ("photo.png", "expected one picture"), (np.zeros((9, 9), complex), "expected one picture"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(x, words):
    with pytest.raises(UsageError, match=words):
        parse("edge")(x)


def test_a_picture_that_does_not_fit_and_options_that_do_not_exist():
    with pytest.raises(PipelineError):
        parse("edge")(np.zeros((3, 3), np.uint8))
    with pytest.raises(PipelineError, match="channels"):
        parse("edge")(np.zeros((3, 9, 9), np.uint8))
    with pytest.raises(UsageError, match="--norm: 'max' is not one of"):
        parse("edge").images(NOISE, norm="max")
    with pytest.raises(UsageError, match=r"an nn\.Sequential, not Conv2d"):
        parse(nn.Conv2d(1, 1, 1))
    with pytest.raises(PipelineError, match="Linear"):
        parse(nn.Sequential(nn.Linear(2, 2)))


def test_importing_and_parsing_loads_neither_torch_nor_pillow():
    code = (
        "import sys, convfilter; print(convfilter.parse('edge').explain()); "
        "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_images").symlink_to(ROOT / "sample_images")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    for block in blocks:
        for line in block.splitlines():
            code, _, said = line.partition("   # ")
            if said.startswith(("Pipeline(", "[", "3", "torch.")):
                exec(re.sub(r"^(y) = ", "", code) if not code.startswith("y") else code, names)
                value = code.strip().removeprefix("y = ")
                shown = eval(f"({value})" + (".shape" if said.startswith("torch.") else ""), names)
                assert repr(shown) == said.strip()
        exec(block, names)
    assert len(blocks) == 5 and (tmp_path / "edges.png").exists() and "done sample_images/" in capsys.readouterr().out
