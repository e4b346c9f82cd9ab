"""Frames of one cloud, for tests of the widget."""

from __future__ import annotations

import numpy as np


def clouds(frames: int = 3) -> np.ndarray:
    """Return frames of 40 × 50 pixels, in each of which the cloud is a pixel lower."""
    y, x = np.mgrid[0:40, 0:50]
    rng = np.random.default_rng(5)
    centre = np.arange(frames)[:, None, None]
    return np.exp(-((y - 18 - centre) ** 2 / 32 + (x - 24) ** 2 / 50)) + rng.normal(0, 0.03, (frames, 40, 50))
