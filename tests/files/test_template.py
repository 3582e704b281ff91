import os
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convfilter.errors import UsageError
from convfilter.files.labels import Listing, choose_labels
from convfilter.files.paths import fold, split_name
from convfilter.files.template import LONGEST, Part, check_template, name_outputs


def source(name, folder="", labels=None):
    stem, ext = split_name(name)
    return SimpleNamespace(folder=folder, labels=labels or (stem, name), identity=name, ext=ext)


def names(parts, name="a.png", filter="edge", **options):
    return name_outputs(source(name), parts, filter=filter, **options)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([Part()], ["a_edge.png"]),
        ([Part(0, 2), Part(1, 2)], ["a_edge_0.png", "a_edge_1.png"]),
        ([Part(9, 10), Part(9, 11), Part(9, 101)], ["a_edge_9.png", "a_edge_09.png", "a_edge_009.png"]),
        ([Part(frame=4, frames=12)], ["a_edge_04.png"]),
        ([Part(1, 8, frame=4, frames=12)], ["a_edge_04_1.png"]),
        (
            [Part(1, 8, step="01-Conv2d"), Part(step="02-Magnitude")],
            ["a_edge_01-Conv2d_1.png", "a_edge_02-Magnitude.png"],
        ),
        ([Part("grid", 8), Part(0, 8)], ["a_edge_grid.png", "a_edge_0.png"]),
        ([Part("grid"), Part()], ["a_edge_grid.png", "a_edge.png"]),
        ([Part("grid", frame=1, frames=2)], ["a_edge_1_grid.png"]),
    ],
)
def test_names_without_a_template(parts, expected):
    assert names(parts) == expected


@pytest.mark.parametrize(
    ("template", "part", "expected"),
    [
        ("{stem}", Part(), "a.png"),
        ("{stem}.png", Part(), "a.png"),
        ("{filter}-{stem}.{ext}", Part(), "edge-a.JPG.png"),
        ("{stem}_{channel}", Part(3, 12), "a_03.png"),
        ("{stem}_{channel:03}", Part(3, 12), "a_003.png"),
        ("{stem}_{channel:1d}", Part(3, 12), "a_03.png"),
        ("{stem}_{channel}", Part("grid", 12), "a_grid.png"),
        ("{stem}_{frame:04}", Part(frame=7, frames=9), "a_0007.png"),
        ("{step}/{stem}", Part(step="01-ReLU"), os.path.join("01-ReLU", "a.png")),
        ("{{{stem}}}", Part(), "{a}.png"),
        ("%d $(x) {stem}\n", Part(), "%d $(x) a\n.png"),
    ],
)
def test_names_from_a_template(template, part, expected):
    assert names([part], "a.JPG", template=template) == [os.path.normpath(expected)]


@pytest.mark.parametrize(
    ("template", "several", "message"),
    [
        ("{stam}", "", "--name: there is no field {stam}; did you mean stem?"),
        ("{x}", "", "--name: there is no field {x}; there are {stem}, {filter}, {channel}, {ext}, {frame}, {step}"),
        ("{}", "", "--name: there is no field {}; there are"),
        ("{0}", "", "--name: there is no field {0}"),
        ("{stem.__class__}", "", "--name: there is no field {stem.__class__}"),
        ("{stem[0]}", "", "--name: there is no field {stem[0]}"),
        ("{stem!r}", "", "--name: {stem} takes only a width, such as {channel:03}"),
        ("{stem:>9}", "", "--name: {stem} takes only a width"),
        ("{channel:{stem}}", "", "--name: {channel} takes only a width"),
        ("{channel:999999999}", "", "--name: {channel} takes only a width"),
        ("{stem", "", "--name: '{stem': expected '}' before end of string; a brace itself is written {{ or }}"),
        ("stem}", "", "--name: 'stem}': Single '}' encountered"),
        ("", "", "--name: expected a name, such as {stem}_{filter}"),
        ("x", "sources", "--name: 'x' needs {stem}: there are several inputs, and each would be written over the one"),
        ("{stem}", "channels", "--name: '{stem}' needs {channel}: there are several channels"),
        ("{stem}_{channel}", "channels frames", "needs {frame}: there are several frames"),
        ("{stem}_{channel}", "channels steps", "needs {step}: there are several layers"),
        ("{stem}_{step}", "", "--name: {step} has a value only with --steps"),
        ("/tmp/{stem}", "", "leaves the output's folder; say the folder with -o"),
        ("../{stem}", "", "leaves the output's folder"),
        ("{stem}/../../x", "", "leaves the output's folder"),
        ("a//{stem}", "", "has an empty name in it"),
        ("{stem}/", "", "has an empty name in it"),
        ("{stem}\0", "", "expected a name"),
        ("{stem}" + "/x" * 2500, "", "makes a path of more than 1000 bytes"),
        ("{stem}{frame}", "frames", "put something between {stem} and {frame}, such as {stem}_{frame}"),
        ("{frame}0{stem}", "frames", "put something between"),
        ("{stem}{ext}", "", "put something between {stem} and {ext}"),
    ],
)
def test_templates_that_are_refused(template, several, message):
    with pytest.raises(UsageError) as caught:
        check_template(
            template,
            several_sources="sources" in several,
            several_channels="channels" in several,
            frames="frames" in several,
            steps="steps" in several,
            several_layers="steps" in several,
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{stem}_{channel}",
        "{channel}{stem}",
        "{filter}/{stem}/{channel:02}",
        "{stem}.{ext}_{channel}",
        "..{stem}{channel}",
    ],
)
def test_templates_that_are_taken(template):
    check_template(template, several_sources=True, several_channels=True)


def test_one_input_needs_no_field():
    check_template("x", several_sources=False, several_channels=False)


def test_two_parts_with_one_name_are_refused():
    with pytest.raises(UsageError, match="gives two outputs of one picture the same name"):
        names([Part(0, 2), Part(1, 2)], template="{stem}")


def test_no_input_is_replaced():
    photo = source("a.png", "x", labels=("a", "a.png", "a.png~0"))
    inputs = {os.path.join("x", "a.png")}
    assert name_outputs(photo, [Part()], filter="edge", template="{stem}", is_input=inputs.__contains__) == [
        os.path.join("x", "a.png.png")
    ]
    with pytest.raises(UsageError, match=r"is an input and would be replaced; choose another --name or folder with -o"):
        name_outputs(photo, [Part()], filter="edge", is_input=lambda path: True)


def test_long_names_are_cut_alike_and_stay_apart():
    parts = [Part(i, 12, step=step) for step in ("1-Conv2d", "2-AdaptiveMaxPool2d") for i in (0, 11)]
    seen = set()
    for name in ("é" * 120 + ".png", "é" * 121 + ".png", "é" * 124 + ".png", "a" + "é" * 123 + ".png"):
        made = names(parts, name)
        assert all(len(os.fsencode(path)) <= LONGEST for path in made)
        assert made == sorted(made) and made[0].endswith("_edge_1-Conv2d_00.png")
        assert len({path.split("~")[1][:12] for path in made}) == 1, "one source, one label"
        seen.update(made)
    assert len(seen) == 4 * len(parts)


def test_a_long_filter_or_template_is_cut_too():
    [one, two] = names([Part(0, 2), Part(1, 2)], filter="x" * 400)
    assert one != two and len(one) <= LONGEST and one.endswith(".png")
    [path] = names([Part()], template="y" * 300 + "/" + "z" * 300 + "{stem}")
    assert [len(part) for part in path.split(os.sep)] == [LONGEST, LONGEST]


@pytest.mark.parametrize(
    "name", ["new\nline.png", "-rf.png", "{0}.png", "%d.png", "$(x).png", "\udcff\udcfe.png", " .png"]
)
def test_any_name_is_taken_literally(name):
    assert names([Part()], name) == [name.removesuffix(".png") + "_edge.png"]
    assert os.fsencode(names([Part()], name)[0])


def test_a_filter_with_a_slash_makes_no_folder():
    assert names([Part()], filter="a/b\\c") == ["a_edge.png".replace("edge", "a_b_c")]


letters = st.text(st.sampled_from("aA0_1~.gridpn é"), min_size=1, max_size=6).filter(lambda name: name.strip("."))
shapes = st.sampled_from(
    [
        None,
        "{stem}_{channel}",
        "{channel}{stem}",
        "{stem}{channel}",
        "{stem}-{frame}_{channel}",
        "{frame}_{channel}.{stem}",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(letters, min_size=2, max_size=8, unique=True), shapes, st.data())
def test_no_two_files_of_a_folder_share_a_name(files, template, data):
    listing = Listing(files)
    assert sorted(listing.names) == sorted(files)
    made = []
    for name in files:
        frames = data.draw(st.integers(1, 12)) if "{frame}" in (template or "{frame}") else 1
        parts = [Part(c, 2, f, frames) for c in range(2) for f in range(frames)] + [Part("grid", 2)] * (not template)
        labels = choose_labels(
            [split_name(name)[0], name],
            name,
            lambda label, name=name: [
                (theirs, theirs == split_name(other)[0]) for other, theirs in listing.rivals(label) if other != name
            ],
        )
        for label in labels:  # any of them may be taken, where an earlier one would replace an input
            made.append(
                {fold(n) for n in name_outputs(source(name, labels=(label,)), parts, filter="f", template=template)}
            )
        made[-len(labels) :] = [set().union(*made[-len(labels) :])]
    assert len(set().union(*made)) == sum(map(len, made))


def test_one_sheet_of_all_layers_needs_no_step_but_may_say_it():
    check_template("{stem}", several_sources=True, several_channels=False, steps=True)
    check_template("{stem}_{step}", several_sources=True, several_channels=False, steps=True)
