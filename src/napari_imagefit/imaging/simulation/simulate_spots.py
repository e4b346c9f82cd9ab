"""A film of single molecules with known truth, for tests and the sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...engine.core.types import Floats
from ...engine.noise.camera import Camera
from .simulate import Axis

# Of a molecule in a frame, log-uniform between these.
PHOTONS = (400.0, 4000.0)
SHINES = 4.0  # frames, on average
SPOT_SIGMA = 1.3  # pixels
LEAST_DISTANCE = 8.0  # pixels between molecules of a frame, at least


@dataclass(frozen=True, eq=False)
class SpotFilm:
    """Frames of a camera, and what is in them.

    Attributes
    ----------
    data : uint16 array, ``(frames, Y, X)``
    points : array, ``(N, 3)``
        Frame, y and x of each spot, in pixel indices.
    photons : array, ``(N,)``
        Of each spot, in photoelectrons.
    sigma : float
        Of all spots, in pixels.
    camera : Camera
    axes : tuple of Axis
    """

    data: NDArray[np.uint16]
    points: Floats
    photons: Floats
    sigma: float
    camera: Camera
    axes: tuple[Axis, ...]


def fluorescent_spots(frames: int = 24, shape: tuple[int, int] = (128, 160), seed: int = 2026) -> SpotFilm:
    """Molecules that light up, shine for some frames and are gone, on an uneven background, as a camera sees them.

    Spots are Gaussians of one width, taken at the middle of each pixel, so that `gaussian_2d` is what they are. Each
    pixel counts photoelectrons with Poisson noise; the camera adds read noise, multiplies by its gain and adds its
    offset. Molecules of one frame keep their distance.

    Parameters
    ----------
    frames : int
    shape : (int, int)
        Pixels of 0.1 µm along y and x.
    seed : int

    Returns
    -------
    SpotFilm

    Examples
    --------
    >>> film = fluorescent_spots(frames=3)
    >>> film.data.shape, film.points.shape[1], bool(film.photons.min() > 300)
    ((3, 128, 160), 3, True)
    """
    rng = np.random.default_rng(seed)
    gain, offset, read_noise = 2.1, 100.0, 1.6
    wanted = shape[0] * shape[1] // 800
    shining: list[tuple[float, float, float]] = []
    points, photons = [], []
    for frame in range(frames):
        shining = [one for one in shining if rng.random() > 1 / SHINES]
        for _ in range(20 * wanted):
            if len(shining) == wanted:
                break
            y, x = rng.uniform(6, np.array(shape) - 7)
            if all(np.hypot(y - b, x - c) > LEAST_DISTANCE for b, c, _ in shining):
                shining.append((y, x, float(np.exp(rng.uniform(*np.log(PHOTONS))))))
        points += [(frame, y, x) for y, x, _ in shining]
        photons += [light for *_, light in shining]
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    background = 8 + 6 * np.exp(-0.5 * ((rows / shape[0] - 0.4) ** 2 + (columns / shape[1] - 0.6) ** 2) / 0.3**2)
    electrons = np.repeat(background[None], frames, axis=0)
    for (frame, y, x), light in zip(points, photons, strict=True):
        height = light / (2 * np.pi * SPOT_SIGMA**2)
        # a product of two curves, each of which is a few hundred values
        along_y, along_x = (np.exp(-0.5 * ((at - c) / SPOT_SIGMA) ** 2) for at, c in ((rows, y), (columns, x)))
        electrons[frame] += height * along_y * along_x
    seen = gain * (rng.poisson(electrons) + rng.normal(0, read_noise, electrons.shape)) + offset
    data = np.clip(np.rint(seen), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    axes = (Axis("t", 1.0), Axis("y", 0.1, unit="um"), Axis("x", 0.1, unit="um"))
    return SpotFilm(
        data, np.array(points, float), np.array(photons), SPOT_SIGMA, Camera(gain, offset, read_noise), axes
    )
