"""Pictures behind URLs give the same outputs, results and exit status as on a disk; against a real S3 server."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from dask_cluster import DaskCluster
from PIL import Image
from processes import wait_for
from store_server import BUCKET, StoreServer

from convfilter import UsageError, run_files
from convfilter.remote.store import Stores

ODD = [
    "a b",
    "\u00e9",
    "e\u0301",
    "naïve #1",
    "what?",
    "100%",
    "%41",
    "x&y=z+1",
    "日本",
    "IMG_1",
    "semi;colon'",
    "tab\there",
]

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def picture(seed: int, kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 14), np.uint8)).save(file, kind)
    return file.getvalue()


def make_files() -> dict[str, bytes]:
    """300 pictures in sub-folders, names of all sorts, and 20 broken ones among them; and what is none."""
    files = {}
    for i in range(280):
        folder = ("", "one/", "one/of two/", "100%/#?/", "日本/")[i % 5]
        odd = ODD[i // 5] if i // 5 < len(ODD) else f"photo {i}"
        files[f"{folder}{odd}.png"] = picture(i)
    for i in range(20):
        whole = picture(1000 + i, "jpeg" if i % 2 else "png")
        broken = (whole[: len(whole) // 2], b"", whole.replace(b"IDAT", b"IDAX"), whole[:3])[i % 4]
        files[f"one/broken {i}.{'jpg' if i % 2 else 'png'}"] = broken
    rivals = {"a.png": 1, "a.bmp": 2, "A.png": 3, "b/a.png": 4, "a.v1.png": 5, "no suffix": 6, "b.tiff/inside.png": 7}
    files |= {f"rivals/{name}": picture(seed) for name, seed in rivals.items()}
    others = ("notes.txt", "rivals/.hidden.png", ".cache/a.png", "rivals/a.png~", "empty/nothing.csv")
    return (
        files
        | dict.fromkeys(others, b"nothing to see")
        | {
            "one/page.jpg": b"<html>no picture</html>",
            "one/empty": b"",
        }
    )


@pytest.fixture(scope="module")
def server():
    server = StoreServer()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        fs = fsspec.filesystem("s3")
        fs.mkdir(BUCKET)
        yield server
        fs.clear_instance_cache()
    server.close()


@pytest.fixture(scope="module")
def files():
    return make_files()


@pytest.fixture(scope="module")
def disk(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("disk")
    for name, data in files.items():
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "photos" / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def bucket(server, files):
    fs = fsspec.filesystem("s3")
    fs.pipe({f"{BUCKET}/photos/{name}": data for name, data in files.items()})
    server.tell()
    return fs


def read_all(fs, folder: str) -> dict[str, bytes]:
    fs.invalidate_cache()
    prefix = f"{BUCKET}/{folder}/"
    return {path.removeprefix(prefix): data for path, data in fs.cat(fs.find(f"{BUCKET}/{folder}")).items()}


def read_disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def results(output: bytes) -> list[dict]:
    """The JSON of a run, without what differs between any two."""
    lines = [json.loads(line) for line in output.splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def without_source(png: bytes) -> bytes:
    """A PNG without the text that says which version of its source it was made of, which holds a date on a disk."""
    cut, start = png[:8], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if b"convfilter:source" not in png[start : start + 40]:
            cut += png[start:end]
        start = end
    return cut


def test_the_same_as_from_disk_while_one_request_of_20_fails(bucket, server, disk, program):
    options = ("edge", "-r", "--json", "--no-metadata", "-j", "2")
    here = program.run(*options, "photos", cwd=disk)
    expected = read_disk(disk / "photos_edge")
    server.tell(every=20)
    there = program.run(*options, "s3://bucket/photos", cwd=disk, env=server.environment)
    counts = server.tell(every=0)
    assert counts["errors"] > 20
    assert counts["PUT"] < 350 and counts["GET"] < 2.4 * 310  # two and one a picture, and those that were tried again
    assert there.returncode == here.returncode == 1
    assert results(there.stdout.replace(b"s3://bucket/", b"")) == results(here.stdout)
    assert len(results(here.stdout)) == 309 and sum(r.get("status") == "failed" for r in results(here.stdout)) == 21
    assert there.stderr.replace(b"s3://bucket/", b"").splitlines()[:-1] == here.stderr.splitlines()[:-1]
    assert read_all(bucket, "photos_edge") == expected


def test_interrupted_and_resumed(bucket, server, disk, program, tmp_path):
    options = ("edge", "-r", "-j", "2", "-o")
    whole = program.run(*options, tmp_path / "here", "photos/one", cwd=disk)
    expected = {name: without_source(data) for name, data in read_disk(tmp_path / "here").items()}
    with (tmp_path / "out").open("wb") as out:
        child = program.start(*options, "s3://bucket/out", "s3://bucket/photos/one/", cwd=tmp_path,
                              stdout=out, env=server.environment)  # fmt: skip
        while (tmp_path / "out").read_bytes().count(b"\n") < 30:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
    made = read_all(bucket, "out")
    assert 30 <= len(made) < len(expected)
    assert all(without_source(data) == expected[name] for name, data in made.items())
    resumed = program.run(*options, "s3://bucket/out", "--json", "--skip-existing", "s3://bucket/photos/one/",
                          cwd=tmp_path, env=server.environment)  # fmt: skip
    assert resumed.returncode == whole.returncode == 1
    found = read_all(bucket, "out")
    assert {name: without_source(data) for name, data in found.items()} == expected
    assert made.items() <= found.items()  # byte for byte: what was done stayed
    assert results(resumed.stdout)[-1]["counts"]["skipped"] == len(made)


def test_a_changed_source_is_made_again(bucket):
    bucket.pipe_file(f"{BUCKET}/changing/a.png", picture(1))
    where = {"output": "s3://bucket/changed", "skip_existing": True}
    assert [one.status for one in run_files("edge", "s3://bucket/changing", **where)] == ["done"]
    assert [one.status for one in run_files("edge", "s3://bucket/changing/", **where)] == ["skipped"]
    assert [one.status for one in run_files("edge", "s3://bucket/changing/a.png", **where)] == ["skipped"]
    bucket.pipe_file(f"{BUCKET}/changing/a.png", picture(2))
    (result,) = run_files("edge", "s3://bucket/changing", **where)
    assert result.status == "done" and "its source has changed" in result.details[0]


def test_of_two_runs_that_keep_what_is_there_one_writes(bucket):
    bucket.pipe_file(f"{BUCKET}/kept/a.png", picture(1))
    where = {"output": "s3://bucket/kept/out/", "no_clobber": True}
    (first,) = run_files("tutorial", "s3://bucket/kept/a.png", **where)
    assert first.status == "done" and len(first.outputs) == 2
    (second,) = run_files("tutorial", "s3://bucket/kept/a.png", **where)
    assert (second.status, second.kind) == ("failed", "exists") and "--no-clobber keeps it" in second.error
    place = Stores().connect("s3://bucket/kept/out/a_tutorial_1.png")
    place.store.put(place.path, bucket.cat_file(place.path), create=True)  # the same: an answer of ours was lost
    with pytest.raises(FileExistsError):
        place.store.put(place.path, b"another's", create=True)


def test_a_cluster_fetches_and_puts_by_itself(bucket, server, disk, tmp_path):
    options = ("edge", "-r", "--json", "--no-metadata", "-v")
    command = [sys.executable, "-m", "convfilter", *options]
    here = subprocess.run([*command, "photos/rivals", "-o", tmp_path / "here"], cwd=disk, env=ENVIRONMENT,
                          capture_output=True)  # fmt: skip
    there = subprocess.run([*command, "s3://bucket/photos/rivals", "-o", "s3://bucket/there", "--cluster", "local:2"],
                           cwd=disk, env={**ENVIRONMENT, **server.environment}, capture_output=True)  # fmt: skip
    assert there.returncode == here.returncode == 0, there.stderr.decode()
    plain = there.stdout.replace(b"s3://bucket/there/", os.fsencode(tmp_path / "here") + b"/")
    assert results(plain.replace(b"s3://bucket/", b"")) == results(here.stdout)
    assert read_all(bucket, "there") == read_disk(tmp_path / "here") and len(results(here.stdout)) == 10


def test_the_same_from_a_cluster_though_a_worker_is_killed(bucket, server, program, tmp_path):
    options = ("edge", "-r", "--json", "--no-clobber", "s3://bucket/photos/one/", "-o")
    plain = program.run(*options, "s3://bucket/plain", cwd=tmp_path, env=server.environment)
    with (tmp_path / "told").open("wb") as out, (tmp_path / "said").open("wb") as err:
        child = program.start(*options, "s3://bucket/plain2", "--cluster", "local:2", cwd=tmp_path,
                              stdout=out, stderr=err, env=server.environment)  # fmt: skip
        while (tmp_path / "told").read_bytes().count(b"\n") < 20:
            time.sleep(0.01)
        [worker, _] = [
            int(number)
            for task in Path(f"/proc/{child.pid}/task").iterdir()
            for number in (task / "children").read_text().split()
        ]
        os.kill(worker, signal.SIGKILL)
        assert child.wait() == plain.returncode == 1
    assert results((tmp_path / "told").read_bytes().replace(b"plain2", b"plain")) == results(plain.stdout)
    assert (tmp_path / "said").read_bytes().splitlines()[:-1] == plain.stderr.splitlines()[:-1]
    assert read_all(bucket, "plain2") == read_all(bucket, "plain")


def test_what_dask_does_once_more_is_not_taken_for_what_others_have_put(bucket, server, program, tmp_path):
    cluster = DaskCluster(tmp_path, server.environment)
    try:
        with (tmp_path / "told").open("wb") as told:
            child = program.start("edge", "-r", "s3://bucket/photos/one/", "-o", "s3://bucket/again", "--no-clobber",
                                  "--json", "--cluster", cluster.address, cwd=tmp_path, env=server.environment,
                                  stdout=told)  # fmt: skip
        wait_for(lambda: (tmp_path / "told").read_bytes().count(b"\n") > 20)
        child.send_signal(signal.SIGSTOP)
        wait_for(lambda: not cluster.is_busy())
        holder = cluster.find_holder()
        os.kill(holder, signal.SIGSTOP)
        child.send_signal(signal.SIGCONT)
        time.sleep(0.3)  # the program is now about to fetch the results of a worker that does not answer
        os.kill(holder, signal.SIGKILL)  # they are lost, and Dask has them computed again
        assert child.wait() == 1
    finally:
        cluster.close()
    counts = results((tmp_path / "told").read_bytes())[-1]["counts"]
    assert counts == {"done": 112, "skipped": 0, "failed": 21, "outputs": 112}


def test_what_one_process_holds_is_nothing_for_a_cluster():
    with pytest.raises(UsageError, match="memory:// holds what one process has"):
        run_files("edge", "memory://photos/a.png", cluster="local:2")
