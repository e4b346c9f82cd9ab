"""Words of the inspector on a fit: one line, and all else that is known of it for the line's tooltip."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...imaging.fitting.fit_report import FitFacts
from ..widgets.numbers import format_value


def line_of(title: str, one: FitFacts) -> str:
    """Return which fit is looked at, and how it ended."""
    sign = "" if one.status.converged else "⚠ "
    return f"{sign}{title}: {one.status.message}"


def details_of(title: str, one: FitFacts, units: Mapping[str, str]) -> str:
    """Return everything that is known of a fit, line by line."""
    left_out = f", {one.n_left_out} left out" if one.n_left_out else ""
    lines = [
        f"{title}: {one.status.message}",
        *(f"  {_value(p.name, p.value, p.error, units)}{f', {p.remark}' if p.remark else ''}" for p in one.parameters),
        *(f"remark: {remark}" for remark in one.remarks),
        f"{one.n_iterations} steps, {one.n_used} samples used{left_out}",
        f"reduced χ² {_short(one.reduced_chi2)}, R² {_short(one.r2)}",
        *([f"found by: {one.how}"] if one.how else []),
    ]
    starts = [f"{p.name} {p.start:.4g}" for p in one.parameters if math.isfinite(p.start) and p.remark != "fixed"]
    if starts:
        lines.append(f"started at {', '.join(starts)}")
    return "\n".join(lines)


def _value(name: str, value: float, error: float, units: Mapping[str, str]) -> str:
    unit = f" [{units[name]}]" if units.get(name) else ""
    return f"{name}{unit} = {format_value(value, error)}"


def _short(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "—"
