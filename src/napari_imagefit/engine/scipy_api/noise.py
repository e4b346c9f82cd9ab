"""Normalisation of the residuals of a curve, and curves of fewer samples than parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FitInputError
from ..core.types import Floats
from .arguments import CurveInput

# Data of such sizes, by powers of two, are fitted as they are: squares are far from where numbers end.
LARGE = 300


@dataclass(frozen=True)
class Noise:
    """Normalisation of residuals to unit variance, or to that of `unit` where their squares would overflow."""

    weights: Floats | None  # (m, 1)
    root: Floats | None  # (m, m)
    used: NDArray[np.bool_]  # (m,)
    unit: float = 1.0  # what a standard deviation is in the fit, a power of two

    @classmethod
    def of(cls, given: CurveInput, y: Floats) -> Noise:
        """Read what was given as ``sigma``: standard deviations, or a covariance, of which L of LLᵀ is taken.

        Raises
        ------
        FitInputError
            If a covariance has another shape than the data, or is not positive definite.
        """
        used = np.ones(y.shape, bool) if given.used is None else np.broadcast_to(given.used, y.shape)
        used = used & np.isfinite(y)
        sigma = given.sigma
        if sigma is None or sigma.ndim < 2:
            unit = _unit(y[used], np.broadcast_to(1.0 if sigma is None else sigma, y.shape)[used])
            if sigma is None and unit == 1 and used.all():
                return cls(None, None, used)
            weights = np.broadcast_to(unit / (1.0 if sigma is None else sigma), y.shape)
            return cls(np.where(used, weights, 0)[:, None], None, used, unit)
        if sigma.shape != (y.size, y.size):
            raise FitInputError("`sigma` has incorrect shape.")
        root, every = np.eye(y.size), np.ix_(used, used)
        try:
            root[every] = np.linalg.cholesky(sigma[every])
        except np.linalg.LinAlgError:
            raise FitInputError("`sigma` must be positive definite.") from None
        unit = _unit(y[used], np.diag(root)[used])
        root[every] /= unit
        return cls(None if used.all() else used.astype(float)[:, None], root, used, unit)

    def whiten(self, values: Floats) -> Floats:
        """L⁻¹ times values ``(m,)``; without a covariance they are left as they are."""
        if self.root is None:
            return values
        from scipy.linalg import solve_triangular

        whitened: Floats = solve_triangular(self.root, np.where(self.used, values, 0), lower=True)
        return whitened

    def standardise(self, residual: Floats) -> Floats:
        """Residuals ``(m,)`` as the fit has them, those that are used."""
        residual = self.whiten(residual)
        if self.weights is not None:
            residual = residual * self.weights[:, 0]
        return residual[self.used]

    def rescaled(self, covariance: Floats) -> Floats:
        """Return a covariance for residuals in units of their own standard deviation, from one as the fit has it."""
        with np.errstate(over="ignore"):
            return covariance * self.unit * self.unit


def _unit(y: Floats, sigma: Floats) -> float:
    """Return a power of two by which squares of 1/σ and of data in units of σ are numbers; 1 if they are."""
    known = np.isfinite(sigma)
    if not known.any():
        return 1.0
    with np.errstate(divide="ignore"):
        data, noise = np.log2(np.abs(y[known])), np.log2(sigma[known])
    first = int(np.argmax(data - noise))
    size = float(data[first]) if np.isfinite(data[first]) else 0.0
    level = float(noise[first])
    if max(abs(level), abs(size - level)) <= LARGE:
        return 1.0
    # derivatives are like 1/σ: half of what is too large or too small in the data goes to each
    return float(np.ldexp(1.0, int(np.clip(np.round(level - size / 2), -1074, 1023))))


def copies_of(given: CurveInput) -> int:
    """Return how often samples are repeated to be as many as free parameters, which no other method requires."""
    used = np.ones(given.ydata.shape, bool) if given.used is None else given.used
    if given.sigma is not None and given.sigma.ndim < 2:
        used = used & np.isfinite(given.sigma)
    n_used = int(np.count_nonzero(used))
    return 1 if given.ydata.size == 1 or n_used == 0 else -(-int(np.count_nonzero(given.lower < given.upper)) // n_used)


def repeated(f: Any, jac: Any, given: CurveInput, copies: int) -> tuple[Any, Any, CurveInput]:
    """Return the same problem with every sample so many times, each with as much less weight."""
    sigma: Floats
    if given.sigma is not None and given.sigma.ndim == 2:
        sigma = np.asarray(np.kron(np.eye(copies), copies * given.sigma), float)
    else:
        each = np.broadcast_to(1.0 if given.sigma is None else given.sigma, given.ydata.shape)
        sigma = np.asarray(np.tile(each, copies) * copies**0.5, float)
    used = None if given.used is None else np.tile(given.used, copies)

    def values(x: Any, *params: Any) -> Any:
        return np.tile(np.asarray(f(x, *params)), copies)

    def slopes(x: Any, *params: Any) -> Any:
        return np.tile(np.asarray(jac(x, *params)), (copies, 1))

    given = replace(given, ydata=np.tile(given.ydata, copies), sigma=sigma, used=used)
    return values, slopes if callable(jac) else jac, given


def of_one(residual: Floats, copies: int) -> Floats:
    """Return the residuals of the samples, where each was fitted `copies` times with less weight."""
    return np.asarray(residual[: residual.size // copies] * np.sqrt(copies), float)
