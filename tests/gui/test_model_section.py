"""The choice of a model: titles under headings, and formulas that fit into the dock."""

from __future__ import annotations

import re
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_imagefit.catalogue.titles import title_of
from napari_imagefit.gui.sections.model import ModelSection, breakable

from .parameter_help import WIDTH, Key


def test_models_are_listed_by_their_titles_under_headings(qtbot: Any) -> None:
    chosen = ModelSection()
    qtbot.addWidget(chosen)
    told: list[str] = []
    chosen.model_chosen.connect(lambda model: told.append(model.name))
    chosen.set_job("region")
    combo = chosen.names
    texts = [combo.itemText(i) for i in range(combo.count())]
    assert texts[:3] == ["Peaks and spots", "Gaussian, round", "Gaussian, elliptic"]
    headings = [i for i in range(combo.count()) if combo.itemData(i, Qt.ItemDataRole.UserRole) is None]
    assert [texts[i] for i in headings] == ["Peaks and spots", "Background", "Atom clouds"]
    assert chosen.model.name == "gaussian_2d"
    combo.setFocus()
    for _ in texts:
        qtbot.keyClick(combo, Key.Key_Down)
        assert combo.currentIndex() not in headings
    assert chosen.model.name == "bimodal_2d"
    assert told[-1] == "bimodal_2d"
    assert len(told) == len(texts) - len(headings)
    chosen.set_model("gaussian_2d_elliptic")
    assert combo.currentText() == title_of(chosen.model) == "Gaussian, elliptic"
    assert "gaussian_2d_elliptic" in combo.toolTip()
    assert "Siegman" in combo.toolTip()
    chosen.set_model("exponential_decay")
    assert chosen.model.name == "gaussian_2d_elliptic", "it is not of this job"
    chosen.set_job("region")
    assert chosen.model.name == "gaussian_2d_elliptic"
    chosen.set_job("voxels")
    assert chosen.model.name == "exponential_decay"


@pytest.mark.parametrize("job", ["region", "spots", "voxels"])
def test_no_formula_makes_the_dock_wider(qtbot: Any, job: Any) -> None:
    chosen = ModelSection()
    qtbot.addWidget(chosen)
    chosen.set_job(job)
    chosen.show()
    for place in range(chosen.names.count()):
        name = chosen.names.itemData(place, Qt.ItemDataRole.UserRole)
        if name is None:
            continue
        chosen.set_model(name)
        assert chosen.minimumSizeHint().width() <= WIDTH
        # what is not broken is cut off
        label = QLabel(chosen.formula.text())
        label.setTextFormat(Qt.TextFormat.RichText)
        label.setWordWrap(True)
        assert label.minimumSizeHint().width() <= WIDTH, chosen.model.name


def test_a_formula_without_spaces_is_broken_behind_its_signs() -> None:
    text = breakable("a·exp(−t/τ<sub>long_1</sub>)+b·exp(−t/σ<sub>short</sub>)+offset")
    assert re.sub("\u200b", "", text) == "a·exp(−t/τ<sub>long_1</sub>)+b·exp(−t/σ<sub>short</sub>)+offset"
    assert "<sub>" in text
    assert "</sub>" in text
    assert text.count("\u200b") == 8
