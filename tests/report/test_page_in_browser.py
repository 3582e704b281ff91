"""The report page in a real browser: its arithmetic against torch, mouse, keyboard, touch, and that it stays alone."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from report_tab import Tab

from convfilter import parse
from convfilter.engine.build import build, to_tensor

SAMPLES = Path(__file__).parents[2] / "sample_images"
RANDOM = torch.Generator().manual_seed(7)
NOISE = torch.rand(1, 1, 23, 19, generator=RANDOM) * 4 - 2
GRAY = to_tensor(np.random.default_rng(1).integers(0, 256, (40, 30)).astype(np.uint8), 255)
FOUR = "Conv2d(1, 4, 3)"

# every kind of layer, and every way in which its windows can lie
PIPELINES = [
    "edge | ReLU | MaxPool2d(2)",
    "Conv2d(1, 3, (3, 4), stride=(2, 1), padding=(2, 1), dilation=(1, 2)) | Conv2d(3, 6, 2, groups=3, bias=False)",
    "Conv2d(1, 2, 3, padding=2, padding_mode='reflect') | Conv2d(2, 2, 5, padding='same', padding_mode='circular')",
    "Conv2d(1, 2, 4, padding='same', padding_mode='replicate') | Filter2d(sobel_x, [[1, 2, 3, 4]]) | Magnitude",
    f"{FOUR} | ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1, groups=2) | ConvTranspose2d(4, 1, 2, dilation=3)",
    "MaxPool2d(3, stride=2, padding=1, ceil_mode=True) | MaxPool2d(2, dilation=2, stride=1)",
    "AvgPool2d(3, stride=2, padding=1, ceil_mode=True) | AvgPool2d((2, 3), 1, padding=1, count_include_pad=False)",
    "AvgPool2d(4, stride=3, padding=2, ceil_mode=True, divisor_override=5)",
    "MaxPool2d(2, stride=1, padding=1, dilation=(24, 1)) | ReLU",
    "ReLU | LPPool2d(3, 2, stride=3, ceil_mode=True) | LPPool2d(inf, 2)",
    "LPPool2d(1, 2) | LPPool2d(3, 2, ceil_mode=True)",
    "ConstantPad2d(1, -inf) | MaxPool2d(3) | Hardtanh(-inf, 0.5)",
    "AdaptiveAvgPool2d((7, None)) | AdaptiveMaxPool2d(4)",
    "FractionalMaxPool2d(2, output_ratio=0.7) | ReLU",
    "ConstantPad2d((1, -2, 3, 0), 3.5) | ReflectionPad2d(2) | ReplicationPad2d(3) | CircularPad2d(4) | ZeroPad2d(1)",
    "Upsample(scale_factor=1.7) | Upsample(size=(31, 50), mode='nearest-exact') | Upsample((9, 20), mode='area')",
    "Upsample(scale_factor=2.3, mode='bilinear') | Upsample(scale_factor=0.7, mode='bilinear', align_corners=True)",
    "Upsample(scale_factor=1.5, mode='bicubic') | Upsample(size=(11, 40), mode='bicubic', align_corners=True)",
    f"{FOUR} | PixelShuffle(2) | ConstantPad2d((1, 1, 0, 0), 1) | PixelUnshuffle(2)",
    f"{FOUR} | InstanceNorm2d(4, affine=True) | LocalResponseNorm(3, alpha=2) | Softmax2d",
    f"{FOUR} | Softmin(dim=1) | ChannelShuffle(2) | LogSoftmax(dim=1) | GLU(dim=1) | CrossMapLRN2d(3, alpha=2)",
    f"{FOUR} | LayerNorm(17) | RMSNorm((21, 17)) | LayerNorm((4, 21, 17), elementwise_affine=False) | RMSNorm(17, 0.1)",
    f"{FOUR} | GroupNorm(2, 4) | LazyBatchNorm2d | LazyInstanceNorm2d",
    "ELU(0.7) | Hardshrink(0.2) | Hardsigmoid | Hardtanh(0.2, 0.7) | Hardswish | LeakyReLU(0.2) | LogSigmoid | Mish",
    "PReLU | RReLU | SELU | CELU(0.6) | GELU | Sigmoid | SiLU | Softplus(2, 1) | Softshrink(0.3) | Softsign",
    "Tanh | Tanhshrink | Threshold(0.1, -3) | GELU('tanh') | ReLU6 | Identity | Dropout | Dropout2d",
]  # fmt: skip


@pytest.mark.parametrize("text", PIPELINES)
def test_values_are_torchs(show, text):
    page, tensors = show(text, NOISE)
    script = """t => { const [c, h, w] = PAGE.tensors[t].shape, g = grid(t, range(0, h), range(0, w));
        return {values: [...g.values], approximate: g.approximate} }"""
    for t, tensor in enumerate(tensors):
        result = page.evaluate(script, t)
        assert not result["approximate"], t
        np.testing.assert_allclose(result["values"], tensor.flatten(), rtol=1e-5, atol=2e-6, err_msg=f"{text}: {t}")


def point(canvas, y: int, x: int, tensor: torch.Tensor) -> tuple[float, float]:
    """Where on the screen the middle of a pixel is."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return (
        box["x"] + (x + 0.5) * box["width"] / tensor.shape[2],
        box["y"] + (y + 0.5) * box["height"] / tensor.shape[1],
    )


def result(section) -> float:
    return float(section.locator("output.result").get_attribute("data-value"))


def numbers(section, caption: str) -> list[str]:
    return section.locator(".matrix", has_text=caption).locator("td").all_inner_texts()


def go_to(page, section, y: int, x: int) -> None:
    for box, (value, said) in enumerate([(x, f"Pixel x {x}, "), (y, f", y {y} of")]):
        section.locator(".place input").nth(box).fill(str(value))
        page.keyboard.press("Enter")
        section.locator(f"b:text('{said}')").first.wait_for()  # or the next number would be drawn over
    shows(section, y, x)


def shows(section, y: int, x: int, channel: int = 0) -> None:
    """Wait until a layer's sum is that of a pixel."""
    section.locator(f"b:text-is('Pixel x {x}, y {y} of channel {channel}')").wait_for()


def test_hovering_shows_the_sum_of_the_pixel(show):
    page, (gray, edges, bent, pooled) = show("edge(3) | ReLU | MaxPool2d(2)", GRAY)
    section, pool = page.locator("#layer-1"), page.locator("#layer-3")
    for layer, tensor, y, x in [(1, edges, 7, 11), (3, pooled, 18, 13), (2, bent, 5, 20), (1, edges, 30, 3)]:
        layer = page.locator(f"#layer-{layer}")
        page.mouse.move(*point(layer.locator(".output canvas[tabindex]"), y, x, tensor))
        shows(layer, y, x)
        assert result(layer) == tensor[0, y, x].item()
        if tensor is pooled:
            window = bent[0, 36:38, 26:28].flatten().int().tolist()
            assert numbers(pool, "window") == [str(value) for value in window]
            assert pool.locator("td.largest").inner_text() == str(max(window))
    window = gray[0, 30:33, 3:6].flatten().int().tolist()
    assert numbers(section, "window") == [str(value) for value in window]
    weights = [-1] * 4 + [8] + [-1] * 4
    assert numbers(section.locator(".sum"), "weights") == [str(weight).replace("-", "−") for weight in weights]
    products = [value * weight for value, weight in zip(window, weights, strict=True)]
    assert numbers(section, "products") == [str(product).replace("-", "−") for product in products]
    assert result(section) == sum(products)
    below = int(edges[0].argmin())
    page.mouse.move(*point(page.locator("#layer-2 .output canvas[tabindex]"), *divmod(below, 28), bent))
    page.locator(f"#layer-2 code:text('ReLU(−{-edges[0].min().item():.0f}) = 0')").wait_for()


def test_kernels_of_a_colour_layer_are_drawn_in_colour(show):
    page, _ = show("Conv2d(3, 2, 3) | Conv2d(2, 3, 3) | Conv2d(3, 2, 3)", torch.rand(1, 3, 12, 12))
    read = "canvas => [...canvas.getContext('2d').getImageData(0, 0, 3, 3).data].filter((_, i) => i % 4 < 3)"
    weights = build(parse("Conv2d(3, 2, 3)"), channels=3)[0].weight
    for theme in ("light", "dark"):  # kernels are drawn again
        page.select_option("#theme", theme)
        assert page.locator(".colours canvas").count() == page.locator("#layer-1 .colours canvas").count() == 2
        for number, kernel in enumerate(weights):
            drawn = page.locator("#layer-1 .colours canvas").nth(number).evaluate(read)
            share = (kernel - kernel.min()) / (kernel.max() - kernel.min())
            assert (torch.tensor(drawn) - 255 * share.permute(1, 2, 0).flatten()).abs().max() < 0.6


@pytest.mark.parametrize(
    "text, listed",
    [("blur(sigma=67)", False), ("Conv2d(1, 64, 1) | Conv2d(64, 2, 51)", False), ("Conv2d(1, 64, 51)", True)],
)
def test_large_kernels_are_drawn(show, text, listed):
    page, _ = show(text, torch.zeros(1, 1, 51, 51))
    page.select_option("#scale", "layer")
    assert page.locator(".kernel canvas.planes").count() >= 1
    numbers = page.locator(".kernel details", has_text="numbers")
    assert (numbers.count() > 0) == listed
    if listed:
        numbers.first.locator("summary").click()
        numbers = page.locator(".kernel .matrix").first.locator("td")
        numbers.nth(51 * 51 - 1).wait_for()  # they are written when they are asked for
        assert numbers.count() == 51 * 51


@pytest.mark.parametrize(
    "text",
    [
        "Filter2d([[1e38]]) | ReLU",
        "Filter2d([[1e38]], [[-1e38]]) | Magnitude | InstanceNorm2d(1)",
        "CELU(-0.1) | MaxPool2d(2, stride=1, padding=1, dilation=(41, 2)) | Softmax2d",
    ],
)
def test_infinity_is_said_and_drawn_nowhere(show, text):
    page, tensors = show(text, GRAY - 100)
    for layer, tensor in enumerate(tensors[1:], start=1):
        section = page.locator(f"#layer-{layer}")
        for y, x in [(0, 0), *(~tensor[0].isfinite()).nonzero()[:2].tolist(), (tensor.shape[1] - 1, 5)]:
            go_to(page, section, y, x)
            np.testing.assert_allclose(result(section), tensor[0, y, x].item(), rtol=1e-5)


def test_what_is_not_in_a_window_has_no_value(show):
    text = "sobel_x | MaxPool2d(3, 2, 1) | LPPool2d(2, 3, ceil_mode=True)"
    page, (*_, pooled) = show(text, torch.arange(1200.0).square().view(1, 1, 40, 30) % 251)
    page.locator("#layer-2 .place").wait_for()
    section = page.locator("#layer-2")
    go_to(page, section, 0, 0)
    window = numbers(section, "window")
    assert [window[i] for i in (0, 1, 2, 3, 6)] == ["−∞"] * 5 and "∞" not in "".join(window[4:6] + window[7:])
    section = page.locator("#layer-3")
    go_to(page, section, 6, 4)
    window = [text.replace("−", "-") for text in numbers(section, "window")]
    assert window.count("") == 3
    total = sum(float(text) ** 2 for text in window if text)
    assert f"{total * 9 / 6:g}" and "times 9/6 for the missing values" in section.locator(".sum").inner_text()
    assert result(section) == pytest.approx(pooled[0, 6, 4].item(), rel=1e-5)
    assert result(section) == pytest.approx((total * 9 / 6) ** 0.5, rel=1e-2)


def test_the_sum_of_a_normalisation_says_mean_and_variance(show, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(8)
    np.savez("w.npz", weight=generator.normal(size=(2, 38, 28)), bias=generator.normal(size=(2, 38, 28)))
    text = (
        "Conv2d(1, 2, 3) | LayerNorm(28) | RMSNorm((38, 28), eps=0.5) | "
        "LayerNorm((2, 38, 28), weight='w.npz:weight', bias='w.npz:bias') | GroupNorm(1, 2) | BatchNorm2d(2)"
    )
    page, tensors = show(text, GRAY)
    y, x = 11, 7
    page.evaluate(f"choose(6, {y}, {x}, 1)")
    parts = [tensors[1][1, y], tensors[2][1], tensors[3], tensors[4], torch.tensor([-1.0, 1.0])]
    whose = ["Mean of row 11 of channel 1: ", "Mean square of channel 1: ", "Mean of all values: ",
             "Mean of channels 0 to 1: ", "Mean that the layer keeps of channel 1: "]  # fmt: skip
    for number, (part, words, eps) in enumerate(zip(parts, whose, [1e-5, 0.5, 1e-5, 1e-5, 1e-5], strict=True), start=2):
        section = page.locator(f"#layer-{number}")
        shows(section, y, x, 1)
        said = section.locator(".sum .said").all_inner_texts()
        code = section.locator(".sum code").inner_text()
        value, mean, divisor, small, out = map(numeral, re.fullmatch(FORMULA, code).groups())
        assert said[1].startswith(words), number
        assert value == pytest.approx(tensors[number - 1][1, y, x].item(), rel=1e-5)
        shift = part.mean().item() if "square" not in words else 0
        assert mean == pytest.approx(shift, rel=1e-4, abs=1e-6)
        assert divisor == pytest.approx((part - shift).square().mean().item(), rel=1e-4)
        assert small == eps
        assert out == pytest.approx((value - mean) / (divisor + small) ** 0.5, rel=1e-3, abs=1e-5)
        assert result(section) == pytest.approx(tensors[number][1, y, x].item(), rel=1e-5, abs=1e-6)
        if number == 4:
            factor, shift = map(numeral, re.fullmatch("Times the weight (.*), plus the bias (.*)", said[3]).groups())
            assert out * factor + shift == pytest.approx(result(section), rel=1e-4)
        else:
            assert len(said) == 3


FORMULA = r"\(?(\S+?)(?: − \(?(\S+?)\)?\))? / √\((\S+) \+ (\S+)\) = (\S+)"


def numeral(text: str | None) -> float:
    return float((text or "0").replace("−", "-"))


def test_the_window_is_outlined_where_it_lies(show):
    page, (gray, edges) = show("Filter2d(sobel_x, stride=2)", GRAY)
    section = page.locator("#layer-1")
    page.mouse.move(*point(section.locator(".output canvas[tabindex]"), 10, 6, edges))
    section.locator("text=sees x 11 to 13, y 19 to 21").wait_for()
    mark = section.locator(".mark").first.bounding_box()
    picture = section.locator(".input .frame canvas").bounding_box()
    assert (mark["x"] - picture["x"]) / picture["width"] == pytest.approx(11 / 30, abs=0.01)
    assert mark["width"] / picture["width"] == pytest.approx(3 / 30, abs=0.01)
    page.mouse.move(*point(section.locator(".output canvas[tabindex]"), 0, 0, edges))
    section.locator("text=sees x −1 to 1, y −1 to 1").wait_for()
    assert section.locator(".matrix", has_text="window").locator("td.padding").count() == 5
    assert numbers(section, "window")[0] == str(int(gray[0, 0, 0]))  # replicated


def test_the_keyboard_does_it_all(show):
    page, (_, mixed, _) = show("Conv2d(1, 3, 3) | Tanh", GRAY)
    section = page.locator("#layer-1")
    page.keyboard.press("Tab")  # to the link past the head
    page.keyboard.press("Enter")
    while page.evaluate("document.activeElement.closest('#layer-1 .output') === null"):
        page.keyboard.press("Tab")
    x, y = (int(section.locator(".place input").nth(i).input_value()) for i in (0, 1))
    for key, (dy, dx) in {"ArrowDown": (1, 0), "ArrowRight": (0, 1), "ArrowUp": (-1, 0), "ArrowLeft": (0, -1)}.items():
        page.keyboard.press(key)
        y, x = min(37, max(0, y + dy)), min(27, max(0, x + dx))
        shows(section, y, x)
        assert result(section) == pytest.approx(mixed[0, y, x].item(), rel=1e-5)
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("PageDown")
    page.keyboard.press("Home")
    y, x = max(0, y - 10), 0
    live = section.locator("[aria-live]")
    live.locator(f"text=Pixel x 0, y {y} of channel 1: ").wait_for(state="attached")
    assert result(section) == pytest.approx(mixed[1, y, x].item(), rel=1e-5)
    assert "channel 1" in section.locator(".output canvas[tabindex]").get_attribute("aria-label")
    section.locator(".thumb input").nth(1).focus()
    page.keyboard.press("ArrowRight")
    shows(section, y, 0, 2)
    section.locator(".place input").nth(1).fill("5")
    page.keyboard.press("Enter")
    shows(section, 5, 0, 2)
    assert result(section) == pytest.approx(mixed[2, 5, 0].item(), rel=1e-5)


def test_a_click_holds_the_pixel_and_a_thumbnail_takes_the_mouse_too(show):
    page, (_, mixed) = show("Conv2d(1, 3, 3)", GRAY)
    section = page.locator("#layer-1")
    canvas = section.locator(".output canvas[tabindex]")
    page.mouse.move(*point(section.locator(".thumb canvas").nth(2), 20, 10, mixed))
    shows(section, 20, 10, 2)
    page.mouse.click(*point(canvas, 8, 9, mixed))
    section.locator(".output .pin").wait_for()
    page.mouse.move(*point(canvas, 20, 20, mixed))
    page.wait_for_timeout(100)
    assert result(section) == pytest.approx(mixed[2, 8, 9].item(), rel=1e-5)
    page.mouse.click(*point(canvas, 20, 20, mixed))
    page.mouse.move(*point(canvas, 21, 20, mixed))
    shows(section, 21, 20, 2)


def test_a_finger_chooses_a_pixel_on_a_telephone(show, browser):
    phone = Tab(browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    page, (_, edges, _) = show("edge | MaxPool2d(2)", GRAY, tab=phone)
    section = page.locator("#layer-1")
    page.touchscreen.tap(*point(section.locator(".output canvas[tabindex]"), 12, 9, edges))
    shows(section, 12, 9)
    assert result(section) == edges[0, 12, 9].item()
    section.locator("button[aria-label='one pixel right']").tap()
    shows(section, 12, 10)
    assert result(section) == edges[0, 12, 10].item()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_channels_add_up(show):
    page, (_, many, mixed) = show("Conv2d(1, 5, 3) | Conv2d(5, 2, 3)", GRAY)
    section = page.locator("#layer-2")
    terms = section.locator(".terms b")
    assert terms.count() == 5
    section.locator(".terms button").nth(3).click()
    section.locator(".terms [aria-pressed=true]", has_text=re.compile("^in 3")).wait_for()
    window = [value.replace("−", "-") for value in numbers(section, "window")]
    x, y = (int(section.locator(".place input").nth(i).input_value()) for i in (0, 1))
    np.testing.assert_allclose([float(v) for v in window], many[3, y : y + 3, x : x + 3].flatten(), rtol=0.01, atol=0.5)
    assert result(section) == pytest.approx(mixed[0, y, x].item(), rel=1e-5)


def test_colours_scale_and_theme_change(show):
    page, _ = show("Conv2d(1, 2, 3)", GRAY)
    pixels = """() => [...document.querySelectorAll('.thumb canvas')].map(
        c => c.toDataURL())"""
    seen = [page.evaluate(pixels)]
    for select, value in [("theme", "dark"), ("scale", "layer"), ("colours", "gray"), ("scale", "page")]:
        page.select_option(f"#{select}", value)
        seen.append(page.evaluate(pixels))
    assert len({tuple(pictures) for pictures in seen}) == 5


def test_hostile_names_do_nothing(show):
    name = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u2028{{7*7}}</title>\udcff'
    text = "edge # </script><script>alert(3)</script> {{7*7}} \u2028 <!-- \"'>"
    page, _ = show(text, GRAY, name=name)
    assert "<script>alert(1)</script>" in page.inner_text("h1")
    assert "{{7*7}}" in page.inner_text("h1")
    assert "</script><script>alert(3)</script> {{7*7}}" in page.inner_text(".pipeline")
    assert page.locator("h1 img").count() == 0


def test_a_large_picture_keeps_exact_values_everywhere(show):
    """Two megapixels and 64 channels: pictures are reduced, arithmetic is not."""
    photo = Image.open(SAMPLES / "astronaut.png").convert("L").resize((1732, 1155))
    large = to_tensor(np.asarray(photo), 255)
    page, (_, mixed) = show("Conv2d(1, 64, 3)", large)
    assert "Drawn at 1/" in page.inner_text("#layer-1")
    section = page.locator("#layer-1")
    go_to(page, section, 40, 33)
    assert result(section) == pytest.approx(mixed[0, 40, 33].item(), rel=1e-5)
    go_to(page, section, 1152, 1729)
    section.locator(".said", has_text="sees x 1729 to 1731, y 1152 to 1154").wait_for()
    assert numbers(section, "window")[8] == str(int(large[0, 0, 1154, 1731]))


def test_what_is_too_large_to_compute_is_read(show):
    page, (_, _, mixed, pooled) = show("Conv2d(1, 30, 1) | Conv2d(30, 20, (31, 25)) | MaxPool2d(2)", GRAY)
    for layer, tensor, y, x in [(2, mixed, 9, 5), (3, pooled, 4, 2)]:
        section = page.locator(f"#layer-{layer}")
        go_to(page, section, y, x)
        assert result(section) == pytest.approx(tensor[0, y, x].item(), rel=1e-5)
    assert page.locator("#layer-2 .matrix:not(.numbers)").count() == 0  # .numbers are those of the editor


def test_a_huge_picture_is_exact_around_the_chosen_pixel(show):
    noise = np.random.default_rng(5).integers(0, 256, (1700, 1900)).astype(np.uint8)
    page, _ = show("edge", to_tensor(noise, 255), pixel=(1700, 1300))
    assert "dashed frame" in page.inner_text("#picture")
    section = page.locator("#layer-1")
    assert [section.locator(".place input").nth(i).input_value() for i in (0, 1)] == ["1698", "1298"]
    assert result(section) == 24 * int(noise[1300, 1700]) - (noise[1298:1303, 1698:1703].sum() - int(noise[1300, 1700]))
    go_to(page, section, 20, 30)
    assert section.locator("output.result").inner_text().startswith("≈")
