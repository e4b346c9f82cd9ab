"""Settings of a curve's fit: tolerances, limits and scales, read and refused as SciPy does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..core.errors import FitInputError, FitInputTypeError
from ..core.options import Options
from ..core.types import LOSSES, Floats, Loss, LossFunction
from ..core.validation import with_values
from .arguments import CurveInput

ROUNDING = float(np.finfo(float).eps)


@dataclass(frozen=True)
class Settings:
    """Settings of the fit, beside the data."""

    options: Options
    norms: Floats | None  # 1/size of the parameters (n, 1); None: as the Jacobian has it
    any_method: bool  # whether SciPy would not take MINPACK's

    def in_unit(self, unit: float) -> Settings:
        """Return the same where a standard deviation of the data is so much."""
        if unit == 1 or not self.options.criterion.is_robust:
            return self
        return replace(self, options=replace(self.options, f_scale=self.options.f_scale * unit))


def read_settings(
    given: CurveInput,
    method: str | None,
    jac: Callable[..., Any] | str | None,
    loss: Loss | LossFunction,
    f_scale: float,
    x_scale: ArrayLike | str | None,
    max_nfev: int | None,
    **tolerances: float | None,
) -> Settings:
    """Check the arguments in SciPy's order, with its errors; `tolerances` are ftol, xtol and gtol.

    Raises
    ------
    ValueError, TypeError
        Where SciPy does, in its words.
    """
    any_method = given.bounded or method in ("trf", "dogbox")
    if not callable(jac) and jac not in (None, "2-point", "3-point", "cs"):
        wrong = FitInputError if any_method else FitInputTypeError
        raise wrong("`jac` must be '2-point', '3-point', 'cs' or callable.")
    _check_loss(loss, method)
    ends = _tolerances(any_method, **tolerances)
    if isinstance(f_scale, str):
        raise FitInputTypeError(f"f_scale must be a positive number, got {f_scale!r}")
    n = given.p0.size
    if max_nfev is None:
        max_nfev = 100 * n if any_method else 200 * (n + 1)
    with with_values("max_nfev"):
        too_few = bool(max_nfev < 1)
    if too_few:
        raise FitInputError("`max_nfev` must be None or positive integer.")
    most = max(1, int(max_nfev) - 1)
    options = Options(ends["ftol"], ends["xtol"], ends["gtol"], max_iterations=most, loss=loss, f_scale=f_scale)
    return Settings(options, _norms(x_scale, n), any_method)


def _check_loss(loss: Loss | LossFunction, method: str | None) -> None:
    if not callable(loss) and loss not in LOSSES:
        raise FitInputError(f"`loss` must be one of {', '.join(LOSSES)} or a callable, not {loss!r}.")
    if method == "lm" and loss != "linear":
        raise FitInputTypeError("Method 'lm' is for `loss='linear'` only. Use 'trf' or 'dogbox' instead.")


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


def _norms(x_scale: ArrayLike | str | None, n: int) -> Floats | None:
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
