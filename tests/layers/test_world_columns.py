"""Where fits of a turned layer lie in the world: in features and in tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_imagefit import models
from napari_imagefit.layers.files.export import write_outcome
from napari_imagefit.layers.geometry.world_columns import world_columns
from napari_imagefit.layers.request.choices import Choices, Row
from napari_imagefit.layers.request.fit_request import Outcome
from napari_imagefit.layers.request.freeze import freeze
from napari_imagefit.layers.tasks.run_fit import run_any

Y, X = np.mgrid[0:60, 0:80].astype(float)
CENTRE = 0, 25, 45


def fitted(**transform: Any) -> tuple[Any, Outcome]:
    data = np.stack([np.exp(-((Y - CENTRE[1]) ** 2 + (X - CENTRE[2]) ** 2) / 50)] * 2)
    layer = ViewerModel().add_image(data, scale=(1, 2, 2), units=("s", "um", "um"), translate=(0, 3, -5), **transform)
    rows = tuple(Row(name) for name in models["gaussian_2d_elliptic"].names)
    steps = run_any(freeze(Choices(layer, "region", "gaussian_2d_elliptic", rows)))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return layer, end.value


@pytest.mark.parametrize("angle", [0, 30])
def test_regions(angle: float, tmp_path: Path) -> None:
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    layer, outcome = fitted(rotate=[[1, 0, 0], [0, c, -s], [0, s, c]])
    outlines = next(o.data for o in outcome.outputs if o.data[2] == "shapes")[1]["features"]
    table = pd.read_csv(write_outcome(outcome, str(tmp_path / "a.csv"), "csv", layer)[0])
    wanted = layer.data_to_world(CENTRE)[1:]
    for found in (outlines, table):
        if angle:
            np.testing.assert_allclose(found["world_y [µm]"], wanted[0], atol=1e-3)
            np.testing.assert_allclose(found["world_x [µm]"], wanted[1], atol=1e-3)
            assert abs(found["y [µm]"][0] - wanted[0]) > 5
        else:
            assert not [name for name in found.columns if name.startswith("world")]
            np.testing.assert_allclose(found["y [µm]"], wanted[0], atol=1e-3)


def test_a_sheared_volume() -> None:
    transform = {"scale": (1, 1, 1), "translate": (0, 0, 0), "shear": np.array([[1, 0, 0], [0, 1, 0.5], [0, 0, 1]])}
    found = world_columns([[1, 2, 4]], transform)
    assert {name: values.tolist() for name, values in found.items()} == {"world_y": [4.0], "world_x": [4.0]}
