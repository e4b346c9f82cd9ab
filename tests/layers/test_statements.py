"""What is said of fits: counts, statements with the fits they speak of, in the order of frame and place."""

from __future__ import annotations

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit import Flag
from napari_imagefit.imaging.fitting.status_labels import remark_words
from napari_imagefit.layers.inspection.reasons import statements_of
from napari_imagefit.layers.inspection.state_counts import places_of, remarks_of, state_of

Y, X = np.mgrid[0:24, 0:24].astype(float)


def cloud(width: float, y: float = 12.0, x: float = 12.0) -> np.ndarray:
    return 5 * np.exp(-((Y - y) ** 2 + (X - x) ** 2) / (2 * width**2)) + 1


@pytest.fixture(scope="module")
def regions() -> nif.FitResult:
    """Five frames: two too wide for the bound, one empty of numbers, two as they should be."""
    stack = np.stack([cloud(width) for width in (2.0, 6.0, 2.2, 6.5, 2.1)])
    stack += np.random.default_rng(0).normal(0, 0.01, stack.shape)
    stack[2] = np.nan
    return nif.fit_image(stack, "gaussian_2d_elliptic", bounds={"sigma_y": (0, 4)})


def test_a_remark_names_the_parameter_and_its_fits(regions: nif.FitResult) -> None:
    said = {one.words: one for one in remarks_of(regions)}
    at_bound = said["σ_y at its upper bound"]
    assert at_bound.places.tolist() == [1, 3]
    assert "σ_x at its upper bound" not in said
    assert state_of(regions).converged == 4
    assert state_of(regions).failed == 1
    assert state_of(regions).remarks >= 2
    assert places_of(regions, "failed").tolist() == [2]
    assert set(at_bound.places) <= set(places_of(regions, "remarks"))
    assert "sigma_y at its upper bound" in remark_words(regions)[1].split("; ")
    assert "sigma_y" not in remark_words(regions)[0]


def test_failures_and_convergence_add_up(regions: nif.FitResult) -> None:
    said = statements_of(regions)
    remarks = {one.words for one in remarks_of(regions)}
    assert sum(one.fits for one in said if one.words not in remarks) == 5
    assert said[0].words == "converged"


def test_a_setting_that_cannot_be_used_is_named() -> None:
    t = np.arange(8.0)
    stack = np.exp(-t[:, None] / np.array([2.0, 3.0, 4.0]))
    result = nif.fit_voxels(stack, "exponential_decay", x=t, init={"tau": np.array([2.0, np.nan, 3.0])})
    (said,) = [one for one in statements_of(result) if one.words.startswith("not fitted")]
    assert said.words == "not fitted: the start of τ cannot be used"
    assert said.places.tolist() == [1]


def test_spots_are_visited_by_frame_and_place_and_told_of_their_surroundings() -> None:
    places = [(2, 8, 8), (0, 20, 9), (0, 6, 18), (1, 12, 12), (0, 10, 14)]
    stack = np.random.default_rng(1).normal(0, 0.01, (3, 30, 30))
    y, x = np.mgrid[0:30, 0:30]
    for frame, py, px in places:
        stack[frame] += np.exp(-((y - py) ** 2 + (x - px) ** 2) / 4.5)
    result = nif.fit_spots(stack, [*places, (1, 0, 0)], "gaussian_2d", window=11, noise="gaussian")
    said = {one.words: one for one in statements_of(result)}
    order = [place for place in said["converged"].places.tolist() if place < 5]
    assert order == [2, 4, 1, 3, 0], "as one reads"
    # the two that have each other in their windows
    assert set(said[Flag.NEIGHBOUR_OVERLAP.message].places) <= {4, 2}
    assert Flag.CUT_BY_EDGE.message in said or not result.converged[5]
    assert Flag.NEIGHBOUR_OVERLAP.message in remark_words(result)[4]


def test_none_at_all() -> None:
    t = np.arange(8.0)
    result = nif.fit_voxels(np.exp(-t[:, None] / 3), "exponential_decay", x=t, mask=np.zeros(1, bool) | True)
    assert remarks_of(result) == []
    assert [one.words for one in statements_of(result)] == ["converged"]
