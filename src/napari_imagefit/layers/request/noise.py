"""Settings of the noise and the computing, made from choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...engine.core.options import Options
from ...engine.noise.camera import Camera
from ..geometry.transforms import grid_shape
from ..geometry.voxel_values import values_on_grid
from .choices import Choices

if TYPE_CHECKING:
    from napari.layers import Image

NEEDS_SIGMA = {"sigma": "Known σ", "rician": "Rician noise"}


def noise_settings(choices: Choices) -> dict[str, Any]:
    """``sigma``, ``camera`` and ``options`` of `Settings`.

    Raises
    ------
    FitInputError
        Where a value makes no sense.
    """
    noise, computing, image = choices.noise, choices.computing, choices.image
    assert image is not None
    counted = noise.kind in ("poisson", "camera")
    options = Options(
        ftol=computing.tolerance,
        xtol=computing.tolerance,
        gtol=computing.tolerance,
        max_iterations=computing.max_iterations,
        dtype=computing.dtype,
        device=computing.device,
        noise="poisson" if counted else "rician" if noise.kind == "rician" else "gaussian",
        loss=computing.loss,
        f_scale=computing.f_scale,
    )
    said: dict[str, Any] = {"options": options}
    if noise.kind == "camera":
        said["camera"] = Camera(noise.gain, noise.offset, noise.read_noise)
    elif noise.kind in NEEDS_SIGMA:
        said["sigma"] = _sigma(choices, image)
    return said


def _sigma(choices: Choices, image: Image) -> Any:
    """One number, or an array that broadcasts to the data."""
    sigma = choices.noise.sigma
    if sigma is None:
        raise FitInputError(
            f"{NEEDS_SIGMA[choices.noise.kind]} was chosen without a σ; type the noise's standard deviation, or "
            "choose a layer of it."
        )
    if isinstance(sigma, (int, float)):
        if not 0 < sigma < np.inf:
            raise FitInputError(f"σ is {sigma:g}; give a standard deviation above 0.")
        return float(sigma)
    shape = grid_shape(image)
    axis = choices.axis % len(shape) if choices.job == "voxels" else None
    whole = axis is None or grid_shape(sigma) == shape
    values = values_on_grid(sigma, image, None if whole else axis)
    if not (values > 0).any():
        raise FitInputError(
            f"Layer {sigma.name!r} holds no value above 0, and so no standard deviation; choose another."
        )
    # without a σ a sample does not count
    values[~(values > 0)] = np.inf
    return values if whole or axis is None else np.expand_dims(values, axis)
