import pytest

from convfilter.files.patterns import Patterns

CASES = {  # a pattern, and of these paths those that it matches, as git does
    "*.jpg": ["a.jpg", "b/a.jpg", "b/c/a.jpg"],
    "/*.jpg": ["a.jpg"],
    "b/*.jpg": ["b/a.jpg"],
    "b/**/*.jpg": ["b/a.jpg", "b/c/a.jpg"],
    "**/c/*.jpg": ["b/c/a.jpg"],
    "b": ["b/a.jpg", "b/c/a.jpg", "b/c/.x.png"],
    "b/": ["b/a.jpg", "b/c/a.jpg", "b/c/.x.png"],
    "c/": ["b/c/a.jpg", "b/c/.x.png"],
    "/c/": [],
    "b/c": ["b/c/a.jpg", "b/c/.x.png"],
    "a.jpg/": [],
    "b/**": ["b/a.jpg", "b/c/a.jpg", "b/c/.x.png"],
    "[ab].j?g": ["a.jpg", "b/a.jpg", "b/c/a.jpg"],
    "[!a]*.png": ["b/c/.x.png", "[1].png", "x\ny.png", "\udcff.png"],
    "\\[1].png": ["[1].png"],
    "[[]1].png": ["[1].png"],
    "[1.png": [],
    "x?y.png": ["x\ny.png"],
    "?.png": ["\udcff.png"],
    "A.jpg": [],
    "{a,b}.jpg": [],
}
PATHS = ["a.jpg", "b/a.jpg", "b/c/a.jpg", "b/c/.x.png", "[1].png", "x\ny.png", "\udcff.png"]


@pytest.mark.parametrize("pattern", CASES)
def test_a_pattern_matches_what_git_matches(pattern):
    assert [path for path in PATHS if Patterns(include=(pattern,)).take(path)] == CASES[pattern]
    assert [path for path in PATHS if not Patterns(exclude=(pattern,)).take(path)] == CASES[pattern]


def test_what_is_excluded_is_not_included():
    wanted = Patterns(include=("*.jpg", "*.png"), exclude=("c/", "x*"))
    assert [path for path in PATHS if wanted.take(path)] == ["a.jpg", "b/a.jpg", "[1].png", "\udcff.png"]
    assert [wanted.enter(path) for path in ("b", "b/c", "xs", "b/xs")] == [True, False, False, False]
    assert Patterns(include=("*.jpg",)).enter("b"), "what it holds may be wanted"
