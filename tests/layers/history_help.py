"""What the tests of the history share: fits of clouds that become entries, and are shown and hidden again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image

from napari_imagefit import models
from napari_imagefit.layers.geometry.output_layers import put, remove_stale, role
from napari_imagefit.layers.history.entry import Entry
from napari_imagefit.layers.history.history import history_of
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

ROUND, ELLIPTIC = "gaussian_2d", "gaussian_2d_elliptic"


def clouds() -> np.ndarray:
    y, x = np.mgrid[0:20, 0:30]
    noise = np.random.default_rng(3).normal(0, 0.02, (3, 20, 30))
    return np.exp(-((y - 9) ** 2 / 8 + (x - 14) ** 2 / 18)) + noise


def choices(image: Image, model: str = ELLIPTIC, **more: Any) -> Choices:
    return Choices(image, more.pop("job", "region"), model, tuple(Row(name) for name in models[model].names), **more)


def drive(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def add(viewer: ViewerModel, outcome: Outcome) -> Entry:
    """Show an outcome as the session does, and add it."""
    for output in outcome.outputs:
        layer = put(viewer.layers, output)
        if layer is output.layer:
            layer.visible = output.visible
    if outcome.complete:
        remove_stale(viewer.layers, outcome.request.group, [role(output.data) for output in outcome.outputs])
    return history_of(viewer).add(outcome, 1.5, viewer.layers)


def fit(viewer: ViewerModel, image: Image, model: str = ELLIPTIC, **more: Any) -> Entry:
    # with the pictures that *Show* adds
    chosen_roles = dict.fromkeys(("fitted", "residual", "status"), True)
    outcome = drive(run_any(replace(freeze(choices(image, model, **more)), chosen_roles=chosen_roles)))
    assert not outcome.refusal
    return add(viewer, outcome)


def show(viewer: ViewerModel, entry: Entry) -> None:
    for _ in history_of(viewer).show(entry, viewer.layers):
        pass


def toggle(viewer: ViewerModel, entry: Entry) -> None:
    for _ in history_of(viewer).toggle(entry, viewer.layers):
        pass
