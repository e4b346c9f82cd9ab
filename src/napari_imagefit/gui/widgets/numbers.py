"""Numbers as a person types and reads them."""

from __future__ import annotations

import math

AUTO = "auto"


def parse_number(text: str) -> float | None:
    """Return a typed number; None for nothing or ``auto``.

    Raises
    ------
    ValueError
        If the text is no number, or NaN.

    Examples
    --------
    >>> parse_number("1.5e3"), parse_number("-∞"), parse_number("auto")
    (1500.0, -inf, None)
    """
    plain = text.strip().replace("−", "-").replace("∞", "inf")
    if not plain or plain == AUTO:
        return None
    value = float(plain)
    if math.isnan(value):
        raise ValueError(text)
    return value


def format_value(value: float, error: float) -> str:
    """Return a value with its error, as many digits as the error warrants.

    Examples
    --------
    >>> format_value(31.8231, 0.0423), format_value(31.8231, float("nan")), format_value(float("nan"), 1.0)
    ('31.823 ± 0.042', '31.8231', '—')
    """
    if not math.isfinite(value):
        return "—"
    if not math.isfinite(error) or error <= 0:
        return f"{value:.6g}"
    decimals = 1 - math.floor(math.log10(error))
    if abs(value) >= 1e7 or decimals > 8:
        significant = decimals + 1 + math.floor(math.log10(max(abs(value), error)))
        return f"{value:.{max(2, significant)}g} ± {error:.2g}"
    return f"{value:.{max(decimals, 0)}f} ± {error:.{max(decimals, 0)}f}"


def format_bound(value: float) -> str:
    """Return a bound, with a sign for none.

    Examples
    --------
    >>> format_bound(0.5), format_bound(-float("inf"))
    ('0.5', '−∞')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.10g}"
