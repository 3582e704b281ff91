"""Defaults of options in the environment and in the file of presets."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from convfilter import run_files
from convfilter.cli.main import cli
from convfilter.run.options import SETTINGS


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)).save("a.png")


def call(*arguments, defaults=None, **environment):
    """Run the command line in this process; ``defaults`` is the table in the file of presets."""
    if defaults is not None:
        path = Path("config/convfilter/presets.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[defaults]\n{defaults}\n")
    done = CliRunner(env={key: str(value) for key, value in environment.items()}).invoke(cli, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def texts(path):
    """The options that a picture says it was made with, without those that each one says."""
    said = Image.open(path).text.get("convfilter:options", "")
    return re.sub(" ?--(mode L|white 255|norm minmax)", "", said).strip()


def test_the_command_line_goes_before_the_environment_and_that_before_the_file():
    call("edge", "a.png", "-q", defaults='norm = "abs"\nbits = 16')
    assert texts("a_edge.png") == "--bits 16 --norm abs"
    call("edge", "a.png", "-q", CONVFILTER_NORM="clip")
    assert texts("a_edge.png") == "--bits 16 --norm clip"
    call("edge", "a.png", "-q", "--norm", "symmetric", "--bits", "8", CONVFILTER_NORM="clip")
    assert texts("a_edge.png") == "--norm symmetric"
    call("edge", "a.png", "-q", CONVFILTER_NORM="")
    assert texts("a_edge.png") == "--bits 16 --norm abs", "an empty variable is none"


def test_every_kind_of_option_has_defaults():
    Path("p").mkdir()
    for name in ("a.png", "b.png", "c d.png"):
        Path("p", name).write_bytes(Path("a.png").read_bytes())
    table = """
        exclude = ["b*", "x"]
        no-metadata = true
        max_memory = "1G"
        jobs = 1
        json = true
        mean = [3.5]
        name = "{stem}"
        verbose = 1
        progress = "none"
        output = "out"
    """
    done = call("edge", "p", defaults=table)
    assert done.exit_code == 0 and '"source": "p/c d.png"' in done.stdout and "p/b.png: left out" in done.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "c d.png"]
    assert Image.open("out/a.png").text == {}
    done = call("edge", "p", CONVFILTER_EXCLUDE="a*\nc d*", CONVFILTER_JSON="no", CONVFILTER_NO_METADATA="0",
                CONVFILTER_VERBOSE="0")  # fmt: skip
    assert done.stdout == "out/b.png\n" and "left out" not in done.stderr
    assert texts("out/b.png") == "--mean 3.5"


WRONG = {
    "jobs": ("-1", "-1", "-1 is not a whole number from 0 to 1024"),
    "norm": ("max", '"max"', "'max' is not one of 'minmax', 'clip', 'abs', 'symmetric'"),
    "recursive": ("maybe", '"maybe"', "'maybe' is not 1 or 0, true or false"),
    "no-metadata": ("2", "2", "'2' is not 1 or 0, true or false"),
    "output": (None, '""', "-o is empty; name a folder"),
    "shard": ("x", '"x"', "--shard: expected I/N, such as 0/4, or auto, not 'x'"),
    "exclude": ("/", '["/"]', "is empty; expected a pattern"),
    "include": (None, "3", "3 is no pattern of names, nor several of them"),
    "progress": ("fast", '"fast"', "'fast' is not one of 'auto', 'plain', 'none'"),
    "verbose": ("much", "true", "is not a whole number from 0 to 9"),
    "weights": (None, "[1]", "[1] is not a path"),
    "log": (None, "1", "1 is not a text"),
    "max-memory": ("lots", "1979-05-27", "is not a size; write bytes, or 800M, or 2.5G"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_names_its_place_in_the_words_of_the_command_line(name):
    of_environment, of_file, words = WRONG[name]
    variable = f"CONVFILTER_{name.replace('-', '_').upper()}"
    if of_environment is not None:
        done = call("edge", "a.png", **{variable: of_environment})
        assert done.exit_code == 2 and done.stderr.startswith(f"convfilter: {variable}: ") and words in done.stderr
    done = call("edge", "a.png", defaults=f"{name} = {of_file}")
    place = f"convfilter: {Path('config/convfilter/presets.toml').resolve()}: defaults: {name}: "
    assert done.exit_code == 2 and done.stderr.startswith(place) and words in done.stderr
    assert done.stderr.count("\n") == 1 and not Path("a_edge.png").exists()


def test_an_unknown_name_in_the_file_is_told():
    for key, hint in {"jbos": "; did you mean jobs?", "files-from": "", "code": "", "pipeline": ""}.items():
        done = call("edge", "a.png", defaults=f'{key} = "x"')
        words = f"defaults: there is no option {key!r} for it{hint or '; '}"
        assert done.exit_code == 2 and words in done.stderr, done.stderr
    Path("mine.toml").write_text("defaults = 3\n")
    done = call("edge", "a.png", "--presets", "mine.toml", defaults="")
    assert done.stderr == "convfilter: mine.toml: defaults: expected a table of options, such as jobs = 4\n"


def test_a_file_that_is_named_has_its_own_defaults_beside_its_presets():
    Path("mine.toml").write_text('[defaults]\nbits = 16\n[soft]\npipeline = "blur"\n')
    for arguments in (["--presets", "mine.toml", "soft", "a.png"], ["soft", "a.png", "--presets=mine.toml"]):
        assert call(*arguments, "-q", defaults="jobs = 1").exit_code == 0
        assert texts("a_soft.png") == "--bits 16" or texts("a_blur.png") == "--bits 16"
    shown = call("presets", "--presets", "mine.toml").stdout
    assert "soft" in shown and "defaults" not in shown


def test_explain_takes_those_that_say_how_a_picture_is_computed():
    assert " 0..1\n" in call("explain", "edge", defaults="white = 1\njobs = 3").stdout
    assert " 0..2\n" in call("explain", "edge", CONVFILTER_WHITE="2", CONVFILTER_OUTPUT="out").stdout
    assert call("explain", "edge", CONVFILTER_JOBS="x").exit_code == 0, "it has no such option"


def test_the_library_reads_neither(monkeypatch):
    call("kernels", defaults='norm = "abs"')
    for name in SETTINGS:
        monkeypatch.setenv(f"CONVFILTER_{name.upper()}", "nonsense")
    [result] = run_files("edge", "a.png")
    assert result.status == "done" and texts("a_edge.png") == ""
