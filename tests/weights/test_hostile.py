"""Files made to harm are refused at once, in little memory, with one line, and nothing of them is run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import Evil, make_files

SERVER = """
import json, os, resource, sys, tempfile, time
import convfilter.cli.main, convfilter.weights.file
for name in sys.argv[1:]:
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        child = os.fork()
        if not child:
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
            sys.argv = ["convfilter", "weights", name]
            from convfilter.__main__ import main
            main()
            os._exit(0)
        _, status, used = os.wait4(child, 0)
        said.seek(0)
        print(json.dumps([name, os.waitstatus_to_exitcode(status), time.monotonic() - start, used.ru_maxrss >> 10,
                          said.read().decode()]))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the program says of each file, with what should be said: each in a process of its own, of 1 GB at most."""
    folder = tmp_path_factory.mktemp("hostile")
    expected = make_files(folder)
    before = sorted(os.listdir(folder))
    done = subprocess.run(
        [sys.executable, "-c", SERVER, *expected], cwd=folder, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(folder)) == before, "a file has made something run or be written"
    answers = {name: answer for name, *answer in map(json.loads, done.stdout.splitlines())}
    return {name: (*answers[name], words) for name, words in expected.items()}


def test_each_is_refused_with_exit_status_2_and_a_line_that_names_it(answers):
    assert len(answers) > 100
    for name, (status, _, _, said, words) in answers.items():
        assert status == 2, (name, status, said)
        assert said.startswith(f"convfilter: {name}: ") and words in said, (name, said)
        assert "Traceback" not in said
        recipe = said.count("\n") > 1
        assert recipe == bool(re.search(r": needs [\w.]+, and nothing", said)), said


def test_each_is_refused_in_five_seconds_and_a_gigabyte(answers):
    slow = {name: seconds for name, (_, seconds, _, _, _) in answers.items() if seconds > 5}
    large = {name: megabytes for name, (_, _, megabytes, _, _) in answers.items() if megabytes > 500}
    assert not slow and not large


def test_the_pickles_would_run_code_where_they_are_loaded(tmp_path, monkeypatch):
    import pickle

    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil(), 2))
    assert Path("RAN").exists()
