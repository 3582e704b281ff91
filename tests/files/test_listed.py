import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from convfilter.errors import UsageError
from convfilter.files.destination import Destination
from convfilter.files.hash_set import HashSet
from convfilter.files.listed import FileList, ListedSources
from convfilter.files.patterns import Patterns
from convfilter.files.walk import Problem, Search
from convfilter.images.png import write_png
from convfilter.images.reader import is_picture


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path / "base")


def picture(*paths, **text):
    for path in paths:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            write_png(file, [np.zeros((2, 3), np.uint8)], 3, 2, text={"Comment": "drawn", **text})


def read(data, *, null=False, output="out", recursive=False, passed=None, patterns=None, extension=False):
    """What a list of these bytes gives: the sources, or with a path and a reason the problems."""
    Path("list").write_bytes(data)
    passed = {} if passed is None else passed
    search = Search(is_picture, recursive, extension, None, passed.__setitem__, patterns or Patterns())
    return list(ListedSources(FileList("list", null), search, output=output, filter="edge"))


def places(entries):
    return [os.path.join(entry.folder, entry.labels[0]) for entry in entries]


def test_relative_paths_are_kept_below_the_output_folder():
    picture("a.png", "b/y.png", "p/b/y.png", "q/b/y.png", "../z.png", "o.v1.png")
    absolute = os.path.abspath("a.png")
    names = ["a.png", "b/y.png", "./p//b/y.png", "q/./b/y.png", "../z.png", "b/../o.v1.png", "o.v1.png/"]
    found = read("\n".join([*names, absolute]).encode())
    assert [entry.path for entry in found] == ["a.png", *names[1:3], "q/b/y.png", *names[4:]]
    [*sources, missing] = found
    above = os.path.dirname(os.getcwd())
    assert places(sources) == ["out/a", "out/b/y", "out/p/b/y", places(sources)[3], f"out{above}/z", "out/o.v1"]
    assert places(sources)[3].startswith("out/b/y.png~"), "another picture of the list has that name"
    assert isinstance(missing, Problem) and missing.kind == "missing", "what is the same file is read once"


def test_without_an_output_folder_outputs_lie_beside_the_picture_or_beside_what_stands_before_the_mark():
    picture("a.png", "p/b/y.png", "p/b/z.png")
    found = read(b"a.png\np/b/y.png\np/./b/z.png\n", output=None)
    assert places(found) == ["a", "p/b/y", "p_edge/b/z"]
    [problem] = read(b"/./x.png", output=None)
    assert problem.reason == "/ has no folder beside it; say with -o where its outputs go"


def test_names_are_taken_literally_and_end_with_a_line_break_or_a_nul():
    hostile = ["-", " a ", "#x", ";y", "-v", "a\\b", "'q'", "\udcff", "*", "\x1b[1m"]
    picture(*(f"./{name}" for name in [*hostile, "two\nlines"]))
    found = read(b"\n\n".join(os.fsencode(name) for name in hostile))
    assert [os.path.basename(entry.path) for entry in found] == hostile
    assert found[0].path == "./-" and not found[0].is_stream
    found = read(b"".join(os.fsencode(name) + b"\0" for name in [*hostile, "two\nlines"]), null=True)
    assert [os.path.basename(entry.path) for entry in found] == [*hostile, "two\nlines"]


def test_a_list_of_the_other_kind_is_told():
    picture("a.png", "b.png")
    [problem] = read(b"a.png\0b.png\0")
    assert problem.reason == "has a NUL in it; -0 reads a list whose names end with NUL"
    [problem] = read(b"a.png\nb.png\n", null=True)
    assert problem.reason == "No such file or directory; leave out -0 if the list has a name a line"
    *_, problem = read(b"a.png\n" + bytes([65]) * (1 << 21))
    assert (problem.path, problem.reason) == (
        "list",
        "the list has no line breaks in 1,048,576 bytes, so it is no list of names",
    )


def test_a_list_that_cannot_be_opened_is_refused():
    os.mkdir("folder")
    for path, words in {
        "none": "--files-from none: No such file or directory",
        "folder": "--files-from folder: is a folder; expected a file with a name a line",
        "a\0": "--files-from a\\x00: ",
    }.items():
        with pytest.raises(UsageError) as error:
            FileList(path).check()
        assert str(error.value).startswith(words)


def test_pictures_that_share_a_stem_keep_their_extension_whichever_of_them_is_in_the_list():
    picture("p/a.png", "p/a.jpg", "p/b.png", "p/c.png")
    picture("p/C.png", Software="convfilter 1.0")
    Path("p/b.txt").write_text("no picture")
    assert places(read(b"p/a.png\np/b.png\np/c.png")) == ["out/p/a.png", "out/p/b", "out/p/c"]
    assert places(read(b"p/a.jpg")) == ["out/p/a.jpg"]
    assert places(read(b"p/a.jpg", extension=True)) == ["out/p/a"]


def test_a_file_is_found_once_by_whichever_name():
    picture("a.png", "b/c.png")
    os.symlink("a.png", "l.png")
    os.symlink("b", "m")
    passed = {}
    found = read(b"a.png\n./a.png\nl.png\nb/c.png\nb\nm\n", passed=passed)
    assert [entry.path for entry in found if not isinstance(entry, Problem)] == ["a.png", "b/c.png"]
    assert passed == dict.fromkeys(["./a.png", "l.png", "b/c.png", "m/c.png"], "the list has named it before")


def test_a_folder_in_the_list_is_walked_and_kept_too():
    picture("p/a.png", "p/sub/b.png", "p/sub/c.jpg", "q/sub/d.png")
    assert places(read(b"p\nq/./sub", recursive=True)) == ["out/p/a", "out/p/sub/b", "out/p/sub/c", "out/sub/d"]
    assert places(read(b"p\nq/./sub", recursive=True, output=None)) == [
        *("p_edge/a", "p_edge/sub/b", "p_edge/sub/c", "q_edge/sub/d"),
    ]
    assert places(read(b"p")) == ["out/p/a"]
    wanted = Patterns(include=("*.png",), exclude=("d*", "p/a.png"))
    passed = {}
    assert places(read(b"p/./\nq/sub/d.png\np/sub/b.png", recursive=True, patterns=wanted, passed=passed)) == [
        "out/a",
        "out/sub/b",
    ]
    assert passed["q/sub/d.png"] == passed["p/sub/c.jpg"] == "left out by --include or --exclude"


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices as Unix has them")
def test_what_is_no_file_is_a_problem_and_a_pipe_is_read():
    os.mkfifo("fifo.png")
    device, pipe = read(b"/dev/null\nfifo.png")
    assert device.reason == "is a device; expected the file of a picture, or a folder" and device.folder == "out/dev"
    assert pipe.is_stream and places([pipe]) == ["out/fifo"]


def test_an_object_of_a_log_goes_where_its_run_would_have_put_it():
    picture("y.png", "z.png")

    def line(source, **destination):
        place = {"output": "out", "folder": "b", "labels": ["other"], **destination} if destination else None
        return json.dumps({"source": source, "destination": place}).encode()

    assert places(read(line("y.png", folder="b") + b"\n" + line("z.png"))) == ["out/b/other", "out/z"]
    assert places(read(line("y.png", folder="b"), output="new")) == ["new/b/other"]
    assert places(read(line("y.png", folder="b"), output=None)) == ["out/b/other"]
    assert places(read(line("y.png", output=None, folder="y_edge"), output=None)) == ["y_edge/other"]
    assert places(read(line("y.png", output=None, folder="y_edge"))) == ["out/y"]
    coded = b'{"source":"?","source_base64":"eS5wbmc=","destination":null}'
    assert [entry.path for entry in read(coded)] == ["y.png"]
    assert (
        read(b'{"source": "a.txt", "passed_over": "not a picture"}\n{"counts": {"failed": 1}, "stopped": null}') == []
    )
    picture('{"source": "y.png"}')
    assert [entry.path for entry in read(b'./{"source": "y.png"}')] == ['./{"source": "y.png"}']


@pytest.mark.parametrize(
    "line",
    [
        b'{"source": ', b'{"source": 3}', b'{"source": "a", "destination": 3}', b'{"source": null}',
        b'{"source": "a", "destination": {"output": null, "folder": "b", "labels": "c"}}',
        b'{"source": "a", "destination": {"output": null, "labels": []}}', b'{"source": "-"}',
        b'{"source": "a", "source_base64": "!"}', b'{"source": ' + b"[" * 100_000, b'{"source": "\xff"}',
        b'{"source": "a\\u0000b"}',
    ],
)  # fmt: skip
def test_what_is_no_object_of_a_log_is_a_problem(line):
    picture("y.png")
    problem, source = read(line + b"\ny.png")
    assert isinstance(problem, Problem) and source.path == "y.png"


def test_a_destination_reads_back_what_it_wrote():
    from convfilter.files.destination import read_object

    given = Destination("o\udcff", "b", ("y", "\udcfe"))
    written = json.dumps({"source": "x", "destination": given.to_dict()}).encode()
    assert read_object(written.replace(rb"\udcff", b"?").replace(rb"\udcfe", b"?")) == ("x", given)


def test_what_the_list_has_named_is_an_input():
    picture("a.png", "b.png")
    Path("list").write_text("a.png\n")
    search = Search(is_picture, False, False, None, lambda path, reason: None)
    sources = ListedSources(FileList("list"), search, output=None, filter="edge")
    assert [entry.path for entry in sources] == ["a.png"]
    assert sources.is_input("./a.png") and not sources.is_input("b.png") and not sources.is_input("none.png")


def test_a_long_list_is_not_kept_in_memory():
    count = 5_000
    with open("list", "w") as file:
        file.writelines(f"a/long/path/of/some/folder/{number:09}.png\n" for number in range(count))
    search = Search(is_picture, False, False, None, lambda path, reason: None)
    entries = iter(ListedSources(FileList("list"), search, output="out", filter="edge"))
    assert next(entries).path.endswith("000000000.png")
    tracemalloc.start()
    try:
        assert sum(1 for _ in entries) == count - 1
        assert tracemalloc.get_traced_memory()[1] < 400_000
    finally:
        tracemalloc.stop()


def test_what_was_seen_takes_little_memory_and_is_not_forgotten():
    tracemalloc.start()
    try:
        seen = HashSet()
        assert all(seen.add(b"%d" % number) for number in range(50_000))
        assert tracemalloc.get_traced_memory()[0] < 50_000 * 24
    finally:
        tracemalloc.stop()
    assert all(b"%d" % number in seen for number in range(50_000)) and b"50000" not in seen
    assert not seen.add(b"0")
