"""Link between the dock, which sets what samples of curves count, and the plot in which that is dragged."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from psygnal import Signal

from ...engine.core.errors import FitInputError
from ...imaging.fitting.selection import Selection
from ...layers.request.coordinates import resolve
from ...layers.request.fit_request import Request
from ..sections.data import DataSection
from ..sections.samples import SamplesSection


class Ranges:
    """Ranges of the samples that count in the next fit.

    Parameters
    ----------
    data : DataSection
        The coordinates in which ranges are.
    samples : SamplesSection
    """

    changed = Signal()

    def __init__(self, data: DataSection, samples: SamplesSection) -> None:
        self._data, self._samples = data, samples
        for signal in (samples.changed, data.axis_chosen, data.job_chosen):
            signal.connect(lambda *_: self.changed.emit())

    def of(self, request: Request) -> Selection | None:
        """Return what counts of the curves of a fit; None where the next fit is not of them, or cannot be yet."""
        data, image = self._data, self._data.image
        same = image is not None and str(image.unique_id) == request.source and data.chosen_axis == request.axis
        if image is None or not same or data.job != "voxels" or request.job != "voxels":
            return None
        with contextlib.suppress(FitInputError):
            x, _ = resolve(data.coordinates.coordinates(), image, request.axis)
            if np.array_equal(x, request.coords[0]):
                return self._samples.selection() or Selection()
        return None

    def exclude(self, ranges: Sequence[tuple[float, float]]) -> None:
        """Leave other ranges of the coordinate out."""
        self._samples.set_exclude(ranges)
