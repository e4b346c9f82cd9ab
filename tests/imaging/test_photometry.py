"""What follows from spots' parameters, and the bound of their errors, against NumPy by hand."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import numpy as np
import pytest

from napari_imagefit import Camera, FitResult, fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.spot_analysis import crlb as crlb_module
from napari_imagefit.imaging.spot_analysis import photometry as photometry_module
from napari_imagefit.imaging.spot_analysis.crlb import crlb
from napari_imagefit.imaging.spot_analysis.photometry import photometry, photometry_table

SHAPE = (40, 60)
POINTS = np.array([(10, 12), (11, 30), (28, 14), (29, 46)])
TO_FWHM = 2 * np.sqrt(2 * np.log(2))


def ellipse(y0: float, x0: float, theta: float, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    y, x = np.indices(shape)
    u = (x - x0) * np.cos(theta) + (y - y0) * np.sin(theta)
    v = -(x - x0) * np.sin(theta) + (y - y0) * np.cos(theta)
    return 300 * np.exp(-0.5 * (u**2 / 2.2**2 + v**2 / 1.3**2))


COUNTS = np.random.default_rng(0).poisson(
    20 + sum(ellipse(y + 0.2, x - 0.3, 0.2 + 0.5 * i) for i, (y, x) in enumerate(POINTS))
)


@pytest.fixture(scope="module")
def rotated() -> FitResult:
    found = fit_spots(COUNTS, POINTS, "gaussian_2d_rotated", window=11, noise="poisson")
    assert found.converged.all()
    return found


@pytest.fixture(scope="module")
def round_() -> FitResult:
    found = fit_spots(COUNTS, POINTS, "gaussian_2d", window=11, noise=Camera(gain=2.0, offset=3.0, read_noise=1.5))
    assert found.converged.all()
    return found


def propagated(result: FitResult, row: int, function: Callable[..., float]) -> tuple[float, float]:
    """Value and error by central differences."""
    at = np.array([result.params[name][row] for name in result.model.names])
    slopes = []
    for i, value in enumerate(at):
        step = np.eye(at.size)[i] * 1e-5 * max(1.0, abs(value))
        slopes.append((function(*(at + step)) - function(*(at - step))) / (2 * step.max()))
    return function(*at), float(np.sqrt(np.array(slopes) @ result.covariance[row] @ np.array(slopes)))


def moments(py: float, px: float) -> Callable[..., np.ndarray]:
    """The matrix of second moments of a rotated ellipse in other units, turned and stretched by matrices."""

    def of(_a: float, _y: float, _x: float, sy: float, sx: float, theta: float, _o: float) -> np.ndarray:
        turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        stretch = np.diag([px, py])
        return stretch @ turn @ np.diag([sx**2, sy**2]) @ turn.T @ stretch

    return of


def test_an_ellipse_in_pixels_that_are_not_square(rotated: FitResult) -> None:
    found = photometry(rotated, pixel_size=(0.2, 0.1), units="µm")
    of = moments(0.2, 0.1)

    def axes(*p: float) -> np.ndarray:
        return np.sqrt(np.linalg.eigvalsh(of(*p)))

    def angle(*p: float) -> float:
        x, y = np.linalg.eigh(of(*p))[1][:, 1]
        return float(np.degrees(np.arctan(y / x)))

    expected: dict[str, Callable[..., float]] = {
        "fwhm_long": lambda *p: TO_FWHM * axes(*p)[1],
        "fwhm_short": lambda *p: TO_FWHM * axes(*p)[0],
        "fwhm": lambda *p: TO_FWHM * np.sqrt(axes(*p).prod()),
        "ellipticity": lambda *p: 1 - axes(*p)[0] / axes(*p)[1],
        "angle": angle,
        "photons": lambda *p: 2 * np.pi * p[0] * p[3] * p[4],
        "background": lambda *p: p[6],
    }
    for name, function in expected.items():
        for row in range(len(POINTS)):
            value, error = propagated(rotated, row, function)
            assert found[name].values[row] == pytest.approx(value, rel=1e-9), name
            assert found[name].stderr[row] == pytest.approx(error, rel=1e-5), name
    units = {name: column.unit for name, column in found.items()}
    assert units["fwhm"] == units["precision"] == "µm"
    assert units["photons"] == "photons"
    assert units["angle"] == "°"


def test_what_comes_out_is_what_was_drawn(rotated: FitResult) -> None:
    found = photometry(rotated)
    truth = {"fwhm_long": TO_FWHM * 2.2, "fwhm_short": TO_FWHM * 1.3, "photons": 2 * np.pi * 300 * 2.2 * 1.3}
    truth["ellipticity"] = 1 - 1.3 / 2.2
    for name, value in truth.items():
        assert (np.abs(found[name].values - value) < 4 * found[name].stderr).all(), name
    turned = np.degrees(0.2 + 0.5 * np.arange(4))
    away = (found["angle"].values - turned + 90) % 180 - 90
    assert (np.abs(away) < 4 * found["angle"].stderr).all()


def test_a_round_spot_and_a_camera(round_: FitResult) -> None:
    found = photometry(round_, pixel_size=0.1, units="µm")
    a, sigma, offset = (round_.params[name] for name in ("amplitude", "sigma", "offset"))
    np.testing.assert_allclose(found["photons"].values, 2 * np.pi * a * sigma**2 / 2)
    np.testing.assert_allclose(found["background"].values, (offset - 3) / 2)
    np.testing.assert_allclose(found["fwhm"].values, TO_FWHM * 0.1 * sigma)
    np.testing.assert_allclose(found["sigma"].stderr, 0.1 * round_.stderr["sigma"])
    expected = 0.1 * np.sqrt((round_.stderr["y"] ** 2 + round_.stderr["x"] ** 2) / 2)
    np.testing.assert_allclose(found["precision"].values, expected)
    assert not {"ellipticity", "angle", "fwhm_y"} & found.keys()
    # the integral is the sum over the pixels
    pixels = round_.fitted()[0] - offset[0]
    assert found["photons"].values[0] == pytest.approx(pixels.sum() / 2, rel=0.05)
    by_hand = photometry(round_, gain=4.0)
    np.testing.assert_allclose(by_hand["photons"].values, found["photons"].values / 2)
    # in pixels that are not square a round spot in pixels is an ellipse
    stretched = photometry(round_, pixel_size=(0.2, 0.1), units="µm")
    np.testing.assert_allclose(stretched["fwhm_y"].values, 2 * stretched["fwhm_x"].values)
    np.testing.assert_allclose(stretched["ellipticity"].values, 0.5)


def test_a_table_has_a_column_for_each_error(round_: FitResult) -> None:
    table = photometry_table(round_, pixel_size=0.1, units="µm")
    assert {"photons", "photons_stderr", "fwhm", "fwhm_stderr", "precision"} <= set(table.columns)
    assert "precision_stderr" not in table.columns
    assert len(table) == len(POINTS)


def test_a_fit_without_an_answer_has_none_here() -> None:
    image = COUNTS.astype(float)
    image[5:16, 7:18] = np.nan
    found = fit_spots(image, POINTS, "gaussian_2d", window=11, noise=Camera(gain=2.0, offset=3.0, read_noise=1.5))
    table = photometry_table(found)
    assert table.iloc[0].isna().all()
    assert table.iloc[1:].notna().all(axis=None)
    assert np.isnan(crlb(found)["x"][0])


def fisher(result: FitResult, row: int, variance: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The bound for a round spot, from derivatives written out."""
    y0, x0 = POINTS[row]
    y, x = np.mgrid[y0 - 5 : y0 + 6, x0 - 5 : x0 + 6]
    a, cy, cx, s, c = (result.params[name][row] for name in result.model.names)
    bell = np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / s**2)
    slopes = [bell, a * bell * (y - cy) / s**2, a * bell * (x - cx) / s**2]
    slopes += [a * bell * ((y - cy) ** 2 + (x - cx) ** 2) / s**3, np.ones_like(bell)]
    j = np.stack([slope.ravel() for slope in slopes])
    return np.sqrt(np.diag(np.linalg.inv(j / variance(a * bell + c).ravel() @ j.T)))


def test_bound_of_counts_and_of_a_camera(round_: FitResult) -> None:
    poisson = crlb(round_, "poisson")
    camera = crlb(round_)
    least = crlb(round_, noise=3.0)
    for row in range(len(POINTS)):
        for bound, variance in (
            (poisson, lambda mean: mean),
            (camera, lambda mean: 4 * ((mean - 3) / 2 + 1.5**2)),
            (least, lambda mean: np.full_like(mean, 9.0)),
        ):
            expected = fisher(round_, row, variance)
            np.testing.assert_allclose([bound[name][row] for name in round_.model.names], expected, rtol=1e-9)
    # a maximum of the likelihood states the bound as its error
    for name in round_.model.names:
        np.testing.assert_allclose(camera[name], round_.stderr[name], rtol=1e-6)


@pytest.mark.slow
def test_bound_where_something_is_held(rotated: FitResult) -> None:
    bound = crlb(rotated)
    for name in rotated.model.names:
        np.testing.assert_allclose(bound[name], rotated.stderr[name], rtol=1e-5)
    fixed = fit_spots(COUNTS, POINTS, "gaussian_2d_rotated", window=11, noise="poisson", fixed={"offset": 20.0})
    held = crlb(fixed)
    assert np.isnan(held["offset"]).all()
    np.testing.assert_allclose(held["amplitude"], fixed.stderr["amplitude"], rtol=1e-5)
    assert (held["amplitude"] < bound["amplitude"]).all()


def test_bound_of_least_squares_with_an_unknown_noise() -> None:
    found = fit_spots(COUNTS, POINTS, "gaussian_2d", window=11)
    bound = crlb(found)
    for name in found.model.names:
        np.testing.assert_allclose(bound[name], found.stderr[name], rtol=1e-5)
    each = crlb(found, noise=np.full(SHAPE, 3.0))
    np.testing.assert_allclose(each["x"], crlb(found, noise=3.0)["x"])


def test_what_makes_no_sense(round_: FitResult) -> None:
    with pytest.raises(FitInputError, match="pixel_size=0 does not go with 2 axes"):
        photometry(round_, pixel_size=0)
    with pytest.raises(FitInputError, match="give one size above 0, or 2"):
        photometry(round_, pixel_size=(1, 1, 1))
    with pytest.raises(FitInputError, match="pixel_size='a' does not go"):
        photometry(round_, pixel_size="a", units="nm")  # type: ignore[arg-type]
    with pytest.raises(FitInputError, match=r"pixel_size=0\.1 comes without its unit"):
        photometry(round_, pixel_size=0.1)
    for wrong in (-1, "2", np.ones((3, 3))):
        with pytest.raises(FitInputError, match="is no gain"):
            photometry(round_, gain=wrong)  # type: ignore[arg-type]
    two, half = (photometry(round_, gain=gain)["photons"].values for gain in (2, np.float64(4)))
    np.testing.assert_allclose(two, 2 * half, rtol=1e-12)
    with pytest.raises(FitInputError, match="noise='counts' is not known"):
        crlb(round_, "counts")
    with pytest.raises(FitInputError, match=r"\(3, 3\), which does not broadcast"):
        crlb(round_, np.ones((3, 3)))


@pytest.mark.parametrize("module", [crlb_module, photometry_module])
def test_the_examples_run(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
