"""The commands in the documentation print what it says that they print, and its pictures are what they write."""

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
    text, folder = play(page)
    for name in documentation.shown_pictures(text):
        made, kept = folder / name, PICTURES / name
        if name in documentation.SCREENSHOTS:
            continue
        assert made.is_file(), f"{page.name} shows img/{name}, which none of its commands writes"
        if request.config.getoption("--rewrite") and not documentation.is_current(kept, made):
            documentation.keep(made, kept)
        assert documentation.is_current(kept, made), f"run pytest --rewrite if docs/img/{name} is to change"


def test_every_kept_picture_is_shown():
    shown = {name for page in PAGES for name in documentation.shown_pictures(page.read_text(encoding="utf-8"))}
    assert {path.name for path in PICTURES.iterdir()} == shown  # and none is kept that no page shows
