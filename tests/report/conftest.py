"""Pages in a real browser, for the tests of the report."""

import os
import shutil

import pytest
import torch
from report_tab import Tab

from convfilter import parse
from convfilter.engine.build import activations, build
from convfilter.report.page import make_report

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def browser():
    if not os.environ.get("CI"):
        pytest.importorskip("playwright.sync_api")
        if CHROMIUM is None:
            pytest.skip("chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def context(browser):
    return browser.new_context(viewport={"width": 1200, "height": 900})


@pytest.fixture(scope="module")
def tab(context):
    return Tab(context)


@pytest.fixture
def show(tab, tmp_path):
    """Return a function that makes a report and opens it; at the end nothing was said or asked for."""
    used, files = [], iter(range(1000))

    def open_report(text: str, x: torch.Tensor, name: str = "picture.png", tab=tab, unfolded: bool = True, **options):
        pipeline = parse(text)
        network = build(pipeline, channels=x.shape[1])
        path = tmp_path / f"page{next(files)}.html"
        page_text = make_report(pipeline, network, x, source_name=name, text=text, **options)
        path.write_text(page_text, encoding="utf-8", newline="\n")
        assert path.stat().st_size < 10_000_000
        used.append(tab)
        page = tab.open(path)
        if unfolded:
            page.evaluate("document.querySelectorAll('.card').forEach((section) => section.turn(true))")
        small = x[..., :51, :51]  # of large pictures a corner will do
        return page, [tensor[0] for tensor in (small, *activations(network, small))]

    yield open_report
    assert [tab.close() for tab in used] == [[]] * len(used)
