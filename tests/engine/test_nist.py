"""NIST's 27 nonlinear reference problems (StRD), from both starts: certified values to 6 digits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.engine.model import Model, Parameter

pytestmark = pytest.mark.slow
exp, sin, cos, pi = jnp.exp, jnp.sin, jnp.cos, np.pi


def two_gaussians(x: Any, *b: Any) -> Any:
    peaks = b[2] * exp(-(((x - b[3]) / b[4]) ** 2)) + b[5] * exp(-(((x - b[6]) / b[7]) ** 2))
    return b[0] * exp(-b[1] * x) + peaks


def enso(x: Any, *b: Any) -> Any:
    year = b[0] + b[1] * cos(2 * pi * x / 12) + b[2] * sin(2 * pi * x / 12)
    first = b[4] * cos(2 * pi * x / b[3]) + b[5] * sin(2 * pi * x / b[3])
    return year + first + b[7] * cos(2 * pi * x / b[6]) + b[8] * sin(2 * pi * x / b[6])


def cubics(x: Any, *b: Any) -> Any:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def three_decays(x: Any, *b: Any) -> Any:
    return b[0] * exp(-b[1] * x) + b[2] * exp(-b[3] * x) + b[4] * exp(-b[5] * x)


def chwirut(x: Any, *b: Any) -> Any:
    return exp(-b[0] * x) / (b[1] + b[2] * x)


MODELS: dict[str, Callable[..., Any]] = {
    "Bennett5": lambda x, *b: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda x, *b: b[0] * (1 - exp(-b[1] * x)),
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": lambda x, *b: b[0] * x ** b[1],
    "ENSO": enso,
    "Eckerle4": lambda x, *b: b[0] / b[1] * exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": two_gaussians,
    "Gauss2": two_gaussians,
    "Gauss3": two_gaussians,
    "Hahn1": cubics,
    "Kirby2": lambda x, *b: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": three_decays,
    "Lanczos2": three_decays,
    "Lanczos3": three_decays,
    "MGH09": lambda x, *b: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda x, *b: b[0] * exp(b[1] / (x + b[2])),
    "MGH17": lambda x, *b: b[0] + b[1] * exp(-x * b[3]) + b[2] * exp(-x * b[4]),
    "Misra1a": lambda x, *b: b[0] * (1 - exp(-b[1] * x)),
    "Misra1b": lambda x, *b: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda x, *b: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda x, *b: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda x1, x2, *b: b[0] - b[1] * x1 * exp(-b[2] * x2),
    "Rat42": lambda x, *b: b[0] / (1 + exp(b[1] - b[2] * x)),
    "Rat43": lambda x, *b: b[0] / (1 + exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda x, *b: b[0] - b[1] * x - jnp.arctan(b[2] / (x - b[3])) / pi,
    "Thurber": cubics,
}


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Starts, certified values and standard deviations ``(n, 4)``, and data ``(m, 1 + n_coordinates)``."""
    lines = path.read_text().splitlines()
    values = [line.split("=")[1].split() for line in lines if re.match(r"\s*b\d+\s*=\s*[-+\d.]", line)]
    first = max(i for i, line in enumerate(lines) if line.startswith("Data:")) + 1
    return np.array(values, float), np.array([line.split() for line in lines[first:] if line.strip()], float)


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Correct digits of the worst of them; NIST gives 11."""
    with np.errstate(divide="ignore"):
        return float(np.min(np.minimum(11, -np.log10(np.abs(found - certified) / np.abs(certified)))))


@pytest.mark.parametrize("name", MODELS)
def test_certified_values(fit: Any, nist_folder: Path, name: str) -> None:
    values, data = read(nist_folder / f"{name}.dat")
    y, x = data[:, 0], data[:, 1:].T
    if name == "Nelson":
        y = np.log(y)
    names = [f"b{i + 1}" for i in range(len(values))]
    model = Model(
        name, lambda c, *b: MODELS[name](*c, *b), [Parameter(n) for n in names], len(x),
        lambda _c, d, _w: jnp.ones((len(names), d.shape[1])),
    )  # fmt: skip
    fits = fit(
        model, tuple(x), np.stack([y, y], axis=1), init=dict(zip(names, values[:, :2], strict=True)),
        ftol=1e-15, xtol=1e-15, gtol=1e-15, max_iterations=10_000,
    )  # fmt: skip
    assert (fits.status > 0).all()
    variance = 2 * fits.cost / (len(y) - len(names))
    for start in (0, 1):
        # what is asked of the engine; ENSO is the worst with 6.3
        assert digits(fits.params[:, start], values[:, 2]) >= 6
        errors = np.sqrt(np.diag(fits.covariance[start]) * variance[start])
        # Lanczos1 is exact but for the 11 digits to which its data are given: its errors are those of rounding
        assert digits(errors, values[:, 3]) >= (3 if name == "Lanczos1" else 6)
