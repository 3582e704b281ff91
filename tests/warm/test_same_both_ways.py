"""A call that the warm process does and one that does all itself: the same exit status, words and files."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from processes import PROGRAM

SOAK = pytest.mark.soak
CALLS = {
    "edge": "$C edge a.png",
    "several": "$C tutorial a.png sub sub/b.png -o out",
    "tall name": "$C edge -v --json 'sub/ä \x1b.png' -o out/",
    "16 bits": "$C run 'Conv2d(1, 4, 3) | ReLU' a.png --bits 16 --seed 3 --jobs 2 -q",
    "sheet": "$C tutorial --grid --keep a.png",
    "numbers": "$C blur --sigma 2 a.png -o b.npy",
    "exact": "$C sobel --exact a.png sub/b.png -j1",
    "explain": "$C explain tutorial --image a.png --pixel 5,6",
    "table": "$C explain 'edge | MaxPool2d(2)'",
    "page": "$C report edge a.png -o -",
    "texts": "$C edge a.png -q && $C info a_edge.png a.png",
    "standard input": "$C edge - -o out.png < a.png",
    "standard output": "$C edge a.png -o -",
    "broken": "$C edge a.png broken.png sub/b.png --fail-fast",
    "missing": "$C edge missing.png missing/ -o out",
}
QUICK = {  # those that need no torch
    "help": "$C --help",
    "version": "$C --version",
    "no arguments": "$C",
    "usage": "$C edge --nonsense a.png",
    "pipeline": "$C run 'edge | Relu' a.png",
    "kernel": "$C kernels 'gaussian(3)'",
}
AROUND = {  # {} is the call
    "plain": "{}",
    "closed input": "({}) <&-",
    "closed output": "({}) >&-",
    "closed error": "({}) 2>&-",
    "all closed": "({}) <&- >&- 2>&-",
    "full output": "({}) > /dev/full",
    "full error": "({}) 2> /dev/full",
    "reader gone": "set -o pipefail; ({}) | true",
    "umask": "umask 077; {}",
    "no HOME": "unset HOME; {}",
    "no environment": "for name in $(compgen -e | grep -v -e WARM -e PYTHON -e '^C$'); do unset $name; done; {}",
    "small files": "ulimit -f 1; {}",
    "few files": "ulimit -n 40; {}",
    "nice": "renice -n 7 $$ > /dev/null; {}",
    "ignored": "trap '' INT HUP; {}",
    "elsewhere": "cd sub; ln -s ../a.png ../broken.png ..; {}",
}
ODD = [  # ${C} are calls that the warm process leaves to themselves
    "umask 027; mkdir new; $C edge <(cat a.png) -o new/deep/x.png; stat -c %a new/deep new/deep/x.png; $C edge - <&-",
    "exec 7> kept; $C edge - -o /dev/fd/7 < a.png; set -o pipefail; cat kept | cksum; $C edge a.png -o - | true",
    "$C --help > /dev/full; echo $?; $C edge a.png >&-; echo $?; $C edge x.png 2> /dev/full; echo $?; $C info 2>&-",
    "mkdir x; cd x; rmdir ../x; ${C} info a.png; cd /; unset HOME; $C presets | cksum; nice -n 5 $C layers ELU",
    "PYTHONIOENCODING=latin-1 $C kernels | cksum; COLUMNS=50 $C explain 'edge | ReLU'; $C explain 'edge | Relu'",
    *(
        pytest.param(line, marks=SOAK)
        for line in (
            "$C edge /dev/fd/8 -o o.png 8< a.png; cat a.png | $C edge - -o - | cksum",
            "ulimit -f 1; $C run '@none.txt' big.png; $C edge a.png big.png",
            "$C edge a.png > /dev/full; echo $?; $C edge a.png 2>&-; echo $?; OMP_NUM_THREADS=1 ${C} edge a.png",
            "ulimit -v 900000; ${C} edge a.png; ulimit -s 4096; ${C} kernels",
        )
    ),
]


@pytest.fixture
def pictures(tmp_path):
    """A folder with some pictures, and what is none."""
    folder = tmp_path / "kept"
    noise = np.random.default_rng(0).integers(0, 256, (90, 600), np.uint8)
    (folder / "sub").mkdir(parents=True)
    for name, width in (("a.png", 64), ("sub/b.png", 50), ("sub/ä \x1b.png", 33), ("big.png", 600)):
        Image.fromarray(noise[:, :width]).save(folder / name)
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:900])
    return folder


def outcome(line: str, pictures: Path, warm: str) -> tuple:
    """The exit status, what was printed, and every file with its mode, after a line of bash."""
    folder = pictures.with_name("folder")
    shutil.copytree(pictures, folder)
    environment = {**os.environ, "CONVFILTER_WARM": warm, "C": " ".join(PROGRAM)}
    done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, env=environment, timeout=60)
    files = {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }
    shutil.rmtree(folder)
    told, said = (re.sub(rb'(\d+\.\d s)|("seconds": [\d.]+)', b"SECONDS", text) for text in (done.stdout, done.stderr))
    if b"stopped early" in said:  # how far several workers came before that is not the same in any two runs
        said, files = b"stopped early", {}
    return done.returncode, told, said, files


@pytest.mark.parametrize("line", ODD)
def test_odd_calls(line, pictures, program):
    before = program.count()
    assert outcome(line, pictures, program.path) == outcome(line, pictures, "0")
    assert program.count() - before == line.count("$C")  # it was the warm process that did them


@SOAK
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("call", [*CALLS, *QUICK])
def test_every_call_in_every_circumstance(call, around, pictures, program):
    line = AROUND[around].replace("{}", {**CALLS, **QUICK}[call])
    before = program.count()
    assert outcome(line, pictures, program.path) == outcome(line, pictures, "0")
    assert program.count() > before or around == "no environment"  # without LANG Python's options are others
