import pytest

from convfilter import parse
from convfilter.engine.memory import tiled_peak_bytes
from convfilter.errors import InputError
from convfilter.images.reader import Header
from convfilter.run.budget import check_size, predict
from convfilter.run.figure import predict_sheet
from convfilter.run.options import Options


@pytest.mark.parametrize("text", ["edge", "tutorial | ReLU", "MaxPool2d(2)"])
def test_a_picture_is_taken_that_needs_what_is_allowed_and_no_byte_more(text):
    pipeline, options, header = parse(text), Options(), Header(3000, 2000, 1, "PNG", "L")
    need = predict(pipeline, options, header)
    assert check_size(pipeline, options, header, need) == need
    with pytest.raises(InputError, match=r"it needs about .* of memory \(3000x2000\), and .* are allowed"):
        check_size(pipeline, options, header, need - 1)


def test_pixels_are_counted_before_and_behind_each_layer():
    header, limit = Header(30, 20, 1, "PNG", "L"), 1 << 40
    assert check_size(parse("edge"), Options(max_pixels=600), header, limit)
    with pytest.raises(InputError, match="it has 600 pixels"):
        check_size(parse("edge"), Options(max_pixels=599), header, limit)
    assert check_size(parse("Upsample(scale_factor=2)"), Options(max_pixels=2400), header, limit)
    with pytest.raises(InputError, match="Upsample makes 2,400 pixels of it"):
        check_size(parse("Upsample(scale_factor=2)"), Options(max_pixels=2399), header, limit)


def test_the_weights_and_the_contact_sheet_are_counted():
    header, shape = Header(300, 200, 1, "PNG", "L"), (1, 200, 300)
    few, many = (parse(f"Conv2d(1, {count}, 31) | ReLU") for count in (1, 8))
    more = 4 * (many.layers[0].effect.parameters - few.layers[0].effect.parameters)
    without = [tiled_peak_bytes(pipeline, shape) for pipeline in (few, many)]
    assert predict(many, Options(), header) - predict(few, Options(), header) == without[1] - without[0] + more
    single = predict(few, Options(format="npy"), header)  # as floats, like a sheet's channels
    assert predict(few, Options(grid=True), header) - single == predict_sheet(few, shape, Options(grid=True)) > 5e5
