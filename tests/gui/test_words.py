"""Sentences of the window: they name controls, belong to what is chosen, and go when it is mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_imagefit import Camera, FitInputError, fit_image, fit_spots, fit_voxels
from napari_imagefit.engine.core.options import Options
from napari_imagefit.gui.widgets.in_gui_words import in_gui_words

from .spot_help import LEFT, choose, click_detect, click_fit, dock_of, frames, write

ARGUMENTS = ("ftol", "noise=", "Camera(", "loss=", "f_scale", "saturation=", "window=", "groups", "fit_", "min_signal")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Options(ftol=2.0), "The tolerance is 2.0; give a number from 0 to below 1, such as 1e-8"),
        (lambda: Options(f_scale=0.0), "The outlier limit must be a positive number, got 0.0"),
        (
            lambda: fit_image(np.full((9, 9), -5.0), "gaussian_2d", noise="poisson"),
            "choose 'Camera' as Noise and enter its offset, or 'Gaussian, known σ'",
        ),
        (
            lambda: fit_voxels(np.full((9, 2), -5.0), "linear", noise="rician", sigma=1.0),
            "choose 'Gaussian' as Noise for signed data",
        ),
        (lambda: fit_spots(np.eye(30), [[9, 9]], "gaussian_2d", window=8), "The window 8 has no pixel in its middle"),
        (
            lambda: fit_image(np.full((9, 9), 1.0), "gaussian_2d", noise=Camera(1.0, 400.0, 1.0)),
            "give the offset that the data have without light",
        ),
    ],
)
def test_refusals_name_controls(ask: Callable[[], Any], words: str) -> None:
    with pytest.raises(FitInputError) as caught:
        ask()
    said = in_gui_words(str(caught.value))
    assert words in said
    assert said[0].isupper() or not said[0].isalpha()
    assert not [name for name in ARGUMENTS if name in said]


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no layer 'noise=poisson'; choose another.",
        "Type an expression of the parameters amplitude, sigma, offset, such as 1/sigma.",
        "'30..20' is no range of coordinates; type one such as 20–30.",
    ],
)
def test_what_names_no_argument_stays(sentence: str) -> None:
    assert in_gui_words(sentence) == sentence


def test_filters_and_sentences_belong_to_their_image(qtbot: Any, make_napari_viewer: Callable[..., Any]) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    first = viewer.add_image(frames(), name="first")
    qtbot.mouseClick(widget.data._buttons["spots"], LEFT)
    click_detect(qtbot, widget)
    click_fit(qtbot, widget)
    qtbot.mouseClick(widget.spots.section.table_button, LEFT)
    panel = dock_of(viewer).filters
    choose(qtbot, panel.column, "sigma [px]")
    # the fields are live: a range makes its filter
    assert not panel.on.isChecked()
    write(qtbot, panel.high, "1.75")
    assert panel.on.isChecked()
    assert [one.words for one in panel.filters] == ["sigma [px] up to 1.75"]
    assert "filters leave 6 out" in widget.message.text()
    write(qtbot, panel.low, "20")
    assert "⚠" in dock_of(viewer).summary.text()
    write(qtbot, panel.low, "0.5")
    assert "⚠" not in dock_of(viewer).summary.text()
    write(qtbot, panel.high, "1.8")
    assert f"filters leave {15 - dock_of(viewer).chosen().sum()} out" in widget.message.text()

    second = viewer.add_image(frames(2), name="second")
    widget.data.layers.choose(second)
    assert widget.message.text() == ""
    assert widget.spots.filters == ()
    click_detect(qtbot, widget)
    click_fit(qtbot, widget)
    assert "filters" not in widget.message.text()
    assert dock_of(viewer).filters.filters == ()
    widget.data.layers.choose(first)
    assert [one.high for one in widget.spots.filters] == [1.8]


def test_a_mended_setting_takes_its_sentence_away(make_napari_viewer: Callable[..., Any]) -> None:
    viewer = make_napari_viewer(show=True)
    _, widget = viewer.window.add_plugin_dock_widget("napari-imagefit", "Image Fit")
    viewer.add_image(np.ones((20, 20)), name="plain")
    widget.options.tolerance.setText("7")
    widget.fit()
    assert widget.message.text() == "⚠ The tolerance is 7.0; give a number from 0 to below 1, such as 1e-8"
    widget.options.tolerance.setText("1e-9")
    widget.options.tolerance.editingFinished.emit()
    assert widget.message.text() == ""
