"""Histograms of maps: every finite value is counted, none is invented."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import fit_voxels
from napari_imagefit.imaging.inspection.histogram import histogram, map_names, map_values, within


def test_counts_are_numpy_s() -> None:
    values = np.random.default_rng(0).normal(3, 1, (50, 40))
    values[0, :7] = np.nan
    found = histogram(values, robust=False)
    finite = values[np.isfinite(values)]
    counts, edges = np.histogram(finite, 89)  # 2√1993
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.edges, edges)
    assert (found.n_finite, found.n_outside) == (2000 - 7, 0)


def test_what_lies_far_away_does_not_flatten_the_rest() -> None:
    values = np.random.default_rng(0).uniform(1, 2, 10_000)
    values[:3] = 1e6, -1e6, np.inf
    found = histogram(values)
    assert found.edges[-1] < 4
    assert found.edges[0] > -1
    assert (found.n_finite, found.n_outside) == (9999, 2)
    assert found.counts.sum() == 9997


@pytest.mark.parametrize("values", [np.full(9, 5.0), np.array([np.nan, 1e300]), np.array([0.0]), np.full(4, np.nan)])
def test_maps_without_any_spread(values: np.ndarray) -> None:
    found = histogram(values)
    assert found.counts.sum() == np.isfinite(values).sum()
    assert (np.diff(found.edges) > 0).all()


def test_whole_numbers_have_bins_of_their_own() -> None:
    found = histogram(np.array([3.0, 4, 4, 6, np.nan]), whole=True)
    np.testing.assert_array_equal(found.counts[:4], [1, 2, 0, 1])
    assert found.edges[0] == 2.5


def test_a_range_holds_both_ends_and_no_nan() -> None:
    assert within(np.array([1, 2, 3, np.nan]), 1, 2).tolist() == [True, True, False, False]


def test_maps_of_a_result() -> None:
    t = np.arange(8.0)
    stack = (t[:, None, None] + 1) * np.ones((2, 3)) + np.random.default_rng(0).normal(0, 0.1, (8, 2, 3))
    mask = np.ones((2, 3), bool)
    mask[0, 0] = False
    result = fit_voxels(stack, "linear", x=t, mask=mask, fixed={"intercept": 1})
    names = map_names(result, {"slope": "1/ms"})
    assert names["param:slope"] == "slope [1/ms]"
    assert names["stderr:slope"] == "error of slope [1/ms]"
    assert "param:intercept" not in names, "what is fixed has no map"
    assert "attempt" not in names
    np.testing.assert_array_equal(map_values(result, "param:slope"), result.params["slope"])
    np.testing.assert_array_equal(map_values(result, "reduced_chi2"), result.reduced_chi2)
    used = map_values(result, "n_used")
    assert np.isnan(used[0, 0]), "a voxel outside the mask is no voxel of 0 samples"
    assert (used[mask] == 8).all()


def test_a_few_wild_values_do_not_hide_the_others() -> None:
    rng = np.random.default_rng(6)
    widths = np.concatenate([rng.uniform(3, 9, 960), rng.uniform(20, 220, 40)])
    found = histogram(widths)
    assert found.edges[-1] < 20
    assert found.n_outside == 40
    two_tissues = np.concatenate([rng.normal(1, 0.1, 900), rng.normal(50, 1, 100)])
    assert histogram(two_tissues).n_outside == 0, "a tenth of all values is no outlier"


def test_maps_are_named_as_everywhere_on_screen() -> None:
    t = np.arange(8.0)
    result = fit_voxels(np.exp(-t / 3)[:, None], "exponential_decay", x=t)
    names = map_names(result, {"tau": "ms"})
    assert names["param:tau"] == "τ [ms]"
    assert names["stderr:tau"] == "error of τ [ms]"
