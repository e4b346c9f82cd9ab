"""Connections of the widget "Image Fit": who listens to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .canvas.fitted_view import keep_fitted, let_go
from .inspector.ranges import Ranges

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from .widget import ImageFitWidget


def connect(widget: ImageFitWidget, viewer: Viewer) -> None:
    """Connect the sections with each other, and with the viewer."""
    _connect_sections(widget)
    _connect_spots(widget)
    _connect_results(widget)
    viewer.layers.events.inserted.connect(widget._on_inserted)
    viewer.layers.events.removed.connect(widget._on_removed)
    viewer.events.theme.connect(widget._on_theme)
    keep_fitted(viewer)


def disconnect(widget: ImageFitWidget, viewer: Viewer) -> None:
    """Disconnect from the viewer."""
    region = widget.region
    for combo in (widget.data.layers, region.layers, region.leave_out, widget.options.sigma_layer):
        combo.disconnect_layers()
    # an inspector may go on without the dock
    for signal in (widget.inspection.looked_at, widget.inspection.changed):
        signal.disconnect(widget.values.refresh)
    viewer.layers.events.inserted.disconnect(widget._on_inserted)
    viewer.layers.events.removed.disconnect(widget._on_removed)
    viewer.events.theme.disconnect(widget._on_theme)
    let_go(viewer)


def _connect_sections(widget: ImageFitWidget) -> None:
    widget.data.layer_chosen.connect(widget._on_image)
    widget.data.job_chosen.connect(widget._on_job)
    widget.data.axis_chosen.connect(widget._on_axis)
    widget.samples.changed.connect(widget._on_changed)
    widget.options.changed.connect(widget._on_changed)
    widget.model.model_chosen.connect(widget._on_model)
    widget.region.layers.chosen.connect(widget._follow_region)
    widget.region.draw.connect(widget._draw)
    widget.by_numbers.said.connect(widget.say)
    widget.region.fit_mean.connect(widget.fit_mean)
    widget.parameters.said.connect(widget.say)
    widget.drawing.said.connect(widget.say)
    widget.inspection.follow(Ranges(widget.data, widget.samples))


def _connect_spots(widget: ImageFitWidget) -> None:
    spots = widget.spots
    spots.said.connect(widget.say)
    spots.changed.connect(widget._on_changed)
    spots.space_chosen.connect(widget._on_space)
    spots.filtered.connect(widget._on_filtered)
    spots.looked_at.connect(lambda place: widget.inspection.look_at(place))


def _connect_results(widget: ImageFitWidget) -> None:
    bar, session = widget.fit_bar, widget.session
    bar.asked.connect(lambda: widget.fit())
    bar.frames_chosen.connect(lambda _frames: widget._on_changed())
    bar.kind.connect(widget._visit)
    bar.live_chosen.connect(widget.live.set_on)
    widget.live.switched.connect(lambda on: bar.live.setChecked(on))
    widget.live.said.connect(widget.say)
    bar.cancel.clicked.connect(lambda: widget.cancel())
    widget.results.inspect_button.clicked.connect(lambda: widget.inspection.open())
    for signal in (widget.inspection.looked_at, widget.inspection.changed):
        signal.connect(widget.values.refresh)
    session.started.connect(widget._on_started)
    session.progressed.connect(bar.set_progress)
    # by methods, which are held weakly: a worker that comes to its end later holds its session
    session.layers_ready.connect(bar.set_showing)
    session.finished.connect(widget._on_finished)
    session.failed.connect(widget._on_failed)
    widget.follow_ups.said.connect(widget.say)
    widget.follow_ups.looked_at.connect(lambda place: widget.inspection.look_at(place))
    widget.results.leave_out.connect(widget._leave_out)
