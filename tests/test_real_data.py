"""Real measurements: SciPy's minimum, and what the laboratory that made them found.

The data are kept beside the repository; NAPARI_IMAGEFIT_DATA names another folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.optimize import curve_fit

import napari_imagefit as nif

DATA = Path(os.environ.get("NAPARI_IMAGEFIT_DATA") or Path(__file__).parents[2] / "shared" / "data")
Floats = NDArray[np.float64]


def data_file(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"{path} is not there; set NAPARI_IMAGEFIT_DATA to the folder with the real data")
    return path


def scipy_cost(
    function: Callable[..., Floats], x: Floats, data: Floats, start: Floats, lower: Floats, upper: Floats
) -> float:
    """½Σr² of SciPy's bounded fit from the same start."""
    params, _ = curve_fit(function, x, data, start, bounds=(lower, upper), max_nfev=1000)
    return 0.5 * float(np.sum((data - function(x, *params)) ** 2))


def bimodal(
    yx: Floats,
    thermal: float,
    sigma_y: float,
    sigma_x: float,
    condensate: float,
    radius_y: float,
    radius_x: float,
    y: float,
    x: float,
    offset: float,
) -> Floats:
    dy, dx = yx[0] - y, yx[1] - x
    gauss = np.exp(-0.5 * ((dy / sigma_y) ** 2 + (dx / sigma_x) ** 2))
    inside = np.maximum(1 - (dy / radius_y) ** 2 - (dx / radius_x) ** 2, 0)
    return np.asarray(thermal * gauss + condensate * inside**1.5 + offset)


@pytest.mark.slow
def test_helium_cooling_to_a_condensate() -> None:
    """Thirteen shots of metastable helium: SciPy's minima, and the lab's own fits as far as they can be compared."""
    density = tifffile.imread(data_file("atom_clouds/helium_bec_od.tif"))[:, :150, 40:240]
    lab = pd.read_csv(data_file("atom_clouds/helium_bec_reference.csv"))
    y, x = np.arange(150.0), np.arange(40.0, 240.0)
    result = nif.fit_image(density, "bimodal_2d", coords=(y, x))
    assert result.shape == (13,)
    assert result.converged.all(), result.summary()

    yx = np.array([c.ravel() for c in np.meshgrid(y, x, indexing="ij")])
    for shot, image in enumerate(density):
        start = np.array([result.start[name][shot] for name in result.model.names])
        flat = image.ravel().astype(float)
        reference = scipy_cost(bimodal, yx, flat, start, result.model.lower, result.model.upper)
        assert result.cost[shot] <= (1 + 1e-6) * reference, shot

    # MATLAB counts from 1, and the lab from the pixel's corner
    assert np.abs(result.params["x"] - (lab["x0_matlab"] - 1.5)).max() < 0.6
    assert np.abs(result.params["y"] - (lab["y0_matlab"] - 1.5)).max() < 0.6
    for name in ("sigma_y", "sigma_x", "radius_y", "radius_x"):
        ratio = result.params[name][2:] / lab[name].to_numpy()[2:]
        assert np.abs(ratio - 1).max() < 0.17, (name, ratio)


def decay(b: Floats, amplitude: float, tau: float) -> Floats:
    return np.asarray(amplitude * np.exp(-b / tau))


def decay_above_a_level(b: Floats, amplitude: float, tau: float, offset: float) -> Floats:
    return np.asarray(amplitude * np.exp(-b / tau) + offset)


def stretched(b: Floats, amplitude: float, tau: float, beta: float) -> Floats:
    return np.asarray(amplitude * np.exp(-((b / tau) ** beta)))


DIFFUSION: list[tuple[str, Callable[..., Floats], dict[str, float]]] = [
    ("exponential_decay", decay, {"offset": 0.0}),
    ("exponential_decay", decay_above_a_level, {}),
    ("stretched_exponential", stretched, {"offset": 0.0}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "function", "fixed"), DIFFUSION, ids=lambda of: getattr(of, "__name__", None))
def test_diffusion_of_water_in_the_brain(model: str, function: Callable[..., Floats], fixed: dict[str, float]) -> None:
    """600 voxels of a diffusion MRI: SciPy's minimum in each, of decays and of stretched ones."""
    with np.load(data_file("diffusion_mri/small_101D.npz")) as archive:
        signal, b = archive["signal"], archive["bvalues"]
    result = nif.fit_voxels(signal, model, x=b, axis=-1, fixed=fixed)
    assert result.shape == (6, 10, 10)
    answered = result.status >= 0
    # an offset is not determined where the signal has hardly fallen at the largest b
    assert np.mean(result.converged) > 0.99 if fixed else np.mean(answered) > 0.9, result.summary()
    free = [name for name in result.model.names if name not in fixed]
    for name, value in fixed.items():
        assert (result.params[name][answered] == value).all()
    places = [result.model.names.index(name) for name in free]
    lower, upper = result.model.lower[places], result.model.upper[places]
    for place in zip(*np.nonzero(result.converged), strict=True):
        start = np.array([result.start[name][place] for name in free])
        reference = scipy_cost(function, b, signal[place].astype(float), start, lower, upper)
        assert result.cost[place] <= (1 + 1e-6) * reference, place
