"""Small problems for the first fit of a process: formulas for NumPy and JAX alike, and data with known truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .problems import ECHOES, SEED, WINDOW, Floats, Key, problem

Formula = Callable[..., Any]

SIDE = 128
POINTS = 100
EXPRESSION = "a*exp(-((y - y0)**2 + (x - x0)**2)/(2*s**2)) + b*y + c"


def _rotated(xp: Any, yx: Any, a: Any, y: Any, x: Any, sy: Any, sx: Any, theta: Any, c: Any) -> Any:
    cosine, sine = xp.cos(theta), xp.sin(theta)
    u = (yx[1] - x) * cosine + (yx[0] - y) * sine
    v = (yx[0] - y) * cosine - (yx[1] - x) * sine
    return a * xp.exp(-0.5 * ((u / sx) ** 2 + (v / sy) ** 2)) + c


def _condensate(xp: Any, yx: Any, y: Any, x: Any, ry: Any, rx: Any) -> Any:
    height = 1 - ((yx[0] - y) / ry) ** 2 - ((yx[1] - x) / rx) ** 2
    # the root has no derivative at 0
    inside = height > 0
    safe = xp.where(inside, height, 1.0)
    return xp.where(inside, safe * xp.sqrt(safe), 0.0)


def _thomas_fermi(xp: Any, yx: Any, a: Any, y: Any, x: Any, ry: Any, rx: Any, c: Any) -> Any:
    return a * _condensate(xp, yx, y, x, ry, rx) + c


def _bimodal(xp: Any, yx: Any, a: Any, sy: Any, sx: Any, b: Any, ry: Any, rx: Any, y: Any, x: Any, c: Any) -> Any:
    thermal = a * xp.exp(-0.5 * (((yx[0] - y) / sy) ** 2 + ((yx[1] - x) / sx) ** 2))
    return thermal + b * _condensate(xp, yx, y, x, ry, rx) + c


def _round(xp: Any, yx: Any, a: Any, y: Any, x: Any, s: Any, c: Any) -> Any:
    return a * xp.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / (2 * s**2)) + c


def _on_slope(xp: Any, yx: Any, a: Any, y: Any, x: Any, s: Any, b: Any, c: Any) -> Any:
    """What `EXPRESSION` says."""
    return a * xp.exp(-((yx[0] - y) ** 2 + (yx[1] - x) ** 2) / (2 * s**2)) + b * yx[0] + c


def _decay(xp: Any, t: Any, a: Any, tau: Any, c: Any) -> Any:
    return a * xp.exp(-t[0] / tau) + c


def _two_decays(xp: Any, t: Any, a: Any, tau: Any, b: Any, other: Any, c: Any) -> Any:
    return a * xp.exp(-t[0] / tau) + b * xp.exp(-t[0] / other) + c


def _damped(xp: Any, t: Any, a: Any, frequency: Any, phase: Any, tau: Any, c: Any) -> Any:
    return a * xp.exp(-t[0] / tau) * xp.sin(2 * np.pi * frequency * t[0] + phase) + c


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    name : str
        How the model is called, the catalogue's name if it has one.
    call : str
        What of this project fits it: ``"fit_image"``, ``"fit_voxels"``, ``"fit_spots"``, or ``"curve_fit"`` with the
        array module that the function is written with.
    data : str
        What it is fitted to, in words.
    formula : callable
        ``formula(xp, coords, *params)``.
    truth : tuple of float
    noise : float
    fits : int
    beside : str
        The case whose first fit by another program stands beside this one, where no other fits as many.
    """

    name: str
    call: str
    data: str
    formula: Formula
    truth: tuple[float, ...] = ()
    noise: float = 0.0
    fits: int = 1
    beside: str = ""

    @property
    def is_wide(self) -> bool:
        """Whether there are more fits than a loop is given."""
        return self.fits > 1000


def _of(*cases: Case) -> dict[str, Case]:
    return {f"{case.name}, {case.data}": case for case in cases}


IMAGE = f"image {SIDE} × {SIDE}"
CURVES = f"3 voxels × {ECHOES.size}"
CURVE = f"{POINTS} points"
CASES = _of(
    Case("gaussian_2d_rotated", "fit_image", IMAGE, _rotated, (2.0, 60.0, 68.0, 12.0, 19.0, 0.6, 0.5), 0.2),
    Case("bimodal_2d", "fit_image", IMAGE, _bimodal, (1.0, 25.0, 28.0, 2.0, 12.0, 16.0, 62.0, 66.0, 0.3), 0.05),
    Case("thomas_fermi_2d", "fit_image", IMAGE, _thomas_fermi, (2.0, 62.0, 66.0, 25.0, 34.0, 0.3), 0.1),
    Case("exponential_decay", "fit_voxels", CURVES, _decay, (1000.0, 60.0, 30.0), 8.0, fits=3),
    Case("biexponential_decay", "fit_voxels", CURVES, _two_decays, (700.0, 15.0, 500.0, 120.0, 30.0), 2.0, fits=3),
    Case("damped_sine", "fit_voxels", CURVES, _damped, (100.0, 0.02, 0.7, 120.0, 10.0), 3.0, fits=3),
    Case(EXPRESSION, "fit_image", IMAGE, _on_slope, (2.0, 60.0, 68.0, 18.0, 0.01, 0.5), 0.2),
    Case("gaussian_2d", "fit_spots", f"100 spots {WINDOW} × {WINDOW}", _round, fits=100),
    Case(
        "exponential_decay",
        "fit_voxels",
        f"65 536 voxels × {ECHOES.size}",
        _decay,
        fits=65_536,
        beside=f"exponential_decay, {CURVES}",
    ),
    Case(
        "gaussian_2d",
        "fit_spots",
        f"10 000 spots {WINDOW} × {WINDOW}",
        _round,
        fits=10_000,
        beside=f"gaussian_2d, 100 spots {WINDOW} × {WINDOW}",
    ),
    Case("function of jax.numpy", "curve_fit jax.numpy", CURVE, _decay, (3.0, 20.0, 0.5), 0.05),
    Case(
        "function of NumPy",
        "curve_fit numpy",
        CURVE,
        _decay,
        (3.0, 20.0, 0.5),
        0.05,
        beside=f"function of jax.numpy, {CURVE}",
    ),
)


@dataclass(frozen=True, eq=False)
class Data:
    """What a case is fitted to.

    Attributes
    ----------
    coords : array, ``(ndim, sample)``
    data : array, ``(fit, sample)``
    start : array, ``(fit, parameter)``
        Near the truth, for those who do not guess.
    """

    coords: Floats
    data: Floats
    start: Floats

    def save(self, path: Path) -> None:
        """Write it."""
        np.savez(path, coords=self.coords, data=self.data, start=self.start)

    @classmethod
    def load(cls, path: Path) -> Data:
        """Read it again."""
        with np.load(path) as held:
            return cls(held["coords"], held["data"], held["start"])


def make(case: Case, folder: Path) -> Data:
    """The data of a case, the same in each run."""
    if case.is_wide or case.call == "fit_spots":
        # what the tables of throughput have
        section = "spots_lsq" if case.call == "fit_spots" else "voxels"
        known = problem(Key(section, case.fits), folder)
        if section == "voxels":
            return Data(ECHOES[None], np.array(known.data.T), np.array(known.start.T))
        window = np.indices((WINDOW, WINDOW), dtype=float).reshape(2, -1)
        return Data(window, np.array(known.data).reshape(case.fits, -1), np.array(known.start.T))
    rng = np.random.default_rng([SEED, list(CASES.values()).index(case)])
    if case.call == "fit_image":
        coords = np.indices((SIDE, SIDE), dtype=float).reshape(2, -1)
    elif case.call == "fit_voxels":
        coords = ECHOES[None]
    else:
        coords = np.linspace(0.0, 80.0, POINTS)[None]
    truth = np.array(case.truth) * rng.uniform(0.95, 1.05, (case.fits, len(case.truth)))
    clean = np.stack([case.formula(np, coords, *row) for row in truth])
    data = clean + rng.normal(0, case.noise, clean.shape)
    return Data(coords, data, truth * rng.uniform(0.93, 1.07, truth.shape))


def costs(case: Case, data: Data, answer: Floats) -> Floats:
    """½Σr² of each fit at parameters ``(fit, parameter)``, infinite where there is no answer."""
    columns = tuple(np.asarray(answer, dtype=float).T[:, :, None])
    with np.errstate(all="ignore"):
        values = case.formula(np, data.coords[:, None], *columns)
        found = 0.5 * np.sum((data.data[: len(answer)] - values) ** 2, axis=1)
    return np.where(np.isfinite(found), found, np.inf)
