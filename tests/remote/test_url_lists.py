"""URLs in the lists of --files-from."""

import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import fsspec
import pytest

from convfilter import UsageError, run_files
from convfilter.files.listed import FileList

PICTURE = b"P5 8 8 255 " + bytes(range(64))
FILES = ("x/a.pgm", "x/a.ppm", "y/sub/a.pgm", "y/b #1?.pgm", "y/.hidden.pgm")


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fs = fsspec.filesystem("memory")
    for name in FILES:
        fs.pipe_file(f"/{name}", PICTURE)
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def run(tmp_path, *names, **options):
    (tmp_path / "list").write_text("\n".join(names))
    passed = []
    results = list(run_files("edge", FileList("list"), passed_over=lambda *what: passed.append(what), **options))
    return {one.source: one.outputs[0] if one.outputs else one.error for one in results}, passed


@pytest.mark.parametrize("output", ["memory://out", "out"])
def test_each_name_has_a_place_of_its_own(tmp_path, output):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "c.pgm").write_bytes(PICTURE)
    names = ["memory://x/a.pgm", "memory://x/a.ppm", "memory://x/a.pgm", "memory://y/./sub/a.pgm", "memory://y/"]
    made, passed = run(tmp_path, *names, "here/c.pgm", "memory://x/none.pgm", "memory://x/../a.pgm", output=output)
    second = made.pop("memory://x/a.ppm")
    assert second.startswith(f"{output}/x/a.ppm~") and second.endswith("_edge.png")
    assert made == {
        "memory://x/a.pgm": f"{output}/x/a_edge.png",
        "memory://y/sub/a.pgm": f"{output}/sub/a_edge.png",
        "memory://y/b #1?.pgm": f"{output}/y/b #1?_edge.png",
        "here/c.pgm": f"{output}/here/c_edge.png",
        "memory://x/none.pgm": "No such file or directory",
        "memory://x/../a.pgm": "a part of its name is empty, or . or .., which no folder can hold",
    }
    assert ("memory://x/a.pgm", "the list has named it before") in passed


def test_without_an_output_each_goes_beside_its_source(tmp_path):
    made, _ = run(tmp_path, "memory://x/a.pgm", "memory://y", "s4://bucket/a.png")
    assert made == {
        "memory://x/a.pgm": "memory://x/a_edge.png",
        "memory://y/b #1?.pgm": "memory://y_edge/b #1?_edge.png",
        "s4://bucket/a.png": "s4:// is no scheme that fsspec knows; s3://, gs:// and az:// are",
    }


def test_a_log_of_failures_is_a_list(tmp_path, memory):
    memory.pipe_file("/x/bad.pgm", b"P5 8 8 255 ")
    (failed,) = run_files("edge", "memory://x/bad.pgm", output="memory://out/deep")
    (tmp_path / "list").write_text(json.dumps(failed.to_dict()))
    memory.pipe_file("/x/bad.pgm", PICTURE)
    (result,) = run_files("edge", FileList("list"), output="memory://out/deep")
    assert result.outputs == ("memory://out/deep/bad_edge.png",)


def test_a_list_whose_first_name_is_none_says_what_to_do(tmp_path):
    made, _ = run(tmp_path, "none.pgm", "memory://x/a.pgm")
    assert made["memory://x/a.pgm"] == "URLs are read from a list that is a file, and whose first name is a URL"


def test_a_url_in_a_list_of_paths_is_refused_without_its_secrets(tmp_path):
    (tmp_path / "list").write_text("missing.png\nhttp://me:hunter2@host/a.png?t0ken\n")
    _, result = run_files("edge", FileList(str(tmp_path / "list")), output=str(tmp_path / "out"))
    assert result.source == "http://host/a.png" and "whose first name is a URL" in result.error
    assert "hunter2" not in str(result.to_dict()) and "t0ken" not in str(result.to_dict())


def test_outputs_that_cannot_all_be_put_leave_none(memory, monkeypatch):
    kind = type(memory)
    real = kind.pipe_file

    def put(self, path, value, **settings):
        if path.endswith("_1.png"):
            raise PermissionError("no more")
        real(self, path, value, **settings)

    monkeypatch.setattr(kind, "pipe_file", put)
    (result,) = run_files("tutorial", "memory://x/a.pgm", output="memory://out")
    assert (result.status, result.kind, result.fatal) == ("failed", "output", False)
    assert "cannot be written: Permission denied by the store: no more" in result.error
    assert not memory.find("/out")


def test_nothing_is_left_on_this_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    code = "import os; from convfilter.run.remote import Staging; Staging(), os._exit(1)"  # as if it were killed
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "TMPDIR": str(tmp_path / "tmp")}
    subprocess.run([sys.executable, "-c", code], env=environment)
    assert len(list((tmp_path / "tmp").iterdir())) == 1
    list(run_files("edge", "memory://y/", recursive=True))
    run_files("edge", "memory://y/", recursive=True)  # not a result is taken
    run = run_files("edge", "memory://y/", recursive=True)
    next(run)
    run.stop()
    with pytest.raises(UsageError):
        run_files("edge", "memory://y/", vmin=2, vmax=1)
    gc.collect()  # a run that an error holds is gone, and its folder with it
    assert list((tmp_path / "tmp").iterdir()) == []
