"""The program as a shell script meets it: real processes in real folders, hostile names, streams that fail."""

import io
import json
import os
import pty
import re
import shutil
import socket
import stat
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM, read_terminal

PAGE = Path(__file__).parents[2] / "docs" / "scripting.md"
NOISE = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
BROKEN = b"\x89PNG\r\n\x1a\n broken"


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, seed=0, size=(12, 14)):
    """Save noise, of another seed in every file, as a picture of this height and width."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(NOISE[seed % 380 :][: size[0], seed // 380 :][:, : size[1]]).save(path)


def tree(folder="."):
    """Every file below a folder, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def objects(done):
    *results, counts = [json.loads(line) for line in done.stdout.splitlines()]
    assert counts.keys() == {"counts", "stopped"}
    return results


def pixels(path):
    return np.asarray(Image.open(path).convert("L"))


def test_standard_output_is_the_paths_in_order_and_all_else_is_on_standard_error(program, tmp_path):
    for i in range(20):
        save(f"in/{i:02}.png", i)
    Path("in/05x.png").write_bytes(BROKEN)
    Path("in/notes.txt").write_text("no picture")
    done = program.run("edge", "in", "-j4", cwd=tmp_path)
    paths = [f"in_edge/{i:02}_edge.png" for i in range(20)]
    assert done.returncode == 1 and done.stdout.decode().splitlines() == paths
    failure, closing = done.stderr.decode().splitlines()
    assert re.fullmatch(r"convfilter: in/05x\.png: [^\n]+", failure)
    assert re.fullmatch(r"20 pictures, 20 outputs, 1 failed, \d+\.\d s", closing)

    done = program.run("edge", "in", "-0", "-q", cwd=tmp_path)
    assert done.stdout.decode().split("\0") == [*paths, ""] and done.stderr.decode().splitlines() == [failure]
    done = program.run("edge", "in", "-v", "--skip-existing", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == b"" and b", 20 skipped, 1 failed" in done.stderr
    assert b"in/notes.txt: not a picture" in done.stderr and done.stderr.count(b": skipped: ") == 20
    done = program.run("edge", "in", "--fail-fast", "-j1", cwd=tmp_path)
    assert done.returncode == 3 and done.stdout.decode().splitlines()[:5] == paths[:5]
    assert done.stderr.decode().splitlines()[0] == failure and done.stderr.endswith(b"stopped early\n")
    done = program.run("edge", "in/01.png", "gone.png", "in/notes.txt", cwd=tmp_path)
    assert (
        done.returncode == 1 and done.stderr.count(b"\n") == 3 and b"gone.png: No such file or directory" in done.stderr
    )


def test_json_is_one_object_a_source(program, tmp_path):
    for i in range(3):
        save(f"in/{i}.png", i)
    Path("in/1x.png").write_bytes(BROKEN)
    first, *_ = done = objects(program.run("tutorial", "in", "--json", cwd=tmp_path))
    assert [(o["source"], o["status"]) for o in done] == [
        ("in/0.png", "done"), ("in/1.png", "done"), ("in/1x.png", "failed"), ("in/2.png", "done"),
    ]  # fmt: skip
    assert first["outputs"] == ["in_tutorial/0_tutorial_0.png", "in_tutorial/0_tutorial_1.png"]
    assert (first["width"], first["height"], first["shape"], first["error"]) == (14, 12, [2, 8, 10], None)
    assert done[2]["error"] and done[2]["outputs"] == [] and done[2]["width"] is None
    skipped = objects(program.run("tutorial", "in", "--json", "--skip-existing", cwd=tmp_path))
    assert [o["status"] for o in skipped] == ["skipped", "skipped", "failed", "skipped"]
    assert skipped[0]["outputs"] == first["outputs"]
    done = program.run("tutorial", "in/0.png", "--json", "-o", "-", cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == b"" and b"--json" in done.stderr


def test_good_pictures_are_the_same_whatever_lies_beside_them(program, tmp_path):
    for i in range(12):
        save(f"good/{i:02}.png", i)
    shutil.copytree("good", "mixed")
    bad = {
        "cut.png": Path("good/00.png").read_bytes()[:-20],
        "empty.jpg": b"\xff\xd8\xff",
        "flipped.png": Path("good/00.png").read_bytes()[:-30] + b"\0" * 10 + Path("good/00.png").read_bytes()[-20:],
        "nothing.png": b"",
        "zeros.tif": bytes(3000),
        "bomb.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\0\0\0\1\0\0\x08\0\0\0\0",
    }
    for name, data in bad.items():
        Path("mixed", name).write_bytes(data)
    save("mixed/tiny.png", size=(3, 3))
    os.symlink("nowhere", "mixed/dead.png")
    assert program.run("edge", "good", "-o", "out/good", cwd=tmp_path).returncode == 0
    done = program.run("edge", "mixed", "-o", "out/mixed", cwd=tmp_path)
    assert done.returncode == 1
    named = [line.split(": ")[1] for line in done.stderr.decode().splitlines()[:-1]]
    assert sorted(named) == sorted(f"mixed/{name}" for name in [*bad, "tiny.png", "dead.png"])
    assert b"mixed/dead.png: is a link to nothing\n" in done.stderr
    assert b"mixed/zeros.tif: damaged: it begins with nothing but zeros" in done.stderr
    assert tree("out/mixed") == tree("out/good")


def test_every_bad_picture_in_a_folder_is_named_with_the_reason_that_naming_it_gives(program, tmp_path):
    save("in/good.png")
    bad = {
        "web.jpg": b"<!DOCTYPE html><html>",
        "pointer.png": b"version https://git-lfs.github.com/spec/v1",
        "text.TIF": b"hello, world",
        "random.bmp": bytes(range(7, 90)),
        "phone.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "phone.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "new.jxl": b"\xff\n\xfa\x7f\1",
    }
    for name, data in {**bad, "notes.txt": b"hello", "page.html": b"<html>", "film.mp4": b"\0\0\0\x18ftypisom"}.items():
        Path("in", name).write_bytes(data)
    walked = program.run("edge", "in", "-o", "out", cwd=tmp_path)
    named = program.run("edge", *(f"in/{name}" for name in sorted(bad)), "in/good.png", "-o", "new", cwd=tmp_path)
    assert walked.returncode == named.returncode == 1
    lines, others = (sorted(done.stderr.decode().splitlines()[:-1]) for done in (walked, named))
    assert lines == others and len(lines) == len(bad)
    assert "convfilter: in/phone.heic: not a picture that can be read: it is a HEIC picture" in lines
    assert "convfilter: in/new.jxl: not a picture that can be read: it is a JPEG XL picture" in lines


CASES = {
    "a stem, two formats": (["a.png", "a.jpg"], ["a.png", "a.jpg"]),
    "a stem in two cases": (["a.png", "a.jpg", "A.png"], ["A.png", "a.png", "a.jpg"]),
    "the same in a folder": (["in/a.png", "in/a.jpg", "in/A.png"], ["in"]),
    "an extension in two cases": (["in/a.png", "in/a.PNG"], ["in"]),
    "versions": (["in/photo.v1.png", "in/photo.v2.png", "in/photo.png"], ["in"]),
    "a name like another's channel": (["in/b.png", "in/b_0.png", "in/b_1.png"], ["in"]),
    "a name like another's output": (["b.png", "b_Identity.png"], ["b.png", "b_Identity.png"]),
    "the same in one folder": (["in/b.png", "in/b_Identity.png"], ["in", "-o", "in"]),
    "a name with two extensions": (["in/a.png", "in/a.png.png", "in/a.jpg"], ["in"]),
    "what keeping an extension would give": (["in/a.png", "in/a.jpg", "in/a.png.bmp"], ["in"]),
    "nested folders": (["in/x/a.png", "in/y/a.png", "in/a.png"], ["in", "-r"]),
    "nested folders in two cases": (["in/x/a.png", "in/X/a.png"], ["in", "-r"]),
    "files of several folders": (["x/a.png", "y/a.png"], ["x/a.png", "y/a.png", "-o", "out"]),
    "a folder's name in a file's": (["x/a.png", "y/a.png", "x_a.png"], ["x/a.png", "y/a.png", "x_a.png", "-o", "out"]),
    "deep files of one folder's name": (["1/x/a.png", "2/x/a.png"], ["1/x/a.png", "2/x/a.png", "-o", "out"]),
    "two paths of one file": (["a.png"], ["a.png", "./a.png", "{cwd}/a.png"]),
    "a link to a file": (["a.png", "l.png -> a.png"], ["l.png", "a.png"]),
    "a hard link": (["in/a.png", "in/b.png = in/a.png"], ["in"]),
    "a folder and a file in it": (["in/a.png", "in/b.png"], ["in/a.png", "in"]),
    "a folder three times": (["in/a.png"], ["in", "in/", "in/."]),
    "a folder and one below it": (["in/a.png", "in/sub/a.png"], ["in", "in/sub", "-r"]),
    "folders of one name": (["1/in/a.png", "2/in/a.png"], ["1/in", "2/in", "-o", "out"]),
    "a folder named like a file's stem": (["a.png", "a/a.png", "a/b.png"], ["a.png", "a", "-o", "out"]),
    "a folder and the one its outputs go to": (["in/a.png", "in_Identity/a.png"], ["in", "in_Identity"]),
    "a link to a folder": (["in/d/a.png", "in/l -> d"], ["in", "-r"]),
    "a link that loops": (["in/d/a.png", "in/d/l -> .."], ["in", "-r"]),
    "accents written in two ways": (["in/\u00e9.png", "in/e\u0301.png"], ["in"]),
    "letters that fold": (["in/straße.png", "in/strasse.png"], ["in"]),
    "a template without an extension": (["in/a.png", "in/a.jpg"], ["in", "--name", "{stem}"]),
    "a template with one": (["in/a.png", "in/a.jpg", "in/a.b.jpg"], ["in", "--name", "{stem}.{ext}"]),
    "a template with folders": (["in/a.png", "in/a.jpg"], ["in", "--name", "{filter}/{stem}"]),
    "long names": (["in/" + "x" * 245 + f"{i}.png" for i in range(3)], ["in"]),
    "long names of long letters": (["in/" + "日" * 80 + f"{i}.png" for i in range(3)], ["in"]),
    "names like shortened ones": (["in/a~0123456789ab.png", "in/a.png", "in/a.jpg"], ["in"]),
    "spaces and dots": (["in/a.png", "in/a .png", "in/a..png", "in/ a.png"], ["in"]),
    "standard input": (["stdin.png"], ["-", "stdin.png"]),
}


def mapping(done):
    """Which outputs each file has, whatever path it was found by."""
    return {(os.path.realpath(o["source"]), *o["outputs"]) for o in objects(done)}


@pytest.mark.parametrize("case", CASES)
def test_every_source_is_in_the_outputs_and_nothing_is_overwritten(case, program, tmp_path):
    names, arguments = CASES[case]
    sources = 0
    for seed, name in enumerate(names):
        path, _, target = re.split("( -> | = |$)", name, maxsplit=1)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if " -> " in name:
            os.symlink(target, path)
        elif " = " in name:
            os.link(target, path)
            sources += 1
        else:
            save(path, 7 * seed + 1)
            sources += 1
    save("../typed.png", 400)
    typed = Path("../typed.png").read_bytes()
    before = tree()
    arguments = [a.replace("{cwd}", str(tmp_path)) for a in arguments]
    how = {"cwd": tmp_path, "input": typed if "-" in arguments else b""}
    options = arguments[arguments.index("-o") if "-o" in arguments else len(arguments) :]
    inputs = arguments[: len(arguments) - len(options)]
    runs = [
        program.run("run", "Identity", "--norm", "clip", "--json", *arguments, **how),
        program.run("run", "Identity", "--norm", "clip", "--json", *arguments, **how),
        program.run("run", "Identity", "--json", "--dry-run", *inputs[::-1], *options, **how)
        if "--name" not in inputs and "-r" not in inputs
        else None,
    ]
    done = objects(runs[0])
    assert runs[0].returncode == 0, runs[0].stderr
    assert len(done) == sources + ("-" in arguments) and all(o["status"] == "done" for o in done)
    outputs = [output for o in done for output in o["outputs"]]
    assert len(set(map(os.path.realpath, outputs))) == len(outputs) == len(done)
    folded = {os.path.dirname(o) + "/" + unicodedata.normalize("NFC", os.path.basename(o)).casefold() for o in outputs}
    assert len(folded) == len(outputs)  # on a disk that knows no case, too
    for o in done:
        source = Path("../typed.png") if o["source"] == "-" else o["source"]
        assert np.array_equal(pixels(o["outputs"][0]), pixels(source)), o
    after = tree()
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + len(outputs)
    for run in filter(None, runs[1:]):
        assert mapping(run) == mapping(runs[0])
    assert tree() == after


NAMES = [
    " ", "a b", "-v", "--help", "-", "%d", "%s%n", "{0}", "{stem}", "{", "$(touch hacked)", "`touch hacked`", "a\nb",
    "a\tb", "\x1b[31mred", "日本", "\udcff\udcfe", "'", '"', "back\\slash", "*", "?", "[a]", "a;b", "a|b", "&", "!!",
    "$HOME", "~", "~root", "a=b", "CON", "\u00e9", "\u202egnp", "a:b", "\x7f", "<a>", "@file", "a,b", "..a",
    "nul\u2028line",
]  # fmt: skip


def test_any_legal_name_is_taken_literally(program, tmp_path):
    for seed, name in enumerate(NAMES):
        save(f"in/{name}.png", seed)
    expected = sorted(os.fsencode(f"out/{name}_Identity.png") for name in NAMES if name != "..a")
    done = program.run("run", "Identity", "in", "-0", "-o", "out", "--norm", "clip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split(b"\0")[:-1]) == expected
    assert sorted(os.fsencode(f"out/{name}") for name in os.listdir("out")) == expected
    named = [f"{name}.png" for name in NAMES if name != "-"]
    done = program.run(
        "run", "Identity", "--json", "-o", "../named", "--norm", "clip", "--", *named, cwd=tmp_path / "in"
    )
    assert done.returncode == 0, done.stderr
    assert [o["source"] for o in objects(done)] == named  # json gives back the very bytes, as os.fsdecode does
    for o in objects(done):
        assert np.array_equal(pixels(f"in/{o['outputs'][0]}"), pixels(f"in/{o['source']}"))
    assert not list(tmp_path.rglob("hacked"))


def test_a_failure_is_one_line_whatever_the_name(program, tmp_path):
    Path("in").mkdir()
    for name in NAMES:
        Path(f"in/{name}.png").write_bytes(BROKEN)
    done = program.run("edge", "in", cwd=tmp_path)
    lines = done.stderr.split(b"\n")
    assert done.returncode == 1 and len(lines) == len(NAMES) - 1 + 2  # without the hidden one, but with a closing line
    assert all(line.startswith(b"convfilter: in/") for line in lines[:-2])
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", done.stderr)
    assert rb"in/a\nb.png: " in done.stderr and rb"in/\xff\xfe.png: " in done.stderr


def test_outputs_inside_the_input_folder_are_never_taken_again(program, tmp_path):
    for name in ("in/a.png", "in/b.jpg", "in/sub/a.png"):
        save(name)
    for out, arguments in {
        "in": ["in", "-o", "in"], "in/out": ["in", "-r", "-o", "in/out"],
        "in/sub": ["in/sub/a.png", "in", "-o", "in/sub"], "in/sub/x": ["in", "-o", "in/sub/x", "-r", "--no-metadata"],
    }.items():  # fmt: skip
        first = program.run("edge", *arguments, cwd=tmp_path)
        assert first.returncode == 0, first.stderr
        there = tree()
        for _ in range(4):
            assert program.run("edge", *arguments, cwd=tmp_path).stdout == first.stdout, out
            assert tree() == there


@pytest.mark.skipif(not shutil.which("strace"), reason="a disk that fails needs strace here")
@pytest.mark.parametrize(("call", "error"), [("openat", "EIO"), ("openat", "EMFILE"), ("newfstatat,statx", "ESTALE")])
def test_a_picture_in_a_folder_that_the_disk_does_not_give_is_named(call, error, tmp_path):
    for name in ("a", "b", "c"):
        save(f"in/{name}.png")
    fault = ["-P", f"{tmp_path}/in/b.png", "-e", f"trace={call}", "-e", f"inject={call}:error={error}"]
    traced = ["strace", "-f", "-qq", "-o", os.devnull, *fault, *PROGRAM]
    done = subprocess.run([*traced, "edge", f"{tmp_path}/in", "-o", "out", "--dry-run"], capture_output=True, text=True)
    if "strace:" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip("processes may not be traced here")
    assert (done.returncode, done.stdout) == (1, "out/a_edge.png\nout/c_edge.png\n")
    assert done.stderr.startswith(f"convfilter: {tmp_path}/in/b.png: cannot be read: ") and done.stderr.count("\n") == 2


def test_outputs_that_no_later_run_could_tell_from_inputs_are_refused(program, tmp_path):
    save("in/a.png")
    for template in ("z{stem}", "x_{stem}", "{filter}/{stem}"):
        for out, more, status in (
            ("in", ["--no-metadata"], 2), ("in", ["-r", "--no-metadata"], 2), ("in/out", ["-r", "--no-metadata"], 0),
            ("out", ["--no-metadata"], 0), ("in", ["-r"], 0), ("in", ["--no-metadata", "--format", "npy"], 0),
        ):  # fmt: skip
            arguments = ["edge", "in", "-o", out, "--name", template, *more]
            before = tree()
            done = program.run(*arguments, cwd=tmp_path)
            assert done.returncode == status, (arguments, done.stderr)
            if status:
                assert b"choose another folder with -o" in done.stderr and tree() == before
            else:
                assert program.run(*arguments, cwd=tmp_path).stdout == done.stdout
                assert len(tree()) == len(before) + 1
                Path(done.stdout.decode().strip()).unlink()


NINES = "9" * 5000


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--max-memory", NINES[:400]], "too large a size"), (["--max-memory", "0.5"], "is not a size"),
        (["--max-pixels", NINES], "..."), (["--seed", NINES], "..."), (["--seed", NINES[:300]], "..."),
        (["--frames", NINES], "..."), (["--channels", NINES], "..."), (["--white", "1e39"], "3.4e38"),
        (["--white", "1e-46"], "3.4e38"), (["--norm", "\udcff"], r"\xff"), (["--white", "\udcff"], r"\xff"),
        (["--jobs", "\udcff"], r"\xff"), (["--\udcff\n"], r"\xff\n"), (["--format", "a b " * 999], "..."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_short_line(option, said, program, tmp_path):
    save("a.png")
    done = program.run("edge", "a.png", *option, cwd=tmp_path)
    line = done.stderr.decode().splitlines()[-1]
    assert done.returncode == 2 and said in line and "udcff" not in line and len(line) < 200, line


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_a_signal_that_the_caller_ignores_stays_ignored(name, tmp_path):
    save("a.png")
    text = f"trap '' {name}; {' '.join(PROGRAM)} edge - < pipe & sleep 1; kill -{name} $!; cat a.png > pipe; wait $!"
    os.mkfifo("pipe")
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "stdin_edge.png\n"), done.stderr


def test_what_is_no_file_is_never_opened(program, tmp_path):
    save("in/a.png")
    os.mkfifo("in/pipe.png")
    Path("in/folder.png").mkdir()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("in/socket.png")
        if os.geteuid() == 0:
            os.mknod("in/zero.png", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        os.symlink("/dev/zero", "in/endless.png")
        done = program.run("edge", "in", cwd=tmp_path, timeout=20)
        assert (done.returncode, done.stdout) == (0, b"in_edge/a_edge.png\n")
        done = program.run("edge", "in/socket.png", "/dev/zero", "in/folder.png", cwd=tmp_path, timeout=20)
    assert done.returncode == 1 and done.stdout == b""
    assert done.stderr.count(b"in/socket.png: is a socket") == done.stderr.count(b"/dev/zero: is a device") == 1


def test_a_resumed_run_completes_and_leaves_nothing_temporary(program, tmp_path):
    for i in range(6):
        save(f"in/{i}.png", i)
    whole = program.run("edge", "in", cwd=tmp_path)
    before = tree("in_edge")
    for name in list(before)[1::2]:
        Path("in_edge", name).unlink()
    Path("in_edge/.convfilter-0123456789abcdef.tmp").write_bytes(b"a killed run's")
    done = program.run("edge", "in", "--skip-existing", cwd=tmp_path)
    assert done.stdout.splitlines() == whole.stdout.splitlines()[1::2]
    assert tree("in_edge") == before


def test_of_two_runs_that_may_not_replace_exactly_one_writes_each_file(program, tmp_path):
    for i in range(60):
        save(f"in/{i:02}.png", i)
    for out, options in (("one", ["--no-clobber"]), ("two", [])):
        with open("1", "wb") as first, open("2", "wb") as second:
            children = [
                program.start("tutorial", "in", "-o", out, *options, "-q", "-j2", cwd=tmp_path, stdout=f)
                for f in (first, second)
            ]
            statuses = [child.wait() for child in children]
        told = [Path(name).read_text().splitlines() for name in ("1", "2")]
        files = sorted(f"{out}/{name}" for name in os.listdir(out))
        assert len(files) == 120 and sorted({*told[0], *told[1]}) == files
        if options:
            assert len(told[0]) + len(told[1]) == 120
            assert statuses == [int(len(paths) < 120) for paths in told]
        else:
            assert statuses == [0, 0] and told[0] == told[1]
            assert tree("one") == tree("two")


def test_a_dry_run_loads_no_torch_and_writes_nothing(tmp_path):
    save("in/a.png")
    before = tree()
    for options in (["--dry-run"], ["--skip-existing"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "convfilter", "edge", "in", *options],
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
        modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert done.returncode == 0 and "numpy" in modules and "torch" not in modules
        if options == ["--dry-run"]:
            assert done.stdout == "in_edge/a_edge.png\n" and tree() == before
            Path("in_edge").mkdir()
            written = subprocess.run([*PROGRAM, "edge", "in"], capture_output=True, text=True, cwd=tmp_path)
            assert written.stdout == done.stdout


def test_standard_input(program, tmp_path):
    save("a.png", 3)
    data = Path("a.png").read_bytes()
    done = program.run("edge", "-", cwd=tmp_path, input=data)
    assert (done.returncode, done.stdout) == (0, b"stdin_edge.png\n")
    done = program.run("edge", "-", "-o", "-", cwd=tmp_path, input=data)
    assert done.stdout == Path("stdin_edge.png").read_bytes() and done.stderr.startswith(b"1 picture, 1 output")
    Path("-").write_bytes(data)  # which is not standard output
    for option in ("--skip-existing", "--no-clobber"):
        done = program.run("edge", "a.png", "-o", "-", option, cwd=tmp_path)
        written = Image.open(io.BytesIO(done.stdout))  # whose texts say a.png's date
        assert written.tobytes() == Image.open("stdin_edge.png").tobytes() and done.returncode == 0
    assert Path("-").read_bytes() == data
    for wrong in (b"", b"no picture", data[:-20]):
        done = program.run("edge", "-", cwd=tmp_path, input=wrong)
        assert done.returncode == 1 and done.stderr.startswith(b"convfilter: -: ") and done.stderr.count(b"\n") == 2
    done = program.run("edge", "-", "--max-memory", "1M", cwd=tmp_path, input=b"\0" * (1 << 21))
    assert done.returncode == 1 and b"--max-memory" in done.stderr


def screen(program, tmp_path, *arguments, columns=80, stdout=None, **env):
    """Run with standard error on a terminal; return all that was written there, and what stands there at the end."""
    ours, theirs = pty.openpty()
    import fcntl
    import termios

    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = program.start(
        *arguments, cwd=tmp_path, stderr=theirs, stdout=theirs if stdout is None else stdout,
        env={"TERM": "xterm", "NO_COLOR": "", **env},
    )  # fmt: skip
    os.close(theirs)
    written = read_terminal(ours)
    lines = [""]
    for character in re.sub(r"\x1b\[\d*m", "", written.decode()).replace("\r\n", "\n"):
        if character == "\n":
            lines.append("")
            column = 0
        elif character == "\r":
            column = 0
        else:
            column = column if lines[-1] else 0
            lines[-1] = lines[-1][:column] + character + lines[-1][column + 1 :]
            column += 1
    return child.wait(), written.decode(), [line.rstrip() for line in lines]


def test_progress_on_a_terminal(program, tmp_path):
    for i in range(250):
        save(f"in/{i:03}.png", i, (100, 100))
    Path("in/100x.png").write_bytes(BROKEN)
    status, written, lines = screen(program, tmp_path, "edge", "in", "-j1")
    assert status == 1 and lines[-1] == "" and re.match(r"250 pictures, 250 outputs, 1 failed, ", lines[-2])
    assert re.search(r"\d+/251 \[\d\d:\d\d<[^\]]*pictures/s", written)
    assert "\x1b[31mconvfilter: in/100x.png: " in written
    paths = [f"in_edge/{i:03}_edge.png" for i in range(250)]
    assert [line for line in lines if line.startswith("in_edge")] == paths  # nothing of the progress sticks to them
    assert len(lines) == 250 + 3

    with open(os.devnull, "w") as nowhere:
        _, written, lines = screen(program, tmp_path, "edge", "in", columns=30, stdout=nowhere, NO_COLOR="1")
        assert len(lines) == 3 and "\x1b" not in written and " pictures, " in written
        assert all(len(part) < 30 for part in re.findall(r"[^\r\n]*pictures/s[^\r\n]*", written))
        for arguments, env in ((["-q"], {}), ([], {"TERM": "dumb"})):
            _, written, lines = screen(program, tmp_path, "edge", "in", *arguments, stdout=nowhere, **env)
            assert "pictures/s" not in written and "\x1b" not in written
            assert len(lines) == (2 if arguments else 3)


def test_shards_read_what_slurm_and_torchrun_set(program, tmp_path):
    for i in range(30):
        save(f"in/{'ab'[i % 2]}/{i}.png", i)
    whole = program.run("edge", "in", "-r", "-o", "whole", cwd=tmp_path).stdout
    for number, environment in enumerate(
        (
            lambda i: {"SLURM_PROCID": f"{i}", "SLURM_NTASKS": "3"},
            lambda i: {"SLURM_ARRAY_TASK_ID": f"{i + 1}", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1"},
            lambda i: {"RANK": f"{i}", "WORLD_SIZE": "3", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        )
    ):
        told = []
        for i in range(3):
            done = program.run(
                "edge", "in", "-r", "-o", f"out{number}", "--shard", "auto", cwd=tmp_path, env=environment(i)
            )
            assert done.returncode == 0, done.stderr
            told += done.stdout.splitlines()
        assert sorted(told) == sorted(whole.replace(b"whole/", b"out%d/" % number).splitlines())
        assert tree(f"out{number}") == tree("whole")
    done = program.run("edge", "in", "--shard", "auto", cwd=tmp_path)
    assert done.returncode == 2 and b"--shard" in done.stderr


def test_standard_streams_that_fail(program, tmp_path):
    for i in range(150):
        save(f"in/{i:03}.png", i)
    with open("/dev/full", "wb") as full:
        done = program.run("edge", "in", "-j1", cwd=tmp_path, stdout=full)
        assert done.returncode == 3 and b"convfilter: standard output: No space left on device\n" in done.stderr
        assert 1 <= len(os.listdir("in_edge")) < 150 and b"stopped early" in done.stderr
        done = program.run("edge", "in/000.png", "-o", "-", cwd=tmp_path, stdout=full)
        assert done.returncode == 3 and done.stderr.startswith(b"convfilter: in/000.png: standard output: No space")
        done = program.run("edge", "in", "gone.png", "-o", "out", cwd=tmp_path, stderr=full)
        assert done.returncode == 1 and done.stdout.count(b"\n") == 150
        for arguments, status in ((["edge", "--help"], 1), (["presets"], 1), (["edge"], 2), (["egde"], 2)):
            assert program.run(*arguments, cwd=tmp_path, stdout=full, stderr=full).returncode == status
    for arguments in (["in"], ["in/000.png", "-o", "-"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = program.run("edge", *arguments, "-j1", cwd=tmp_path, stdout=writer)
        os.close(writer)
        assert done.returncode == 3 and b"Traceback" not in done.stderr and b"Exception" not in done.stderr
    names = [name for folder in ("in_edge", "out/in") for name in os.listdir(folder)]
    assert not any(name.endswith(".tmp") for name in names)
    assert all(pixels(f"in_edge/{name}").shape == (8, 10) for name in os.listdir("in_edge"))


STREAMS = """
program() { %s "$@"; }
program edge in -o head | head -n 1; echo "head ${PIPESTATUS[*]}"
program edge in -o closed >&-; echo "closed $?"
program edge in -o noerr 2>&- | wc -l; echo "noerr ${PIPESTATUS[0]}"
program edge - -o nostdin <&-; echo "nostdin $?"
program edge 2>&-; echo "usage $?"
program kernels | head -n 1 > /dev/null; echo "listing ${PIPESTATUS[0]}"
"""


def test_standard_streams_that_are_closed(tmp_path):
    for i in range(150):
        save(f"in/{i:03}.png", i)
    done = subprocess.run(
        ["bash", "-c", STREAMS % " ".join(PROGRAM)], capture_output=True, text=True, cwd=tmp_path, timeout=120
    )
    assert done.stdout.splitlines() == [
        "head/000_edge.png", "head 3 0", "closed 3", "150", "noerr 0", "nostdin 1", "usage 2", "listing 0",
    ]  # fmt: skip
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr
    assert 1 <= len(os.listdir("head")) < 150 and all(pixels(f"head/{name}").size for name in os.listdir("head"))
    assert len(os.listdir("noerr")) == 150 and not os.path.exists("closed")


def blocks(*headings):
    """The shell blocks of some sections of the page on scripts."""
    sections = [PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0] for heading in headings]
    return re.findall(r"```sh\n(.*?)```", "".join(sections), re.DOTALL)


BLOCKS = blocks("Recipes", "Several machines")


def test_the_page_has_shell_blocks():
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.sub(r"\W+", " ", block)[:30])
def test_the_pages_shell_blocks_run(block, tmp_path):
    names = ["a", "b c", "sub/a", *(f"sub/{i}" for i in range(20 if "torchrun" in block else 0))]
    for i, name in enumerate(names):
        save(f"photos/{name}.png", i)
    if "find" not in block:
        Path("photos/broken.png").write_bytes(BROKEN)
    programs = {
        "convfilter": f'exec {" ".join(PROGRAM)} "$@"',
        "torchrun": f'exec {sys.executable} -m torch.distributed.run "$@"',
        "sbatch": 'export SLURM_ARRAY_TASK_COUNT=4\nfor i in 0 1 2 3; do SLURM_ARRAY_TASK_ID=$i bash -c "$3"; done',
    }
    for name, text in programs.items():
        Path("bin").mkdir(exist_ok=True)
        Path("bin", name).write_text(f"#!/bin/bash\n{text}\n")
        Path("bin", name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", block], capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env={**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"},
    )  # fmt: skip
    if "torchrun" in block:
        assert done.returncode == 1 and "ChildFailedError" in done.stderr  # torchrun's own words
        assert len(re.findall(r"^[1-9]\d* pictures, \d+ outputs, [01] failed, ", done.stderr, re.MULTILINE)) == 2
    else:
        assert "Traceback" not in done.stderr
    if "find" in block:
        assert all(Path(f"photos/{name}_edge.png").is_file() for name in names)
    elif "while" in block:
        assert {f"{Path(name).name}_sobel.png" for name in names} == {*os.listdir("album")}
        assert done.stderr.startswith("convfilter: photos/broken.png: ")
    elif "jq" in block:
        assert Path("failed.txt").read_text().startswith("photos/broken.png: ") and done.stdout.count("\t") == 2
    else:
        assert {*tree("out")} == {f"{name}_edge.png" for name in names}
        assert "case" not in block or done.stdout == "some pictures failed\n"


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--skip-existing"]])
def test_an_output_folder_that_is_none_is_a_usage_error(more, program, tmp_path):
    save("in/a.png")
    Path("out").write_text("a file")
    Path("in_edge").write_text("a file")
    os.mkfifo("pipe")
    os.symlink("nowhere", "dead")
    for options, what in (
        (["-o", "out"], "out: is a file"), (["-o", "out/"], "out: is a file"), (["-o", "out/x/y"], "out: is a file"),
        (["-o", "out/x.png"], "out: is a file"), (["-o", "pipe"], "pipe: is a pipe"), ([], "in_edge: is a file"),
        (["-o", "dead"], "dead: is a link to nothing"), (["-o", "dead/x"], "dead: is a link to nothing"),
    ):  # fmt: skip
        done = program.run("edge", "in", *options, *more, cwd=tmp_path)
        assert done.returncode == 2 and done.stdout == b"", options
        assert done.stderr.startswith(f"convfilter: {what}, and outputs need a folder; ".encode())
    assert Path("out").read_text() == "a file"


@pytest.mark.parametrize(("command", "suffix"), [(["edge"], ".png"), (["report", "edge"], ".html")])
def test_a_single_output_follows_a_link_and_replaces_no_device(command, suffix, program, tmp_path):
    save("a.png")
    Path("far").mkdir()
    Path(f"far/old{suffix}").touch()
    for name in ("old", "new"):
        os.symlink(f"far/{name}{suffix}", f"{name}{suffix}")
        done = program.run(*command, "a.png", "-o", f"{name}{suffix}", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"{name}{suffix}\n".encode()), done.stderr
        assert os.path.islink(f"{name}{suffix}") and os.path.getsize(f"far/{name}{suffix}") > 100
    assert sorted(os.listdir("far")) == [f"new{suffix}", f"old{suffix}"]
    os.mkfifo(f"pipe{suffix}")
    os.symlink(f"pipe{suffix}", f"link{suffix}")
    kinds = {"pipe": "pipe", "link": "pipe"}
    if os.geteuid() == 0:
        os.mknod(f"null{suffix}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        kinds["null"] = "device"
    for name, kind in kinds.items():
        done = program.run(*command, "a.png", "-o", f"{name}{suffix}", cwd=tmp_path)
        said = f"convfilter: {name}{suffix}: is a {kind}, and is not replaced; -o - writes to standard output\n"
        assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", said)
        assert not os.path.isfile(f"{name}{suffix}")
    with open(f"out{suffix}", "wb") as out:
        done = program.run(*command, "a.png", "-o", f"out{suffix}", cwd=tmp_path, stdout=out)
    assert done.returncode == 2 and b"is standard output; say -o - to write there" in done.stderr
    assert program.run(*command, "a.png", "-o", "", cwd=tmp_path).returncode == 2


def test_a_first_frame_of_many_says_so_with_v(program, tmp_path):
    frames = [Image.fromarray(NOISE[i : i + 20, :20]) for i in range(3)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    assert b"film" not in program.run("edge", "film.gif", cwd=tmp_path).stderr
    assert b"film.gif: the first of 3 frames" in program.run("edge", "film.gif", "-v", cwd=tmp_path).stderr


@pytest.mark.skipif(os.name == "nt", reason="no pipes of this kind there")
def test_pipes_are_read_as_standard_input_is(tmp_path):
    save("a.png", 3)
    program = " ".join(PROGRAM)
    done = subprocess.run(
        ["bash", "-c", f"{program} edge <(cat a.png) && {program} edge /dev/stdin <a.png && {program} edge a.png"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    first, second, third = done.stdout.splitlines()
    assert re.fullmatch(r"\d+_edge\.png", first) and second == "stdin_edge.png", done.stderr
    assert all(np.array_equal(pixels(path), pixels(third)) for path in (first, second))
    os.mkfifo("pipe.png")
    done = subprocess.run(
        ["bash", "-c", f"cat a.png >pipe.png & {program} edge pipe.png --skip-existing"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.stdout == "pipe_edge.png\n" and np.array_equal(pixels("pipe_edge.png"), pixels(third)), done.stderr
