"""The manual pages say of every command what its --help says, in source that groff takes without a warning."""

import re
import shutil
import subprocess

import click
import pytest

from convfilter.cli.main import cli
from convfilter.cli.man import write_pages
from convfilter.cli.options import list_options
from convfilter.language.presets import PRESETS

PAGES = write_pages()


def plain(source: str) -> str:
    """The text of a page without what man obeys, its lines joined."""
    source = re.sub(r"^\.(?:TH|SH|B|BR|TP|PP|nf|fi) ?", "", source, flags=re.MULTILINE)
    for escaped, character in (("\\-", "-"), ("\\(aq", "'"), ("\\(ga", "`"), ("\\&", ""), ("\\e", "\\")):
        source = source.replace(escaped, character)
    return " ".join(source.split())


def test_there_is_a_page_for_every_command_and_preset():
    assert set(PAGES) == {"convfilter.1", *(f"convfilter-{name}.1" for name in [*cli.commands, *PRESETS])}


@pytest.mark.parametrize("name", [*cli.commands, *PRESETS])
def test_a_page_holds_all_that_help_says(name):
    root = click.Context(cli, info_name="convfilter", **cli.context_settings)
    command = cli.get_command(root, name)
    page = plain(PAGES[f"convfilter-{name}.1"])
    assert re.search(rf"NAME|^.*convfilter-{name} - ", page)
    for _, records in list_options(click.Context(command, parent=root, info_name=name)):
        for option, text in records:
            assert f"{option} {' '.join(text.split())}" in page
    for paragraph in (command.help or "").replace("\b", "").replace("Examples:", "").split("\n\n"):
        assert " ".join(paragraph.split()) in page
    assert f"convfilter-{name}(1) {command.get_short_help_str(200)}" in plain(PAGES["convfilter.1"])


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_takes_the_pages_without_a_warning(tmp_path):
    for name, text in PAGES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", *map(str, sorted(tmp_path.iterdir()))], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
