"""Settings of parameters that outlive the session."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari.settings
import numpy as np
import pytest
from napari.layers import Image
from napari.utils.notifications import notification_manager

from napari_imagefit import models
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.request.presets import FILE, Presets, stored_presets

MODEL = models["gaussian_2d"]
ROWS = (
    Row("amplitude", 1 / 3, 0.1, math.inf),
    Row("y"),
    Row("x", tied="y + 1"),
    Row("sigma", 1.5, fixed=True),
    Row("offset", shared=True),
)


def plain(name: str) -> tuple[Row, ...]:
    return tuple(Row(parameter) for parameter in models[name].names)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings" / FILE


@pytest.fixture
def warnings() -> Any:
    notification_manager.records.clear()
    yield lambda: [record.message for record in notification_manager.records]
    notification_manager.records.clear()


def test_what_was_set_last_is_there_in_another_session(path: Path) -> None:
    assert Presets(path).last(MODEL) is None
    Presets(path).keep_last(MODEL, ROWS)
    assert Presets(path).last(MODEL) == ROWS
    assert Presets(path).last(models["gaussian_1d"]) is None
    Presets(path).keep_last(models["linear"], plain("linear"))
    Presets(path).keep_last(MODEL, plain("gaussian_2d"))
    assert Presets(path).last(MODEL) == plain("gaussian_2d")


def test_presets_are_saved_replaced_and_deleted(path: Path) -> None:
    presets = Presets(path)
    presets.save(MODEL, "narrow 🔬", ROWS)
    presets.save(MODEL, "Broad", plain("gaussian_2d"))
    presets.keep_last(MODEL, ROWS[:1])
    assert Presets(path).names(MODEL) == ["Broad", "narrow 🔬"]
    assert Presets(path).names(models["linear"]) == []
    assert Presets(path).rows(MODEL, "narrow 🔬") == ROWS
    presets.save(MODEL, "Broad", ROWS)
    assert Presets(path).rows(MODEL, "Broad") == ROWS
    presets.delete(MODEL, "narrow 🔬")
    assert Presets(path).names(MODEL) == ["Broad"]
    assert Presets(path).rows(MODEL, "narrow 🔬") is None


def test_two_sessions_keep_what_the_other_has_saved(path: Path) -> None:
    one, other = Presets(path), Presets(path)
    one.save(MODEL, "a", ROWS)
    other.save(MODEL, "b", ROWS)
    one.keep_last(models["linear"], plain("linear"))
    assert Presets(path).names(MODEL) == ["a", "b"]


def test_a_layer_is_nothing_that_another_session_would_know(path: Path) -> None:
    layer = Image(np.zeros((3, 3)), name="background")
    rows = (Row("amplitude", layer, 0.0), Row("offset", layer, fixed=True))
    Presets(path).save(MODEL, "layers", rows)
    kept = Presets(path).rows(MODEL, "layers")
    assert kept is not None
    assert kept[0] == Row("amplitude", None, 0.0)
    assert kept[4] == Row("offset"), "fixed at nothing would be refused"
    assert "background" not in path.read_text()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 99}', "\0\0", "[" * 100_000, '"\\ud800"'])
def test_a_broken_file_is_put_aside_with_one_sentence(path: Path, warnings: Any, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    presets = Presets(path)
    assert presets.last(MODEL) is None
    assert presets.names(MODEL) == []
    assert len(warnings()) == 1
    aside = path.with_name(f"{FILE}.bak")
    assert str(aside) in warnings()[0]
    assert aside.read_text() == content
    presets.save(MODEL, "new", ROWS)
    assert Presets(path).rows(MODEL, "new") == ROWS
    assert len(warnings()) == 1


def test_entries_that_make_no_sense_are_as_if_they_were_not_there(path: Path, warnings: Any) -> None:
    path.parent.mkdir()
    last = [
        {"name": "amplitude", "start": "two", "lower": True, "upper": float("nan"), "fixed": 1, "tied": 5},
        {"name": "y", "start": math.inf, "lower": -math.inf},
        {"name": "x", "start": 10**400, "tied": "z" * 2000},
        {"name": "sigma", "start": 2},
        {"name": "unheard"},
        7,
    ]
    path.write_text(json.dumps({"version": 1, "models": {"gaussian_2d": {"last": last, "presets": [3]}, "linear": 4}}))
    assert Presets(path).last(MODEL) == (
        Row("amplitude"),
        Row("y", lower=-math.inf),
        Row("x"),
        Row("sigma", 2.0),
        Row("offset"),
    )
    assert Presets(path).names(MODEL) == []
    assert Presets(path).last(models["linear"]) is None
    assert not warnings()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, warnings: Any) -> None:
    (tmp_path / "file").write_text("")
    presets = Presets(tmp_path / "file" / FILE)
    presets.save(MODEL, "a", ROWS)
    presets.save(MODEL, "b", ROWS)
    assert len(warnings()) == 1
    assert "cannot be" in warnings()[0]


def test_nothing_half_written_is_left(path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Any) -> None:
    presets = Presets(path)
    presets.save(MODEL, "a", ROWS)
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    presets.save(MODEL, "b", ROWS)
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == [FILE]
    assert "disk full" in warnings()[0]


def test_it_lies_beside_the_settings_of_napari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SimpleNamespace(config_path=tmp_path / "settings.yaml")
    monkeypatch.setattr(napari.settings, "get_settings", lambda: settings)
    stored_presets().save(MODEL, "a", ROWS)
    assert (tmp_path / FILE).exists()
    settings.config_path = None
    alone = stored_presets()
    alone.save(MODEL, "b", ROWS)
    assert alone.names(MODEL) == ["b"]


def test_it_goes_where_napari_config_says(tmp_path: Path) -> None:
    script = (
        "from napari_imagefit import models\n"
        "from napari_imagefit.layers.request.presets import stored_presets\n"
        "stored_presets().keep_last(models['linear'], ())\n"
        "stored_presets().save(models['linear'], 'a', ())\n"
    )
    environment = os.environ | {"NAPARI_CONFIG": str(tmp_path / "own" / "settings.yaml")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    assert (tmp_path / "own" / FILE).exists()
