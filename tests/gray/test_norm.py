import pytest

from convfilter.gray.norm import Norm
from convfilter.gray.scale import describe_scale


@pytest.mark.parametrize(
    ("norm", "needs_range"),
    [
        (Norm(), True),
        (Norm("abs"), True),
        (Norm("clip"), False),
        (Norm(vmin=1.0), True),
        (Norm(vmax=9.0), True),
        (Norm(vmin=1.0, vmax=9.0), False),
        (Norm("clip", vmin=1.0), False),
    ],
)
def test_a_channels_range_is_needed_unless_both_ends_are_known(norm, needs_range):
    assert norm.needs_range is needs_range
    assert (norm.scale(2.0, 3.0, 255) != norm.scale(0.0, 6.0, 255)) is needs_range
    about = describe_scale(norm, "channel", 255)
    assert ("each channel's" in about or "its maximum" in about) is needs_range


def test_black_and_white_are_two_values_where_a_channel_ends_at_vmin_or_vmax():
    assert (Norm(vmin=6.0).scale(-2.0, 6.0, 255).black, Norm(vmin=6.0).scale(-2.0, 6.0, 255).white) == (6.0, 7.0)
    assert (Norm(vmax=-2.0).scale(-2.0, 6.0, 255).black, Norm(vmax=-2.0).scale(-2.0, 6.0, 255).white) == (-3.0, -2.0)
