"""One entry is all that a new layer takes: an imaginary activation is found in every part of the program."""

import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from convfilter import parse
from convfilter.cli.main import cli
from convfilter.engine.build import build
from convfilter.export.pytorch_code import write_code
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.checks import number
from convfilter.layers.entry import Entry, activation, entry, no_scratch
from convfilter.layers.shapes import Effect
from convfilter.report.page import make_report

CHROMIUM = shutil.which("chromium")


@pytest.fixture(autouse=True)
def doubled(monkeypatch):
    """An activation that torch.nn lacks, and its module; the catalogue's entry is all that names it."""

    class Doubled(nn.Module):
        def __init__(self, times=2.0):
            super().__init__()
            self.times = times

        def forward(self, x):
            return x.abs() * self.times

    def Doubled_(times=2.0) -> Effect:
        """The size of x, times times.

        Example: Doubled(3)
        """
        times = number(times, "times", least=0)
        return Effect(elementwise=True, interval=lambda lo, hi, shape: (0.0, times * max(abs(lo), abs(hi))))

    Doubled_.__name__ = "Doubled"
    monkeypatch.setattr(nn, "Doubled", Doubled, raising=False)
    make = activation(
        formula="Math.abs(x) * times",
        keeps_whole=False,
        keeps_scale=True,
        differs_in_training=True,
        scratch=no_scratch,
        lesson="Signs are lost, and all is larger.",
    )
    monkeypatch.setitem(LAYERS, "Doubled", make(Doubled_))


def invoke(*words):
    done = CliRunner(env={"COLUMNS": "100"}).invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def picture(path):
    values = np.random.default_rng(3).integers(0, 256, (70, 90)).astype(np.uint8)
    Image.fromarray(values).save(path)
    return torch.from_numpy(values.astype(np.float32))[None, None]


def test_it_runs_in_tiles_as_in_one_piece(tmp_path):
    x = picture(tmp_path / "a.png")
    text = "edge | Doubled(3) | MaxPool2d(2)"
    invoke("run", text, str(tmp_path / "a.png"), "-o", str(tmp_path / "tiles.npy"), "--format", "npy")
    invoke("run", text, str(tmp_path / "a.png"), "-o", str(tmp_path / "whole.npy"), "--format", "npy", "--exact")
    expected = nn.functional.max_pool2d(build(parse("edge"))(x).abs() * 3, 2)[0, 0].numpy()
    np.testing.assert_array_equal(np.load(tmp_path / "tiles.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "whole.npy"), expected)


def test_it_is_explained_with_its_range_and_its_pixels(tmp_path):
    picture(tmp_path / "a.png")
    assert "0..12240" in invoke("explain", "edge | Doubled")
    said = invoke("explain", "box | Doubled(4)", "--image", str(tmp_path / "a.png"), "--pixel", "3,3")
    assert "(The size of x, times times)" in said and "Doubled(" in said


def test_it_is_listed():
    assert "Doubled" in invoke("layers") and "The size of x, times times." in invoke("layers")
    assert invoke("layers", "Doubled").splitlines() == [
        "Doubled(times=2.0)",
        "The size of x, times times.",
        "Example: Doubled(3)",
    ]


def test_its_script_is_pytorchs():
    code = write_code(parse("edge | Doubled(3)"))
    assert "    nn.Doubled(times=3),\n).eval()\n" in code
    assert "\nif high - low <= 0.0" in code  # what rounding can do


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_report_computes_it_and_teaches_it(tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    pipeline = parse("box | Doubled(3)")
    network = build(pipeline)
    x = picture(tmp_path / "a.png")
    page = make_report(pipeline, network, x, source_name="a.png", text="box | Doubled(3)")
    assert "Signs are lost, and all is larger." in page
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_selector("html[data-ready=true]")
        values = tab.evaluate("[...grid(2, range(0, 70), range(0, 90)).values]")
        browser.close()
    np.testing.assert_allclose(values, network(x).flatten(), rtol=1e-5)


def test_an_entry_that_leaves_a_fact_out_cannot_be():
    with pytest.raises(TypeError, match="keeps_whole"):
        activation(formula="x", differs_in_training=False, scratch=no_scratch, lesson="")(LAYERS["ReLU"].function)
    with pytest.raises(TypeError, match="differs_in_training"):
        entry()(LAYERS["ReLU"].function)
    fields = Entry.__dataclass_fields__.values()
    assert all(field.default is field.default_factory for field in fields)  # both missing
