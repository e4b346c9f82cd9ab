"""Report of one fit in numbers and words, and the table of all fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.refusal import setting
from ...engine.core.status import Flag, Status
from ...engine.results.fit_result import FitResult
from .derived_maps import DerivedMap
from .status_labels import ATTEMPTS, remark_words

if TYPE_CHECKING:
    import pandas as pd

Place = tuple[int, ...]


@dataclass(frozen=True)
class ParameterFacts:
    """One parameter of one fit; NaN where there is no result. `remark` is "", "fixed", "at its lower bound" …."""

    name: str
    value: float
    error: float
    start: float
    remark: str


@dataclass(frozen=True)
class FitFacts:
    """One fit: its parameters, how it ended, and what is to be remarked.

    Attributes
    ----------
    parameters : tuple of ParameterFacts
    status : Status
    remarks : tuple of str
        A sentence for each flag, and for a setting that cannot be used.
    n_iterations, n_used, n_left_out : int
    reduced_chi2, r2 : float
    how : str
        Which attempt led to the result; empty where it is not recorded.
    """

    parameters: tuple[ParameterFacts, ...]
    status: Status
    remarks: tuple[str, ...]
    n_iterations: int
    n_used: int
    n_left_out: int
    reduced_chi2: float
    r2: float
    how: str


def facts(result: FitResult, place: Place) -> FitFacts:
    """Return the facts of the fit at a position on the grid of a result.

    Examples
    --------
    >>> from napari_imagefit import fit_voxels
    >>> t = np.arange(8.0)
    >>> found = facts(fit_voxels((3 * t + 1)[:, None], "linear", x=t), (0,))
    >>> [(p.name, round(p.value, 6)) for p in found.parameters], found.status.converged, found.n_used
    ([('slope', 3.0), ('intercept', 1.0)], True, 8)
    """
    status = Status(int(result.status[place]))
    flags = Flag(int(result.flags[place]))
    parameters = tuple(_parameter(result, name, place, status) for name in result.model.names)
    return FitFacts(
        parameters=parameters,
        status=status,
        remarks=(*_refusal(result, place), *_remarks(flags, parameters)),
        n_iterations=int(result.n_iterations[place]),
        n_used=int(result.n_used[place]),
        n_left_out=int(result.n_left_out[place]),
        reduced_chi2=_number(result, "reduced_chi2", place),
        r2=_number(result, "r2", place),
        how=_how(result, place, status),
    )


def solution_at(result: FitResult, place: Place) -> NDArray[np.float64] | None:
    """Return the end of the fit, ``(n_params,)``; None where it has none."""
    values = np.array([result.solution[name][place] for name in result.model.names], dtype=float)
    return values if np.isfinite(values).all() else None


def covariance_at(result: FitResult, place: Place) -> NDArray[np.float64]:
    """Return the covariance ``(n_params, n_params)``, 0 for parameters that were fixed.

    NaN where the data do not determine.
    """
    covariance = np.array(result.covariance[place], dtype=float)
    if not Status(int(result.status[place])).converged:
        return np.full_like(covariance, np.nan)
    unknown = np.isnan(np.diagonal(covariance))
    if unknown.all():
        return covariance
    # of a fit that determines everything only what is fixed or at a bound has no error
    covariance[unknown] = 0
    covariance[:, unknown] = 0
    return covariance


def _number(result: FitResult, name: str, place: Place) -> float:
    """One value of a derived map, without computing the map."""
    return float(getattr(_at(result, place), name)[()])


def _at(result: FitResult, place: Place) -> Any:
    """Return the result of one fit.

    Maps of a million fits are too slow to be made anew for every move of the cursor.
    """
    from dataclasses import replace

    names = ("chi2", "n_used", "n_free", "squares", "spread", "status")
    own: dict[str, Any] = {name: np.asarray(getattr(result, name)[place]) for name in names}
    took_part = max(1, int(np.count_nonzero(result.n_shared))) if result.n_shared[place] else 1
    return replace(result, **own, n_shared=np.asarray(result.n_shared[place] / took_part))


def _parameter(result: FitResult, name: str, place: Place, status: Status) -> ParameterFacts:
    value, error = float(result.params[name][place]), float(result.stderr[name][place])
    bound = int(result.at_bound[name][place])
    remark = ""
    if bound:
        remark = "at its lower bound" if bound < 0 else "at its upper bound"
    elif np.isfinite(value) and not np.isfinite(error) and status.converged:
        remark = "fixed" if value == float(result.start[name][place]) else "without an error"
    elif np.isnan(value) and np.isfinite(result.solution[name][place]):
        remark = "not determined by the data"
    return ParameterFacts(name, value, error, float(result.start[name][place]), remark)


def _refusal(result: FitResult, place: Place) -> list[str]:
    number = int(result.refused[place])
    return [f"{setting(number, result.model.names)} cannot be used"] if number else []


def _remarks(flags: Flag, parameters: tuple[ParameterFacts, ...]) -> list[str]:
    sentences = []
    for flag in flags:
        end = {Flag.AT_LOWER: "at its lower bound", Flag.AT_UPPER: "at its upper bound"}.get(flag)
        named = [p.name for p in parameters if end is not None and p.remark == end]
        sentences.append(", ".join(f"{name} is {end}" for name in named) or flag.message)
    return sentences


def _how(result: FitResult, place: Place, status: Status) -> str:
    attempt = getattr(result, "attempt", None)
    if attempt is None or status in (Status.NOT_FITTED, Status.TOO_FEW_SAMPLES):
        return ""
    number = int(np.asarray(attempt)[place])
    return ATTEMPTS[number].report if number in ATTEMPTS else f"attempt {number}"


def fit_table(
    result: FitResult,
    units: Mapping[str, str] | None = None,
    region_names: Sequence[str] = (),
    derived: Sequence[DerivedMap] = (),
) -> pd.DataFrame:
    """Return a row per fit.

    As `FitResult.to_dataframe`, but ``status`` is in words and ``status_code`` its number, and ``remarks`` says in
    words what ``flags`` says as a number.

    Parameters
    ----------
    units : dict, optional
        The unit of each parameter by name, for the headers of values and errors.
    region_names : sequence of str
        By which regions are called, in the order of their labels: a column ``region`` in place of ``label``.
    derived : sequence of DerivedMap
        Expressions that are columns, too.
    """
    table = result.to_dataframe().rename(columns={"status": "status_code", "message": "status"})
    table["remarks"] = remark_words(result)
    if region_names and "label" in table:
        own = dict(zip(sorted(set(table["label"])), region_names, strict=True))
        table.insert(list(table.columns).index("label"), "region", [own[label] for label in table.pop("label")])
    named = {name: f" [{unit}]" for name, unit in (units or {}).items() if unit}
    header = {f"{name}{end}": f"{name}{end}{unit}" for name, unit in named.items() for end in ("", "_stderr")}
    table = table.rename(columns=header)
    for one in derived:
        unit = f" [{one.unit}]" if one.unit else ""
        table[f"{one.expression}{unit}"] = one.values.ravel()
        table[f"{one.expression}_stderr{unit}"] = one.stderr.ravel()
    return table
