"""--skip-existing takes for done what was made in the same way of the same source, and is whole."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfilter import UsageError, run_files


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (20, 24), np.uint8)).save(tmp_path / name)
    return tmp_path


def resume(pipeline="Conv2d(1, 2, 3)", source="a.png", **options):
    (result,) = run_files(pipeline, source, skip_existing=True, name="{stem}_{channel}", **options)
    assert result.status != "failed", result.error
    return result


def test_what_is_done_is_skipped():
    assert resume().status == "done"
    before = [os.stat(path).st_mtime_ns for path in ("a_0.png", "a_1.png")]
    assert resume().status == "skipped"
    assert [os.stat(path).st_mtime_ns for path in ("a_0.png", "a_1.png")] == before


@pytest.mark.parametrize(
    ("pipeline", "options", "reason"),
    [
        ("Conv2d(1, 2, 5)", {}, "pipeline"),
        ("Conv2d(1, 2, 3)", {"seed": 1}, "made with seed 0, and now it is 1"),
        (
            "Conv2d(1, 2, 3)",
            {"norm": "clip"},
            "options --mode L --norm minmax --white 255, and now it is --mode L --norm clip --white 255",
        ),
        ("Conv2d(1, 2, 3)", {"bits": 16}, "--bits 16"),
        ("Conv2d(1, 2, 3)", {"vmin": -1.5, "vmax": 9}, "--vmax 9 --vmin -1.5"),
        ("Conv2d(1, 2, 3)", {"white": 1}, "--white 1"),
        ("Conv2d(1, 2, 3)", {"mean": 3}, "--mean 3 "),
        ("Conv2d(1, 2, 3)", {"background": "black"}, "--background black"),
        ("Conv2d(1, 2, 3)", {"scale": "layer"}, "--scale layer"),
    ],
)
def test_another_recipe_is_made_again_and_says_why(pipeline, options, reason):
    resume()
    result = resume(pipeline, **options)
    assert result.status == "done" and reason in result.details[0]
    assert resume(pipeline, **options).status == "skipped"


def test_options_that_change_no_pixel_change_nothing():
    resume()
    for options in ({"jobs": 1}, {"compress": 9}, {"exact": True}, {"max_memory": "2G"}, {"fail_fast": True}):
        assert resume(**options).status == "skipped"


def test_another_source_of_the_same_name_is_made_again_even_if_it_is_older(folder):
    resume()
    os.utime("b.png", ns=(10**18, 10**18))
    shutil.copy2("b.png", "a.png")
    assert "its source has changed" in resume().details[0]
    same = os.stat("a.png")
    data = bytearray(Path("a.png").read_bytes())
    Path("a.png").write_bytes(data)  # touched, with the same size
    assert os.stat("a.png").st_size == same.st_size and resume().status == "done"


def test_a_set_of_two_halves_is_made_again():
    resume()
    shutil.copy2("a_1.png", "old.png")
    resume(seed=1)
    os.replace("old.png", "a_1.png")  # what a kill between two renames leaves
    assert resume(seed=1).status == "done" and resume(seed=1).status == "skipped"


def test_a_damaged_output_is_made_again():
    resume()
    data = bytearray(Path("a_1.png").read_bytes())
    data[-30] ^= 255  # in its pixels: both its ends are sound
    Path("a_1.png").write_bytes(data)
    result = resume()
    assert result.status == "done" and "a_1.png is damaged" in result.details[0]


@pytest.mark.parametrize("options", [{"format": "npy"}, {"metadata": False}])
def test_without_texts_dates_are_compared_and_that_is_said(options):
    assert resume(**options).status == "done"
    result = resume(**options)
    assert result.status == "skipped" and "only the dates" in result.notes[0]
    os.utime("a.png")
    assert resume(**options).status == "done"


def test_a_picture_of_ones_own_is_replaced_only_with_force():
    Image.new("RGB", (3, 3)).save("a_0.png")
    own = Path("a_0.png").read_bytes()
    for skip in (False, True):
        (result,) = run_files("Conv2d(1, 2, 3)", "a.png", name="{stem}_{channel}", skip_existing=skip)
        assert (result.status, result.kind) == ("failed", "exists") and "--force replaces it" in result.error
        assert Path("a_0.png").read_bytes() == own and not os.path.exists("a_1.png")
    (result,) = run_files("Conv2d(1, 2, 3)", "a.png", name="{stem}_{channel}", force=True)
    assert result.status == "done" and Path("a_0.png").read_bytes() != own


def test_a_named_output_is_no_input():
    (made,) = run_files("edge", "a.png")
    (result,) = run_files("edge", made.outputs[0], skip_existing=True)
    assert result.status == "skipped" and "no input here" in result.notes[0]
    (result,) = run_files("edge", made.outputs[0])
    assert result.status == "done"


def test_frames_are_told_apart():
    frames = [Image.new("L", (9, 9), value) for value in (0, 100, 200)]
    frames[0].save("c.tif", save_all=True, append_images=frames[1:])
    assert resume(source="c.tif", frames=1).status == "done"
    assert resume(source="c.tif", frames=1).status == "skipped"
    assert resume(source="c.tif", frames=2).status == "done"


def test_an_output_that_is_as_old_as_its_source_is_done():
    assert resume(format="npy").status == "done"
    for path in ("a_0.npy", "a_1.npy"):
        shutil.copystat("a.png", path)
    assert resume(format="npy").status == "skipped"


def test_unmarked_outputs_among_inputs_must_be_told_by_their_names(folder):
    with pytest.raises(UsageError, match=r"--no-metadata and --name: .* put _\{filter\} into the name"):
        run_files("edge", folder, output=folder, metadata=False, name="{stem}-out")
    run_files("edge", folder, output=folder, metadata=False, name="{stem}_{filter}").stop()
