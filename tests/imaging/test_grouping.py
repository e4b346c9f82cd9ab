"""Many small regions are fitted together; each gets what it would get alone."""

from __future__ import annotations

import numpy as np
import pytest

from napari_imagefit import FitResult, Flag, fit_image

SIZES = [(9, 9), (9, 11), (11, 10), (10, 12), (8, 9), (12, 12)]
Y, X = np.mgrid[:64, :96]


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Spots in windows of different sizes."""
    rng = np.random.default_rng(0)
    image, labels = rng.normal(0, 0.05, Y.shape), np.zeros(Y.shape, int)
    for i in range(24):
        top, left = 15 * (i // 6) + 1, 15 * (i % 6) + 1
        height, width = SIZES[i % len(SIZES)]
        labels[top : top + height, left : left + width] = i + 1
        image += 3 * np.exp(-0.5 * ((Y - top - 4.3) ** 2 + (X - left - 4.6) ** 2) / 2.5)
    return image, labels


IMAGE, LABELS = scene()


@pytest.fixture(scope="module")
def together() -> FitResult:
    return fit_image(IMAGE, "gaussian_2d", mask=LABELS)


def test_each_is_what_it_is_alone(together: FitResult) -> None:
    assert together.converged.all()
    for label in (1, 2, 6):
        alone = fit_image(IMAGE, "gaussian_2d", mask=label == LABELS)
        for name in alone.params:
            # padded differently, so the sums are in another order
            np.testing.assert_allclose(together.params[name][label - 1], alone.params[name], rtol=1e-9)
            np.testing.assert_allclose(together.stderr[name][label - 1], alone.stderr[name], rtol=1e-7)
        assert together.n_used[label - 1] == alone.n_used


@pytest.mark.parametrize("sigma", [None, 0.05])
def test_padding_is_never_counted_as_left_out(sigma: float | None) -> None:
    image = IMAGE.copy()
    first = np.argwhere(LABELS == 1)[0]
    image[tuple(first)] = np.nan
    result = fit_image(image, "gaussian_2d", mask=LABELS, sigma=sigma)
    size = np.bincount(LABELS.ravel())[1:]
    np.testing.assert_array_equal(result.n_left_out, [1] + [0] * 23)
    np.testing.assert_array_equal(result.n_used, size - result.n_left_out)
    np.testing.assert_array_equal(result.flags & Flag.MASKED_SAMPLES, [Flag.MASKED_SAMPLES] + [0] * 23)


def test_infinite_sigma_leaves_out_without_a_remark() -> None:
    sigma = np.full(IMAGE.shape, 0.05)
    sigma[tuple(np.argwhere(LABELS == 1)[0])] = np.inf
    result = fit_image(IMAGE, "gaussian_2d", mask=LABELS, sigma=sigma)
    assert (result.n_left_out == 0).all()
    assert result.n_used[0] == np.count_nonzero(LABELS == 1) - 1
    assert not (result.flags & Flag.MASKED_SAMPLES).any()


def test_a_bad_region_changes_no_other(together: FitResult) -> None:
    image = IMAGE.copy()
    image[LABELS == 4] = 1e300
    image[LABELS == 9] = np.nan
    image[LABELS == 11] = 0
    result = fit_image(image, "gaussian_2d", mask=LABELS)
    others = np.delete(np.arange(24), [3, 8, 10])
    for name in result.params:
        np.testing.assert_array_equal(result.params[name][others], together.params[name][others])
        np.testing.assert_array_equal(result.stderr[name][others], together.stderr[name][others])
    np.testing.assert_array_equal(result.n_iterations[others], together.n_iterations[others])


def test_fitted_and_residual_cover_the_regions(together: FitResult) -> None:
    np.testing.assert_array_equal(np.isfinite(together.fitted()), LABELS > 0)
    residual = together.residual()
    cost = [0.5 * np.sum(residual[i == LABELS] ** 2) for i in range(1, 25)]
    np.testing.assert_allclose(cost, together.cost, rtol=1e-10)
