"""``convfilter help`` and the demo: what a newcomer sees, before there is a picture."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from convfilter.cli import bundled
from convfilter.cli.main import cli
from convfilter.cli.markdown import lay_out

SAMPLES = Path(__file__).parents[2] / "sample_images"


def run(*arguments):
    return CliRunner().invoke(cli, arguments, env={"COLUMNS": "80"})


def test_help_lists_every_page_of_the_documentation():
    listed = {line.split()[0] for line in run("help").stdout.partition("\n\n")[0].splitlines()}
    pages = {page.stem for page in (SAMPLES.parent / "docs").glob("*.md")}
    assert listed == pages - set(bundled.NO_TOPICS) and {"language", "norms"} <= listed


@pytest.mark.parametrize("topic", bundled.find_topics())
def test_a_page_is_printed_whole_and_no_wider_than_the_terminal(topic):
    page = bundled.find_topics()[topic].read_text(encoding="utf-8")
    printed = run("help", topic).stdout
    prose = re.sub(r"!\[[^\]]*\]\([^)]*\)|\]\([^)]*\)|<!--.*?-->|```\w+", "", page, flags=re.DOTALL)
    assert set(re.findall(r"\w{3,}", prose)) <= set(re.findall(r"\w{3,}", printed))
    code = {line.strip() for line in page.splitlines() if line.startswith("    ")}
    assert code <= {line.strip() for line in printed.splitlines()}
    tables = [line for line in page.splitlines() if line.startswith("|") and "](" not in line]
    assert tables == [] or "|---" not in printed
    text = re.sub(r"(?m)^    .*$", "", printed).splitlines()
    assert max((len(line) for line in text if " " in line.strip()), default=0) <= 80


def test_help_shows_commands_presets_layers_and_kernels_too():
    assert run("help", "run").stdout == run("run", "--help").stdout
    assert run("help", "blur").stdout == run("blur", "--help").stdout
    assert run("help", "MaxPool2d").stdout == run("layers", "MaxPool2d").stdout
    assert run("help", "sobel_x").stdout == run("kernels", "sobel_x").stdout
    wrong = run("help", "lnguage")
    assert wrong.exit_code == 2
    assert wrong.stderr == "convfilter: there is no help on 'lnguage'; did you mean language?\n"
    assert "'convfilter help' lists" in run("help", "xyzzy").stderr


def test_a_page_is_laid_out():
    page = (
        "# Title\n\n![alt](a.png)\n\nSome *words* and\n**more**, 2 * 3 * 4, `a*b*c`.\n\n"
        "- one\n  two\n- [x](x.md), [y](y.md#z)\n\n"
        "| a | b \\| c |\n|---|---|\n| `d` | e |\n\n```sh\nx |  y\n\nz\n```\n\n    code  as it is\n\n## Last\n\nend\n"
    )
    assert lay_out(page, 40) == (
        "Title\n=====\n\nSome words and more, 2 * 3 * 4, `a*b*c`.\n\n"
        "- one two\n- convfilter help x, convfilter help y\n\n"
        "a    b | c\n---  -----\n`d`  e\n\n    x |  y\n\n    z\n\n    code  as it is\n\nLast\n----\n\nend"
    )


def test_the_demo_works_in_an_empty_folder_and_so_do_the_commands_that_it_names(program, tmp_path):
    done = program.run("demo", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"camera.png\ncamera_tutorial_grid.png\n")
    assert (tmp_path / "camera.png").read_bytes() == (SAMPLES / "camera.png").read_bytes()
    assert b"508x508 pixels" in done.stderr
    commands = re.findall(r"^  convfilter (.*)$", done.stderr.decode(), re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        done = program.run(*shlex.split(command), cwd=tmp_path)
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "camera_edge.png").is_file() and len(list(tmp_path.glob("camera*.html"))) == 1
    again = program.run("demo", "-q", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, b"")


def test_the_demo_in_a_folder_with_a_difficult_name(program, tmp_path):
    done = program.run("demo", "-o", "my pictures", cwd=tmp_path)
    assert done.stdout == b"my pictures/camera.png\nmy pictures/camera_tutorial_grid.png\n"
    command = re.search(r"^  convfilter (edge .*)$", done.stderr.decode(), re.MULTILINE)[1]
    assert program.run(*shlex.split(command), cwd=tmp_path).stdout == b"my pictures/camera_edge.png\n"


@pytest.mark.parametrize("name", ["camera.png", "camera_tutorial_grid.png"])
def test_the_demo_replaces_no_file_of_the_user(name, program, tmp_path):
    (tmp_path / name).write_bytes(b"my own")
    done = program.run("demo", cwd=tmp_path)
    assert done.returncode == 2 and (tmp_path / name).read_bytes() == b"my own"
    assert done.stderr.decode().startswith(f"convfilter: {name}: ") and b"convfilter demo -o demo" in done.stderr
