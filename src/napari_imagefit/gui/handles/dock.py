"""Protocols of the widget in whose dock handles are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ...layers.request.choices import Choices
    from ..inspector.inspector_dock import Inspection
    from ..parameter_table.parameters import ParameterList
    from ..sections.data import DataSection
    from ..sections.fit_bar import FitBar
    from ..sections.model import ModelSection
    from ..sections.options import OptionsSection
    from ..sections.region import RegionSection
    from ..sections.results import ResultsSection

DRAW_DELAY_MS = 20  # from a change to what is drawn of it


class Dock(Protocol):
    """The sections of the widget, and everything that is chosen in them."""

    data: DataSection
    model: ModelSection
    region: RegionSection
    parameters: ParameterList
    options: OptionsSection
    fit_bar: FitBar
    results: ResultsSection
    inspection: Inspection

    def choices(self) -> Choices:
        """Everything that is chosen now."""


class OneChange(Protocol):
    """Takes a drag for one change that can be undone."""

    applied: Any  # the signal that other settings have been brought back

    def hold(self) -> None:
        """Take what is set from now on for one change."""

    def let_go(self) -> None:
        """End the change."""
