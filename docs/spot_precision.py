"""How well positions come out, beside what theory allows: simulations for docs/spots.md and for the tests.

The truth is written here in NumPy alone: sampled Gaussians, Fisher's information and Mortensen's formula.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_imagefit import FitResult, fit_spots
from napari_imagefit.imaging.spot_analysis.signal_dependent_noise import with_growing_noise


@dataclass(frozen=True)
class Case:
    """Spots of so many photons, their σ in pixels, and the background in photons per pixel."""

    photons: float
    sigma: float
    background: float

    @property
    def window(self) -> int:
        """Three σ to either side, and no less than 7 pixels: all that the spot has."""
        return max(7, 2 * int(np.ceil(3 * self.sigma)) + 1)

    def mean(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Expected photons ``(n, w, w)`` for spots at these places of their windows."""
        line = np.arange(self.window) - self.window // 2
        parts = [np.exp(-0.5 * ((line - c[:, None]) / self.sigma) ** 2) for c in (y, x)]
        height = self.photons / (2 * np.pi * self.sigma**2)
        return height * parts[0][:, :, None] * parts[1][:, None, :] + self.background


@dataclass(frozen=True)
class Outcome:
    """What came of many fits: shares and ratios, 1 being perfect."""

    converged: float
    rms: float  # pixels, y and x together
    bound: float  # pixels
    pull: float  # root mean square of (found − true)/stderr
    precise: float  # the same with the errors that precision is made of
    width: float  # pixels, the median


def bound(case: Case, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The Cramér–Rao bound of x for counts, for spots at these places of their windows."""
    line = np.arange(case.window) - case.window // 2
    mean = case.mean(y, x)
    signal = mean - case.background
    dy, dx = line[None, :, None] - y[:, None, None], line[None, None, :] - x[:, None, None]
    # amplitude, y, x, sigma, offset; the amplitude in units of itself
    slopes = np.stack(
        [
            signal,
            signal * dy / case.sigma**2,
            signal * dx / case.sigma**2,
            signal * (dy**2 + dx**2) / case.sigma**3,
            np.ones_like(signal),
        ]
    )
    information = np.einsum("inyx,jnyx,nyx->nij", slopes, slopes, 1 / mean)
    return np.sqrt(np.linalg.inv(information)[:, 2, 2])


def mortensen(case: Case) -> float:
    """The error of x of unweighted least squares; K. I. Mortensen et al., Nature Methods 7, 377 (2010), eq. 5.

    Without its a²/12, for the Gaussians here are sampled, not integrated over pixels.
    """
    s2, n, b2 = case.sigma**2, case.photons, case.background
    return float(np.sqrt(s2 / n * (16 / 9 + 8 * np.pi * s2 * b2 / n)))


def simulate(case: Case, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts ``(count, w, w)``, and where the spots are in their windows."""
    rng = np.random.default_rng(seed)
    y, x = rng.uniform(-0.5, 0.5, (2, count))
    return rng.poisson(case.mean(y, x)).astype(np.float32), y, x


def fitted(stack: np.ndarray, **said: object) -> FitResult:
    """One spot in the middle of each frame."""
    middle = stack.shape[1] // 2
    points = np.column_stack([np.arange(len(stack)), np.full((len(stack), 2), middle)])
    return fit_spots(stack, points, "gaussian_2d", window=stack.shape[1], **said)


def outcome(case: Case, count: int, noise: str = "poisson", seed: int = 0, **said: object) -> Outcome:
    stack, y, x = simulate(case, count, seed)
    found = fitted(stack, noise=noise, **said)
    good, middle = found.converged, case.window // 2
    if not good.any():
        return Outcome(0.0, *[np.nan] * 5)
    errors = np.stack([found.params["y"] - middle - y, found.params["x"] - middle - x])[:, good]
    pulls = [errors / np.stack([r.stderr["y"], r.stderr["x"]])[:, good] for r in (found, with_growing_noise(found))]
    theory = np.sqrt(np.mean(bound(case, y, x)[good] ** 2)) if noise == "poisson" else mortensen(case)
    stated = [float(np.sqrt(np.nanmean(pull**2))) for pull in pulls]
    width = float(np.median(found.params["sigma"][good]))
    return Outcome(float(good.mean()), float(np.sqrt(np.mean(errors**2))), float(theory), *stated, width)


CASES = [
    Case(photons, sigma, background)
    for sigma in (0.8, 1.3, 2.5)
    for photons in (50, 200, 1000, 5000)
    for background in (0.0, 1.0, 10.0, 50.0)
]


def is_dim(case: Case) -> bool:
    """Whether the bound is a large part of the width: there likelihood falls behind it."""
    return float(bound(case, np.zeros(1), np.zeros(1))[0]) > 0.15 * case.sigma


def width_table(count: int) -> str:
    """The dim ones with the width free, held at the truth, and one for all."""
    lines = [
        "| σ (px) | photons | background | bound (px) | free: converged | ratio | held: converged | ratio "
        "| shared: converged | ratio | σ found (px) |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case in filter(is_dim, CASES):
        ways: list[dict[str, object]] = [{}, {"fixed": {"sigma": case.sigma}}, {"shared": ["sigma"]}]
        found = [outcome(case, count, **said) for said in ways]
        cells = " | ".join(f"{100 * got.converged:.1f} % | {got.rms / got.bound:.3f}" for got in found)
        start = f"| {case.sigma} | {case.photons:g} | {case.background:g} | {found[1].bound:.4f} | "
        lines.append(f"{start}{cells} | {found[2].width:.3f} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def table(count: int, noise: str = "poisson") -> str:
    lines = [
        "| σ (px) | photons | background | converged | RMS error (px) | bound (px) | RMS/bound | RMS of error/stderr "
        "| RMS of error/precision |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for case in CASES:
        got = outcome(case, count, noise)
        lines.append(
            f"| {case.sigma} | {case.photons:g} | {case.background:g} | {100 * got.converged:.1f} % | {got.rms:.4f} | "
            f"{got.bound:.4f} | {got.rms / got.bound:.3f} | {got.pull:.3f} | {got.precise:.3f} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    print("Poisson")
    table(4000)
    print("Least squares")
    table(4000, "gaussian")
    print("Poisson, what is known of the width")
    width_table(4000)
