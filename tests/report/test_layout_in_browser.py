"""How the report is laid out, in a real browser: what is seen together, linked panels, the sliding window, paper."""

import re
from base64 import b64decode
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from report_tab import Tab

from convfilter import parse
from convfilter.engine.build import activations, build, to_tensor
from convfilter.report.page import make_report
from convfilter.report.scale import default_scale

SAMPLES = Path(__file__).parents[2] / "sample_images"
PHOTO = to_tensor(np.asarray(Image.open(SAMPLES / "astronaut.png").convert("L").reduce(2)), 255)
GRAY = to_tensor(np.random.default_rng(1).integers(0, 256, (40, 30)).astype(np.uint8), 255)
BLOCK = "Conv2d({}, 8, 3, padding='same') | ReLU | MaxPool2d(2)"
BLOCKS = " | ".join(BLOCK.format(n) for n in (1, 8, 8))
DESKTOP, PHONE = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
DESKTOP_OPTIONS, PHONE_OPTIONS = {"viewport": DESKTOP}, {"viewport": PHONE, "has_touch": True, "is_mobile": True}


SHAPES = [(1, 256, 256), *parse(BLOCKS).shapes((1, 256, 256))]


def middle(box: dict, y: int, x: int, shape) -> tuple[float, float]:
    """Where on the screen the middle of a pixel is, of a picture of ``shape`` (C, H, W) in a box."""
    return box["x"] + (x + 0.5) * box["width"] / shape[2], box["y"] + (y + 0.5) * box["height"] / shape[1]


def marked(frame, shape) -> list[float]:
    """The place of a frame's thin outline in pixels of the picture: x, y, width, height."""
    outline, picture = frame.locator(".region").bounding_box(), frame.locator("canvas").bounding_box()
    wide, tall = picture["width"] / shape[2], picture["height"] / shape[1]
    left, top = outline["x"] - picture["x"], outline["y"] - picture["y"]
    return [left / wide, top / tall, outline["width"] / wide, outline["height"] / tall]


@pytest.mark.parametrize("options", [DESKTOP_OPTIONS, PHONE_OPTIONS], ids=["desktop", "phone"])
def test_pixel_window_and_sum_are_seen_together(show, browser, options):
    context = browser.new_context(**options, reduced_motion="reduce")  # or it scrolls smoothly
    page, _ = show(BLOCKS, PHOTO, tab=Tab(context), unfolded=False)
    for layer in (1, 4, 6):
        page.locator(f".strip a[href='#layer-{layer}']").click()
        section = page.locator(f"#layer-{layer}")
        canvas, shape = section.locator(".output .frame canvas"), SHAPES[layer]
        y, x = shape[1] // 3, shape[2] // 2
        at = middle(canvas.bounding_box(), y, x, shape)
        page.mouse.move(*at) if options is DESKTOP_OPTIONS else page.touchscreen.tap(*at)
        near = f"Pixel x ({x - 1}|{x}|{x + 1}), y ({y - 1}|{y}|{y + 1}) of"  # a finger is put down on whole dots
        section.locator("b", has_text=re.compile(near)).wait_for()
        strip = page.locator(".strip").bounding_box()
        for seen in (".input .mark", ".output .mark", "output.result", ".equation"):
            box = section.locator(seen).first.bounding_box()
            assert box["y"] >= strip["y"] + strip["height"], (layer, seen)
            assert box["y"] + box["height"] <= options["viewport"]["height"], (layer, seen)
            assert 0 <= box["x"] <= box["x"] + box["width"] <= options["viewport"]["width"], (layer, seen)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_what_is_hovered_is_followed_through_all_layers(show):
    page, (gray, edges, bent, pooled) = show("edge(3) | ReLU | MaxPool2d(2)", GRAY)
    strip = page.locator(".strip .frame")
    output = page.locator("#layer-3 .output .frame canvas")
    output.scroll_into_view_if_needed()
    page.mouse.move(*middle(output.bounding_box(), 9, 6, pooled.shape))
    page.locator("#layer-3 b:text-is('Pixel x 6, y 9 of channel 0')").wait_for()
    regions = page.evaluate("regions")
    assert regions[2] == regions[1] == {"rows": [18, 19], "columns": [12, 13]}
    assert regions[0] == {"rows": [18, 21], "columns": [12, 15]}
    for layer in (1, 2):  # their sums are those of a pixel in the region
        page.locator(f"#layer-{layer} b:text-is('Pixel x 12, y 18 of channel 0')").wait_for()
    assert marked(page.locator("#layer-1 .input .frame"), gray.shape) == pytest.approx([12, 18, 4, 4], abs=0.2)
    assert (
        page.locator("#layer-3 .lenses").inner_text().endswith("Receptive field: 4×4 pixels of the picture\nGradient")
    )

    canvas = page.locator("#layer-1 .input .frame canvas")
    canvas.scroll_into_view_if_needed()
    page.mouse.move(*middle(canvas.bounding_box(), 20, 8, gray.shape))  # a pixel of the picture, and what it reaches
    text = "Input x 8, y 20 reaches x 6 to 8, y 18 to 20 of the output; this is the one in the middle:"
    page.locator(".said", has_text=text).wait_for()
    regions = page.evaluate("regions")
    assert regions[0] == {"rows": [20, 20], "columns": [8, 8]}
    assert regions[1] == regions[2] == {"rows": [18, 20], "columns": [6, 8]}
    assert regions[3] == {"rows": [9, 10], "columns": [3, 4]}
    assert marked(page.locator("#layer-1 .output .frame"), edges.shape) == pytest.approx([6, 18, 3, 3], abs=0.2)
    box, picture = strip.nth(3).locator(".region").bounding_box(), strip.nth(3).locator("canvas").bounding_box()
    centre = box["x"] + box["width"] / 2 - picture["x"]
    assert centre == pytest.approx(4 / bent.shape[2] * 2 * picture["width"], abs=1)


@pytest.mark.parametrize(
    "text",
    [
        "Conv2d(1, 3, 3, padding=1, stride=2) | AvgPool2d(2, 1) | Conv2d(3, 2, 3, dilation=2)",
        "MaxPool2d(3, 2, 1) | ConvTranspose2d(1, 2, 3, 2) | ReLU",
        "Upsample(scale_factor=2, mode='bilinear') | AdaptiveAvgPool2d(7) | ZeroPad2d((1, 0, 2, 3))",
        "Conv2d(1, 4, 3, padding=1, padding_mode='replicate') | PixelShuffle(2) | LPPool2d(2, 3)",
    ],
)
def test_regions_are_where_a_value_goes(show, text):
    """A NaN in one pixel of the picture shows which pixels of each layer are made of it."""
    page, tensors = show(text, torch.rand(1, 1, 17, 14, generator=torch.Generator().manual_seed(3)), unfolded=False)
    network = build(parse(text))
    pictures = tensors[0].repeat(17 * 14, 1, 1, 1)
    pictures.view(17 * 14, -1).fill_diagonal_(torch.nan)
    reached = [value.isnan().any(1) for value in (pictures, *activations(network, pictures))]  # (pixel, H, W) a tensor
    for n in (0, 60, 100, 237):
        y, x = divmod(n, 14)
        page.evaluate(f"choose(0, {y}, {x})")
        for region, tensor in zip(page.evaluate("regions"), reached, strict=True):
            assert region == hull(tensor[n])
    last = reached[-1]
    for y, x in [(0, 0), (1, 1), (last.shape[1] - 1, last.shape[2] - 1)]:
        page.evaluate(f"choose({len(tensors) - 1}, {y}, {x})")
        region, seen = page.evaluate("regions[0]"), hull(last[:, y, x].view(17, 14))
        inside = {
            name: [max(0, region[name][0]), min(n - 1, region[name][1])] for name, n in (("rows", 17), ("columns", 14))
        }
        assert inside == (seen or inside)


def hull(marks: torch.Tensor) -> dict | None:
    rows, columns = marks.nonzero().T.tolist()
    return {"rows": [min(rows), max(rows)], "columns": [min(columns), max(columns)]} if rows else None


def test_the_gradient_is_torchs(show):
    for text in [
        "edge | ReLU | MaxPool2d(2)",
        "Conv2d(1, 4, 3, padding=1) | Tanh | Conv2d(4, 4, 3, groups=2) | AvgPool2d(2) | Softmax2d",
        "ConvTranspose2d(1, 4, 3, 2) | PixelShuffle(2) | LeakyReLU(0.1) | LPPool2d(2, 2) | GELU",
        "Filter2d(sobel_x, sobel_y) | Magnitude | LocalResponseNorm(3) | Upsample(scale_factor=2, mode='bicubic')",
        "ReflectionPad2d(2) | Filter2d(gaussian(3)) | Mish | AdaptiveAvgPool2d(5)",
        "Conv2d(1, 8, 3) | ChannelShuffle(4) | Softmin(dim=1) | GLU(dim=1) | LogSoftmax(dim=1)",
    ]:
        picture = torch.rand(1, 1, 20, 16, generator=torch.Generator().manual_seed(5))
        page, tensors = show(text, picture, unfolded=False)
        network, x = build(parse(text)), picture.requires_grad_()
        (c, h, w) = tensors[-1].shape
        for at in [(0, h // 2, w // 2), (c - 1, 1, 2)]:
            (expected,) = torch.autograd.grad(network(x)[0][at], x)
            measured = page.evaluate(
                "([c, y, x]) => { const heat = gradient(PAGE.layers.length - 1, c, y, x);"
                "return range(0, 20).map((i) => range(0, 16).map((j) => heat.at(i, j) ?? 0)) }",
                list(at),
            )
            np.testing.assert_allclose(measured, expected[0, 0], rtol=2e-3, atol=1e-5 * expected.abs().max().item())
    page.evaluate("layerSections()[0].turn(true)")
    before = page.locator("#layer-1 .lens").first.evaluate("(canvas) => canvas.toDataURL()")
    page.locator("#layer-1").get_by_role("button", name="Gradient").click()
    assert page.locator("#layer-1 .lens").first.evaluate("(canvas) => canvas.toDataURL()") != before


def drawn(canvas) -> np.ndarray:
    """The dots of a canvas (H, W, 4)."""
    data = canvas.evaluate("(canvas) => canvas.toDataURL()").partition(",")[2]
    return np.asarray(Image.open(BytesIO(b64decode(data))).convert("RGBA"))


def filled(page, shape) -> int:
    """How many of the output's pixels are drawn."""
    opaque = drawn(page.locator("#layer-1 .output .frame canvas"))[..., 3] > 0
    rows = ((np.arange(shape[1]) + 0.5) * opaque.shape[0] / shape[1]).astype(int)
    columns = ((np.arange(shape[2]) + 0.5) * opaque.shape[1] / shape[2]).astype(int)
    return int(opaque[rows][:, columns].sum())


def test_the_window_slides_and_the_output_fills_in(show, tab):
    page, (_, edges) = show("edge(3)", GRAY)
    section = page.locator("#layer-1")
    assert filled(page, edges.shape) == 38 * 28
    for n in range(1, 4):
        section.get_by_role("button", name="Step").click()
        section.locator(f"b:text-is('Pixel x {n - 1}, y 0 of channel 0')").wait_for()
        assert filled(page, edges.shape) == n
    section.locator(".output .frame canvas").focus()
    page.keyboard.press(".")
    section.locator("b:text-is('Pixel x 3, y 0 of channel 0')").wait_for()
    page.keyboard.press(",")
    section.locator("b:text-is('Pixel x 2, y 0 of channel 0')").wait_for()
    speed = section.locator(".player input").input_value()
    page.keyboard.press("+")
    assert int(section.locator(".player input").input_value()) == int(speed) + 1
    page.keyboard.press("Space")
    section.get_by_role("button", name="Pause").wait_for()
    section.locator("b", has_text=re.compile("Pixel x [0-9]+, y [1-9]")).wait_for()
    page.keyboard.press("Space")
    section.get_by_role("button", name="Play").wait_for()
    y, x = page.evaluate("[chosen.y, chosen.x]")
    assert filled(page, edges.shape) == y * 28 + x + 1
    page.keyboard.press("Escape")
    assert filled(page, edges.shape) == 38 * 28
    section.locator(".player input").fill("10")
    section.get_by_role("button", name="Play").click()
    section.get_by_role("button", name="Pause").wait_for()
    section.get_by_role("button", name="Play").wait_for(timeout=20_000)  # at the end it stops, and shows everything
    assert filled(page, edges.shape) == 38 * 28

    tab.page.emulate_media(reduced_motion="reduce")
    page, _ = show("edge(3)", GRAY)
    for row in (1, 2):
        page.get_by_role("button", name="Next row").click()
        page.locator(f"b:text-is('Pixel x 27, y {row - 1} of channel 0')").wait_for()
        page.wait_for_timeout(200)
        assert filled(page, edges.shape) == row * 28  # and it does not go on by itself


def test_long_networks_fold(show, tab):
    tab.page.set_viewport_size(DESKTOP)
    page, _ = show(BLOCKS, PHOTO, unfolded=False)
    assert page.evaluate("document.documentElement.scrollHeight") <= 3 * 768
    assert page.locator(".bench:visible").count() == 1
    assert page.locator(".minis canvas").count() == 1 + 9 * 8
    page.evaluate("scrollTo(0, 1e6)")
    assert page.locator(".strip").bounding_box()["y"] == 0
    page.locator("#layer-9 .fold").click()
    assert page.locator("#layer-9 .bench").is_visible()
    assert page.locator("#layer-9 .fold").get_attribute("aria-expanded") == "true"
    page.locator("#layer-9 .fold").click()
    assert not page.locator("#layer-9 .body").is_visible()


def test_tiles_are_exact_means(show):
    text = "Conv2d(1, 2, 3, padding=1) | ConvTranspose2d(2, 2, 3, 2)"  # stripes, which bad scaling makes bands of
    page, _ = show(text, PHOTO[..., :150, :131])
    page.select_option("#scale", "channel")
    page.select_option("#colours", "gray")
    for c in (0, 1):
        tile = drawn(page.locator("#layer-2 .thumb canvas").nth(c))[..., 0]
        height, width = tile.shape
        network = build(parse(text))
        whole = network(PHOTO[..., :150, :131])[0, c].double().numpy()
        means = area(area(whole, height), width, axis=1)
        levels = (means - whole.min()) / (whole.max() - whole.min()) * 255
        np.testing.assert_allclose(tile, levels, atol=1.01)


def area(values: np.ndarray, count: int, axis: int = 0) -> np.ndarray:
    """The means of ``count`` equal parts along an axis, whose borders may cut through a value."""
    values = np.moveaxis(values, axis, -1)
    sums = np.concatenate([np.zeros((*values.shape[:-1], 1)), values.cumsum(-1)], axis=-1)
    ends = np.arange(count + 1) * values.shape[-1] / count
    at = np.minimum(ends.astype(int), values.shape[-1] - 1)
    cut = sums[..., at] + (ends - at) * values[..., at]
    return np.moveaxis(np.diff(cut) * count / values.shape[-1], -1, axis)


@pytest.mark.parametrize(
    "text",
    [
        "sobel_x | ReLU | MaxPool2d(2)",
        "edge | Sigmoid | AvgPool2d(2)",
        "ReLU | Conv2d(1, 2, 3) | Hardtanh",
        "Threshold(999, 7)",
    ],
)
def test_script_and_python_draw_on_the_same_scale(show, text):
    page, tensors = show(text, GRAY, unfolded=False)
    model = page.evaluate(
        "({tensors: PAGE.tensors.map(({low, high, spread}) => ({low, high, spread})), layers: PAGE.layers})"
    )
    for t, tensor in enumerate(tensors):
        for c in range(len(tensor)):
            scale = default_scale(model["tensors"], model["layers"], t, c, 255.0)
            assert page.evaluate("([t, c]) => limits(t, c)", [t, c]) == {
                "scheme": scale.scheme,
                "low": scale.low,
                "high": scale.high,
            }
    if "sobel" in text:  # ReLU is drawn on the scale of the layer before, unless something else is asked for
        assert page.evaluate("limits(3, 0).low") == page.evaluate("limits(1, 0).low") < 0
        page.select_option("#scale", "channel")
        assert page.evaluate("limits(2, 0).low") == 0
    if "Sigmoid" in text:  # whose values would be one colour on a scale of thousands
        assert page.evaluate("limits(2, 0).high") <= 1
        assert page.evaluate("[scaleOf(2), scaleOf(3)]") == [2, 2]
    if "Threshold" in text:  # constant: in its own gray
        assert page.evaluate("limits(1, 0)") == {"scheme": "gray", "low": 0, "high": 255}


def test_without_scripts_pictures_and_kernels_are_there(browser, tmp_path):
    path = tmp_path / "page.html"
    text = "Filter2d(sobel_x, sobel_y) | Conv2d(2, 3, 3)"
    path.write_text(make_report(parse(text), build(parse(text)), GRAY, source_name="a.png", text=text), "utf-8")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    pictures = page.locator("main img")
    assert pictures.count() == 1 + 2 + 3 + 3  # the picture, the channels, and kernels that are too large for numbers
    assert all(pictures.nth(i).is_visible() and pictures.nth(i).bounding_box()["height"] > 20 for i in range(6))
    cells = page.locator("#layer-1 .kernel").first.locator("td").all_inner_texts()
    assert cells == ["−1", "0", "1", "−2", "0", "2", "−1", "0", "1"]
    assert page.get_by_text("Scripts are turned off in this browser").is_visible()
    assert page.locator("#layer-2 .lesson").is_visible()
    sizes = page.evaluate(
        "[...document.querySelectorAll('.channel img')].map((i) => [i.naturalWidth, i.naturalHeight])"
    )
    assert sizes[:2] == [[30, 40], [30, 40]]
    context.close()


def test_the_pictures_in_the_html_are_those_that_the_script_draws(show):
    text = "sobel_x | ReLU"
    page, _ = show(text, GRAY, unfolded=False)
    html = make_report(parse(text), build(parse(text)), GRAY, source_name="a.png", text=text)
    pictures = re.findall(r'data-channel="0"><img src="data:image/png;base64,([^"]+)"', html)
    for t, picture in zip((0, 1, 2), pictures, strict=True):
        dots = np.asarray(Image.open(BytesIO(b64decode(picture))).convert("RGB")).astype(int)
        colours = page.evaluate(
            """(t) => range(0, 40).map((y) => range(0, 30).map((x) => {
                const value = grid(t, [y], [x]).at(0, y, x); return colour(value, limits(t, 0)) }))""",
            t,
        )
        assert dots.shape == (40, 30, 3)
        assert np.abs(dots - colours).max() <= 6  # a picture has 256 levels


@cache
def photo_report(text: str) -> str:
    return make_report(parse(text), build(parse(text)), PHOTO, source_name="a.png", text=text)


@pytest.mark.parametrize("scripts", [True, False])
def test_paper(browser, tmp_path, scripts):
    context = browser.new_context(java_script_enabled=scripts, color_scheme="dark")
    for text, most in [("tutorial", 2), (BLOCKS, 10)]:
        path = tmp_path / "page.html"
        path.write_text(photo_report(text), "utf-8")
        page = context.new_page()
        page.goto(path.as_uri())
        if scripts:
            page.wait_for_selector("html[data-ready=true]")
        paper = page.pdf(prefer_css_page_size=True)
        assert 1 < len(re.findall(rb"/Type /Page\b", paper)) <= most
        if scripts:  # afterwards the page is as it was
            assert page.locator(".card[data-open]").count() == 1
        page.emulate_media(media="print", color_scheme="dark")
        colours = page.locator(".matrix td").first.evaluate("(cell) => getComputedStyle(cell).color")
        assert colours == "rgb(0, 0, 0)"
        assert page.locator("body").evaluate("(body) => getComputedStyle(body).backgroundColor") == "rgb(255, 255, 255)"
        page.close()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_open_panels(show, tab, scheme):
    tab.page.set_viewport_size(DESKTOP)
    tab.page.emulate_media(color_scheme=scheme)
    page, _ = show("tutorial | Conv2d(2, 3, 3) | ReLU | MaxPool2d(2)", PHOTO[..., :60, :60])
    page.locator("#layer-2").get_by_role("button", name="Hold").click()
    page.locator("#layer-2").get_by_role("button", name="Gradient").click()
    page.locator("#layer-2").get_by_role("button", name="Step").click()
    found = Axe().run(page).response["violations"]
    serious = [
        (one["id"], [node["html"][:160] for node in one["nodes"][:3]])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_a_picture_in_colour_shows_its_channels(show):
    colour = torch.rand(1, 3, 20, 30, generator=torch.Generator().manual_seed(2)) * 255
    page, (_, mixed) = show("Conv2d(3, 2, 3)", colour)
    assert page.locator("#picture .picture canvas").count() == 3
    assert "Blue: values from" in page.locator("#picture").inner_text()
    assert "30×20 pixels, red, green, blue" in page.locator("header").inner_text()
    page.locator("#layer-1 .terms button").nth(2).click()
    page.locator("#layer-1 .input .shape", has_text="channel 2 of 3×20×30").wait_for()
    y, x = page.evaluate("pixelOf(1)")
    value = page.locator("#layer-1 output.result").get_attribute("data-value")
    assert float(value) == pytest.approx(mixed[0, y, x].item(), rel=1e-5)


def test_a_layer_with_long_weights_takes_a_line_and_a_picture_that_a_network_makes_is_gray(show, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weight = np.zeros((12, 1, 3, 3), np.float32)
    weight[:, :, 1, 1] = np.arange(12)[:, None] - 4
    np.savez("a_file_of_weights_with_a_long_name.npz", **{"a.long.name.of.a.tensor": weight})
    last = "Conv2d(12, 1, 1, bias=-20, weight=box(1))"
    conv = "Conv2d(1, 12, 3, bias=False, weight='a_file_of_weights_with_a_long_name.npz:a.long.name.of.a.tensor')"
    page, tensors = show(f"ReLU | {conv} | {last}", GRAY, unfolded=False)
    heights = [page.locator(f"#layer-{n} > h2").bounding_box()["height"] for n in (2, 3)]
    assert heights[0] == heights[1]
    title = page.locator("#layer-2 h2 code")
    assert "tensor')" in title.inner_text() and title.evaluate("code => code.scrollWidth > code.clientWidth")
    title.click()
    assert title.evaluate("code => code.scrollWidth <= code.clientWidth")
    assert tensors[2].min() < 0 and tensors[3].min() < 0
    assert page.evaluate("[1, 2, 3].map(t => limits(t, 0).scheme)") == ["gray", "diverging", "gray"]
