"""Spots are exported by the dialog and read back: by the reader of napari, and over their image in the widget."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import QPoint
from qtpy.QtWidgets import QFileDialog

from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.imaging.recipes.recipe import Recipe
from napari_imagefit.imaging.spots.filters import SpotFilter

from .save_help import answer_save
from .spot_help import LEFT, PATIENCE, choose, click_detect, click_fit, dock_of, frames, write

UM = {"scale": (1, 0.1, 0.1), "units": ("s", "um", "um")}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What is typed into the file dialog that comes next; docs/make_walkthrough_spots.py types it there."""

    def take(path: Path, kind: str = "", told: list[str] | None = None) -> None:
        answer_save(monkeypatch, path, kind, told)
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))

    return take


@pytest.fixture
def filtered(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> tuple[Any, ImageFitWidget]:
    """Fifteen fitted spots in µm, of which six are filtered out."""
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(frames(), name="beads", **UM)
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    click_detect(qtbot, widget)
    click_fit(qtbot, widget)
    panel = dock_of(viewer).filters
    qtbot.mouseClick(widget.spots.section.table_button, LEFT)
    choose(qtbot, panel.column, "sigma [px]")
    qtbot.mouseClick(panel.on, LEFT, pos=QPoint(8, panel.on.height() // 2))
    write(qtbot, panel.high, "1.75")
    widget.parentWidget().raise_()
    widget.results_fold.set_open(True)
    widget.column.reveal(widget.results.export_button)
    return viewer, widget


def export(qtbot: Any, answer: Any, widget: ImageFitWidget, path: Path, kind: str) -> str:
    answer(path, kind)
    qtbot.mouseClick(widget.results.export_button, LEFT)
    qtbot.waitUntil(widget.results.export_button.isEnabled, timeout=PATIENCE)
    return widget.message.text()


def test_every_style_is_written_and_read_back(
    qtbot: Any, filtered: tuple[Any, ImageFitWidget], answer: Any, tmp_path: Path
) -> None:
    viewer, widget = filtered
    fitted = viewer.layers["beads · Gaussian · fitted spots"]
    counts = (fitted.features["reason"] == "").to_numpy()
    assert counts.sum() == 9

    said = export(qtbot, answer, widget, tmp_path / "all.spots.csv", "Localisations: every spot")
    assert said == f"Exported to {tmp_path / 'all.spots.csv'} and 1 more, the recipe beside."
    table = pd.read_csv(tmp_path / "all.spots.csv", keep_default_na=False)
    np.testing.assert_allclose(table["fwhm [µm]"].astype(float), fitted.features["fwhm [µm]"], rtol=1e-12)
    assert list(table["reason"]) == list(fitted.features["reason"])
    recipe = json.loads((tmp_path / "all.spots.recipe.json").read_text())
    assert Recipe.of(recipe).filters == (SpotFilter("sigma [px]", high=1.75),)

    export(qtbot, answer, widget, tmp_path / "picasso_locs.csv", "Picasso")
    export(qtbot, answer, widget, tmp_path / "them.thunderstorm.csv", "ThunderSTORM")
    where = {"all.spots.csv": fitted.data, "picasso_locs.csv": fitted.data[counts]}
    where["them.thunderstorm.csv"] = fitted.data[counts]
    for name, points in where.items():
        # over its image in the widget
        answer(tmp_path / name)
        qtbot.mouseClick(widget.spots.section.load_button, LEFT)
        layer = viewer.layers[name]
        assert widget.spots.section.layers.layer() is layer
        np.testing.assert_allclose(layer.data, points, atol=1e-5)
        np.testing.assert_array_equal(layer.scale, viewer.layers["beads"].scale)
        viewer.layers.remove(layer)
        # by itself, as napari opens it
        (layer,) = viewer.open(tmp_path / name, plugin="napari-imagefit")
        world = np.array([layer.data_to_world(point) for point in layer.data])
        factor = 1e-3 if name.startswith("them") else 0.1 if name.startswith("pic") else 1
        shift = 0.05 if name.startswith("them") else 0
        wanted = points * [1, 0.1, 0.1]
        np.testing.assert_allclose(world[:, 1:] * factor - shift, wanted[:, 1:], atol=1e-5)
        assert len(layer.features) == len(points)


def test_points_that_were_read_are_fitted_again(
    qtbot: Any, filtered: tuple[Any, ImageFitWidget], answer: Any, tmp_path: Path
) -> None:
    viewer, widget = filtered
    before = viewer.layers["beads · Gaussian · fitted spots"].features["sigma [px]"].to_numpy()[:9].copy()
    counts = (viewer.layers["beads · Gaussian · fitted spots"].features["reason"] == "").to_numpy()
    export(qtbot, answer, widget, tmp_path / "a_locs.csv", "Picasso")
    answer(tmp_path / "a_locs.csv")
    qtbot.mouseClick(widget.spots.section.load_button, LEFT)
    click_fit(qtbot, widget)
    again = viewer.layers["beads · Gaussian · fitted spots"].features
    assert len(again) == 9
    np.testing.assert_allclose(again["sigma [px]"][: counts[:9].sum()], before[counts[:9]], rtol=1e-3)


def test_mistakes_are_sentences(
    qtbot: Any, make_napari_viewer: Callable[..., Any], answer: Any, tmp_path: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(frames(1)[0], name="plain")
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    answer(tmp_path / "other.csv")
    qtbot.mouseClick(widget.spots.section.load_button, LEFT)
    assert "is no table of localisations" in widget.message.text()
    (tmp_path / "nm.csv").write_text('"id","frame","x [nm]","y [nm]","intensity [photon]"\n1,1,150,250,100\n')
    answer(tmp_path / "nm.csv")
    qtbot.mouseClick(widget.spots.section.load_button, LEFT)
    assert "'plain' does not say how large a pixel is" in widget.message.text()
    click_detect(qtbot, widget)
    click_fit(qtbot, widget)
    # told in the dialog, which stays: by the ending that is typed, whatever the list shows
    told: list[str] = []
    for name, kind in (("x", "ThunderSTORM"), ("x.thunderstorm.csv", "Localisations: every")):
        answer(tmp_path / name, kind, told)
        qtbot.mouseClick(widget.results.export_button, LEFT)
        assert "'plain' does not say how large a pixel is" in told[-1]
        assert told[-1].startswith("⚠")
    assert not list(tmp_path.glob("x*"))
    export(qtbot, answer, widget, tmp_path / "plain.csv", "Picasso")
    assert pd.read_csv(tmp_path / "plain.csv").columns[0] == "frame"
    # a picture has no frames, and a table of its spots has
    export(qtbot, answer, widget, tmp_path / "y_locs.csv", "Picasso")
    answer(tmp_path / "y_locs.csv")
    qtbot.mouseClick(widget.spots.section.load_button, LEFT)
    np.testing.assert_allclose(
        viewer.layers["y_locs.csv"].data, viewer.layers["plain · Gaussian · fitted spots"].data, atol=1e-5
    )
