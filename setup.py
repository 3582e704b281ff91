"""What the build adds to the package: the pages in docs/ and the sample picture, copied, and the manual pages, written.

All else is configured in pyproject.toml.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithBundledFiles(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # which reads them from the tree
            return
        sys.path.insert(0, str(ROOT))
        from convfilter.cli.bundled import PAGES, PICTURE
        from convfilter.cli.man import write_pages

        folder = Path(self.build_lib, "convfilter", "bundled")
        for path in (*sorted(Path(PAGES).glob("*.md")), Path(PICTURE)):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target)
        manual = Path(self.build_lib).parent / "man1"
        shutil.rmtree(manual, ignore_errors=True)
        manual.mkdir(parents=True)
        for name, text in write_pages().items():
            (manual / name).write_text(text, encoding="utf-8", newline="\n")
        pages = sorted(str(page) for page in manual.iterdir())
        self.distribution.data_files = [("share/man/man1", pages)]


setup(cmdclass={"build_py": BuildWithBundledFiles})
