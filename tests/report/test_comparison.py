"""The page of a comparison: what it holds, and its linked pixels in a browser."""

import base64
import html
import os
import re
import zlib

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner
from PIL import Image

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.engine.build import build
from convfilter.report.comparison import _find_centres, write_comparison_page
from convfilter.run.options import Options

POOLS = ["AvgPool2d(4)", "MaxPool2d(4)"]


@pytest.fixture
def line(tmp_path, monkeypatch):
    """A black line, one pixel thin, on white."""
    monkeypatch.chdir(tmp_path)
    pixels = np.full((32, 64), 255, np.uint8)
    pixels[:, 20] = 0
    Image.fromarray(pixels).save("line.png")
    return "line.png"


def write(pipelines, image, **options):
    path = write_comparison_page([parse(text) for text in pipelines], image, Options(**options), texts=pipelines)
    return path, open(path, encoding="utf-8").read()


def values_of(page):
    blobs = re.findall(r'id="values-\d+">([^<]*)<', page)
    return [np.frombuffer(zlib.decompress(base64.b64decode(blob)), "<f4") for blob in blobs]


def test_the_page_holds_the_exact_values(line):
    path, page = write(["Conv2d(1, 2, 3) | ReLU", "edge"], line)
    assert path == "line_compare.html"
    x = torch.from_numpy(np.asarray(Image.open(line)).astype(np.float32))[None, None]
    first = build(parse("Conv2d(1, 2, 3) | ReLU"))(x)[0].numpy()
    expected = [x.numpy(), first[0], first[1], build(parse("edge"))(x).numpy()]
    for values, wanted in zip(values_of(page), expected, strict=True):
        assert np.allclose(values, wanted.ravel(), rtol=1e-5, atol=1e-3)


def test_the_page_is_alone_and_safe(line):
    os.rename(line, "<b>&.png")
    _, page = write(POOLS, "<b>&.png", theme="dark")
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;.png" in page
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in html.unescape(page)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert '<html lang="en" class="dark">' in page


def test_a_large_picture_is_reduced_and_that_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1500, 1400), dtype=np.uint8)).save("noise.png")
    _, page = write(["Conv2d(1, 1, 1)", "Conv2d(1, 1, 3)"], "noise.png")
    assert len(page) < 9_500_000
    factor = int(re.search(r"Each dot is the mean of (\d)x\1 pixels", page)[1])
    values, *_ = values_of(page)
    noise = np.asarray(Image.open("noise.png")).astype(np.float32)
    assert len(values) == -(-1500 // factor) * -(-1400 // factor)
    assert abs(values[0] - noise[:factor, :factor].mean()) < 1e-3


def test_the_middle_of_what_an_output_sees():
    assert _find_centres(parse("edge"), (1, 9, 9)) == [[2, 3, 4, 5, 6]] * 2
    assert _find_centres(parse("MaxPool2d((1, 4))"), (1, 2, 8)) == [[1.5, 5.5], [0, 1]]
    assert _find_centres(parse("AdaptiveAvgPool2d(1)"), (1, 5, 9)) == [[4], [2]]


def test_the_command_line(line):
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "a.html"])
    assert (done.exit_code, done.stdout) == (0, "a.html\n"), done.stderr
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "a.html", "--format", "png"])
    assert (done.exit_code, done.stdout) == (2, "")
    done = CliRunner().invoke(cli, ["compare", *POOLS, line, "-o", "a.htm"])
    assert "no output ends in .htm, but in .png, .svg or .html" in done.stderr


def test_pointing_at_a_pixel_shows_it_in_all_pictures(line, browser):
    path, _ = write(POOLS, line)
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else
            problems.append(request.url))  # fmt: skip
    page.goto(f"file://{os.path.abspath(path)}")
    page.wait_for_selector("body[data-ready]")
    outputs = page.locator("output")
    average = page.locator("#panel-1 .picture")
    average.scroll_into_view_if_needed()
    box = average.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 5.5 / 16, box["y"] + box["height"] * 2.5 / 8)
    assert outputs.all_text_contents()[1:] == ["x,y 5,2: 191.25", "x,y 5,2: 255"]
    mark = page.locator("#panel-2 .mark").bounding_box()
    other = page.locator("#panel-2 .picture").bounding_box()
    assert abs(mark["x"] + mark["width"] / 2 - other["x"] - other["width"] * 5.5 / 16) < 2
    page.mouse.click(box["x"] + box["width"] * 5.5 / 16, box["y"] + box["height"] * 2.5 / 8)
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    assert outputs.nth(1).text_content() == "x,y 5,2: 191.25", "a click holds"
    average.focus()
    page.keyboard.press("ArrowRight")
    assert outputs.all_text_contents()[1:] == ["x,y 6,2: 255", "x,y 6,2: 255"]
    assert "MaxPool2d(4), channel 0: x,y 6,2: 255" in page.locator("#status").text_content()
    page.locator("#panel-0 .picture").focus()
    page.keyboard.press("ArrowRight")
    assert outputs.all_text_contents() == ["x,y 33,16: 255", "x,y 8,4: 255", "x,y 8,4: 255"]
    assert problems == []
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(line, browser, scheme):
    path, _ = write(POOLS, line)
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"file://{os.path.abspath(path)}")
    found = Axe().run(page).response["violations"]
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    assert [(violation["id"], node["html"]) for violation in serious for node in violation["nodes"]] == []
    page.close()
