"""The dock widget "Image Fit": its sections from top to bottom, and what happens when they change."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ..engine.batch import Progress
from ..engine.errors import FitInputError
from ..engine.result import FitResult
from ..engine.status import Flag
from ..layers.choices import Choices, Row
from ..layers.geometry import layer_transform, to_data
from ..layers.inputs import freeze, layer_units
from ..layers.outputs import shown_roles
from ..layers.request import Outcome, Request
from .fit_bar import FitBar
from .inspection import Inspection
from .parameters import ParameterTable
from .sections import DataSection, ModelSection, RegionSection
from .session import Session

if TYPE_CHECKING:
    from napari.layers import Image
    from napari.viewer import Viewer

SAMPLE = "napari_imagefit_sample"
SETTLED = 400  # ms without another choice


class ImageFitWidget(QWidget):
    """Choose data, model, region and bounds; click Fit; the results come back as layers.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # plugins are handed a proxy, whose layers are proxies too and so never the ones that events tell of
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._result: FitResult | None = None
        self._open = True
        layers = self._viewer.layers
        self.data = DataSection(layers)
        self.model = ModelSection()
        self.region = RegionSection(layers)
        self.parameters = ParameterTable()
        self.fit_bar = FitBar()
        self.message = QLabel()
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.message.setAccessibleName("Result")
        self.message.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        self.message.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.inspection = Inspection(self._viewer)
        self.inspect_button = QPushButton("Inspec&t")
        self.inspect_button.setToolTip("Show the fit under the pointer below the canvas (Alt+T)")
        self.session = Session(layers)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLED)
        self._settle.timeout.connect(self._prepare)

        layout = QVBoxLayout(self)
        for section in (self.data, self.model, self.region, self.parameters, self.fit_bar, self.message):
            layout.addWidget(section)
        layout.addWidget(self.inspect_button, alignment=Qt.AlignmentFlag.AlignLeft)
        layout.addStretch()

        self.data.layer_chosen.connect(self._on_image)
        self.data.job_chosen.connect(self._on_job)
        self.data.axis_chosen.connect(self._refresh_units)
        self.model.model_chosen.connect(self._on_model)
        self.region.draw.connect(self._draw)
        self.fit_bar.fit.clicked.connect(lambda: self.fit())
        self.fit_bar.cancel.clicked.connect(lambda: self.cancel())
        self.inspect_button.clicked.connect(lambda: self.inspection.open())
        self.session.started.connect(self._on_started)
        self.session.progressed.connect(self._on_progress)
        self.session.finished.connect(self._on_finished)
        self.session.failed.connect(self._on_failed)
        layers.events.inserted.connect(self._on_inserted)
        layers.events.removed.connect(self._on_removed)
        self._viewer.dims.events.current_step.connect(self._show_values)

        self.model.set_job(self.data.job)
        self._on_image(self.data.image)

    def choices(self) -> Choices:
        """Everything that is chosen now.

        Raises
        ------
        FitInputError
            If something typed is no number.
        """
        image = self.data.image
        return Choices(
            image=image,
            job=self.data.job,
            model=self.model.model.name,
            rows=self.parameters.rows(),
            region=self.region.layer,
            frames=self.region.frame_choice,
            current=() if image is None else self._index_on_screen(image),
            axis=self.data.axis.currentData() or 0,
            x=self.data.coordinates() if self.data.job == "voxels" else None,
        )

    def _request(self) -> Request:
        choices = self.choices()
        group = "" if choices.image is None else str(choices.image.unique_id)
        return freeze(choices, shown_roles(self._viewer.layers, group))

    def _prepare(self) -> None:
        """What is chosen has not changed for a while: compile for it, if it can be fitted at all."""
        if self._open and self.data.image is not None:
            with contextlib.suppress(FitInputError):
                self.session.prepare(self._request())

    def fit(self) -> None:
        """Fit what is chosen now; a mistake becomes a sentence in the widget."""
        try:
            request = self._request()
        except FitInputError as error:
            self._say(str(error), problem=True)
            return
        self.session.start(request)

    def cancel(self, why: str = "Cancelled; the layers are as they were.") -> None:
        """Drop the fit under way, if there is one, and say why."""
        if self.session.cancel():
            self.fit_bar.set_idle()
            self._say(why)

    def shut_down(self) -> None:
        """Stop the worker and let go of the viewer; the widget is of no use afterwards."""
        if not self._open:
            return
        self._open = False
        self._settle.stop()
        self.session.cancel()
        self.inspection.close()
        self.data.layers.disconnect_layers()
        self.region.layers.disconnect_layers()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._viewer.dims.events.current_step.disconnect(self._show_values)
        self._result = None

    def changeEvent(self, event: QEvent | None) -> None:
        """A dock that is closed lets go of its widget without closing it: that is the time to stop."""
        super().changeEvent(event)
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.shut_down()

    def closeEvent(self, event: Any) -> None:
        """Stop with the window."""
        self.shut_down()
        super().closeEvent(event)

    def _on_image(self, image: Image | None) -> None:
        if image is not None and "job" in image.metadata.get(SAMPLE, {}):
            self._set_up(image, image.metadata[SAMPLE])
        self.region.set_context(self.data.job, image)
        self._result = None
        self._refresh_units()
        self._show_values()
        self._settle.start()

    def _on_job(self, job: Any) -> None:
        self.model.set_job(job)
        self.region.set_context(job, self.data.image)
        self._settle.start()

    def _on_model(self, _model: object) -> None:
        self._result = None
        self._refresh_units()
        self._show_values()
        self._settle.start()

    def _refresh_units(self) -> None:
        image, model = self.data.image, self.model.model
        axes = [self.data.axis.currentData() or 0] if self.data.job == "voxels" else [-2, -1]
        typed = self.data.job == "voxels" and bool(self.data.x_values.text().strip())
        units = {} if image is None or typed else layer_units(image, model, axes)
        self.parameters.set_model(model, units)

    def _set_up(self, image: Image, sample: dict[str, Any]) -> None:
        """Set the widget up for one of the plugin's samples."""
        self.data.set_job(sample["job"])
        self.model.set_model(sample["model"])
        if sample.get("axis") is not None:
            self.data.axis.setCurrentIndex(self.data.axis.findData(sample["axis"]))
        for row in sample.get("rows", ()):
            self.parameters.set_row(Row(**row))
        drawn = [
            layer for layer in self._viewer.layers if layer.metadata.get(SAMPLE, {}).get("region_of") == image.name
        ]
        if drawn:
            self.region.layers.choose(drawn[0])
        elif sample.get("region") is not None:
            shapes = self._add_shapes(image, [np.asarray(sample["region"], dtype=float)])
            shapes.metadata = {SAMPLE: {"region_of": image.name}}

    def _draw(self) -> None:
        image = self.data.image
        if image is None:
            self._say("There is no image to draw on; open one, or a sample from File → Open Sample.", problem=True)
            return
        layer = self._add_shapes(image, [])
        layer.mode = "add_rectangle"
        self._say("Drag a rectangle over the image, or choose another shape from the layer's controls; then click Fit.")

    def _add_shapes(self, image: Image, rectangles: list[Any]) -> Any:
        """A Shapes layer over the image's plane, chosen as region."""
        leading = range(image.ndim - 2)
        try:
            transform = layer_transform(image, drop=leading)
        except ValueError:
            # rotated out of its slices: the layer must have all axes
            transform = layer_transform(image)
        ndim = len(transform["scale"])
        shapes = self._viewer.add_shapes(
            rectangles or None,
            ndim=ndim,
            shape_type="rectangle",
            name="ROI",
            edge_color="#F0E442",
            face_color="transparent",
            edge_width=max(0.5, 0.003 * max(image.data.shape[-2:])),
            **transform,
        )
        self.region.layers.choose(shapes)
        return shapes

    def _index_on_screen(self, image: Image) -> tuple[int, ...]:
        dims = self._viewer.dims
        return tuple(int(i) for i in np.rint(to_data(image, dims.point, dims.units)))

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        if SAMPLE in layer.metadata:
            # whoever opens a sample wants to fit it, where it is meant to be fitted
            self.data.layers.choose(layer)
            self.region.layers.choose(layer)

    def _on_removed(self, event: Any) -> None:
        request = self.session.request
        if request is not None and str(event.value.unique_id) == request.group:
            self.cancel(f"Layer {event.value.name!r} was removed while it was being fitted; the fit was stopped.")

    def _on_started(self) -> None:
        self.fit_bar.set_busy("preparing…")
        self._say("")

    def _on_progress(self, progress: Progress, seconds: float) -> None:
        self.fit_bar.set_progress(progress, seconds)

    def _on_failed(self, sentence: str) -> None:
        self.fit_bar.set_idle()
        self._say(sentence, problem=True)

    def _on_finished(self, outcome: Outcome) -> None:
        self.fit_bar.set_idle()
        self._result = outcome.result
        if outcome.result is not None:
            self._say(describe(outcome.result))
            self.inspection.feed(outcome)
        self._show_values()

    def _show_values(self, _event: object = None) -> None:
        result, image = self._result, self.data.image
        if result is None or image is None:
            self.parameters.show_values({})
            return
        index: tuple[int, ...] | None = None
        title = "Value ± error"
        if self.data.job == "region" and result.shape[-1] == 1:
            index = (*self._index_on_screen(image)[: len(result.shape) - 1], 0)
            index = tuple(min(max(i, 0), n - 1) for i, n in zip(index, result.shape, strict=True))
        elif result.status.size > 1:
            title = "Median ± error"
        names = result.model.names
        if index is None:
            values = {name: (_median(result.params[name]), _median(result.stderr[name])) for name in names}
        else:
            values = {name: (float(result.params[name][index]), float(result.stderr[name][index])) for name in names}
        self.parameters.show_values(values, title)

    def _say(self, text: str, *, problem: bool = False) -> None:
        # not by colour alone: a sign stands before it
        self.message.setText(f"⚠ {text}" if problem else text)
        self.message.setStyleSheet("color: #ff9d5c" if problem else "")


def _median(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def describe(result: FitResult) -> str:
    """The result in a line, and a line for each reason why fits have no answer, or are to be looked at twice."""
    counts = result.counts()
    total = sum(counts.values())
    converged = sum(n for status, n in counts.items() if status.converged)
    kind = "voxel" if result.model.ndim == 1 else "fit"
    share = f"{converged} converged" if total < 1000 else f"{100 * converged / total:.1f} % converged"
    number = f"{total:,}".replace(",", "\u202f")
    lines = [f"{number} {kind}{'' if total == 1 else 's'} · {result.seconds:.2g} s · {share} · {result.device}"]
    lines += [f"{n} × {status.message}" for status, n in counts.items() if not status.converged]
    left_out = int(result.n_left_out.sum())
    if left_out:
        lines.append(f"{left_out} samples that are NaN or infinite were left out")
    for flag in (Flag.AT_LOWER, Flag.AT_UPPER, Flag.POORLY_DETERMINED):
        n = int(np.count_nonzero((result.flags & np.uint16(flag)).astype(bool) & result.converged))
        if n:
            lines.append(f"{n} × {flag.message}")
    return "\n".join(lines)
