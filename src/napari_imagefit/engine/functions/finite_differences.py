"""Derivatives of functions that JAX cannot trace: finite differences with relative steps, a batch of fits at once.

The step is a fraction of the parameter, in the precision of the values: an absolute step of 1e-7 vanishes in float32,
and in a parameter of order 1e9. Where a fraction of the parameter is no useful step, as at 0, it is found by trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.types import Floats

Evaluate = Callable[[NDArray[Any]], NDArray[Any]]

FACTOR = 1e3  # between the steps that are tried
MAX_TRIALS = 5  # reaches natural scales from 1e-17 to 1e19


def differences(
    evaluate: Evaluate,
    params: NDArray[Any],
    values: NDArray[Any],
    free: tuple[int, ...],
    lower: NDArray[Any],
    upper: NDArray[Any],
    scale: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return derivatives by three-point differences: central, or one-sided next to a bound or the edge of the domain.

    It takes two calls per free parameter, and two more for each time that the step of any fit must be changed.

    Parameters
    ----------
    evaluate : callable
        From parameters ``(n_params, B)``, of the type of `params`, to values ``(m, B)``; columns are independent.
    params, values : arrays
        Where to differentiate, and ``evaluate(params)``. The dtype of `values` gives their precision.
    free : tuple of int
        The parameters to differentiate by.
    lower, upper : arrays, ``(n_free, B)``
        Never left. Where they are equal the derivative is 0.
    scale : array, ``(n_free, B)``, optional
        Typical magnitudes: the least that a step is relative to. Where there is none (0, or not finite), a step that
        changes the values by less than their rounding or by too much is replaced.

    Returns
    -------
    array, ``(n_free, m, B)``, of the type of `values`
        NaN where the values are not finite, or not on either side.
    """
    known = np.asarray(values, np.float64)
    eps = float(np.finfo(values.dtype).eps)
    found = np.zeros((len(free), *values.shape), values.dtype)
    scales = np.zeros(lower.shape) if scale is None else np.where(np.isfinite(scale), scale, 0)
    of_one = params.shape[1] == 1 and scale is None
    largest = float(np.abs(known).max()) if of_one else math.nan
    for row, index in enumerate(free):
        if of_one:
            slope = _of_one(evaluate, params, known, largest, index, float(lower[row, 0]), float(upper[row, 0]), eps)
            if slope is not None:
                found[row] = slope
                continue
        # overflow, and arguments outside the domain, are expected here and show as values that are not finite
        with np.errstate(all="ignore"):
            low, high = _inwards(lower[row], params.dtype, np.inf), _inwards(upper[row], params.dtype, -np.inf)
            if np.any(low < high):
                line = _Line(evaluate, params, known, index, low, high, eps)
                found[row] = line.derivative(np.asarray(scales[row], np.float64))
    return found


def _of_one(
    evaluate: Evaluate,
    params: NDArray[Any],
    values: Floats,
    largest: float,
    index: int,
    low: float,
    high: float,
    eps: float,
) -> Floats | None:
    """Return the same for a single fit where the first step is a good one, as it is most often.

    None where it is not; `largest` is the largest size of the values.
    """
    kept = params[index, 0]
    x = float(kept)
    size = abs(x)
    root = eps ** (1 / 3)
    step = max(root * size, 2 * float(np.spacing(abs(kept))))
    if not 0 < size < np.inf or step > min(high - x, x - low):
        return None
    moved, ends = params.copy(), []
    for offset in (step, -step):
        moved[index, 0] = x + offset
        # what is returned may be the function's own array, which it fills anew
        ends.append((float(moved[index, 0]) - x, evaluate(moved) - values))
    (a, rise_a), (b, rise_b) = ends
    least, most = eps ** (2 / 3), max(1e-2, 10 * root)
    # the norm of both rises is at least their largest element, and at most √2m times as large; NaN does not compare
    norm = math.sqrt(_square(rise_a) + _square(rise_b))
    if not least * largest * math.sqrt(2 * values.size) <= norm <= most * largest:
        one, other = _largest(rise_a), _largest(rise_b)
        # NaN and infinity do not compare, but the larger one of a number and NaN may be the number
        change = max(one, other) if math.isfinite(one + other) else math.nan
        relative = change / max(largest, change) if largest > 0 or change > 0 else 0.0
        if not least <= relative <= most:
            return None
    if a == 0 or b == 0:
        return None
    slope: Floats = (rise_a * (b / a) - rise_b * (a / b)) / (b - a)
    return slope


def _square(values: Floats) -> float:
    """Return the sum of squares."""
    column = values[:, 0]
    return float(column @ column)


def _largest(values: NDArray[Any]) -> float:
    """Return the largest size, NaN where anything is NaN: two looks at an array are quicker than another one."""
    return max(float(values.max()), -float(values.min()))


def complex_step(evaluate: Evaluate, params: NDArray[Any], free: tuple[int, ...]) -> Floats:
    """Return derivatives to rounding, of functions that are analytic in complex parameters.

    One call per free parameter.

    Returns
    -------
    array, ``(n_free, m, B)``

    Raises
    ------
    TypeError
        If `evaluate` does not take complex numbers, or gives real ones back.
    """
    found = []
    for index in free:
        size = np.abs(np.asarray(params[index], np.float64))
        # no difference is taken, so the step may be as small as numbers go; not subnormal, where digits are lost
        step = 1e-20 * np.where(size == 0, 1, np.maximum(size, 1e-200))
        moved = params.astype(np.complex128)
        moved[index] += 1j * step
        values = np.asarray(evaluate(moved))
        if not np.iscomplexobj(values):
            raise TypeError("the function gives real values for complex parameters; differentiate it by differences")
        found.append(np.asarray(values.imag, np.float64) / step)
    return np.stack(found) if found else np.empty((0, 0, params.shape[1]))


def _inwards(bound: NDArray[Any], dtype: np.dtype[Any], inside: float) -> NDArray[Any]:
    """Round a bound to `dtype` without leaving the box."""
    rounded = np.asarray(bound).astype(dtype)
    left = rounded < bound if inside > 0 else rounded > bound
    return np.where(left, np.nextafter(rounded, dtype.type(inside)), rounded)


@dataclass(frozen=True)
class _Line:
    """The function along one parameter."""

    evaluate: Evaluate
    params: NDArray[Any]
    values: Floats
    index: int
    low: NDArray[Any]
    high: NDArray[Any]
    eps: float

    def derivative(self, scale: Floats) -> Floats:
        """Differentiate with the relative step, and again with others where that was too short or too long."""
        root = self.eps ** (1 / 3)
        shortest = self.eps ** (2 / 3)  # a smaller change of the values leaves fewer than 5 digits (2 in float32)
        size = np.maximum(np.abs(np.asarray(self.params[self.index], np.float64)), scale)
        step = root * np.where(size > 0, size, 1)
        # a step that knows nothing of the parameter must prove that it is short
        longest = np.maximum(np.where(size > 0, 1e-2, 1e-3), 10 * root)

        movable = self.low < self.high
        slopes, change, step = self.slopes(step, movable)
        best = np.where(movable, slopes, 0)
        judged = movable & (scale <= 0) & np.isfinite(size) & np.any(np.isfinite(self.values), axis=0)
        active = judged & ((change < shortest) | (change > longest))
        drowned, lost, known = (np.zeros(active.shape, bool) for _ in range(3))
        for _ in range(MAX_TRIALS):
            if not np.any(active):
                break
            up = active & (change < shortest)
            # no change at all, or none but rounding: the derivative so far is unknown
            faint = change <= self.resolution
            afresh = up & ((change == 0) | np.where(faint, step < root, drowned))
            trial = np.where(up, step * FACTOR, step / FACTOR)
            new, new_change, trial = self.slopes(np.where(afresh, np.maximum(root, trial), trial), active)
            alike = self.alike(slopes, new, np.minimum(step, trial))
            long, short = new_change >= shortest, new_change <= longest
            longest = np.where(afresh, max(1e-3, 10 * root), longest)
            growth = trial / step
            agree, drowned = self.compare(slopes, change, new, new_change, growth)
            # a step into another world, across a pole at 0 for instance, is worse than none
            tells = np.where(afresh, new_change <= longest, long & (alike | ~up))
            # what rounding has drowned shows with a longer step along which the function does not bend
            straight = (new_change > self.resolution) & (new_change <= 2 * growth * self.resolution)
            shows = up & drowned & faint & straight
            best = np.where(active & (tells | shows) & np.isfinite(new).any(axis=0), new, best)
            known |= active & ((up & agree) | (tells & long))
            lost |= up & drowned
            # a longer step must not bend the function; a shorter one need not be short if the values start from 0
            settled = np.where(up, ~(alike | (drowned & ~faint)) | long | (trial <= step), alike | short)
            active &= ~np.where(afresh, (long & (new_change <= longest)) | (trial <= step), settled)
            slopes, change, step = new, new_change, trial
        # rounding divided by a step is no derivative: it would make a scale of the parameter, and steps to anywhere
        return np.where(lost & ~known & np.isfinite(best), 0, best)

    @property
    def resolution(self) -> float:
        """A change of the values, relative to the largest, that may be nothing but rounding."""
        return 8 * self.eps

    def compare(
        self, one: Floats, change: Floats, other: Floats, new_change: Floats, growth: Floats
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether a longer step has the same derivative, and whether it shows that there was but rounding, ``(B,)``.

        The rounding of a sum does not grow with the step; what changes small values beside large ones does.
        """
        both = np.isfinite(one) & np.isfinite(other)
        apart, size = (np.max(np.abs(a), axis=0, where=both, initial=0) for a in (one - other, one))
        agree = (growth > 10) & (size > 0) & (apart <= 0.1 * size)
        noisy = (change <= self.resolution) | (new_change <= 0.1 * growth * change)
        return agree, (growth > 10) & ~agree & noisy

    def alike(self, one: Floats, other: Floats, step: Floats) -> NDArray[np.bool_]:
        """Whether two derivatives agree within truncation and the rounding of the shorter step, ``(B,)``.

        Two zeros do not: they may stand for two steps across a whole peak.
        """
        noise = 4 * self.eps * np.abs(self.values) / step
        allowed = 2 * self.eps ** (1 / 3) * np.max(np.abs(other), axis=0, where=np.isfinite(other), initial=0)
        agree: NDArray[np.bool_] = (np.abs(one - other) <= allowed + noise) | ~np.isfinite(self.values)
        return np.asarray(agree.all(axis=0) & (allowed > 0))

    def slopes(self, step: Floats, active: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
        """Return derivatives ``(m, B)``.

        Change relative to the largest value, inf if undefined, and the step, ``(B,)``.
        """
        near, far = self.offsets(step)
        near, near_values = self.at(near, active)
        far, far_values = self.at(far, active)
        slopes = self.three_points(near, near_values, far, far_values)

        # half way to the one good side: inside the bounds, and most likely inside the domain
        known, near_good, far_good = (np.isfinite(a) for a in (self.values, near_values, far_values))
        for offset, good_values, halve in (
            (near, near_values, known & near_good & ~far_good),
            (far, far_values, known & far_good & ~near_good),
        ):
            columns = active & np.any(halve, axis=0)
            if np.any(columns):
                half, half_values = self.at(offset / 2, columns)
                slopes = np.where(halve, self.three_points(half, half_values, offset, good_values), slopes)

        changes = [np.where(np.isfinite(a), np.abs(a - self.values), np.nan) for a in (near_values, far_values)]
        change = np.max(np.where(known, np.fmax(*changes), 0), axis=0)
        size = np.maximum(np.max(np.abs(self.values), axis=0, where=known, initial=0), change)
        change = change / np.where(size == 0, 1, size)
        return slopes, np.where(np.isfinite(change), change, np.inf), np.abs(near)

    def offsets(self, step: Floats) -> tuple[Floats, Floats]:
        """Two offsets inside the bounds: ±h, or h and 2h to the side with more room if that allows a longer h."""
        x = self.params[self.index]
        step = np.maximum(step, 2 * np.spacing(np.abs(x)))
        above, below = (np.maximum(np.asarray(a, np.float64), 0) for a in (self.high - x, x - self.low))
        central = np.minimum(step, np.minimum(above, below))
        one_sided = np.minimum(step, np.maximum(above, below) / 2)
        inwards = np.where(above >= below, one_sided, -one_sided)
        both = central >= one_sided
        return np.where(both, central, inwards), np.where(both, -central, 2 * inwards)

    def at(self, offset: Floats, active: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Evaluate beside the parameters: the offsets as they are in the precision of these, and the values."""
        x = self.params[self.index]
        moved = self.params.copy()
        moved[self.index] = np.where(active, np.clip((x + offset).astype(x.dtype), self.low, self.high), x)
        return moved[self.index].astype(np.float64) - x, np.array(self.evaluate(moved), np.float64)

    def three_points(self, a: Floats, at_a: Floats, b: Floats, at_b: Floats) -> Floats:
        """Return the slope at 0 of the parabola through the values at 0, a and b.

        Of the secant if two of them coincide.
        """
        rise_a, rise_b = at_a - self.values, at_b - self.values
        parabola = (rise_a * (b / a) - rise_b * (a / b)) / (b - a)
        secant = np.where(a != 0, rise_a / a, np.where(b != 0, rise_b / b, 0))
        return np.where((a == 0) | (b == 0) | (a == b), secant, parabola)
