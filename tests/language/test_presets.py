import pytest
import torch

from convfilter import PipelineError, UsageError
from convfilter.engine.build import build
from convfilter.language.pipeline import parse, parse_preset
from convfilter.language.presets import PRESETS, Preset, load_presets
from convfilter.language.resolve import CONVOLUTION_OPTIONS, takes_convolution_options

OPTIONS = {
    "edge": ["size"], "tutorial": ["size"], "sobel": [], "prewitt": [], "scharr": [], "roberts": [], "laplace": [],
    "outline": [], "log": ["sigma"], "blur": ["sigma"], "box": ["size"], "sharpen": [], "unsharp": ["sigma", "amount"],
    "emboss": [], "motion": ["size", "angle"], "compass": [], "gabor": ["size", "wavelength"],
    "block": ["size", "pool"], "denoise": [],
}  # fmt: skip
CHANNELS = {"tutorial": 2, "compass": 8, "gabor": 4, "block": 8}
SEVERAL_LAYERS = {"sobel", "prewitt", "scharr", "roberts", "block", "denoise"}


def test_the_presets_of_the_design_are_there_with_their_options():
    assert {name: list(preset.options) for name, preset in PRESETS.items()} == OPTIONS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_keeps_the_pictures_size_and_says_what_it_does(name):
    pipeline = parse(name)
    c, h, w = pipeline.shapes((1, 61, 47))[-1]
    shrinks = 4 if name in ("edge", "tutorial") else 0
    smaller = 2 if name == "block" else 1
    assert (c, h, w) == (CHANNELS.get(name, 1), (61 - shrinks) // smaller, (47 - shrinks) // smaller)
    assert build(pipeline)(torch.rand(1, 1, 61, 47)).shape[1:] == (c, h, w)
    assert PRESETS[name].help.split("\n")[0].endswith((".", "Unpadded.")) and pipeline.name == name


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_its_own_options_and_those_of_its_convolution(name):
    assert takes_convolution_options(PRESETS[name]) == (name not in SEVERAL_LAYERS)
    for option, default in PRESETS[name].options.items():
        other = default + 2
        changed = parse(f"{name}({option}={other}) | ReLU")
        assert changed != parse(f"{name} | ReLU") and str(changed).count("ReLU") == str(parse(f"{name} | ReLU")).count(
            "ReLU"
        )
        assert parse(f"{name}({option}={default})") == parse(name)
    if name not in SEVERAL_LAYERS:
        (layer,) = parse(f"{name}(stride=2, padding=3, padding_mode='reflect', dilation=2)").layers
        rows = layer.effect.rows
        assert (rows.stride, rows.before, rows.after, rows.mode, rows.dilation) == (2, 3, 3, "reflect", 2)
        assert parse_preset(name, {"padding": "valid"}).layers[0].effect.rows.before == 0
    else:
        for option in CONVOLUTION_OPTIONS:
            with pytest.raises(PipelineError, match=f"{name} has no argument '{option}'"):
                parse(f"{name}({option}=1)")


def test_a_preset_stands_for_its_layers_within_a_pipeline():
    pipeline = parse("blur(sigma=2) | sobel | block(size=5, pool=2)")
    assert [layer.name for layer in pipeline.layers] == [
        "Filter2d",
        "Filter2d",
        "Magnitude",
        "LazyConv2d",
        "ReLU",
        "MaxPool2d",
    ]
    assert parse("blur(2)") == parse("blur(sigma=2)") == parse_preset("blur", {"sigma": "2"})


def test_same_padding_keeps_edge_at_the_pictures_size():
    assert parse("edge(padding='same')").shapes((1, 20, 30)) == [(1, 20, 30)]
    assert parse("edge(7)").shapes((1, 20, 30)) == [(1, 14, 24)]


# A user's own.


def user(tmp_path, text: str) -> dict[str, Preset]:
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    return {**PRESETS, **load_presets(tmp_path / "mine.toml")}


def test_a_users_presets_are_like_the_others(tmp_path):
    presets = user(
        tmp_path,
        """
        [soft]
        pipeline = "Filter2d(gaussian(sigma={sigma}), padding_mode='{mode}') | ReLU"
        help = "A soft blur."
        options = { sigma = 1.5, mode = "reflect" }

        [twice]
        pipeline = '''
            soft(sigma={sigma})  # once
            | soft               # and again
        '''
        options = { sigma = 2 }

        [with_kernel]
        pipeline = "Filter2d({kernel}, stride=2)"
        options = { kernel = "gaussian(3)" }

        [blur]
        pipeline = "box(3)"
        """,
    )
    assert presets["soft"].help == "A soft blur." and presets["twice"].help == "Your own."
    assert (
        str(parse("soft(sigma=3)", presets=presets)) == "Filter2d(gaussian(sigma=3), padding_mode='reflect') | ReLU()"
    )
    assert len(parse("twice", presets=presets).layers) == 4
    assert str(parse_preset("with_kernel", {"kernel": "sobel_x"}, presets=presets)) == "Filter2d(sobel_x, stride=2)"
    assert str(parse("with_kernel(kernel=[[1, 2]])", presets=presets)) == "Filter2d([[1, 2]], stride=2)"
    assert (
        str(parse("with_kernel(stride=3, padding=1)", presets=presets)) == "Filter2d(gaussian(3), stride=3, padding=1)"
    )
    assert str(parse("blur | blur", presets=presets)) == "Filter2d(box(3)) | Filter2d(box(3))"
    assert "sharpen" in presets


def test_a_mistake_in_an_option_is_shown_where_the_user_wrote_it(tmp_path):
    presets = user(
        tmp_path,
        """
        [soft]
        pipeline = "Filter2d(gaussian(sigma={sigma})) | MaxPool2d(2, stride={sigma})"
        options = { sigma = 2 }
        [outer]
        pipeline = "ReLU | soft(sigma={s})"
        options = { s = 1 }
        """,
    )
    with pytest.raises(PipelineError) as caught:
        parse("edge | outer(s=-1)", presets=presets)
    assert str(caught.value).splitlines() == [
        "gaussian: sigma must be a number from 0.001 to 1,000,000, not -1",
        "  edge | outer(s=-1)",
        "               ^^^^",
    ]
    with pytest.raises(PipelineError, match=r"MaxPool2d: stride must be a whole number .*, not 1\.5") as caught:
        parse("soft(1.5)", presets=presets)
    assert caught.value.text == "soft(1.5)" and caught.value.start == 5


def test_a_mistake_in_the_preset_itself_is_shown_there(tmp_path):
    presets = user(tmp_path, """[bad]\npipeline = "ReLU | Conv2d(1,, {n})"\noptions = {n = 2}\n""")
    assert takes_convolution_options(presets["bad"]) is False
    with pytest.raises(PipelineError) as caught:
        parse("edge | bad", presets=presets)
    assert str(caught.value).splitlines() == [
        "preset bad, line 1, column 17: expected an argument between the two commas",
        "  ReLU | Conv2d(1,, 2)",
        "                  ^",
    ]


def test_presets_that_stand_for_themselves_or_double_without_end(tmp_path):
    text = '[a]\npipeline = "b | ReLU"\n[b]\npipeline = "c"\n[c]\npipeline = "Tanh | a"\n[d]\npipeline = "d"\n'
    for i in range(19):
        text += f'[e{i}]\npipeline = "e{i + 1} | e{i + 1}"\n'
    presets = user(tmp_path, text + f'[e19]\npipeline = "{" | ".join(["ReLU"] * 100)}"\n')
    for name, inner in [("a", "a"), ("b", "b"), ("d", "d")]:
        with pytest.raises(PipelineError, match=f"preset {inner} stands for itself here, without an end"):
            parse(f"ReLU | {name}", presets=presets)
    with pytest.raises(PipelineError, match="a pipeline has at most 50,000 layers"):
        parse("e0", presets=presets)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("edge", "mine.toml is not a TOML file: "),
        ("[a]\nx = " + "[" * 5000, "mine.toml is not a TOML file: "),
        ("a = 1", 'preset a: expected a table with pipeline = "..."'),
        ("[a]", 'preset a: expected a table with pipeline = "..."'),
        ("[a]\npipeline = 3", 'preset a: expected a table with pipeline = "..."'),
        ("[a.b]\npipeline = 'edge'", 'preset a: expected a table with pipeline = "..."'),
        ("[[a]]\npipeline = 'edge'", 'preset a: expected a table with pipeline = "..."'),
        ("['a b']\npipeline = 'edge'", "preset a b: its name must be a word of letters, digits and _"),
        ("[True]\npipeline = 'edge'", "preset True: its name must be a word of letters, digits and _"),
        ('["\\u001b[31m"]\npipeline = "edge"', "preset \\x1b[31m: its name must be a word"),
        ("[ReLU]\npipeline = 'edge'", "preset ReLU: its name is a layer's"),
        (
            "[a]\npipeline = 'edge'\noption = 1",
            "preset a: there is no key 'option'; a preset has pipeline, help and options",
        ),
        ("[a]\npipeline = 'edge'\nhelp = 1", "preset a: help is a text and options a table of defaults"),
        ("[a]\npipeline = 'edge'\noptions = [1]", "preset a: help is a text and options a table of defaults"),
        ("[a]\npipeline = 'edge'\noptions = {b = 1}", "preset a: option b is not used: the pipeline has no {b}"),
        ("[a]\npipeline = 'edge({b})'\noptions = {b = [1]}", "preset a: option b must be a word with a number"),
        ("[a]\npipeline = 'edge({b})'\noptions = {b = 1979-05-27}", "preset a: option b must be a word with a number"),
        ("[a]\npipeline = 'edge({b c})'\noptions = {'b c' = 1}", "preset a: option b c must be a word"),
        ("[a]\npipeline = 'edge({size})'", "preset a: the pipeline has {size}, and options has no size"),
        ("a = " + "9" * 5000, "mine.toml is not a TOML file: "),
    ],
)
def test_a_broken_presets_file_names_the_file_and_the_preset(tmp_path, text, reason):
    with pytest.raises(UsageError) as caught:
        user(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "mine.toml")) and reason in message
    assert message.isprintable() and len(message) < 500


def test_a_presets_file_that_cannot_be_read(tmp_path):
    (tmp_path / "latin.toml").write_bytes(b"# caf\xe9")
    for name, reason in [
        ("no.toml", "cannot be read: "),
        (".", "is a folder"),
        ("latin.toml", "is not a text file in UTF-8"),
    ]:
        with pytest.raises(UsageError) as caught:
            load_presets(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name} {reason}")


def test_an_options_value_is_not_read_as_another_option():
    preset = Preset("unsharp({sigma}, '{amount}')", "", {"sigma": 1, "amount": 2})
    assert preset.write({"sigma": "'{amount}'", "amount": "3"}) == "unsharp('{amount}', '3')"
    assert preset.write({}) == "unsharp(1, '2')"
    assert Preset("edge", "").write({"size": "3"}) == "edge"


def test_blocks_chain_and_each_halves_the_picture():
    pipeline = parse("block | block(size=5) | block")
    assert [c for c, _, _ in pipeline.shapes((1, 64, 40))[::3]] == [8, 8, 8]
    assert pipeline.shapes((1, 64, 40))[-1] == (8, 8, 5)
