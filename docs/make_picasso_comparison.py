"""Positions beside Picasso's on the same windows: least squares (gausslq) and likelihood (gaussmle).

    python docs/make_picasso_comparison.py PYTHON_WITH_PICASSO [bulk_water.tif]

Picasso needs an environment of its own: ``pip install picassosr==0.11.3``. gausslq fits a sampled Gaussian, gaussmle
one that is integrated over pixels; each is compared with the same model here, with two widths.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares
from spot_precision import Case, simulate

from napari_imagefit import FitResult, Flag, Model, Parameter, fit_spots, models
from napari_imagefit.imaging.spots.detection import Detection, find_spots

PICASSO = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
from picasso import gausslq, gaussmle
spots = np.load(sys.argv[1]).astype(np.float32)
half = spots.shape[1] // 2
squares = np.asarray(gausslq.fit_spots(spots))
tight = np.asarray(gausslq.fit_spots(spots, tolerance=1e-10, max_iterations=200))
likely = gaussmle.gaussmle(spots, 1e-5, 1000)
found = {"squares": squares[:, [1, 0]], "tight": tight[:, [1, 0]], "likely": likely[0][:, [1, 0]] - half}
np.savez(sys.argv[2], steps=likely[3], squares_ends=squares, tight_ends=tight, **found)
"""
HERE = 1e-3  # pixels


def integrated() -> Model:
    """The elliptic Gaussian of the catalogue, but integrated over each pixel; its amplitude counts photons."""
    import jax.numpy as jnp
    from jax.scipy.special import erf

    sampled = models["gaussian_2d_elliptic"]

    def part(c: object, at: object, sigma: object) -> object:
        return 0.5 * (erf((c - at + 0.5) / (jnp.sqrt(2.0) * sigma)) - erf((c - at - 0.5) / (jnp.sqrt(2.0) * sigma)))

    def function(coords, photons, y, x, sigma_y, sigma_x, offset):
        return photons * part(coords[0], y, sigma_y) * part(coords[1], x, sigma_x) + offset

    def guess(coords, data, weights):
        height, y, x, sy, sx, offset = sampled.guess(coords, data, weights)
        return jnp.stack([2 * jnp.pi * height * sy * sx, y, x, sy, sx, offset])

    parameters = [Parameter("photons", "", 0), *sampled.parameters[1:]]
    return Model("integrated", function, parameters, 2, guess)


def ours(spots: np.ndarray, model: str | Model, **said: object) -> FitResult:
    middle = spots.shape[1] // 2
    points = np.column_stack([np.arange(len(spots)), np.full((len(spots), 2), middle)])
    return fit_spots(spots, points, model, window=spots.shape[1], **said)


def away(found: FitResult, theirs: np.ndarray, half: int) -> np.ndarray:
    """How far apart the two are; NaN where one has no answer."""
    return np.hypot(found.params["y"] - half - theirs[:, 0], found.params["x"] - half - theirs[:, 1])


CALLED = {"squares": "gausslq", "tight": "gausslq, tolerance 1e-10", "likely": "gaussmle"}


def rows(name: str, spots: np.ndarray, theirs: dict[str, np.ndarray], kinds: tuple[str, ...]) -> str:
    half = spots.shape[1] // 2
    lines = []
    squares = ours(spots, "gaussian_2d_elliptic")
    for kind in kinds:
        found = ours(spots, integrated(), noise="poisson") if kind == "likely" else squares
        distance = away(found, theirs[kind], half)
        # neither tells whether it failed: an end within the window counts as an answer
        ended = (np.abs(theirs[kind]) <= half).all(axis=1)
        if kind == "likely":
            ended &= theirs["steps"] < 1000
        both = found.converged & ended & ((found.flags & np.uint16(Flag.CENTRE_OUTSIDE)) == 0)
        near = distance[both] < HERE
        ours_only, theirs_only = np.count_nonzero(found.converged & ~both), np.count_nonzero(~found.converged & ended)
        lines.append(
            f"| {name} | {CALLED[kind]} | {len(spots)} | {both.sum()} | {100 * near.mean():.2f} % | "
            f"{np.median(distance[both]):.1e} | {np.count_nonzero(~near)} | {ours_only} | {theirs_only} |"
        )
    return "\n".join(lines)


def gaussian(p: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Amplitude, y, x, sigma_y, sigma_x and offset, as those of ``gaussian_2d_elliptic``."""
    return p[0] * np.exp(-0.5 * ((y - p[1]) / p[3]) ** 2 - 0.5 * ((x - p[2]) / p[4]) ** 2) + p[5]


def reasons(name: str, spots: np.ndarray, theirs: dict[str, np.ndarray], kind: str, most: int = 300) -> str:
    """Of fits that are farther apart: where SciPy comes to from Picasso's end, and whose sum of squares is less."""
    half = spots.shape[1] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].reshape(2, -1)
    found = ours(spots, "gaussian_2d_elliptic")
    distance = away(found, theirs[kind], half)
    ended = (np.abs(theirs[kind]) <= half).all(axis=1)
    both = found.converged & ended & ((found.flags & np.uint16(Flag.CENTRE_OUTSIDE)) == 0)
    far = np.flatnonzero(both & (distance >= HERE))[:most]
    counts = dict.fromkeys(("to ours", "other, ours less", "other, theirs less"), 0)
    more = np.zeros(far.size)
    for number, row in enumerate(far):
        data = spots[row].ravel()
        at_x, at_y, photons, background, sx, sy = theirs[f"{kind}_ends"][row]
        start = np.array([photons / (2 * np.pi * sx * sy), at_y, at_x, abs(sy), abs(sx), background])
        mine = np.array([found.params[name][row] for name in found.model.names]) - [0, half, half, 0, 0, 0]
        best = np.sum((gaussian(mine, y, x) - data) ** 2)
        more[number] = np.sum((gaussian(start, y, x) - data) ** 2) / best - 1
        end = least_squares(
            lambda p, data=data: gaussian(p, y, x) - data, start, x_scale=np.maximum(np.abs(start), 0.1),
            ftol=1e-14, xtol=1e-12, gtol=1e-14, max_nfev=500,
        )  # fmt: skip
        same = np.hypot(end.x[1] - mine[1], end.x[2] - mine[2]) < HERE
        counts["to ours" if same else "other, theirs less" if 2 * end.cost < best else "other, ours less"] += 1
    greater = np.count_nonzero(more > 0)
    middle = np.median(more) if far.size else np.nan
    told = " | ".join(str(count) for count in counts.values())
    return f"| {name} | {CALLED[kind]} | {far.size} | {greater} | {middle:.1e} | {told} |"


def picasso(python: str, spots: np.ndarray) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "spots.npy", Path(folder) / "fits.npz"
        np.save(given, spots)
        subprocess.run([python, "-c", PICASSO, str(given), str(taken)], check=True)
        return dict(np.load(taken))


def beads(path: str) -> np.ndarray:
    """Windows of 11 × 11 pixels around the beads of the real film that lie away from its edges, bright on dark."""
    import tifffile

    stack = tifffile.imread(path)
    points = find_spots(stack, Detection(scale=2.0, threshold=6.0, bright=False, min_distance=4.0, border=6)).points
    frames, y, x = np.floor(points + 0.5).astype(int).T
    line = np.arange(-5, 6)
    return 255.0 - stack[frames[:, None, None], y[:, None, None] + line[:, None], x[:, None, None] + line]


def main() -> None:
    python, *files = sys.argv[1:]
    print("| windows | fitter | fits | both | within 1e-3 px | median (px) | farther | only ours | only theirs |")
    print("|---|---|---|---|---|---|---|---|---|")
    sets = {
        "1 000 photons, background 10, σ 1.3": simulate(Case(1000, 1.3, 10), 2000)[0],
        "200 photons, background 10, σ 1.3": simulate(Case(200, 1.3, 10), 2000)[0],
    }
    if files:
        sets["beads of bulk_water.tif"] = beads(files[0])
    answers = {name: picasso(python, spots) for name, spots in sets.items()}
    for name, spots in sets.items():
        kinds = ("squares", "tight") if name.startswith("beads") else ("squares", "tight", "likely")
        print(rows(name, spots, answers[name], kinds), flush=True)
    print()
    greater, on = "Picasso's Σ(data − model)² greater", "SciPy, from Picasso's end on"
    print(f"| windows | fitter | looked at | {greater} | by, median | {on}: ours | other, ours less | theirs less |")
    print("|---|---|---|---|---|---|---|---|")
    for name, spots in sets.items():
        for kind in ("squares", "tight"):
            print(reasons(name, spots, answers[name], kind), flush=True)


if __name__ == "__main__":
    main()
