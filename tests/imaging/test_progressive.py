"""Coarse to fine: the same answers as all at once, what is shown on the way, stopping and going on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_imagefit import FitResult, Status, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.progress import Progress
from napari_imagefit.imaging.fitting.run import Run, Settings
from napari_imagefit.imaging.voxels import coarse_to_fine as progressive
from napari_imagefit.imaging.voxels.coarse_to_fine import (
    coarse_steps,
    interpolate,
    iter_fit_voxels_progressively,
    on_grid,
)
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

T = np.linspace(0, 5, 32)
GRID = (40, 44)
NAMES = ("amplitude", "tau", "offset")


def progressively(
    stack: Any, model: str = "exponential_decay", x: Any = T, should_stop: Any = None, resume: Any = None, **where: Any
) -> Any:
    request = VoxelRequest(models[model], x, **where)
    return iter_fit_voxels_progressively(stack, request, should_stop, resume)


def drain(steps: Run) -> tuple[FitResult, list[Progress]]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    """Two tissues with a sharp edge, a block of NaN, a block of zeros, and a block that is flat."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    tau = np.where(x < 20, 0.4 + y / 200, 2.5)
    data = (1 + x / 40) * np.exp(-T[:, None, None] / tau) + 0.3 + rng.normal(0, 0.02, (T.size, *GRID))
    data[:, 4:9, 4:9] = np.nan
    data[:, 20:23, 20:30] = 0
    data[:, 30:33, 30:40] = 2 + rng.normal(0, 0.02, (T.size, 3, 10))
    return data


@pytest.fixture(scope="module")
def at_once(stack: np.ndarray) -> FitResult:
    return fit_voxels(stack, "exponential_decay", x=T)


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progressive, "BATCH_VALUES", 1 << 13)
    monkeypatch.setattr(progressive, "BETWEEN", 0.0)
    monkeypatch.setattr(progressive, "SHARE", np.inf)
    monkeypatch.setattr(progressive, "SECONDS", 0.0)


def assert_same(found: FitResult, expected: FitResult, where: Any = slice(None)) -> None:
    both = (found.converged & expected.converged)[where]
    # no minimum is missed, and hardly any is found in one way only
    assert (found.converged[where] == expected.converged[where]).mean() > 0.99
    # costs to the square of the tolerance of a step, parameters to some of it
    np.testing.assert_allclose(found.cost[where][both], expected.cost[where][both], rtol=1e-6)
    for name in NAMES:
        error = expected.stderr[name][where][both]
        apart = np.abs(found.params[name][where][both] - expected.params[name][where][both])
        assert (apart <= 1e-3 * np.where(np.isfinite(error), error, 1)).all()


@pytest.mark.usefixtures("small_batches")
def test_the_same_answers_as_all_at_once(stack: np.ndarray, at_once: FitResult) -> None:
    result, seen = drain(progressively(stack))
    assert_same(result, at_once)
    np.testing.assert_array_equal(result.status == Status.TOO_FEW_SAMPLES, at_once.status == Status.TOO_FEW_SAMPLES)
    assert (result.attempt == 0).all()
    np.testing.assert_allclose(result.residual(), stack - result.fitted())
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert {step.total for step in seen} == {stack[0].size}
    assert seen[-1].done == stack[0].size


@pytest.mark.usefixtures("small_batches")
def test_partial_results_hold_answers_and_nothing_else(stack: np.ndarray) -> None:
    result, seen = drain(progressively(stack))
    partials = [step.partial for step in seen if step.partial is not None]
    assert len(partials) > 5
    first = partials[0]
    known = first.status != Status.STOPPED
    assert known.sum() < 400
    assert known[::4, ::4].all() or known[::2, ::2].sum() == known.sum()
    counts = []
    for partial in partials:
        open_ = partial.status == Status.STOPPED
        counts.append(int((~open_).sum()))
        for name in NAMES:
            for values in (partial.params[name], partial.stderr[name], partial.solution[name], partial.start[name]):
                assert np.isnan(values[open_]).all()
        good = partial.converged & (partial.cost == result.cost)
        assert good.sum() >= 0.9 * partial.converged.sum()
        np.testing.assert_array_equal(partial.params["tau"][good], result.params["tau"][good])
        partial.to_layers()
    assert counts == sorted(counts)
    # a partial result does not change when more is known
    assert (first.status != Status.STOPPED).sum() == counts[0]


def test_partial_results_are_seldom(stack: np.ndarray) -> None:
    _, seen = drain(progressively(stack))
    partials = [step.partial for step in seen if step.partial is not None]
    times = [partial.seconds for partial in partials]
    assert partials
    assert (np.diff(times) >= progressive.BETWEEN).all()


@pytest.mark.usefixtures("small_batches")
def test_stopping_and_going_on(stack: np.ndarray, at_once: FitResult) -> None:
    done = [0]
    steps = progressively(stack, should_stop=lambda: done[0] > 600)
    while True:
        try:
            done[0] = next(steps).done
        except StopIteration as end:
            stopped = end.value
            break
    open_ = stopped.status == Status.STOPPED
    assert 0 < open_.sum() < open_.size
    for name in NAMES:
        assert np.isnan(stopped.params[name][open_]).all()
        assert np.isnan(stopped.solution[name][open_]).all()
    assert_same(stopped, at_once, ~open_)

    result, seen = drain(progressively(stack, resume=stopped))
    assert seen[0].done == (~open_).sum()
    assert not (result.status == Status.STOPPED).any()
    assert_same(result, at_once)
    kept = ~open_ & (result.cost == stopped.cost)
    assert kept.sum() >= 0.95 * (~open_).sum()
    np.testing.assert_array_equal(stopped.status == Status.STOPPED, open_)  # what was given is as it was
    assert result.seconds > stopped.seconds


def test_stopped_before_anything(stack: np.ndarray) -> None:
    result, _ = drain(progressively(stack, should_stop=lambda: True))
    assert (result.status == Status.STOPPED).all()
    assert np.isnan(result.params["tau"]).all()
    assert np.isnan(result.solution["tau"]).all()


def test_masks_fixed_maps_and_sigma(stack: np.ndarray) -> None:
    mask = np.random.default_rng(3).random(GRID) < 0.6
    offset = np.full(GRID, 0.3) + np.arange(GRID[1]) / 1000
    said: dict[str, Any] = {"fixed": {"offset": offset}, "sigma": 0.02}
    result, seen = drain(progressively(stack, mask=mask, settings=Settings.of(**said)))
    expected = fit_voxels(stack, "exponential_decay", x=T, mask=mask, **said)
    assert_same(result, expected)
    np.testing.assert_array_equal(result.status == Status.NOT_FITTED, ~mask)
    np.testing.assert_array_equal(result.params["offset"][result.converged], offset[result.converged])
    assert result.known_sigma
    assert {step.total for step in seen} == {int(mask.sum())}
    assert result.recipe() == expected.recipe()


def test_starts_that_were_given_go_first(stack: np.ndarray) -> None:
    given = {"tau": np.full(GRID, 1.25), "amplitude": 1.5, "offset": 0.25}
    result, _ = drain(progressively(stack, settings=Settings.of(init=given)))
    begun = np.isfinite(result.start["tau"])
    assert (result.start["tau"][begun] == 1.25).all()
    some, _ = drain(progressively(stack, settings=Settings.of(init={"tau": 1.25})))
    assert (some.start["tau"][np.isfinite(some.start["tau"])] == 1.25).all()
    assert np.unique(some.start["amplitude"]).size > 100


def test_the_rest_starts_from_the_coarse_map(stack: np.ndarray) -> None:
    result, _ = drain(progressively(stack))
    # between two voxels of the same tissue: their mean
    for place, one, other in (((3, 12), (2, 12), (4, 12)), ((12, 35), (12, 34), (12, 36))):
        expected = 0.5 * (result.params["tau"][one] + result.params["tau"][other])
        assert result.start["tau"][place] == pytest.approx(expected, rel=1e-12)


def test_interpolation_is_linear_over_good_voxels(at_once: FitResult) -> None:
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    field = 2.0 * y - 3.0 * x + 1
    for name in NAMES:
        at_once.solution[name][...] = field  # type: ignore[index]
    inside = np.flatnonzero((y <= 36) & (x <= 40))
    good = np.ones(GRID, bool)
    np.testing.assert_allclose(interpolate(at_once, good, inside, 4)[0], field.ravel()[inside], atol=1e-12)
    good[8, 8] = False
    beside = interpolate(at_once, good, np.ravel_multi_index(([8], [9]), GRID), 4)
    assert beside[0, 0] == pytest.approx(field[8, 12])  # the only good one of its row
    assert np.isnan(interpolate(at_once, np.zeros(GRID, bool), inside, 4)).all()


def test_grids() -> None:
    assert coarse_steps((64, 64)) == [4, 2]
    assert coarse_steps((256, 256, 32)) == [8, 4, 2]
    assert coarse_steps((10, 10)) == []
    assert coarse_steps(()) == []
    found = on_grid((2, 5, 5, 5), 4)
    assert found.sum() == 2 * 8
    assert found[1, 4, 0, 4]


def test_few_voxels_and_a_single_one() -> None:
    stack = 2 * np.exp(-T[:, None] / np.array([1.0, 2.0])) + 0.1
    result, _ = drain(progressively(stack))
    np.testing.assert_allclose(result.params["tau"], [1, 2], rtol=1e-6)
    single, seen = drain(progressively(stack[:, 0]))
    assert single.shape == ()
    assert float(single.params["tau"]) == pytest.approx(1, rel=1e-6)
    assert seen[-1].done == 1


@pytest.mark.slow
def test_a_peak_far_from_its_neighbours_is_found() -> None:
    """From the interpolated start it is not seen: the guess has to help."""
    rng = np.random.default_rng(0)
    x = np.linspace(-10, 10, 50)
    centre = rng.uniform(-6, 6, GRID)
    stack = 2 * np.exp(-0.5 * ((x[:, None, None] - centre) / 0.8) ** 2) + rng.normal(0, 0.02, (x.size, *GRID))
    result, _ = drain(progressively(stack, "gaussian_1d", x))
    expected = fit_voxels(stack, "gaussian_1d", x=x)
    both = result.converged & expected.converged
    assert both.mean() > 0.99
    assert (result.cost[both] <= expected.cost[both] * (1 + 1e-6)).all()


def test_what_cannot_go_on(stack: np.ndarray, at_once: FitResult) -> None:
    with pytest.raises(FitInputError, match="has the grid"):
        progressively(stack[:, :20], resume=at_once)
    with pytest.raises(FitInputError, match="not of 'linear'"):
        progressively(stack, "linear", resume=at_once)
    with pytest.raises(FitInputError, match="share no parameter"):
        progressively(stack, settings=Settings.of(shared=["tau"]), resume=at_once)
