"""`TrustRegionFitter` on bound models: answers, NaN, masks, bounds, progress and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.optimize import curve_fit

from napari_imagefit import Model, Parameter, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.osipy_api.fitter import TrustRegionFitter

T = np.linspace(0, 10, 32)
RNG = np.random.default_rng(11)
N = 60
TRUE = np.stack([RNG.uniform(50, 200, N), RNG.uniform(1, 4, N), RNG.uniform(0, 20, N)])
DATA = TRUE[0] * np.exp(-T[:, None] / TRUE[1]) + TRUE[2] + RNG.normal(0, 2, (T.size, N))
BOUND = models["exponential_decay"].bind(T)
FIT = TrustRegionFitter()


def decay(t: Any, amplitude: float, tau: float, offset: float) -> Any:
    return amplitude * np.exp(-t / tau) + offset


@pytest.mark.parametrize("upper", [np.inf, 2.0])
def test_the_minimum_of_scipy(upper: float) -> None:
    params, r2, converged = TrustRegionFitter(tolerance=1e-10).fit_batch(BOUND, DATA, {"tau": (0.1, upper)})
    assert params.shape == (3, N)
    assert r2.shape == converged.shape == (N,)
    assert converged.dtype == bool
    assert converged.all()
    for i in range(8):
        bounds = ([-np.inf, 0.1, -np.inf], [np.inf, upper, np.inf])
        expected, _ = curve_fit(decay, T, DATA[:, i], [100, 1.5, 5], bounds=bounds, ftol=1e-12, xtol=1e-12, gtol=1e-12)
        np.testing.assert_allclose(params[:, i], expected, rtol=2e-5)
        rest = DATA[:, i] - decay(T, *expected)
        assert r2[i] == pytest.approx(1 - rest @ rest / np.sum((DATA[:, i] - DATA[:, i].mean()) ** 2), abs=1e-9)


def test_the_chunk_size_has_no_part_in_the_answer() -> None:
    """Nor has the company of other voxels."""
    everything = [TrustRegionFitter(chunk_size=size).fit_image(BOUND, DATA.T) for size in (1, 7, 1000, None)]
    for maps in everything[1:]:
        for name in maps:
            np.testing.assert_array_equal(maps[name], everything[0][name])
    params, _, _ = FIT.fit_batch(BOUND, DATA)
    some, _, _ = FIT.fit_batch(BOUND, DATA[:, 5:8])
    np.testing.assert_array_equal(some, params[:, 5:8])


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16, ">f8"])
def test_other_types_of_data(dtype: Any) -> None:
    params, _, converged = FIT.fit_batch(BOUND, DATA.astype(dtype))
    expected, _, _ = FIT.fit_batch(BOUND, DATA.astype(dtype).astype(float))
    assert params.dtype == np.float64
    assert converged.all()
    np.testing.assert_array_equal(params, expected)


def test_voxels_without_an_answer() -> None:
    data = DATA.copy()
    data[:, 0] = np.nan
    data[2:, 1] = np.inf  # two samples for three parameters
    data[:, 2] = 7.0  # determines nothing but a level
    data[[3, 9], 3] = np.nan
    params, r2, converged = FIT.fit_batch(BOUND, data)
    assert np.isnan(params[:, :3]).all()
    assert np.isnan(r2[:3]).all()
    assert not converged[:3].any()
    assert converged[3:].all()
    kept = np.delete(np.arange(T.size), [3, 9])
    expected, its_r2, _ = FIT.fit_batch(models["exponential_decay"].bind(T[kept]), DATA[kept, 3:4])
    np.testing.assert_allclose(params[:, 3], expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(r2[3], its_r2[0], rtol=1e-6)
    others, _, _ = FIT.fit_batch(BOUND, DATA)
    np.testing.assert_array_equal(params[:, 4:], others[:, 4:])


def test_the_limit_of_iterations_keeps_where_a_fit_came_to() -> None:
    model = Model.from_expression("a*exp(-t/tau)", ["t"], init={"a": 1.0, "tau": 20.0})
    params, r2, converged = TrustRegionFitter(max_iterations=1).fit_batch(model.bind(T), DATA)
    assert np.isfinite(params).all()
    assert np.isfinite(r2).all()
    assert not converged.any()


@pytest.mark.parametrize("spatial", [(), (60,), (6, 10), (3, 4, 5), (3, 2, 2, 5)])
def test_any_number_of_spatial_axes(spatial: tuple[int, ...]) -> None:
    data = DATA.T[: int(np.prod(spatial))].reshape(*spatial, T.size)
    params, r2, _ = FIT.fit_batch(BOUND, DATA)
    maps = FIT.fit_image(BOUND, data)
    assert list(maps) == ["amplitude", "tau", "offset", "r_squared"]
    assert maps.rejected == 0
    for name, row in zip(maps, [*params, r2], strict=True):
        assert maps[name].shape == spatial
        np.testing.assert_array_equal(maps[name].ravel(), row[: maps[name].size])


@pytest.mark.parametrize("dtype", [bool, np.uint8, int])
def test_outside_the_mask_is_nan(dtype: Any) -> None:
    data, mask = DATA.T.reshape(6, 10, -1), RNG.random((6, 10)) < 0.4
    everywhere, maps = FIT.fit_image(BOUND, data), FIT.fit_image(BOUND, data, mask.astype(dtype))
    for name in maps:
        np.testing.assert_array_equal(maps[name], np.where(mask, everywhere[name], np.nan))


def test_an_empty_mask() -> None:
    """osipy: TypeError."""
    maps = FIT.fit_image(BOUND, DATA.T.reshape(6, 10, -1), np.zeros((6, 10), bool))
    assert list(maps) == ["amplitude", "tau", "offset", "r_squared"]
    assert all(a.shape == (6, 10) and np.isnan(a).all() for a in maps.values())
    assert maps.rejected == 0
    params, r2, converged = FIT.fit_batch(BOUND, DATA[:, :0])
    assert (params.shape, r2.shape, converged.shape) == ((3, 0), (0,), (0,))


def test_fits_below_the_threshold() -> None:
    data = DATA.T.reshape(6, 10, -1).copy()
    data[1, :4] = RNG.normal(0, 1, (4, T.size))
    data[2, 0] = np.nan
    keep = TrustRegionFitter(r2_threshold=-np.inf).fit_image(BOUND, data)
    maps = FIT.fit_image(BOUND, data)
    low = keep["r_squared"] < 0.5
    assert low[1, :4].sum() == maps.rejected == low.sum() > 0
    assert keep.rejected == 0
    np.testing.assert_array_equal(maps["r_squared"], keep["r_squared"])
    for name in BOUND.parameters:
        np.testing.assert_array_equal(maps[name], np.where(low, np.nan, keep[name]))


def test_bounds_for_each_voxel() -> None:
    data = DATA.T.reshape(6, 10, -1)
    tau = TRUE[1].reshape(6, 10)
    mask = tau > 2
    maps = FIT.fit_image(BOUND, data, mask, {"tau": (tau, tau), "offset": (0, 8.0)})
    np.testing.assert_array_equal(maps["tau"][mask], tau[mask])
    assert np.nanmax(maps["offset"]) <= 8
    params, _, _ = FIT.fit_batch(BOUND, DATA, {"tau": [TRUE[1], TRUE[1]]})
    np.testing.assert_array_equal(params[1], TRUE[1])


def test_progress() -> None:
    data = DATA.T.reshape(6, 10, -1)
    for size, expected in ((7, [*range(7, 60, 7), 60]), (60, [60]), (1000, [60])):
        pairs: list[tuple[int, int]] = []
        TrustRegionFitter(chunk_size=size).fit_image(
            BOUND, data, progress_callback=lambda n, of, out=pairs: out.append((n, of))
        )
        assert pairs == [(done, 60) for done in expected]
    done: list[int] = []
    FIT.fit_image(BOUND, data, progress_callback=lambda n, total: done.append(n) or total)
    assert done == sorted(set(done))
    assert done[-1] == 60
    fractions: list[float] = []  # osipy's way
    TrustRegionFitter(chunk_size=15).fit_image(BOUND, data, progress_callback=fractions.append)
    assert fractions == [0.25, 0.5, 0.75, 1.0]


def test_a_surface() -> None:
    y, x = np.mgrid[:9.0, :9.0]
    true = np.array([[10, 12], [4, 4.5], [4.2, 3.6], [1.5, 1.8], [1, 2.0]])
    bound = models["gaussian_2d"].bind(y, x)
    params, r2, converged = FIT.fit_batch(bound, bound.predict(true))
    np.testing.assert_allclose(params, true, rtol=1e-5)
    np.testing.assert_allclose(r2, 1)
    assert converged.all()


def test_a_guess_that_knows_nothing() -> None:
    def guess(_coords: Any, data: Any, _weights: Any) -> Any:
        return np.where(np.asarray(data).max(axis=0) < 100, np.nan, 1.0)[None]

    model = Model("c", lambda c, a: a + 0 * c[0], [Parameter("a")], 1, guess)
    params, _, converged = FIT.fit_batch(model.bind(T), np.stack([np.arange(32.0), 100 + np.arange(32)], axis=1))
    assert np.isnan(params[0, 0])
    assert params[0, 1] == pytest.approx(115.5)
    np.testing.assert_array_equal(converged, [False, True])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"tolerance": -1}, "tolerance=-1 is not one; give a number from 0"),
        ({"tolerance": 1.0}, "tolerance=1.0 is not one"),
        ({"tolerance": "small"}, "tolerance='small'"),
        ({"chunk_size": 0}, "chunk_size=0 is no number of voxels; give a whole one"),
        ({"chunk_size": 2.5}, "chunk_size=2.5"),
        ({"max_iterations": 0}, "max_iterations must be a positive integer, got 0"),
        ({"r2_threshold": np.nan}, "r2_threshold=nan is no r²"),
    ],
)
def test_wrong_settings(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(FitInputError, match=message):
        TrustRegionFitter(**argument)


@pytest.mark.parametrize(
    ("data", "bounds", "message"),
    [
        (DATA[:, 0], None, r"observed_batch has shape \(32,\); give \(n_observations, n_voxels\)"),
        (DATA.T, None, "60 observations per voxel, but the model is bound to 32"),
        (DATA * 1j, None, "observed_batch has type complex128, which is not one of real numbers"),
        (DATA, {"taw": (0, 1)}, "bounds_override names 'taw'; the model has amplitude, tau, offset"),
        (DATA, {"tau": (2, 1)}, "the lower bound 2 of 'tau' is above its upper bound 1"),
        (DATA, {"tau": (np.nan, 1)}, "a bound of 'tau' is NaN"),
        (DATA, {"tau": 3}, r"bounds of 'tau' are 3; give \(lower, upper\)"),
        (DATA, {"tau": np.array(3)}, r"bounds of 'tau' are array\(3\); give \(lower, upper\)"),
        (DATA, {"tau": (np.zeros(5), 1)}, r"a bound of 'tau' has shape \(5,\); give a number, or shape \(60,\)"),
        (DATA, [(0, 1)] * 3, r"bounds_override is .*; give a dict"),
        (DATA, dict.fromkeys(BOUND.parameters, (1, 1)), "all parameters of 'exponential_decay' are fixed"),
    ],
)
def test_wrong_input(data: Any, bounds: Any, message: str) -> None:
    with pytest.raises(FitInputError, match=message):
        FIT.fit_batch(BOUND, data, bounds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": 3.0}, "data is one number; give"),
        ({"data": DATA.T * 1j}, "data has type complex128"),
        ({"mask": np.ones((3, 20), bool)}, r"the mask has shape \(3, 20\); give one of .* \(60,\)"),
        ({"mask": np.ones(60)}, "the mask has type float64; give a boolean one"),
        ({"mask": np.zeros(60, bool), "bounds_override": {"x": (0, 1)}}, "bounds_override names 'x'"),
        ({"progress_callback": lambda: None}, r"does not take \(done, total\)"),
        ({"progress_callback": 3}, r"progress_callback=3 does not take"),
    ],
)
def test_wrong_images(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FitInputError, match=message):
        FIT.fit_image(BOUND, **{"data": DATA.T, **arguments})


def test_a_callback_of_any_arguments_gets_fractions_and_an_empty_mask_ends_once() -> None:
    data = np.ascontiguousarray(DATA.T)
    some: list[Any] = []
    TrustRegionFitter().fit_image(BOUND, data, progress_callback=lambda *a: some.append(a))
    assert some[-1] == (1.0,)
    nobody = np.zeros(data.shape[:-1], bool)
    for callback, end in ((lambda *a: some.append(a), [(1.0,)]), (lambda n, of: some.append((n, of)), [(0, 0)])):
        some.clear()
        maps = TrustRegionFitter().fit_image(BOUND, data, nobody, progress_callback=callback)
        assert some == end
        assert np.isnan(maps["r_squared"]).all()
