"""run_files: every source accounted for, in order, the same bytes however many workers, and a stop that holds."""

import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from convfilter import PipelineError, UsageError, run_files
from convfilter.run.budget import Budget
from convfilter.run.runner import AHEAD

GRAY = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def save(path, size=(20, 24), seed=0):
    """Save noise as a picture of this height and width, in a folder that is made if it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    Image.fromarray(GRAY[(rows * (seed + 1)) % 300, (columns + seed) % 300]).save(path)
    return path


def tree(folder="."):
    """Every file below a folder, with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def test_results_come_in_order_and_name_what_was_written():
    for i in range(30):
        save(f"in/{i:02}.png", (300, 300) if i % 7 == 0 else (20, 20), seed=i)
    Path("in/05x.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    Path("in/notes.txt").write_text("no picture")
    said = []
    results = list(run_files("tutorial", "in", jobs=4, passed_over=lambda path, reason: said.append(path)))
    assert [r.source for r in results] == sorted(f"in/{name}" for name in os.listdir("in") if name.endswith("png"))
    assert [r.source for r in results if r.status == "failed"] == ["in/05x.png"]
    assert [p for r in results for p in r.outputs] == sorted(f"in_tutorial/{name}" for name in tree("in_tutorial"))
    assert said == ["in/notes.txt"]
    first = results[0]
    assert (first.width, first.height, first.shape) == (300, 300, (2, 296, 296))
    assert len(first.ranges) == 2 and first.ranges[0][0] < first.ranges[0][1] and first.seconds > 0
    assert run_files("tutorial", "in").count() == 31


@pytest.mark.parametrize(
    ("pipeline", "options"),
    [
        ("edge", {}),
        ("Conv2d(1, 8, 5, padding='same') | ReLU | MaxPool2d(2) | Conv2d(8, 3, 3) | InstanceNorm2d(3)", {}),
        ("gaussian(31, sigma=5) | Softplus", {"bits": 16, "steps": True}),
        ("Conv2d(1, 8, 5) | Sigmoid | AvgPool2d(3)", {"exact": True, "format": "npy"}),
        ("Conv2d(1, 2, (1, 2), padding=2, bias=False) | AdaptiveAvgPool2d(3)", {"exact": True, "format": "npy"}),
        ("Sequential() | Mish | AdaptiveAvgPool2d(1)", {"steps": True, "format": "npy"}),
        ("compass", {"grid": True, "keep": True, "channels": (1, 4)}),
    ],
)
def test_the_bytes_do_not_depend_on_workers_nor_on_the_run(pipeline, options):
    for i in range(4):
        save(f"in/{i}.png", (1500, 700) if i == 2 else (40, 50), seed=i)
    for out, inputs, jobs in (("one", ["in"], 1), ("two", ["in"], 2), ("again", ["in"], 2)):
        assert all(r.status == "done" for r in run_files(pipeline, inputs, output=out, jobs=jobs, **options))
    for name in os.listdir("in"):  # a picture alone gets all workers for itself
        list(run_files(pipeline, f"in/{name}", output="alone", jobs=3, **options))
    assert tree("one") == tree("two") == tree("again") == tree("alone")
    assert len(tree("one")) >= 4


def test_a_folder_starts_at_once_and_is_never_held_in_memory():
    save("in/00000.png")
    for i in range(1, 5_000):
        os.link("in/00000.png", f"in/{i:05}.png")
    list(run_files("edge", "in/00000.png", output="warm"))
    start = time.perf_counter()
    run = run_files("edge", "in", output="out", jobs=2)
    assert next(run).outputs == ("out/00000_edge.png",)
    assert time.perf_counter() - start < 5  # the whole takes minutes
    run.stop()
    rest = list(run)
    assert run.stopped and 1 + len(rest) == len(os.listdir("out")) <= 2 * AHEAD + 10


def test_one_bad_picture_costs_only_itself():
    for name in ("a", "b", "c"):
        save(f"good/{name}.png", seed=ord(name))
    shutil.copytree("good", "mixed")
    for name, data in {
        "ab.png": Path("good/a.png").read_bytes()[:-30],
        "b.jpg": b"\xff\xd8\xff\xe0 nothing more",
        "empty.gif": b"GIF89a",
    }.items():
        Path("mixed", name).write_bytes(data)
    save("mixed/tiny.png", (2, 2))
    list(run_files("edge", "good", output="out/good"))
    results = {Path(r.source).name: r for r in run_files("edge", "mixed", output="out/mixed")}
    failed = {name: r.error for name, r in results.items() if r.status == "failed"}
    assert failed.keys() == {"ab.png", "b.jpg", "empty.gif", "tiny.png"}
    assert all(error and "\n" not in error for error in failed.values())
    names = {Path(path).name for r in results.values() for path in r.outputs}
    assert names == {"a_edge.png", "b.png_edge.png", "c_edge.png"}
    assert list(tree("out/mixed").values()) == list(tree("out/good").values())


def test_a_stop_lets_nothing_appear_and_leaves_no_temporary_file():
    for i in range(60):
        save(f"in/{i:02}.png", (300, 300), seed=i)
    run = run_files("Conv2d(1, 16, 9)", "in", output="out", jobs=2, format="npy")
    results = [next(run), next(run)]
    threading.Timer(0.05, run.stop).start()
    results += list(run)
    there = sorted(os.listdir("out"))
    assert sorted(Path(p).name for r in results for p in r.outputs) == there
    assert 32 <= len(there) < 960 and len(there) % 16 == 0
    time.sleep(0.3)
    assert sorted(os.listdir("out")) == there


def test_an_iteration_that_ends_early_stops_the_run():
    for i in range(200):
        save(f"in/{i:03}.png", (100, 100), seed=i)
    for result in run_files("edge", "in", output="out", jobs=2):
        assert result.status == "done"
        break
    there = os.listdir("out")
    time.sleep(0.3)
    assert os.listdir("out") == there and len(there) < 200 and not any(".tmp" in name for name in there)


def test_fail_fast_ends_at_the_first_failure():
    for i in range(300):
        save(f"in/{i:03}.png", seed=i)
    Path("in/003.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    results = list(run_files("edge", "in", output="out", jobs=2, fail_fast=True))
    assert [r.source for r in results if r.status == "failed"] == ["in/003.png"]
    assert [p for r in results for p in r.outputs] == sorted(f"out/{name}" for name in os.listdir("out"))
    assert len(results) < 200
    assert all(r.status == "done" for r in run_files("edge", "in/004.png", output="out", fail_fast=True))


def test_where_no_output_can_be_written_any_more_the_run_ends_at_once():
    for i in range(300):
        save(f"in/{i:03}.png", seed=i)
    run = run_files("edge", "in", output="out", jobs=1)
    Path("out").write_text("a file")
    results = list(run)
    assert 1 <= len(results) <= 3 and all(r.status == "failed" and r.error.startswith("out: is a") for r in results)


def test_skip_existing_redoes_what_is_missing_cut_or_older():
    for name in "abcde":
        save(f"in/{name}.png", seed=ord(name))
    assert len(list(run_files("tutorial", "in"))) == 5
    before = tree("in_tutorial")
    Path("in_tutorial/a_tutorial_1.png").unlink()
    Path("in_tutorial/b_tutorial_0.png").write_bytes(before["b_tutorial_0.png"][:-1])
    later = time.time() + 5
    os.utime("in/c.png", (later, later))
    Path("in_tutorial/d_tutorial_0.png").write_bytes(b"")
    results = list(run_files("tutorial", "in", skip_existing=True))
    assert [r.status for r in results] == ["done", "done", "done", "done", "skipped"]
    after = tree("in_tutorial")
    changed = {name for name in before if after[name] != before[name]}
    assert after.keys() == before.keys() and changed == {"c_tutorial_0.png", "c_tutorial_1.png"}  # their source's date
    assert results[4].outputs == ("in_tutorial/e_tutorial_0.png", "in_tutorial/e_tutorial_1.png")


def test_no_clobber_keeps_every_file():
    save("in/a.png")
    save("in/b.png", seed=1)
    Path("out").mkdir()
    Path("out/a_tutorial_1.png").write_text("mine")
    first, second = run_files("tutorial", "in", output="out", no_clobber=True)
    assert first.status == "failed" and "out/a_tutorial_1.png: exists" in first.error and second.status == "done"
    assert Path("out/a_tutorial_1.png").read_text() == "mine" and len(os.listdir("out")) == 3


@pytest.mark.parametrize(
    "options",
    [
        {}, {"steps": True}, {"grid": True, "keep": True}, {"channels": (1,)}, {"format": "npy"}, {"frames": "all"},
        {"name": "{filter}/{stem}.{channel:03}"}, {"output": "elsewhere"}, {"shard": "0/2"},
    ],
    ids=str,
)  # fmt: skip
def test_a_dry_run_says_what_a_run_writes(options):
    for name in ("a.png", "a.bmp", "sub/b.png"):
        save(f"in/{name}")
    frames = [Image.fromarray(GRAY[i : i + 20, :20]) for i in range(11)]
    frames[0].save("in/film.gif", save_all=True, append_images=frames[1:])
    before = tree()
    dry = [
        (r.source, r.outputs, r.width, r.height, r.shape)
        for r in run_files("tutorial | ReLU", "in", recursive=True, dry_run=True, **options)
    ]
    assert tree() == before
    wet = [
        (r.source, r.outputs, r.width, r.height, r.shape)
        for r in run_files("tutorial | ReLU", "in", recursive=True, **options)
    ]
    assert dry == wet and dry
    assert sorted(p for _, outputs, *_ in wet for p in outputs) == sorted(tree().keys() - before.keys())


def test_a_dry_run_tells_of_what_would_fail():
    save("a.png")
    save("b.png", (2, 2))
    save("a_edge.png", seed=1)
    results = list(run_files("edge", ["a.png", "b.png", "gone.png"], dry_run=True, no_clobber=True))
    assert ["exists" in results[0].error, results[1].status, results[2].error] == [
        True, "failed", "No such file or directory",
    ]  # fmt: skip


def test_a_dry_run_tells_of_a_frame_that_is_not_there():
    save("a.png")
    dry, wet = (list(run_files("edge", "a.png", frames=5, dry_run=dry)) for dry in (True, False))
    assert [r.error for r in dry] == [r.error for r in wet] and dry[
        0
    ].error == "has no frame 5: it holds 1, counted from 0"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": -1}, "--jobs"), ({"white": 0.0}, "--white"),
        ({"white": 1e39}, "--white"), ({"white": 1e-46}, "--white"),
        ({"norm": "max"}, "--norm"), ({"bits": 12}, "--bits"),
        ({"vmin": 2.0, "vmax": 1.0}, "--vmin"), ({"shard": "x"}, "--shard"), ({"channels": (2,)}, "--channels 2"),
        ({"keep": True}, "--keep"), ({"format": "npy", "grid": True}, "--grid"), ({"name": "{stem}"}, "{channel}"),
        ({"name": "{channel}"}, "{stem}"), ({"name": "x/../{stem}{channel}"}, "leaves"), ({"output": "-"}, "pictures"),
        ({"output": "o.png"}, "pictures"), ({"output": "o.jpg"}, "PNG"),
        ({"name": "{stem}{channel}", "steps": True}, "step"), ({"output": ""}, "-o is empty"),
    ],
    ids=str,
)  # fmt: skip
def test_what_makes_no_sense_is_refused_on_the_call(options, said):
    save("a.png")
    save("b.png")
    with pytest.raises(UsageError) as error:
        run_files("tutorial | ReLU", ["a.png", "b.png"], **options)
    assert said in str(error.value)
    assert sorted(os.listdir()) == ["a.png", "b.png"]


def test_single_outputs_and_what_does_not_fit_one():
    save("a.png")
    for options in ({"channels": (0,)}, {"grid": True}):
        (result,) = run_files("tutorial", "a.png", output="one.png", **options)
        assert result.outputs == ("one.png",)
    for options, what in (({}, "channels"), ({"channels": (0,), "frames": "all"}, "frames")):
        with pytest.raises(UsageError, match=f"several {what}"):
            run_files("tutorial", "a.png", output="one.png", **options)
    with pytest.raises(UsageError, match="several layers"):
        run_files("edge | ReLU", "a.png", output="one.png", steps=True)
    with pytest.raises(UsageError, match="is an input"):
        run_files("edge", "a.png", output="./a.png")
    with pytest.raises(PipelineError):
        run_files("edge |", "a.png")


def test_shards_are_exactly_the_whole_and_a_name_for_one_picture_is_refused():
    for i in range(40):
        save(f"in/{'ab'[i % 2]}/{i}.png", seed=i)
    whole = {r.source for r in run_files("edge", "in", recursive=True, output="whole")}
    shards = [list(run_files("edge", "in", recursive=True, output="out", shard=f"{i}/3")) for i in range(3)]
    assert sorted(r.source for shard in shards for r in shard) == sorted(whole) and len(whole) == 40 and all(shards)
    assert tree("whole") == tree("out")
    save("single/one.png")
    with pytest.raises(UsageError, match="stem"):  # each process would write to the same name
        run_files("edge", "single", name="edges", shard="0/2")


def test_frames_of_one_file_appear_together_or_not_at_all():
    frames = [Image.fromarray(GRAY[i : i + 20, :20]) for i in range(3)]
    frames[0].save("film.tif", save_all=True, append_images=frames[1:])
    (result,) = run_files("edge", "film.tif", frames="all")
    assert result.outputs == ("film_edge_0.png", "film_edge_1.png", "film_edge_2.png")
    Path("cut.tif").write_bytes(Path("film.tif").read_bytes()[:-100])
    (result,) = run_files("edge", "cut.tif", frames="all")
    assert result.status == "failed" and not any(name.startswith("cut_") for name in os.listdir())


def test_a_budget_is_shared_and_whoever_is_alone_never_waits():
    budget, most, under_way, lock = Budget(100), [], [0], threading.Lock()

    def take(need):
        with budget.share() as share:
            share.take(need)
            with lock:
                under_way[0] += need
                most.append(under_way[0])
            time.sleep(0.002)
            with lock:
                under_way[0] -= need

    threads = [threading.Thread(target=take, args=(need,)) for need in [30, 60, 20, 100, 5, 150] * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(most) == 48 and max(most) == 150 and max(n for n in most if n != 150) <= 100
    assert budget.used == 0


def test_a_share_that_is_taken_anew_gives_back_first_and_a_stop_wakes_all():
    budget = Budget(100)
    with budget.share() as first, budget.share() as second:
        first.take(80)
        first.take(90)
        assert budget.used == 90
        failed = threading.Event()

        def wait():
            with pytest.raises(Exception, match="stopped"):
                second.take(50)
            failed.set()

        threading.Thread(target=wait).start()
        assert not failed.wait(0.05)
        budget.stop()
        assert failed.wait(5)
