"""Write docs/evaluations.md: how often our fitter and SciPy's evaluate the model of published problems, and how well.

python docs/make_evaluations.py
python docs/make_evaluations.py --only-scipy --page FILE
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy.optimize import least_squares

import napari_imagefit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from problems import mgh, nist

PAGE = Path(__file__).parent / "evaluations.md"
HEAD = """# Evaluations

Written by `docs/make_evaluations.py`; change it there.

How many evaluations of the model a fit takes, and how near it comes to the published answer: our `curve_fit` beside
the `trf` method of SciPy's `least_squares`, from the same starts, with the same tolerances (`ftol`, `xtol` and `gtol`
alike) and in double precision. Both get their Jacobian by automatic differentiation. SciPy evaluates it apart from the
model, once for each step that it accepts, and these calls are not counted here. SciPy stands here twice: with
`x_scale="jac"`, which scales the parameters as we do, and as it comes (`x_scale=1`). SciPy {scipy}, JAX {jax}.
"""
NIST = """
## NIST

The [27 nonlinear reference problems](https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml), each from both of its
starts. In each cell: evaluations / correct digits of the worst parameter, of the 11 that NIST certifies. Tolerances
10⁻⁸ with at most 100 n evaluations, n being the number of parameters (SciPy's defaults), and 10⁻¹⁵ with at most
{limit}.

"""
MGH = """
## Moré, Garbow and Hillstrom

The 35 problems of *Testing unconstrained optimization software* (ACM TOMS 7, 1981), some in several sizes, from their
standard starts. In each cell: evaluations / sum of squares at the end. Tolerances 10⁻⁸ with at most 100 n evaluations.
Bold: not solved. Solved is what ends within 10⁻⁴ of a known minimum, relative to it; where that is zero, below 10⁻¹⁰
of the sum at the start.

"""
LOOSE, TIGHT = 1e-8, 1e-15
LIMIT = 10_000


@dataclass(frozen=True)
class Fit:
    """``sum`` is that of squares; NaN, as the parameters are, where the fitter gave up."""

    evaluations: int
    params: np.ndarray
    sum: float


@dataclass(frozen=True)
class Case:
    """``f(x, *p)`` to be fitted to ``y``."""

    f: Callable[..., Any]
    x: np.ndarray
    y: np.ndarray
    start: np.ndarray

    def limit(self, tolerance: float) -> int:
        return 100 * len(self.start) if tolerance == LOOSE else LIMIT


Fitter = Callable[[Case, float], Fit]


def ours(case: Case, tolerance: float) -> Fit:
    """By our own `curve_fit`."""
    limit = case.limit(tolerance)
    try:
        params, _, info, _, _ = napari_imagefit.curve_fit(
            case.f, case.x, case.y, case.start, full_output=True,
            ftol=tolerance, xtol=tolerance, gtol=tolerance, max_nfev=limit,
        )  # fmt: skip
    except RuntimeError:
        return Fit(limit, np.full(len(case.start), np.nan), np.nan)
    return Fit(int(info["nfev"]), np.asarray(params), float(np.sum(np.square(info["fvec"]))))


def scipy_by(x_scale: Any) -> Fitter:
    """By SciPy, with this scale of the parameters."""

    def fit(case: Case, tolerance: float) -> Fit:
        def residual(p: Any) -> Any:
            return case.f(case.x, *p) - case.y

        with jax.enable_x64(True):
            value, jacobian = jax.jit(residual), jax.jit(jax.jacfwd(residual))
            found = least_squares(
                lambda p: np.asarray(value(p)), case.start, lambda p: np.asarray(jacobian(p)), x_scale=x_scale,
                ftol=tolerance, xtol=tolerance, gtol=tolerance, max_nfev=case.limit(tolerance),
            )  # fmt: skip
        return Fit(found.nfev, found.x, 2 * found.cost)

    return fit


def cases_of_nist(folder: Path) -> list[tuple[str, Case, np.ndarray]]:
    """Their names with the start, themselves and the certified values."""
    problems = [nist.load(folder, name) for name in nist.list_problems(folder)]
    return [
        (f"{p.name} | {i + 1}", Case(p.f, p.x, p.y, start), p.certified)
        for p in problems
        for i, start in enumerate(p.starts)
    ]


def case_of_mgh(problem: mgh.Problem) -> Case:
    start = np.array(problem.start, float)
    with jax.enable_x64(True):
        m = len(problem.residual(start))
    return Case(lambda _x, *p: problem.residual(p), np.arange(m, dtype=float), np.zeros(m), start)


def table_of_nist(folder: Path, fitters: dict[str, Fitter]) -> str:
    """Every problem by every fitter with both tolerances, and what they come to."""
    columns = [(power, tolerance, name) for power, tolerance in (("⁻⁸", LOOSE), ("⁻¹⁵", TIGHT)) for name in fitters]
    rows, all_digits, evaluations = [], [], []
    for title, case, certified in cases_of_nist(folder):
        fits = [fitters[name](case, tolerance) for _, tolerance, name in columns]
        digits = [correct_digits(fit.params, certified) for fit in fits]
        rows.append([title, *(f"{fit.evaluations} / {digit:.1f}" for fit, digit in zip(fits, digits, strict=True))])
        all_digits.append(digits)
        evaluations.append([fit.evaluations for fit in fits])
    reached = np.array(all_digits)
    rows += [
        [f"**{least} digits or more** | ", *(f"{n} of {len(reached)}" for n in (reached >= least).sum(axis=0))]
        for least in (6, 4)
    ]
    rows += totals("**evaluations in all** | ", evaluations, "**and where all have 4 digits** | ", reached >= 4)
    return table(["problem | start", *(f"10{power}: {name}" for power, _, name in columns)], rows)


def table_of_mgh(fitters: dict[str, Fitter]) -> str:
    """Every problem by every fitter, and what they come to."""
    rows, all_solved, lowest, evaluations = [], [], [], []
    for problem in mgh.PROBLEMS:
        case = case_of_mgh(problem)
        fits = [fit(case, LOOSE) for fit in fitters.values()]
        with jax.enable_x64(True):
            at_start = float(np.sum(np.square(problem.residual(case.start))))
        solved = [any(is_at(fit.sum, minimum, at_start) for minimum in problem.minima) for fit in fits]
        lowest.append([is_at(fit.sum, problem.minima[0], at_start) for fit in fits])
        cells = [f"{fit.evaluations} / {fit.sum:.5g}" for fit in fits]
        cells = [cell if good else f"**{cell}**" for cell, good in zip(cells, solved, strict=True)]
        rows.append([problem.name, *cells, " or ".join(f"{minimum:.5g}" for minimum in problem.minima)])
        all_solved.append(solved)
        evaluations.append([fit.evaluations for fit in fits])
    of = len(rows)
    rows += [
        ["**solved**", *(f"{n} of {of}" for n in np.sum(all_solved, axis=0)), ""],
        ["**at the lowest minimum**", *(f"{n} of {of}" for n in np.sum(lowest, axis=0)), ""],
    ]
    sums = totals("**evaluations in all**", evaluations, "**and where all have solved it**", np.array(all_solved))
    return table(["problem", *fitters, "known minima"], [*rows, *([*row, ""] for row in sums)])


def correct_digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Of the worst parameter; 0 where the fit was given up, or is not even near."""
    return max(0.0, nist.digits(found, certified)) if np.isfinite(found).all() else 0.0


def is_at(value: float, minimum: float, at_start: float) -> bool:
    """Whether a fit has reached this minimum."""
    return abs(value - minimum) <= 1e-4 * minimum if minimum else value <= 1e-10 * at_start


def totals(title: str, evaluations: Sequence[Sequence[int]], common: str, solved: np.ndarray) -> list[list[str]]:
    """Sums of the columns: of all rows, and of those that every column has solved."""
    counts = np.array(evaluations)
    fair = solved.all(axis=1)
    return [
        [title, *map(str, counts.sum(axis=0))],
        [common.replace("where", f"in the {fair.sum()} where", 1), *map(str, counts[fair].sum(axis=0))],
    ]


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "| " + " | ".join(heads) + " |"
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def page(folder: Path, fitters: dict[str, Fitter]) -> str:
    """The whole file."""
    head = HEAD.format(scipy=version("scipy"), jax=version("jax"))
    limit = f"{LIMIT:,}".replace(",", " ")
    return head + NIST.format(limit=limit) + table_of_nist(folder, fitters) + MGH + table_of_mgh(fitters)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/evaluations.md.")
    parser.add_argument("--only-scipy", action="store_true", help="leave our own fits out")
    parser.add_argument("--page", type=Path, default=PAGE, help="the file to write")
    options = parser.parse_args()
    folder = nist.find_folder()
    if len(nist.list_problems(folder)) < len(nist.MODELS):
        sys.exit(f"Not all of the NIST StRD files are in {folder}; set NAPARI_IMAGEFIT_DATA to its parent folder.")
    fitters: dict[str, Fitter] = {} if options.only_scipy else {"ours": ours}
    fitters |= {"SciPy, `jac`": scipy_by("jac"), "SciPy": scipy_by(1.0)}
    # of covariances that cannot be had, and of models that overflow on the way
    warnings.simplefilter("ignore")
    options.page.write_text(page(folder, fitters), encoding="utf-8")


if __name__ == "__main__":
    main()
