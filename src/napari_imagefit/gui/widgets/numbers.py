"""Numbers and texts as a person types and reads them."""

from __future__ import annotations

import math

AUTO = "auto"
LONGEST_QUOTE = 30  # characters of what was typed, in a sentence


def parse_number(text: str) -> float | None:
    """Return a typed number; None for nothing or ``auto``.

    Raises
    ------
    ValueError
        If the text is no number, NaN, or a number that is too large to be one.

    Examples
    --------
    >>> parse_number("1.5e3"), parse_number("-∞"), parse_number("auto")
    (1500.0, -inf, None)
    """
    plain = text.strip().replace("−", "-").replace("∞", "inf")
    if not plain or plain == AUTO:
        return None
    value = float(plain)
    if math.isnan(value) or (math.isinf(value) and "inf" not in plain.lower()):
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


def format_range(low: float, high: float) -> str:
    """Return two numbers, with two digits of what they are apart.

    Examples
    --------
    >>> format_range(10.4132, 10.9122), format_range(-3.21, 3.21), format_range(0.0, 2.53e-7)
    ('10.41 to 10.91', '−3.2 to 3.2', '0 to 2.5e−07')
    """
    apart, size = high - low, max(abs(low), abs(high))
    if not (math.isfinite(apart) and apart > 0):
        form = ".6g"
    else:
        decimals = 1 - math.floor(math.log10(apart))
        significant = max(2, decimals + 1 + math.floor(math.log10(size)))
        form = f".{significant}g" if decimals > 5 or size >= 1e6 else f".{max(decimals, 0)}f"
    # 0.0 takes the sign from a zero
    ends = (float(f"{end:{form}}") + 0.0 for end in (low, high))
    return " to ".join(f"{end:{form}}" for end in ends).replace("-", "−")


def exact(value: float) -> str:
    """Return a number with all its digits, so that it is read back as it was.

    Examples
    --------
    >>> exact(3.0), exact(0.1 + 0.2), exact(1e-8)
    ('3', '0.30000000000000004', '1e-08')
    """
    return repr(float(value)).removesuffix(".0")


def format_bound(value: float) -> str:
    """Return a number as a field has it, to its last digit; a sign for none.

    Examples
    --------
    >>> format_bound(0.5), format_bound(-float("inf")), format_bound(1 / 3)
    ('0.5', '−∞', '0.3333333333333333')
    """
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    short = f"{value:.10g}"
    return short if float(short) == value else repr(float(value))


def shortened(text: str, longest: int = LONGEST_QUOTE) -> str:
    """Return a text of at most so many characters.

    Examples
    --------
    >>> shortened("x" * 40, 5)
    'xxxx…'
    """
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
