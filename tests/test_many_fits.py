"""As many fits as Gpufit got wrong (its issue 136: at 1.0 and 1.7 million, but not at 1.6)."""

from __future__ import annotations

import numpy as np
import pytest

import napari_imagefit as nif

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [1_000_000, 1_700_000])
def test_every_one_is_right(count: int) -> None:
    rng = np.random.default_rng(count)
    x = np.arange(6.0)
    slope, intercept = rng.uniform(-2, 2, count), rng.uniform(-5, 5, count)
    data = slope * x[:, None] + intercept + rng.normal(0, 0.1, (6, count))
    params, r2, converged = nif.TrustRegionFitter().fit_batch(nif.models["linear"].bind(x), data)
    best = np.linalg.lstsq(np.stack([x, np.ones(6)], axis=1), data, rcond=None)[0]
    assert converged.all()
    # a linear problem is solved in one step; in units of the parameters' size
    np.testing.assert_allclose(params, best, rtol=1e-6, atol=1e-7)
    assert (r2 <= 1).all()
