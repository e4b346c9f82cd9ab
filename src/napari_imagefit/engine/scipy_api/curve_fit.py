"""`curve_fit` as in SciPy, by this engine."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.device import in_precision
from ..core.errors import FitInputError, FitInputTypeError
from ..core.fits import Fits
from ..core.options import Options
from ..core.status import Flag, Status
from ..core.types import LOSSES, Loss, LossFunction
from ..core.validation import with_values
from ..drive.problem import Problem
from ..drive.run import iter_fit
from .arguments import CurveInput, read
from .backends import Plan
from .strategy import padded_length, plan_for
from .traces import Traces

Real = NDArray[np.float64]

# The tolerance at which a fit goes on that ended where the data do not determine the parameters.
FINE = 1e-10
# How well derivatives are known, relative: by automatic differentiation, and by differences.
ROUNDING, DIFFERENCES = float(np.finfo(float).eps), 1e-11

MESSAGES = {
    0: "The maximum number of function evaluations is exceeded.",
    1: "`gtol` termination condition is satisfied.",
    2: "`ftol` termination condition is satisfied.",
    3: "`xtol` termination condition is satisfied.",
    4: "Both `ftol` and `xtol` termination conditions are satisfied.",
}


class CurveFit:
    """`curve_fit` for data of many lengths.

    Parameters
    ----------
    flength : int, optional
        Data of up to so many samples are padded to it, and the padding is left out of the fit: whatever their length,
        nothing is traced or compiled again. Without it, data are padded to the next power of two. A function whose
        values depend on more than their own sample is fitted without padding.

    Notes
    -----
    A function counts by its identity, as for `jax.jit`: what it reads besides its arguments (globals, closures,
    attributes) is read once. Give a new function, or use a new `CurveFit`, where that has changed. The function
    `curve_fit` traces at each call.

    Raises
    ------
    ValueError
        If `flength` is not a whole number from 1 on.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> fitter = CurveFit(flength=64)
    >>> for length in (20, 30, 50):
    ...     x = np.linspace(0, 2, length)
    ...     popt, pcov = fitter.curve_fit(lambda x, a, b: a * jnp.exp(-b * x), x, 3 * np.exp(-x), p0=[1.0, 2.0])
    ...     print(popt.round(6))
    [3. 1.]
    [3. 1.]
    [3. 1.]
    """

    def __init__(self, flength: int | None = None) -> None:
        whole = isinstance(flength, Integral) and not isinstance(flength, bool)
        if flength is not None and (not whole or flength < 1):
            raise FitInputError(f"flength={flength!r} is no number of samples; give a whole one from 1 on")
        self.flength = flength
        self._traces = Traces()

    def curve_fit(
        self,
        f: Callable[..., Any],
        xdata: Any,
        ydata: ArrayLike,
        p0: ArrayLike | None = None,
        sigma: ArrayLike | None = None,
        absolute_sigma: bool = False,
        check_finite: bool | None = None,
        bounds: Any = (-np.inf, np.inf),
        method: str | None = None,
        jac: Callable[..., Any] | str | None = None,
        *,
        full_output: bool = False,
        nan_policy: str | None = None,
        data_mask: ArrayLike | None = None,
        loss: Loss | LossFunction = "linear",
        f_scale: float = 1.0,
        x_scale: ArrayLike | str | None = None,
        ftol: float | None = 1e-8,
        xtol: float | None = 1e-8,
        gtol: float | None = 1e-8,
        max_nfev: int | None = None,
        **kwargs: Any,
    ) -> Any:
        """The same as the function `curve_fit`."""
        if "args" in kwargs:
            raise FitInputError("'args' is not a supported keyword argument.")
        max_nfev = kwargs.pop("maxfev", None) if max_nfev is None else max_nfev
        if kwargs:
            raise TypeError(f"curve_fit() got an unexpected keyword argument {next(iter(kwargs))!r}")
        given = read(f, xdata, ydata, p0, sigma, check_finite, bounds, method, nan_policy, data_mask)
        if not callable(jac) and jac not in (None, "2-point", "3-point", "cs"):
            wrong = FitInputError if given.bounded or method in ("trf", "dogbox") else FitInputTypeError
            raise wrong("`jac` must be '2-point', '3-point', 'cs' or callable.")
        if not callable(loss) and loss not in LOSSES:
            raise FitInputError(f"`loss` must be one of {', '.join(LOSSES)} or a callable, not {loss!r}.")
        if method == "lm" and loss != "linear":
            raise FitInputTypeError("Method 'lm' is for `loss='linear'` only. Use 'trf' or 'dogbox' instead.")
        tolerances = _tolerances(given.bounded or method in ("trf", "dogbox"), ftol=ftol, xtol=xtol, gtol=gtol)
        if isinstance(f_scale, str):
            raise FitInputTypeError(f"f_scale={f_scale!r} is no size of a residual; give a number above 0")
        n = given.p0.size
        if max_nfev is None:
            max_nfev = 100 * n if given.bounded or method in ("trf", "dogbox") else 200 * (n + 1)
        with with_values("max_nfev"):
            too_few = bool(max_nfev < 1)
        if too_few:
            raise FitInputError("`max_nfev` must be None or positive integer.")
        options = Options(
            ftol=tolerances["ftol"],
            xtol=tolerances["xtol"],
            gtol=tolerances["gtol"],
            max_iterations=max(1, int(max_nfev) - 1),
            loss=loss,
            f_scale=f_scale,
        )
        norms = _norms(x_scale, n)

        few = _copies(given) if given.bounded or method in ("trf", "dogbox") else 1
        if few > 1:
            f, jac, given = _repeated(f, jac, given, few)
        # a function that mixes NumPy and JAX must not be rounded to single precision
        with in_precision("float64") if "jax" in sys.modules else np.errstate(all="ignore"):
            plan = plan_for(
                f, given, jac, loss, self.flength, self._traces.of(f), self._traces.of(jac) if callable(jac) else None
            )
            y = np.broadcast_to(given.ydata, (plan.length,))
            n_free = int(np.count_nonzero(given.lower < given.upper))
            if n_free > plan.length:
                raise TypeError(
                    f"The number of func parameters={n_free} must not exceed the number of data points={plan.length}"
                )
            if n_free == 0:
                raise FitInputError("All parameters are held by equal bounds; leave at least one free.")
            noise = _Noise.of(given, y)
            problem = Problem.build(
                plan.model,
                plan.coords,
                noise.whiten(y)[:, None],
                weights=noise.weights,
                init=dict(zip(plan.model.names, given.p0, strict=True)),
                bounds={
                    name: (low, high)
                    for name, low, high in zip(plan.model.names, given.lower, given.upper, strict=True)
                },
                options=options,
                padded=not plan.whole,
                pad_to=padded_length(plan.length, self.flength),
                norms=norms,
                root=noise.root,
                whole=plan.whole,
                alone=True,
            )
            fits = _run(problem)
            if norms is None and fits.ended[0] == Status.STEP and fits.flags[0] & Flag.POORLY_DETERMINED:
                fits = _by_size(problem, fits)
            if fits.status[0] == Status.SINGULAR and max(options.ftol, options.xtol) > FINE:
                # next to a saddle, or on the floor of a valley, a step that gains little does not tell of a minimum
                fits = _go_on(problem, fits)
            return _answer(fits, given, plan, y, noise, absolute_sigma, options, full_output, few)


def curve_fit(
    f: Callable[..., Any],
    xdata: Any,
    ydata: ArrayLike,
    p0: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: str | None = None,
    jac: Callable[..., Any] | str | None = None,
    *,
    full_output: bool = False,
    nan_policy: str | None = None,
    data_mask: ArrayLike | None = None,
    loss: Loss | LossFunction = "linear",
    f_scale: float = 1.0,
    x_scale: ArrayLike | str | None = None,
    ftol: float | None = 1e-8,
    xtol: float | None = 1e-8,
    gtol: float | None = 1e-8,
    max_nfev: int | None = None,
    **kwargs: Any,
) -> Any:
    """Least squares of one function; a drop-in for `scipy.optimize.curve_fit`.

    Parameters
    ----------
    f : callable
        ``f(xdata, *params)``. Written with ``jax.numpy`` (or operators alone) it is compiled, and its derivatives are
        exact; written with NumPy or SciPy it is called on the host, with derivatives by finite differences.
    xdata : array, ``(M,)`` or ``(k, M)``, or any object
        As `f` takes it.
    ydata : array, ``(M,)``
    p0 : array, ``(N,)``, optional
        Starts; without them 1, or inside the bounds.
    sigma : number, array ``(M,)`` or ``(M, M)``, optional
        Standard deviations of the data, or their covariance.
    absolute_sigma : bool
        Whether `sigma` is in the data's unit. Otherwise only its relative size counts, and `pcov` is scaled by the
        reduced χ².
    check_finite, nan_policy, method
        As in SciPy; every method is this engine's trust-region method.
    bounds : pair of arrays or numbers, or ``Bounds``
        Equal ones hold a parameter.
    jac : callable, optional
        ``jac(xdata, *params)`` of shape ``(M, N)``. ``"cs"`` differentiates along the imaginary axis where `f` is not
        compiled.
    full_output : bool
        Whether to return ``infodict`` (with ``nfev`` and ``fvec``), the reason of the end as text and as a number.
    data_mask : boolean array, ``(M,)``, optional
        True for samples to fit.
    loss, f_scale
        As in `scipy.optimize.least_squares`. The covariance is then Huber's of an M-estimate, not that of SciPy, which
        takes the curvature of the loss for the information in the data.
    x_scale : array, ``"jac"``, optional
        Sizes of the parameters. Without it, or with ``"jac"``, they follow from the Jacobian.
    ftol, xtol, gtol : float
        Relative change of the cost and of the parameters, and the cosine between residuals and columns of the Jacobian,
        below which the fit has converged; none of them depends on units. None or 0 takes a test out.
    max_nfev : int, optional
        Most evaluations of `f`, those for derivatives not counted; ``maxfev`` is the same. 100 N where there are
        bounds, else 200 (N + 1). The result that it had reached is returned, with a warning.

    Returns
    -------
    popt : array, ``(N,)``
    pcov : array, ``(N, N)``
        Infinite, with a warning, where the data do not determine every parameter. NaN for a parameter at a bound, 0 for
        one that is held.
    infodict, mesg, ier
        If `full_output`.

    Raises
    ------
    ValueError, TypeError
        For input that cannot work, as SciPy does.
    RuntimeError
        If there is no answer.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> x = np.linspace(0, 2, 30)
    >>> popt, pcov = curve_fit(lambda x, a, b: a * jnp.exp(-b * x), x, 3 * np.exp(-x), p0=[1.0, 2.0])
    >>> popt.round(6)
    array([3., 1.])
    """
    return CurveFit().curve_fit(
        f,
        xdata,
        ydata,
        p0,
        sigma,
        absolute_sigma,
        check_finite,
        bounds,
        method,
        jac,
        full_output=full_output,
        nan_policy=nan_policy,
        data_mask=data_mask,
        loss=loss,
        f_scale=f_scale,
        x_scale=x_scale,
        ftol=ftol,
        xtol=xtol,
        gtol=gtol,
        max_nfev=max_nfev,
        **kwargs,
    )


@with_values("a tolerance")
def _tolerances(any_method: bool, **given: float | None) -> dict[str, float]:
    """None or less than nothing takes a test out; SciPy's methods with bounds want one at least."""
    for name, value in given.items():
        if isinstance(value, str):
            raise FitInputTypeError(f"{name}={value!r} is not a tolerance; give a number such as 1e-8")
    found = {name: 0.0 if value is None else max(value, 0.0) for name, value in given.items()}
    if any_method and all(value < ROUNDING for value in found.values()):
        raise FitInputError(f"At least one of the tolerances must be higher than machine epsilon ({ROUNDING:.2e}).")
    return found


def _norms(x_scale: ArrayLike | str | None, n: int) -> Real | None:
    """1/size of the parameters ``(n, 1)``; None: as the Jacobian has it."""
    if x_scale is None or (isinstance(x_scale, str) and x_scale == "jac"):
        return None
    wrong = FitInputError("`x_scale` must be 'jac' or array_like with positive numbers.")
    try:
        sizes = np.asarray(x_scale, float)
    except (TypeError, ValueError):
        raise wrong from None
    if not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise wrong
    if sizes.shape not in {(), (n,)}:
        raise FitInputError("Inconsistent shapes between `x_scale` and `p0`.")
    return np.broadcast_to(1 / sizes, (n,))[:, None].copy()


@dataclass(frozen=True)
class _Noise:
    """How residuals are made to have unit variance."""

    weights: Real | None  # (m, 1)
    root: Real | None  # (m, m)
    used: NDArray[np.bool_]  # (m,)

    @classmethod
    def of(cls, given: CurveInput, y: Real) -> _Noise:
        used = np.ones(y.shape, bool) if given.used is None else np.broadcast_to(given.used, y.shape)
        used = used & np.isfinite(y)
        if given.sigma is None or given.sigma.ndim < 2:
            weights = np.ones(y.shape) if given.sigma is None else np.broadcast_to(1 / given.sigma, y.shape)
            plain = given.sigma is None and used.all()
            return cls(None if plain else np.where(used, weights, 0)[:, None], None, used)
        root = np.eye(y.size)
        try:
            root[np.ix_(used, used)] = np.linalg.cholesky(given.sigma[np.ix_(used, used)])
        except np.linalg.LinAlgError:
            raise FitInputError("`sigma` must be positive definite.") from None
        return cls(None if used.all() else used.astype(float)[:, None], root, used)

    def whiten(self, values: Real) -> Real:
        """L⁻¹ times values ``(m,)``; without a covariance they are left as they are."""
        if self.root is None:
            return values
        from scipy.linalg import solve_triangular

        whitened: Real = solve_triangular(self.root, np.where(self.used, values, 0), lower=True)
        return whitened

    def standardise(self, residual: Real) -> Real:
        """Residuals ``(m,)`` in units of their standard deviation, those that are used."""
        residual = self.whiten(residual)
        if self.weights is not None:
            residual = residual * self.weights[:, 0]
        return residual[self.used]


def _copies(given: CurveInput) -> int:
    """How often samples are repeated so that there are as many as free parameters, which no other method asks for."""
    n_used = given.ydata.size if given.used is None else int(np.count_nonzero(given.used))
    return 1 if given.ydata.size == 1 or n_used == 0 else -(-int(np.count_nonzero(given.lower < given.upper)) // n_used)


def _repeated(f: Any, jac: Any, given: CurveInput, copies: int) -> tuple[Any, Any, CurveInput]:
    """The same problem with every sample so many times, each with as much less weight."""
    sigma: Real
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


def _of_one(residual: Real, copies: int) -> Real:
    return np.asarray(residual[: residual.size // copies] * np.sqrt(copies), float)


def _run(problem: Problem) -> Fits:
    steps = iter_fit(problem)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            fits: Fits = end.value
            return fits


def _go_on(problem: Problem, before: Fits, **changed: Any) -> Fits:
    """Go on from where a fit ended, with finer tolerances."""
    limit = problem.options.max_iterations - int(before.n_iterations[0])
    if limit < 1:
        return before
    options = replace(
        problem.options,
        ftol=min(problem.options.ftol, FINE),
        xtol=min(problem.options.xtol, FINE),
        max_iterations=limit,
    )
    fits = _run(replace(problem, start=before.solution, options=options, **changed))
    fits.n_iterations[:] += before.n_iterations
    return fits


def _by_size(problem: Problem, before: Fits) -> Fits:
    """Go on in units of the parameters' own size.

    A parameter on which the model does not depend there has no unit by the Jacobian. Its steps then go anywhere, and
    the region shrinks about them until the others cannot move, either.
    """
    size = np.abs(before.solution)
    found = _go_on(problem, before, norms=1 / np.where(size > 0, size, 1))
    return found if found.cost[0] < before.cost[0] else before


def _answer(
    fits: Fits,
    given: CurveInput,
    plan: Plan,
    y: Real,
    noise: _Noise,
    absolute_sigma: bool,
    options: Options,
    full_output: bool,
    copies: int = 1,
) -> Any:
    """In SciPy's words, with its errors and warnings."""
    from scipy.optimize import OptimizeWarning

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
    freedom = int(fits.n_used[0] - fits.n_free[0])
    pcov = fits.covariance[0]
    held = given.lower == given.upper
    if status == Status.SINGULAR:
        # JᵀJ has lost what J may still tell
        pcov = _by_svd(noise, plan.slopes(popt), ~held, ROUNDING if plan.exact else DIFFERENCES)
    if ended == Status.ITERATION_LIMIT:
        warnings.warn(f"{MESSAGES[0]} The parameters reached by then are returned.", OptimizeWarning, stacklevel=4)
    measured = options.criterion.is_robust
    edge = fits.at_bound[:, 0] != 0
    apart = edge | held
    unknown = pcov is not None and bool((np.isnan(pcov) & ~(apart[:, None] | apart[None])).any())
    if pcov is None or unknown or copies > 1 or (freedom <= 0 and not absolute_sigma):
        warnings.warn("Covariance of the parameters could not be estimated", OptimizeWarning, stacklevel=4)
        pcov = np.full((len(popt), len(popt)), np.inf)
    else:
        if not absolute_sigma and not measured:
            pcov = pcov * (fits.chi2[0] / freedom)
        pcov = np.where(held[:, None] | held[None], 0.0, pcov)
    if not full_output:
        return popt, pcov
    infodict = {
        "nfev": int(fits.n_iterations[0]) + 1,
        "fvec": _of_one(noise.standardise(plan.values(popt) - y), copies),
    }
    return popt, pcov, infodict, MESSAGES[ended], ended


def _by_svd(noise: _Noise, slopes: Real, free: NDArray[np.bool_], rounding: float) -> Real | None:
    """(JᵀJ)⁻¹ from derivatives ``(n, m)``, or None if they are linearly dependent within `rounding`."""
    columns = np.stack([noise.standardise(row) for row in slopes[free]], axis=1)
    sizes = np.linalg.norm(columns, axis=0)
    if not np.isfinite(columns).all() or not sizes.all():
        return None
    _, singular, vectors = np.linalg.svd(columns / sizes, full_matrices=False)
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
