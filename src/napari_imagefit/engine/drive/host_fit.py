"""Fitting models that run on the host: their values from NumPy, everything else from the same compiled stages."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from ..._lazy import LazyModule
from ..core.errors import FitInputError
from ..core.programs import Runner, computing
from ..models.model import Array
from ..models.numpy_model import HostModel
from ..solver import covariance, trust_region
from ..solver.trust_region import RUNNING, State, Task, Tolerances, Trial
from ..sums.normal_equations import Kernel, expand_given
from ..sums.residual_sums import residuals_given
from .problem import Options

if TYPE_CHECKING:
    import jax
else:
    jax = LazyModule("jax")


def try_step(
    kernel: Kernel,
    task: Task,
    state: State,
    trial: Trial,
    tolerances: Tolerances,
    limit: Array,
    value: Array,
    slopes: Array,
    rho: Array | None,
) -> tuple[State, Trial]:
    """Stage: judge a trial whose values are known, and propose the next."""
    assert task.samples is not None
    there = expand_given(kernel, task.samples._replace(rho=rho), value, slopes)
    state = trust_region.judge(task, tolerances, limit, state, trial, trust_region.hold(task, there))
    return state, trust_region.propose(task, state)


def first_trial(_kernel: Kernel, task: Task, state: State) -> Trial:
    """Stage: the start."""
    return trust_region.propose(task, state)


def answer(
    kernel: Kernel, task: Task, state: State, value: Array, slopes: Array, rho: Array | None
) -> covariance.Answer:
    """Stage: what `stages.answer` finds, from known values."""
    assert task.samples is not None
    samples = task.samples._replace(rho=rho)
    sums = residuals_given(kernel, samples, value, slopes)
    return covariance.answer(kernel.criterion, task, state, sums, samples.usable().sum(axis=0))


class HostRun:
    """One chunk of fits of a `HostModel`."""

    def __init__(self, model: HostModel, runner: Runner, options: Options, task: Task, state: State) -> None:
        self.runner = runner
        self.model, self.options, self.task, self.state = model, options, task, state
        assert task.samples is not None
        self.samples = task.samples
        self.free = runner.kernel.free
        self.known: tuple[Any, ...] | None = None

    def steps(
        self, tolerances: Tolerances, limit: Array, should_stop: Callable[[], bool]
    ) -> Generator[NDArray[Any], None, State]:
        """Fit; yields the status of all fits after each step."""
        with computing(self.options):
            trial = self.runner(first_trial, self.task, self.state)
        while not should_stop():
            seen = self._observe(trial.x)
            with computing(self.options):
                self.state, trial = self.runner(try_step, self.task, self.state, trial, tolerances, limit, *seen)
                status = np.asarray(self.state.status)
            if (status < RUNNING).all():
                break
            yield status
        return self.state

    def answer(self) -> covariance.Answer:
        """At the end."""
        seen = self._observe(self.state.x)
        with computing(self.options):
            found: covariance.Answer = self.runner(answer, self.task, self.state, *seen)
        return found

    def _observe(self, x: Array) -> tuple[Array, Array, Array | None]:
        task, samples = self.task, self.samples
        params = np.array(task.params)
        params[list(self.free)] = np.asarray(x)
        if self.known is not None and np.array_equal(self.known[0], params, equal_nan=True):
            # functions need not be called twice at one place
            seen: tuple[Array, Array, Array | None] = self.known[1]
            return seen
        bounds = np.asarray(task.lower), np.asarray(task.upper)
        value = self.model.values(params)
        slopes = self.model.derivatives(params, value, self.free, *bounds)
        rows = samples.data.shape[0]
        padded = _pad(value, rows), _pad(slopes, rows), self._rho(_pad(value, rows))
        self.known = params, padded
        return padded

    def _rho(self, value: NDArray[Any]) -> NDArray[Any] | None:
        """The terms of a loss that is written in NumPy."""
        samples = self.samples
        if self.model.rho is None or samples.f_scale is None:
            return None
        if samples.root is not None:
            value = np.nan_to_num(value)
            value = solve_triangular(np.asarray(samples.root), value, lower=True)
        residual = value - np.asarray(samples.data)
        if samples.weights is not None:
            residual = residual * np.asarray(samples.weights)
        # the caller's function is to see the samples of the fit alone, as a vector
        used = np.isfinite(np.asarray(samples.data))
        if samples.weights is not None:
            used = used & (np.asarray(samples.weights) > 0)
        z = (residual[used] / float(samples.f_scale)) ** 2
        with jax.enable_x64(True):
            terms = np.asarray(self.model.rho(z), value.dtype)
        if terms.shape != (3, z.size):
            raise FitInputError(
                f"`loss` returns values of shape {terms.shape}; give rho and its two derivatives, {(3, z.size)}"
            )
        rho = np.zeros((3, *value.shape), value.dtype)
        rho[1] = 1
        rho[:, used] = terms
        return rho


def _pad(values: NDArray[Any], rows: int) -> NDArray[Any]:
    """To `rows` samples; what is added is not used."""
    missing = rows - values.shape[-2]
    width = [(0, 0)] * values.ndim
    width[-2] = (0, missing)
    return np.pad(values, width) if missing else values
