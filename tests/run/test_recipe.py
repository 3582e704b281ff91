"""What an output says of how it was made, and the note where one of another recipe is replaced."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from convfilter import run_files
from convfilter.cli.main import cli
from convfilter.run.recipe import find_difference


@pytest.fixture(autouse=True)
def in_a_folder_with_a_picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((30, 20)).save("a.png")


def info(path: str) -> dict[str, str]:
    lines = CliRunner().invoke(cli, ["info", path]).stdout.splitlines()
    return dict(line.strip().removeprefix("convfilter:").split(": ", 1) for line in lines[1:])


def notes(pipeline: str, **options) -> tuple[str, ...]:
    [result] = run_files(pipeline, "a.png", **options)
    assert result.status == "done"
    return result.notes


def test_info_tells_all_that_made_a_picture():
    from safetensors.numpy import save_file

    save_file({"0.weight": np.ones((2, 1, 3, 3), np.float32)}, "w.safetensors")
    digest = hashlib.sha256(Path("w.safetensors").read_bytes()).hexdigest()
    list(run_files("Conv2d(1, 2, 3, bias=False)", "a.png", weights="w.safetensors", output="o", name="{channel}"))
    found = info("o/1.png")
    assert found["pipeline"] == "Conv2d(1, 2, 3, bias=False, weight='w.safetensors:0.weight')"
    assert found["options"] == "--mode L --norm minmax --white 255"
    assert found["weights"] == f"w.safetensors (SHA-256 {digest})"
    assert found["channel"] == "1" and found["seed"] == "0" and found["black"] and found["white"]
    how = {"mode": "RGB", "normalize": "imagenet", "white": 1, "norm": "abs", "bits": 16, "output": "p"}
    list(run_files("Conv2d(3, 1, 3)", "a.png", seed=3, **how))
    found = info("p/a_Conv2d.png")
    assert found["options"] == "--bits 16 --mode RGB --norm abs --normalize imagenet --white 1" and found["seed"] == "3"


def test_an_output_of_another_recipe_is_replaced_with_a_note():
    assert notes("blur") == notes("blur") == ()
    [note] = notes("blur(sigma=2)", output="a_blur.png")
    words = "it was made with pipeline Filter2d(gaussian(sigma=1.0)), and now it is Filter2d(gaussian(sigma=2))"
    assert note == f"a_blur.png is replaced: {words}"
    [note] = notes("blur(sigma=2)", output="a_blur.png", norm="clip")
    assert "options --mode L --norm minmax --white 255, and now it is --mode L --norm clip" in note
    assert notes("tutorial") == ()
    [note] = notes("tutorial", seed=1)
    assert note == "a_tutorial_0.png (and 1 more) is replaced: it was made with seed 0, and now it is 1"


def test_a_changed_source_or_a_file_that_tells_nothing_is_no_reason_for_a_note():
    assert notes("edge") == ()
    Image.linear_gradient("L").resize((31, 21)).save("a.png")
    assert notes("edge") == ()
    assert notes("edge", norm="clip", metadata=False) != ()
    assert notes("edge") == ()


def test_the_note_is_there_for_programs_and_quiet_hides_it():
    run = CliRunner().invoke
    run(cli, ["blur", "a.png"])
    done = run(cli, ["blur", "--sigma", "2", "a.png", "--json"])
    assert "a_blur.png is replaced" in done.stdout and "a_blur.png is replaced" in done.stderr
    done = run(cli, ["blur", "--sigma", "3", "a.png", "-q"])
    assert (done.stdout, done.stderr) == ("a_blur.png\n", "")
    run(cli, ["blur", "a.png", "--dry-run"])
    assert "sigma=3" in info("a_blur.png")["pipeline"]


def test_another_version_makes_no_other_recipe():
    recipe = {"Software": "convfilter 2", "convfilter:pipeline": "ReLU()"}
    assert find_difference({**recipe, "Software": "convfilter 1"}, recipe) is None
    assert find_difference({**recipe, "convfilter:pipeline": "Tanh()"}, recipe) is not None


def test_no_recipe_is_told_of_a_picture_that_has_none():
    Image.new("L", (3, 3)).save("a_edge.png")
    assert notes("edge", force=True) == ()
