"""From the widget's controls to what is chosen, and from a sample to its controls."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..engine.core.errors import FitInputError
from ..layers.geometry.transforms import index_on_screen
from ..layers.request.choices import Choices, NoiseChoice, Row
from ..layers.request.coordinates import resolve
from ..layers.request.paint import find_paint
from ..layers.request.parameters import parameter_units
from ..layers.tasks.freeze import layer_units
from .widgets.drawing import add_shapes, show_plane

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

    from .widget import ImageFitWidget

SAMPLE = "napari_imagefit_sample"  # key of a sample's metadata, see `sample_data`
HOW_TO_DRAW = "Drag a rectangle over the image, or choose another shape from the layer's controls; then click Fit."


def choices_of(widget: ImageFitWidget, viewer: Viewer) -> Choices:
    """Everything that is chosen now.

    Raises
    ------
    FitInputError
        If something typed is no number.
    """
    image = widget.data.image
    common = Choices(
        image=image,
        job=widget.data.job,
        model=widget.model.model.name,
        rows=widget.parameters.rows(),
        region=widget.region.layer,
        frames=widget.region.frame_choice,
        current=() if image is None else index_on_screen(viewer, image),
        noise=widget.options.noise_choice(),
        computing=widget.options.computing(),
    )
    if widget.data.job == "spots":
        return replace(common, spots=widget.spots.choice(), frames=widget.spots.section.frame_choice)
    if widget.data.job != "voxels" or image is None:
        return common
    factor, outcome = widget.region.factor.number(), widget.follow_ups.outcome
    return replace(
        common,
        axis=widget.data.chosen_axis,
        coordinates=widget.data.coordinates.coordinates(),
        select=widget.samples.selection(),
        mean=widget.region.mean_use,
        factor=3.0 if factor is None else factor,
        paint=find_paint(viewer.layers, str(image.unique_id)),
        derived=() if outcome is None else outcome.request.derived,
    )


def units_of(widget: ImageFitWidget) -> dict[str, str]:
    """Return the units that the model's parameters will have; none while the coordinates make no sense."""
    image, model = widget.data.image, widget.model.model
    if image is None:
        return {}
    if widget.data.job == "spots":
        return parameter_units(model, ["px"] * model.ndim)
    if widget.data.job == "region":
        return layer_units(image, model, [-2, -1])
    if widget.data.chosen_axis < image.ndim:
        with contextlib.suppress(FitInputError):
            _, unit = resolve(widget.data.coordinates.coordinates(), image, widget.data.chosen_axis)
            return parameter_units(model, [unit])
    return {}


def set_up(widget: ImageFitWidget, viewer: Viewer, image: Image) -> None:
    """Set the widget up for one of the plugin's samples."""
    sample = image.metadata[SAMPLE]
    widget.data.set_job(sample["job"])
    widget.model.set_model(sample["model"])
    if sample.get("axis") is not None:
        widget.data.set_axis(sample["axis"])
    if sample.get("detection") is not None:
        widget.spots.detect.set_detection(sample["detection"])
        widget.spots.fold.set_open(True)
    noise = NoiseChoice(**sample.get("noise", {}))
    widget.options.set_noise(noise)
    widget.lent = noise, widget.spots.detect.detection() if sample.get("detection") is not None else None
    for row in sample.get("rows", ()):
        widget.parameters.set_row(Row(**row))
    drawn = [layer for layer in viewer.layers if layer.metadata.get(SAMPLE, {}).get("region_of") == image.name]
    if drawn:
        widget.region.layers.choose(drawn[0])
    elif sample.get("region") is not None:
        shapes = add_shapes(viewer, image, [np.asarray(sample["region"], dtype=float)], None)
        shapes.metadata = {SAMPLE: {"region_of": image.name}}
        widget.region.layers.choose(shapes)


def take_back(widget: ImageFitWidget) -> None:
    """Take back what a sample has set, as far as it was not changed: another image has another camera."""
    if widget.lent is None:
        return
    noise, detection = widget.lent
    widget.lent = None
    with contextlib.suppress(FitInputError):  # something typed is no number: it was changed
        if widget.options.noise_choice() == noise:
            widget.options.set_noise(NoiseChoice())
    if detection is not None and widget.spots.detect.detection() == detection:
        widget.spots.detect.reset()


def begin_drawing(widget: ImageFitWidget, viewer: Viewer) -> str:
    """Make a layer to draw a region in; returns what to do next.

    Raises
    ------
    FitInputError
        If there is nothing to draw on.
    """
    image = widget.data.image
    if image is None:
        raise FitInputError("There is no image to draw on; open one, or a sample from File → Open Sample.")
    axis = widget.data.chosen_axis if widget.data.job == "voxels" else None
    layer = add_shapes(viewer, image, [], axis)
    if axis is not None and show_plane(viewer, image, axis):
        viewer.reset_view()
    widget.region.layers.choose(layer)
    layer.mode = "add_rectangle"
    return HOW_TO_DRAW
