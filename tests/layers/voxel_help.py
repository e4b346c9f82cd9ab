"""What the tests of voxels that are fitted share."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image

from napari_imagefit import models
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome, Request, Task
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

DECAY = "exponential_decay"
T = np.arange(16.0)
TAU = np.linspace(2, 6, 63).reshape(7, 9)
STACK = 5 * np.exp(-T[:, None, None] / TAU) + 1 + np.random.default_rng(4).normal(0, 0.02, (16, 7, 9))


def drive(steps: Task) -> tuple[Outcome, list[Any]]:
    told = []
    while True:
        try:
            told.append(next(steps))
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome, told


def request_for(image: Image, *rows: Row, **more: Any) -> Request:
    table = {row.name: row for row in rows}
    return freeze(Choices(image, "voxels", DECAY, tuple(table.get(n, Row(n)) for n in models[DECAY].names), **more))


def decays() -> Image:
    """A stack with a scale, and a voxel of NaN."""
    data = STACK.copy()
    data[:, 0, 0] = np.nan
    return Image(data, name="decays", scale=(1, 2, 2), units=("ms", "um", "um"))


def fit_of(image: Image) -> Outcome:
    outcome, _ = drive(run_any(request_for(image)))
    assert not outcome.refusal
    return outcome
