"""Simulated data with known truth, the same for every peer: made once, kept on disk for the time of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]

SEED = 20261
WINDOW = 11
ECHOES = 8.0 * np.arange(1, 33)  # ms
IMAGE_PARAMETERS = ("amplitude", "y", "x", "sigma_y", "sigma_x", "theta", "offset")
DECAY_PARAMETERS = ("amplitude", "tau", "offset")
SPOT_PARAMETERS = ("amplitude", "y", "x", "sigma", "offset")
DECAY_BOUNDS = {"amplitude": (0.0, 1e4), "tau": (1.0, 2000.0), "offset": (-500.0, 1000.0)}


@dataclass(frozen=True)
class Key:
    """Which problem: its section, its size, and which of several of that size."""

    section: str
    size: int
    index: int = 0


@dataclass(frozen=True, eq=False)
class Problem:
    """Data and starts.

    Attributes
    ----------
    data : array
        Images ``(side, side)`` in float64; decays ``(echo, voxel)`` and spots ``(spot, y, x)`` in float32.
    start, truth : arrays, ``(parameter, fit)``
    """

    key: Key
    data: Floats
    start: Floats
    truth: Floats

    @property
    def n_fits(self) -> int:
        return self.start.shape[1]

    def first(self, most: int | None) -> Problem:
        """The same with its first fits only."""
        if most is None or most >= self.n_fits:
            return self
        data = self.data[:, :most] if self.key.section == "voxels" else self.data[:most]
        return Problem(self.key, data, self.start[:, :most], self.truth[:, :most])


def problem(key: Key, folder: Path) -> Problem:
    """The problem of that key, made if it is not in the folder yet."""
    parts = [folder / f"{key.section}-{key.size}-{key.index}-{name}.npy" for name in ("data", "start", "truth")]
    if not all(part.exists() for part in parts):
        make = {"images": _image, "voxels": _decays}.get(key.section, _spots)
        made = make(key)
        for part, values in zip(parts, (made.data, made.start, made.truth), strict=True):
            np.save(part, values)
    # the workers share the pages, which matters at 10⁷ voxels
    return Problem(key, *(np.load(part, mmap_mode="r") for part in parts))


def _rng(key: Key) -> np.random.Generator:
    # spots of both kinds of noise model are the same spots
    return np.random.default_rng([SEED, {"images": 0, "voxels": 1}.get(key.section, 2), key.size, key.index])


def side_of(size: int) -> int:
    """Gpufit knows square images only."""
    return round(size**0.5)


def gaussian_rotated(y: Floats, x: Floats, p: Floats) -> Floats:
    """A rotated Gaussian in NumPy; parameters as `gaussian_2d_rotated` has them."""
    amplitude, y0, x0, sigma_y, sigma_x, theta, offset = p
    cosine, sine = np.cos(theta), np.sin(theta)
    u = (x - x0) * cosine + (y - y0) * sine
    v = (y - y0) * cosine - (x - x0) * sine
    return amplitude * np.exp(-0.5 * ((u / sigma_x) ** 2 + (v / sigma_y) ** 2)) + offset


def _image(key: Key) -> Problem:
    """The paper's: an elliptic, rotated Gaussian with Gaussian noise; starts within 15 % of the truth."""
    rng, side = _rng(key), side_of(key.size)
    sigma_y = rng.uniform(0.08, 0.12)
    truth = np.array(
        [
            rng.uniform(1, 3),
            *(side * rng.uniform(0.42, 0.58, 2)),
            side * sigma_y,
            side * sigma_y * rng.uniform(1.3, 1.8),
            rng.uniform(0.3, 1.2),
            rng.uniform(0.3, 0.8),
        ]
    )
    axis = np.arange(float(side))
    data = gaussian_rotated(axis[:, None], axis, truth)
    data += rng.normal(0, 0.2, data.shape)
    start = truth * rng.uniform(0.85, 1.15, truth.size)
    return Problem(key, data, start[:, None], truth[:, None])


def log_linear(data: Any, xp: Any = np) -> Any:
    """Starts for decays from a straight line through the logarithms; ``(parameter, voxel)``."""
    t = xp.asarray(ECHOES)[:, None]
    offset = 0.9 * xp.min(data, axis=0)
    weights = xp.maximum(data - offset, 1.0)
    logs = xp.log(weights)
    total = xp.sum(weights, axis=0)
    mean_t, mean_log = xp.sum(weights * t, axis=0) / total, xp.sum(weights * logs, axis=0) / total
    deviation = t - mean_t
    slope = xp.sum(weights * deviation * logs, axis=0) / xp.sum(weights * deviation**2, axis=0)
    tau = xp.clip(-1 / xp.minimum(slope, -1e-3), 4.0, 500.0)
    amplitude = xp.clip(xp.exp(mean_log + mean_t / tau), 1.0, 5e3)
    return xp.stack([amplitude, tau, offset])


def _decays(key: Key) -> Problem:
    rng, n = _rng(key), key.size
    truth = np.stack([rng.uniform(500, 1500, n), rng.uniform(20, 120, n), rng.uniform(0, 60, n)])
    data = np.empty((ECHOES.size, n), np.float32)
    start = np.empty((3, n))
    for at in _chunks(n):
        amplitude, tau, offset = truth[:, at]
        clean = amplitude * np.exp(-ECHOES[:, None] / tau) + offset
        data[:, at] = clean + 8 * rng.standard_normal(clean.shape, dtype=np.float32)
        start[:, at] = log_linear(data[:, at].astype(float))
    return Problem(key, data, start, truth)


def spot_values(p: Floats, *, integrated: bool = False) -> Floats:
    """Windows ``(spot, y, x)`` for parameters ``(parameter, spot)``, at the pixels' centres or integrated over them."""
    amplitude, y, x, sigma, offset = (v[:, None] for v in p)
    axis = np.arange(float(WINDOW))
    if integrated:
        from scipy.special import erf

        scale = np.sqrt(0.5) / sigma
        height = np.sqrt(np.pi / 2) * sigma
        rows, columns = (height * (erf((axis - c + 0.5) * scale) - erf((axis - c - 0.5) * scale)) for c in (y, x))
    else:
        rows, columns = (np.exp(-0.5 * ((axis - c) / sigma) ** 2) for c in (y, x))
    return (amplitude * rows)[:, :, None] * columns[:, None, :] + offset[:, :, None]


def _spots(key: Key) -> Problem:
    """Spots of a few hundred photons at the peak, with Poisson noise."""
    rng, n, middle = _rng(key), key.size, WINDOW // 2
    truth = np.stack(
        [
            rng.uniform(100, 400, n),
            *(middle + rng.uniform(-0.5, 0.5, (2, n))),
            rng.uniform(1.1, 1.6, n),
            rng.uniform(5, 20, n),
        ]
    )
    data = np.empty((n, WINDOW, WINDOW), np.float32)
    for at in _chunks(n):
        data[at] = rng.poisson(spot_values(truth[:, at]))
    offset = np.maximum(np.percentile(data.reshape(n, -1)[:, ::3], 25, axis=1), 1.0)
    here = np.full(n, float(middle))
    start = np.stack([data[:, middle, middle] - offset, here, here, np.full(n, 1.35), offset])
    start[0] = np.maximum(start[0], 10)
    return Problem(key, data, start, truth)


def _chunks(n: int, length: int = 65_536) -> list[slice]:
    return [slice(at, min(at + length, n)) for at in range(0, n, length)]
