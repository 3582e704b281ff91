"""The page that is edited, in a real browser: what it computes against torch, its controls, its address, and copies."""

import random

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from random_pipelines import random_pipeline

from convfilter import PipelineError, parse
from convfilter.engine.build import activations, build, to_tensor
from convfilter.gray.input_values import InputValues
from convfilter.layers.catalogue import LAYERS
from convfilter.report.page import make_report

GRAY = to_tensor(np.random.default_rng(1).integers(0, 256, (40, 30)).astype(np.uint8), 255)
VALUES = """() => ({
    text: document.getElementById("pipeline-text").value,
    tensors: PAGE.tensors.map(({ shape, values }, t) => ({
        shape, values: [...(values ?? grid(t, range(0, shape[1]), range(0, shape[2])).values)],
    })),
})"""


@pytest.fixture(scope="module")
def context(browser):
    return browser.new_context(viewport={"width": 1366, "height": 768})


@pytest.fixture
def show(tab, tmp_path):
    """Return a function that makes a page, opens it and its first layer's controls; at the end it has said nothing."""
    files = iter(range(1000))

    def open_page(text: str, x: torch.Tensor = GRAY, fragment: str = "", **options):
        pipeline, path = parse(text), tmp_path / f"page{next(files)}.html"
        made = make_report(
            pipeline, build(pipeline, channels=x.shape[1]), x, source_name="photo.png", text=text, **options
        )
        path.write_text(made, encoding="utf-8", newline="\n")
        page = tab.open(path, fragment)
        page.locator("#layer-1 .controls summary").click()
        return page

    yield open_page
    assert [one for one in tab.close() if not one.startswith("blob:")] == []  # an own picture is one


def settle(page) -> dict:
    """Wait until everything is computed that was asked for; what the page then shows."""
    page.wait_for_selector(".editor:not([data-waiting])")
    return page.evaluate(VALUES)


def assert_is_torchs(shown: dict, x: torch.Tensor = GRAY, *, seed: int = 0) -> None:
    tensors = [x, *activations(build(parse(shown["text"]), seed=seed, channels=x.shape[1]), x)]
    assert len(shown["tensors"]) == len(tensors), shown["text"]
    for one, tensor in zip(shown["tensors"], tensors, strict=True):
        assert one["shape"] == list(tensor.shape[1:])
        largest = tensor[tensor.isfinite()].abs().max().item()
        np.testing.assert_allclose(
            one["values"], tensor.flatten(), rtol=1e-5, atol=1e-5 * largest, err_msg=shown["text"]
        )


def write(page, text: str) -> dict:
    page.fill("#pipeline-text", text)
    return settle(page)


def fits(text: str) -> bool:
    try:
        return bool(parse(text).shapes(GRAY.shape[1:]))
    except PipelineError:
        return False


def field(page, name: str, layer: int = 1):
    return page.locator(f"#argument-{layer - 1}-{name}")


def test_any_pipeline_written_into_the_page_is_computed_as_torch_does(show):
    page, rng = show("edge | ReLU"), random.Random(4)
    texts = [str(random_pipeline(rng, (1, 40, 30), most=4)) for _ in range(15)]
    texts = [text for text in texts if "InstanceNorm" not in text]  # which makes much of the last digit
    for text in [*filter(fits, (entry.example for entry in LAYERS.values())), *texts]:
        assert_is_torchs(write(page, text))
        assert page.locator(".problem:visible").count() == 0, text


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        (
            "Conv2d(1, 3, 3) | ReLU | MaxPool2d(2)",
            {"kernel_size": "(5, 2)", "stride": "2", "padding": "(1, 3)", "dilation": "2", "bias": "[1, 2, 3]"},
        ),
        (
            "Conv2d(1, 4, 3, bias=False) | Conv2d(4, 2, 3)",
            {"out_channels": "6", "kernel_size": "1", "padding": "'same'"},
        ),
        ("MaxPool2d(3) | Tanh", {"kernel_size": "4", "stride": "1", "padding": "2", "dilation": "3"}),
        ("AvgPool2d(3, ceil_mode=True)", {"kernel_size": "(4, 5)", "divisor_override": "7", "padding": "1"}),
        ("Softplus(beta=0.1)", {"beta": "2.5", "threshold": "-1"}),
        ("ConstantPad2d(2, 1)", {"padding": "(1, -2, 0, 4)", "value": "-7.5"}),
        ("Upsample(scale_factor=2, mode='bilinear')", {"scale_factor": "1.3"}),
        ("FractionalMaxPool2d(2, output_ratio=0.7)", {"output_ratio": "0.4", "kernel_size": "3"}),
    ],
)
def test_arguments_change_one_by_one(show, text, changes):
    page = show(text)
    for name, value in changes.items():
        field(page, name).fill(value)
        assert_is_torchs(settle(page))
    for name in changes:
        field(page, name).press("ArrowUp")
        settle(page)
    assert_is_torchs(settle(page))


def test_menus_and_boxes_change_too(show):
    page = show("Conv2d(1, 2, 5, padding=2) | MaxPool2d(2) | ReLU")
    field(page, "padding_mode").select_option(label="'reflect'")
    assert_is_torchs(settle(page))
    page.locator("#layer-2 .fold").click()
    page.locator("#layer-2 .controls summary").click()
    field(page, "ceil_mode", 2).check()
    page.locator("#layer-2 .kind select").select_option("AvgPool2d")
    page.locator("#layer-3 .fold").click()
    page.locator("#layer-3 .controls summary").click()
    page.locator("#layer-3 .kind select").select_option("Softplus")
    shown = settle(page)
    assert (
        shown["text"]
        == "Conv2d(1, 2, 5, padding=2, padding_mode='reflect') | AvgPool2d(2, ceil_mode=True) | Softplus(beta=0.1)"
    )
    assert_is_torchs(shown)
    assert "Softplus" in page.inner_text("#layer-3 h2")
    assert page.inner_text(".strip li:last-child .name") == "Softplus"


def test_a_blur_becomes_an_edge_detector_by_hand(show):
    page = show("blur | ReLU")
    page.locator("#layer-1 .weights select").last.select_option(label="box")
    assert settle(page)["text"] == "Filter2d(box) | ReLU()"
    numbers = page.locator("#layer-1 .numbers input")
    for number in range(9):
        numbers.nth(number).fill("8" if number == 4 else "-1")
    shown = settle(page)
    assert shown["text"] == "Filter2d([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]) | ReLU()"
    assert_is_torchs(shown)
    assert "own numbers" in page.inner_text("#layer-1 .thumbs")
    numbers.nth(0).fill("1/9")
    numbers.nth(1).press("Shift+ArrowUp")
    shown = settle(page)
    assert "0.11111111, 9, -1" in shown["text"]
    assert_is_torchs(shown)
    numbers.nth(2).fill("1e99")
    assert numbers.nth(2).get_attribute("aria-invalid") == "true"
    numbers.nth(3).fill("2")
    assert numbers.nth(2).input_value() == "-1"  # as it was
    assert_is_torchs(settle(page))


def test_random_kernels_and_biases_keep_what_is_not_changed(show):
    page = show("Conv2d(1, 3, 3) | Conv2d(3, 2, 2)", seed=5)
    before = build(parse("Conv2d(1, 3, 3) | Conv2d(3, 2, 2)"), seed=5)
    page.locator("#layer-1 .weights select").first.select_option("2")
    page.locator("#layer-1 .numbers input").nth(4).fill("0.5")
    page.locator("#layer-1 .weights").get_by_label("bias", exact=True).fill("3")
    shown = settle(page)
    after = build(parse(shown["text"]), seed=5)
    weight, bias = before[0].weight.clone(), before[0].bias.clone()
    weight[2, 0, 1, 1], bias[2] = 0.5, 3
    assert torch.equal(after[0].weight, weight)
    assert torch.equal(after[0].bias, bias)
    assert torch.equal(after[1].weight, before[1].weight)
    assert_is_torchs(shown, seed=5)


def test_a_kernel_of_a_block_is_changed(show):
    page = show("block | block")
    before = build(parse("block | block"))
    page.locator("#layer-4 .fold").click()
    page.locator("#layer-4 .controls summary").click()
    page.locator("#layer-4 .weights select").first.select_option("3")
    page.locator("#layer-4 .weights select").nth(1).select_option("5")
    page.locator("#layer-4 .numbers input").nth(0).fill("7")
    shown = settle(page)
    weight = before[3].weight.clone()
    weight[3, 5, 0, 0] = 7
    after = build(parse(shown["text"]))
    assert torch.equal(after[3].weight, weight)
    assert torch.equal(after[3].bias, before[3].bias)
    assert torch.equal(after[0].weight, before[0].weight)
    assert_is_torchs(shown)
    page.locator("#layer-1 .weights select").last.select_option("sobel_x")
    assert settle(page)["text"].startswith("Conv2d(1, 8, 3, padding='same', weight=[sobel_x])")


def test_layers_are_added_moved_and_removed_and_undone(show):
    page = show("edge | ReLU")
    texts = [settle(page)["text"]]
    page.locator(".editor select").first.select_option("Conv2d")
    page.get_by_label("Add a layer after this one").first.select_option("block")
    page.locator("#layer-2 .up").click()
    texts.append(settle(page)["text"])
    assert_is_torchs(settle(page))
    names = [layer.name for layer in parse(texts[-1]).layers]
    assert len(names) == 2 + 1 + len(parse("block").layers)
    assert page.locator(".layer").count() == len(names)
    assert page.evaluate("document.activeElement.closest('.layer').id") == "layer-1"
    page.locator("#layer-1 .remove").click()
    shown = settle(page)
    assert [layer.name for layer in parse(shown["text"]).layers] == names[1:]
    assert_is_torchs(shown)
    for _ in range(4):
        page.get_by_role("button", name="Undo").click()
        shown = settle(page)
    assert shown["text"] == texts[0]
    assert_is_torchs(shown)
    assert page.locator(".layer").count() == 2


def test_later_layers_follow_the_number_of_channels(show):
    page = show("Conv2d(1, 4, 3) | InstanceNorm2d(4) | Conv2d(4, 8, 3, groups=2) | PReLU(8)")
    field(page, "out_channels").fill("6")
    shown = settle(page)
    assert shown["text"] == "Conv2d(1, 6, 3) | InstanceNorm2d(6) | Conv2d(6, 8, 3, groups=2) | PReLU(num_parameters=8)"
    assert "Layers 2, 3 now take the channels that come in." in page.inner_text(".editor .status")
    assert_is_torchs(shown)


def test_what_does_not_fit_is_said_where_it_was_changed_and_changes_nothing(show):
    page = show("edge | MaxPool2d(2)")
    problem = page.locator("#layer-1 .edit .problem")
    for name, value, said in [
        ("kernel_size", "41", "Conv2d: the picture is 40 high here: the window of 41 is larger than the 40 pixels"),
        ("stride", "0", "Conv2d: stride must be a whole number from 1 to 1,000,000, not 0"),
        ("padding", "'sme'", "Conv2d: padding must be a number, 'same' or 'valid', not 'sme'"),
        ("dilation", "(1,", "dilation: expected a value or ')', not the end"),
        (
            "kernel_size",
            "30",
            "Layer 2, MaxPool2d: the picture is 1 wide here: the window of 2 is larger than the 1 pixels",
        ),
    ]:
        field(page, name).fill(value)
        assert said in problem.inner_text()
        assert settle(page)["text"] == "Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | MaxPool2d(2)"
        field(page, name).blur()
    page.fill("#pipeline-text", "edge | Relu")
    assert "there is no layer, preset or kernel 'Relu'" in page.inner_text(".editor .problem")
    shown = write(page, "edge")
    assert page.locator(".problem:visible").count() == 0
    assert_is_torchs(shown)


def test_the_address_carries_the_pipeline(show):
    page = show("edge | ReLU")
    page.locator("#layer-1 .numbers input").nth(12).fill("20")
    page.get_by_label("Seed").fill("7")
    page.get_by_label("Seed").press("Enter")
    text = settle(page)["text"]
    page.locator(".strip a").last.click()
    address = page.evaluate("location.hash")
    other = show("edge | ReLU", fragment=address)
    shown = settle(other)
    assert shown["text"] == text
    assert other.get_by_label("Seed").input_value() == "7"
    assert_is_torchs(shown, seed=7)
    other.get_by_role("button", name="Reset").click()
    assert settle(other)["text"] == "Conv2d(1, 1, 5, bias=False, weight=[edge(5)]) | ReLU()"
    assert other.evaluate("location.hash") == ""
    assert other.inner_text("#layer-1 h2 code") == "Conv2d(1, 1, 5, bias=False, weight=[edge(5)])"
    wrong = show("edge", fragment="#pipeline=%3Cimg+src=x+onerror=alert(1)%3E|%FF")
    assert "has no place in a pipeline" in wrong.inner_text(".editor .problem")


def test_reset_shows_the_page_as_it_was_made(show):
    page = show("Conv2d(1, 2, 5) | MaxPool2d(2) # as written")
    before = {name: page.locator(name).all_inner_texts() for name in (".facts", ".thumbs .name", ".size", ".pipeline")}
    write(page, "ReLU")
    assert page.locator(".layer").count() == 1
    page.get_by_role("button", name="Reset").click()
    settle(page)
    for name, texts in before.items():
        now = ["".join(text.split()) for text in page.locator(name).all_inner_texts()]
        assert now == ["".join(text.split()) for text in texts], name


def test_a_picture_is_dropped_on_the_page(show, tmp_path):
    pixels = np.random.default_rng(4).integers(0, 256, (21, 27)).astype(np.uint8)
    Image.fromarray(pixels).save(path := tmp_path / "dropped.png")
    page = show("edge | ReLU")
    page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            document.querySelector("h1").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }""",
        list(path.read_bytes()),
    )
    page.locator("header .facts", has_text="27×21").wait_for()
    assert_is_torchs(settle(page), to_tensor(pixels, 255))


@pytest.mark.parametrize("white", [255.0, 1.0])
def test_an_own_picture_is_read_as_the_program_reads_it(show, tmp_path, white):
    colours = np.random.default_rng(3).integers(0, 256, (25, 33, 3)).astype(np.uint8)
    Image.fromarray(colours).save(path := tmp_path / "own photo.png")
    page = show("edge | ReLU", GRAY * (white / 255), white=white)
    page.locator("input[type=file]").set_input_files(path)
    page.locator("header .facts", has_text="33×25").wait_for()
    x = to_tensor(np.asarray(Image.open(path).convert("L")), 255, InputValues(white=white))
    assert_is_torchs(settle(page), x)
    assert page.inner_text("h1") == "own photo.png"
    assert "33×25" in page.inner_text("header .facts")
    path.write_bytes(b"no picture")
    page.locator("input[type=file]").set_input_files(path)
    page.locator(".editor .problem", has_text="own photo.png is no picture").wait_for()
    page.get_by_role("button", name="Reset").click()
    assert_is_torchs(settle(page), GRAY * (white / 255))
    assert page.inner_text("h1") == "photo.png"


def test_of_a_picture_too_large_to_carry_a_part_is_computed(show, monkeypatch):
    monkeypatch.setattr("convfilter.report.page.PICTURE_BYTES", 700)
    page = show("edge | ReLU", pixel=(20, 20))
    top, left, height, width = page.evaluate("PAGE.tensors[0].part")
    assert height < 40
    assert width < 30
    assert f"exact values of {width}×{height} pixels" in page.inner_text(".editor .note")
    assert_is_torchs(write(page, "sobel_x | MaxPool2d(2)"), GRAY[..., top : top + height, left : left + width])


def test_colour_and_weights_from_a_file_can_be_changed_too(show, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("w.npz", kernel=np.random.default_rng(2).normal(size=(2, 3, 3, 3)), mean=[5.0, 7.0])
    colour = np.random.default_rng(3).integers(0, 256, (3, 20, 25)).astype(np.uint8)
    x = to_tensor(colour, 255, InputValues(3, 1.0, (0.5, 0.25, 0.5), (0.5, 0.5, 0.125)))
    page = show("Conv2d(3, 2, 3, weight='w.npz:kernel', bias=False) | BatchNorm2d(2, running_mean='w.npz:mean')", x)
    field(page, "padding").fill("2")
    shown = settle(page)
    assert "weight='w.npz:kernel'" in shown["text"]
    assert_is_torchs(shown, x)
    page.locator("#layer-1 .weights select").nth(1).select_option("1")
    page.locator("#layer-1 .numbers input").nth(8).fill("-3")
    shown = settle(page)
    assert "w.npz:kernel" not in shown["text"]
    assert_is_torchs(shown, x)


def test_a_normalisation_that_has_learnt_can_be_changed(show, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(8)
    np.savez("w.npz", weight=generator.normal(size=(38, 28)), bias=generator.normal(size=(38, 28)), row=np.arange(28.0))
    text = "Conv2d(1, 2, 3) | LayerNorm((38, 28), weight='w.npz:weight', bias='w.npz:bias') | "
    page = show(f"{text}RMSNorm(28, weight='w.npz:row')")
    page.locator("#layer-2 .fold").click()
    page.locator("#layer-2 .controls summary").click()
    field(page, "eps", 2).fill("3")
    assert "eps=3" in settle(page)["text"]
    page.locator("#layer-1 .numbers input").nth(0).fill("5")
    shown = settle(page)
    assert "w.npz:bias" in shown["text"]
    assert_is_torchs(shown)
    assert page.locator("#layer-2 .numbers, #layer-2 .kernel > *").count() == 0


@pytest.mark.parametrize(
    "text",
    [
        "Conv2d(1, 3, 3, weight=[sobel_x, [[1, 2, 3], [4, 5, 6], [7, 8, 9]]], bias=[1, 2, 3]) | ReLU(inplace=True)",
        "Filter2d(sobel_x, box(2), padding_mode='reflect') | Magnitude() | Filter2d(edge, stride=2) | Conv2d(1, 2, 2)",
        "Conv2d(1, 2, 3) | Filter2d(laplace4) | FractionalMaxPool2d(2, output_ratio=0.7) | Dropout(0.25) | Identity()",
        "InstanceNorm2d(1) | Upsample(scale_factor=1.5, mode='bilinear') | ConvTranspose2d(1, 2, 3) | RReLU()",
    ],
)
def test_what_is_copied_gives_the_same_values(show, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(GRAY[0, 0].numpy().astype(np.uint8)).save("photo.png")
    page = show("edge", seed=3)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = write(page, text)
    assert_is_torchs(shown, seed=3)
    copied = {}
    for name in ("pipeline", "command", "PyTorch code", "link"):
        page.get_by_role("button", name=name, exact=True).click()
        page.locator(".status", has_text="Copied").first.wait_for()
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    assert copied["pipeline"] == str(parse(text))
    assert copied["command"] == f'convfilter run "{copied["pipeline"]}" photo.png --seed 3'
    assert copied["link"].startswith("file:")
    exec(copied["PyTorch code"], names := {})
    expected = shown["tensors"][-1]["values"]
    np.testing.assert_allclose(names["y"].flatten(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_the_keyboard_reaches_every_control(show):
    page = show("Conv2d(1, 2, 3) | ReLU")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('.editor *, #layer-1 .edit *')].filter((one) =>
            one.matches('button, select, input, textarea, summary') && one.tabIndex >= 0 && !one.disabled &&
            one.checkVisibility()).length"""
    )
    page.locator("#pipeline-text").focus()
    seen = set()
    for _ in range(200):
        seen.add(
            page.evaluate("""() => { const all = [...document.querySelectorAll('*')], one = document.activeElement;
            return one.closest('.editor, #layer-1 .edit') ? all.indexOf(one) : -1 }""")
        )
        page.keyboard.press("Tab")
    assert len(seen - {-1}) == wanted
    field(page, "kernel_size").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowUp")
    assert settle(page)["text"].startswith("Conv2d(1, 2, 14)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(show, scheme):
    page = show("Conv2d(1, 2, 3) | MaxPool2d(2) | ReLU")
    page.emulate_media(color_scheme=scheme)
    page.locator("#layer-2 .fold").click()
    page.locator("#layer-2 .controls summary").click()
    field(page, "kernel_size").fill("99")
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], node["html"], node["failureSummary"]) for one in serious for node in one["nodes"]] == []


def test_a_network_whose_kernels_were_summed_for_gray_says_that_it_stays_as_it_is(tab, tmp_path):
    pipeline = parse("Conv2d(3, 2, 3)").for_gray()
    page_of = make_report(pipeline, build(pipeline), GRAY, source_name="photo.png", text="Conv2d(3, 2, 3)")
    (tmp_path / "page.html").write_text(page_of, encoding="utf-8")
    page = tab.open(tmp_path / "page.html")
    assert page.locator("#tools").inner_text() == (
        "This pipeline cannot be changed in the page: --gray-weights has summed the kernels of its first layer over "
        "red, green and blue."
    )
    assert tab.close() == []
