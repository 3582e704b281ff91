import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from convfilter.errors import OutputError
from convfilter.files.temporary import NAME
from convfilter.files.transaction import OutputWriter

unix = pytest.mark.skipif(os.name == "nt", reason="signals, links and permissions as Unix has them")


def write(outputs, contents):
    """Write a transaction: {path: bytes}."""
    with outputs.transaction() as files:
        for path, data in contents.items():
            with files.open(str(path)) as file:
                file.write(data)
        files.commit()


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_files_appear_together_and_whole(tmp_path):
    names = [str(tmp_path / "new" / "sub" / name) for name in ("a.png", "b.png", "c.npy")]
    with OutputWriter().transaction() as files:
        for name in names:
            with files.open(name) as file:
                file.writelines([b"x" * 10, memoryview(b"y" * 100_000)])
        folder = tmp_path / "new" / "sub"
        assert all(NAME.fullmatch(name) for name in os.listdir(folder)) and len(os.listdir(folder)) == 3
        files.commit()
        assert read(folder) == dict.fromkeys(["a.png", "b.png", "c.npy"], b"x" * 10 + b"y" * 100_000)
    assert len(os.listdir(folder)) == 3


def test_without_a_commit_nothing_appears(tmp_path):
    with contextlib.suppress(KeyboardInterrupt), OutputWriter().transaction() as files:
        files.open(str(tmp_path / "a.png")).write(b"x")
        files.open(str(tmp_path / "b.png")).write(b"x")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_transaction_may_be_written_again(tmp_path):
    outputs = OutputWriter()
    write(outputs, {tmp_path / "a.png": b"old", tmp_path / "b.png": b"old"})
    write(outputs, {tmp_path / "a.png": b"new", tmp_path / "b.png": b"new"})
    assert read(tmp_path) == {"a.png": b"new", "b.png": b"new"}


def test_an_empty_transaction(tmp_path):
    write(OutputWriter(), {})


@unix
def test_files_have_the_rights_that_the_umask_leaves(tmp_path):
    before = os.umask(0o027)
    try:
        write(OutputWriter(), {tmp_path / "a.png": b"x"})
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "a.png").st_mode & 0o777 == 0o640


@unix
def test_a_link_is_replaced_and_what_it_leads_to_is_not(tmp_path):
    (tmp_path / "precious.png").write_bytes(b"precious")
    (tmp_path / "a.png").symlink_to("precious.png")
    write(OutputWriter(), {tmp_path / "a.png": b"new"})
    assert read(tmp_path) == {"a.png": b"new", "precious.png": b"precious"}


@unix
def test_many_channels_need_few_open_files(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 60
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, hard))
    try:
        write(OutputWriter(), {tmp_path / f"{i}.png": b"x" for i in range(256)})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(read(tmp_path)) == 256


@unix
@pytest.mark.parametrize("failing", [0, 1, 2])
@pytest.mark.parametrize("earlier", [(), (0, 1, 2), (1,)])
def test_all_or_none_where_a_rename_fails(failing, earlier, tmp_path):
    paths = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    for i in earlier:
        paths[i].write_bytes(b"earlier")
    with OutputWriter().transaction() as files:
        for path in paths:
            files.open(str(path)).write(b"new")
        paths[failing].unlink(missing_ok=True)
        paths[failing].mkdir()  # as another program might, meanwhile
        before = read(tmp_path).items() - {(name, b"new") for name in os.listdir(tmp_path)}
        with pytest.raises(OutputError) as caught:
            files.commit()
    assert str(caught.value) == f"{paths[failing]}: cannot be written: it is a folder" and not caught.value.fatal
    assert read(tmp_path).items() == before - {item for item in before if NAME.fullmatch(item[0])}
    assert not any(NAME.fullmatch(name) for name in os.listdir(tmp_path))


def test_no_clobber_keeps_what_is_there(tmp_path):
    outputs = OutputWriter(no_clobber=True)
    write(outputs, {tmp_path / "a.png": b"first"})
    with pytest.raises(OutputError) as caught:
        write(outputs, {tmp_path / "0.png": b"second", tmp_path / "a.png": b"second"})
    assert str(caught.value) == f"{tmp_path / 'a.png'}: exists, and --no-clobber keeps it" and not caught.value.fatal
    assert read(tmp_path) == {"a.png": b"first"}


@pytest.mark.parametrize("links", [True, False])
def test_no_clobber_keeps_what_another_run_made_meanwhile(links, tmp_path, monkeypatch):
    if not links:

        def refuse(*args, **kwargs):
            raise PermissionError(1, "Operation not permitted")  # what FAT says

        monkeypatch.setattr(os, "link", refuse)
    with OutputWriter(no_clobber=True).transaction() as one, OutputWriter(no_clobber=True).transaction() as two:
        for files, data in ((one, b"one"), (two, b"two")):
            files.open(str(tmp_path / "a.png")).write(data)
            files.open(str(tmp_path / "b.png")).write(data)
        one.commit()
        with pytest.raises(OutputError, match="exists, and --no-clobber keeps it"):
            two.commit()
    assert read(tmp_path) == {"a.png": b"one", "b.png": b"one"}


def test_without_hard_links_files_are_still_replaced(tmp_path, monkeypatch):
    write(OutputWriter(), {tmp_path / "a.png": b"old", tmp_path / "b.png": b"old"})
    monkeypatch.setattr(os, "link", lambda *args, **kwargs: os.rmdir(__file__ + "/none"))  # ENOTDIR is another matter
    with pytest.raises(OutputError):
        write(OutputWriter(), {tmp_path / "a.png": b"new", tmp_path / "b.png": b"new"})
    assert read(tmp_path) == {"a.png": b"old", "b.png": b"old"}

    def refuse(*args, **kwargs):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write(OutputWriter(), {tmp_path / "a.png": b"new", tmp_path / "b.png": b"new"})
    assert read(tmp_path) == {"a.png": b"new", "b.png": b"new"}


def test_after_stop_nothing_appears_and_nothing_is_left(tmp_path):
    outputs = OutputWriter()
    write(outputs, {tmp_path / "done.png": b"done"})
    with outputs.transaction() as written, outputs.transaction() as writing:
        written.open(str(tmp_path / "a.png")).write(b"x")
        file = writing.open(str(tmp_path / "b.png"))
        file.write(b"x")
        outputs.stop()
        assert os.listdir(tmp_path) == ["done.png"]
        for act in (written.commit, lambda: file.write(b"y" * 10**6), lambda: writing.open(str(tmp_path / "c.png"))):
            with pytest.raises(OutputError, match="the run was stopped") as caught:
                act()
            assert caught.value.fatal
    assert os.listdir(tmp_path) == ["done.png"]


def test_stop_in_the_midst_of_many_threads(tmp_path):
    outputs, appeared, started = OutputWriter(), [], threading.Event()

    def work(number):
        for i in range(10_000):
            names = [f"{number}-{i}-{channel}.png" for channel in range(3)]
            try:
                write(outputs, {tmp_path / name: b"x" * 5000 for name in names})
            except OutputError as error:
                assert error.fatal
                return
            appeared.extend(names)
            started.set()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    started.wait(10)
    time.sleep(0.1)
    outputs.stop()
    at_stop = sorted(os.listdir(tmp_path))
    for thread in threads:
        thread.join(10)
    assert at_stop == sorted(os.listdir(tmp_path)) == sorted(appeared)


@unix
@pytest.mark.parametrize(
    ("prepare", "path", "message", "fatal"),
    [
        ("mkdir out; touch out/sub", "out/sub/a.png", "out/sub: is a file, and outputs need a folder", False),
        ("touch out", "out/a.png", "out: is a file, and outputs need a folder", True),
        ("touch out", "out/sub/a.png", "out: is a file, and outputs need a folder", True),
        ("ln -s none out", "out/a.png", "out: is a link to nothing, and outputs need a folder", True),
        ("mkdir -p out/a.png", "out/a.png", "out/a.png: cannot be written: it is a folder", False),
        (
            "mkdir out",
            f"out/{'x' * 300}.png",
            f"out/{'x' * 300}.png: cannot be written: its name is too long for",
            False,
        ),
        ("mkdir out", "out/new\nline.png/", r"out/new\nline.png/: cannot be", False),
    ],
)
def test_what_cannot_be_written_is_told_in_one_line(prepare, path, message, fatal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(prepare, shell=True, check=True)
    with pytest.raises(OutputError) as caught:
        write(OutputWriter(folder="out"), {path: b"x"})
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert caught.value.fatal is fatal
    assert not any(NAME.fullmatch(name) for _, _, names in os.walk(".") for name in names)


@unix
@pytest.mark.parametrize(("folder", "fatal"), [(None, False), ("out", True), ("out/", True), ("elsewhere", True)])
def test_a_folder_that_vanishes(folder, fatal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = OutputWriter(folder=folder)
    with outputs.transaction() as files:
        files.open("out/a.png").write(b"x")
        for name in os.listdir("out"):
            os.unlink(f"out/{name}")
        os.rmdir("out")
        with pytest.raises(OutputError) as caught:
            files.commit()
    assert str(caught.value) == "out/a.png: cannot be written: its folder is gone" and caught.value.fatal is fatal
    with pytest.raises(OutputError, match=r"out/b\.png: cannot be written: its folder is gone"):
        write(outputs, {"out/b.png": b"x"})


@unix
def test_a_folder_that_may_not_be_written_to(tmp_path):
    code = """if True:
        import os
        from convfilter.files.transaction import OutputWriter, OutputError
        os.getuid() or os.setuid(65534)
        for folder in (None, "out"):
            try:
                OutputWriter(folder=folder).transaction().open("out/a.png")
            except OutputError as error:
                print(error, error.fatal)
    """
    (tmp_path / "out").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    message = "out/a.png: cannot be written: permission denied"
    assert done.stdout.splitlines() == [f"{message} False", f"{message} True"], done.stderr


@unix
def test_a_file_larger_than_allowed(tmp_path):
    code = """if True:
        import resource
        from convfilter.files.transaction import OutputWriter, OutputError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            with OutputWriter().transaction() as files:
                files.open("a.png").write(bytes(200_000))
                files.commit()
        except OutputError as error:
            print(error, error.fatal)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "a.png: cannot be written: larger than a file may be here False\n", done.stderr
    assert os.listdir(tmp_path) == []


def test_making_a_folder_that_is_there_is_no_error(tmp_path):
    OutputWriter().prepare_folder(str(tmp_path / "a" / "b"))
    OutputWriter().prepare_folder(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


WRITER = """if True:
    import sys
    from convfilter.files.transaction import OutputWriter
    outputs = OutputWriter()
    print("started", flush=True)
    for round in range(10**9):
        with outputs.transaction() as files:
            for channel in range(3):
                with files.open(f"out/{round % 7}_{channel}.png") as file:
                    for _ in range(20):
                        file.write(b"%09d" % round * 1000)
            files.commit()
"""


@unix
@pytest.mark.parametrize("times", [8, pytest.param(200, marks=pytest.mark.soak)])
def test_a_killed_run_leaves_whole_files_and_the_next_one_clears_up(times, tmp_path):
    left = 0
    for _ in range(times):
        with subprocess.Popen([sys.executable, "-c", WRITER], cwd=tmp_path, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(random.uniform(0, 0.05))
            child.send_signal(signal.SIGKILL)
        for name, data in read(tmp_path / "out").items() if (tmp_path / "out").exists() else ():
            if NAME.fullmatch(name):
                left += 1
            elif name != "next.png":
                assert data == data[:9] * 20_000, "whole, and of one round"
        write(OutputWriter(), {tmp_path / "out" / "next.png": b"next"})
        assert not [name for name in os.listdir(tmp_path / "out") if NAME.fullmatch(name)]
    assert left, "no run was killed while it wrote: the test shows nothing"


RACER = """if True:
    import sys
    from convfilter.files.transaction import OutputWriter, OutputError
    outputs, won = OutputWriter(no_clobber=True), 0
    sys.stdin.readline()
    for i in range(150):
        try:
            with outputs.transaction() as files:
                for channel in range(2):
                    files.open(f"out/{i}_{channel}.png").write(sys.argv[1].encode())
                files.commit()
            won += 1
        except OutputError as error:
            assert "--no-clobber" in str(error), error
    print(won)
"""


def test_of_two_runs_that_keep_files_one_wins_each(tmp_path):
    children = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, name], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("one", "two")
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    won = [int(child.communicate()[0]) for child in children]
    assert sum(won) == 150
    files = read(tmp_path / "out")
    assert len(files) == 300 and list(files.values()).count(b"one") == 2 * won[0]
    assert all(files[f"{i}_0.png"] == files[f"{i}_1.png"] for i in range(150))


def test_two_runs_in_one_folder_leave_each_other_alone(tmp_path):
    code = WRITER.replace("range(10**9)", "range(120)").replace("{round % 7}", "{sys.argv[1]}{round}")
    children = [subprocess.Popen([sys.executable, "-c", code, name], cwd=tmp_path) for name in "ab"]
    while any(child.poll() is None for child in children):
        OutputWriter().prepare_folder(str(tmp_path / "out"))  # a third run that starts, again and again
    assert [child.returncode for child in children] == [0, 0]
    files = read(tmp_path / "out")
    assert len(files) == 720 and all(data == data[:9] * 20_000 for data in files.values())


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a file system of so many bytes, where the machine allows mounting one."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size):
        subprocess.run(["umount", folder], capture_output=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
        if done.returncode:
            pytest.skip("a small disk cannot be mounted here")
        return folder

    if sys.platform != "linux":
        pytest.skip("a small disk cannot be mounted here")
    yield mount
    subprocess.run(["umount", folder], capture_output=True)


def test_a_full_disk_loses_nothing(small_disk):
    for pages in range(4, 24):
        folder = small_disk(pages * 4096)
        outputs, number = OutputWriter(folder=str(folder)), 0
        old = {folder / f"old_{i}.png": b"old" * 500 for i in range(2)}
        write(outputs, old)
        with pytest.raises(OutputError) as caught:
            for number in range(100):
                write(outputs, {folder / f"{number}_{i}.png": b"%02d" % number * 3000 for i in range(2)})
        assert "cannot be written: the disk is full" in str(caught.value) and caught.value.fatal
        with pytest.raises(OutputError):
            write(outputs, dict.fromkeys(old, b"new" * 9000))
        expected = {f"{n}_{i}.png": b"%02d" % n * 3000 for n in range(number) for i in range(2)}
        assert read(folder) == expected | {path.name: data for path, data in old.items()}


def test_a_read_only_disk(small_disk):
    folder = small_disk(100_000)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written: the file system is read-only") as caught:
        write(OutputWriter(folder=str(folder)), {folder / "a.png": b"x"})
    assert caught.value.fatal
    with pytest.raises(OutputError, match="new: cannot be made: the file system is read-only") as caught:
        write(OutputWriter(folder=str(folder)), {folder / "new" / "a.png": b"x"})
    assert caught.value.fatal


def test_a_disk_that_only_some_outputs_go_to_costs_those_alone(small_disk, tmp_path):
    folder = small_disk(100_000)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    for root in (None, str(tmp_path)):  # outputs beside their inputs; another disk below the one folder
        for path in (folder / "a.png", folder / "new" / "a.png"):
            with pytest.raises(OutputError, match="the file system is read-only") as caught:
                write(OutputWriter(folder=root), {path: b"x"})
            assert not caught.value.fatal


@unix
def test_folders_are_made_however_deep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    deep = "/".join(["d"] * 1100)
    write(OutputWriter(folder="d"), {f"{deep}/a.png": b"x"})
    assert os.path.isfile(f"{deep}/a.png")
    with pytest.raises(OutputError, match="cannot be made: its name is too long"):
        write(OutputWriter(folder="d"), {"/".join(["d"] * 2500): b"x"})
    subprocess.run(["rm", "-r", "d"], check=True)
