"""Which of the equal answers of a model with an angle is told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from napari_imagefit import fit_image, fit_spots, fit_voxels, models
from napari_imagefit.engine.core.fits import BY_PARAMETER
from napari_imagefit.engine.drive import run
from napari_imagefit.engine.models.model import Model
from napari_imagefit.engine.models.turns import Turn, branches, renamed
from napari_imagefit.engine.results.fit_result import FitResult

ROTATED = models["gaussian_2d_rotated"]
Y, X = np.mgrid[0:48, 0:64].astype(float)
QUARTER, HALF = math.pi / 4, math.pi / 2
NOISE = 0.05
PAIR, ANGLE = [ROTATED.index("sigma_y"), ROTATED.index("sigma_x")], ROTATED.index("theta")


def cloud(theta: float, sigma_x: float = 10.0, sigma_y: float = 4.0) -> np.ndarray:
    return np.asarray(ROTATED.function((Y, X), 1.0, 23.0, 30.0, sigma_y, sigma_x, theta, 0.2))


def frames(theta: float, count: int = 8, noise: float = NOISE) -> np.ndarray:
    return cloud(theta) + np.random.default_rng(5).normal(0, noise, (count, *Y.shape))


def turned(result: FitResult) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return result.params["theta"], result.params["sigma_x"], result.params["sigma_y"]


def check(result: FitResult, theta: float, sigma_x: float = 10.0, sigma_y: float = 4.0) -> None:
    assert result.converged.all()
    found = turned(result)
    for value, truth, size in zip(found, (theta, sigma_x, sigma_y), (0.02, 0.3, 0.15), strict=True):
        np.testing.assert_allclose(value, truth, atol=size)


@pytest.mark.parametrize("theta", [QUARTER, -QUARTER])
def test_one_branch_in_all_frames_of_a_cloud_at_45_degrees(theta: float) -> None:
    check(fit_image(frames(theta), ROTATED), theta)


def test_an_axis_along_y_is_at_plus_or_minus_90_degrees() -> None:
    theta, sigma_x, sigma_y = turned(fit_image(frames(HALF, 12), ROTATED))
    assert ((theta > -HALF) & (theta <= HALF)).all()
    assert (theta > 0).any()
    assert (theta < 0).any()
    np.testing.assert_allclose(np.abs(theta), HALF, atol=0.02)
    assert (sigma_x > sigma_y).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("count", [1, run.WIDE_FROM])
def test_everything_of_each_parameter_goes_with_it(fit: Any, count: int, dtype: Any) -> None:
    """As a fit has it that was started in the branch that is told, in both ways of fitting."""
    truth = np.array([-1.2, -0.9, -0.3, 0.4, 1.0, 1.5])
    data = np.stack([cloud(theta).ravel() for theta in truth], axis=1)
    data = data + np.random.default_rng(2).normal(0, NOISE, data.shape)
    coords = (Y.ravel(), X.ravel())
    own = fit(ROTATED, coords, data, dtype=dtype, requested=count)
    there = fit(ROTATED, coords, data, dtype=dtype, requested=count, init={"theta": truth, "sigma_x": 9, "sigma_y": 5})
    loose = 1e-3 if dtype == "float32" else 1e-5
    np.testing.assert_allclose(own.params, there.params, atol=loose)
    np.testing.assert_allclose(own.covariance, there.covariance, rtol=10 * loose, atol=loose * 1e-4)
    np.testing.assert_allclose(own.params[ANGLE], truth, atol=0.02)
    # what was guessed lies within 45°, so that half of them have been exchanged
    assert np.count_nonzero(np.abs(own.start[ANGLE] - truth) > 1) == 4


def test_a_bound_goes_with_its_width(fit: Any) -> None:
    data, bounds = cloud(1.2).reshape(-1, 1), {"sigma_x": (6, 40), "sigma_y": (6, 40)}
    found = fit(ROTATED, (Y.ravel(), X.ravel()), data, bounds=bounds)
    assert found.status[0] > 0
    assert found.start[PAIR[0], 0] > found.start[PAIR[1], 0]
    assert found.at_bound[PAIR].tolist() == [[-1], [0]]
    assert np.isnan(found.covariance[0, PAIR[0]]).all()
    assert np.isfinite(found.covariance[0, PAIR[1], PAIR[1]])


def test_a_bound_that_the_other_width_has_not_keeps_the_branch() -> None:
    # the start asks for the branch in which it is sigma_y that is the larger
    bounds, init = {"sigma_x": (6, 40)}, {"sigma_x": 7, "sigma_y": 9, "theta": 1.2 - HALF}
    found = fit_image(cloud(1.2), ROTATED, bounds=bounds, init=init)
    theta, sigma_x, sigma_y = (float(value) for value in turned(found))
    assert found.at_bound["sigma_x"] == -1
    assert sigma_x == pytest.approx(6)
    assert sigma_y > 9
    assert theta == pytest.approx(1.2 - HALF, abs=0.01)


@pytest.mark.parametrize(
    ("bounds", "theta", "widths"),
    [
        ({"theta": (0, HALF)}, 0.9, (12, 4)),
        ({"theta": (math.pi, 2 * math.pi)}, 0.9 + math.pi, (12, 4)),
        ({"theta": (-1, 0.1)}, 0.9 - HALF, (4, 12)),
        ({"sigma_x": (8, 30)}, 0.9, (12, 4)),
        ({"sigma_x": (7, 30), "sigma_y": (1, 7)}, 0.9, (12, 4)),
        ({"sigma_x": (1, 7), "sigma_y": (7, 30)}, 0.9 - HALF, (4, 12)),
        ({"sigma_x": (7, 30), "sigma_y": (1, 7), "theta": (-4, -1)}, 0.9 - math.pi, (12, 4)),
    ],
)
def test_bounds_ask_for_a_branch(bounds: Any, theta: float, widths: tuple[float, float]) -> None:
    result = fit_image(cloud(0.9, 12), ROTATED, bounds=bounds)
    assert not any(side.any() for side in result.at_bound.values())
    check(result, theta, *widths)
    for name, (low, high) in bounds.items():
        assert low <= result.params[name] <= high


@pytest.mark.parametrize(
    ("init", "theta", "widths"),
    [
        ({"theta": -0.5}, 0.9 - HALF, (4, 12)),
        ({"theta": 1.0}, 0.9, (12, 4)),
        ({"theta": 4.0}, 0.9 + math.pi, (12, 4)),
        ({"theta": 200.0}, 0.9 - HALF + 64 * math.pi, (4, 12)),
        ({"sigma_x": 5.0, "sigma_y": 9.0}, 0.9 - HALF, (4, 12)),
        ({"sigma_x": 5.0}, 0.9 - HALF, (4, 12)),
        ({"sigma_x": 9.0, "sigma_y": 5.0, "theta": 0.0}, 0.9, (12, 4)),
    ],
)
def test_a_start_asks_for_the_branch_that_is_nearest(init: Any, theta: float, widths: tuple[float, float]) -> None:
    check(fit_image(cloud(0.9, 12), ROTATED, init=init), theta, *widths)


def test_a_start_for_each_fit() -> None:
    result = fit_image(frames(0.9, 2), ROTATED, init={"theta": np.array([0.8, -0.8])})
    np.testing.assert_allclose(result.params["theta"], [0.9, 0.9 - HALF], atol=0.02)


@pytest.mark.parametrize("fixed", [{"theta": 0.9 + 3 * HALF}, {"sigma_x": 4.0}, {"sigma_x": 4.0, "sigma_y": 10.0}])
def test_what_is_fixed_stays(fixed: dict[str, float]) -> None:
    for dtype in ("float64", "float32"):
        result = fit_image(cloud(0.9), ROTATED, fixed=fixed, dtype=dtype)
        for name, value in fixed.items():
            assert result.params[name] == np.dtype(dtype).type(value)
        turns = 3 if "theta" in fixed else -1
        check(result, 0.9 + turns * HALF, 4, 10)


def test_a_shared_angle_keeps_its_branch_inside_its_period() -> None:
    result = fit_image(frames(QUARTER), ROTATED, shared=["theta"], init={"theta": 0.7 + 7 * math.pi})
    check(result, QUARTER + 7 * math.pi)
    result = fit_image(frames(QUARTER), ROTATED, shared=["theta"], bounds={"sigma_x": (6, 40), "sigma_y": (1, 6)})
    check(result, QUARTER)
    assert np.ptp(result.params["theta"]) == 0


def test_what_is_shared_is_not_exchanged_for_what_is_not() -> None:
    result = fit_image(frames(QUARTER), ROTATED, shared=["sigma_x"], init={"sigma_x": 5, "sigma_y": 9, "theta": -10.0})
    assert np.ptp(result.params["sigma_x"]) == 0
    check(result, -QUARTER - 3 * math.pi, 4, 10)


def test_all_that_turns_may_be_shared() -> None:
    result = fit_image(frames(1.2), ROTATED, shared=["sigma_x", "sigma_y", "theta"])
    check(result, 1.2)
    assert all(np.ptp(values) == 0 for values in turned(result))


def test_tied_widths_are_not_exchanged_but_the_angle_is_inside_its_period() -> None:
    result = fit_image(frames(QUARTER), ROTATED, tied={"sigma_x": "0.4*sigma_y"}, init={"sigma_y": 9.0})
    check(result, -QUARTER, 4, 10)


def test_an_angle_that_others_follow_from_turns_only_with_them() -> None:
    two = ROTATED + ROTATED
    same = {"theta_2": "theta_1 + 1", "y_2": "y_1", "x_2": "x_1", "sigma_y_2": "2*sigma_y_1", "sigma_x_2": "sigma_x_1"}
    assert tied_turns(two, same) == (Turn("theta_1"),)
    assert tied_turns(two, {"amplitude_2": "theta_1"}) == (two.turns[1],)
    # what is the same after the turn lets the angle turn, but what follows from it does not let it be exchanged
    assert tied_turns(two, {"offset": "cos(2*theta_1)"}) == (Turn("theta_1"), two.turns[1])


def tied_turns(model: Model, tied: dict[str, str]) -> tuple[Turn, ...]:
    from napari_imagefit.engine.models.ties import Ties

    return Ties.of(model, tied).model.turns


def test_both_of_a_sum() -> None:
    other = np.asarray(ROTATED.function((Y, X), 0.6, 12.0, 12.0, 2.0, 5.0, 1.3, 0.0))
    image = np.asarray(ROTATED.function((Y, X), 1.0, 30.0, 44.0, 3.0, 7.0, -1.1, 0.2)) + other
    init = {"y_1": 30, "x_1": 44, "y_2": 12, "x_2": 12}
    result = fit_image(image, ROTATED + ROTATED, init=init)
    assert result.converged
    names = ("sigma_x_1", "sigma_y_1", "theta_1", "sigma_x_2", "sigma_y_2", "theta_2")
    np.testing.assert_allclose([result.params[name] for name in names], [7, 3, -1.1, 5, 2, 1.3], rtol=1e-5)


@pytest.mark.parametrize("background", ["constant", "sloping"])
def test_spots_alone_and_in_groups(background: Any) -> None:
    points = np.array([[20.0, 20.0], [20.0, 28.0], [40.0, 20.0], [40.0, 45.0]])
    y, x = np.mgrid[0:60, 0:64].astype(float)
    image = sum(np.asarray(ROTATED.function((y, x), 100.0, *at, 1.5, 2.5, 1.25, 0.0)) for at in points)
    image = image + 5 + np.random.default_rng(0).normal(0, 0.1, image.shape)
    for groups in (None, 4):
        result = fit_spots(image, points, ROTATED, window=13, background=background, groups=groups)
        good = [0, 1, 2, 3] if groups else [2, 3]
        np.testing.assert_allclose(result.params["theta"][good], 1.25, atol=0.02)
        np.testing.assert_allclose(result.params["sigma_x"][good], 2.5, atol=0.03)


def test_company_changes_nothing(fit: Any) -> None:
    data = frames(QUARTER, 300).reshape(300, -1).T
    coords = (Y.ravel(), X.ravel())
    some = np.r_[0:300:37]
    whole, part = fit(ROTATED, coords, data), fit(ROTATED, coords, data[:, some], requested=300)
    for name in BY_PARAMETER:
        np.testing.assert_array_equal(getattr(whole, name)[:, some], getattr(part, name), name)
    np.testing.assert_array_equal(whole.covariance[some], part.covariance)


def test_a_phase_is_inside_its_period() -> None:
    t = np.linspace(0, 5, 200)
    truth = np.array([-3.0, -1.0, 1.0, 3.0])
    data = np.exp(-t[:, None] / 4) * np.sin(2 * math.pi * 1.3 * t[:, None] + truth)
    init = {"frequency": 1.3, "tau": 4.0, "amplitude": 1.0, "offset": 0.0}
    found = fit_voxels(data, "damped_sine", x=t, init=init).params["phase"]
    np.testing.assert_allclose(found, truth, atol=1e-6)
    # it asks for the turn that is nearest to it
    found = fit_voxels(data, "damped_sine", x=t, init=init | {"phase": truth + 6 * math.pi + 0.1}).params["phase"]
    np.testing.assert_allclose(found, truth + 6 * math.pi, atol=1e-6)
    # a guess begins in the turn that is inside the bounds
    found = fit_voxels(data, "damped_sine", x=t, bounds={"phase": (0, 2 * math.pi)}).params["phase"]
    np.testing.assert_allclose(found, truth % (2 * math.pi), atol=1e-6)


@pytest.mark.parametrize(
    "angle", [HALF, -HALF, 3 * HALF, np.nextafter(-HALF, 0), np.nextafter(-HALF, -1), -338.39, 1e9]
)
@pytest.mark.usefixtures("quiet")
def test_the_ends_of_the_range(angle: float) -> None:
    x = np.array([[angle], [2.0], [1.0]])
    none, wide = np.full((3, 1), np.nan), np.full((3, 1), np.inf)
    found = branches(Turn("t", math.pi, ("a", "b")), ("t", "a", "b"), x, none, -wide, wide)
    for value in (found.angle, found.other):
        assert -HALF < value[0] <= HALF
    turns = (angle - found.angle[0]) / math.pi
    assert turns == pytest.approx(round(turns))
    assert found.angle[0] == angle or not -HALF < angle <= HALF


def test_renamed() -> None:
    turn = Turn("t", math.pi, ("a", "b"))
    assert renamed([turn], {"t": "t_1", "a": "a_1", "b": "b_1"}) == (Turn("t_1", math.pi, ("a_1", "b_1")),)
    assert renamed([turn], {"t": "t", "a": "a"}) == (Turn("t", math.pi),)
    assert renamed([turn], {"a": "a", "b": "b"}) == ()
