"""NIST's 27 nonlinear reference problems (StRD): their models, and a reader of their files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

exp, sin, cos, pi = jnp.exp, jnp.sin, jnp.cos, np.pi


@dataclass(frozen=True)
class Problem:
    """``f(x, *b)`` is fitted to ``y`` from two ``starts``; Nelson's ``x`` has two rows, and its ``y`` is log(y)."""

    name: str
    f: Callable[..., Any]
    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray
    certified: np.ndarray
    deviations: np.ndarray


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


def find_folder() -> Path:
    """Where the files should be: beside the project, or in the folder that NAPARI_IMAGEFIT_DATA names."""
    data = os.environ.get("NAPARI_IMAGEFIT_DATA", Path(__file__).parents[3] / "shared" / "data")
    return Path(data) / "nist_strd"


def list_problems(folder: Path) -> list[str]:
    """The names of those whose files are in ``folder``."""
    return [name for name in MODELS if (folder / f"{name}.dat").is_file()]


def load(folder: Path, name: str) -> Problem:
    """One problem, ready to be fitted."""
    values, data = read(folder / f"{name}.dat")
    f, x, y = MODELS[name], data[:, 1], data[:, 0]
    if name == "Nelson":
        f, x, y = nelson, data[:, 1:].T, np.log(y)
    return Problem(name, f, x, y, values[:, :2].T, values[:, 2], values[:, 3])


def nelson(x: Any, *b: Any) -> Any:
    return MODELS["Nelson"](*x, *b)
