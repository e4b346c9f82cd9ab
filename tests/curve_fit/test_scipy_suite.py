"""SciPy's own tests of `curve_fit`, with ours in its place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

import napari_imagefit as nif

# not every build of SciPy brings its tests
test_minpack = pytest.importorskip("scipy.optimize.tests.test_minpack")

# What only MINPACK has.
MINPACK_ONLY = {
    "test_full_output": "asks for MINPACK's own output of method 'lm': fjac, ipvt and qtf of its QR decomposition",
    "test_gh4555b": "its reference is that of MINPACK's forward differences, 2e-6 off the exact covariance: see below",
}


@pytest.mark.filterwarnings("default")
class TestOurs(test_minpack.TestCurveFit):
    @pytest.fixture(autouse=True)
    def ours_in_its_place(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        reason = MINPACK_ONLY.get(request.node.originalname)
        if reason:
            pytest.skip(reason)
        monkeypatch.setattr(test_minpack, "curve_fit", nif.curve_fit)
        monkeypatch.setattr(optimize, "curve_fit", nif.curve_fit)


def test_covariance_of_gh4555b_is_the_exact_one() -> None:
    rng = np.random.default_rng(408113519974467917)
    x = np.linspace(0, 4, 50)
    y = 2.5 * np.exp(-1.3 * x) + 0.5 + 0.2 * rng.normal(size=50)
    popt, pcov = nif.curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y)
    e = np.exp(-popt[1] * x)
    jacobian = np.stack([e, -popt[0] * x * e, np.ones(50)], axis=1)
    residual = popt[0] * e + popt[2] - y
    exact = np.linalg.inv(jacobian.T @ jacobian) * (residual @ residual) / 47
    # derivatives by central differences are good to about 1e-10
    np.testing.assert_allclose(pcov, exact, rtol=1e-8)
