import os

import pytest

os.environ["CONVFILTER_WARM"] = "0"  # a developer's own warm process has nothing to do with the tests


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite", action="store_true", help="write the golden files anew, from what the program says now"
    )
    parser.addoption("--soak", action="store_true", help="run the tests that take minutes, too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--soak"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; runs only with --soak"))


@pytest.fixture
def golden(request):
    """Compare a text with a golden file, or write that file anew where --rewrite says so."""

    def compare(path, text: str) -> None:
        if request.config.getoption("--rewrite"):
            path.write_text(text, encoding="utf-8", newline="\n")
        assert text == path.read_text(encoding="utf-8"), f"run pytest --rewrite if {os.path.relpath(path)} is to change"

    return compare


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Of torch in the tests' own process: for pictures this small, threads spend their time waiting for each other."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def program():
    """The program's starter: ``program.run("edge", "photos", cwd=folder)`` is a real process, started in no time."""
    from processes import ForkServer

    server = ForkServer()
    yield server
    server.close()
