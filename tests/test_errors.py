import re
from pathlib import Path

import pytest

from convfilter import PipelineError, parse
from convfilter.errors import did_you_mean, escape, shorten, show_place
from convfilter.language.presets import PRESETS
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS
from convfilter.layers.other_names import HINTS

ERRORS = sorted((Path(__file__).parent / "errors").glob("*.txt"))


@pytest.mark.parametrize("path", ERRORS, ids=lambda path: path.stem)
def test_every_mistake_gets_its_message(path, golden):
    """Each block is a pipeline, its lines after '> ', and what is said of it for a picture of 64x64."""
    blocks = []
    for block in path.read_text(encoding="utf-8").rstrip("\n").split("\n\n> "):
        lines = block.removeprefix("> ").split("\n")
        text = "\n".join([lines[0], *(line[2:] for line in lines[1:] if line.startswith("> "))])
        with pytest.raises(PipelineError) as caught:
            parse(text).shapes((1, 64, 64))
        blocks.append("> " + text.replace("\n", "\n> ") + f"\n{caught.value}\n")
    golden(path, "\n".join(blocks))


def test_three_hundred_mistakes_have_their_message():
    assert sum(path.read_text(encoding="utf-8").count("\n> ") + 1 for path in ERRORS) > 300


@pytest.mark.parametrize(
    "text, escaped",
    [
        ("plain é 漢 😀", "plain é 漢 😀"),
        ("a\nb\tc\r\0", "a\\nb\\tc\\r\\x00"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x85\u2028\u202e\u200b\ufeff", "\\x85\\u2028\\u202e\\u200b\\ufeff"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\ud800", "\\ud800"),
        ("\ue000", "\\ue000"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text, escaped):
    assert escape(text) == escaped
    assert escape(text).isprintable()
    escape(text).encode("utf-8")


def test_a_text_is_shortened():
    assert shorten("abc", 3) == "abc" and shorten("abcd", 3) == "..." and shorten("\0" * 1000, 10) == "\\x00\\x0..."


@pytest.mark.parametrize(
    "text, start, end, shown",
    [
        ("ReLU", 0, 4, "  ReLU\n  ^^^^"),
        ("a\nbc\nd", 2, 4, "  bc\n  ^^"),
        ("a\nbc\nd", 3, 6, "  bc\n   ^"),
        ("ab", 2, 2, "  ab\n    ^"),
        ("\0x", 1, 2, "  \\x00x\n      ^"),
        ("漢x", 1, 2, "  漢x\n    ^"),
        ("e\u0301x", 2, 3, "  e\u0301x\n   ^"),
        ("\tx", 1, 2, "  \\tx\n    ^"),
        ("a\n", 2, 2, "  \n  ^"),
    ],
)
def test_the_caret_stands_under_the_place(text, start, end, shown):
    assert show_place(text, start, end) == shown


def test_did_you_mean():
    assert did_you_mean("sobelx", KERNELS) == "; did you mean sobel_x?"
    assert did_you_mean("RELU", ["ReLU", "ELU"]) == "; did you mean ReLU?"
    assert did_you_mean("xyzzy", KERNELS) == did_you_mean("", KERNELS) == did_you_mean("x" * 10**6, KERNELS) == ""


def test_what_is_written_in_place_of_a_name_exists():
    """No name that has a hint is one of ours, and what the hint says to write is a layer or a preset."""
    known = {name.lower() for name in (*LAYERS, *KERNELS, *PRESETS)}
    assert not known & set(HINTS)
    for name, hint in HINTS.items():
        with pytest.raises(PipelineError, match=re.escape(hint)):
            parse(f"ReLU | {name}")
        for written in re.findall(r"^write (\w+)", hint):
            assert written == "the" or written.lower() in known, hint
