import itertools
import os
import random
import socket
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from convfilter.files.inputs import find_sources
from convfilter.files.template import Part, name_outputs
from convfilter.files.transaction import OutputWriter
from convfilter.files.walk import Problem, Source
from convfilter.images.png import write_png
from convfilter.images.reader import is_picture

unix = pytest.mark.skipif(os.name == "nt", reason="links and pipes as Unix has them")


def draw(path, **text):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        write_png(file, [np.zeros((2, 3), np.uint8)], 3, 2, text=text)


def picture(*paths):
    for path in paths:
        draw(path, Comment="drawn by hand")


def ours(*paths):
    for path in paths:
        draw(path, Software="convfilter 1.0")


def find(*inputs, is_picture=is_picture, **options):
    """Return the paths found, the problems, and what was passed over with its reason."""
    passed = {}
    found = list(find_sources(inputs, is_picture=is_picture, passed_over=passed.__setitem__, **options))
    problems = {entry.path: entry.reason for entry in found if isinstance(entry, Problem)}
    return [entry.path for entry in found if isinstance(entry, Source)], problems, passed


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.chdir(base)


def test_files_folders_and_standard_input_in_the_order_given():
    picture("b.png", "p/2.png", "p/1.png", "p/sub/0.png", "a.png")
    paths, problems, _ = find("b.png", "-", "p", "a.png", recursive=True)
    assert paths == ["b.png", "-", "p/1.png", "p/2.png", "p/sub/0.png", "a.png"]
    assert not problems


def test_a_source_tells_where_it_was_found():
    picture("p/sub/a.v1.PNG")
    [source] = find_sources(["p/"], is_picture=is_picture, recursive=True, filter="edge")
    assert (source.path, source.root, source.relative) == ("p/sub/a.v1.PNG", "p/", "sub/a.v1.PNG")
    assert (source.folder, source.labels[0], source.ext) == (os.path.join("p_edge", "sub"), "a.v1", "PNG")
    [source] = find_sources(["p/sub/a.v1.PNG"], is_picture=is_picture)
    assert (source.root, source.relative, source.folder) == (None, "p/sub/a.v1.PNG", "p/sub")


def test_what_is_no_picture_is_passed_over_in_folders_only():
    picture("p/a.png")
    for name in ("notes.txt", "text.png", "b.png.part", "b.png~", ".hidden.png", ".convfilter-0123456789abcdef.tmp"):
        with open(os.path.join("p", name), "wb") as file:
            file.write(Path("p/a.png").read_bytes() if name[0] in ".b" else b"a text")
    picture("p/.git/x.png", "p/sub/x.png")
    paths, problems, passed = find("p")
    assert (paths, problems) == (["p/a.png", "p/text.png"], {}), "what is called a picture is one"
    assert passed == {
        "p/notes.txt": "not a picture",
        "p/b.png.part": "hidden or temporary",
        "p/b.png~": "hidden or temporary",
        "p/.hidden.png": "hidden or temporary",
        "p/.convfilter-0123456789abcdef.tmp": "hidden or temporary",
        "p/.git": "hidden or temporary",
        "p/sub": "is a folder, and there is no -r",
    }
    assert find("p/.hidden.png", "p/notes.txt", "p/.git")[0] == ["p/.hidden.png", "p/notes.txt", "p/.git/x.png"]


def test_a_broken_picture_in_a_folder_is_a_source():
    os.mkdir("p")
    with open("p/cut.png", "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n\0\0")
    assert find("p")[0] == ["p/cut.png"]


@unix
def test_what_an_interrupted_copy_leaves_is_a_source_by_its_name():
    os.mkdir("p")
    for name, data in {"empty": b"", "half": b"\x89PNG", "zeros": bytes(5000)}.items():
        for suffix in (".png", ".txt"):
            with open(f"p/{name}{suffix}", "wb") as file:
                file.write(data)
    for name in ("dead.png", "dead.txt"):
        os.symlink("nowhere", f"p/{name}")
    os.symlink("loop.png", "p/loop.png")
    assert find("p")[0] == [f"p/{name}.png" for name in ("dead", "empty", "half", "loop", "zeros")]
    ours("p/a_edge.png")
    assert "p/a_edge.png" in find("p")[0], "none of them tells that there are others than ours"


def test_what_cannot_be_read_is_a_problem_and_the_others_go_on():
    picture("a.png", "b.png")
    paths, problems, _ = find("a.png", "none.png", "", "a\0b", "b.png", "none/")
    assert paths == ["a.png", "b.png"]
    assert problems == {
        "none.png": "No such file or directory",
        "": "No such file or directory",
        "a\0b": "embedded null byte",
        "none/": "No such file or directory",
    }


@unix
def test_pipes_sockets_and_devices_are_never_opened():
    picture("p/a.png")
    os.mkfifo("p/fifo.png")
    os.mkdir("p/folder.png")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("p/socket.png")
        os.symlink("/dev/zero", "p/zero.png")
        os.symlink("nowhere", "p/dead.png")
        ours("p/0_edge.png")  # which makes the folder be searched for others
        paths, problems, passed = find("p", recursive=True)
        assert (paths, problems) == (["p/a.png", "p/dead.png"], {})
        assert passed["p/fifo.png"] == "is a pipe" and passed["p/zero.png"] == "is a device"
        named, problems, _ = find("p/fifo.png", "p/socket.png", "p/zero.png", "p/dead.png", "/dev/null")
    assert named == ["p/fifo.png"]  # a pipe that is named is read, when its turn comes
    assert problems == {
        "p/socket.png": "is a socket; expected the file of a picture, or a folder",
        "p/zero.png": "is a device; expected the file of a picture, or a folder",
        "p/dead.png": "is a link to nothing",
        "/dev/null": "is a device; expected the file of a picture, or a folder",
    }


@unix
def test_a_file_or_folder_that_may_not_be_read_is_a_problem():
    picture("a.png", "p/a.png", "p/sub/b.png", "p/z.png")
    os.chmod("a.png", 0)
    os.chmod("p/a.png", 0)  # its suffix says picture, so it is a source, which fails when it is read
    os.chmod("p/sub", 0)
    code = """if True:
        import os
        from convfilter.images.reader import is_picture
        from convfilter.files.inputs import find_sources
        os.getuid() or os.setuid(65534)
        for found in find_sources(["a.png", "p"], is_picture=is_picture, recursive=True):
            print(found.path, getattr(found, "reason", "is found"))
    """
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        os.chmod("p/sub", 0o700)
    assert done.stdout.splitlines() == [
        "a.png Permission denied",
        "p/a.png is found",
        "p/z.png is found",
        "p/sub the folder cannot be listed: Permission denied",
    ], done.stderr


@unix
@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (["a.png", "./a.png", "a.png"], ["a.png"]),
        (["./a.png", "a.png"], ["a.png"]),
        (["link.png", "a.png"], ["a.png"]),
        (["a.png", "link.png"], ["a.png"]),
        (["link.png"], ["link.png"]),
        (["p", "p/", "./p"], ["p/x.png"]),
        (["p", "plink"], ["p/x.png"]),
        (["p", "p/x.png"], ["p/x.png"]),
        (["p/x.png", "p"], ["p/x.png"]),
        (["plink/x.png", "p"], ["plink/x.png"]),
        ([".", "a.png"], ["./p/x.png", "a.png"]),
        (["a.png", "hard.png"], ["a.png", "hard.png"]),
        (["."], ["./a.png", "./hard.png", "./p/x.png"]),
    ],
)
def test_the_same_file_given_twice_is_found_once(inputs, expected):
    picture("a.png", "p/x.png")
    os.symlink("a.png", "link.png")
    os.symlink("p", "plink")
    if "hard.png" in inputs or inputs == ["."]:
        os.link("a.png", "hard.png")
    assert find(*inputs, recursive=True)[0] == expected


@unix
@pytest.mark.parametrize("recursive", [False, True])
def test_links_are_followed_once_and_loops_end(recursive, tmp_path):
    picture("p/a.png", "p/sub/b.png", "../other/c.png", "../other/deep/d.png", "../single.png")
    for target, link in [
        ("..", "p/sub/up"),
        (".", "p/self"),
        ("self", "p/selfself"),
        ("loop", "p/loop"),
        ("a.png", "p/0.png"),
        ("sub/b.png", "p/b-link.png"),
        ("../../other", "p/other"),
        ("../../other", "p/sub/other-again"),
        ("../../single.png", "p/s1.png"),
        ("../../single.png", "p/s2.png"),
        ("../../other/c.png", "p/zc.png"),
    ]:
        os.symlink(target, link)
    paths, problems, _ = find("p", recursive=recursive)
    assert not problems
    real = [os.path.realpath(path) for path in paths]
    assert len(set(real)) == len(real)
    if recursive:  # the link to c.png comes first: files before sub-folders
        assert paths == ["p/a.png", "p/s1.png", "p/zc.png", "p/other/deep/d.png", "p/sub/b.png"]
    else:
        assert paths == ["p/a.png", "p/b-link.png", "p/s1.png", "p/zc.png"]


@unix
def test_a_link_to_a_folder_above_ends():
    picture("p/q/a.png", "p/b.png")
    os.symlink("../..", "p/q/up")
    assert find("p/q", recursive=True)[0] == ["p/q/a.png", "p/q/up/p/b.png"]
    assert find("p/q", "p", recursive=True)[0] == ["p/q/a.png", "p/b.png"]


def test_a_deep_tree_does_not_end_in_a_recursion_error():
    depth = 1200
    here = os.getcwd()
    for _ in range(depth):
        os.mkdir("d")
        os.chdir("d")
    picture("a.png")
    os.chdir(here)
    paths, problems, _ = find("d", recursive=True)
    assert (paths, problems) == (["/".join("d" * depth) + "/a.png"], {})
    for _ in range(depth - 1):  # shutil.rmtree, which pytest clears up with, would
        os.chdir("d")
    os.unlink("d/a.png")
    for _ in range(depth - 1):
        os.rmdir("d")
        os.chdir("..")


@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        (["p"], {"output": "p/out", "recursive": True}),
        (["p"], {"output": "p", "recursive": True}),
        (["p"], {"output": "p"}),
        (["."], {"output": "p/out", "recursive": True}),
        (["p", "p/a.png"], {}),
        (["p/a.png", "p"], {}),
        (["p", "p/a.png", "p/sub/c.jpg"], {"recursive": True}),
        (["p", "p/sub"], {"recursive": True}),
        ([".", "p"], {"recursive": True}),
        (["p", "p_edge"], {"recursive": True}),
        (["p/a.png", "p/b.png"], {}),
    ],
)
def test_five_runs_give_the_same_files(inputs, options, mark):
    picture("p/a.png", "p/b.png", "p/b.jpg", "p/sub/c.jpg", "p/sub/c_edge.png", "p_edge/d.png")
    before = {path: Path(path).read_bytes() for path in _tree(".")}
    trees = []
    for _ in range(5):
        outputs = OutputWriter()
        found = find_sources(inputs, is_picture=is_picture, filter="edge", metadata=mark, **options)
        for source in found:
            with outputs.transaction() as files:
                for path in name_outputs(source, [Part(0, 2), Part(1, 2)], filter="edge", is_input=found.is_input):
                    text = {"Software": "convfilter 1"} if mark else {}
                    write_png(files.open(path), [np.zeros((2, 3), np.uint8)], 3, 2, text=text)
                files.commit()
        trees.append(_tree("."))
        assert {path: Path(path).read_bytes() for path in before} == before
    assert len(trees[0]) > len(before)
    assert trees[1:] == trees[:1] * 4


def _tree(folder):
    return sorted(os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)


def test_pictures_made_here_are_passed_over_beside_others():
    picture("p/z.png")
    ours("p/a_edge.png", "p/out/b_edge.png")
    paths, _, passed = find("p", recursive=True)
    assert paths == ["p/z.png"]
    assert passed == {"p/a_edge.png": "made by convfilter", "p/out/b_edge.png": "made by convfilter"}
    assert find("p/a_edge.png", "p")[0] == ["p/a_edge.png", "p/z.png"]


def test_a_folder_of_outputs_can_be_filtered_on():
    ours("p_edge/a_edge.png", "p_edge/sub/b_edge.png")
    assert find("p_edge", recursive=True)[0] == ["p_edge/a_edge.png", "p_edge/sub/b_edge.png"]
    assert find("p_edge", output="out")[0] == ["p_edge/a_edge.png"]
    assert find("p_edge", output="p_edge")[0] == [], "here the outputs would be inputs next time"


def test_the_folder_for_outputs_is_not_walked():
    picture("p/a.png", "p/out/b.png", "p/out/deep/c.png", "p/outer/d.png")
    assert find("p", output="p/out", recursive=True)[0] == ["p/a.png", "p/outer/d.png"]
    assert find("p", "p/out", output="p/out", recursive=True)[0] == [
        "p/a.png",
        "p/outer/d.png",
        "p/out/b.png",
        "p/out/deep/c.png",
    ]
    assert len(find(".", output="-", recursive=True)[0]) == 4


@unix
def test_what_is_an_input_is_known_by_any_path():
    picture("p/a.png", "p/sub/b.png", "q/c.png", "n.png", "../far.png")
    ours("p/a_edge.png")
    os.symlink("p/a.png", "link.png")
    os.symlink("../../far.png", "p/far.png")
    sources = find_sources(["p", "n.png"], is_picture=is_picture)
    assert len(list(sources)) == 3
    inputs = ["p/a.png", "./p/a.png", os.path.abspath("p/a.png"), "link.png", "n.png", "p/far.png", "../far.png"]
    others = ["p/sub/b.png", "q/c.png", "p/none.png", "p", "p/a_edge.png", "p/a.png/x", "\0"]
    assert [path for path in inputs + others if sources.is_input(path)] == inputs


@unix
def test_any_name_is_taken_literally():
    names = ["new\nline.png", "-rf.png", "{0}.png", "%d.png", "$(x).png", " .png", os.fsdecode(b"\xff.png"), "*.png"]
    picture(*(f"p/{name}" for name in names))
    assert sorted(find("p")[0]) == sorted(f"p/{name}" for name in names)
    os.chdir("p")
    assert find(*names)[0] == names


def test_the_order_does_not_depend_on_the_listing(monkeypatch):
    names = [f"{kind}{i}.png" for i in range(5) for kind in "aBc"]
    picture(*(f"p/{name}" for name in names))
    real = os.scandir
    seen = set()
    for seed in range(5):

        class Shuffled:
            def __init__(self, path, seed=seed):
                with real(path) as entries:
                    self.entries = list(entries)
                random.Random(seed).shuffle(self.entries)

            def __enter__(self):
                return self.entries

            def __exit__(self, *exception):
                pass

        monkeypatch.setattr(os, "scandir", Shuffled)
        seen.add(tuple(find("p")[0]))
    assert len(seen) == 1


def test_a_file_that_vanishes_while_walking_is_counted_and_the_others_go_on():
    picture("p/a.png", "p/b.png", "p/sub/c.png", "p/zub/d.png")
    sources = iter(find_sources(["p"], is_picture=is_picture, recursive=True))
    assert next(sources).path == "p/a.png"
    os.unlink("p/b.png")
    os.unlink("p/sub/c.png")
    os.rmdir("p/sub")
    rest = list(sources)
    words = "the folder cannot be listed: No such file or directory"
    assert rest[1] == Problem("p/sub", words, "missing", os.path.join("p_filtered", "sub"))
    assert [rest[0].path, rest[2].path] == ["p/b.png", "p/zub/d.png"]


@pytest.mark.parametrize("count", [20_000, pytest.param(200_000, marks=pytest.mark.soak)])
def test_a_large_folder_starts_at_once_in_little_memory(count):
    os.mkdir("p")
    for i in range(count):
        os.close(os.open(f"p/{i:06}.png", os.O_CREAT | os.O_WRONLY))
    start = time.perf_counter()
    sources = iter(find_sources(["p"], is_picture=lambda path: True))
    assert next(sources).relative == "000000.png"
    assert time.perf_counter() - start < 0.5 + count / 50_000

    tracemalloc.start()
    sources = iter(find_sources(["p"], is_picture=lambda path: True))
    next(sources)
    held, peak = tracemalloc.get_traced_memory()
    assert held < 200 * count and peak < 700 * count, "the names of one folder"
    assert sum(1 for _ in itertools.islice(sources, 5000)) == 5000
    later, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert later < held + 100_000, "and nothing more, however many have been filtered"
