"""Regions find the minimum from starts of their own: what is bounded or given, and what else the region holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import least_squares

from napari_imagefit import FitResult, Model, Status, fit_image, models
from napari_imagefit.engine.drive import few

# each of its models is compiled for these tests alone
pytestmark = pytest.mark.slow

Y, X = np.mgrid[:48.0, :56.0]
NOISE = 0.05


def gauss(y: float, x: float, sigma_y: float, sigma_x: float) -> np.ndarray:
    return np.exp(-0.5 * (((Y - y) / sigma_y) ** 2 + ((X - x) / sigma_x) ** 2))


def noisy(image: np.ndarray, seed: int = 0) -> np.ndarray:
    return image + np.random.default_rng(seed).normal(0, NOISE, image.shape)


def scipy_cost(
    model: Model, image: np.ndarray, truth: dict[str, float], bounds: dict[str, tuple[float, float]] | None = None
) -> float:
    """The cost at SciPy's minimum from the true parameters."""
    grid = tuple(np.indices(image.shape).astype(float))
    pairs = [(bounds or {}).get(p.name, (p.lower, p.upper)) for p in model.parameters]
    start = [truth[name] for name in model.names]
    found = least_squares(
        lambda p: np.asarray(model.function(grid, *p) - image).ravel(),
        start,
        bounds=tuple(zip(*pairs, strict=True)),
        x_scale="jac",
    )
    return float(found.cost)


def check(result: FitResult, cost: float) -> None:
    assert result.converged.all()
    assert float(result.cost) <= cost * (1 + 1e-6)


ELLIPTIC, ROTATED = models["gaussian_2d_elliptic"], models["gaussian_2d_rotated"]
DIM = {"amplitude": 0.5, "y": 34.0, "x": 14.0, "sigma_y": 4.0, "sigma_x": 3.0, "offset": 0.0}
DIMMER = noisy(0.5 * gauss(34, 14, 4, 3) + gauss(12, 42, 3, 3))


@pytest.mark.parametrize(
    "wishes",
    [{"bounds": {"y": (25, 45), "x": (5, 25)}}, {"init": {"y": 34, "x": 14}}, {"fixed": {"y": 34, "x": 14}}],
    ids=["bounds", "init", "fixed"],
)
def test_the_dimmer_of_two_peaks_can_be_asked_for(wishes: dict[str, Any]) -> None:
    result = fit_image(DIMMER, ELLIPTIC, **wishes)
    bounds = wishes.get("bounds", {name: (v - 1e-9, v + 1e-9) for name, v in wishes.get("fixed", {}).items()})
    check(result, scipy_cost(ELLIPTIC, DIMMER, DIM, bounds))
    assert abs(result.params["y"] - 34) < 0.5
    assert abs(result.params["x"] - 14) < 0.5


def test_a_sign_that_is_asked_for() -> None:
    image = noisy(gauss(12, 12, 3, 3) - 1.5 * gauss(34, 42, 4, 4))
    bounds = {"amplitude": (0.0, np.inf), "sigma_y": (0.0, 6.0), "sigma_x": (0.0, 6.0)}
    truth = {"amplitude": 1.0, "y": 12.0, "x": 12.0, "sigma_y": 3.0, "sigma_x": 3.0, "offset": 0.0}
    check(fit_image(image, ELLIPTIC, bounds=bounds), scipy_cost(ELLIPTIC, image, truth, bounds))


TURNED = {"amplitude": 1.0, "y": 24.0, "x": 28.0, "sigma_y": 3.0, "sigma_x": 9.0, "theta": 0.9, "offset": 0.0}
CLOUD = noisy(np.asarray(ROTATED.function((Y, X), *(TURNED[name] for name in ROTATED.names))))


@pytest.mark.parametrize(
    "bounds",
    [{"theta": (0.0, np.pi / 2)}, {"sigma_x": (6.0, 30.0)}, {"sigma_x": (6.0, 30.0), "sigma_y": (1.0, 6.0)}],
    ids=["angle", "width", "widths"],
)
def test_an_angle_within_bounds(bounds: dict[str, tuple[float, float]]) -> None:
    result = fit_image(CLOUD, ROTATED, bounds=bounds)
    check(result, scipy_cost(ROTATED, CLOUD, TURNED, bounds))
    for name in ("theta", "sigma_x", "sigma_y"):
        assert result.params[name] == pytest.approx(TURNED[name], abs=0.2)


def test_a_small_bright_star_beside_a_wide_faint_one() -> None:
    image = noisy(4.4 * gauss(25.5, 25.1, 1.15, 1.15) + 2 * gauss(4.4, 5, 2.8, 1.6))
    truth = {"amplitude": 4.4, "y": 25.5, "x": 25.1, "sigma_y": 1.15, "sigma_x": 1.15, "offset": 0.0}
    for given in ({}, {"y": 25.0, "x": 25.0}):
        check(fit_image(image, ELLIPTIC, init=given), scipy_cost(ELLIPTIC, image, truth))


EXPRESSION = Model.from_expression(
    "A*exp(-((y-yc)**2+(x-xc)**2)/(2*s**2))+c", ["y", "x"], bounds={"s": (0, float("inf"))}
)


@pytest.mark.parametrize("given", [{}, {"s": 1.5}, {"A": 1.0}, {"s": 1.5, "c": 0.0}])
def test_a_start_that_is_right_spoils_no_expression(given: dict[str, float]) -> None:
    rng, (y, x) = np.random.default_rng(5), np.mgrid[:64.0, :80.0]
    for _ in range(8):
        yc, xc = rng.uniform(6, 58), rng.uniform(6, 74)
        image = np.exp(-((y - yc) ** 2 + (x - xc) ** 2) / (2 * 1.5**2)) + rng.normal(0, NOISE, y.shape)
        truth = {"A": 1.0, "yc": yc, "xc": xc, "s": 1.5, "c": 0.0}
        check(fit_image(image, EXPRESSION, init=given), scipy_cost(EXPRESSION, image, truth))


RING = "A*exp(-(hypot(y-yc,x-xc)-R)**2/(2*w**2))+c"
DONUT = "A*((y-yc)**2+(x-xc)**2)/s**2*exp(-((y-yc)**2+(x-xc)**2)/s**2)+c"


@pytest.mark.parametrize("bounds", [{}, {"R": (0, float("inf")), "w": (0, float("inf"))}], ids=["free", "positive"])
def test_rings(bounds: dict[str, tuple[float, float]]) -> None:
    model, rng = Model.from_expression(RING, ["y", "x"], bounds=bounds), np.random.default_rng(2)
    for _ in range(5):
        names = {"A": (0.6, 1.5), "yc": (18, 30), "xc": (18, 38), "R": (6, 19), "w": (1.2, 3.5), "c": (-1, 1)}
        truth = {name: float(rng.uniform(*ends)) for name, ends in names.items()}
        image = np.asarray(model.function((Y, X), *truth.values())) + rng.normal(0, NOISE, Y.shape)
        check(fit_image(image, model), scipy_cost(model, image, truth))


def test_donuts() -> None:
    model, rng = Model.from_expression(DONUT, ["y", "x"]), np.random.default_rng(3)
    for _ in range(5):
        names = {"A": (0.6, 1.5), "yc": (14, 34), "xc": (14, 42), "s": (4, 10), "c": (-1, 1)}
        truth = {name: float(rng.uniform(*ends)) for name, ends in names.items()}
        image = np.asarray(model.function((Y, X), *truth.values())) + rng.normal(0, NOISE, Y.shape)
        check(fit_image(image, model), scipy_cost(model, image, truth))


@pytest.mark.parametrize("sloping", [False, True])
def test_two_equal_peaks(sloping: bool) -> None:
    pair = models["gaussian_2d"] + models["gaussian_2d"]
    model = pair + models["plane_2d"] if sloping else pair
    places = [(12, 14, 34, 40), (14, 40, 36, 12), (20, 20, 29, 29)]
    for seed, (y1, x1, y2, x2) in enumerate(places):
        truth = {"amplitude_1": 1.0, "y_1": y1, "x_1": x1, "sigma_1": 3.0, "offset": 0.3}
        truth |= {"amplitude_2": 1.0, "y_2": y2, "x_2": x2, "sigma_2": 3.0}
        truth |= {"slope_y": 0.01, "slope_x": -0.02} if sloping else {}
        image = noisy(np.asarray(model.function((Y, X), *(truth[name] for name in model.names))), seed)
        check(fit_image(image, model), scipy_cost(model, image, truth))


@pytest.mark.parametrize("model", [ELLIPTIC, EXPRESSION], ids=["catalogue", "expression"])
def test_a_start_does_not_depend_on_other_regions(model: Model) -> None:
    """Of small regions that are fitted together, of which some need candidates, and some their second."""
    rng = np.random.default_rng(4)
    image = noisy(gauss(10, 10, 2, 2) + 3 * gauss(34, 12, 1, 1) + 0.8 * gauss(40, 20, 3, 3) - gauss(12, 44, 2, 2))
    image[30:40, 36:46] = rng.normal(0, NOISE, (10, 10))
    labels = np.zeros(Y.shape, int)
    for number, (top, left) in enumerate([(2, 2), (26, 4), (4, 36), (30, 36), (2, 20)], 1):
        labels[top : top + 18, left : left + 18 - number] = number
    bounds = {model.names[0]: (0.0, 10.0)}
    together = fit_image(image, model, mask=labels, bounds=bounds)
    for number in range(1, 6):
        # the same request of another region beside it
        pair = np.where(labels == number, number, np.where(labels == 5 - number % 5, 5 - number % 5, 0))
        one = fit_image(image, model, mask=pair, bounds=bounds)
        column = sorted({number, 5 - number % 5}).index(number)
        for name in model.names:
            assert np.array_equal(one.params[name][column], together.params[name][number - 1], equal_nan=True), name
        assert one.status[column] == together.status[number - 1]


@pytest.mark.parametrize("size", [20, 48])
def test_a_second_candidate_where_the_first_leads_nowhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The better end of both is kept."""
    image = noisy(gauss(10, 11, 3, 2))[:size, :size]
    right = fit_image(image, ELLIPTIC)
    nowhere = np.array([1.0, 500.0, 500.0, 1.0, 1.0, 0.0])[:, None]
    monkeypatch.setattr(few, "best_start", lambda _problem, seen, *_: np.broadcast_to(nowhere, seen.given.shape))
    again = fit_image(image, ELLIPTIC)
    assert right.converged
    assert again.converged
    assert float(again.cost) == pytest.approx(float(right.cost), rel=1e-6)
    assert abs(again.params["y"] - 10) < 0.5
    # what is given wholly is nobody's to change
    given = dict(zip(ELLIPTIC.names, nowhere.ravel(), strict=True))
    assert fit_image(image, ELLIPTIC, init=given).status == Status.SINGULAR


def test_counts_and_outliers_are_looked_for_by_their_own_cost() -> None:
    rng = np.random.default_rng(6)
    rate = 3 + 40 * gauss(34, 14, 4, 3) + 80 * gauss(12, 42, 3, 3)
    bounds = {"y": (25.0, 45.0), "x": (5.0, 25.0)}
    for data, wishes in ((rng.poisson(rate), {"noise": "poisson"}), (noisy(rate), {"loss": "soft_l1"})):
        truth = DIM | {"amplitude": 40.0, "offset": 3.0}
        one = fit_image(data, ELLIPTIC, bounds=bounds, **wishes)  # type: ignore[arg-type]
        other = fit_image(data, ELLIPTIC, bounds=bounds, init=truth, **wishes)  # type: ignore[arg-type]
        check(one, float(other.cost))


@pytest.mark.parametrize("kind", ["broad", "narrow", "dip", "half of it counts", "counts"])
def test_a_large_region_is_guessed_from_bins_as_well_as_from_all_pixels(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bins hide what is narrower than they are: the guess from them is taken where it explains all pixels."""
    y, x = np.mgrid[:150, :160]
    width, height = (0.9, 60.0) if kind == "narrow" else (22.0, -60.0 if kind == "dip" else 60.0)
    image = 80 + height * np.exp(-((y - 71.3) ** 2 + ((x - 55.6) / 1.4) ** 2) / (2 * width**2))
    rng = np.random.default_rng(3)
    image = rng.poisson(image).astype(float) if kind == "counts" else image + rng.normal(0, 3, image.shape)
    if kind == "half of it counts":
        image[rng.random(image.shape) < 0.5] = np.nan
    said: dict[str, Any] = {"noise": "poisson"} if kind == "counts" else {}
    assert image.size >= few.BIN_FROM
    found = fit_image(image, "gaussian_2d_elliptic", **said)
    monkeypatch.setattr(few, "BIN_FROM", image.size + 1)
    reference = fit_image(image, "gaussian_2d_elliptic", **said)
    assert found.converged
    assert reference.converged
    # both end where the cost no longer changes by 1e-8 of it
    assert found.cost == pytest.approx(reference.cost, rel=1e-8)
    for name, truth in {"y": 71.3, "x": 55.6, "sigma_y": width, "sigma_x": 1.4 * width, "amplitude": height}.items():
        assert abs(found.params[name] - truth) < 5 * found.stderr[name]
        assert abs(found.params[name] - reference.params[name]) < 1e-3 * found.stderr[name]
