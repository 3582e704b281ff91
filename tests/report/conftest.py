"""Pages in a real browser, for the tests of the report."""

import os
import shutil

import pytest
import torch

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


@pytest.fixture
def show(context, tmp_path):
    """Return a function that makes a report and opens it; at the end nothing was said or asked for."""
    pages, heard = [], []

    def open_report(
        text: str, x: torch.Tensor, name: str = "picture.png", context=context, unfolded: bool = True, **options
    ):
        pipeline = parse(text)
        network = build(pipeline, channels=x.shape[1])
        path = tmp_path / "page.html"
        page_text = make_report(pipeline, network, x, source_name=name, text=text, **options)
        path.write_text(page_text, encoding="utf-8", newline="\n")
        assert path.stat().st_size < 10_000_000
        pages.append(page := context.new_page())
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: None if request.url == path.as_uri() else heard.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=true]")
        if unfolded:
            page.evaluate("document.querySelectorAll('.card').forEach((section) => section.turn(true))")
        small = x[..., :51, :51]  # of large pictures a corner will do
        return page, [tensor[0] for tensor in (small, *activations(network, small))]

    yield open_report
    for page in pages:
        page.close()
    assert heard == []
