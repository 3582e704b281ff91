from convfilter.files.labels import Listing


def test_rivals_are_found_in_a_long_listing():
    listing = Listing(f"{i:05}.png" for i in range(100_000))
    assert list(listing.rivals("00042")) == [("00042.png", "00042")]
    assert list(listing.rivals("00042.PNG")) == [("00042.png", "00042.png")]
    assert not list(listing.rivals("0004"))
