"""What spots can be beside the plain ones, through the window: in volumes, groups, on slopes, saturated, of Dask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
from qtpy.QtCore import QPoint

from napari_imagefit import fit_spots
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.output_layers import METADATA_KEY

from .spot_help import LEFT, choose, click_detect, click_fit, frames, write

SCALE = (0.2, 0.065, 0.065)  # µm
FWHM = (0.95, 0.34, 0.31)  # µm
# in pixels
BEADS = np.array([(12.3, 20.4, 18.7), (11.6, 21.2, 50.3), (13.2, 48.4, 34.9)])


def volume() -> np.ndarray:
    z, y, x = np.ogrid[0:25, 0:66, 0:70]
    sigma = np.array(FWHM) / np.sqrt(8 * np.log(2)) / SCALE
    data = np.full((25, 66, 70), 20.0)
    for centre in BEADS:
        away = sum(((axis - c) / s) ** 2 for axis, c, s in zip((z, y, x), centre, sigma, strict=True))
        data += 200 * np.exp(-0.5 * np.asarray(away))
    return np.random.default_rng(3).normal(data, 2)


def opened(make_napari_viewer: Callable[..., Any], qtbot: Any, data: Any, **how: Any) -> tuple[Any, ImageFitWidget]:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(data, name="beads", **how)
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    return viewer, widget


def test_beads_in_a_volume_with_their_widths_in_micrometres(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    viewer, widget = opened(make_napari_viewer, qtbot, volume(), scale=SCALE, units=("um",) * 3)
    choose(qtbot, widget.model.names, "Gaussian 3-D, elliptic")
    # of 115 000 pixels of noise one may well stand out by 5
    write(qtbot, widget.spots.detect.threshold.lineEdit(), "12")
    click_detect(qtbot, widget)
    assert widget.message.text().startswith("3 spots detected"), widget.message.text()
    write(qtbot, widget.spots.section.window_size, "13, 15, 15")
    click_fit(qtbot, widget)
    fitted = viewer.layers["beads · Gauss 3-D el. · fitted spots"]
    assert "3 converged" in widget.message.text(), widget.message.text()
    order = np.argsort(fitted.data[:, 2] + 10 * fitted.data[:, 1])
    np.testing.assert_allclose(fitted.data[order], BEADS[np.argsort(BEADS[:, 2] + 10 * BEADS[:, 1])], atol=0.05)
    for axis, wanted in zip("zyx", FWHM, strict=True):
        np.testing.assert_allclose(fitted.features[f"fwhm_{axis} [µm]"], wanted, rtol=0.02)
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2


def test_groups_on_a_slope_without_what_is_saturated(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    """The same numbers as the script's with the same wishes."""
    stack = np.minimum(frames(2) + 0.2 * np.arange(60), 55)
    viewer, widget = opened(make_napari_viewer, qtbot, stack)
    click_detect(qtbot, widget)
    section = widget.spots.section
    assert not section.most.isEnabled()
    qtbot.mouseClick(section.together, LEFT, pos=QPoint(10, section.together.height() // 2))
    assert section.together.isChecked()
    assert section.most.isEnabled()
    choose(qtbot, section.background, "sloping")
    write(qtbot, section.window_size, "21")
    write(qtbot, section.saturation, "55")
    click_fit(qtbot, widget)
    points = viewer.layers["beads · detected points"].data
    wishes: dict[str, Any] = {"background": "sloping", "groups": 4, "saturation": 55}
    script = fit_spots(stack, points, "gaussian_2d", window=21, **wishes)
    fitted = next(layer for layer in viewer.layers if layer.name.endswith("· fitted spots"))
    for name in ("sigma", "slope_x"):
        column = next(c for c in fitted.features.columns if c.split(" ")[0] == name)
        np.testing.assert_array_equal(fitted.features[column], script.params[name])
    assert (script.n_left_out > 0).any()
    assert (script.flags != 0).any()
    recipe = fitted.metadata["napari_imagefit"]["recipe"]
    assert {name: recipe[name] for name in wishes} == wishes


def test_a_layer_of_dask_gives_the_same_spots(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    stack = frames(2)
    viewer, widget = opened(make_napari_viewer, qtbot, da.from_array(stack, chunks=(1, 30, 30)))
    click_detect(qtbot, widget)
    write(qtbot, widget.spots.section.saturation, "48")
    click_fit(qtbot, widget)
    script = fit_spots(stack, viewer.layers["beads · detected points"].data, "gaussian_2d", window=11, saturation=48)
    fitted = viewer.layers["beads · Gaussian · fitted spots"]
    np.testing.assert_array_equal(fitted.features["sigma [px]"], script.params["sigma"])
    assert (script.n_left_out > 0).any()
    assert "All errors suppose the same noise everywhere" in widget.message.text()
    assert "samples that are at or above the saturation (48), or not finite, were left out" in widget.message.text()

    # what cannot be is said before anything is done, and loses nothing
    together = widget.spots.section.together
    qtbot.mouseClick(together, LEFT, pos=QPoint(10, together.height() // 2))
    click_fit(qtbot, widget)
    assert "untick 'Fit neighbours together'" in widget.message.text()
    assert len(fitted.features) == len(script.status)


def test_one_width_for_all_spots(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    stack = frames(2)
    viewer, widget = opened(make_napari_viewer, qtbot, stack)
    click_detect(qtbot, widget)
    sigma = widget.parameters.unfold("sigma")
    qtbot.mouseClick(sigma.share, LEFT)
    assert [row.name for row in widget.choices().rows if row.shared] == ["sigma"]
    write(qtbot, widget.spots.section.window_size, "11")
    click_fit(qtbot, widget)
    points = viewer.layers["beads · detected points"].data
    script = fit_spots(stack, points, "gaussian_2d", window=11, shared=["sigma"])
    fitted = viewer.layers["beads · Gaussian · fitted spots"]
    np.testing.assert_array_equal(fitted.features["sigma [px]"], script.params["sigma"])
    assert np.nanmax(script.params["sigma"]) == np.nanmin(script.params["sigma"])
    assert fitted.metadata[METADATA_KEY]["recipe"]["shared"] == ["sigma"]

    qtbot.mouseClick(sigma.fix, LEFT)
    write(qtbot, sigma.lines["start"], "1.3")
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    assert "'sigma' is fixed and also shared" in widget.message.text()
