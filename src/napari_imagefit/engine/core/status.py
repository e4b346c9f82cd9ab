"""Statuses and flags of fits, each with a sentence for people."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Self


class Status(IntEnum):
    """End of one fit. Positive values are results; the numbers 0 to 4 are SciPy's.

    See Also
    --------
    napari_imagefit.Flag : remarks on fits that have a result.
    napari_imagefit.FitResult.counts : how many fits ended in which way.

    Notes
    -----
    Where a status is below 0, parameters and errors of a `FitResult` are NaN, except that a stopped fit (−5) keeps the
    values that it had reached; ``solution`` has the last accepted step of the others.

    Examples
    --------
    >>> Status(2).message
    'converged: the cost no longer changes'
    >>> Status(-3).converged
    False
    """

    message: str

    def __new__(cls, value: int, message: str = "") -> Self:
        """Return the member of a number, with its message."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    GRADIENT = 1, "converged: the gradient is zero within gtol"
    COST = 2, "converged: the cost no longer changes"
    STEP = 3, "converged: the parameters no longer change"
    COST_AND_STEP = 4, "converged: neither the cost nor the parameters change any more"
    ITERATION_LIMIT = 0, "stopped at the iteration limit before it converged"
    NOT_FITTED = -1, "not fitted: outside the mask, or too weak a signal"
    TOO_FEW_SAMPLES = -2, "not fitted: fewer usable samples than free parameters"
    NON_FINITE_MODEL = -3, "no result: the model is NaN or infinite at the start values or near the last accepted step"
    SINGULAR = -4, "singular: the data do not determine every parameter"
    STOPPED = -5, "stopped by the user before it converged"
    BAD_SETTINGS = -6, "not fitted: start, bounds, fixed value or sigma of this one fit cannot be used"
    NO_IMPROVEMENT = -7, "no result: it ended above its start, or above a constant that the model contains"

    @property
    def converged(self) -> bool:
        """Whether the fit reached a minimum that determines all its parameters."""
        return self.value > 0


class Flag(IntFlag):
    """Remarks on a fit that has a result; several may be set, 0 means nothing to remark.

    See Also
    --------
    napari_imagefit.Status : how a fit ended.
    napari_imagefit.FitResult.flags : the bit sets of all fits.

    Notes
    -----
    A flag changes no result. `docs/flags.md` lists when each is set, and how often by chance.

    Examples
    --------
    >>> [flag.message for flag in Flag(3)]
    ['a parameter is at its lower bound', 'a parameter is at its upper bound']
    """

    message: str
    explanation: str

    def __new__(cls, value: int, message: str = "", explanation: str = "") -> Self:
        """Return the member of a number, with its message and explanation."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        member.explanation = explanation
        return member

    AT_LOWER = (
        1,
        "a parameter is at its lower bound",
        "The cost still falls towards the bound, which is nearer than a hundredth of the parameter's own standard "
        "deviation. The parameter counts as fixed there and has no error; `at_bound` says which one it is. "
        "Widen the bound, or take it that the data want it there.",
    )
    AT_UPPER = 2, "a parameter is at its upper bound", "As at the lower bound."
    POORLY_DETERMINED = (
        4,
        "the data do not determine every parameter",
        "JᵀJ is singular within rounding, or next to it: an error is more than 1 000 times what it would be if the "
        "other parameters were known, or a parameter that cannot be negative has an error larger than itself. "
        "Fix a parameter, or take a simpler model. With dtype='float32' it also says that residuals are next to the "
        "rounding of a level about which the data hardly vary, and which no constant of the model takes up: take "
        "float64.",
    )
    MASKED_SAMPLES = (
        8,
        "samples were left out",
        "NaN or infinite samples do not count, nor do those that a selection leaves out by their value (below the "
        "noise floor, saturated); `n_left_out` says how many there were.",
    )
    CENTRE_OUTSIDE = (
        16,
        "the centre lies outside the samples",
        "A position came out where no sample was fitted: outside the region, window or curve. What is fitted may be "
        "the flank of something else.",
    )
    LARGE_CHI2 = (
        32,
        "the residuals are larger than the noise",
        "The noise level is known (σ, counts or a camera) and χ² is larger than noise alone makes it in 1 of 1 000 "
        "fits. The model lacks something, there are outliers, or the noise is larger than was said; "
        "the standard errors are then too small.",
    )
    STRUCTURED_RESIDUAL = (
        64,
        "the residuals have structure",
        "Neighbouring residuals agree in sign more than chance allows, along the curve or the rows of pixels: "
        "Σeᵢeᵢ₊₁ is more than 3.09 times the root of Σ(eᵢeᵢ₊₁)², or a larger part of Σe² than noise leaves after so "
        "many parameters were fitted, and not by one pair of outliers. The model lacks something, such as a second "
        "source in the region, or the noise is correlated.",
    )
    CUT_BY_EDGE = (
        128,
        "the window is cut by the edge of the image",
        "A part of the spot's window lies outside of the image. It was fitted on the pixels that there are, which tell "
        "less of its centre and background.",
    )
    NEIGHBOUR_OVERLAP = (
        256,
        "another spot lies within the window",
        "Another of the points that were given lies within the spot's window, so that the light of both is fitted as "
        "one. Take a smaller window, or let neighbours be fitted together (`groups` of `fit_spots`).",
    )
    SATURATED = (
        512,
        "samples are at the limit of what the camera or file can hold",
        "The largest sample is repeated, and it is the largest number of the data's type, or 255, 1 023, 4 095, "
        "16 383, 32 767 or 65 535, the most that 8, 10, 12, 14, 15 or 16 bits hold. What was larger has been cut off, "
        "and amplitudes, widths and decay times are wrong. Leave out samples from that value on: `saturation` of "
        "`fit_spots` and of `Selection`.",
    )
    SMALL_CHI2 = (
        1024,
        "the residuals are far smaller than the noise",
        "The noise level is known (σ, counts or a camera), the reduced χ² is below 0.8, and χ² smaller than noise "
        "alone makes it in 1 of 10 000 fits. The noise is smaller than was said, or the data were smoothed; the "
        "standard errors are then too large.",
    )
    UNEVEN_NOISE = (
        2048,
        "the residuals are larger where the fitted values are",
        "The mean square of the residuals is larger above the mean of the data than below, by more than even noise "
        "makes it in 1 of 10 000 fits: the noise grows with the signal, as that of counts does, or the model does not "
        "fit where it is large. Errors are then too small, and weights not the best. Say what the noise is: "
        "noise='poisson' or a Camera for counts, otherwise a sigma for each sample; or take errors from a covariance "
        "that does not suppose even noise (a sandwich covariance), as those of photons and widths of spots are.",
    )
