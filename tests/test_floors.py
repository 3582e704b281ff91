"""A package imports only from those that stand below it, inside functions too; see the packages' docstrings."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "convfilter"

BELOW = {  # package: those that it may import besides itself
    "": "errors in_order numbers streams",  # the modules that lie in no package; each may import the others
    "weights": "",
    "layers": "",
    "language": "weights layers",
    "gray": "weights layers language",
    "images": "",
    "figures": "images",
    "files": "images",
    "remote": "images files",
    "engine": "weights layers language gray images",
    "explain": "weights layers language gray images engine",
    "run": "weights layers language gray images figures files remote engine explain",
    "export": "weights layers language gray images figures files remote engine explain run",
    "report": "weights layers language gray images figures files remote engine explain run",
    "notebook": "weights layers language gray images figures files remote engine explain run",
    "fit": "weights layers language gray images figures files remote engine explain run",
    "warm": "",
    "cli": "weights layers language gray images figures files remote engine explain run export report fit warm",
}
LIBRARIES = {  # package: what it may import besides the standard library
    "weights": {"numpy"},
    "gray": {"numpy"},
    "images": {"PIL", "numpy", "zlib_ng"},
    "figures": {"PIL", "numpy"},
    "files": {"PIL", "numpy"},
    "remote": {"aiohttp", "fsspec"},
    "engine": {"PIL", "numpy", "torch"},
    "explain": {"PIL", "numpy", "torch"},
    "run": {"PIL", "numpy", "torch", "dask", "distributed"},
    "export": {"PIL", "numpy", "torch", "safetensors", "onnxscript"},
    "report": {"PIL", "numpy", "torch", "jinja2", "markupsafe"},
    "notebook": {"PIL", "numpy", "torch"},
    "fit": {"PIL", "numpy", "torch", "safetensors"},
    "cli": {"PIL", "numpy", "torch", "click", "tqdm"},
}
FACE = {"convfilter", "convfilter.__version__"}  # for the version
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def imports(path: str) -> set[str]:
    """The modules that one imports, with their packages."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FACE_OF_TYPES = {name for name in imports("__init__.py") if name.startswith("convfilter.")}


def package_of(name: str) -> str:
    """The first package of a module of ours, and "" for those that lie in none."""
    first = name.split(".")[1]
    return first if (PACKAGE / first / "__init__.py").is_file() else ""


def test_what_the_package_offers_is_imported_for_type_checkers_alone():
    code = "import sys, convfilter; sys.exit(any(name.startswith('convfilter.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    import convfilter

    assert {name.rpartition(".")[2] for name in FACE_OF_TYPES} == set(convfilter.__all__)
    assert all(getattr(convfilter, name).__name__ == name for name in convfilter.__all__)


def test_every_package_has_its_place():
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages == set(BELOW) - {""}, "say in BELOW what a new package may import"
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} == set(BELOW[""].split())


def test_no_two_packages_stand_below_each_other():
    for package, below in BELOW.items():
        assert all(package not in BELOW[other].split() for other in below.split() if other in BELOW)


@pytest.mark.parametrize("module", [module for module in MODULES if module not in ("__main__.py", "__init__.py")])
def test_a_module_imports_only_what_its_package_may(module):
    package = module.partition("/")[0] if "/" in module else ""
    for name in imports(module):
        library = name.split(".")[0]
        if library == "convfilter" and name not in FACE:
            assert package_of(name) in {"", package, *BELOW[package].split()}, f"{module} imports {name}"
        elif name not in FACE:
            allowed = LIBRARIES.get(package, set())
            assert library in sys.stdlib_module_names | allowed, f"{module} imports {library}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.endswith("__init__.py")])
def test_a_package_says_what_it_knows_and_loads_nothing(module):
    assert ast.get_docstring(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
    loads = imports(module) - (FACE_OF_TYPES if module == "__init__.py" else set())
    assert not {name for name in loads if name.split(".")[0] not in sys.stdlib_module_names}
