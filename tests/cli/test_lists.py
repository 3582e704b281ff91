"""Lists of names and patterns, as the program is called with them."""

import json
import os
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM

BROKEN = b"\x89PNG\r\n\x1a\n broken"
PAGE = Path(__file__).parents[2] / "docs" / "scripting.md"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(*paths, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (12, 14), np.uint8)
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path)


def outputs(folder="."):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*_edge.png"))


def test_names_come_from_a_file_or_standard_input(program, tmp_path):
    save("p/a.png", "p/b/y.png", "p/b/two\nlines.png")
    done = program.run("edge", "--files-from", "-", "-o", "out", cwd=tmp_path, input=b"p/a.png\np/b/y.png\nnone.png\n")
    assert (
        done.stdout.decode().splitlines()
        == ["out/p/a_edge.png", "out/p/b/y_edge.png"]
        == outputs()[:0] + [f"out/{path}" for path in outputs("out")]
    )
    assert done.returncode == 1 and b"convfilter: none.png: No such file or directory\n" in done.stderr
    Path("list").write_bytes(b"p/./b/two\nlines.png\0")
    done = program.run("edge", "--files-from", "list", "-0", "-o", "new", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"new/b/two\nlines_edge.png\0"), done.stderr
    done = program.run("edge", "--files-from", "/dev/null", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.startswith(b"0 pictures, 0 outputs, 0 failed")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--files-from", "none"], "--files-from none: No such file or directory"),
        (["--files-from", "list", "a.png"], "--files-from names the inputs; leave out a.png, or put it into the list"),
        (["--files-from", "list", "--code"], "--code prints a script for one picture; name it instead of --files-from"),
        (["--files-from", "list", "-o", "-"], "-o - takes one output, and there are several pictures; give a folder"),
        (["--files-from", "list", "-o", "a.png"], "-o a.png takes one output, and there are several pictures"),
        (["--include", "", "p"], "--include: is empty; expected a pattern of names, such as '*.jpg' or 'thumbs/'"),
        (["--exclude", "[z-a]", "p"], "--exclude: '[z-a]' is no pattern: bad character range z-a"),
        (["--include", "*.jpg", "--exclude", "*", "p"], "--exclude '*' leaves nothing; --include alone takes only"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, words, program, tmp_path):
    Path("list").write_text("p/a.png\n")
    save("p/a.png")
    done = program.run("edge", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr.decode() and not outputs()


def test_patterns_choose_what_is_taken_of_folders(program, tmp_path):
    save("p/a.png", "p/a.jpg", "p/b/c.png", "p/thumbs/d.png", "p/b/old_e.png")
    done = program.run("edge", "-r", "p", "--include", "*.png", "--exclude", "thumbs/", "--exclude", "old_*", "-v",
                       "-o", "out", cwd=tmp_path)  # fmt: skip
    assert outputs() == ["out/a.png_edge.png", "out/b/c_edge.png"] and done.returncode == 0, done.stderr
    assert b"p/thumbs: left out by --include or --exclude\n" in done.stderr
    assert b"p/a.jpg: left out by --include or --exclude\n" in done.stderr
    assert program.run("edge", "-r", "p", "-o", "out", cwd=tmp_path).returncode == 0
    assert "out/a.png_edge.png" in outputs() and "out/a_edge.png" not in outputs(), "names are those of the whole"
    done = program.run("edge", "p", "--include", "*.gif", cwd=tmp_path)
    assert done.returncode == 1
    assert b"p: no picture was found in it that --include and --exclude leave; -r looks" in done.stderr
    done = program.run("edge", "p/a.png", "--exclude", "*.png", cwd=tmp_path)
    assert done.returncode == 0, "what is named is taken"


def test_results_are_told_while_the_next_name_is_awaited(program, tmp_path):
    save("a.png", "b.png")
    reader, writer = os.pipe()
    told, teller = os.pipe()
    child = program.start("edge", "--files-from", "-", "-o", "out", cwd=tmp_path, stdin=reader, stdout=teller)
    os.close(reader)
    os.close(teller)
    with open(writer, "wb", buffering=0) as names, open(told, "rb") as lines:
        for name in ("a", "b"):
            names.write(f"{name}.png\n".encode())
            timer = threading.Timer(60, child.send_signal, [9])
            timer.start()
            assert lines.readline() == f"out/{name}_edge.png\n".encode()
            timer.cancel()
        names.close()
        assert child.wait() == 0


RETRIES = {  # what is run, and where its failures are
    "a tree": ["-r", "photos", "-o", "out"],
    "beside": ["-r", "photos"],
    "two folders": ["-r", "photos/b", "photos/c", "-o", "out"],
    "folders of one name": ["-r", "photos/b", "more/b", "-o", "out"],
    "files": ["photos/b/y.png", "photos/c/y.png", "more/b/y.png", "-o", "out"],
    "a name with fields": ["-r", "photos", "-o", "out", "--name", "{filter}/{stem}.{ext}"],
}


@pytest.mark.parametrize("case", RETRIES)
def test_failures_of_a_log_are_run_again_into_their_places(case, program, tmp_path):
    """The line is the page's, run by a shell."""
    if os.fsencode(os.fsdecode(b"\xff")) != b"\xff":
        pytest.skip("names are Unicode here")
    bad = ["photos/b/y.png", "photos/c/y.png", "more/b/y.png", "photos/b/\udcff.png", "photos/b/two\nlines.png"]
    save("photos/a.png", "photos/c/y.jpg", *bad, seed=3)
    options = RETRIES[case]
    assert program.run("edge", *options, cwd=tmp_path).returncode == 0
    wanted = {path: Path(path).read_bytes()[:60] for path in map(str, Path().rglob("*.png"))}
    for path in wanted.keys() - {*bad, "photos/a.png"}:
        os.unlink(path)
    good = {path: Path(path).read_bytes() for path in bad}
    for path in bad:
        Path(path).write_bytes(BROKEN)
    if bad[1] in options:
        os.unlink(bad[1])  # a name for which there is no file yet
    with open("log.jsonl", "wb") as log:
        child = program.start("edge", *options, "--json", cwd=tmp_path, stdout=log)
        assert child.wait() == 1
    for path in bad:
        Path(path).write_bytes(good[path])
    line = re.search(r"grep (.*) log\.jsonl \| convfilter", PAGE.read_text(encoding="utf-8"))[1]
    failed = subprocess.run(f"grep {line} log.jsonl", shell=True, capture_output=True).stdout
    more = [word for word in options if word not in bad and not re.match("-r|photos|more", word)]
    done = program.run("edge", "--files-from", "-", *more, cwd=tmp_path, input=failed)
    assert done.returncode == 0, done.stderr
    assert {str(path) for path in Path().rglob("*.png")} == wanted.keys()


def test_jq_changes_nothing_in_what_is_run_again(program, tmp_path):
    save("p/\udcff.png")
    good = Path("p/\udcff.png").read_bytes()
    Path("p/\udcff.png").write_bytes(BROKEN)
    log = program.run("edge", "p", "-o", "out", "--json", cwd=tmp_path).stdout
    Path("p/\udcff.png").write_bytes(good)
    [failed, _] = [json.loads(line) for line in log.splitlines()]
    plain = json.dumps(failed, separators=(",", ":")).replace(r"\udcff", "\ufffd")  # as jq -c writes it
    assert "\ufffd" in plain
    done = program.run("edge", "-o", "out", "--files-from", "-", cwd=tmp_path, input=plain.encode())
    assert (done.returncode, done.stdout) == (0, b"out/\xff_edge.png\n"), done.stderr


@pytest.mark.parametrize("is_list", [True, False])
def test_outputs_among_the_names_are_passed_over_by_a_resumed_run(is_list, program, tmp_path):
    save("p/a.png", "p/b/c.png")
    for _ in range(3):
        names = sorted(map(os.fsencode, Path("p").rglob("*.png")), reverse=True)
        how = ["--files-from", "-", "-0"] if is_list else ["--", *map(os.fsdecode, names)]
        done = program.run("edge", "--skip-existing", "-v", *how, cwd=tmp_path, input=b"\0".join(names))
        assert done.returncode == 0 and outputs() == ["p/a_edge.png", "p/b/c_edge.png"], done.stderr
    assert done.stderr.count(b"_edge.png: note: convfilter has made it, so it is no input here\n") == 2


def test_the_page_has_a_line_for_find(program):
    save("photos/a.png", "photos/b/c.png")
    [line] = re.findall(r"^find photos .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1]), "CONVFILTER_WARM": program.path}
    for _ in range(2):
        line = line.replace("| convfilter", f"| {' '.join(PROGRAM)}")
        done = subprocess.run(line, shell=True, capture_output=True, env=environment)
        assert outputs("photos") == ["a_edge.png", "b/c_edge.png"], done.stderr
