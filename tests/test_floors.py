"""A module imports only from those that stand before it here, inside its functions too."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "convfilter"

FLOORS = {  # floor: what it may use besides the standard library, and its modules from the ground up
    "words": (
        set(),
        """errors grammar matrices checks kernels effects convolutions pooling resizing activations layers texts presets
        arguments meaning pipeline fields explain literals norm noise settings results levels code lessons""",
    ),
    "pictures": (
        {"PIL", "numpy", "zlib_ng"},
        """formats deflate containers gray pillow tiff images png sheet
        streams names places finished folders sources shards temporary outputs parts in_order memory""",
    ),
    "tensors": (
        {"PIL", "numpy", "torch"},
        """cores network fourier fast stretches strips route tiles develop
        grids pixel_views pixel_points pixel_pools pixel_sums pixels report_values report_plan""",
    ),
    "face": (
        {"PIL", "numpy", "torch", "click", "jinja2", "markupsafe"},
        """report report_file work run progress together batch scripts tables answers listing options cli __main__""",
    ),
}
ORDER = [module for _, modules in FLOORS.values() for module in modules.split()]


def imports(module: str) -> set[str]:
    """The modules that one imports, ours as .name."""
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names}
                if node.module == "convfilter"
                else {node.module}
            )
    ours = {name for name in found if name.startswith("convfilter.")} - {"convfilter.__version__"}
    return {name.removeprefix("convfilter") for name in ours} | {
        name.split(".")[0] for name in found if name.split(".")[0] not in sys.stdlib_module_names | {"convfilter"}
    }


def test_every_module_has_its_place():
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert modules == set(ORDER) and len(ORDER) == len(set(ORDER)), "give a new module its place in FLOORS"


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_uses_only_what_it_may(floor):
    allowed, modules = FLOORS[floor]
    for module in modules.split():
        others = {name for name in imports(module) if not name.startswith(".")}
        assert others <= allowed, f"{module} stands among the {floor}, and imports {others - allowed}"


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_from_those_before_it(module):
    before = set(ORDER[: ORDER.index(module)])
    late = {name[1:] for name in imports(module) if name.startswith(".")} - before
    assert not late, f"{module} imports {late}, which stand after it"


def test_the_package_itself_imports_nothing():
    assert imports("__init__") == set()
