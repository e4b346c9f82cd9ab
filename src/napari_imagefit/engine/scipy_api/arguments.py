"""The arguments of `curve_fit`, read and refused as SciPy does."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import FitInputError, FitInputTypeError
from ..core.types import Floats
from ..core.validation import with_values

SCIPY_METHODS = (None, "lm", "trf", "dogbox")


@dataclass(frozen=True)
class CurveInput:
    """Checked arguments of `curve_fit`.

    Attributes
    ----------
    xdata : array or any object
        As `f` takes it.
    ydata : array, ``(m,)``, or a number that is broadcast to what `f` returns
    p0, lower, upper : arrays, ``(n,)``
    sigma : None, array ``()`` or ``(m,)``, or covariance ``(m, m)``
    used : boolean array ``(m,)`` or None
    """

    xdata: Any
    ydata: Floats
    p0: Floats
    lower: Floats
    upper: Floats
    sigma: Floats | None
    used: NDArray[np.bool_] | None

    @property
    def bounded(self) -> bool:
        """Whether any bound is finite."""
        return bool(np.isfinite(self.lower).any() or np.isfinite(self.upper).any())


@with_values("what was given to curve_fit")
def read(
    f: Callable[..., Any],
    xdata: Any,
    ydata: ArrayLike,
    p0: ArrayLike | None,
    sigma: ArrayLike | None,
    check_finite: bool | None,
    bounds: Any,
    method: str | None,
    nan_policy: str | None,
    data_mask: ArrayLike | None,
) -> CurveInput:
    """Check the arguments in SciPy's order, with its errors.

    Raises
    ------
    ValueError, TypeError
        Where SciPy does, in its words.
    """
    if not callable(f):
        raise FitInputTypeError(f"f={f!r} cannot be called; give a function f(xdata, *params)")
    start, lower, upper = _read_start(f, p0, bounds, method)
    check_finite = nan_policy is None if check_finite is None else check_finite
    if isinstance(xdata, (list, tuple, np.ndarray)):
        xdata = np.asarray(xdata, float)
    y = _read_ydata(ydata)
    s = None if sigma is None else np.asarray(sigma, float)
    used = _read_mask(data_mask, y.shape)
    if check_finite:
        for values in (y, xdata):
            if isinstance(values, np.ndarray):
                np.asarray_chkfinite(_of_used(values, used, y.shape))
    elif nan_policy is not None:
        xdata, y, s, used = apply_nan_policy(xdata, y, s, used, nan_policy)
    return CurveInput(xdata, y, start, lower, upper, read_sigma(s, y, used), used)


def _read_start(
    f: Callable[..., Any], p0: ArrayLike | None, bounds: Any, method: str | None
) -> tuple[Floats, Floats, Floats]:
    """Return starts and bounds, ``(n,)`` each."""
    given = None if p0 is None else np.atleast_1d(np.asarray(p0, float))
    n = count_parameters(f) if given is None else given.size
    lower, upper = read_bounds(bounds, n)
    start = feasible_start(lower, upper) if given is None else given
    if method in (None, "lm") and np.isneginf(lower).all() and np.isposinf(upper).all():
        start = start.ravel()
    if start.ndim > 1:
        raise FitInputError("`p0` must have at most 1 dimension.")
    if method not in SCIPY_METHODS:
        raise FitInputError(f"`method` must be 'trf', 'dogbox', 'lm' or None, not {method!r}.")
    if method == "lm" and np.isfinite([lower, upper]).any():
        raise FitInputError("Method 'lm' only works for unconstrained problems. Use 'trf' or 'dogbox' instead.")
    if not np.isfinite(start).all():
        raise FitInputError(f"`p0` holds {start[~np.isfinite(start)][0]}; give finite numbers.")
    if ((start < lower) | (start > upper)).any():
        raise FitInputError("Initial guess is outside of provided bounds")
    return start, lower, upper


def _read_ydata(ydata: ArrayLike) -> Floats:
    """Return data as numbers; masked ones are NaN."""
    if isinstance(ydata, np.ma.MaskedArray):
        ydata = np.ma.filled(ydata.astype(float), np.nan)
    y = np.asarray(ydata, float)
    if y.size == 0:
        raise FitInputError("`ydata` must not be empty!")
    if y.ndim > 1:
        raise FitInputError(f"`ydata` has shape {y.shape}; give a vector, and let `f` return one.")
    return y


def _read_mask(data_mask: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    used = None if data_mask is None else np.asarray(data_mask)
    if used is not None and (used.dtype != bool or used.shape != shape):
        raise FitInputError(
            f"`data_mask` has type {used.dtype} and shape {used.shape}; give booleans of ydata's shape {shape}, "
            "True for the samples to fit"
        )
    return used


def _of_used(values: NDArray[Any], used: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[Any]:
    """Leave out the samples that are masked: these may be anything."""
    return values[..., used] if used is not None and used.ndim == 1 and values.shape[-1:] == shape else values


def count_parameters(f: Callable[..., Any]) -> int:
    """Return the number of parameters that `f` takes after the independent variable."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        raise FitInputError("Unable to determine number of fit parameters.") from None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    n = sum(p.kind in kinds for p in signature.parameters.values())
    if n < 2:
        raise FitInputError("Unable to determine number of fit parameters.")
    return n - 1


def read_bounds(bounds: Any, n: int) -> tuple[Floats, Floats]:
    """Lower and upper ``(n,)`` from a pair or an object like SciPy's ``Bounds``."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        pair: tuple[Any, ...] = (bounds.lb, bounds.ub)
    else:
        try:
            pair = tuple(bounds)
        except TypeError:
            raise FitInputTypeError(f"`bounds` are {bounds!r}; give a pair (lower, upper)") from None
        if len(pair) != 2:
            raise FitInputError("`bounds` must contain 2 elements.")
    try:
        low, high = (np.broadcast_to(np.asarray(b, float), (n,)).copy() for b in pair)
    except ValueError:
        raise FitInputTypeError("Inconsistent shapes between bounds and `p0`.") from None
    if np.isnan(low).any() or np.isnan(high).any():
        raise FitInputError("`bounds` hold NaN; give -inf or inf where there is no bound.")
    if (low > high).any():
        raise FitInputError("Each lower bound must be less than its upper bound, or equal to hold the parameter.")
    if np.isinf(low[low == high]).any():
        raise FitInputError("Both bounds of a parameter are infinite with the same sign; give finite numbers.")
    return low, high


def feasible_start(lower: Floats, upper: Floats) -> Floats:
    """Return SciPy's start without a p0: 1, or inside the bounds."""
    low, high = np.isfinite(lower), np.isfinite(upper)
    with np.errstate(invalid="ignore", over="ignore"):
        middle = 0.5 * lower + 0.5 * upper
        return np.select([low & high, low, high], [middle, lower + 1, upper - 1], 1.0)


def apply_nan_policy(
    xdata: Any, y: Floats, sigma: Floats | None, used: NDArray[np.bool_] | None, policy: str
) -> tuple[Any, Floats, Floats | None, NDArray[np.bool_] | None]:
    """Leave out samples with a NaN in x or y, or refuse them."""
    if policy == "propagate":
        raise FitInputError("`nan_policy='propagate'` is not supported by this function.")
    if policy not in ("raise", "omit"):
        raise FitInputError("nan_policy must be one of {None, 'raise', 'omit'}")
    numbers = _numbers_of(xdata, y.shape)
    missing = np.isnan(y)
    if numbers is not None:
        x_missing = np.isnan(numbers).any(axis=tuple(range(numbers.ndim - 1)))
        missing = missing | (x_missing if x_missing.shape == y.shape else np.zeros(y.shape, bool))
    if not missing.any():
        return xdata, y, sigma, used
    if policy == "raise" and used is not None and not (missing & used).any():
        return xdata, y, sigma, used
    if policy == "raise":
        raise FitInputError("The input contains nan values")
    if numbers is not None:
        xdata = numbers[..., ~missing]
    if sigma is not None and sigma.shape == y.shape:
        sigma = sigma[~missing]
    elif sigma is not None and sigma.ndim == 2:
        sigma = sigma[~missing][:, ~missing]
    return xdata, y[~missing], sigma, None if used is None else used[~missing]


def _numbers_of(xdata: Any, shape: tuple[int, ...]) -> Floats | None:
    """Return the numbers of xdata, if it is an array, or a table's column with one for each sample; else None."""
    if isinstance(xdata, np.ndarray):
        return xdata
    if not hasattr(xdata, "__array__") or np.shape(xdata) != shape:
        return None
    try:
        return np.asarray(xdata, float)
    except (TypeError, ValueError):
        return None


def read_sigma(sigma: Floats | None, y: Floats, used: NDArray[np.bool_] | None = None) -> Floats | None:
    """Return standard deviations ``()`` or ``(m,)``, or a covariance ``(m, m)``."""
    if sigma is None:
        return None
    if sigma.size == 1 and sigma.ndim < 2:
        sigma = sigma.reshape(())
    elif sigma.shape not in {(y.size,), (y.size, y.size)}:
        raise FitInputError("`sigma` has incorrect shape.")
    if used is not None and sigma.ndim > 0:
        # the sigma of masked samples does not matter
        sigma = np.where(used if sigma.ndim == 1 else used[:, None] & used, sigma, 1.0)
    if sigma.ndim < 2:
        if np.isnan(sigma).any() or (sigma == 0).any():
            raise FitInputError(
                f"`sigma` holds {sigma[np.isnan(sigma) | (sigma == 0)].flat[0]}; give positive numbers."
            )
        if np.isinf(sigma).all():
            raise FitInputError("`sigma` is infinite, which leaves no sample to fit; give a number, or leave it out.")
        return np.abs(sigma)
    if not np.isfinite(sigma).all():
        raise FitInputError("`sigma` must be finite and positive definite.")
    return sigma
