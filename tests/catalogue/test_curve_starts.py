"""Curves need no help from their neighbours: the plugin's own starts lead to the minimum.

References are fits by SciPy (`least_squares`, bounded, with tolerances of 1e-12) that start from the true parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares

from napari_imagefit import fit_voxels, models

from .conftest import CASES, perfused, two_decays

Floats = NDArray[np.float64]
CURVES = [name for name, model in models.items() if model.ndim == 1]
# s/mm²: one protocol with many small b-values, one with few
MANY_SMALL = np.array([0, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 500, 600, 700, 800], float)
FEW_SMALL = np.array([0, 20, 40, 80, 110, 140, 170, 200, 300, 400, 500, 600, 700, 800, 900, 1000], float)


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_clean_curves_are_found_without_help(name: str) -> None:
    """Of 200 clean curves of random parameters each is explained to 1e-9 of its sum of squares.

    Where two parts of the signal are alike, convergence is slow, and the curve is explained by others as well.
    """
    case = CASES[name]
    data = np.stack([case.function(p, *case.coords) for p in case.truths(200, seed=7)], axis=1)
    result = fit_voxels(data, name, x=case.coords[0], max_iterations=200)
    explained = result.cost <= 1e-9 * 0.5 * np.sum((data - data.mean(axis=0)) ** 2, axis=0)
    assert explained.all(), (np.count_nonzero(~explained), result.summary())


def log_uniform(rng: np.random.Generator, low: float, high: float, n: int) -> Floats:
    return np.exp(rng.uniform(np.log(low), np.log(high), n))


def tissue(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Water between myelin and around it, at 64 echoes: T2 in ms, and heights of either part from 20 to 80 % or so."""
    short, long = log_uniform(rng, 8, 35, n), log_uniform(rng, 60, 160, n)
    heights = rng.uniform(200, 800, (2, n))
    return np.linspace(5, 320, 64), np.stack([heights[0], short, heights[1], long, rng.uniform(0, 50, n)])


def apart(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Any two time constants that differ by 3 to 10 times, within half of the time that is looked at."""
    short = log_uniform(rng, 8, 40, n)
    long = np.minimum(short * rng.uniform(3, 10, n), 200)
    heights = rng.uniform(20, 180, (2, n))
    return np.linspace(4, 400, 100), np.stack([heights[0], short, heights[1], long, rng.uniform(-10, 30, n)])


def cut_short(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Two time constants that differ by 2 to 10 times, the longer often beyond the time that is looked at.

    Of every seventh draw the best fit is an exponential and a straight line, which is a time constant without end.
    """
    short = log_uniform(rng, 8, 60, n)
    heights = rng.uniform(20, 180, (2, n))
    long = short * rng.uniform(2, 10, n)
    return np.linspace(4, 200, 64), np.stack([heights[0], short, heights[1], long, rng.uniform(-10, 30, n)])


def alike(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Two time constants that differ by 2 to 4 times, at 32 samples that end before the longer has fallen.

    Of every fifth draw the best fit has no end in the longer one, of some the shorter is a spike on the first sample.
    """
    short = log_uniform(rng, 8, 60, n)
    heights = rng.uniform(20, 180, (2, n))
    return np.linspace(2, 160, 32), np.stack(
        [heights[0], short, heights[1], short * rng.uniform(2, 4, n), rng.uniform(-10, 30, n)]
    )


def blood(b: Floats) -> Callable[[np.random.Generator, int], tuple[Floats, Floats]]:
    """Perfusion fractions, pseudo-diffusion and diffusion (mm²/s) from bone marrow to liver and kidney."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        fraction = rng.uniform(0.05, 0.4, n)
        fast, slow = log_uniform(rng, 5e-3, 0.1, n), log_uniform(rng, 3e-4, 3e-3, n)
        return b, np.stack([log_uniform(rng, 100, 2000, n), fraction, fast, slow])

    return draw


DRAWS: dict[str, tuple[str, Callable[..., Floats], Any]] = {
    "biexponential, tissue": ("biexponential_decay", two_decays, tissue),
    "biexponential, apart": ("biexponential_decay", two_decays, apart),
    "biexponential, cut short": ("biexponential_decay", two_decays, cut_short),
    "biexponential, alike": ("biexponential_decay", two_decays, alike),
    "ivim, many small b": ("ivim", perfused, blood(MANY_SMALL)),
    "ivim, few small b": ("ivim", perfused, blood(FEW_SMALL)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", DRAWS)
def test_two_components_are_as_good_as_scipy_from_the_truth(case: str) -> None:
    """At a signal-to-noise ratio of 100 (signal at 0), in 99 % of the voxels: cost within 1e-6 of it, or lower.

    Where the two are alike the minimum lies at the end of a flat valley: there SciPy's thousand evaluations are matched
    with three hundred, of which the hundred that are usual are not enough for one in a hundred.
    """
    name, function, draw = DRAWS[case]
    rng, n = np.random.default_rng(21), 500
    x, truth = draw(rng, n)
    clean = np.stack([function(p, x) for p in truth.T], axis=1)
    height = truth[0] if name == "ivim" else truth[0] + truth[2]
    data = clean + 0.01 * height * rng.standard_normal(clean.shape)
    result = fit_voxels(data, name, x=x, max_iterations=300 if draw is alike else 100)
    model = models[name]
    good = np.zeros(n, bool)
    for i in range(n):
        reference = least_squares(
            lambda p, datum=data[:, i]: function(p, x) - datum,
            np.clip(truth[:, i], model.lower + 1e-9, model.upper),
            bounds=(model.lower, model.upper),
            x_scale=np.abs(truth[:, i]) + 1e-9,
            ftol=1e-12,
            xtol=1e-12,
            gtol=1e-12,
            max_nfev=1000,
        )
        good[i] = result.cost[i] <= (1 + 1e-6) * reference.cost
    assert good.mean() >= 0.99, (good.mean(), result.summary())
