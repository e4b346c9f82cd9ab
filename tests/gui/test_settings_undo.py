"""The undo of settings with the keyboard, and settings that come back, whatever they were."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_imagefit.gui.sections.model import offered_models
from napari_imagefit.gui.state.collect_choices import apply_choices
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.layer_names import remember, settings_of

from .history_help import clouds, open_clouds

CTRL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def opened(make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    return open_clouds(make_napari_viewer)


def test_keys_undo_settings_and_fields_first(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    widget.model.set_model("gaussian_2d")
    widget.past.undo.record()
    widget.model.set_model("bimodal_2d")
    widget.past.undo.record()
    widget.options_fold.set_open(True)
    widget.column.reveal(widget.options.tolerance)
    field = widget.options.tolerance
    viewer.window._qt_window.activateWindow()
    field.setFocus()
    qtbot.waitUntil(field.hasFocus)
    qtbot.keyClicks(field, "1e-6")
    qtbot.keyClick(field, Qt.Key.Key_Z, CTRL)
    assert field.text() == ""
    qtbot.keyClick(field, Qt.Key.Key_Y, CTRL)
    assert field.text() == "1e-6"
    qtbot.keyClick(field, Qt.Key.Key_Z, CTRL)
    assert field.text() == ""
    assert widget.model.model.name == "bimodal_2d"
    qtbot.keyClick(field, Qt.Key.Key_Z, CTRL)
    assert widget.model.model.name == "gaussian_2d"
    widget.model.names.setFocus()
    qtbot.waitUntil(widget.model.names.hasFocus)
    qtbot.keyClick(widget.model.names, Qt.Key.Key_Y, CTRL)
    assert widget.model.model.name == "bimodal_2d"
    qtbot.keyClick(widget.model.names, Qt.Key.Key_Z, CTRL)
    assert widget.model.model.name == "gaussian_2d"
    qtbot.keyClick(widget.model.names, Qt.Key.Key_Z, CTRL | Qt.KeyboardModifier.ShiftModifier)
    assert widget.model.model.name == "bimodal_2d"


def test_a_layer_that_is_gone_is_left_out_with_a_sentence(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    drawn = viewer.add_shapes([[[4, 4], [4, 35], [25, 35], [25, 4]]], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    widget.options.iterations.setValue(50)
    widget.past.undo.record()
    widget.options.iterations.setValue(60)
    widget.past.undo.record()
    viewer.layers.remove(drawn)
    widget.past.undo.record()
    widget.past.undo.undo()
    widget.past.undo.undo()
    assert widget.options.iterations.value() == 50
    assert widget.message.text() == "⚠ Layer 'ROI' is not there any more; all else is as it was."
    del qtbot


def some_settings(widget: ImageFitWidget, viewer: Any, rng: random.Random) -> None:
    """Set whatever can be set, to anything that makes sense."""
    job = rng.choice(["region", "spots", "voxels"])
    widget.data.layers.choose(viewer.layers[rng.choice(["clouds", "other"])])
    widget.data.set_job(job)
    widget.model.set_model(rng.choice(offered_models(job)))
    for name in widget.model.model.names:
        start = rng.choice([None, rng.uniform(1, 9), viewer.layers["level"] if job == "voxels" else 2.5])
        lower, upper = rng.choice([(None, None), (rng.uniform(0, 1), 10 ** rng.uniform(1, 12))])
        fixed = start is not None and rng.random() < 0.3
        widget.parameters.set_row(Row(name, start, lower, upper, fixed, "", rng.random() < 0.2))
    for combo in (widget.region.layers, widget.region.means, widget.options.loss):
        combo.setCurrentIndex(rng.randrange(combo.count()))
    widget.fit_bar.set_frames(rng.choice(["all", "current", "drawn"]))
    widget.region.factor.setText(rng.choice(["", "2.5", "0.1234567890123"]))
    options = widget.options
    for combo in (options.noise, options.sigma_layer, options.precision, options.device):
        combo.setCurrentIndex(rng.randrange(combo.count()))
    if options.kind == "rician" and job != "voxels":
        options.noise.setCurrentIndex(0)
    for edit in (options.sigma, options.gain, options.offset, options.read_noise, options.f_scale, options.tolerance):
        edit.setText(rng.choice(["", f"{rng.uniform(0.01, 3)!r}"]))
    options.iterations.setValue(rng.randrange(1, 5000))
    options.changed.emit()
    widget.data.axis.setCurrentIndex(rng.randrange(widget.data.axis.count()))
    edit = widget.data.coordinates
    edit.kinds.setCurrentIndex(rng.randrange(4))
    edit.start.setText(rng.choice(["", "-3.25"]))
    edit.step.setText(rng.choice(["", "0.3333333333333333"]))
    edit.values.setText("1, 2.5, 1e-7")
    edit.unit.setText(rng.choice(["", "ms"]))
    samples = widget.samples
    samples.first.setValue(rng.randrange(3))
    samples.exclude.setText(rng.choice(["", "-5.5–-1.25, 3 to 1e2"]))
    samples.floor.setText(rng.choice(["", "0.7"]))
    detect, section = widget.spots.detect, widget.spots.section
    for box in (detect.scale, detect.along_z, detect.threshold, detect.distance):
        box.setValue(rng.uniform(1, 9))
    detect.border.setValue(rng.randrange(9))
    detect.sign.setCurrentIndex(rng.randrange(2))
    section.layers.setCurrentIndex(rng.randrange(section.layers.count()))
    section.window_size.setText(rng.choice(["", "9", "7, 11"]))
    section.background.setCurrentIndex(rng.randrange(2))
    section.together.setChecked(rng.random() < 0.5)
    section.most.setValue(rng.randrange(2, 13))
    section.saturation.setText(rng.choice(["", "4095.5"]))


def chosen(widget: ImageFitWidget) -> Choices:
    return settings_of(remember(widget.choices()))


def test_all_settings_come_back(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    del qtbot
    viewer, widget = opened
    viewer.add_image(clouds() + 1, name="other")
    viewer.add_image(clouds()[0], name="level")
    viewer.add_points([[0, 9, 14], [1, 20, 9]], name="points")
    viewer.add_labels(np.eye(30, 40, dtype=int), name="labels")
    viewer.add_shapes([[[4, 4], [4, 35], [25, 35], [25, 4]]], shape_type="rectangle", name="ROI")
    rng = random.Random(7)
    jobs = set()
    for _ in range(25):
        some_settings(widget, viewer, rng)
        before = chosen(widget)
        jobs.add(before.job)
        some_settings(widget, viewer, rng)
        assert apply_choices(widget, viewer, before) == ()
        assert chosen(widget) == before
    assert len(jobs) == 3
