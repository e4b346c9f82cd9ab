"""Models evaluated in NumPy, without compilation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..functions.finite_differences import complex_step, differences
from .model import Model

Values = Callable[[NDArray[Any]], NDArray[Any]]
# from parameters and values to derivatives (n_params, m, B), or None where there are none
Slopes = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any] | None]


@dataclass(frozen=True, eq=False, repr=False)
class NumpyModel(Model):
    """A model whose values are computed in NumPy, for all fits of a batch at once; its `function` is not used.

    Parameters
    ----------
    values : callable
        From parameters ``(n_params, B)`` to values ``(m, B)``; the columns are independent.
    slopes : callable, optional
        From parameters and values to derivatives ``(n_params, m, B)``. Without it, or where it returns None, they come
        from finite differences with relative steps.
    complex_steps : bool
        Whether `values` takes complex parameters, and the differences are to be along the imaginary axis.
    rho : callable, optional
        A loss written in NumPy, from z to ρ, ρ' and ρ'' along the first axis.
    """

    values: Values = field(kw_only=True)
    slopes: Slopes | None = field(default=None, kw_only=True)
    complex_steps: bool = field(default=False, kw_only=True)
    rho: Callable[[NDArray[Any]], Any] | None = field(default=None, kw_only=True)

    def derivatives(
        self,
        params: NDArray[Any],
        values: NDArray[Any],
        free: tuple[int, ...],
        lower: NDArray[Any],
        upper: NDArray[Any],
    ) -> NDArray[Any]:
        """Return derivatives ``(n_free, m, B)`` by the free parameters, whose bounds are ``(n_free, B)``."""
        if self.slopes is not None:
            given = self.slopes(params, values)
            if given is not None:
                return np.asarray(given, values.dtype)[list(free)]
        if self.complex_steps:
            try:
                return np.asarray(complex_step(self.values, params, free), values.dtype)
            except TypeError:
                pass
        return differences(self.values, params, values, free, lower, upper)
