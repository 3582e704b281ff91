"""Files that come with the program: the pages in docs/ and a sample picture; they stand once, in the source tree.

The build (setup.py) copies them into the package under the same names; without an installation they are read from the
tree.
"""

from pathlib import Path

import convfilter

PICTURE = "sample_images/camera.png"
PAGES = "docs"
NO_TOPICS = ("architecture", "commands", "from-other-tools", "gallery")  # for contributors, or wide tables and pictures

_PACKAGE = Path(convfilter.__file__).parent
_COPIES = _PACKAGE / "bundled"


def find_bundled(name: str) -> Path:
    """Return the path of a file or folder that comes with the program, such as ``docs``.

    >>> find_bundled(PICTURE).stat().st_size
    139512
    """
    return (_COPIES if _COPIES.is_dir() else _PACKAGE.parent) / name


def find_topics() -> dict[str, Path]:
    """Return the pages that ``convfilter help`` shows, by their names.

    >>> find_topics()["language"].name
    'language.md'
    """
    pages = sorted(find_bundled(PAGES).glob("*.md"))
    return {page.stem: page for page in pages if page.stem not in NO_TOPICS}
