"""What the README and the pages in docs/ say is what the program is."""

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from test_floors import BELOW, PACKAGE

from convfilter.cli.main import cli

README = Path(__file__).parents[1] / "README.md"
DOCS = README.parent / "docs"


def documentation() -> str:
    """All pages: the README and those in docs/."""
    return "\n".join(path.read_text(encoding="utf-8") for path in (README, *sorted(DOCS.glob("*.md"))))


def table() -> str:
    """The architecture page's table of packages, each with the first sentence of its docstring."""
    packages = (name for name in BELOW if name)
    rows = [f"| `{name}` | {first_sentence(PACKAGE / name / '__init__.py')} |" for name in packages]
    return "\n".join(["| package | what it knows |", "|---|---|", *rows]) + "\n"


def first_sentence(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert docstring and docstring.partition("\n")[0].endswith("."), f"{path}: the first line is no sentence"
    return docstring.partition("\n")[0]


def test_the_table_of_packages_is_their_docstrings(request):
    page = DOCS / "architecture.md"
    text = page.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite"):
        text = re.sub(r"\| package \|.*?(\n(?!\|)|\Z)", lambda _: table(), text, flags=re.DOTALL)
        page.write_text(text, encoding="utf-8", newline="\n")
    assert table() in text, "run pytest --rewrite if a package's docstring has changed"


def test_every_module_says_in_a_sentence_what_it_knows():
    for path in PACKAGE.rglob("*.py"):
        assert first_sentence(path)


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_is_documented(command):
    assert f"convfilter {command}" in documentation()


def test_every_option_that_the_documentation_names_exists():
    context = click.Context(cli)
    known = {"--version", "--help"}
    for name in cli.list_commands(context):
        known |= {flag for p in cli.get_command(context, name).params for flag in p.opts}
    elsewhere = {"--nproc-per-node", "--array", "--wrap", "--rewrite", "--soak", "--spec", "--from"}  # of others
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", documentation()))
    assert named - elsewhere <= known


@pytest.mark.parametrize("line", re.findall(r"^    \$ (convfilter explain [^#\n]*)", README.read_text(), re.MULTILINE))
def test_what_explain_prints_in_the_readme_is_what_it_prints(line):
    import shlex

    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli, shlex.split(line)[1:])
    shown = README.read_text(encoding="utf-8").partition(f"    $ {line}\n")[2]
    printed = "".join(f"    {row}".rstrip() + "\n" for row in done.stdout.splitlines())
    assert shown.startswith(printed)


def test_the_python_in_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_images").symlink_to(README.parent / "sample_images")
    exec(re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1], {})
    printed = capsys.readouterr().out
    assert printed.startswith("[(1, 508, 508), (1, 508, 508), (1, 254, 254)]\n")
    assert len(list((tmp_path / "out").iterdir())) == 4
