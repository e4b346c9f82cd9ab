"""The result of a curve's fit in SciPy's words, with its errors and warnings."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import FitInputError
from ..core.fits import Fits
from ..core.options import Options
from ..core.status import Status
from ..core.types import Floats
from .arguments import CurveInput
from .backends import Plan
from .improvement import costs_more_than_constant
from .noise import Noise, of_one
from .settings import ROUNDING

# Relative error of derivatives by differences; those of automatic differentiation have `ROUNDING`.
DIFFERENCES = 1e-11

MESSAGES = {
    0: "The maximum number of function evaluations is exceeded.",
    1: "`gtol` termination condition is satisfied.",
    2: "`ftol` termination condition is satisfied.",
    3: "`xtol` termination condition is satisfied.",
    4: "Both `ftol` and `xtol` termination conditions are satisfied.",
}
# Options that SciPy's curve_fit does not have.
WORTHLESS = "The fit ended above a constant that f contains, which is no minimum; give another p0."


def answer(
    fits: Fits,
    given: CurveInput,
    plan: Plan,
    y: Floats,
    noise: Noise,
    absolute_sigma: bool,
    options: Options,
    full_output: bool,
    copies: int = 1,
) -> Any:
    """Return the result in SciPy's words, with its errors and warnings."""
    status, ended = Status(int(fits.status[0])), int(fits.ended[0])
    if status == Status.TOO_FEW_SAMPLES:
        raise TypeError(
            f"The number of func parameters={fits.n_free[0]} must not exceed the number of data points={fits.n_used[0]}"
        )
    if status == Status.NON_FINITE_MODEL and fits.n_iterations[0] == 0:
        raise FitInputError("Residuals are not finite in the initial point.")
    if status == Status.NON_FINITE_MODEL:
        raise RuntimeError(f"Optimal parameters not found: {status.message}")
    popt = fits.solution[:, 0]
    if ended == Status.ITERATION_LIMIT:
        _warn(f"{MESSAGES[0]} The parameters reached by then are returned.")
    if costs_more_than_constant(fits, given, plan, y, noise, options):
        _warn(f"{WORTHLESS} The parameters reached are returned.")
    pcov = None if copies > 1 else _covariance(fits, given, plan, noise, absolute_sigma, options)
    if pcov is None or np.isinf(pcov).any():
        _warn("Covariance of the parameters could not be estimated")
    if pcov is None:
        pcov = np.full((len(popt), len(popt)), np.inf)
    if not full_output:
        return popt, pcov
    with np.errstate(over="ignore"):
        fvec = noise.standardise(plan.values(popt) - y) / noise.unit
    infodict = {"nfev": int(fits.n_iterations[0]) + 1, "fvec": of_one(fvec, copies)}
    return popt, pcov, infodict, MESSAGES[ended], ended


def _warn(message: str) -> None:
    """Warn at the line that has called `curve_fit`."""
    # it takes as long to import as a first fit
    from scipy.optimize import OptimizeWarning

    warnings.warn(message, OptimizeWarning, stacklevel=5)


def _covariance(
    fits: Fits, given: CurveInput, plan: Plan, noise: Noise, absolute_sigma: bool, options: Options
) -> Floats | None:
    """NaN for parameters at a bound, 0 for those that are fixed; None where the data do not determine the others."""
    freedom = int(fits.n_used[0] - fits.n_free[0])
    if freedom <= 0 and not absolute_sigma:
        return None
    held, popt = given.lower == given.upper, fits.solution[:, 0]
    pcov: Floats | None = fits.covariance[0]
    if fits.status[0] == Status.SINGULAR:
        # JᵀJ has lost digits that J may still have
        pcov = _by_svd(noise, plan, popt, ~held)
    apart = (fits.at_bound[:, 0] != 0) | held
    if pcov is None or (np.isnan(pcov) & ~(apart[:, None] | apart[None])).any():
        return None
    if not absolute_sigma and _is_rounding(noise, plan, popt, given, float(fits.chi2[0])):
        return None
    if absolute_sigma:
        pcov = noise.rescaled(pcov)
    elif not options.criterion.is_robust:
        pcov = pcov * (fits.chi2[0] / freedom)
    return np.where(held[:, None] | held[None], 0.0, pcov)


def _columns(noise: Noise, plan: Plan, params: Floats, free: NDArray[np.bool_]) -> Floats:
    """Return the derivatives by the free parameters, ``(m, n)``, as the fit has them."""
    return np.stack([noise.standardise(row) for row in plan.slopes(params)[free]], axis=1)


def _is_rounding(noise: Noise, plan: Plan, popt: Floats, given: CurveInput, chi2: float) -> bool:
    """Whether residuals and derivatives are nothing but rounding: so are errors then.

    Of data that do not vary an amplitude is rounding, and so is all that the width of such a peak changes.
    """
    free = given.lower < given.upper
    resolution = 8 * ROUNDING * float(np.linalg.norm(noise.standardise(plan.values(popt))))
    if not chi2 <= resolution**2:
        return False
    columns = _columns(noise, plan, popt, free)
    sizes = np.linalg.norm(columns, axis=0)
    if not sizes.all():
        return True
    moved = popt.copy()
    with np.errstate(all="ignore"):
        # away from 0, where functions may end, and no further than doubles it
        moved[free] += np.sign(popt[free]) * np.minimum(resolution / sizes, np.abs(popt[free]))
        again = _columns(noise, plan, np.clip(moved, given.lower, given.upper), free)
        return not (np.linalg.norm(again - columns, axis=0) <= 0.5 * sizes).all()


def _by_svd(noise: Noise, plan: Plan, popt: Floats, free: NDArray[np.bool_]) -> Floats | None:
    """(JᵀJ)⁻¹ from derivatives, or None if they are linearly dependent within rounding."""
    columns = _columns(noise, plan, popt, free)
    sizes = np.linalg.norm(columns, axis=0)
    if not np.isfinite(columns).all() or not sizes.all():
        return None
    _, singular, vectors = np.linalg.svd(columns / sizes, full_matrices=False)
    rounding = ROUNDING if plan.exact else DIFFERENCES
    if len(singular) < len(sizes) or singular[-1] <= rounding * max(columns.shape) * singular[0]:
        return None
    covariance = np.full((len(free), len(free)), np.nan)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rows = vectors.T / singular / sizes[:, None]
        square = rows @ rows.T
    if not np.isfinite(square).all():
        return None
    covariance[np.ix_(free, free)] = square
    return covariance
