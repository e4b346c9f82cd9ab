"""Thirteen real absorption images through the widget: the same numbers as from a script, to the last digit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_imagefit import fit_image

DATA = Path(os.environ.get("NAPARI_IMAGEFIT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
HELIUM = DATA / "atom_clouds" / "helium_bec_od.tif"


@pytest.mark.slow
@pytest.mark.skipif(not HELIUM.exists(), reason="the real clouds are not here; NAPARI_IMAGEFIT_DATA names their folder")
def test_a_rectangle_and_a_click(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    shots = tifffile.imread(HELIUM)
    viewer = make_napari_viewer(strict_qt=True)
    widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    viewer.add_image(shots, name="helium")
    drawn = viewer.add_shapes([[[0, 40], [0, 239], [149, 239], [149, 40]]], shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    widget.model.set_model("bimodal_2d")
    qtbot.mouseClick(widget.fit_bar.fit, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=120_000)
    assert widget.message.text().startswith("13 fits")
    assert "13 converged" in widget.message.text()

    mask = np.zeros(shots.shape[1:], bool)
    mask[0:150, 40:240] = True
    script = fit_image(shots, "bimodal_2d", mask=mask)
    features = viewer.layers["helium · Bimodal · outlines"].features
    rows = features[features["component"] == "sigma"].sort_values("frame")
    columns = {column.split(" ")[0]: column for column in rows.columns}
    for name in script.model.names:
        np.testing.assert_array_equal(rows[columns[name]], script.params[name])
        np.testing.assert_array_equal(rows[columns[f"{name}_stderr"]], script.stderr[name])
