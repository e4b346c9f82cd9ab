"""Fits with parameters in common as one problem with a dense Jacobian, for `scipy.optimize`.

Both sides go on until the cost, some 40σ², changes by less than 1e-13 of itself, and so parameters by some 1e-6 of
their standard errors; values must agree within 1e-5 of one (`NEAR`), covariances, which change with the values, within
1e-5 of themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize

from napari_imagefit import FitResult
from napari_imagefit.engine.core.types import Loss

Floats = NDArray[np.float64]
Curve = Callable[[Floats, Floats], tuple[Floats, Floats]]
TIGHT: dict[str, Any] = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14}
NEAR = 1e-5
START = np.array([2.0, 1.0, 0.5])


def decay(t: Floats, p: Floats) -> tuple[Floats, Floats]:
    e = np.exp(-t / p[1])
    return p[0] * e + p[2], np.stack([e, p[0] * e * t / p[1] ** 2, np.ones_like(t)])


def spot(yx: Floats, p: Floats) -> tuple[Floats, Floats]:
    y, x = (yx - p[1:3, None]) / p[3]
    e = np.exp(-(y**2 + x**2) / 2)
    height = p[0] * e / p[3]
    return p[0] * e + p[4], np.stack([e, height * y, height * x, height * (y**2 + x**2), np.ones_like(e)])


class Truth(NamedTuple):
    params: Floats  # (n_params, N)
    covariance: Floats  # (N, n_params, n_params)
    cost: float


class Joint:
    """The dense problem: `own` are pairs of coordinates and data, `held` the values of what does not move, else NaN."""

    def __init__(
        self, curve: Curve, own: Iterable[tuple[Floats, Floats]], shared: tuple[int, ...], start: Floats,
        sigma: Floats | None = None, held: Floats | None = None,
    ) -> None:  # fmt: skip
        self.curve, self.own, self.shared, self.sigma = curve, list(own), shared, sigma
        self.base = np.full((len(start), len(self.own)), np.nan) if held is None else held
        self.start = np.where(np.isnan(self.base), start[:, None], self.base)
        self.index = np.full(self.base.shape, -1)
        self.size = 0
        for place in np.ndindex(*self.base.shape):
            if np.isnan(self.base[place]):
                first = place[0] in shared and place[1] > 0
                self.index[place] = self.index[place[0], 0] if first else self.size
                self.size += not first
        self.free = self.index >= 0

    def params(self, x: Floats) -> Floats:
        params = self.base.copy()
        params[self.free] = x[self.index[self.free]]
        return params

    def unknowns(self, params: Floats) -> Floats:
        x = np.empty(self.size)
        x[self.index[self.free]] = params[self.free]
        return x

    def values(self, x: Floats) -> tuple[Floats, Floats, Floats]:
        """Residuals/σ, data and dense Jacobian/σ of all samples that are finite."""
        rows: list[tuple[Floats, Floats, Floats]] = []
        for i, ((coords, data), p) in enumerate(zip(self.own, self.params(x).T, strict=True)):
            value, slopes = self.curve(coords, p)
            weight = 1.0 if self.sigma is None else 1 / self.sigma[: len(data), i]
            jacobian = np.zeros((len(data), self.size))
            jacobian[:, self.index[self.free[:, i], i]] = (slopes[self.free[:, i]] * weight).T
            used = np.isfinite(data)
            rows.append((((value - data) * weight)[used], data[used], jacobian[used]))
        return tuple(np.concatenate(part) for part in zip(*rows, strict=True))  # type: ignore[return-value]

    def spread(self, x: Floats, matrix: Floats, cost: float) -> Truth:
        n, fits = self.base.shape
        blocks = np.full((fits, n, n), np.nan)
        for i in range(fits):
            places = np.flatnonzero(self.free[:, i])
            blocks[i][np.ix_(places, places)] = matrix[np.ix_(self.index[places, i], self.index[places, i])]
        return Truth(self.params(x), blocks, cost)

    def solve(
        self,
        bounds: tuple[Floats, Floats] | None = None,
        loss: Loss = "linear",
        f_scale: float = 1.0,
        at_bound: int = 0,
    ) -> Truth:
        """What ends at a bound is held there, and the rest solved again: SciPy stops a little before bounds.

        It still counts as free in the degrees of freedom, as in `scipy.optimize.curve_fit`.
        """
        low, high = (np.full(self.base.shape, s * np.inf) for s in (-1, 1)) if bounds is None else bounds
        found = least_squares(
            lambda x: self.values(x)[0], self.unknowns(np.clip(self.start, low + 1e-3, high - 1e-3)),
            jac=lambda x: self.values(x)[2], bounds=(self.unknowns(low), self.unknowns(high)), x_scale="jac",
            loss=loss, f_scale=f_scale, ftol=1e-13, xtol=1e-13, gtol=1e-13, max_nfev=2000,
        )  # fmt: skip
        if found.active_mask.any():
            active = np.where(self.free, found.active_mask[self.index], 0)
            held = np.where(active < 0, low, np.where(active > 0, high, self.base))
            again = Joint(self.curve, self.own, self.shared, START, self.sigma, held)
            return again.solve(at_bound=self.size - again.size)
        residual, _, jacobian = self.values(found.x)
        factor = 2 * found.cost / (len(residual) - self.size - at_bound) if self.sigma is None else 1.0
        if loss != "linear":
            # Huber and Ronchetti, 7.6, from the losses' definitions
            z = (residual / f_scale) ** 2
            first, second = {
                "huber": (np.where(z <= 1, 1, z**-0.5), np.where(z <= 1, 0, -0.5 * z**-1.5)),
                "soft_l1": ((1 + z) ** -0.5, -0.5 * (1 + z) ** -1.5),
                "cauchy": (1 / (1 + z), -1 / (1 + z) ** 2),
            }[loss]
            slope = first + 2 * z * second
            k = 1 + self.size / len(z) * slope.var() / slope.mean() ** 2
            factor = k**2 * np.sum((first * residual) ** 2) / (len(z) - self.size) / slope.mean() ** 2
        return self.spread(found.x, factor * np.linalg.inv(jacobian.T @ jacobian), found.cost)

    def most_likely(self) -> Truth:
        """The maximum of the likelihood of counts."""

        def deviance(x: Floats) -> tuple[float, Floats]:
            excess, count, jacobian = self.values(x)
            rate = excess + count
            if (rate <= 0).any():
                return np.inf, np.zeros(self.size)
            log = np.log(np.where(count > 0, count, 1) / rate)
            return float(np.sum(excess + count * log)), jacobian.T @ (excess / rate)

        def curvature(x: Floats) -> Floats:
            excess, count, jacobian = self.values(x)
            return jacobian.T @ (jacobian / (excess + count)[:, None])

        found = minimize(
            deviance, self.unknowns(self.start), jac=True, hess=curvature, method="trust-exact",
            options={"gtol": 1e-9, "maxiter": 500},
        )  # fmt: skip
        return self.spread(found.x, np.linalg.inv(curvature(found.x)), found.fun)


def assert_like(result: FitResult, truth: Truth, near: float = NEAR) -> None:
    n = len(truth.params)
    covariance = result.covariance.reshape(-1, n, n)
    error = np.sqrt(np.diagonal(truth.covariance, axis1=1, axis2=2)).T
    params = np.stack([result.params[name].ravel() for name in result.model.names])
    assert result.converged.all(), result.summary()
    away = np.abs(params - truth.params) / np.where(np.isnan(error), np.nanmax(error), error)
    assert away.max() < near, away
    np.testing.assert_allclose(np.stack([result.stderr[m].ravel() for m in result.model.names]), error, rtol=near)
    # cross terms next to their standard errors: they may cancel
    scale = np.where(np.isnan(error), 1, error).T
    scaled = [c / scale[:, :, None] / scale[:, None] for c in (covariance, truth.covariance)]
    np.testing.assert_allclose(scaled[0], scaled[1], atol=near)
    np.testing.assert_allclose(result.cost.sum(), truth.cost, rtol=1e-9)
