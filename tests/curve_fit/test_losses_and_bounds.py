"""Random problems with outliers and bounds: our minimum is never above SciPy's of the same valley."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult, least_squares

import napari_imagefit as nif

pytestmark = pytest.mark.slow
LENGTH = 40
X = np.linspace(0, 4, LENGTH)
# relative to the cost; both stop when a step gains less than 1e-10 of it
MARGIN = 1e-8
TOLERANCES = {"ftol": 1e-10, "xtol": 1e-10, "gtol": 1e-10}
LIMIT = 3000
# ten times what any parameter is drawn from
RUNAWAY = 50


def line(np: Any, x: Any, a: Any, b: Any) -> Any:
    del np
    return a + b * x


def waves(np: Any, x: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return a + b * x + c * np.sin(2 * x) + d * np.cos(3 * x)


def decay(np: Any, x: Any, a: Any, b: Any, c: Any) -> Any:
    return a * np.exp(-b * x) + c


def peak(np: Any, x: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    return a * np.exp(-(((x - b) / c) ** 2) / 2) + d


def line_slopes(x: Any, *_: Any) -> Any:
    return [np.ones_like(x), x]


def waves_slopes(x: Any, *_: Any) -> Any:
    return [np.ones_like(x), x, np.sin(2 * x), np.cos(3 * x)]


def decay_slopes(x: Any, a: Any, b: Any, _c: Any) -> Any:
    e = np.exp(-b * x)
    return [e, -a * x * e, np.ones_like(x)]


def peak_slopes(x: Any, a: Any, b: Any, c: Any, _d: Any) -> Any:
    u = (x - b) / c
    e = np.exp(-(u**2) / 2)
    return [e, a * e * u / c, a * e * u**2 / c, np.ones_like(x)]


@dataclass(frozen=True)
class Family:
    """A model, its derivatives, and the box from which truth, bounds and start are drawn."""

    f: Callable[..., Any]
    slopes: Callable[..., Any]
    low: tuple[float, ...]
    high: tuple[float, ...]
    linear: bool = False

    def ours(self, x: Any, *p: Any) -> Any:
        return self.f(jnp, x, *p)


FAMILIES = {
    "line": Family(line, line_slopes, (-5, -5), (5, 5), linear=True),
    "waves": Family(waves, waves_slopes, (-5,) * 4, (5,) * 4, linear=True),
    "decay": Family(decay, decay_slopes, (0.5, 0.2, -1), (5, 3, 1)),
    "peak": Family(peak, peak_slopes, (0.5, 1, 0.2, -1), (5, 3, 1.5, 1)),
}
LOSSES: dict[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "soft_l1": lambda z: 2 * z / (1 + np.sqrt(1 + z)),
    "huber": lambda z: np.where(z <= 1, z, 2 * np.sqrt(np.maximum(z, 1)) - 1),
    "cauchy": np.log1p,
    "arctan": np.arctan,
}
CONVEX = {"linear", "soft_l1", "huber"}


@dataclass(frozen=True)
class Case:
    family: Family
    loss: str
    f_scale: float
    y: np.ndarray
    start: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]

    @classmethod
    def draw(cls, family: Family, loss: str, seed: int, noise: float, outliers: int, tight: float) -> Case:
        rng = np.random.default_rng(seed)
        low, high = np.array(family.low), np.array(family.high)
        truth = rng.uniform(low, high)
        y = family.f(np, X, *truth) + noise * rng.normal(size=LENGTH)
        y[rng.choice(LENGTH, outliers, replace=False)] += rng.uniform(-10, 10, outliers)
        # `tight` of the parameters get bounds that leave the truth out
        lower = low - rng.uniform(0.05, 1, len(low)) * np.minimum(1, low - low.min() + 0.1) * 0.1
        upper = high + rng.uniform(0, 1, len(low))
        cut = rng.random(len(low)) < tight
        side = rng.random(len(low)) < 0.5
        middle = rng.uniform(0.1, 0.9, len(low)) * (high - low) + low
        lower, upper = np.where(cut & side, middle, lower), np.where(cut & ~side, middle, upper)
        if rng.random() < 0.3:
            upper = np.where(cut, upper, np.inf)
        start = rng.uniform(lower, np.where(np.isfinite(upper), upper, high + 1))
        return cls(family, loss, float(10 ** rng.uniform(-1, 0.5)), y, start, (lower, upper))

    def residual(self, p: np.ndarray) -> np.ndarray:
        return np.asarray(self.family.f(np, X, *p) - self.y)

    def cost(self, p: np.ndarray) -> float:
        z = (self.residual(p) / self.f_scale) ** 2
        return float(0.5 * self.f_scale**2 * np.sum(LOSSES[self.loss](z)))

    def ours(self) -> tuple[np.ndarray, int]:
        with warnings.catch_warnings():
            # covariances that cannot be had are no matter here
            warnings.simplefilter("ignore")
            popt, _, _, _, ier = nif.curve_fit(
                self.family.ours, X, self.y, self.start, bounds=self.bounds, loss=self.loss, f_scale=self.f_scale,
                full_output=True, max_nfev=LIMIT, **TOLERANCES,
            )  # fmt: skip
        return popt, ier

    def scipys(self, start: np.ndarray) -> OptimizeResult:
        with np.errstate(all="ignore"):
            return least_squares(
                self.residual, start, lambda p: np.stack(self.family.slopes(X, *p), axis=1), bounds=self.bounds,
                loss=self.loss, f_scale=self.f_scale, method="trf", x_scale="jac", max_nfev=LIMIT, **TOLERANCES,
            )  # fmt: skip

    def is_downhill(self, here: np.ndarray, there: np.ndarray) -> bool:
        """Whether the way straight from here never rises above where it began: both lie in one valley."""
        # a peak may have gone far: the ridge is near the beginning then
        way = np.concatenate([np.geomspace(1e-9, 1e-2, 100), np.linspace(0, 1, 101)[1:]])
        costs = np.array([self.cost(here)] + [self.cost(here + t * (there - here)) for t in way])
        return bool(costs.max() <= costs[0] * (1 + 1e-12))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    noise=st.sampled_from([0.01, 0.1, 0.5]),
    outliers=st.integers(0, 8),
    tight=st.sampled_from([0.0, 0.4, 0.8]),
)
def test_never_above_scipy(name: str, loss: str, seed: int, noise: float, outliers: int, tight: float) -> None:
    case = Case.draw(FAMILIES[name], loss, seed, noise, outliers, tight)
    popt, ier = case.ours()
    assert ((case.bounds[0] <= popt) & (popt <= case.bounds[1])).all()
    assert ier > 0
    cost = case.cost(popt)
    assert cost <= case.cost(case.start)

    theirs = case.scipys(case.start)
    # some costs of SciPy's cancel, so that it is ours that both are measured by
    other = case.cost(theirs.x)
    if (case.family.linear and loss in CONVEX) or case.is_downhill(popt, theirs.x):
        assert cost <= other * (1 + MARGIN)

    polished = case.scipys(popt)
    # it may leap over a ridge into another valley, or run away where there is no minimum
    if case.is_downhill(popt, polished.x) and (np.abs(polished.x) < RUNAWAY).all():
        assert cost <= case.cost(polished.x) * (1 + MARGIN)
