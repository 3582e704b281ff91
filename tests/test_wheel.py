"""What is built from the tree is whole: wheel and source archive, in an environment with nothing but what it needs."""

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from convfilter.cli.main import cli
from convfilter.cli.man import write_pages

TREE = Path(__file__).parents[1]
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis"
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the environment is made of links")


def build(folder: Path, what: str, target: Path) -> Path:
    """Build a "wheel" or an "sdist" of a tree, with the installed setuptools, and return its path."""
    code = f"import sys; from setuptools import build_meta; build_meta.build_{what}(sys.argv[1])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(target)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    [built] = target.glob("*.whl" if what == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with tree/, out/ (the wheel and the source archive of the tree) and again/ (the wheel of that)."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(TREE, folder / "tree", ignore=LEFT_OUT)
    for name in ("out", "again", "unpacked"):
        (folder / name).mkdir()
    archive = build(folder / "tree", "sdist", folder / "out")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    [unpacked] = (folder / "unpacked").iterdir()
    build(unpacked, "wheel", folder / "again")
    build(folder / "tree", "wheel", folder / "out")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The files in the one wheel of a folder."""
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def test_the_wheel_of_the_source_archive_is_that_of_the_tree(built):
    assert contents(built / "again") == contents(built / "out")


def test_the_wheel_holds_every_file_of_the_package_and_no_more(built):
    held = contents(built / "out")
    paths = [path for path in (TREE / "convfilter").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = {path.relative_to(TREE).as_posix() for path in paths}
    pages = {f"convfilter/bundled/docs/{page.name}" for page in (TREE / "docs").glob("*.md")}
    wanted = {*files, *pages, "convfilter/bundled/sample_images/camera.png"}
    assert {name for name in held if name.startswith("convfilter/")} == wanted
    manual = {name.rpartition("/")[2]: data.decode() for name, data in held.items() if "/share/man/man1/" in name}
    assert manual == write_pages()


def test_the_metadata_is_complete(built):
    [name] = [name for name in contents(built / "out") if name.endswith(".dist-info/METADATA")]
    found = Parser().parsestr(contents(built / "out")[name].decode())
    for key in ("Name", "Version", "Summary", "Keywords", "License-Expression", "Requires-Python", "License-File"):
        assert found[key], key
    assert len(found.get_all("Classifier")) > 8 and found["Description-Content-Type"] == "text/markdown"
    assert "# convfilter" in found.get_payload()
    assert {Path(one).name for one in found.get_all("License-File")} == {"LICENSE", "LICENSE-waifu2x.md"}


def runtime(requirements: list[str]) -> set[str]:
    """The names of the distributions that these need, with all that they need in turn."""
    found: set[str] = set()
    waiting = [(Requirement(text), frozenset([""])) for text in requirements]
    while waiting:
        need, extras = waiting.pop()
        if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        if need.name.lower() not in found:
            found.add(need.name.lower())
            inner = importlib.metadata.requires(need.name) or []
            waiting += [(Requirement(text), frozenset(["", *need.extras])) for text in inner]
    return found


@pytest.fixture(scope="module")
def environment(built):
    """An environment of its own, with the wheel, and with what it needs at runtime as links."""
    home = built / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    [wheel] = (built / "out").glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", str(home), "install", "-q", "--no-deps", "--no-index", wheel]
    subprocess.run([*map(str, install), "--disable-pip-version-check"], check=True)
    [packages] = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as file:
        [name] = [name for name in file.namelist() if name.endswith(".dist-info/METADATA")]
        needs = Parser().parsestr(file.read(name).decode()).get_all("Requires-Dist")
    (packages / "__pycache__").mkdir(exist_ok=True)  # as pip leaves it: a later one would look like an installation
    for name in runtime(needs):
        for path in importlib.metadata.files(name) or ():
            first = path.parts[0]
            source = Path(path.locate()).parents[len(path.parts) - 1] / first
            if first not in ("..", "__pycache__") and not (packages / first).exists():
                (packages / first).symlink_to(source)
    return home


def test_every_command_works_where_only_the_wheel_and_its_dependencies_are(environment, tmp_path):
    program, python = environment / "bin" / "convfilter", environment / "bin" / "python"
    for module in ("pytest", "scipy", "cv2", "hypothesis"):
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, cwd=tmp_path)
        assert done.returncode == 1, f"{module} is visible, so this proves little"
    lines = {
        "demo": "demo",
        "run": "run 'edge | ReLU | MaxPool2d(4)' camera.png --grid --steps",
        "explain": "explain tutorial --image camera.png --pixel 100,50",
        "report": "report edge camera.png",
        "compare": "compare 'MaxPool2d(8)' 'AvgPool2d(8)' camera.png -o compared.html",
        "fit": "fit 'Conv2d(1, 1, 3)' camera.png camera_blur.png -o learned.safetensors --steps 3 -q",
        "export": "export tutorial -o tutorial.safetensors",
        "presets": "presets",
        "kernels": "kernels sobel_x",
        "layers": "layers Conv2d",
        "weights": "weights tutorial.safetensors",
        "info": "info camera_edge.png",
        "help": "help language",
        "warm": "warm status",
    }
    assert set(lines) == set(cli.commands), "a new command is tried here too"
    before = ["demo", "blur camera.png", "edge camera.png", "denoise --until 1 --channels 0 camera.png"]
    script = "".join(f"convfilter {line} || echo FAILED {shlex.quote(line)}\n" for line in [*before, *lines.values()])
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CONVFILTER"))}
    done = subprocess.run(
        [program, "warm", "run", "--", "sh", "-c", script],
        cwd=tmp_path, env={**bare, "PATH": path}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert "FAILED" not in done.stdout and done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and re.search(r"^compared\.html$", done.stdout, re.MULTILINE)
    assert (tmp_path / "camera.png").read_bytes() == (TREE / "sample_images" / "camera.png").read_bytes()
    assert (environment / "share" / "man" / "man1" / "convfilter-run.1").is_file()
