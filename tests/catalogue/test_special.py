"""The special functions against SciPy's."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy import special

from napari_imagefit.catalogue.special import J1_ZERO, jinc, voigt_function


def test_bessel_function() -> None:
    u = np.concatenate([[1e-12, 1e-6, 1e-3, 9.999999, 10.0, 10.000001, 1e3], np.linspace(0.01, 60, 6001)])
    with jax.enable_x64(True):
        values, slopes = jax.jvp(lambda x: 0.5 * x * jinc(x * x), (u,), (np.ones_like(u),))
    assert special.jn_zeros(1, 1)[0] == pytest.approx(J1_ZERO, rel=1e-15)
    np.testing.assert_allclose(values, special.j1(u), atol=1e-9)
    np.testing.assert_allclose(slopes, special.jvp(1, u), atol=1e-8)


def test_bessel_function_is_smooth_at_0() -> None:
    with jax.enable_x64(True):
        assert float(jinc(np.float64(0))) == 1
        # 2 J₁(u)/u = 1 − u²/8 + …
        assert float(jax.grad(jinc)(np.float64(0))) == pytest.approx(-0.125)


def test_bessel_function_in_single_precision() -> None:
    u = np.linspace(0.01, 60, 6001, dtype=np.float32)
    np.testing.assert_allclose(jinc(u * u), 2 * special.j1(u.astype(float)) / u, atol=3e-5)


def test_voigt_function() -> None:
    x = np.concatenate([np.linspace(-30, 30, 601), [0, 1e3, 1e6]])
    y = np.concatenate([[0], np.geomspace(1e-6, 1e6, 25)])[:, None]
    with jax.enable_x64(True):
        values, slopes = jax.jvp(lambda a: voigt_function(a, y), (x + 0 * y,), (np.ones((len(y), len(x))),))
    w = special.wofz(x + 1j * y)
    np.testing.assert_allclose(values, w.real, atol=1e-12)
    exact = -2 * (x + 1j * y) * w
    near = np.hypot(x, y) < 30  # further out this formula loses its digits
    np.testing.assert_allclose(np.asarray(slopes)[near], exact.real[near], atol=1e-11)
    assert np.isfinite(np.asarray(slopes)).all()


def test_voigt_function_in_single_precision() -> None:
    x = np.linspace(-30, 30, 601, dtype=np.float32)
    y = np.geomspace(1e-6, 1e3, 13, dtype=np.float32)[:, None]
    values = voigt_function(x, y)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, special.wofz(x + 1j * y).real, atol=3e-6)
