"""What the README and the pages in docs/ say is what the program is."""

import ast
import re
from pathlib import Path

import click
import pytest
from test_floors import BELOW, PACKAGE

from convfilter.cli.main import cli
from convfilter.gray.norm import MODES
from convfilter.language.presets import PRESETS
from convfilter.layers.catalogue import LAYERS
from convfilter.layers.kernels import KERNELS

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


def commands() -> dict[str, click.Command]:
    """Every command and preset, and the commands inside commands."""
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    for name, command in list(found.items()):
        if isinstance(command, click.Group):
            found |= {f"{name} {inner}": command.commands[inner] for inner in command.commands}
    return found


def test_everything_that_there_is_is_documented():
    text = documentation()
    flags = {flag for command in commands().values() for p in command.params for flag in p.opts if flag.startswith("-")}
    named = {
        *(f"convfilter {name}" for name in commands()), *flags,
        *(f"`{name}" for name in (*LAYERS, *KERNELS, *PRESETS)), *(f"`{mode}`" for mode in MODES),
    }  # fmt: skip
    assert {word for word in named if not re.search(rf"{re.escape(word)}(?![\w-])", text)} == set()


def test_every_option_that_the_documentation_names_exists():
    context = click.Context(cli)
    known = {"--version", "--help"}
    for name in cli.list_commands(context):
        known |= {flag for p in cli.get_command(context, name).params for flag in p.opts}
    elsewhere = {
        "--nproc-per-node",
        "--array",
        "--wrap",
        "--memory-limit",
        "--nthreads",
        "--nworkers",
        "--rewrite",
        "--soak",
        "--spec",
        "--from",
    }  # of others
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", documentation()))
    assert named - elsewhere <= known


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as code hosts make them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [README, *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'src="([^"]+)"', text)]:
        path, _, anchor = target.partition("#")
        if re.match(r"\w+:", path):
            continue
        found = page.parent / path if path else page
        assert found.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(found), f"{page.name} links to {target}"


def test_every_page_is_linked_in_the_readme_which_is_short():
    text = README.read_text(encoding="utf-8")
    assert {path.name for path in DOCS.glob("*.md")} == set(re.findall(r"\(docs/([\w-]+\.md)\)", text))
    assert len(text.splitlines()) <= 200


def test_commands_stand_in_blocks_that_are_run():
    """A command in an indented block would be run by no test; README's two, which install the program, are CI's."""
    for page in (README, *DOCS.glob("*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        lines = re.findall(r"^ {4}(?:\$ )?convfilter .*", text, re.MULTILINE)
        assert lines == [], f"{page.name}: write it as ```console and $ (tests/documentation.py says how): {lines[0]}"
