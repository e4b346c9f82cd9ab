"""An image of spots of σ = 1.4 on a lattice, and points near them."""

from __future__ import annotations

import numpy as np

SHAPE = (84, 96)


def lattice() -> np.ndarray:
    """Centres that keep their distance; some windows of the first and last rows and columns are cut."""
    rng = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(np.arange(2, 84, 13), np.arange(1, 96, 13), indexing="ij"), axis=-1).reshape(-1, 2)
    return np.clip(grid + rng.uniform(-0.5, 0.5, grid.shape), 0.6, np.array(SHAPE) - 1.6)


def draw(centres: np.ndarray, amplitude: float, offset: float, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Gaussians of σ = 1.4."""
    image = np.full(shape, float(offset))
    pixels = np.indices(shape)
    for centre in centres:
        square = sum((p - c) ** 2 for p, c in zip(pixels, centre, strict=True))
        image += amplitude * np.exp(-0.5 * square / 1.4**2)
    return image


CENTRES = lattice()
CLEAN = draw(CENTRES, 60, 5)
NOISY = CLEAN + np.random.default_rng(2).normal(0, 1.0, SHAPE)
POINTS = CENTRES + np.random.default_rng(3).uniform(-0.4, 0.4, CENTRES.shape)
