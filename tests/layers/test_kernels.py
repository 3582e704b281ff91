import inspect
import math

import numpy as np
import pytest
from scipy import ndimage

from convfilter.layers.kernels import KERNELS
from convfilter.layers.matrices import flip, is_bank

SIZED = ("edge", "gaussian", "log", "motion", "gabor")
COMPASS = {
    "E": (1, 0),
    "NE": (1, -1),
    "N": (0, -1),
    "NW": (-1, -1),
    "W": (-1, 0),
    "SW": (-1, 1),
    "S": (0, 1),
    "SE": (1, 1),
}


def array(name, *args, **options):
    return np.array(KERNELS[name](*args, **options))


def apply(kernel, picture):
    """What Conv2d does: cross-correlation, without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, np.shape(kernel))
    return np.einsum("hwij,ij->hw", windows, np.asarray(kernel))


def ramp(across, down, size=25):
    y, x = np.mgrid[:size, :size].astype(float)
    return across * x + down * y


def test_every_kernel_of_the_design_is_there():
    names = """identity edge box gaussian binomial3 binomial5 sharpen sharpen8 unsharp sobel_x sobel_y
        prewitt_x prewitt_y scharr_x scharr_y freichen_x freichen_y roberts_a roberts_b laplace4 laplace8 outline
        log dog emboss motion line_h line_v line_45 line_135 kirsch robinson prewitt_compass gabor"""
    assert sorted(KERNELS) == sorted(names.split())


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_plain_floats_and_has_one_describing_sentence(name):
    kernel = KERNELS[name]()
    for matrix in kernel if is_bank(kernel) else (kernel,):
        assert type(matrix) is tuple and {type(row) for row in matrix} == {tuple}
        assert {type(value) for row in matrix for value in row} == {float}
        assert {len(row) for row in matrix} == {len(matrix[0])}
    first, *rest = KERNELS[name].__doc__.splitlines()
    assert first.endswith(".") and len(first) < 110 and "`" not in first
    assert not rest or not rest[0].strip()
    assert KERNELS[name].__name__ == name


@pytest.mark.parametrize(
    "name, rows",
    [
        ("identity", [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
        ("sharpen", [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
        ("sharpen8", [[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]),
        ("sobel_x", [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        ("sobel_y", [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
        ("prewitt_x", [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
        ("prewitt_y", [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
        ("scharr_x", [[-3, 0, 3], [-10, 0, 10], [-3, 0, 3]]),
        ("scharr_y", [[-3, -10, -3], [0, 0, 0], [3, 10, 3]]),
        ("freichen_x", [[-1, 0, 1], [-math.sqrt(2), 0, math.sqrt(2)], [-1, 0, 1]]),
        ("freichen_y", [[-1, -math.sqrt(2), -1], [0, 0, 0], [1, math.sqrt(2), 1]]),
        ("roberts_a", [[1, 0], [0, -1]]),
        ("roberts_b", [[0, 1], [-1, 0]]),
        ("laplace4", [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        ("laplace8", [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
        ("outline", [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]),
        ("emboss", [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
        ("line_h", [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]),
        ("line_v", [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]]),
        ("line_45", [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]]),
        ("line_135", [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]]),
    ],
)
def test_constants(name, rows):
    assert KERNELS[name]() == tuple(map(tuple, rows))


def test_edge_is_the_tutorials():
    expected = -np.ones((5, 5))
    expected[2, 2] = 24
    assert (array("edge") == expected).all()
    assert (array("edge", 1) == [[0]]).all()
    assert array("edge", size=999)[499, 499] == 999**2 - 1


def test_binomials_by_hand():
    assert (array("binomial3") * 16 == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]).all()
    assert (array("binomial5")[0] * 256 == [1, 4, 6, 4, 1]).all()
    assert (array("binomial5")[2] * 256 == [6, 24, 36, 24, 6]).all()


@pytest.mark.parametrize(
    "name, options, total",
    [
        ("box", {}, 1),
        ("box", {"size": 10}, 1),
        ("gaussian", {}, 1),
        ("gaussian", {"sigma": 20}, 1),
        ("gaussian", {"size": 3, "sigma": 1000000}, 1),
        ("binomial3", {}, 1),
        ("binomial5", {}, 1),
        ("sharpen", {}, 1),
        ("sharpen8", {}, 1),
        ("unsharp", {"sigma": 2, "amount": 3.5}, 1),
        ("unsharp", {"amount": -1}, 1),
        ("emboss", {}, 1),
        ("motion", {"size": 15, "angle": 33}, 1),
        ("edge", {"size": 7}, 0),
        ("log", {}, 0),
        ("dog", {}, 0),
    ],
)
def test_sums(name, options, total):
    assert math.fsum(array(name, **options).ravel()) == pytest.approx(total, abs=2e-15)


@pytest.mark.parametrize("name, options", [("log", {}), ("log", {"sigma": 9.3}), ("log", {"size": 31}), ("dog", {})])
def test_what_sums_to_zero_does_so_exactly_in_32_bit_floats_too(name, options):
    kernel = array(name, **options)
    single = kernel.astype(np.float32)
    assert (single == kernel).all()
    assert math.fsum(single.ravel().tolist()) == 0


@pytest.mark.parametrize("name", ["gaussian", "log", "dog", "unsharp"])
def test_round_kernels_are_exactly_symmetric(name):
    kernel = array(name, sigma=1.7)
    for turned in (kernel.T, kernel[::-1], kernel[:, ::-1]):
        assert (turned == kernel).all()


@pytest.mark.parametrize("sigma, size", [(0.001, 3), (1, 7), (1.4, 11), (2, 13), (166, 997)])
def test_the_size_reaches_three_sigma_unless_given(sigma, size):
    assert array("gaussian", sigma=sigma).shape == (size, size)
    assert array("gaussian", 5, sigma).shape == (5, 5)


def test_gaussian_equals_scipys():
    impulse = np.zeros((15, 15))
    impulse[7, 7] = 1
    for sigma in (0.7, 1, 2):
        size = len(KERNELS["gaussian"](sigma=sigma))
        radius = size // 2
        expected = ndimage.gaussian_filter(impulse, sigma, radius=radius, mode="constant")
        middle = slice(7 - radius, 8 + radius)
        np.testing.assert_allclose(array("gaussian", sigma=sigma), expected[middle, middle], rtol=1e-12)


def test_a_very_narrow_gaussian_is_the_identity_and_a_very_wide_one_the_box():
    assert (array("gaussian", 3, 0.001) == array("identity")).all()
    np.testing.assert_allclose(array("gaussian", 5, 1000000), array("box", 5), rtol=1e-10)


def test_log_has_the_shape_of_scipys():
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1
    expected = ndimage.gaussian_laplace(impulse, 2.5, truncate=6)
    np.testing.assert_allclose(array("log", 33, 2.5), expected, atol=2e-3 * abs(expected).max())
    assert array("log")[5, 5] < 0 < array("log")[5, 8]


def test_log_and_dog_by_what_they_measure():
    y, x = np.mgrid[:25, :25] - 12.0
    bowl = (x**2 + y**2) / 2  # the Laplacian is 2 everywhere
    np.testing.assert_allclose(apply(KERNELS["log"](25, 2), bowl), 2, rtol=1e-3)
    for kernel in (KERNELS["log"](), KERNELS["dog"](), KERNELS["laplace4"](), KERNELS["laplace8"]()):
        np.testing.assert_allclose(apply(kernel, ramp(2, -3)), 0, atol=1e-12)
    assert array("dog")[5, 5] > 0 > array("dog")[5, 8]
    difference = array("gaussian", 11, 1) - array("gaussian", 11, 1.6)
    np.testing.assert_allclose(array("dog"), difference, atol=2e-7)


def test_unsharp_is_the_picture_and_the_detail():
    blur = array("gaussian", sigma=2)
    picture = np.zeros_like(blur)
    picture[6, 6] = 1
    np.testing.assert_allclose(array("unsharp", sigma=2, amount=0.5), picture + 0.5 * (picture - blur), atol=1e-15)
    assert (array("unsharp", amount=0) == np.pad(array("identity"), 2)).all()


@pytest.mark.parametrize("name, slope", [("sobel", 8), ("prewitt", 6), ("scharr", 32), ("freichen", 4 + 2 * 2**0.5)])
def test_gradients_are_positive_to_the_right_and_downward(name, slope):
    for axis, picture, other in (("x", ramp(1, 0), ramp(0, 1)), ("y", ramp(0, 1), ramp(1, 0))):
        kernel = KERNELS[f"{name}_{axis}"]()
        np.testing.assert_allclose(apply(kernel, picture), slope, rtol=1e-12)
        np.testing.assert_allclose(apply(kernel, other), 0, atol=1e-12)


@pytest.mark.parametrize("name", ["kirsch", "robinson", "prewitt_compass"])
def test_banks_turn_by_45_degrees(name):
    bank = KERNELS[name]()
    rim = [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2), (1, 2), (0, 2), (0, 1)]  # rows and columns, counter-clockwise
    assert is_bank(bank) and len(bank) == 8
    for before, after in zip(bank, bank[1:] + bank[:1], strict=True):
        assert [after[r][c] for r, c in rim] == [before[r][c] for r, c in rim[-1:] + rim[:-1]]
        assert after[1][1] == before[1][1]
    for channel, (across, down) in enumerate(COMPASS.values()):
        answers = [apply(matrix, ramp(across, down))[0, 0] for matrix in bank]
        assert int(np.argmax(answers)) == channel


def test_banks_begin_east():
    assert KERNELS["robinson"]()[0] == KERNELS["sobel_x"]()
    assert KERNELS["robinson"]()[6] == KERNELS["sobel_y"]()
    assert KERNELS["kirsch"]()[2] == ((5, 5, 5), (-3, 0, -3), (-3, -3, -3))
    assert KERNELS["prewitt_compass"]()[1] == ((1, 1, 1), (-1, -2, 1), (-1, -1, 1))


def test_motion_by_hand():
    fifth = np.zeros((5, 5))
    fifth[2] = 0.2
    assert (array("motion", 5) == fifth).all()
    assert (array("motion", 5, 90) == fifth.T).all()
    assert (array("motion", 5, -180) == fifth).all()
    assert (array("motion", 1, 17) == [[1]]).all()
    rising = array("motion", 5, 45)
    assert rising[0, 4] > 0 == rising[0, 0]
    assert (rising == array("motion", 5, 135)[:, ::-1]).all()
    assert (rising == rising.T[::-1, ::-1]).all()


@pytest.mark.parametrize("angle", [0, 10, 45, 63.4, 90, 137, 200, 359.9, -30, 1e5])
def test_motion_at_any_angle(angle):
    kernel = array("motion", 21, angle)
    y, x = np.mgrid[10:-11:-1, -10:11]
    assert (kernel >= 0).all()
    assert (kernel == kernel[::-1, ::-1]).all()
    np.testing.assert_allclose(kernel, array("motion", 21, angle + 180), atol=1e-12)
    lean = math.degrees(0.5 * math.atan2(2 * (kernel * x * y).sum(), (kernel * (x * x - y * y)).sum()))
    assert min((lean - angle) % 180, (angle - lean) % 180) < 0.5


@pytest.mark.parametrize("theta, stripes", [(0, (1, 0)), (90, (0, 1)), (45, (1, -1)), (135, (1, 1))])
def test_gabor_answers_to_stripes_across_theta(theta, stripes):
    across, down = np.array(stripes) / math.hypot(*stripes)
    waves = np.cos(2 * np.pi * ramp(across, down, 61) / 6)
    others = np.cos(2 * np.pi * ramp(-down, across, 61) / 6)
    kernel = KERNELS["gabor"](theta=theta)
    assert apply(kernel, waves).max() == pytest.approx(0.5, rel=0.02)
    assert abs(apply(kernel, others)).max() < 0.01
    assert abs(apply(kernel, np.ones((61, 61)))).max() < 0.01


def test_gabor_by_hand():
    kernel = array("gabor", 9, theta=0, wavelength=4, sigma=2, gamma=0.5, psi=0)
    scale = 0.5 / (2 * math.pi * 4)
    assert kernel[4, 4] == pytest.approx(scale)
    assert kernel[4, 6] == pytest.approx(-scale * math.exp(-0.5))
    assert kernel[0, 4] == pytest.approx(scale * math.exp(-0.5))
    np.testing.assert_allclose(array("gabor", theta=90), array("gabor").T, atol=1e-17)
    odd = array("gabor", psi=-90)
    assert (odd == -odd[::-1, ::-1]).all()
    assert apply(odd, ramp(1, 0))[0, 0] > 0
    assert array("gabor", wavelength=4, sigma=2, gamma=0.5).shape == (25, 25)


HOSTILE = [True, False, None, "5", b"5", 5.0, 0, -1, 2.5, 1000, 10**400, math.nan, math.inf, -math.inf, (5,), [5], {}]


@pytest.mark.parametrize("size", HOSTILE, ids=lambda value: repr(value)[:9])
def test_sizes_are_whole_numbers(size):
    for name in (*SIZED, "box"):
        if size is None and inspect.signature(KERNELS[name]).parameters["size"].default is None:
            continue
        with pytest.raises(ValueError, match=r"^size must be an? (odd )?whole number from 1 to 999, not "):
            KERNELS[name](size)


@pytest.mark.parametrize("name", SIZED)
def test_sizes_are_odd_where_there_is_a_centre(name):
    with pytest.raises(ValueError, match=r"^size must be an odd whole number from 1 to 999, not 4$"):
        KERNELS[name](4)


@pytest.mark.parametrize("value", [True, "1", None, 0, -1, math.nan, math.inf, 1e9, 10**400, 1j, [1.0]], ids=repr)
def test_sigmas_are_positive_and_bounded(value):
    for name in ("gaussian", "unsharp", "log", "dog", "gabor"):
        if value is None and name == "gabor":
            continue
        with pytest.raises(ValueError, match=r"^sigma must be a number from 0\.001 to 1,000,000, not "):
            KERNELS[name](sigma=value)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("gaussian", {"sigma": 167}, "sigma is too large, the kernel would be 1003x1003; 999x999 is the largest"),
        ("log", {"sigma": 1e6}, "sigma is too large, the kernel would be 6000001x6000001"),
        ("unsharp", {"sigma": 500}, "sigma is too large"),
        ("dog", {"sigma": 110}, "sigma is too large, the kernel would be 1057x1057"),
        ("gabor", {"wavelength": 1000}, "wavelength is too large"),
        ("gabor", {"sigma": 10, "gamma": 0.01}, "sigma is too large"),
        ("gabor", {"wavelength": 1.9}, "wavelength must be a number from 2 to 1,000,000, not 1.9"),
        ("gabor", {"gamma": 0}, "gamma must be a number from 0.001 to 1,000, not 0"),
        ("gabor", {"theta": math.nan}, "theta must be a number from -1,000,000 to 1,000,000, not nan"),
        ("gabor", {"psi": "90"}, "psi must be a number from -1,000,000 to 1,000,000, not '90'"),
        ("unsharp", {"amount": math.inf}, "amount must be a number from -1,000,000 to 1,000,000, not inf"),
        ("motion", {"angle": True}, "angle must be a number from -1,000,000 to 1,000,000, not True"),
        ("dog", {"ratio": 1}, "ratio must be a number from 1.001 to 1,000, not 1"),
        ("dog", {"ratio": -1.6}, "ratio must be a number from 1.001 to 1,000, not -1.6"),
    ],
)
def test_arguments_that_make_no_sense(name, options, message):
    with pytest.raises(ValueError) as caught:
        KERNELS[name](**options)
    assert str(caught.value).startswith(message)
    assert caught.value.argument in options


@pytest.mark.parametrize("name", ["gaussian", "log", "gabor"])
@pytest.mark.parametrize("sigma", [0.001, 0.1, 1000000])
@pytest.mark.parametrize("size", [1, 3, 31])
def test_extreme_sigmas_give_finite_kernels(name, sigma, size):
    kernel = array(name, size=size, sigma=sigma)
    assert np.isfinite(kernel).all() and np.isfinite(kernel.astype(np.float32)).all()


def test_flip_turns_by_180_degrees():
    assert flip(((1, 2, 3), (4, 5, 6))) == ((6, 5, 4), (3, 2, 1))
    assert flip([[1, 2], [3, 4]]) == ((4, 3), (2, 1))
    bank = KERNELS["kirsch"]()
    assert flip(bank) == tuple(flip(matrix) for matrix in bank)
    assert flip(KERNELS["robinson"]())[0] == KERNELS["robinson"]()[4]
    for kernel in (KERNELS["emboss"](), bank):
        assert flip(flip(kernel)) == kernel
