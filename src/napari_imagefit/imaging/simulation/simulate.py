"""Data with known truth, for tests and samples: surfaces and curves of the catalogue's models with noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...catalogue import models
from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.core.types import Floats
from ...engine.models.model import Model
from ...engine.models.prediction import predict
from ..regions.region import flat_coordinates


@dataclass(frozen=True)
class Axis:
    """One axis of simulated data: sample ``i`` lies at ``start + step·i``, in `unit` (``"pixel"`` for a mere index)."""

    label: str
    step: float = 1.0
    start: float = 0.0
    unit: str = "pixel"


@dataclass(frozen=True, eq=False)
class Simulated:
    """Data and what they were made of.

    Attributes
    ----------
    data : float32 array
    model : str
        The catalogue's name of the model.
    truth : dict of str to array, ``(*grid,)``
        The true value of each parameter on the grid of fits, positions and widths in the unit of their axis. NaN where
        a parameter has no value: where there is nothing, or the component that it describes is absent.
    sigma : array, broadcastable to `data`
        Standard deviation of the noise.
    axes : tuple of Axis
        One for each axis of `data`.
    labels : int array, ``(*grid,)``, or None
        Which compartment a fit belongs to, 0 for none.
    """

    data: NDArray[np.float32]
    model: str
    truth: Mapping[str, Floats]
    sigma: Floats
    axes: tuple[Axis, ...]
    labels: NDArray[np.uint8] | None = None

    def coordinates(self, axis: int) -> Floats:
        """Return the positions along an axis, ``(data.shape[axis],)``, in its unit."""
        return self.axes[axis].start + self.axes[axis].step * np.arange(self.data.shape[axis], dtype=np.float64)


def simulate(
    model: str | Model,
    coords: Sequence[ArrayLike],
    params: Mapping[str, ArrayLike],
    noise: ArrayLike = 0.0,
    rng: np.random.Generator | int | None = None,
) -> Floats:
    """Return a model's values for a batch of parameters, with Gaussian noise.

    Parameters
    ----------
    model : str or Model
    coords : sequence of arrays
        One per coordinate of the model, in axis order: values along each axis, ``(Y,)`` and ``(X,)``, or arrays of the
        plane's shape.
    params : dict of str to array, ``(*grid,)``
        A value for each parameter, in the units of the data and of `coords`; arrays broadcast against each other.
    noise : float or array, broadcastable to the result
        Standard deviation of the noise, in the data's unit.
    rng : Generator or int, optional
        Where the noise comes from, or a seed.

    Returns
    -------
    array, ``(*grid, *plane)``
        Images for `fit_image`; curves along the last axis for `fit_voxels` with ``axis=-1``.

    Raises
    ------
    FitInputError
        If a parameter is missing or unknown, or shapes do not agree.

    Examples
    --------
    >>> y, x = np.arange(24), np.arange(32)
    >>> params = {"amplitude": 3, "y": [10, 12], "x": 15, "sigma": 4, "offset": 1}
    >>> images = simulate("gaussian_2d", (y, x), params, noise=0.1, rng=1)
    >>> images.shape, bool(abs(images[1, 12, 15] - 4) < 0.5)
    ((2, 24, 32), True)
    """
    model = models.find(model)
    missing, unknown = set(model.names) - set(params), set(params) - set(model.names)
    if missing or unknown:
        wrong = f"lack {sorted(missing)[0]!r}" if missing else f"hold {sorted(unknown)[0]!r}, which it does not have"
        raise FitInputError(f"the parameters for {model.name!r} {wrong}; give {', '.join(model.names)}")
    sized = [np.asarray(c, dtype=float) for c in coords]
    plane = (
        tuple(len(c) for c in sized) if all(c.ndim == 1 for c in sized) else np.broadcast_shapes(*map(np.shape, sized))
    )
    if len(sized) != model.ndim or len(plane) != model.ndim:
        raise FitInputError(
            f"{len(sized)} coordinate arrays on {len(plane)} axes were given; model {model.name!r} needs {model.ndim}"
        )
    full = flat_coordinates(sized, plane)
    try:
        values = np.broadcast_arrays(*(np.asarray(params[name], dtype=float) for name in model.names))
    except ValueError:
        shapes = ", ".join(f"{name} {np.shape(params[name])}" for name in model.names)
        raise FitInputError(f"the parameters do not broadcast against each other: {shapes}") from None
    grid = values[0].shape
    flat = predict(model, tuple(c.ravel() for c in full), np.stack([v.ravel() for v in values]), Options())
    clean = flat.T.reshape(*grid, *plane)
    try:
        scale = np.broadcast_to(np.asarray(noise, dtype=float), clean.shape)
    except ValueError:
        raise FitInputError(
            f"the noise has shape {np.shape(noise)}, which does not broadcast to the data's {clean.shape}"
        ) from None
    return clean + scale * np.random.default_rng(rng).standard_normal(clean.shape)


def cold_clouds(shots: int = 12, shape: tuple[int, int] = (192, 256), seed: int = 2026) -> Simulated:
    """Absorption images of a gas of atoms that is cooled, shot by shot, until most of it is a condensate.

    Below the critical temperature, t = T/T_c < 1, the fraction t³ stays thermal and the rest is condensed, as in an
    ideal gas in a harmonic trap; thermal widths go as √t, Thomas–Fermi radii as the fifth root of the condensate's
    atoms. Atoms are lost on the way, centres jitter by a few pixels and the background by a few hundredths, and the
    clouds are a few per cent wider along x.

    The noise is Gaussian with the standard deviation that counting photons gives: it grows where atoms absorb, and
    away from the middle of the probe beam. What real images have besides, fringes and hot pixels, is left out.

    Parameters
    ----------
    shots : int
        At least 2.
    shape : (int, int)
        Pixels of 3.2 µm along y and x.
    seed : int

    Returns
    -------
    Simulated
        Optical density ``(shots, Y, X)`` of `bimodal_2d`, truth ``(shots,)`` with lengths in µm. Radii are NaN for the
        first shots, which have no condensate.

    References
    ----------
    W. Ketterle, D. S. Durfee, D. M. Stamper-Kurn, Making, probing and understanding Bose–Einstein condensates (1999).

    Examples
    --------
    >>> clouds = cold_clouds(shots=3, shape=(48, 64))
    >>> clouds.data.shape, clouds.data.dtype, clouds.truth["amplitude_condensate"].round(2)
    ((3, 48, 64), dtype('float32'), array([0.  , 1.  , 1.53]))
    """
    if shots < 2:
        raise FitInputError(f"{shots} shots were asked for; a series needs at least 2")
    rng = np.random.default_rng(seed)
    pixel = 3.2
    # everything in pixels of the default image; other shapes show the same clouds, larger or smaller
    zoom = min(shape[0] / 192, shape[1] / 256)

    # most shots around the transition
    t = 1.06 - 0.46 * np.linspace(0, 1, shots) ** 1.5
    condensed = np.clip(1 - t**3, 0, None)
    atoms = np.where(t > 1, t**1.1, np.sqrt(t)) * 0.3 * 2 * np.pi * 34**2
    wider = rng.uniform(1.01, 1.05)
    sigma_y, sigma_x = 34 * np.sqrt(t), 34 * np.sqrt(t) * wider
    radius = 26 * (condensed / condensed[-1]) ** 0.2
    with np.errstate(invalid="ignore"):
        # ∫(1 − ρ²)^(3/2) over the unit disc is 2π/5
        peak = np.where(condensed > 0, condensed * atoms / (0.4 * np.pi * radius**2 * wider), 0)
    lengths = {
        "sigma_y": sigma_y,
        "sigma_x": sigma_x,
        "radius_y": np.where(peak > 0, radius, np.nan),
        "radius_x": np.where(peak > 0, radius * wider, np.nan),
        "y": 82 + rng.normal(0, 0.8, shots),
        "x": 124 + rng.normal(0, 1.2, shots),
    }
    truth = {
        "amplitude_thermal": atoms * (1 - condensed) / (2 * np.pi * sigma_y * sigma_x),
        "amplitude_condensate": peak,
        **{name: zoom * pixel * length for name, length in lengths.items()},
        "offset": rng.normal(0, 0.01, shots),
    }
    truth = {name: truth[name] for name in models["bimodal_2d"].names}

    y, x = (pixel * np.arange(n) for n in shape)
    absent = {name: np.nan_to_num(values, nan=1.0) for name, values in truth.items()}
    clean = simulate("bimodal_2d", (y, x), absent)
    beam = np.exp(-(((y - 0.3 * y[-1]) / (0.75 * y[-1])) ** 2)[:, None] - ((x - 0.5 * x[-1]) / x[-1]) ** 2)
    sigma = _absorption_noise(clean, 500 * beam)
    return Simulated(
        (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32),
        "bimodal_2d",
        truth,
        sigma,
        (Axis("shot"), Axis("y", pixel, unit="µm"), Axis("x", pixel, unit="µm")),
    )


def _absorption_noise(density: Floats, photons: Floats, read: float = 6.0) -> Floats:
    """Return standard deviation of −ln(N_atoms/N_bright) for counted photons and a camera's read noise (in photons)."""
    dimmed = photons * np.exp(-density)
    return np.sqrt(1 / dimmed + 1 / photons + (read / dimmed) ** 2 + (read / photons) ** 2)


# Compartments of the phantom: amplitude, T2 in ms, offset. Shapes by label, painted in this order: centre (y, x),
# half axes (y, x) in halves of the image, angle in degrees.
TISSUES = (
    (900.0, 32.0, 15.0),  # 1 muscle
    (1000.0, 95.0, 10.0),  # 2 grey matter
    (800.0, 68.0, 10.0),  # 3 white matter
    (1300.0, 190.0, 20.0),  # 4 fluid
    (1100.0, 130.0, 10.0),  # 5 a lesion
    (600.0, 22.0, 5.0),  # 6 deep nuclei, rich in iron
)
ELLIPSES = (
    (1, (0.0, 0.0), (0.90, 0.74), 0.0),
    (2, (-0.02, 0.0), (0.78, 0.62), 0.0),
    (3, (-0.02, -0.29), (0.58, 0.24), 12.0),
    (3, (-0.02, 0.29), (0.58, 0.24), -12.0),
    (4, (-0.08, -0.12), (0.26, 0.07), 16.0),
    (4, (-0.08, 0.12), (0.26, 0.07), -16.0),
    (6, (0.26, -0.17), (0.13, 0.08), -20.0),
    (6, (0.26, 0.17), (0.13, 0.08), 20.0),
    (5, (-0.34, 0.34), (0.11, 0.09), 30.0),
)


def multi_echo_phantom(shape: tuple[int, int] = (128, 128), echoes: int = 32, seed: int = 2026) -> Simulated:
    """Return a slice of tissue-like compartments in a series of spin echoes: one exponential decay per voxel.

    Amplitudes fall off smoothly across the slice, as under a receive coil. Noise is Gaussian of standard deviation 8;
    the magnitude images of a scanner have Rician noise, which differs where the signal is weak.

    Parameters
    ----------
    shape : (int, int)
        Voxels of 100 µm along y and x.
    echoes : int
        Every 8 ms, the first after 8 ms.
    seed : int

    Returns
    -------
    Simulated
        Signal ``(echo, Y, X)`` of `exponential_decay`, truth ``(Y, X)`` with ``tau`` in ms, `labels` 1 to 6. The
        background, label 0, holds noise only, and its truth is NaN.

    Examples
    --------
    >>> phantom = multi_echo_phantom(shape=(32, 32))
    >>> phantom.data.shape, np.unique(phantom.truth["tau"][phantom.labels > 0])
    ((32, 32, 32), array([ 22.,  32.,  68.,  95., 130., 190.]))
    """
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(2 * (np.arange(n) + 0.5) / n - 1 for n in shape), indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for label, (cy, cx), (ry, rx), degrees in ELLIPSES:
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        u, v = (x - cx) * cosine + (y - cy) * sine, (y - cy) * cosine - (x - cx) * sine
        labels[(u / rx) ** 2 + (v / ry) ** 2 <= 1] = label

    inside = labels > 0
    amplitude, tau, offset = (np.append(np.nan, column)[labels] for column in np.transpose(TISSUES))
    truth = {"amplitude": amplitude * np.exp(-0.3 * ((y + 0.6) ** 2 + (x - 0.4) ** 2)), "tau": tau, "offset": offset}

    times = 8.0 + 8.0 * np.arange(echoes)
    clean = np.zeros((echoes, *shape))
    clean[:, inside] = simulate("exponential_decay", (times,), {name: v[inside] for name, v in truth.items()}).T
    sigma = np.array(8.0)
    return Simulated(
        (clean + sigma * rng.standard_normal(clean.shape)).astype(np.float32),
        "exponential_decay",
        truth,
        sigma,
        (Axis("echo", 8.0, 8.0, "ms"), Axis("y", 100.0, unit="µm"), Axis("x", 100.0, unit="µm")),
        labels,
    )
