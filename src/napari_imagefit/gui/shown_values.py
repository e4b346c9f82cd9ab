"""Which of a result's numbers the parameter table shows."""

from __future__ import annotations

from ..engine.results.fit_result import FitResult
from .messages import median


def values_shown(result: FitResult, current: tuple[int, ...] | None) -> tuple[dict[str, tuple[float, float]], str]:
    """Value and error of each parameter, and the title over them.

    Parameters
    ----------
    result : FitResult
    current : tuple of int or None
        For surfaces: the index on screen, whose frame is shown where there is one region. None for curves.
    """
    names = result.model.names
    if result.model.ndim == 1 and result.status.size == 1:
        values = {n: (float(result.params[n].flat[0]), float(result.stderr[n].flat[0])) for n in names}
        return values, "Mean curve ± error"
    if current is not None and result.shape[-1:] == (1,):
        index = (*current[: len(result.shape) - 1], 0)
        index = tuple(min(max(i, 0), n - 1) for i, n in zip(index, result.shape, strict=True))
        return {n: (float(result.params[n][index]), float(result.stderr[n][index])) for n in names}, "Value ± error"
    title = "Median ± error" if result.status.size > 1 else "Value ± error"
    return {n: (median(result.params[n]), median(result.stderr[n])) for n in names}, title
