"""Variance of a pixel as a linear function of its light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...engine.core.types import Floats


@dataclass(frozen=True)
class NoiseLine:
    """The variance of a pixel, ``even + slope·fitted``, in units of the data squared.

    Of counts `slope` is the camera's gain (with a multiplying register twice that), and `even` is its read noise less
    its offset.
    """

    even: float
    slope: float

    def variance(self, fitted: Floats) -> Floats:
        """Return the variance of pixels with these fitted values; never negative."""
        return np.maximum(self.even + self.slope * fitted, 0.0)
