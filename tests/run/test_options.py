"""Options: one place for names, types, defaults, checks and help, which the library and the command line share."""

import ast
import dataclasses
import inspect
import typing
from pathlib import Path

import pytest
from click.testing import CliRunner

from convfilter import UsageError, parse, run_files
from convfilter.cli.main import cli
from convfilter.run import keywords
from convfilter.run.options import DEFAULTS, SETTINGS, Options, flags


def written() -> str:
    """The module of run_files' keywords, as Options has them."""
    rows = []
    for name, annotation in inspect.get_annotations(Options).items():
        setting = SETTINGS[name]
        kind = setting.takes or (annotation.__name__ if isinstance(annotation, type) else str(annotation))
        if setting.choices:
            none = " | None" if DEFAULTS[name] is None else ""
            kind = f"Literal[{', '.join(f'{choice!r}' for choice in setting.choices)}]{none}".replace("'", '"')
        rows.append(f"    {name}: {kind}\n")
    return (
        '"""The keywords of run_files with their types, for type checkers and editors; written from Options.\n\n'
        '``pytest tests/run/test_options.py --rewrite`` writes it anew; change ``Options`` instead.\n"""\n\n'
        "from collections.abc import Iterable\nfrom os import PathLike\nfrom typing import Literal, TypedDict\n\n\n"
        "class Keywords(TypedDict, total=False):\n"
        '    """What run_files takes: the fields of ``Options``, each as a caller may give it."""\n\n' + "".join(rows)
    )


def test_the_keywords_are_the_options(golden):
    golden(Path(keywords.__file__), written())


def test_every_option_is_on_the_command_line_with_its_help_and_default():
    import click

    context = click.Context(cli)
    for command in ("run", "edge", "blur"):
        parameters = {p.name: p for p in cli.get_command(context, command).params}
        for name, setting in SETTINGS.items():
            assert set(parameters[name].opts) == set(flags(name)) and parameters[name].section == setting.group
            assert parameters[name].help.startswith(setting.help)
            assert parameters[name].get_default(context) == DEFAULTS[name]


WRONG = {  # a value on the command line, the same in Python, and the words of both
    "background": ("whte", "whte", "the background 'whte' is no opaque colour"),
    "compress": ("11", 11, "11 is not a whole number from 0 to 9"),
    "frames": ("frist", "frist", "'frist' is not first, all or a frame's number from 0"),
    "max_memory": ("lots", "lots", "'lots' is not a size; write bytes, or 800M, or 2.5G"),
    "max_pixels": ("0", 0, "0 is not a whole number from 1 to"),
    "seed": ("x", "x", "'x' is not a whole number from 0 to 9223372036854775807"),
    "jobs": ("-1", -1, "-1 is not a whole number from 0 to 1024"),
    "white": ("0", 0, "0.0 is not from 1.2e-38 to 3.4e38, such as 255 or 1"),
    "norm": ("max", "max", "'max' is not one of 'minmax', 'clip', 'abs', 'symmetric'"),
    "bits": ("12", 12, "'12' is not one of '8', '16'"),
    "format": ("jpg", "jpg", "'jpg' is not one of 'png', 'svg', 'npy'"),
    "vmin": ("nan", "nan", "'nan' is not a number"),
    "channels": ("3-1", "3-1", "'3-1' is no list of channels; write numbers from 0 and ranges, such as 0,3-5"),
    "shard": ("x", "x", "--shard: expected I/N, such as 0/4, or auto, not 'x'"),
    "output": ("", "", "-o is empty; name a folder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_in_the_same_words_in_python_and_on_the_command_line(name):
    argument, value, words = WRONG[name]
    with pytest.raises(UsageError) as error:
        run_files("edge", "missing.png", **{name: value})
    assert words in str(error.value)
    done = CliRunner().invoke(cli, ["edge", "missing.png", f"{flags(name)[-1]}={argument}"])
    assert done.exit_code == 2 and words in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"recursive": 1}, {"grid": "yes"}, {"jobs": True}, {"jobs": 1.5}, {"seed": None}, {"white": "x"}, {"vmin": []},
        {"vmax": float("inf")}, {"channels": ()}, {"channels": [-1]}, {"channels": [1.5]}, {"frames": -1},
        {"frames": True}, {"output": 3}, {"name": 3}, {"shard": 3}, {"background": 3}, {"bits": None}, {"bits": True},
        {"max_memory": 0}, {"max_memory": "1E"}, {"norm": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_value_of_another_type_is_refused(wrong):
    with pytest.raises(UsageError) as error:
        Options(**wrong)
    assert "\n" not in str(error.value)


def test_values_may_be_given_as_texts_or_as_python_has_them():
    assert Options(max_memory="2G") == Options(max_memory=2 * 1024**3)
    assert Options(channels="0,3-4") == Options(channels=[4, 3, 0]) == Options(channels=(0, 3, 4))
    assert Options(output=Path("out")).output == "out"
    assert Options(jobs=0) == Options() and Options(white=1).white == 1.0
    assert dataclasses.replace(Options(max_memory="2G"), seed=3).max_memory == 2 * 1024**3


def test_an_unknown_keyword_is_refused_with_the_nearest_known_one():
    with pytest.raises(UsageError, match=r"there is no option 'backgruond'; did you mean background\?"):
        run_files("edge", "missing.png", backgruond="black")
    with pytest.raises(UsageError, match="there is no option 'x'; there are recursive, include, exclude"):
        run_files("edge", "missing.png", x=1)


def test_run_files_takes_typed_keywords():
    assert typing.get_type_hints(run_files)["options"] == typing.Unpack[keywords.Keywords]
    assert ast.parse(inspect.getsource(keywords)) and set(keywords.Keywords.__annotations__) == set(SETTINGS)


def test_options_say_the_suffix():
    assert Options(format="npy").suffix == ".npy" and Options(output="a.NPY").suffix == ".npy"
    assert Options().check(parse("edge")) == Options()
