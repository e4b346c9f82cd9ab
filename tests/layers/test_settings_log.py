"""Settings are remembered without their layers, and undone and redone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_imagefit.layers.history.settings_log import MOST_SETTINGS, SettingsLog
from napari_imagefit.layers.request.choices import NoiseChoice, Row, SpotChoice
from napari_imagefit.layers.request.layer_names import LayerName, recall, remember

from .history_help import ROUND, choices, clouds


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def image(viewer: ViewerModel) -> Image:
    return viewer.add_image(clouds(), name="clouds")


def test_choices_outlive_their_layers(viewer: ViewerModel, image: Image) -> None:
    points = viewer.add_points([[0, 9, 14]], name="spots")
    start = viewer.add_image(clouds()[0], name="start")
    full = replace(
        choices(image),
        rows=(Row("y", start), Row("x", 3.0)),
        noise=NoiseChoice("sigma", start),
        spots=SpotChoice(points),
    )
    kept = remember(full)
    assert kept.image == LayerName(str(image.unique_id), "clouds")
    image.name = "renamed"
    assert recall(kept, viewer.layers) == (full, ())
    viewer.layers.remove(start)
    found, gone = recall(kept, viewer.layers)
    assert gone == ("start",)
    assert (found.image, found.rows, found.noise.sigma) == (image, (Row("y"), Row("x", 3.0)), None)


def test_undo_goes_back_and_forth(image: Image) -> None:
    log = SettingsLog()
    states = [remember(choices(image, noise=NoiseChoice("sigma", float(i)))) for i in range(3)]
    assert log.undo() is None
    assert [log.record(state) for state in states] == [True, True, True]
    assert not log.record(replace(states[2], current=(4, 0, 0))), "another frame on screen is no change"
    assert log.now is not None
    assert log.now.current == (4, 0, 0)
    assert log.undo() is states[1]
    assert log.undo() is states[0]
    assert log.undo() is None
    assert log.redo() is states[1]
    other = remember(choices(image, ROUND))
    log.record(other)
    assert log.redo() is None, "what was undone is forgotten with another change"
    assert log.undo() is states[1]


def test_the_log_has_an_end(image: Image) -> None:
    log = SettingsLog()
    for i in range(MOST_SETTINGS + 10):
        log.record(remember(choices(image, noise=NoiseChoice("sigma", float(i)))))
    steps = 0
    while log.undo() is not None:
        steps += 1
    assert steps == MOST_SETTINGS - 1
