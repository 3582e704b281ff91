import itertools
import os
import unicodedata

import numpy as np
import pytest

from convfilter.errors import UsageError
from convfilter.files.inputs import find_sources
from convfilter.files.output_folders import beside
from convfilter.files.paths import fold
from convfilter.files.targets import is_file_name
from convfilter.files.template import Part, name_outputs
from convfilter.files.transaction import OutputWriter
from convfilter.files.walk import Problem, Source
from convfilter.images.png import write_png
from convfilter.images.reader import is_picture

PARTS = {
    "one": [Part()],
    "two": [Part(0, 2), Part(1, 2)],
    "eleven": [Part(i, 11) for i in range(11)],
    "frames": [Part(frame=i, frames=3) for i in range(3)],
    "steps": [Part(c, 2, step="1-Conv2d") for c in range(2)] + [Part(c, 2, step="2-ReLU") for c in range(2)],
    "sheet": [Part(0, 2), Part(1, 2), Part("grid", 2)],
}


def draw(path, text=(("Software", "convfilter 1"),)):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        write_png(file, [np.zeros((2, 3), np.uint8)], 3, 2, text=dict(text))


def picture(path):
    draw(path, ())
    with open(path, "ab") as file:
        file.write(os.fsencode(path))  # no two alike; and no reader minds


def run(inputs, parts="one", template=None, mark=True, filter="edge", **options):
    """Filter for real, but for the filtering; return what was written of each source."""
    found = find_sources(inputs, is_picture=is_picture, filter=filter, extension="{ext}" in (template or ""), **options)
    written = {}
    outputs = OutputWriter()
    for source in found:
        assert not isinstance(source, Problem), source
        assert source.path not in written
        paths = name_outputs(source, PARTS[parts], filter=filter, template=template, is_input=found.is_input)
        with outputs.transaction() as files:
            for path in paths:
                text = {"Software": "convfilter 1"} if mark else {}
                write_png(files.open(path), [np.zeros((2, 3), np.uint8)], 3, 2, text=text)
            files.commit()
        written[source.path] = paths
    return written


def contents(*names):
    return {name: open(name, "rb").read() for name in names}


CASES = [
    # files, inputs (None: the files themselves), how the outputs are made
    (["a.png", "a.jpg"], None, {}),
    (["a.png", "a.jpg", "A.png"], None, {}),
    (["a.png", "a.jpg", "A.png"], ["."], {"output": "out"}),
    (["a.png", "a.jpg", "A.png", "A.JPG"], None, {"parts": "eleven"}),
    (["photo.v1.png", "photo.v2.png"], None, {}),
    (["photo.v1.png", "photo.v2.png", "photo.png"], ["."], {"output": "out"}),
    (["b.png", "b_0.png"], None, {"parts": "two"}),
    (["b.png", "b_0.png"], None, {"parts": "two", "template": "{stem}_{channel}"}),
    (["b.png", "b_0.png", "b_0_0.png"], ["."], {"parts": "two", "template": "{stem}_{channel}", "output": "."}),
    (["b.png", "b_edge.png", "b_edge_edge.png"], None, {}),
    (["b.png", "b_edge.png"], ["."], {"output": "."}),
    (["b.png", "b_edge_0.png"], None, {"parts": "frames"}),
    (["b.png", "b_grid.png", "b_edge_grid.png"], None, {"parts": "sheet"}),
    (["b.png", "b_grid.png"], None, {"parts": "sheet", "filter": "grid"}),
    (["b.png", "b_7.png"], None, {"parts": "frames", "filter": "7"}),
    (["a.png", "a.png.png", "a.png.png.png"], None, {}),
    (["a.png", "a.jpg", "a.png.png"], None, {}),
    (["a.png", "a.jpg", "a.png.png", "a.jpg.jpg", "A.PNG"], ["."], {"output": "out"}),
    (["a.png", "a.jpg", "a.png_edge.png"], None, {}),
    (["a", "a.png", "A"], None, {}),
    (["x/a.png", "y/a.png"], None, {"output": "out"}),
    (["x/a.png", "y/a.png"], None, {}),
    (["x/a.png", "y/a.png", "x/a.jpg", "x_a.png"], None, {"output": "out"}),
    (["x/a.png", "z/x/a.png", "y/a.png"], None, {"output": "out"}),
    (["x/a.png", "y/a.png"], ["x", "y"], {"output": "out"}),
    (["x/p/a.png", "y/p/a.png"], ["x/p", "y/p"], {"output": "out"}),
    (["x/p/a.png", "y/P/a.png", "x_p/a.png"], ["x/p", "y/P", "x_p"], {"output": "out"}),
    (["p/a.png", "a.png", "p/sub/a.png"], ["p", "a.png", "p/sub"], {"output": "out", "recursive": True}),
    (["p/a.png", "p/a/a.png", "p/a/a/a.png"], ["p"], {"recursive": True}),
    (["p/Sub/a.png", "p/sub/a.png"], ["p"], {"recursive": True}),
    (["p/a.png", "p/a_edge.png/a.png"], ["p"], {"recursive": True}),
    (["p/a.png", "p_edge/a.png"], ["p", "p_edge"], {}),
    (["p/a.png", "p_edge/a.png"], ["p", "p_edge/a.png"], {}),
    (["p/X_edge/a.png", "p_edge/X/a.png"], ["p", "p_edge/X"], {"recursive": True}),
    (["a.png", "a.jpg", "b.png"], ["a.png", "a.jpg", "b.png", "."], {}),
    (["a.png", "b.png"], ["./a.png", "a.png", "b.png", "../{cwd}/b.png"], {}),
    (["a.png"], None, {"template": "{stem}"}),
    (["a.png", "a.png.png", "b.png"], None, {"template": "{stem}"}),
    (["a.png", "A.png"], ["."], {"template": "{stem}", "output": "."}),
    (["a.png", "a.jpg"], None, {"template": "{stem}_{ext}", "output": "out"}),
    (["a.png", "A.PNG", "a.jpg"], None, {"template": "{stem}.{ext}", "output": "out"}),
    (["a.png", "b.png"], None, {"template": "{filter}/{stem}"}),
    (["edge/a.png", "a.png"], ["edge", "a.png"], {"template": "{filter}/{stem}", "output": "out"}),
    (["a.png", "b.png"], None, {"template": "{stem}/{channel}", "parts": "two"}),
    (["café.png", unicodedata.normalize("NFD", "café.png")], None, {}),
    (["straße.png", "STRASSE.png"], ["."], {"output": "out"}),
    (["a" * 251 + ".png", "a" * 250 + "b.png", "a" * 250 + "b.jpg"], None, {}),
    (["é" * 125 + ".png", "é" * 124 + "e.png"], ["."], {"output": "out", "parts": "steps"}),
    (["x~0123456789ab.png", "x.png"], None, {}),
    (["-.png", "stdin.png", " .png", "..png"], None, {}),
    (["{0}.png", "%d.png", "$(x).png", "{stem}.png", "{stem.png"], None, {"template": "{stem}!{filter}"}),
    (["new\nline.png", "new line.png", "-rf.png", "'.png", '".png', "\\.png", "*.png"], ["."], {}),
    ([b"\xff.png", b"\xfe.png", b"\xff.jpg"], None, {}),
]


@pytest.mark.skipif(os.name == "nt", reason="names that only Unix allows")
@pytest.mark.parametrize(("files", "inputs", "options"), CASES)
def test_every_source_has_outputs_of_its_own(files, inputs, options, tmp_path, monkeypatch):
    base = tmp_path / "base"
    base.mkdir()
    monkeypatch.chdir(base)
    files = list(map(os.fsdecode, files))
    inputs = [text.format(cwd=base.name) for text in inputs] if inputs else files
    for file in files:
        picture(file)
    if len({os.stat(file).st_ino for file in files}) < len(files):
        pytest.skip("a disk that folds these names")
    before = contents(*files)

    written = run(inputs, **options)

    sources = {os.path.realpath(path) for path in written}
    assert sources == {os.path.realpath(file) for file in files}, "every file is a source, once"
    paths = [path for paths in written.values() for path in paths]
    assert len({fold(os.path.realpath(path)) for path in paths}) == len(paths), "no two outputs meet, on any disk"
    assert all(len(os.fsencode(part)) <= 255 for path in paths for part in path.split("/"))
    assert contents(*files) == before, "no input was replaced"
    assert all(os.path.isfile(path) for path in paths)
    shuffled = itertools.islice(itertools.permutations(inputs), 1, None, 5)
    for order in [None, *itertools.islice(shuffled, 4)]:
        again = run(order or inputs, **options)
        assert _by_file(again) == _by_file(written), "neither the order nor a first run changes a name"
    assert contents(*files) == before


def _by_file(written):
    return {os.path.realpath(path): set(map(os.path.realpath, paths)) for path, paths in written.items()}


@pytest.mark.parametrize(
    ("files", "outputs"),
    [
        (["a.png"], ["a_edge.png"]),
        (["a.png", "a.jpg"], ["a.png_edge.png", "a.jpg_edge.png"]),
        (["photo.v1.png", "photo.v2.png"], ["photo.v1_edge.png", "photo.v2_edge.png"]),
        (["a.png", "a.jpg", "A.png"], ["a.png_edge.png", "a.jpg_edge.png", "A.png~a43bc178517c_edge.png"]),
        (["a.png", "a.png.png"], ["a_edge.png", "a.png.png_edge.png"]),
        (["a.png", "a.txt"], ["a_edge.png"]),
        (["a.png", "a_edge.png"], ["a.png_edge.png", "a_edge_edge.png"]),
    ],
)
def test_names_beside_files_and_from_folders(files, outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in files:
        picture(file) if not file.endswith(".txt") else open(file, "w").close()
    files = [file for file in files if not file.endswith(".txt")]
    assert run(files) == {file: [output] for file, output in zip(files, outputs, strict=True)}
    for output in outputs:
        if output not in files:
            os.unlink(output)
    outputs = [output.replace("a.png_edge", "a_edge") if "a_edge.png" in files else output for output in outputs]
    assert run(["."], output="out") == {f"./{f}": [f"out/{o}"] for f, o in zip(files, outputs, strict=True)}


@pytest.mark.parametrize(
    ("inputs", "options", "outputs"),
    [
        (["p/a.png"], {}, {"p/a.png": "p/a_edge.png"}),
        (["p"], {}, {"p/a.png": "p_edge/a_edge.png"}),
        (["p/"], {}, {"p/a.png": "p_edge/a_edge.png"}),
        (["p//"], {"recursive": True}, {"p//a.png": "p_edge/a_edge.png", "p//s/b.png": "p_edge/s/b_edge.png"}),
        (["p/."], {}, {"p/./a.png": "p_edge/a_edge.png"}),
        (["p/s/.."], {}, {"p/s/../a.png": "p_edge/a_edge.png"}),
        (["p"], {"output": "out"}, {"p/a.png": "out/a_edge.png"}),
        (["p", "p/s/b.png"], {"output": "out"}, {"p/a.png": "out/p/a_edge.png", "p/s/b.png": "out/b_edge.png"}),
        (["p", "p/s"], {"output": "o"}, {"p/a.png": "o/p/a_edge.png", "p/s/b.png": "o/s/b_edge.png"}),
        (["p", "p/s"], {"recursive": True}, {"p/a.png": "p_edge/a_edge.png", "p/s/b.png": "p/s_edge/b_edge.png"}),
        (["p"], {"output": "sheet.png"}, {"p/a.png": "./a_edge.png"}),  # the caller puts the one output there
    ],
)
def test_where_outputs_go(inputs, options, outputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture("p/a.png")
    picture("p/s/b.png")
    assert run(inputs, **options) == {source: [path] for source, path in outputs.items()}


def test_the_folder_beside_a_folder(tmp_path, monkeypatch):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "photos" / "sub")
    assert beside(".", "edge") == os.path.join("..", "sub_edge")
    assert beside("..", "edge") == os.path.join("..", "..", "photos_edge")
    assert beside("../../photos/", "a/b") == "../../photos_a_b"
    with pytest.raises(UsageError, match="/ has no folder beside it; say with -o where its outputs go"):
        beside("/", "edge")


def test_an_output_with_a_suffix_is_a_file_unless_it_is_a_folder(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert is_file_name("x/edges.PNG") and is_file_name("values.npy")
    assert not is_file_name(str(tmp_path / "folder.png")) and not is_file_name("edges.jpg") and not is_file_name("-")


def test_standard_input_has_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [source] = find_sources(["-", "-"], is_picture=is_picture)
    assert isinstance(source, Source) and source.is_stream
    assert name_outputs(source, PARTS["one"], filter="edge") == ["stdin_edge.png"]
