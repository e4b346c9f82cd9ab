"""Request for spots, made from choices: points of any layer in pixel indices of the image."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...engine.core.errors import FitInputError
from ...engine.models.model import Model
from ...imaging.fitting.argument_checks import check_surface
from ...imaging.fitting.run import Settings
from ...imaging.recipes.steps import DetectionStep
from ...imaging.spots.windows import find_windows
from ..geometry.transforms import axis_coordinates, data_to_data, grid_shape, unit_factors
from .choices import Choices
from .exclusion import pixels_left
from .fit_request import Request
from .noise import noise_settings
from .parameters import parameter_settings, parameter_units

if TYPE_CHECKING:
    from napari.layers import Image, Points

DETECTED = "napari_imagefit_detected"  # key of the metadata of a layer that Detect has made
NO_POINTS = "There are no points to fit at; click Detect, or choose a Points layer."


def freeze_spots(choices: Choices, model: Model, common: dict[str, Any]) -> Request:
    """Check what was chosen for spots, and turn it into arrays.

    Raises
    ------
    FitInputError
        One sentence that names what is wrong and what to do.
    """
    image, spots = choices.image, choices.spots
    assert image is not None
    if spots.points is None:
        raise FitInputError(NO_POINTS)
    shape = grid_shape(image)
    check_surface(model, len(shape), "fit_spots")
    points = points_on_image(spots.points, image, choices)
    window = spots.window if len(spots.window) > 1 else spots.window * model.ndim
    # raises their errors now, not in the worker
    find_windows(points, shape, model.ndim, window)
    sizes, unit = pixel_sizes_of(image, model.ndim)
    return Request(
        **common,
        settings=Settings(**parameter_settings(model, choices.rows), **noise_settings(choices)),
        job="spots",
        coords=(),
        map_transform=common["transform"],
        units=parameter_units(model, ["px"] * model.ndim),
        grid=(len(points),),
        points=points,
        window=window,
        spot_arguments=_beyond_plain(choices, model),
        filters=spots.filters,
        detection=detection_of(spots.points, image, choices),
        pixel_size=sizes,
        pixel_unit=unit,
    )


def points_on_image(layer: Points, image: Image, choices: Choices) -> NDArray[np.float64]:
    """Return the points of a layer in pixel indices of an image, ``(N, image.ndim)``.

    Of a layer with fewer axes than the image the points lie in every frame, or in the one on screen.

    Raises
    ------
    FitInputError
        If there are none, or none in the frame on screen.
    """
    if not len(layer.data):
        raise FitInputError(f"Points layer {layer.name!r} holds no points; click Detect, or add some to it.")
    points = data_to_data(layer, image, layer.data)
    missing = max(image.ndim - layer.ndim, 0)
    frames = grid_shape(image)[:missing]
    if missing:
        every = np.stack([axis.ravel() for axis in np.indices(frames)], axis=1).astype(float)
        own = np.tile(points[:, missing:], (len(every), 1))
        points = np.hstack([np.repeat(every, len(points), axis=0), own])
    n_frame_axes = image.ndim - _plane_axes(choices)
    if choices.frames == "current" and n_frame_axes:
        here = (np.rint(points[:, :n_frame_axes]) == np.array(choices.current[:n_frame_axes])).all(axis=1)
        if not here.any():
            raise FitInputError(
                f"Points layer {layer.name!r} has no points in the frame on screen; choose 'all frames', or another."
            )
        points = points[here]
    return points


def detection_of(layer: Points, image: Image, choices: Choices) -> DetectionStep | None:
    """Return the detection that found the points; None where they were edited since, or not all are fitted."""
    made = layer.metadata.get(DETECTED)
    if made is None or made.get("group") != str(image.unique_id) or made.get("points") != fingerprint(layer.data):
        return None
    if choices.frames == "current" and image.ndim > _plane_axes(choices):
        return None
    return DetectionStep.of_recipe(made["detection"])


def fingerprint(points: NDArray[Any]) -> str:
    """Return a text that changes with the points of a layer."""
    return hashlib.sha256(np.ascontiguousarray(points, np.float64).tobytes()).hexdigest()


def pixel_sizes_of(image: Image, ndim: int) -> tuple[tuple[float, ...], str]:
    """Return the size of a pixel along the last axes, in the unit of the last one.

    In pixels where units do not go together, or a scale has none: what it counts in is not known.
    """
    axes = axis_coordinates(image, range(-ndim, 0))
    units = list(image.units[-ndim:])
    if axes[-1].unit == "px" or any(unit.dimensionality != units[-1].dimensionality for unit in units):
        return (1.0,) * ndim, "px"
    factors = unit_factors(units, [units[-1]] * ndim)
    sizes = tuple(abs(axis.step) * float(factor) for axis, factor in zip(axes, factors, strict=True))
    return sizes, axes[-1].unit


def _plane_axes(choices: Choices) -> int:
    from ...catalogue import models

    return models.find(choices.model).ndim


def _beyond_plain(choices: Choices, model: Model) -> dict[str, Any]:
    """Return what of the choices for spots is not as it is by itself."""
    found: dict[str, Any] = {}
    if choices.spots.background != "constant":
        found["background"] = choices.spots.background
    if choices.spots.groups is not None:
        found["groups"] = choices.spots.groups
    if choices.spots.saturation is not None:
        found["saturation"] = choices.spots.saturation
    if (used := pixels_left(choices, model)) is not None:
        found["mask"] = used
    return found
