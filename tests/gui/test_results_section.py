"""What the section Results offers of fits whose data are not in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from dask import array
from qtpy.QtWidgets import QPushButton

from napari_imagefit import fit_voxels
from napari_imagefit.gui.sections.results import NEEDS_MEMORY, NEEDS_NOTHING_SHARED, ResultsSection

STACK = np.arange(6.0)[:, None] * np.arange(1.0, 5)


def test_what_needs_a_stack_in_memory_says_so(qtbot: Any) -> None:
    section = ResultsSection(QPushButton())
    qtbot.addWidget(section)
    buttons = section.refit_button, section.go_on_button, section.painted_button, section.map_button
    tips = [button.toolTip() for button in (*buttons, section.compare_button)]
    section.show_result(fit_voxels(array.from_array(STACK), "linear").compute())
    for button in (*buttons, section.compare_button):
        assert not button.isEnabled()
        assert button.toolTip() == NEEDS_MEMORY
    assert not section.memory_note.isHidden()
    section.show_result(fit_voxels(STACK, "linear"))
    assert all(button.isEnabled() for button in buttons)
    assert [button.toolTip() for button in (*buttons, section.compare_button)] == tips
    assert section.memory_note.isHidden()


def test_fits_that_are_one_problem_are_fitted_again_together(qtbot: Any) -> None:
    section = ResultsSection(QPushButton())
    qtbot.addWidget(section)
    section.show_result(fit_voxels(STACK, "linear", shared=["intercept"]))
    for button in (section.refit_button, section.go_on_button):
        assert not button.isEnabled()
        assert button.toolTip() == NEEDS_NOTHING_SHARED
    assert section.painted_button.isEnabled()  # to leave voxels out
    assert section.compare_button.isEnabled()
