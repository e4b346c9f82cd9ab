"""Options of a fit: how it is computed, and what it minimises."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from .errors import FitInputError
from .types import LOSSES, NOISES, DType, Loss, LossFunction, Noise
from .validation import check_callable


@dataclass(frozen=True)
class Criterion:
    """The cost of a sample: see `napari_imagefit.engine.noise.noise_and_loss`."""

    noise: Noise = "gaussian"
    loss: Loss | LossFunction = "linear"

    @property
    def is_robust(self) -> bool:
        """Whether large residuals count less than their square."""
        return self.loss != "linear"


class Tolerances(NamedTuple):
    """Convergence tolerances: relative change of cost and of parameters, cosine of the gradient."""

    cost: float
    step: float
    gradient: float


@dataclass(frozen=True)
class Options:
    """Options of the computation of a fit. Raises `FitInputError` where a value makes no sense.

    Parameters
    ----------
    ftol, xtol, gtol : float
        Relative change of the cost, change of the parameters (each in its own scale) relative to themselves and to what
        there is to explain, and largest cosine between the residuals and a column of the Jacobian, below which a fit
        has converged.
    max_iterations : int
        Trial steps per fit, accepted or not.
    dtype : {"float64", "float32"}
        Precision of the model's values and derivatives. In float32 no tolerance is taken below 8 units of its rounding,
        about 1e-6.
    device : str, optional
        ``"cpu"``, ``"gpu"``… ; JAX's first choice if not given.
    noise : {"gaussian", "poisson", "rician"}
        Least squares, or the maximum likelihood of counts or of magnitudes, whose σ must be known.
    loss : {"linear", "soft_l1", "huber", "cauchy", "arctan"} or callable
        What outliers count, as in `scipy.optimize.least_squares`; for Gaussian noise only.
    f_scale : float
        The residual from which on a robust loss takes a sample for an outlier, in units of σ where it is given,
        otherwise of the data.
    """

    ftol: float = 1e-8
    xtol: float = 1e-8
    gtol: float = 1e-8
    max_iterations: int = 100
    dtype: DType = "float64"
    device: str | None = None
    noise: Noise = "gaussian"
    loss: Loss | LossFunction = "linear"
    f_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("ftol", "xtol", "gtol"):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) < 1:
                raise FitInputError(f"{name}={value} is not a tolerance; give a number from 0 to below 1, such as 1e-8")
        if not isinstance(self.max_iterations, Integral) or self.max_iterations < 1:
            raise FitInputError(f"max_iterations must be a positive integer, got {self.max_iterations}; give 1 or more")
        if self.device is not None and not isinstance(self.device, str):
            raise FitInputError(f"unknown device {self.device!r}; use 'cpu' or 'gpu'")
        if self.dtype not in ("float32", "float64"):
            raise FitInputError(f"dtype={self.dtype!r} is not a precision; give 'float64' or 'float32'")
        if self.noise not in NOISES:
            raise FitInputError(f"noise={self.noise!r} is not known; choose from {', '.join(NOISES)}")
        _check_loss(self.loss)
        if not isinstance(self.f_scale, Real) or not 0 < float(self.f_scale) < math.inf:
            raise FitInputError(f"f_scale must be a positive number, got {self.f_scale}; give a residual above 0")
        if self.noise != "gaussian" and self.loss != "linear":
            raise FitInputError(f"loss={self.loss!r} is for Gaussian noise; leave it out, or give sigma instead")

    @property
    def criterion(self) -> Criterion:
        """Minimised criterion."""
        return Criterion(self.noise, self.loss)

    @property
    def eps(self) -> float:
        """The rounding of the model's values, relative."""
        return float(np.finfo(self.dtype).eps)

    @property
    def tolerances(self) -> Tolerances:
        """Tolerances in effect: single precision does not resolve a cost below some units of its last place."""
        floor = 0.0 if self.dtype == "float64" else 8 * self.eps
        return Tolerances(*(max(float(t), floor) for t in (self.ftol, self.xtol, self.gtol)))


def _check_loss(loss: object) -> None:
    if callable(loss):
        check_callable(loss, "loss", "loss(z)", 1)
    elif not isinstance(loss, str) or loss not in LOSSES:
        raise FitInputError(f"loss={loss!r} is not known; choose from {', '.join(LOSSES)}")
