"""What the widget exports as a recipe gives the widget's numbers again on the command line, to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

from napari_imagefit.command_line.app import app
from napari_imagefit.gui.widget import ImageFitWidget

from .save_help import answer_save
from .spot_help import LEFT, PATIENCE, click_detect, click_fit, frames

Y, X = np.mgrid[0:48, 0:60]
CLOUDS = np.stack(
    [
        np.exp(-((Y - 20 - f) ** 2 / 50 + (X - 25) ** 2 / 98)) + 0.5 * np.exp(-((Y - 36) ** 2 + (X - 48) ** 2) / 18)
        for f in range(3)
    ]
) + np.random.default_rng(0).normal(0, 0.02, (3, 48, 60))


def export(qtbot: Any, monkeypatch: pytest.MonkeyPatch, widget: ImageFitWidget, path: Path, kind: str) -> None:
    answer_save(monkeypatch, path, kind)
    widget.results_fold.set_open(True)
    widget.column.reveal(widget.results.export_button)
    qtbot.mouseClick(widget.results.export_button, LEFT)
    qtbot.waitUntil(widget.results.export_button.isEnabled, timeout=PATIENCE)


def on_the_command_line(recipe: Path, data: np.ndarray[Any, Any], folder: Path) -> Any:
    np.save(folder / "data.npy", data)
    output = folder / "out"
    done = CliRunner().invoke(app, ["run", str(recipe), str(folder / "data.npy"), "-o", str(output)])
    assert done.exit_code == 0, done.output
    return zarr.open_group(str(output), mode="r")


def test_regions_drawn_over_a_scaled_layer(
    qtbot: Any, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(CLOUDS, name="clouds", scale=(1, 0.5, 0.3), translate=(0, 2, -1), units=("s", "um", "um"))
    shapes = [[[0, 3.5, 1], [0, 3.5, 12], [0, 22, 12], [0, 22, 1]], [[0, 15, 9], [0, 15, 16], [0, 24, 16], [0, 24, 9]]]
    drawn = viewer.add_shapes(shapes, shape_type="rectangle", name="ROI")
    widget.region.layers.choose(drawn)
    dust = viewer.add_shapes([[[1, 7, 2], [1, 7, 4], [1, 9, 4], [1, 9, 2]]], shape_type="rectangle", name="dust")
    widget.region.leave_out.choose(dust)
    widget.model.set_model("gaussian_2d_elliptic")
    click_fit(qtbot, widget)
    result = widget.follow_ups.outcome.result
    assert result.converged.all()
    assert result.shape == (3, 2)
    # a shape of one frame counts in that frame
    assert result.n_used[1, 0] < result.n_used[0, 0] == result.n_used[2, 0]
    assert len(set(result.n_used[:, 1])) == 1

    export(qtbot, monkeypatch, widget, tmp_path / "clouds.csv", "CSV")
    recipe = json.loads((tmp_path / "clouds.recipe.json").read_text())
    assert [step["step"] for step in recipe["steps"]] == ["region", "fit"]
    group = on_the_command_line(tmp_path / "clouds.recipe.json", CLOUDS, tmp_path)
    for name in result.model.names:
        np.testing.assert_array_equal(group[f"params/{name}"][:], result.params[name])
        np.testing.assert_array_equal(group[f"stderr/{name}"][:], result.stderr[name])


def test_spots_that_were_detected(
    qtbot: Any, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    data = frames()
    viewer.add_image(data, name="beads", scale=(1, 0.1, 0.1), units=("s", "um", "um"))
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    click_detect(qtbot, widget)
    click_fit(qtbot, widget)
    result = widget.follow_ups.outcome.result

    export(qtbot, monkeypatch, widget, tmp_path / "all.spots.csv", "Localisations: every spot")
    recipe = json.loads((tmp_path / "all.spots.recipe.json").read_text())
    assert [step["step"] for step in recipe["steps"]] == ["detect_spots", "fit"]
    group = on_the_command_line(tmp_path / "all.spots.recipe.json", data, tmp_path)
    for name in result.model.names:
        np.testing.assert_array_equal(group[f"params/{name}"][:], result.params[name])
        np.testing.assert_array_equal(group[f"stderr/{name}"][:], result.stderr[name])

    # pixels that do not count stand in a step of their own
    y, x = (round(float(end)) for end in viewer.layers["beads · detected points"].data[0][-2:])
    dust = np.zeros(data.shape, int)
    dust[0, y - 1 : y + 2, x + 1 : x + 4] = 3
    widget.region.leave_out.choose(viewer.add_labels(dust, name="dust", scale=(1, 0.1, 0.1), units=("s", "um", "um")))
    click_fit(qtbot, widget)
    result = widget.follow_ups.outcome.result
    assert result.n_left_out.max() >= 6
    export(qtbot, monkeypatch, widget, tmp_path / "dusty.spots.csv", "Localisations: every spot")
    recipe = json.loads((tmp_path / "dusty.spots.recipe.json").read_text())
    assert [step["step"] for step in recipe["steps"]] == ["detect_spots", "leave_out", "fit"]
    (tmp_path / "dusty").mkdir()
    group = on_the_command_line(tmp_path / "dusty.spots.recipe.json", data, tmp_path / "dusty")
    for name in result.model.names:
        np.testing.assert_array_equal(group[f"params/{name}"][:], result.params[name])
    np.testing.assert_array_equal(group["n_left_out"][:], result.n_left_out)
    widget.region.leave_out.choose(None)

    # points that were moved since are not what the detection finds, and the recipe does not say so
    layer = viewer.layers["beads · detected points"]
    layer.data = layer.data[:-1]
    click_fit(qtbot, widget)
    export(qtbot, monkeypatch, widget, tmp_path / "some.spots.csv", "Localisations: every spot")
    recipe = json.loads((tmp_path / "some.spots.recipe.json").read_text())
    assert [step["step"] for step in recipe["steps"]] == ["fit"]


def test_voxels_with_bands_and_without_what_is_left_out(
    qtbot: Any, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    t = np.arange(12.0)
    data = 9 * np.exp(-t[:, None, None] / np.linspace(2, 5, 20).reshape(4, 5)) + 1
    data += np.random.default_rng(6).normal(0, 0.01, data.shape)
    viewer = make_napari_viewer()
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(data, name="decays", scale=(2, 1, 1), units=("ms", "um", "um"))
    widget.data.set_job("voxels")
    widget.samples.set_exclude([(3.0, 6.5), (1 / 3, 2.0)])
    veins = viewer.add_shapes([[[1, 1], [1, 2], [2, 2], [2, 1]]], shape_type="rectangle", name="veins")
    widget.region.leave_out.choose(veins)
    click_fit(qtbot, widget)
    result = widget.follow_ups.outcome.result
    left = np.zeros((4, 5), bool)
    left[1:3, 1:3] = True
    np.testing.assert_array_equal(result.n_used, np.where(left, 0, 12 - 3))

    export(qtbot, monkeypatch, widget, tmp_path / "decays.csv", "CSV")
    group = on_the_command_line(tmp_path / "decays.recipe.json", data, tmp_path)
    for name in result.model.names:
        np.testing.assert_array_equal(group[f"params/{name}"][:], result.params[name])
        np.testing.assert_array_equal(group[f"stderr/{name}"][:], result.stderr[name])
    np.testing.assert_array_equal(group["n_used"][:], result.n_used)
