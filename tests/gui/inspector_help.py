"""What the tests of the inspector share: lines to fit, the fit, and what is to be drawn of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_imagefit import models
from napari_imagefit.gui.inspector.inspector import Inspector
from napari_imagefit.gui.widgets.numbers import format_value
from napari_imagefit.layers.geometry.output_layers import put
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

from .pointer import until

SHAPE = (6, 8, 10)


def lines(seed: int = 0) -> np.ndarray:
    """Straight lines along axis 0, no two alike; a voxel of NaN and one with a NaN sample."""
    slopes = 1 + np.arange(80.0).reshape(8, 10)
    noise = np.random.default_rng(seed).normal(0, 0.5, SHAPE)
    data = slopes * np.arange(6.0)[:, None, None] + 3 + noise
    data[:, 1, 1] = np.nan
    data[2, 5, 4] = np.nan
    return np.asarray(data)


def fit(viewer: Any, image: Any, region: Any = None) -> Outcome:
    """The same that the widget's worker does, without waiting for a thread."""
    rows = tuple(Row(name) for name in models["linear"].names)
    outcome = run_all(Choices(image, "voxels", "linear", rows, region=region, axis=0))
    for output in outcome.outputs:
        put(viewer.layers, output)
    return outcome


def run_all(choices: Choices) -> Outcome:
    steps = run_any(freeze(choices))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            outcome: Outcome = end.value
            return outcome


def assert_shows(inspector: Inspector, outcome: Outcome, who: str, place: tuple[int, int]) -> None:
    """Samples, curve, residuals and numbers are the voxel's own."""
    assert inspector.shown_places().get(who) == place
    until(lambda: not inspector._compiling.busy, "what the plots need is compiled")
    drawn = inspector.curves.drawn(who)
    assert drawn is not None
    assert outcome.result is not None
    samples = np.asarray(outcome.request.data)[(slice(None), *place)]
    x, y = drawn.points.getData()
    np.testing.assert_array_equal(y, samples)
    slope, intercept = (float(outcome.result.params[name][place]) for name in ("slope", "intercept"))
    fine_x, fine = drawn.line.getData()
    assert drawn.line.isVisible()
    assert drawn.band.isVisible()
    below, above = (edge.getData()[1] for edge in drawn.edges)
    np.testing.assert_allclose((below + above) / 2, fine, rtol=1e-12)
    assert (above > fine).all()
    np.testing.assert_allclose(fine, slope * fine_x + intercept, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(drawn.residuals.getData()[1], samples - (slope * x + intercept), atol=1e-12)
    error = float(outcome.result.stderr["slope"][place])
    assert f"{who} · voxel {place[0]}, {place[1]}: converged" in inspector.note.toolTip()
    assert f"slope = {format_value(slope, error)}" in inspector.note.toolTip()
