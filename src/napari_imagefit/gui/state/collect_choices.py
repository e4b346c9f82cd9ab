"""Collection of the choices from the widget's controls, and setting of controls from a sample or from choices."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...engine.core.errors import FitInputError
from ...imaging.fitting.selection import Selection
from ...layers.geometry.transforms import index_on_screen
from ...layers.request.choices import Choices, Computing, NoiseChoice, Row
from ...layers.request.coordinates import resolve
from ...layers.request.freeze import layer_units
from ...layers.request.layer_names import recall
from ...layers.request.paint import find_paint
from ...layers.request.parameters import parameter_units
from ..sections.options import DEVICES, PRECISIONS, OptionsSection
from ..sections.samples import ranges_text
from ..widgets.drawing import LEFT_OUT, REGION, add_shapes, plane_transform, show_plane
from ..widgets.numbers import exact

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer
    from qtpy.QtWidgets import QComboBox, QLineEdit

    from ..widget import ImageFitWidget

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
        leave_out=widget.region.leave_out.layer(),
        frames=widget.fit_bar.frames,
        current=() if image is None else index_on_screen(viewer, image),
        noise=widget.options.noise_choice(),
        computing=widget.options.computing(),
    )
    if widget.data.job == "spots":
        detect, found = widget.spots.detect, None
        with contextlib.suppress(FitInputError):  # who has points needs none
            found = detect.detection()
        return replace(common, spots=widget.spots.choice(), detection=found, search_axes=detect.ndim)
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
    widget.sample_defaults = noise, widget.spots.detect.detection() if sample.get("detection") is not None else None
    # whatever was typed for this model before, in another session too, is not of the sample
    for name in widget.model.model.names:
        widget.parameters.set_row(Row(name))
    for row in sample.get("rows", ()):
        widget.parameters.set_row(Row(**row))
    drawn = [layer for layer in viewer.layers if layer.metadata.get(SAMPLE, {}).get("region_of") == image.name]
    if drawn:
        widget.region.layers.choose(drawn[0])
    elif sample.get("region") is not None:
        shapes = add_shapes(viewer, image, [np.asarray(sample["region"], dtype=float)], None, **REGION)
        shapes.metadata = {SAMPLE: {"region_of": image.name}}
        widget.region.layers.choose(shapes)
    elif widget.region.layer is not None and SAMPLE in widget.region.layer.metadata:
        widget.region.layers.choose(None)  # that of another sample


def restore_defaults(widget: ImageFitWidget) -> None:
    """Restore the defaults that a sample replaced, where they were not changed: another image has another camera."""
    if widget.sample_defaults is None:
        return
    noise, detection = widget.sample_defaults
    widget.sample_defaults = None
    with contextlib.suppress(FitInputError):  # something typed is no number: it was changed
        if widget.options.noise_choice() == noise:
            widget.options.set_noise(NoiseChoice())
    if detection is not None and widget.spots.detect.detection() == detection:
        widget.spots.detect.reset()


def apply_choices(widget: ImageFitWidget, viewer: Viewer, remembered: Choices) -> tuple[str, ...]:
    """Set every control as choices have it, see `remember`; returns sentences on what could not be set.

    Settings of a job that is not theirs stay as they are.
    """
    choices, gone = recall(remembered, viewer.layers)
    words = [f"layer {name!r} is not there any more" for name in gone]
    if choices.image is not None:
        widget.data.layers.choose(choices.image)
    widget.data.set_job(choices.job)
    if choices.job == "voxels":
        _apply_curves(widget, choices)
    if choices.job == "spots":
        _apply_spots(widget, choices)
    widget.model.set_model(choices.model)
    if widget.model.model.name == choices.model:
        for row in choices.rows:
            widget.parameters.set_row(row)
    else:
        words.append(f"model {choices.model!r} is not there any more")
    widget.region.layers.choose(choices.region)
    widget.region.leave_out.choose(choices.leave_out)
    widget.fit_bar.set_frames(choices.frames)
    _apply_noise(widget.options, choices.noise)
    _apply_computing(widget.options, choices.computing)
    return tuple(words)


def _apply_curves(widget: ImageFitWidget, choices: Choices) -> None:
    axis, edit, samples, region = widget.data.axis, widget.data.coordinates, widget.samples, widget.region
    if axis.findData(choices.axis) >= 0:
        widget.data.set_axis(choices.axis)
    edit.set_coordinates(choices.coordinates)
    selection = choices.select or Selection()
    samples.first.setValue(selection.skip_first)
    samples.last.setValue(selection.skip_last)
    samples.exclude.setText(ranges_text(selection.exclude))
    _type(samples.floor, selection.noise_floor)
    _type(samples.saturation, selection.saturation)
    _type(samples.signal, selection.min_signal)
    samples.changed.emit()
    _choose(region.means, choices.mean)
    _type(region.factor, choices.factor, empty=3.0)


def _apply_spots(widget: ImageFitWidget, choices: Choices) -> None:
    section, spots = widget.spots.section, choices.spots
    if choices.detection is not None:
        widget.spots.detect.show_detection(choices.detection, choices.search_axes)
    section.layers.choose(spots.points)
    _type(section.saturation, spots.saturation)
    # the window that an empty field stands for follows from the detection
    section.window_size.clear()
    if section.choice().window != spots.window:
        section.window_size.setText(", ".join(map(str, spots.window)))
    _choose(section.background, spots.background)
    section.together.setChecked(spots.groups is not None)
    if spots.groups is not None:
        section.most.setValue(spots.groups)
    widget.spots.set_filters(spots.filters)


def _apply_noise(options: OptionsSection, choice: NoiseChoice) -> None:
    _choose(options.noise, choice.kind)
    number = choice.sigma if isinstance(choice.sigma, (int, float)) else None
    options.sigma_layer.choose(choice.sigma if choice.sigma is not number else None)
    _type(options.sigma, number)
    _type(options.gain, choice.gain, empty=1.0)
    _type(options.offset, choice.offset, empty=0.0)
    _type(options.read_noise, choice.read_noise, empty=0.0)
    options.changed.emit()


def _apply_computing(options: OptionsSection, computing: Computing) -> None:
    options.loss.setCurrentText(computing.loss)
    _type(options.f_scale, computing.f_scale, empty=1.0)
    options.iterations.setValue(computing.max_iterations)
    _type(options.tolerance, computing.tolerance, empty=1e-8)
    for combo, names, value in (
        (options.precision, PRECISIONS, computing.dtype),
        (options.device, DEVICES, computing.device),
    ):
        combo.setCurrentText(next(name for name, meant in names.items() if meant == value))
    options.changed.emit()


def _choose(combo: QComboBox, value: object) -> None:
    """Choose the entry with that value, if there is one."""
    index = combo.findData(value)
    if index >= 0:
        combo.setCurrentIndex(index)


def _type(edit: QLineEdit, value: float | None, *, empty: float | None = None) -> None:
    """Type a number so that it is read back as it was; nothing where an empty field means the same."""
    edit.setText("" if value is None or value == empty else exact(value))


def layer_to_draw_in(widget: ImageFitWidget, viewer: Viewer, *, left_out: bool = False) -> Shapes:
    """Return the chosen Shapes layer, of regions or of what is `left_out`, to draw a further one in; else make it.

    Raises
    ------
    FitInputError
        If there is nothing to draw on.
    """
    image, combo = widget.data.image, widget.region.leave_out if left_out else widget.region.layers
    if image is None:
        raise FitInputError("There is no image to draw on; open one, or a sample from File → Open Sample.")
    axis = widget.data.chosen_axis if widget.data.job == "voxels" else None
    layer: Any = combo.layer()
    of_shapes = layer is not None and layer._type_string == "shapes"
    if of_shapes and layer.ndim == len(plane_transform(image, axis)["scale"]):
        layer.visible = True
    else:
        layer = add_shapes(viewer, image, [], axis, **(LEFT_OUT if left_out else REGION))
    if axis is not None and show_plane(viewer, image, axis):
        viewer.reset_view()
    combo.choose(layer)
    return layer
