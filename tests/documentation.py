"""The pages of the documentation: their blocks, what the commands in them print, and the pictures that these write.

A block of commands is fenced as ``console``. A line that begins with ``$ `` is a command, one that begins with ``> ``
goes on with it, and the others are what it prints, on both streams. The commands of a page are run one after the
other, by one bash, in a copy of ``sample_images/``; ``pytest tests/test_documentation.py --rewrite`` writes what they
print, and copies the pictures that the page shows to ``docs/img/``. Five rules say what need not be equal:

- seconds (``0.4 s``, ``"seconds": 0.4``) may be any;
- a number with decimals may differ by 2 % or by 0.02, because processors round in different ways;
- a line ``...`` stands for any lines;
- a run's closing line (``1 picture, 1 output, 0 failed, 0.4 s``) may be left out where nothing failed;
- ``<!-- not run: REASON -->`` before a block leaves it alone; ``<!-- first: COMMAND -->`` prepares files for a page.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from convfilter.warm import protocol

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PICTURES = DOCS / "img"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
SCREENSHOTS = {"report.png": "astronaut_tutorial.html"}  # pictures of pages that commands have written, in a browser
CHROMIUM = shutil.which("chromium")

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$|^<!-- ([\w ]+): (.*?) -->$", re.MULTILINE | re.DOTALL)
_CLOSING = re.compile(r"\d[\d,]* pictures?, \d[\d,]* outputs?, 0 failed, [\d.]+ s")
_NUMBER = re.compile(r'(\b\d+(?:\.\d+)? s\b|"seconds": [\d.]+|-?\d+\.\d+)')  # seconds, or a number with decimals
_MARK = "--- next command ---"


@dataclass(frozen=True)
class Block:
    """A fenced block, or a comment that says how blocks are run; ``start`` and ``end`` are those of its body."""

    kind: str
    body: str
    start: int
    end: int


def blocks(text: str) -> list[Block]:
    """Return a page's fenced blocks and directives, in order, without those that are not to be run."""
    found, skipped = [], False
    for match in _BLOCK.finditer(text):
        body = 2 if match[1] else 4
        block = Block(match[1] or match[3], match[body], match.start(body), match.end(body))
        if not skipped:
            found.append(block)
        skipped = block.kind == "not run"
    return found


def commands(block: Block) -> list[tuple[str, list[str]]]:
    """Return the commands of a console block as they stand there, each with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for line in block.body.splitlines():
        if line.startswith("$ "):
            found.append((line, []))
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line}", [])
        else:
            assert found, f"a console block begins with a command: {line}"
            found[-1][1].append(line)
    return found


def shown_pictures(text: str) -> list[str]:
    """Return the names of a page's pictures in docs/img/."""
    return re.findall(r"(?:!\[[^\]]*\]\(|src=\")(?:docs/)?img/([^)\"]+)", text)


def run_page(text: str, folder: Path, socket: str | None = None) -> str:
    """Run a page's commands in ``folder``, and return the page with what they print.

    ``socket`` is that of a warm process, which spares each command the loading of PyTorch.
    """
    parts: list[tuple[str, list[str], Block | None]] = []
    for block in blocks(text):
        if block.kind == "console":
            parts += [(command, printed, block) for command, printed in commands(block)]
        elif block.kind == "first":
            parts.append((f"$ {block.body}", [], None))
    after = f"_status=$?; echo '{_MARK}'; (exit $_status)"
    script = "".join(f"{re.sub('^[$>] ', '', command, flags=re.MULTILINE)}\n{after}\n" for command, *_ in parts)
    outputs = _run_bash(script, folder, socket).split(f"{_MARK}\n")
    assert len(outputs) == len(parts) + 1, f"bash stopped early: {outputs[-1]}"
    pieces, at = [], 0
    for block in dict.fromkeys(block for *_, block in parts if block):
        pieces.append(text[at : block.start])
        for (command, printed, whose), output in zip(parts, outputs, strict=False):
            if whose is block:
                pieces += [f"{line}\n" for line in (command, *settle(printed, output.splitlines()))]
        at = block.end
    return "".join([*pieces, text[at:]])


def _run_bash(script: str, folder: Path, socket: str | None) -> str:
    bin_folder = folder.parent / "bin"
    bin_folder.mkdir(exist_ok=True)
    for name, module in (("convfilter", " -m convfilter"), ("python", "")):
        program = bin_folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
        program.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80", "LC_ALL": "C.UTF-8",
        "XDG_CONFIG_HOME": str(folder.parent / "settings"), protocol.VARIABLE: socket or "0",
    }  # fmt: skip
    done = subprocess.run(
        ["bash"], input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, timeout=240,
        env=environment,
    )  # fmt: skip
    return done.stdout


def settle(shown: list[str], printed: list[str]) -> list[str]:
    """Return the lines that a page should show: those that it shows if they say what is printed, else what is printed.

    >>> settle(["a", "...", "1 picture, 1 output, 0 failed, 0.4 s"], ["a", "b", "1 picture, 1 output, 0 failed, 3.1 s"])
    ['a', '...', '1 picture, 1 output, 0 failed, 0.4 s']
    >>> settle(["mean 1.00", "2 of 3"], ["mean 0.99", "2 of 3"])
    ['mean 1.00', '2 of 3']
    >>> settle(["a.png"], ["b.png", "1 picture, 1 output, 0 failed, 3.1 s"])
    ['b.png']
    """
    printed = [line.rstrip() for line in printed]
    if not any(_CLOSING.fullmatch(line) for line in shown):
        printed = [line for line in printed if not _CLOSING.fullmatch(line)]
    pieces, expected = [], []
    for line in shown:
        if line == "...":
            pieces.append("(?:.*\n)*?")
            continue
        for number, piece in enumerate(_NUMBER.split(line)):
            if number % 2 == 0:
                pieces.append(re.escape(piece))
            elif "s" in piece:
                pieces.append(re.sub(r"[\d.]+", r"[\\d.]+", piece))
            else:
                pieces.append(r"(-?\d+\.\d+)")
                expected.append(float(piece))
        pieces.append("\n")
    match = re.fullmatch("".join(pieces), "".join(f"{line}\n" for line in printed))
    pairs = zip(expected, map(float, match.groups()), strict=True) if match else ()
    return shown if match and all(abs(a - b) <= max(0.02, 0.02 * abs(a)) for a, b in pairs) else printed


def copy_samples(folder: Path) -> Path:
    """Copy the sample pictures into ``folder``/sample_images, and return that."""
    copy = folder / "sample_images"
    copy.mkdir()
    for path in sorted((ROOT / "sample_images").iterdir()):
        if path.suffix in (".png", ".jpg"):
            shutil.copy(path, copy)
    return copy


def is_current(kept: Path, made: Path) -> bool:
    """Return whether a picture in docs/ shows what was made now: the same size, and levels that differ by two at most.

    One is for another processor, which may round another way, and one for the palette of ``keep``.
    """
    if not kept.is_file():
        return False
    with Image.open(kept) as a, Image.open(made) as b:
        if a.size != b.size:
            return False
        difference = np.abs(np.asarray(a.convert("RGB"), np.int16) - np.asarray(b.convert("RGB"), np.int16))
    return bool(difference.max() <= 2)


def photograph(page: Path, picture: Path) -> None:
    """Save what a browser shows of a report's first layer, with few colours, so that the file is small."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page(viewport={"width": 1200, "height": 850}, color_scheme="light")
        shown.goto(page.as_uri())
        shown.wait_for_selector("html[data-ready=true]")
        shown.locator("section.layer canvas").nth(4).click(position={"x": 224, "y": 194})  # which holds this pixel
        shown.evaluate("scrollTo(0, 500)")
        shown.wait_for_timeout(300)
        shown.screenshot(path=picture)
        browser.close()
    with Image.open(picture) as image:
        image.quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


def looks_alike(kept: Path, made: Path) -> bool:
    """Return whether two screenshots show the same, whatever the fonts: the means of squares of 20 pixels are close."""
    if not kept.is_file():
        return False
    with Image.open(kept) as a, Image.open(made) as b:
        if a.size != b.size:
            return False
        small = [np.asarray(image.convert("RGB").reduce(20), np.float64) for image in (a, b)]
    return bool(np.abs(small[0] - small[1]).mean() < 3)


def keep(made: Path, kept: Path) -> None:
    """Copy a picture to docs/, with a palette where that is smaller and changes no level by more than one."""
    kept.parent.mkdir(exist_ok=True)
    with Image.open(made) as picture:
        picture.save(kept, optimize=True)
        if picture.mode == "RGB":
            few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            if np.abs(np.asarray(few.convert("RGB"), np.int16) - np.asarray(picture, np.int16)).max() <= 1:
                few.save(kept, optimize=True)
