"""The commands in the documentation print what it says that they print, and its pictures are what they write."""

import shutil
from pathlib import Path

import documentation
import pytest
from documentation import CHROMIUM, DOCS, PAGES, PICTURES, SCREENSHOTS
from gallery import write_commands, write_gallery

GENERATED = {"gallery.md": write_gallery, "commands.md": write_commands}


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash runs the commands")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_print_and_write_what_the_page_shows(page, program, tmp_path, golden, request):
    folder = documentation.copy_samples(tmp_path)
    make = GENERATED.get(page.name)
    text = documentation.run_page(make() if make else read(page), folder, program.path)
    golden(page, text)
    for name in documentation.shown_pictures(text):
        made, kept, is_current, keep = folder / name, PICTURES / name, documentation.is_current, documentation.keep
        if name in SCREENSHOTS:
            if CHROMIUM is None:
                continue
            documentation.photograph(folder / SCREENSHOTS[name], made)
            is_current, keep = documentation.looks_alike, shutil.copy
        elif not made.is_file():
            assert name in documentation.shown_pictures(read(DOCS / "gallery.md")), f"nothing writes {name}"
            continue
        if request.config.getoption("--rewrite") and not is_current(kept, made):
            keep(made, kept)
        assert is_current(kept, made), f"run pytest --rewrite if docs/img/{name} is to change"
        assert kept.stat().st_size < (300_000 if name in SCREENSHOTS else 1_000_000)


def test_every_picture_is_shown():
    assert {path.name for path in PICTURES.iterdir()} == {
        name for page in PAGES for name in documentation.shown_pictures(read(page))
    }


@pytest.mark.parametrize("page", [page for page in PAGES if "```python" in read(page)], ids=lambda page: page.name)
def test_python_runs(page, tmp_path, monkeypatch):
    documentation.copy_samples(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in documentation.blocks(read(page)):
        if block.kind == "python":
            exec(block.body, names)
