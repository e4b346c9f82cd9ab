"""A second chance: what the first try missed is solved, and nothing gets worse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from napari_imagefit import FitResult, Model, Status, fit_image, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.fitting.run import Settings
from napari_imagefit.imaging.voxels.best_attempt import copy, failed, is_better
from napari_imagefit.imaging.voxels.neighbours import neighbour_starts
from napari_imagefit.imaging.voxels.refit import iter_refit, places_to_refit, refit, wider_bounds

T = np.linspace(0, 5, 32)
STATE = ("params", "stderr", "solution", "start", "at_bound")


def smooth(rng: np.random.Generator, grid: tuple[int, ...], low: float, high: float) -> np.ndarray:
    """A map that varies slowly."""
    field = rng.normal(size=grid)
    for axis in range(len(grid)):
        for _ in range(3):
            field = sum(np.roll(field, shift, axis) for shift in range(-3, 4))
    share = (field - field.min()) / np.ptp(field)
    return np.asarray(low + (high - low) * share)


@dataclass(frozen=True)
class Phantom:
    """Known curves of which the first try misses some."""

    model: str
    x: np.ndarray
    ranges: dict[str, tuple[float, float]]
    first: dict[str, Any]


PHANTOMS = {
    # 3 of 10 positions are so far from the start that the peak is not seen
    "far starts": Phantom(
        "gaussian_1d",
        np.linspace(-10, 10, 50),
        {"amplitude": (1, 3), "x": (-5, 5), "sigma": (0.6, 1.5), "offset": (0, 0.5)},
        {"init": {"x": 0.0, "sigma": 0.8}},
    ),
    "few iterations": Phantom(
        "biexponential_decay",
        np.linspace(0, 200, 40),
        {
            "amplitude_1": (0.5, 2),
            "tau_1": (5, 15),
            "amplitude_2": (0.5, 2),
            "tau_2": (50, 90),
            "offset": (0.1, 0.3),
        },
        # fewer than even a good start needs
        {"max_iterations": 5},
    ),
    "ivim": Phantom(
        "ivim",
        np.array([0.0, 10, 20, 30, 50, 80, 100, 150, 200, 300, 400, 500, 600, 800]),
        {"s0": (0.8, 1.2), "f": (0.05, 0.3), "d_star": (0.01, 0.05), "d": (0.0005, 0.002)},
        {"max_iterations": 6},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PHANTOMS)
@pytest.mark.parametrize("grid", [(40, 40)])
def test_what_a_fit_from_the_truth_solves_is_solved(name: str, grid: tuple[int, ...]) -> None:
    import jax

    phantom = PHANTOMS[name]
    rng = np.random.default_rng(1)
    truth = {parameter: smooth(rng, grid, *ends) for parameter, ends in phantom.ranges.items()}
    model = models[phantom.model]
    with jax.enable_x64(True):
        clean = np.asarray(model.function((phantom.x[:, None, None],), *(truth[n] for n in model.names)))
    stack = clean + rng.normal(0, 0.01, clean.shape)
    best = fit_voxels(stack, model, x=phantom.x, init=truth)
    first = fit_voxels(stack, model, x=phantom.x, **phantom.first)

    def solved(result: FitResult) -> np.ndarray:
        return result.converged & (result.cost <= best.cost * (1 + 1e-6))

    missed = best.converged & ~solved(first)
    assert missed.sum() > 20
    second = refit(first)
    assert solved(second)[missed].mean() >= 0.9
    # and nothing is lost: of what had converged the cost is no larger
    assert (second.cost[first.converged] <= first.cost[first.converged]).all()
    assert (second.converged >= first.converged).all()
    assert (second.attempt[missed & solved(second)] > 0).all()
    untouched = second.attempt == 0
    for field in STATE:
        for parameter in model.names:
            np.testing.assert_array_equal(
                getattr(second, field)[parameter][untouched], getattr(first, field)[parameter][untouched]
            )


@pytest.fixture(scope="module")
def decays() -> np.ndarray:
    rng = np.random.default_rng(0)
    stack = smooth(rng, (8, 9), 1, 3) * np.exp(-T[:, None, None] / smooth(rng, (8, 9), 0.5, 2)) + 0.3
    return stack + rng.normal(0, 0.02, stack.shape)


BAD = np.zeros((8, 9), bool)
BAD[2:4, 3:5] = BAD[0, 0] = True


def poor_starts() -> dict[str, Any]:
    return {"amplitude": 1.0, "offset": 0.0, "tau": np.where(BAD, 1e-5, 1.0)}


@pytest.fixture(scope="module")
def good(decays: np.ndarray) -> FitResult:
    return fit_voxels(decays, "exponential_decay", x=T)


@pytest.fixture(scope="module")
def first(decays: np.ndarray) -> FitResult:
    """Of five voxels the fit fails."""
    result = fit_voxels(decays, "exponential_decay", x=T, init=poor_starts())
    np.testing.assert_array_equal(failed(result), BAD)
    return result


def test_neighbours_solve_what_failed(first: FitResult, good: FitResult) -> None:
    second = refit(first)
    assert second.converged.all()
    np.testing.assert_array_equal(second.attempt, BAD.astype(np.int8))
    np.testing.assert_allclose(second.params["tau"], good.params["tau"], rtol=1e-5)
    np.testing.assert_allclose(second.stderr["tau"], good.stderr["tau"], rtol=1e-4)
    np.testing.assert_allclose(second.cost, good.cost, rtol=1e-8)
    np.testing.assert_array_equal(first.attempt, 0)
    assert np.isnan(first.params["tau"][BAD]).all()  # the first result is as it was
    np.testing.assert_allclose(second.residual(), good.residual(), atol=1e-5)
    assert second.to_dataframe()["attempt"].sum() == 5


def test_the_starts_are_medians_of_good_neighbours(first: FitResult) -> None:
    trusted = first.converged
    starts = neighbour_starts(first, np.array([0]), trusted)
    values, weights = [], []
    for place in [(0, 1), (1, 0), (1, 1)]:
        values.append(first.params["tau"][place])
        weights.append(1 / first.stderr["tau"][place] ** 2)
    order = np.argsort(values)
    reached = np.cumsum(np.array(weights)[order])
    assert starts[1, 0] == np.array(values)[order][np.searchsorted(reached, reached[-1] / 2)]


def test_without_any_good_neighbour_the_own_guess_solves(decays: np.ndarray, good: FitResult) -> None:
    nothing = fit_voxels(decays, "exponential_decay", x=T, init={"amplitude": 1.0, "offset": 0.0, "tau": 1e-5})
    assert not nothing.converged.any()
    second = refit(nothing)
    assert second.converged.all()
    assert set(np.unique(second.attempt)) <= {1, 2}
    assert (second.attempt == 2).any()
    np.testing.assert_allclose(second.cost, good.cost, rtol=1e-8)


def test_places_that_are_asked_for(first: FitResult, good: FitResult) -> None:
    places = np.zeros_like(BAD)
    places[0] = True
    second = refit(first, places=places)
    np.testing.assert_array_equal(failed(second), BAD & ~places)
    np.testing.assert_allclose(second.cost[0], good.cost[0], rtol=1e-8)
    assert (second.attempt[1:] == 0).all()
    for place in (slice(1, 8), slice(5, 9)):  # one that had an answer keeps it if none is better
        np.testing.assert_array_equal(second.params["tau"][0, place], first.params["tau"][0, place])


def test_masks_fixed_maps_and_noise(decays: np.ndarray) -> None:
    mask = np.ones_like(BAD)
    mask[:, 7:] = False
    offsets = np.full(BAD.shape, 0.3) + np.arange(9) / 1000
    said: dict[str, Any] = {"x": T, "mask": mask, "fixed": {"offset": offsets}, "sigma": 0.02}
    start = {"amplitude": 1.0, "tau": np.where(BAD, 1e-5, 1.0)}
    broken = fit_voxels(decays, "exponential_decay", init=start, **said)
    whole = fit_voxels(decays, "exponential_decay", **said)
    second = refit(broken)
    assert failed(broken).any()
    assert (second.status[~mask] == Status.NOT_FITTED).all()
    assert (second.attempt[~mask] == 0).all()
    np.testing.assert_array_equal(second.params["offset"][mask], offsets[mask])
    np.testing.assert_allclose(second.cost[mask], whole.cost[mask], rtol=1e-8)
    np.testing.assert_allclose(second.stderr["tau"][mask], whole.stderr["tau"][mask], rtol=1e-4)
    assert second.known_sigma
    same = Settings.of(fixed={"offset": offsets.copy()}, sigma=0.02, init={"tau": 1.0, "amplitude": 1.0})
    assert refit(broken, settings=same).converged[mask].all()
    other = Settings.of(fixed={"offset": offsets + 1e-3}, sigma=0.02)
    with pytest.raises(FitInputError, match="fixed is not what it was"):
        refit(broken, settings=other)


@pytest.mark.slow
def test_tied_parameters_and_a_robust_loss(decays: np.ndarray) -> None:
    start = {"amplitude": 1.0, "tau": np.where(BAD, 1e-5, 1.0)}
    said: dict[str, Any] = {"x": T, "tied": {"offset": "0.15*amplitude"}, "loss": "soft_l1", "f_scale": 0.05}
    broken = fit_voxels(decays, "exponential_decay", init=start, **said)
    whole = fit_voxels(decays, "exponential_decay", **said)
    assert failed(broken).any()
    second = refit(broken)
    assert second.converged.all()
    np.testing.assert_allclose(second.cost, whole.cost, rtol=1e-8)
    np.testing.assert_allclose(second.params["offset"], 0.15 * second.params["amplitude"], rtol=1e-12)


def test_samples_that_are_left_out_stay_out(decays: np.ndarray) -> None:
    holes = decays.copy()
    holes[:4, 2, 3] = np.nan
    second = refit(fit_voxels(holes, "exponential_decay", x=T, init=poor_starts()))
    assert second.n_used[2, 3] == T.size - 4
    assert second.converged[2, 3]
    np.testing.assert_allclose(second.cost[2, 3], fit_voxels(holes, "exponential_decay", x=T).cost[2, 3], rtol=1e-8)


def test_a_curve_that_cannot_be_fitted_stays_without_an_answer(decays: np.ndarray) -> None:
    flat = decays.copy()
    flat[:, 2, 3] = 0.0
    flat[:, 5, 5] = np.nan
    second = refit(fit_voxels(flat, "exponential_decay", x=T, init=poor_starts()))
    assert not second.converged[2, 3]
    assert np.isnan([second.params[name][2, 3] for name in ("amplitude", "tau")]).all()
    assert second.status[5, 5] == Status.TOO_FEW_SAMPLES
    assert second.attempt[5, 5] == 0
    assert second.converged.sum() == 70


@pytest.mark.slow
def test_wider_bounds_are_the_last_resort(decays: np.ndarray) -> None:
    model = Model.from_expression(
        "a*exp(-t/tau) + c", ["t"], bounds={"a": (0, 10), "tau": (0.1, 1.0), "c": (-1, 1)}, init={"tau": 0.7}
    )
    confined = fit_voxels(decays, model, x=T)
    at_end = confined.at_bound["tau"] == 1
    assert at_end.any()
    assert not at_end.all()
    call = confined.source.call  # type: ignore[attr-defined]
    assert wider_bounds(call) == {"a": (0, 20), "tau": (0.0, 1.9), "c": (-3, 3)}
    second = refit(confined, places=at_end)
    assert (second.attempt[at_end] == 3).mean() > 0.5
    beyond = second.attempt == 3
    assert (second.params["tau"][beyond] > 1).all()
    assert (second.cost[beyond] < confined.cost[beyond]).all()
    # what the user said stays
    told = fit_voxels(decays, model, x=T, bounds={"tau": (0.1, 1.0)})
    assert "tau" not in wider_bounds(told.source.call)  # type: ignore[attr-defined]
    assert (np.nan_to_num(refit(told, places=at_end).params["tau"]) <= 1).all()


def test_other_settings(first: FitResult, good: FitResult) -> None:
    second = refit(first, settings=Settings.of(init={"tau": 1.0, "amplitude": 1.0, "offset": 0.1}, xtol=1e-10))
    np.testing.assert_allclose(second.cost, good.cost, rtol=1e-8)
    for settings, said in (
        (Settings.of(sigma=0.03), "sigma is not what it was"),
        (Settings.of(loss="huber"), "noise is not what it was"),
        (Settings.of(fixed={"offset": 0.3}), "fixed is not what it was"),
        (Settings.of(shared=["tau"]), "cannot be shared"),
    ):
        with pytest.raises(FitInputError, match=said):
            refit(first, settings=settings)


def test_stopping_keeps_what_is_better(first: FitResult) -> None:
    stopped = refit(first, should_stop=lambda: True)
    np.testing.assert_array_equal(stopped.status, first.status)
    np.testing.assert_array_equal(stopped.cost, first.cost)


def test_progress(first: FitResult) -> None:
    seen = list(iter_refit(first, places=BAD))
    assert {step.total for step in seen} == {5}
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == 5


def test_what_has_nothing_to_gain_is_returned_as_it_is(good: FitResult) -> None:
    # noise alone makes one of 300 look wrong
    assert places_to_refit(good).sum() <= 2
    second = refit(good, places=np.ones_like(BAD))
    np.testing.assert_array_equal(second.cost, good.cost)
    np.testing.assert_array_equal(second.attempt, 0)


def test_which_answer_is_better(first: FitResult, good: FitResult) -> None:
    everywhere = np.arange(good.status.size)

    def flat(result: FitResult) -> FitResult:
        own = copy(result)
        object.__setattr__(own, "cost", own.cost.ravel())
        object.__setattr__(own, "status", own.status.ravel())
        object.__setattr__(own, "spread", own.spread.ravel())
        return own

    better = is_better(flat(good), first, everywhere)
    np.testing.assert_array_equal(better.reshape(BAD.shape), BAD)
    assert not is_better(flat(first), good, everywhere).any()
    assert not is_better(flat(good), good, everywhere).any()


@pytest.mark.parametrize(
    ("places", "said"),
    [(np.ones((8, 9)), "type float64"), (np.ones((9, 8), bool), r"shape \(9, 8\)")],
)
def test_places_that_make_no_sense(first: FitResult, places: np.ndarray, said: str) -> None:
    with pytest.raises(FitInputError, match=said):
        iter_refit(first, places=places)


def test_results_that_cannot_be_fitted_again(first: FitResult) -> None:
    source: Any = first.source
    shared = replace(source.call, settings=replace(source.call.settings, shared=("tau",)))
    with pytest.raises(FitInputError, match="have tau in common"):
        refit(replace(first, source=replace(source, call=shared)))
    with pytest.raises(FitInputError, match="on a stack in memory"):
        refit(replace(first, source=replace(source, call=None)))
    y, x = np.mgrid[:12, :12]
    image = fit_image(np.exp(-((y - 5.0) ** 2 + (x - 6.0) ** 2) / 8), "gaussian_2d", should_stop=lambda: True)
    with pytest.raises(FitInputError, match="only a result of fit_voxels"):
        refit(image)
