"""How far neighbouring residuals agree by chance, against matrices and simulated noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from napari_imagefit.engine.solver.neighbour_test import Expected, expected_at_most, expected_of

Floats = NDArray[np.float64]


def columns(kind: str, n: int) -> Floats:
    """Derivatives ``(p, n)`` of some models."""
    t, i = np.linspace(0, 1, n), np.arange(n)
    if kind == "decay":
        return np.stack([t**0, np.exp(-5 * t), t * np.exp(-5 * t)])
    if kind == "narrow peak":
        x = i - n // 2 - 0.3
        peak = np.exp(-(x**2) / 0.72)
        return np.stack([t**0, peak, x * peak, x * x * peak])
    # every other sample the other sign
    return np.stack([t**0, np.cos(0.9 * np.pi * i), np.sin(0.9 * np.pi * i)])


KINDS = "decay", "narrow peak", "alternating"


def by_matrices(slopes: Floats, used: NDArray[np.bool_]) -> tuple[float, float]:
    """Mean and variance of r, as the definition has it."""
    n = used.sum()
    both = np.flatnonzero(used)
    beside = 0.5 * (np.abs(both[:, None] - both) == 1)
    q = np.linalg.qr(slopes[:, used].T)[0]
    kept = np.eye(n) - q @ q.T
    freedom = n - q.shape[1]
    product = kept @ beside
    first, second = np.trace(product), np.trace(product @ product)
    return first / freedom, 2 * (freedom * second - first**2) / (freedom**2 * (freedom + 2))


@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_are_those_of_the_matrices(kind: str) -> None:
    n = 24
    used = np.ones((n, 3), bool)
    used[[3, 11, 12], 1] = False
    used[-5:, 2] = False
    slopes = columns(kind, n)
    found = expected_of(np.where(used, np.repeat(slopes[:, :, None], 3, axis=2), 0), used)
    for k in range(3):
        wanted = by_matrices(slopes, used[:, k])
        np.testing.assert_allclose([found.mean[k], found.variance[k]], wanted, rtol=1e-7)


def test_a_column_that_is_none_takes_nothing_away() -> None:
    slopes = columns("decay", 20)[:, :, None]
    used = np.ones((20, 1), bool)
    with_nothing = expected_of(np.concatenate([slopes, np.zeros((1, 20, 1))]), used)
    np.testing.assert_allclose(with_nothing, expected_of(slopes, used), rtol=1e-12)


@pytest.mark.parametrize("level", [5e-4, 1e-3])
def test_what_is_rare_by_an_approximation_is_rare(level: float) -> None:
    """For shapes up to 10⁶, and twenty places around the one that is as rare as the level."""
    shapes = np.geomspace(0.6, 1e6, 60)
    a, b, times = (v.ravel() for v in np.meshgrid(shapes, shapes, np.geomspace(0.1, 10, 20)))
    mean, size = a / (a + b), a + b
    x = 1 - special.betaincinv(b, a, times * level)
    few = np.full(a.size, 10**9)  # samples: r from −1 to 1
    expected = Expected(2 * mean - 1, 4 * mean * (1 - mean) / (size + 1))
    exact = expected.chance(2 * x - 1, few)
    clear = np.abs(exact / level - 1) > 1e-6
    assert np.array_equal(expected.is_rare(2 * x - 1, few, level)[clear], (exact < level)[clear])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [17, 24, 32, 64])
def test_large_agreement_is_as_rare_as_it_says(kind: str, n: int) -> None:
    """Of Gaussian noise, 1 in 2 000 has a chance of less than that, within 4 standard deviations; by bounds fewer."""
    count, level = 100_000, 5e-4
    slopes = columns(kind, n)
    q = np.linalg.qr(slopes.T)[0]
    noise = np.random.default_rng(n).normal(size=(n, count))
    e = noise - q @ (q.T @ noise)
    r = np.sum(e[1:] * e[:-1], axis=0) / np.sum(e * e, axis=0)
    size, p = np.full(1, n), np.full(1, len(slopes))
    exact = Expected(*expected_of(slopes[:, :, None], np.ones((n, 1), bool))).chance(r, size)
    most, least = (expected_at_most(size, p, smooth=smooth).chance(r, size) for smooth in (False, True))
    at_most = count * level + 4 * np.sqrt(count * level)
    assert 0.4 * count * level < np.count_nonzero(exact < level) < at_most
    assert np.count_nonzero(most < level) < at_most
    # nothing is missed by looking at the lower bound first
    assert not ((exact < level) & (least >= level)).any()
    assert not ((most < level) & (exact >= level)).any()
