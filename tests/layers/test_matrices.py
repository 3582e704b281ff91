import pytest

from convfilter.layers.matrices import parse_rows


@pytest.mark.parametrize(
    "text, rows",
    [
        ("1", ((1,),)),
        ("0 1 0\n1 -4 1\n0 1 0\n", ((0, 1, 0), (1, -4, 1), (0, 1, 0))),
        ("1,2\t3\r\n4 , 5 ,6\r\n", ((1, 2, 3), (4, 5, 6))),
        ("1 2\r3 4", ((1, 2), (3, 4))),
        ("\ufeff# by hand\n\n  1 2  # a row\n\t\n3 4\n\n", ((1, 2), (3, 4))),
        ("1/4 -1/8\n+.5 2.", ((0.25, -0.125), (0.5, 2))),
        ("1e-3 -2E+2 1.5e0", ((0.001, -200, 1.5),)),
    ],
)
def test_parse_rows(text, rows):
    assert parse_rows(text) == rows
    assert {type(value) for row in parse_rows(text) for value in row} == {float}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: no numbers in it; write one row of the kernel a line, such as 0 -1 0"),
        ("\n# nothing\n  \n", "line 1: no numbers in it"),
        ("1 2\n\n3", "line 3: 1 in this row and 2 in line 1; every row needs as many numbers"),
        ("# a\n1 2\n3 4 5", "line 3: 3 in this row and 2 in line 2"),
        ("1 x", "line 1: 'x' is not a number; write numbers such as 3, -0.5, 1e-3 or 1/9"),
        ("1 2\n3 nan", "line 2: 'nan' is not a number"),
        ("inf", "line 1: 'inf' is not a number"),
        ("1_000", "line 1: '1_000' is not a number"),
        ("٣", "line 1: '٣' is not a number"),
        ("0x10", "line 1: '0x10' is not a number"),
        ("1 / 9", "line 1: '/' is not a number"),
        ("1/", "line 1: '1/' is not a number"),
        ("1/2/3", "line 1: '1/2/3' is not a number"),
        ("[1, 2]", "line 1: '[1' is not a number"),
        ("1,,2", "line 1: a number is missing beside a comma"),
        ("1, 2,", "line 1: a number is missing beside a comma"),
        ("1\x00", r"line 1: '1\x00' is not a number"),
        ("\x1b[31m", r"line 1: '\x1b[31m' is not a number"),
        ("1/0", "line 1: '1/0' is no number that a 32-bit float holds; 3.4e38 is the largest"),
        ("1e39", "line 1: '1e39' is no number that a 32-bit float holds"),
        ("1e999", "line 1: '1e999' is no number"),
        ("1e999/1e999", "line 1: '1e999/1e999' is no number"),
        ("1\n" * 1000, "line 1000: the kernel is larger than 999x999"),
        ("1 " * 1000, "line 1: the kernel is larger than 999x999"),
        ("z" * 1_000_000, "line 1: 'zzzzzzzzzzzz...zzzzzzzzzzzzz' is not a number"),
    ],
    ids=lambda text: repr(text)[:30],
)
def test_parse_rows_names_the_line(text, message):
    with pytest.raises(ValueError) as caught:
        parse_rows(text)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 150
