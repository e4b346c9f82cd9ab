"""Words, labels and colours of attempts, of reasons why a fit has no result, and of remarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...engine.core.status import Flag, Status
from ...engine.results.fit_result import FitResult


class Attempt(NamedTuple):
    """One way to a result: a short label for tables and maps, a sentence for reports, a colour for maps."""

    label: str
    report: str
    colour: str  # "transparent" for none


FIRST, NEIGHBOURS, GLOBAL, WIDER = range(4)

ATTEMPTS: dict[int, Attempt] = {
    FIRST: Attempt("first try", "first try", "transparent"),
    NEIGHBOURS: Attempt("from its neighbours", "second chance: started from its neighbours", "#009E73"),
    GLOBAL: Attempt("from global starts", "second chance: started from several places", "#0072B2"),
    WIDER: Attempt("within wider bounds", "second chance: within wider bounds", "#F0E442"),
}


# Label and colour of every reason in a status layer. Converged is there, but transparent; colours from Okabe and Ito's
# palette, distinguishable for the colour blind too, the last from Tol's. Files hold the labels: none changes.
REASONS: dict[Status, tuple[int, str]] = {
    Status.ITERATION_LIMIT: (2, "#E69F00"),
    Status.TOO_FEW_SAMPLES: (3, "#999999"),
    Status.NON_FINITE_MODEL: (4, "#D55E00"),
    Status.SINGULAR: (5, "#CC79A7"),
    Status.STOPPED: (6, "#56B4E9"),
    Status.NO_IMPROVEMENT: (14, "#661100"),
    Status.BAD_SETTINGS: (15, "#117733"),
}
CONVERGED_LABEL = 1


class Remark(NamedTuple):
    """A reason to doubt a result."""

    flag: Flag
    label: int
    colour: str
    words: str


# The first of them that holds is shown. The last colours are from Tol's palettes: Okabe and Ito's has no more.
REMARKS = (
    Remark(Flag.SATURATED, 11, "#AA3377", "converged, but samples are at the limit of the camera or file (saturated)"),
    Remark(Flag.LARGE_CHI2, 7, "#F0E442", "converged, but the residuals are larger than the noise"),
    Remark(Flag.STRUCTURED_RESIDUAL, 8, "#0072B2", "converged, but the residuals have structure"),
    Remark(Flag.AT_LOWER | Flag.AT_UPPER, 9, "#009E73", "converged, with a parameter at a bound"),
    Remark(Flag.POORLY_DETERMINED, 10, "#882255", "converged, but the data hardly determine every parameter"),
    Remark(Flag.UNEVEN_NOISE, 12, "#DDCC77", "converged, but the residuals are larger where the fitted values are"),
    Remark(Flag.SMALL_CHI2, 13, "#332288", "converged, but the residuals are far smaller than the noise"),
)
LABELS = frozenset(remark.label for remark in REMARKS)
# One fit in a thousand has a remark by chance, for each of two kinds of it, and hardly one for others: a part above
# which a map is worth a look.
BY_CHANCE = 0.005


class Reason(NamedTuple):
    """A label of a status layer, and how many fits have it."""

    label: int
    words: str
    colour: str
    fits: int


def status_labels(status: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Status codes as labels: 0 not fitted, 1 converged, from 2 on the reasons in `REASONS`."""
    labels = np.where(status > 0, CONVERGED_LABEL, 0).astype(np.uint8)
    for reason, (label, _) in REASONS.items():
        labels[status == reason] = label
    return labels


def reason_labels(result: FitResult) -> NDArray[np.uint8]:
    """Return the same with a label of `REMARKS` for fits that converged and are suspicious, ``(*grid,)``."""
    labels = status_labels(result.status)
    for remark in reversed(REMARKS):
        labels[result.converged & _has(result, remark.flag)] = remark.label
    return labels


def reasons(result: FitResult, *, remarks: bool = True) -> list[Reason]:
    """All labels of a status layer; the numbers of fits add up to all of them.

    Parameters
    ----------
    remarks : bool
        Whether suspicious fits have labels of their own (`reason_labels`) or count as converged (`status_labels`).

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(16.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 3.0]))
    >>> stack[1:, 1] = np.nan
    >>> for reason in reasons(fit_voxels(stack, "linear", sigma=0.01)):
    ...     if reason.fits:
    ...         print(reason.fits, reason.words)
    1 not fitted: fewer usable samples than free parameters
    1 converged, but the residuals are larger than the noise
    """
    labels = reason_labels(result) if remarks else status_labels(result.status)
    counts = np.bincount(labels.ravel(), minlength=np.iinfo(labels.dtype).max + 1)
    words = [(0, Status.NOT_FITTED.message, "transparent"), (CONVERGED_LABEL, "converged", "transparent")]
    words += [(label, status.message, colour) for status, (label, colour) in REASONS.items()]
    if remarks:
        words += [(remark.label, remark.words, remark.colour) for remark in REMARKS]
    return [Reason(label, text, colour, int(counts[label])) for label, text, colour in words]


def worth_a_look(found: list[Reason]) -> bool:
    """Whether a fit failed, or more are suspicious than chance has it."""
    failed = sum(reason.fits for reason in found if reason.label in {label for label, _ in REASONS.values()})
    suspicious = sum(reason.fits for reason in found if reason.label in LABELS)
    return failed > 0 or suspicious > BY_CHANCE * max(1, sum(reason.fits for reason in found if reason.label))


# Remarks on spots and regions alone: no label of a status layer has them.
WITHOUT_LABEL = (
    (Flag.CENTRE_OUTSIDE, "#D55E00"),
    (Flag.NEIGHBOUR_OVERLAP, "#56B4E9"),
    (Flag.CUT_BY_EDGE, "#CC79A7"),
)
SIDES = ((-1, "at its lower bound"), (1, "at its upper bound"))
WORTH_A_LOOK = np.uint16(sum(remark.flag for remark in REMARKS) | sum(flag for flag, _ in WITHOUT_LABEL))


class Remarked(NamedTuple):
    """A remark with its colour and label in a status layer (0 if it has none), and whether each fit has it."""

    words: str
    colour: str
    label: int
    fits: NDArray[np.bool_]


def remarks(result: FitResult, call: Callable[[str], str] = str) -> Iterator[Remarked]:
    """Return all remarks; a fit may have several, and some no fit has.

    Parameters
    ----------
    call : callable
        Gives the name by which a parameter is called.
    """
    converged = result.converged
    for remark in REMARKS:
        if Flag.AT_LOWER in remark.flag:
            for name in result.model.names:
                for side, where in SIDES:
                    at_it = converged & (result.at_bound[name] == side)
                    yield Remarked(f"{call(name)} {where}", remark.colour, remark.label, at_it)
        else:
            # samples that were cut off may be the reason why a fit has no result
            of = converged | (remark.flag == Flag.SATURATED)
            yield Remarked(remark.flag.message, remark.colour, remark.label, of & _has(result, remark.flag))
    for flag, colour in WITHOUT_LABEL:
        yield Remarked(flag.message, colour, 0, converged & _has(result, flag))


def remark_words(result: FitResult) -> NDArray[np.object_]:
    """Return for each fit all that is to be remarked on it, ``(n_fits,)``; empty where there is nothing.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)[:, None]
    >>> stack = np.exp(-t / np.array([2.0, 9.0]))
    >>> list(remark_words(fit_voxels(stack, "exponential_decay", bounds={"tau": (0, 2.5)})))
    ['', 'tau at its upper bound']
    """
    words = np.full(result.status.size, "", object)
    for one in remarks(result):
        places = np.flatnonzero(one.fits)
        words[places] = [f"{before}; {one.words}" if before else one.words for before in words[places]]
    return words


def _has(result: FitResult, flag: Flag) -> NDArray[np.bool_]:
    return (result.flags & np.uint16(flag)) > 0
