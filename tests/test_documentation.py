"""The commands in the documentation print what it says that they print, and its pictures are what they write."""

import shutil
from pathlib import Path

import documentation
import pytest
from documentation import PAGES, PICTURES
from gallery import write_commands, write_gallery

GENERATED = {"gallery.md": write_gallery, "commands.md": write_commands}


@pytest.fixture(scope="module")
def play(program, tmp_path_factory):
    """Return a function that runs a page's commands once: what the page should be, and the folder of its files."""
    played: dict[Path, tuple[str, Path]] = {}

    def run(page: Path) -> tuple[str, Path]:
        if page not in played:
            folder = documentation.copy_samples(tmp_path_factory.mktemp(page.stem))
            make = GENERATED.get(page.name)
            text = make() if make else page.read_text(encoding="utf-8")
            played[page] = documentation.run_page(text, folder, program.path), folder
        return played[page]

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_print_what_the_page_says(page, play, golden):
    golden(page, play(page)[0])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_what_the_commands_write(page, play, request):
    """Those that this page's own commands write; the next test finds the page that writes the others."""
    text, folder = play(page)
    for name in documentation.shown_pictures(text):
        made, kept, check, copy = folder / name, PICTURES / name, documentation.is_current, documentation.keep
        if name in documentation.SCREENSHOTS and (folder / documentation.SCREENSHOTS[name]).is_file():
            if documentation.CHROMIUM is None:
                continue
            documentation.photograph(folder / documentation.SCREENSHOTS[name], made)
            check, copy = documentation.looks_alike, shutil.copy
        if made.is_file():
            if request.config.getoption("--rewrite") and not check(kept, made):
                copy(made, kept)
            assert check(kept, made), f"run pytest --rewrite if docs/img/{name} is to change"
            assert kept.stat().st_size < (300_000 if name in documentation.SCREENSHOTS else 1_000_000)


def test_every_picture_is_shown_and_written_by_a_command(play):
    shown = {name for page in PAGES for name in documentation.shown_pictures(page.read_text(encoding="utf-8"))}
    assert {path.name for path in PICTURES.iterdir()} == shown
    written = {path.name for page in PAGES for path in play(page)[1].iterdir()}
    assert shown - {*documentation.SCREENSHOTS} <= written


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")])
def test_python_runs(page, tmp_path, monkeypatch):
    documentation.copy_samples(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in documentation.blocks(page.read_text(encoding="utf-8")):
        if block.kind == "python":
            exec(block.body, names)
