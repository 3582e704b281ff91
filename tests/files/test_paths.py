import pytest

from convfilter.files.paths import split_name


@pytest.mark.parametrize(
    ("name", "stem", "ext"),
    [
        ("a.png", "a", "png"),
        ("photo.v1.png", "photo.v1", "png"),
        ("a", "a", ""),
        ("a.", "a.", ""),
        (".png", ".png", ""),
        ("..png", "..png", ""),
        (".a.png", ".a", "png"),
        ("scan of 3. May", "scan of 3. May", ""),
        ("a.b_png", "a.b_png", ""),
        ("a.\udcff", "a.\udcff", ""),
    ],
)
def test_stem_and_extension(name, stem, ext):
    assert split_name(name) == (stem, ext)
