"""Choice of the numbers of a result that the parameter list shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..engine.functions.parameter import Parameter
from ..engine.results.fit_result import FitResult
from ..imaging.fitting.fit_report import Place
from ..imaging.fitting.positions import SPATIAL_AXES
from ..layers.request.fit_request import Request
from ..layers.request.naming import spaced
from .parameter_table.parameter_tree import ValueColumn
from .state.messages import median

if TYPE_CHECKING:
    from ..layers.request.fit_request import MeanFit, Outcome
    from ..layers.tasks.live_tasks import VoxelFit
    from .widget import ImageFitWidget

BOUND_NAMES = {-1: "lower", 1: "upper"}  # by how a result tells them


class ShownValues:
    """Keeps which fits the parameter list is about.

    Parameters
    ----------
    widget : ImageFitWidget
    """

    def __init__(self, widget: ImageFitWidget) -> None:
        self._widget = widget
        self._about: tuple[FitResult, Request] | None = None
        self._curves: list[ValueColumn] | None = None

    def show_fits(self, outcome: Outcome | None) -> None:
        """Show the numbers of these fits, or of a mean curve, where they are of the chosen model."""
        self.set_fits(outcome)
        self.refresh()

    def set_fits(self, outcome: Outcome | None) -> None:
        """Choose the fits whose numbers the next `refresh` shows."""
        result = None if outcome is None else outcome.result
        if outcome is not None and result is None and outcome.mean is not None:
            result = outcome.mean.result
        is_shown = result is not None and result.model.name == self._widget.model.model.name
        self._about = (result, outcome.request) if is_shown and outcome is not None and result is not None else None
        self._curves = None

    def show_curves(self, request: Request, mean: MeanFit | None, voxel: VoxelFit | None) -> None:
        """Show the numbers of single curves, until others are to be shown."""
        self._curves = [] if voxel is None else [column_of(voxel.result, voxel.own, where(request, voxel.place))]
        if mean is not None:
            self._curves.append(values_shown(mean.result, request, None))
        self.refresh()

    def end_curves(self) -> None:
        """Show the numbers of fits again, instead of those of single curves."""
        if self._curves is not None:
            self._curves = None
            self.refresh()

    def stop(self) -> None:
        """Release the results."""
        self._about = self._curves = None

    def refresh(self, _place: object = None) -> None:
        """Show the numbers of the fit that is looked at now."""
        widget = self._widget
        columns = self._curves
        if columns is None and self._about is not None and widget.data.image is not None:
            columns = columns_shown(*self._about, widget.inspection.place, widget.inspection.pinned)
        widget.parameters.show_values(columns or [])


def values_shown(result: FitResult, request: Request, place: Place | None) -> ValueColumn:
    """Return value and error of each parameter, the title over them, and which stand at a bound.

    Parameters
    ----------
    result : FitResult
        That of the request, or of its mean curve.
    request : Request
    place : tuple of int or None
        The fit that is looked at. With None, of many fits of curves and spots the medians of those that converged are
        shown, of what has one: no position, and no angle. Regions have none in common.

    Returns
    -------
    ValueColumn
        Without values where there is nothing to tell.
    """
    if result.shape == () or (result.model.ndim == 1 and result.status.size == 1):
        return column_of(result, (0,) * len(result.shape), "Mean curve" if request.job == "voxels" else "Value")
    if place is not None:
        return column_of(result, place, where(request, place))
    converged = result.converged
    n = int(converged.sum())
    if request.job == "region" or not n:
        return ValueColumn("Value ± error", {}, {})
    told = [p.name for p in result.model.parameters if request.job == "voxels" or not _is_place(p)]
    values = {name: (median(result.params[name][converged]), median(result.stderr[name][converged])) for name in told}
    return ValueColumn(f"median of {spaced(n)}", values, {})


def columns_shown(
    result: FitResult, request: Request, place: Place | None, pinned: Mapping[str, Place]
) -> list[ValueColumn]:
    """Return what is shown of the fit that is looked at, and beside it of each pinned one, by its letter."""
    columns = [values_shown(result, request, place)]
    if result.shape:  # a mean curve has no position
        others = {letter: at for letter, at in pinned.items() if at != place}
        columns += [column_of(result, at, letter) for letter, at in others.items()]
    return columns


def where(request: Request, place: Place) -> str:
    """Return a fit as a person would call it, short enough for a heading: ``ROI 1 · shot 5``."""
    if request.job == "spots":
        return f"spot {place[0]}"
    if request.job == "voxels":
        return f"voxel {', '.join(str(i) for i in place)}"
    names = request.region_names
    words = [names[place[-1] % len(names)]] if names else []
    labels = _frame_labels(request.transform, len(place) - len(words))
    words += [f"{label} {number}" for label, number in zip(labels, place, strict=False)]
    return " · ".join(words)


def _frame_labels(transform: Mapping[str, object], n: int) -> list[str]:
    labels = [str(label) for label in transform["axis_labels"]][:n]  # type: ignore[attr-defined]
    # napari calls an axis that nobody has named "-1", "-2"…
    return ["frame" if label.lstrip("-").isdigit() else label for label in labels]


def column_of(result: FitResult, place: Place, title: str) -> ValueColumn:
    """Return what one fit found, under a title."""
    names = result.model.names
    values = {name: (float(result.params[name][place]), float(result.stderr[name][place])) for name in names}
    sides = {name: BOUND_NAMES.get(int(result.at_bound[name][place])) for name in names}
    return ValueColumn(title, values, {name: side for name, side in sides.items() if side is not None})


def _is_place(parameter: Parameter) -> bool:
    """Whether it says where something is, or how it is turned: the median of many is nobody's."""
    return parameter.name in SPATIAL_AXES or parameter.unit == "rad"
