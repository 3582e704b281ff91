"""What the README says is what the program is."""

import ast
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from test_floors import FLOORS, PACKAGE

from convfilter.cli import cli

README = Path(__file__).parents[1] / "README.md"


def table() -> str:
    """The README's table of modules, floor by floor, each with its docstring."""
    lines = ["| floor | module | what it does |", "|---|---|---|"]
    for floor, (_, modules) in FLOORS.items():
        for module in modules.split():
            docstring = ast.get_docstring(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8")))
            lines.append(f"| {floor} | `{module}` | {docstring} |")
            floor = ""
    return "\n".join(lines) + "\n"


def test_the_table_of_modules_is_their_docstrings(request):
    text = README.read_text(encoding="utf-8")
    if request.config.getoption("--rewrite"):
        text = re.sub(r"\| floor \| module \|.*?\n(?!\|)", lambda _: table(), text, flags=re.DOTALL)
        README.write_text(text, encoding="utf-8", newline="\n")
    assert table() in text, "run pytest --rewrite if a module's docstring has changed"


def test_every_module_docstring_is_one_sentence():
    for module in PACKAGE.glob("*.py"):
        docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
        assert docstring and docstring.endswith(".") and "\n" not in docstring and ". " not in docstring, module.name


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_stands_in_the_readme(command):
    assert f"convfilter {command}" in README.read_text(encoding="utf-8")


def test_every_option_that_the_readme_names_exists():
    context = click.Context(cli)
    known = {"--version", "--help"}
    for name in cli.list_commands(context):
        known |= {flag for p in cli.get_command(context, name).params for flag in p.opts}
    elsewhere = {"--nproc-per-node", "--array", "--wrap", "--rewrite", "--soak"}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README.read_text(encoding="utf-8")))
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
