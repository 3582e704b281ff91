"""The page on the language names every layer, kernel and preset, and its pipelines are right."""

import re
from pathlib import Path

from convfilter import parse
from convfilter.language.presets import PRESETS
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text(encoding="utf-8")


def named(title: str) -> set[str]:
    """The words in code in a section's table or list of names."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith(("|", "`"))]
    return {word.partition("(")[0] for line in lines for word in re.findall(r"`([^`]+)`", line)}


def test_every_layer_kernel_and_preset_is_named():
    assert named("Layers") == set(LAYERS)
    assert named("Kernels") == set(KERNELS)
    assert named("Presets") == set(PRESETS)


def test_the_pipelines_of_the_page_parse():
    lines = re.findall(r"^    (.*\|.*)$", PAGE, re.MULTILINE)
    assert len(lines) == 3 and all(parse(line).layers for line in lines)
