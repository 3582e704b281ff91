"""What folders in stores give: in a disk's order and under its names, or page by page where they are large."""

import gc
import os
import tracemalloc
import zipfile
from itertools import islice

import fsspec
import pytest
from store_server import MANY, StoreServer

from convfilter.errors import UsageError
from convfilter.files.inputs import find_sources as find_on_disk
from convfilter.files.walk import Problem
from convfilter.images.reader import is_picture
from convfilter.remote import sources
from convfilter.remote.sources import find_sources
from convfilter.remote.store import PAGE, Store, Stores

PICTURE = b"P5 1 1 255 \0"
NAMES = [
    *(
        "b.pgm",
        "B.pgm",
        "a.pgm",
        "a.ppm",
        "a.v1.pgm",
        "é.pgm",
        "e\u0301.pgm",
        "is it #1? 100%.pgm",
        "no suffix",
        "Z.pgm",
    ),
    *("sub/a.pgm", "sub/deep/er/a.pgm", "Sub2/x.pgm", "sub.png/x.pgm", ".hidden/a.pgm", "sub/.a.pgm", "sub/a.pgm~"),
    *("sub/read me.txt", "only text/read me.txt", "photos_edge/old.pgm"),
]


@pytest.fixture
def memory():
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


def find(*inputs, **options):
    return list(find_sources(inputs, stores=Stores(), is_picture=is_picture, **options))


def tell(found, prefix: str) -> list[tuple]:
    """What matters of sources, with places that are alike on a disk and in a store."""
    return [
        (one.path.replace(prefix, ""), one.reason) if isinstance(one, Problem)
        else (one.path.replace(prefix, ""), one.relative, one.folder.replace(prefix, ""), one.labels, one.ext)
        for one in found
    ]  # fmt: skip


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("output", [None, "out", "photos/out", "photos"])
def test_a_store_gives_what_a_disk_gives(memory, tmp_path, recursive, output):
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text" if name.endswith("txt") else PICTURE)
        memory.pipe_file(f"/photos/{name}", path.read_bytes())
    options = {"recursive": recursive, "filter": "edge"}
    there, here = "memory://", f"{tmp_path}/"
    passed: dict[str, list] = {there: [], here: []}

    def note(prefix: str):
        return lambda path, reason: passed[prefix].append((path.removeprefix(prefix), reason))

    found = find(f"{there}photos", output=output and there + output, passed_over=note(there), **options)
    expected = find_on_disk(
        [f"{here}photos"], is_picture=is_picture, output=output and here + output, passed_over=note(here), **options
    )
    expected = tell(expected, here)
    certain = [one for one in found if not one.path.endswith(".txt")]  # what those are is seen when they are fetched
    assert tell(certain, there) == expected
    assert sorted(passed[there]) == sorted(one for one in passed[here] if not one[0].endswith(".txt"))


def test_named_files_and_folders_are_taken_once_and_share_names_with_those_on_disk(memory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pgm").write_bytes(PICTURE)
    for name in ("x/a.pgm", "y/a.pgm", "y/b.pgm"):
        memory.pipe_file(f"/{name}", PICTURE)
    passed = []
    found = find("a.pgm", "memory://x/a.pgm", "memory:///x/a.pgm", "memory://y", "memory://none/", "memory://none",
                 output="out", passed_over=lambda *what: passed.append(what))  # fmt: skip
    assert [one.path for one in found] == [
        "a.pgm", "memory://x/a.pgm", "memory://y/a.pgm", "memory://y/b.pgm", "memory://none", "memory://none",
    ]  # fmt: skip
    assert [one.reason for one in found[4:]] == ["No such file or directory"] * 2
    assert [one.folder for one in found[:4]] == ["out", "out", "out/y", "out/y"]
    assert found[0].labels[0] != found[1].labels[0] and found[0].labels[0] != "a"
    assert passed == [("memory://x/a.pgm", "named before")]


@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "memory://", "memory://a.pgm", "zip://x::a.zip"])
def test_what_has_no_folder_beside_it_needs_one(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.zip", "w") as archive:
        archive.writestr("x/a.pgm", PICTURE)
    with pytest.raises(UsageError, match="say with -o where its outputs go"):
        find(url)


@pytest.mark.parametrize("name", ["a//b.pgm", "../a.pgm", "sub/../../a.pgm"])
def test_names_that_no_folder_can_hold_are_said_and_lead_nowhere(memory, name):

    memory.pipe_file("/photos/good.pgm", PICTURE)
    place = Stores().connect("memory://photos/")
    walk = sources.RemoteFolderWalk({place.name: (place, True)}, *_search())
    stored = [sources.Stored(f"/photos/{one}", 1) for one in (name, "good.pgm")]
    found = list(walk._in_order(walk._root(place, stored), stored))
    assert [type(one).__name__ for one in found] == ["Problem", "RemoteSource"]
    assert "which no folder can hold" in found[0].reason


def _search():
    from convfilter.files.output_folders import OutputFolders
    from convfilter.files.walk import Search

    search = Search(is_picture, True, False, None, lambda path, reason: None)
    return search, OutputFolders([], ["memory://photos"], output="out", filter="edge")


def test_a_large_folder_gives_the_same_pictures_in_the_stores_order(memory, monkeypatch):
    names = [f"{stem}.{ext}" for stem in ("a", "a-b", "a.b", "ab", "c") for ext in ("pgm", "ppm", "x.pgm")]
    names += ["a", "a.pgm.pgm", "sub/a.pgm", "sub/a.ppm", "d.pgm"]
    for name in names:
        memory.pipe_file(f"/photos/{name}", PICTURE)
    monkeypatch.setattr(sources, "WHOLE", 12)
    found = find("memory://photos/", recursive=True, filter="edge")
    assert sorted(one.relative for one in found) == sorted(names)
    assert len({(one.folder, one.labels[0]) for one in found}) == len(names)
    labels = {one.relative: one.labels[0] for one in found}
    assert labels["d.pgm"] == "d" and labels["sub/a.ppm"] == "a.ppm" and labels["a"].startswith("a~")
    monkeypatch.setattr(sources, "WHOLE", 3)  # fewer than begin alike
    again = find("memory://photos/", recursive=True, filter="edge")
    assert len({(one.folder, one.labels[0]) for one in again}) == len(names)


def test_a_million_objects_are_listed_as_they_are_needed(monkeypatch):
    server = StoreServer()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.tell(many=1_000_000)
    monkeypatch.setattr(sources, "WHOLE", 2 * PAGE)
    monkeypatch.setattr(Store, "head", lambda self, path, size: PICTURE)
    found = iter(find_sources([f"s3://{MANY}/photos/"], stores=Stores(), is_picture=is_picture))
    assert next(found).path == f"s3://{MANY}/photos/img_000000000.png"
    assert server.tell()["GET"] == 3  # pages, of 1,000
    tracemalloc.start()
    held = []
    for _ in range(6):
        last = list(islice(found, 2 * PAGE))[-1].path
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    server.close()
    fsspec.filesystem("s3").clear_instance_cache()
    assert last == f"s3://{MANY}/photos/img_{12 * PAGE:09}.png"
    # a page takes 1.3 million bytes, and the next ones may be on their way; what is kept would be there each time
    assert min(held[2:]) - held[1] < 300_000


def test_outputs_in_an_input_folder_are_no_inputs_and_replace_none(memory):
    from convfilter import run_files

    memory.pipe_file("/photos/a.pgm", b"P5 6 6 255 " + bytes(range(36)))
    memory.pipe_file("/photos/a_edge.pgm", b"P5 6 6 255 " + bytes(range(36)))
    for _ in range(2):
        done = list(run_files("edge", "memory://photos/", output="memory://photos/"))
        assert [one.outputs for one in done] == [("memory://photos/a_edge.png",), ("memory://photos/a_edge_edge.png",)]
    before = memory.cat_file("/photos/a_edge.pgm")
    (only,) = run_files("edge", ["memory://photos/a.pgm"], output="memory://photos/a.npy")
    assert only.status == "done"
    assert memory.cat_file("/photos/a_edge.pgm") == before and os.path.basename(only.outputs[0]) == "a.npy"


def test_an_object_that_cannot_be_read_costs_itself_alone(memory, monkeypatch):
    from convfilter import run_files

    for name in ("a.png", "b.pgm", "c.pgm"):
        memory.pipe_file(f"/photos/{name}", b"P5 6 6 255 " + bytes(range(36)))
    memory.pipe_file("/only/a.png", b"P5 6 6 255 " + bytes(range(36)))
    real = type(memory).cat_file
    real_get = type(memory).get_file

    def refuse(function):
        def read(self, path, *arguments, **keywords):
            if path.endswith("a.png"):
                raise PermissionError("not yours")
            return function(self, path, *arguments, **keywords)

        return read

    monkeypatch.setattr(type(memory), "cat_file", refuse(real))
    monkeypatch.setattr(type(memory), "get_file", refuse(real_get))
    found = {
        one.source: one.kind for one in run_files("edge", ["memory://photos", "memory://only"], output="memory://o")
    }
    assert found == {
        "memory://photos/a.png": "denied", "memory://photos/b.pgm": None, "memory://photos/c.pgm": None,
        "memory://only/a.png": "denied",
    }  # fmt: skip
