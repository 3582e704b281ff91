"""The report as a file: what it says, that it needs nothing and lets nothing in, and that it stays small."""

import base64
import hashlib
import io
import json
import os
import re

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from convfilter import InputError, PipelineError, UsageError, parse
from convfilter.cli.main import cli
from convfilter.engine.build import build
from convfilter.layers.catalogue import LAYERS
from convfilter.report.page import make_report
from convfilter.report.write import write_report
from convfilter.run.options import Options

RAMP = torch.arange(48.0 * 40).view(1, 1, 48, 40) % 251


def page_of(text: str, x: torch.Tensor = RAMP, name: str = "picture.png", **options) -> str:
    pipeline = parse(text)
    return make_report(pipeline, build(pipeline), x, source_name=name, text=text, **options)


def words(page: str) -> str:
    """The page's text without its markup."""
    return " ".join(re.sub(r"<[^>]*>", " ", page.partition("<main>")[2].partition("</main>")[0]).split())


def carried(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="page">(.*?)</script>', page, re.DOTALL)[1])


def test_every_layer_has_a_lesson():
    assert all(entry.lesson.endswith(".") for entry in LAYERS.values())


def test_what_is_said_of_a_layer():
    said = words(page_of("Conv2d(1, 2, (5, 3), stride=2, padding=(2, 0)) | ReLU | AdaptiveAvgPool2d(4)"))
    for sentence in [
        "1 Conv2d(1, 2, (5, 3), stride=2, padding=(2, 0))",
        "Shape (C×H×W) 1×48×40 → 2×24×19",
        "Height floor((48 + 2*2 - 1*(5-1) - 1)/2) + 1 = 24",
        "Width floor((40 + 2*0 - 1*(3-1) - 1)/2) + 1 = 19",
        "Parameters 32",
        "Receptive field (W×H) 3×5 pixels of the picture",
        "Height 24, unchanged",
        "Values 0 to",
        "Shape (C×H×W) 2×24×19 → 2×4×4",
        "Output channels",
    ]:
        assert sentence in said


def test_the_tutorial_teaches():
    said = words(page_of("tutorial", torch.zeros(1, 1, 512, 512)))
    assert "(512 + 2*0 - 1*(5-1) - 1)/1 + 1 = 508" in said
    for heading in ["508 rows of 512", "Bright edges", "The random second channel"]:
        assert heading in said
    assert "channel 0: edge(5)" in said
    assert "channel 1: random" in said
    assert "random second channel" not in words(page_of("edge"))
    assert "Bright edges" not in words(page_of("blur"))


def test_the_page_needs_nothing_and_runs_only_its_own_script():
    page = page_of("edge | ReLU | MaxPool2d(2)")
    assert re.findall(r'(?:src|href)\s*=\s*"((?!#|data:image/png;base64,)[^"]*)"', page) == []
    assert not re.search(r"url\(|@import|<link|<iframe|<object|<base|\son\w+=", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert 'style="' not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert "worker-src blob:" in policy
    for kind, count in {"script": 2, "style": 1}.items():
        codes = re.findall(rf'<{kind}(?: id="arithmetic")?>(.*?)</{kind}>', page, re.DOTALL)
        assert not any("<!--" in code for code in codes)
        digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in codes]
        assert len(digests) == count
        allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
        assert f"{kind}-src {allowed};" in policy


@pytest.mark.parametrize(
    "hostile",
    ['"><script>alert(1)</script>', "</title></script><img src=x onerror=alert(1)>", "{{ 7*7 }}{% raw %}", "&lt;"],
)
def test_hostile_words_stay_words(hostile):
    page = page_of(f"edge # {hostile}\n| ReLU # \u2028 \u202e", name=f"{hostile}\u2028\udcff\x00.png")
    assert page.count("<script") == page_of("edge | ReLU").count("<script")
    assert page.count("<img") == len(re.findall(r'<img (?:class="planes" )?src="data:image/png;base64,', page))
    assert "\\xff" in page
    assert not re.search("[\x00\u2028\u202e\ud800-\udfff]", page)
    assert page.encode()


def test_noise_of_many_channels_stays_small():
    noise = torch.randint(256, (1, 1, 1700, 1700), generator=torch.Generator().manual_seed(0)).float()
    page = page_of("Conv2d(1, 14, 1)", noise)
    assert 6_000_000 < len(page.encode()) < 10_000_000
    assert "Drawn at 1/4 of its size" in words(page)  # the 1/3 that suits a photograph was too much


def test_thousands_of_channels_are_not_all_shown():
    page = page_of("Conv2d(1, 3000, 1) | Magnitude")
    assert "The first 500 of 3,000 channels are shown." in words(page)
    assert len(page.encode()) < 10_000_000


def test_what_is_too_large_to_compute_is_carried():
    page = page_of("Conv2d(1, 30, 1) | Conv2d(30, 20, (31, 25)) | MaxPool2d(2)")
    assert "It has too many weights for this page" in words(page)
    sources = [(tensor["source"], tensor["part"]) for tensor in carried(page)["tensors"]]
    assert [source for source, _ in sources] == ["carried", "computed", "carried", "computed"]
    assert len(page.encode()) < 10_000_000


def test_numbers_that_are_none_are_counted():
    said = words(page_of("edge | LPPool2d(0.5, 2)"))
    assert re.search(r"\d+ NaN or infinite", said)
    assert "nan to" not in said


def test_a_flat_picture_and_one_pixel_work():
    assert "0 to 0" in words(page_of("edge", torch.zeros(1, 1, 9, 9)))
    assert "1×1×1 → 1×1×1" in words(page_of("ReLU", torch.ones(1, 1, 1, 1)))


def test_a_picture_that_does_not_fit_is_an_error():
    with pytest.raises(PipelineError, match="the picture is 3 high"):
        page_of("ReLU | edge", torch.zeros(1, 1, 3, 3))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(path)
    return path


def test_the_file_is_written_beside_the_picture_or_where_it_is_wanted(photo):
    pipeline, folder = parse("edge | ReLU"), photo.parent
    for output, expected in [
        (None, folder / "photo_edge-ReLU.html"),
        (str(folder), folder / "photo_edge-ReLU.html"),
        (str(folder / "a.html"), folder / "a.html"),
        (str(folder / "new" / "b.html"), folder / "new" / "b.html"),
    ]:
        assert write_report(pipeline, str(photo), output, text="edge | ReLU") == str(expected)
        page = expected.read_bytes().decode()
        assert page.startswith("<!doctype html>")
        assert "<h1>photo.png</h1>" in page
        expected.unlink()
    assert sorted(p.name for p in folder.iterdir()) == ["new", "photo.png"]


def test_what_cannot_be_read_or_written_names_the_file(photo):
    pipeline = parse("edge")
    cases = [
        (InputError, "nothing.png: ", {"image": str(photo.parent / "nothing.png")}),
        (UsageError, "is the picture itself", {"output": str(photo)}),
        (UsageError, "--pixel 20,3 lies outside of the picture, which is 20x20", {"pixel": (20, 3)}),
        (UsageError, "photo.png: is a file, and outputs need a folder", {"output": str(photo / "x.html")}),
    ]
    for kind, message, options in cases:
        with pytest.raises(kind, match=re.escape(message)):
            write_report(
                pipeline, options.pop("image", str(photo)), options.pop("output", None), text="edge", **options
            )
    assert [p.name for p in photo.parent.iterdir()] == ["photo.png"]


def test_the_seed_and_white_count(photo):
    one, two = (photo.parent / name for name in ("1.html", "2.html"))
    write_report(parse("Conv2d(1, 1, 3)"), str(photo), str(one), text="x", options=Options(seed=1, white=1.0))
    write_report(parse("Conv2d(1, 1, 3)"), str(photo), str(two), text="x", options=Options(seed=2))
    assert "black 0, white 1<" in one.read_text("utf-8")
    assert ">1×20×20, black 0, white 255</dd>" in two.read_text("utf-8")
    assert carried(one.read_text("utf-8"))["layers"][0]["bias"] != carried(two.read_text("utf-8"))["layers"][0]["bias"]


def test_the_command_prints_the_path_and_fails_with_a_sentence(photo, monkeypatch):
    monkeypatch.chdir(photo.parent)
    for arguments, status, out, err in [
        (["tutorial", "photo.png"], 0, "photo_tutorial.html\n", ""),
        (["edge(size=3)", "photo.png", "-o", "a/"], 0, os.path.join("a/", "photo_edge.html") + "\n", ""),
        (["edge", "photo.png", "-o", "photo.png"], 2, "", "is the picture itself"),
        (["edges", "photo.png"], 2, "", "did you mean edge?"),
        (["edge(size=31)", "photo.png"], 2, "", "the picture is 20 high here"),
        (["edge", "missing.png"], 1, "", "convfilter: missing.png: "),
        (["edge", "photo.png", "--pixel", "0,20"], 2, "", "--pixel 0,20 lies outside"),
    ]:
        result = CliRunner().invoke(cli, ["report", *arguments])
        assert (result.exit_code, result.stdout) == (status, out)
        assert err in result.stderr


def test_kernels_of_a_colour_layer_are_shown_in_colour():
    weight = np.zeros((2, 3, 2, 2), np.float32)
    weight[0] = np.array([-1, 1, 0])[:, None, None]
    weight[1, 0, 0, 0] = 2
    pipeline = parse("Conv2d(3, 2, 2, bias=False) | Conv2d(2, 3, 2) | Conv2d(3, 1, 2)")
    network = build(pipeline, channels=3)
    network[0].weight.copy_(torch.from_numpy(weight))
    page = make_report(pipeline, network, torch.rand(1, 3, 8, 9), source_name="a.png", text="x")
    shown = re.findall('<p class="colours"><img class="planes" src="data:image/png;base64,([^"]*)"', page)
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in shown]
    assert len(pixels) == 2 and (pixels[0] == (0, 255, 128)).all()
    assert pixels[1].tolist() == [[[255, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    assert '<p class="colours">' not in page_of("Conv2d(1, 3, 9) | Conv2d(3, 1, 9)")
