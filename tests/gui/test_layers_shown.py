"""Show ▾, and what the canvas says of the layers of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Shapes
from qtpy.QtCore import Qt

from napari_imagefit import fit_image
from napari_imagefit.gui.canvas.legend import BESIDE, CONTOUR_LINES, elided
from napari_imagefit.gui.canvas.legend import entries as legend_of
from napari_imagefit.gui.widget import ImageFitWidget
from napari_imagefit.layers.geometry.output_layers import METADATA_KEY, is_output, role_of

LEFT = Qt.MouseButton.LeftButton
PATIENCE = 60_000
Y, X = np.mgrid[:24.0, :30.0]
CLOUD = 3 * np.exp(-((Y - 11) ** 2) / 18 - (X - 16) ** 2 / 32) + np.random.default_rng(2).normal(0, 0.05, (24, 30))
T = np.arange(12.0)
DECAYS = 5 * np.exp(-T[:, None, None] / np.linspace(2, 6, 48).reshape(6, 8))
DECAYS += np.random.default_rng(4).normal(0, 0.02, DECAYS.shape)
DECAYS[:, 0, :3] = np.nan


def fit(qtbot: Any, widget: ImageFitWidget) -> None:
    qtbot.mouseClick(widget.fit_bar.fit, LEFT)
    qtbot.waitUntil(lambda: not widget.session.running, timeout=PATIENCE)
    settle(qtbot, widget)


def settle(qtbot: Any, widget: ImageFitWidget) -> None:
    qtbot.waitUntil(lambda: not widget.follow_ups.shown.busy, timeout=PATIENCE)


def entries(widget: ImageFitWidget) -> dict[str, bool]:
    """Open the menu, as a click does, and read it."""
    menu = widget.results.show_menu
    menu.asked.emit()
    return {action.text(): action.isChecked() for action in menu.menu().actions() if action.text()}


def click_entry(qtbot: Any, widget: ImageFitWidget, title: str) -> None:
    menu = widget.results.show_menu.menu()
    menu.popup(widget.mapToGlobal(widget.rect().topLeft()))
    action = widget.results.show_menu.entry(title)
    qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(action).center())
    assert menu.isVisible(), "one after another can be chosen"
    menu.close()
    settle(qtbot, widget)


def names(viewer: Any) -> list[str]:
    return [layer.name for layer in viewer.layers if is_output(layer)]


def words(viewer: Any) -> list[str]:
    """What is written on the canvas: the title of the map, of two lines the first, then the contours' words."""
    overlays = viewer.canvas.overlays
    found = [overlays[f"{METADATA_KEY}:title"], *(overlays[f"{METADATA_KEY}:{n}"] for n in range(CONTOUR_LINES))]
    return [overlay.text.splitlines()[0].strip() for overlay in found if overlay.visible]


def test_show_adds_and_removes_layers_and_later_fits_do_the_same(
    qtbot: Any, opened: tuple[Any, ImageFitWidget]
) -> None:
    viewer, widget = opened
    viewer.add_image(CLOUD, name="cloud")
    widget.model.set_model("gaussian_2d_elliptic")
    fit(qtbot, widget)
    assert names(viewer) == ["cloud · Gauss ellip. · outlines"]
    assert entries(widget) == {"outlines": True, "residual": False, "fitted": False, "status": False}

    click_entry(qtbot, widget, "residual")
    assert names(viewer) == ["cloud · Gauss ellip. · residual", "cloud · Gauss ellip. · outlines"]
    residual = viewer.layers["cloud · Gauss ellip. · residual"]
    assert residual.visible
    np.testing.assert_allclose(residual.data, fit_image(CLOUD, "gaussian_2d_elliptic").residual(), atol=1e-5)
    assert words(viewer) == ["residual"]
    click_entry(qtbot, widget, "outlines")
    assert names(viewer) == ["cloud · Gauss ellip. · residual"]

    # another model has layers of its own, and shows what was chosen
    widget.model.set_model("gaussian_2d")
    fit(qtbot, widget)
    assert names(viewer)[1:] == ["cloud · Gaussian · residual"]
    assert entries(widget) == {"outlines": False, "residual": True, "fitted": False, "status": False}

    # a fit of the same updates it in place
    fit(qtbot, widget)
    assert len(names(viewer)) == 2
    click_entry(qtbot, widget, "outlines")
    assert "cloud · Gaussian · outlines" in names(viewer)


def test_the_choice_outlives_the_dock(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(CLOUD, name="cloud")
    widget.model.set_model("gaussian_2d")
    fit(qtbot, widget)
    entries(widget)
    click_entry(qtbot, widget, "fitted")
    viewer.window.remove_dock_widget(widget)
    assert words(viewer) == [], "nothing is written any more that nothing keeps true"
    again = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")[1]
    assert words(viewer) == ["fitted"]
    again.model.set_model("gaussian_2d_elliptic")
    fit(qtbot, again)
    assert "cloud · Gauss ellip. · fitted" in names(viewer)


def test_maps_of_voxels_say_their_unit_and_why_fits_failed(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(DECAYS, name="decays", scale=(2, 1, 1), units=("ms", "um", "um"))
    qtbot.mouseClick(widget.data._buttons["voxels"], LEFT)
    fit(qtbot, widget)
    assert names(viewer) == ["decays · Exp. decay · τ [ms]", "decays · Exp. decay · status"]
    tau, status = (viewer.layers[name] for name in names(viewer))
    assert status.contour == 1
    title, *reasons = words(viewer)
    assert title == "τ [ms]"
    assert elided("3 × fewer usable samples than free parameters", viewer.canvas.size[1] - BESIDE) in reasons
    assert tau.colorbar.visible
    # for this range napari's bar has one number alone
    legend = viewer.canvas.overlays[f"{METADATA_KEY}:title"]
    tau.contrast_limits = (11.51, 12.43)
    assert legend.text.splitlines() == ["τ [ms]", "11.51 to 12.43"]

    shown = entries(widget)
    assert [title for title, on in shown.items() if on] == ["τ [ms]", "status"]
    assert {"amplitude", "error of τ [ms]", "R²", "reduced χ²", "residual"} < shown.keys()
    click_entry(qtbot, widget, "error of τ [ms]")
    error = next(
        layer for layer in viewer.layers if role_of(layer, widget.follow_ups.outcome.request.group) == "stderr:tau"
    )
    assert words(viewer)[0] == "error of τ [ms]"
    assert error.colorbar.visible
    assert not tau.colorbar.visible, "the bar of a map that is covered would be taken for the other's"
    error.visible = False
    assert words(viewer)[0] == "τ [ms]"
    assert tau.colorbar.visible
    widget.results.paint.emit()
    assert viewer.layers[-1].name.startswith("decays · paint: 1 = ")
    assert words(viewer) == ["τ [ms]", *reasons], "what a person paints has no words"
    status.visible = False
    assert words(viewer) == ["τ [ms]"]


def test_all_fits_failed(qtbot: Any, opened: tuple[Any, ImageFitWidget]) -> None:
    viewer, widget = opened
    viewer.add_image(np.ones((24, 30)), name="flat")
    widget.model.set_model("gaussian_2d")
    fit(qtbot, widget)
    outlines, status = (viewer.layers[f"flat · Gaussian · {what}"] for what in ("outlines", "status"))
    assert list(outlines.shape_type) == ["path"]
    np.testing.assert_allclose(outlines.data[0][2], [11.5, 14.5], atol=1)
    assert status.visible
    assert words(viewer)[0].startswith("1 × ")
    for title in ("residual", "fitted"):
        entries(widget)
        click_entry(qtbot, widget, title)
    assert np.isnan(viewer.layers["flat · Gaussian · residual"].data).all()


def test_two_outlines_of_a_cloud_are_told_apart() -> None:
    box = np.array([[0, 0], [0, 9], [9, 9], [9, 0]])
    colours = ["#56B4E9", "#2EE6A6", "#E69F00"]
    outlines = Shapes([box, box + 2, box + 4], features={"component": ["sigma", "radius", ""]}, edge_color=colours)
    found = legend_of(outlines)
    assert [words for words, _ in found] == ["σ of the Gaussian", "R, the radius"]
    np.testing.assert_allclose([colour for _, colour in found], outlines.edge_color[:2])
    assert not legend_of(Shapes([box, box + 2], features={"component": ["sigma", ""]})), "one kind says itself"
    assert not legend_of(Shapes([box])), "somebody's own shapes"
