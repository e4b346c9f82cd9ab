"""`curve_fit` as in SciPy, by this engine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.device import in_precision
from ..core.errors import FitInputError
from ..core.types import Loss, LossFunction
from ..drive.problem import Problem
from .answer import answer
from .arguments import CurveInput, read
from .backends import Plan
from .descent import descend
from .noise import Noise, copies_of, repeated
from .settings import Settings, read_settings
from .strategy import padded_length, plan_for
from .traces import Traces


class CurveFit:
    """`curve_fit` for data of many lengths.

    Parameters
    ----------
    flength : int, optional
        Data of up to so many samples are padded to it, and the padding is left out of the fit: whatever their length,
        nothing is traced or compiled again. Without it, data are padded to the next power of two. A function whose
        values depend on more than their own sample is fitted without padding.

    Raises
    ------
    ValueError
        If `flength` is not a whole number from 1 on.

    See Also
    --------
    napari_imagefit.curve_fit : the same for one call, with all arguments explained.

    Notes
    -----
    A function counts by its identity, as for `jax.jit`: what it reads besides its arguments (globals, closures,
    attributes) is read once. Give a new function, or use a new `CurveFit`, where that has changed. The function
    `curve_fit` traces at each call.

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
        """Fit as the function `curve_fit` does."""
        if "args" in kwargs:
            raise FitInputError("'args' is not a supported keyword argument.")
        max_nfev = kwargs.pop("maxfev", None) if max_nfev is None else max_nfev
        if kwargs:
            raise TypeError(f"curve_fit() got an unexpected keyword argument {next(iter(kwargs))!r}")
        given = read(f, xdata, ydata, p0, sigma, check_finite, bounds, method, nan_policy, data_mask)
        settings = read_settings(given, method, jac, loss, f_scale, x_scale, max_nfev, ftol=ftol, xtol=xtol, gtol=gtol)
        copies = copies_of(given) if settings.any_method else 1
        if copies > 1:
            f, jac, given = repeated(f, jac, given, copies)
        # a function that mixes NumPy and JAX must not be rounded to single precision
        with in_precision("float64") if "jax" in sys.modules else np.errstate(all="ignore"):
            traces_of_jac = self._traces.of(jac) if callable(jac) else None
            plan = plan_for(f, given, jac, loss, self.flength, self._traces.of(f), traces_of_jac)
            y = np.broadcast_to(given.ydata, (plan.length,))
            _check_counts(given, plan)
            noise = Noise.of(given, y)
            settings = settings.in_unit(noise.unit)
            fits = descend(self._problem(given, plan, noise.whiten(y), noise, settings))
            return answer(fits, given, plan, y, noise, absolute_sigma, settings.options, full_output, copies)

    def _problem(
        self, given: CurveInput, plan: Plan, data: NDArray[np.float64], noise: Noise, settings: Settings
    ) -> Problem:
        names = plan.model.names
        pairs = zip(given.lower, given.upper, strict=True)
        return Problem.build(
            plan.model,
            plan.coords,
            data[:, None],
            weights=noise.weights,
            init=dict(zip(names, given.p0, strict=True)),
            bounds=dict(zip(names, pairs, strict=True)),
            options=settings.options,
            padded=not plan.whole,
            pad_to=padded_length(plan.length, self.flength),
            norms=settings.norms,
            root=noise.root,
            whole=plan.whole,
            alone=True,
        )


def _check_counts(given: CurveInput, plan: Plan) -> None:
    """Refuse more parameters than samples, and no parameters."""
    n_free = int(np.count_nonzero(given.lower < given.upper))
    if n_free > plan.length:
        raise TypeError(
            f"The number of func parameters={n_free} must not exceed the number of data points={plan.length}"
        )
    if n_free == 0:
        raise FitInputError("All parameters are held by equal bounds; leave at least one free.")


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
        one that is fixed.
    infodict, mesg, ier
        If `full_output`.

    Raises
    ------
    ValueError, TypeError
        For input that cannot work, as SciPy does.
    RuntimeError
        If there is no result.

    See Also
    --------
    napari_imagefit.CurveFit : for many calls with one function: it is traced and compiled once.
    napari_imagefit.fit_voxels : for many curves at once.
    scipy.optimize.curve_fit : which it replaces.

    Notes
    -----
    It takes SciPy's arguments in SciPy's order, and raises SciPy's errors. The function is traced at each call, so that
    what it reads besides its arguments may change between two.

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
