"""The covariance of fits with parameters in common, beside the same one written out as one matrix."""

from __future__ import annotations

import numpy as np

from napari_imagefit.imaging.spot_analysis.shared_covariance import covariance_in_common

RNG = np.random.default_rng(4)
FITS, SAMPLES, OWN, SHARED = 6, 30, (0, 2, 3), (1, 4)


def test_it_is_that_of_all_fits_as_one_matrix() -> None:
    slopes = RNG.normal(size=(FITS, SAMPLES, 5))
    slopes[:, :, 3] = 0  # held in all fits
    variance = RNG.uniform(0.5, 3, (FITS, SAMPLES))
    curvature = np.einsum("nmp,nmq->npq", slopes, slopes)
    scatter = np.einsum("nmp,nm,nmq->npq", slopes, variance, slopes)
    inverse = np.broadcast_to(np.eye(5), curvature.shape).copy()
    free = [0, 2]
    inverse[:, np.ix_(free, free)[0], np.ix_(free, free)[1]] = np.linalg.inv(curvature[:, [[0], [2]], [0, 2]])
    found = covariance_in_common(inverse, curvature, scatter, SHARED)

    width = FITS * len(free) + len(SHARED)
    jacobian = np.zeros((FITS * SAMPLES, width))
    for fit in range(FITS):
        rows = slice(fit * SAMPLES, (fit + 1) * SAMPLES)
        jacobian[rows, fit * 2 : fit * 2 + 2] = slopes[fit][:, free]
        jacobian[rows, -2:] = slopes[fit][:, SHARED]
    bread = np.linalg.inv(jacobian.T @ jacobian)
    whole = bread @ (jacobian.T * variance.ravel()) @ jacobian @ bread
    for fit in range(FITS):
        places, names = [fit * 2, fit * 2 + 1, width - 2, width - 1], [0, 2, 1, 4]
        np.testing.assert_allclose(found[fit][np.ix_(names, names)], whole[np.ix_(places, places)], rtol=1e-9)
    assert not found[:, 3].any()


def test_a_fit_that_determines_nothing_has_no_say() -> None:
    slopes = RNG.normal(size=(FITS, SAMPLES, 2))
    curvature = np.einsum("nmp,nmq->npq", slopes, slopes)
    inverse = np.broadcast_to(np.eye(2), curvature.shape).copy()
    inverse[:, 0, 0] = 1 / curvature[:, 0, 0]
    whole = covariance_in_common(inverse[1:], curvature[1:], 2 * curvature[1:], (1,))
    inverse[0, 0, 0] = np.nan
    found = covariance_in_common(inverse, curvature, 2 * curvature, (1,))
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], whole)


def test_what_cannot_be_told_apart_has_no_error_and_takes_none_from_the_others() -> None:
    slopes = RNG.normal(size=(FITS, SAMPLES, 3))
    slopes[:, :, 2] = 2 * slopes[:, :, 1]
    curvature = np.einsum("nmp,nmq->npq", slopes, slopes)
    inverse = np.broadcast_to(np.eye(3), curvature.shape).copy()
    inverse[:, 0, 0] = 1 / curvature[:, 0, 0]
    found = covariance_in_common(inverse, curvature, 2 * curvature, (1, 2))
    np.testing.assert_allclose(found[:, 0, 0], 2 / curvature[:, 0, 0])
    assert np.isnan(found[:, 1:]).all()
