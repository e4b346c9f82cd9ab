"""Which samples count: one rule, applied alike to voxels, mean curves, Dask chunks and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_imagefit import FitResult, Flag, Selection, Status, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.recipes.recipe import Recipe

T = np.linspace(0, 5, 32)
EVERYTHING = Selection(1, 2, ((1.0, 1.3), (4.2, 4.5)), noise_floor=0.4, saturation=2.5, min_signal=0.9)


def make_stack() -> np.ndarray:
    rng = np.random.default_rng(0)
    tau = rng.uniform(0.5, 2, (3, 4))
    stack = rng.uniform(1, 3, (3, 4)) * np.exp(-T[:, None, None] / tau) + 0.5 + rng.normal(0, 0.03, (32, 3, 4))
    stack[:, 0, 0] *= 0.8 / stack[:, 0, 0].max()
    stack[:, 0, 1] = np.nan
    return stack


STACK = make_stack()


def by_hand(stack: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same in plain words, sample by sample."""
    data, chosen = np.full(stack.shape, np.nan), np.ones(stack.shape[1:], bool)
    for place in np.ndindex(stack.shape[1:]):
        for i, t in enumerate(T):
            value = stack[(i, *place)]
            outside = i < 1 or i >= 30 or 1.0 <= t <= 1.3 or 4.2 <= t <= 4.5
            if np.isfinite(value) and not outside and 0.4 <= value < 2.5:
                data[(i, *place)] = value
        counted = data[(slice(None), *place)]
        if np.isfinite(counted).any():
            chosen[place] = np.nanmax(counted) >= 0.9
    return data, chosen


def same(a: FitResult, b: FitResult) -> None:
    for name in a.model.names:
        np.testing.assert_array_equal(a.params[name], b.params[name])
        np.testing.assert_array_equal(a.stderr[name], b.stderr[name])
    np.testing.assert_array_equal(a.status, b.status)
    np.testing.assert_array_equal(a.n_used, b.n_used)


def test_apply_is_what_it_says() -> None:
    data, chosen = EVERYTHING.apply(STACK, T)
    expected, fitted = by_hand(STACK)
    np.testing.assert_array_equal(data, expected)
    np.testing.assert_array_equal(chosen, fitted)
    assert not chosen.all()
    np.testing.assert_array_equal(EVERYTHING.usable(STACK, T), np.isfinite(expected))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_any_axis(axis: int) -> None:
    data, chosen = EVERYTHING.apply(np.moveaxis(STACK, 0, axis), T, axis)
    expected, fitted = by_hand(STACK)
    np.testing.assert_array_equal(np.moveaxis(data, axis, 0), expected)
    np.testing.assert_array_equal(chosen, fitted)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "i4"])
def test_numbers_stay_what_they_are(dtype: str) -> None:
    stack = np.arange(24).reshape(8, 3).astype(dtype)
    data, _ = Selection(skip_first=2).apply(stack)
    assert data.dtype.kind == "f"
    np.testing.assert_array_equal(data[2:], stack[2:])
    assert np.isnan(data[:2]).all()
    np.testing.assert_array_equal(stack, np.arange(24).reshape(8, 3))


@pytest.fixture(scope="module")
def selected() -> FitResult:
    return fit_voxels(STACK, "exponential_decay", x=T, select=EVERYTHING)


def test_a_fit_sees_what_is_selected(selected: FitResult) -> None:
    expected, chosen = by_hand(STACK)
    with_nan = fit_voxels(expected, "exponential_decay", x=T, mask=chosen)
    np.testing.assert_array_equal(selected.status == Status.NOT_FITTED, ~chosen)
    assert selected.status[0, 1] == Status.TOO_FEW_SAMPLES
    np.testing.assert_array_equal(selected.n_used, with_nan.n_used)
    for name in selected.model.names:
        # the same samples in programs of another length: sums in another order
        np.testing.assert_allclose(selected.params[name], with_nan.params[name], rtol=1e-5)
    # data and model are there for all samples, those that do not count included
    assert np.isfinite(selected.fitted()[0][selected.converged]).all()
    np.testing.assert_array_equal(selected.residual()[0], (STACK - selected.fitted())[0])


def test_samples_left_out_by_place_raise_no_flag() -> None:
    result = fit_voxels(STACK[:, 1:], "exponential_decay", x=T, select=Selection(skip_first=1, exclude=[(1, 2)]))
    assert (result.n_left_out == 0).all()
    assert not (result.flags & Flag.MASKED_SAMPLES).any()
    by_value = fit_voxels(STACK[:, 1:], "exponential_decay", x=T, select=Selection(saturation=1.5))
    np.testing.assert_array_equal(by_value.n_left_out, (STACK[:, 1:] >= 1.5).sum(axis=0))
    np.testing.assert_array_equal((by_value.flags & Flag.MASKED_SAMPLES) > 0, by_value.n_left_out > 0)


def test_dask_is_the_same(selected: FitResult) -> None:
    lazy = fit_voxels(da.from_array(STACK, chunks=(8, 1, 2)), "exponential_decay", x=T, select=EVERYTHING)
    same(lazy.compute(), selected)
    assert lazy.recipe() == selected.recipe()
    np.testing.assert_array_equal(lazy.fitted().compute(), selected.fitted())


def test_a_recipe_is_the_same(selected: FitResult) -> None:
    said = json.loads(json.dumps(selected.recipe(), allow_nan=False))
    recipe = Recipe.of(said)
    assert recipe.fit.select == EVERYTHING
    plan = recipe.plan(STACK)
    steps = plan.steps(STACK, {})
    while True:
        try:
            next(steps)
        except StopIteration as end:
            same(end.value, selected)
            break


def test_the_command_is_the_same(selected: FitResult, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    from napari_imagefit.command_line.run import run_recipe

    np.save(tmp_path / "stack.npy", STACK)
    (tmp_path / "recipe.json").write_text(json.dumps(selected.recipe()))
    run_recipe(tmp_path / "recipe.json", str(tmp_path / "stack.npy"), tmp_path / "out", None, 5, lambda _: None)
    group = zarr.open_group(str(tmp_path / "out"), mode="r")
    np.testing.assert_array_equal(group["status"][:], selected.status)
    np.testing.assert_array_equal(group["params/tau"][:], selected.params["tau"])


@pytest.mark.parametrize(
    "select", [Selection(), EVERYTHING, Selection(exclude=[(-np.inf, 0.5)]), Selection(min_signal=0.0)]
)
def test_recipes_come_back(select: Selection) -> None:
    assert Selection.of_recipe(json.loads(json.dumps(select.recipe(), allow_nan=False))) == select


def test_nothing_bright_enough_is_no_error() -> None:
    result = fit_voxels(STACK, "exponential_decay", x=T, select=Selection(min_signal=1e6))
    assert (result.status[np.isfinite(STACK).all(axis=0)] == Status.NOT_FITTED).all()
    assert np.isnan(result.params["tau"]).all()
    one = fit_voxels(STACK[:, 1, 1], "exponential_decay", x=T, select=Selection(min_signal=1e6))
    assert one.status == Status.NOT_FITTED


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"skip_first": -1}, "skip_first is -1"),
        ({"skip_last": 1.5}, "skip_last is 1.5"),
        ({"exclude": [(2, 1)]}, "from 2 to 1 runs backwards"),
        ({"exclude": [(1, 2, 3)]}, "exclude holds"),
        ({"exclude": (1, 2)}, "exclude holds 1"),
        ({"noise_floor": np.nan}, "noise_floor is nan"),
        ({"noise_floor": 5, "saturation": 5}, "noise_floor=5 is not below saturation=5"),
        ({"min_signal": "high"}, "min_signal is 'high'"),
    ],
)
def test_what_makes_no_sense_is_refused(how: dict[str, Any], words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        Selection(**how)


@pytest.mark.parametrize("lazily", [False, True])
@pytest.mark.parametrize(
    ("select", "words"),
    [
        (Selection(skip_first=20, skip_last=20), "of 32 samples none is left"),
        (Selection(exclude=[(-1, 9)]), "excluded -1 to 9"),
        (Selection(skip_first=30), "2 of 32 samples are selected, which is too few for the 3 free parameters"),
    ],
)
def test_too_little_is_refused_before_anything_is_computed(select: Selection, words: str, lazily: bool) -> None:
    stack = da.from_array(STACK, chunks=(32, 1, 2)) if lazily else STACK
    with pytest.raises(FitInputError, match=words):
        fit_voxels(stack, "exponential_decay", x=T, select=select)


@pytest.mark.parametrize(
    ("said", "words"), [({"skip": 1}, "'skip'"), ([1], "give an object"), ({"exclude": [["a", 1]]}, "exclude holds")]
)
def test_a_wrong_recipe_is_refused(said: Any, words: str) -> None:
    with pytest.raises(FitInputError, match=words):
        Recipe.of({"verb": "fit_voxels", "model": "linear", "select": said})
