"""What the section Results offers of fits whose data are not in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from dask import array

from napari_imagefit import fit_voxels
from napari_imagefit.gui.sections.reasons_table import ReasonsTable
from napari_imagefit.gui.sections.results import NEEDS_MEMORY, NEEDS_NOTHING_SHARED, ResultsSection
from napari_imagefit.layers.inspection.state_counts import Statement

STACK = np.arange(6.0)[:, None] * np.arange(1.0, 5)


def test_what_needs_a_stack_in_memory_says_so(qtbot: Any) -> None:
    section = ResultsSection()
    qtbot.addWidget(section)
    buttons = section.refit_button, section.resume_button, section.painted_button, section.map_button
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
    section = ResultsSection()
    qtbot.addWidget(section)
    section.show_result(fit_voxels(STACK, "linear", shared=["intercept"]))
    for button in (section.refit_button, section.resume_button):
        assert not button.isEnabled()
        assert button.toolTip() == NEEDS_NOTHING_SHARED
    assert section.painted_button.isEnabled()  # to leave voxels out
    assert section.compare_button.isEnabled()


def test_statements_wrap_as_soon_as_the_table_is_narrower(qtbot: Any) -> None:
    table = ReasonsTable()
    qtbot.addWidget(table)
    table.resize(640, 200)
    words = "the residuals are larger where the fitted values are"
    table.show_statements([Statement(words, "#ff0000", 2, np.arange(3))])
    with qtbot.waitExposed(table):
        table.show()
    low = table.height()
    table.resize(220, low)
    qtbot.waitUntil(lambda: table.rowHeight(0) > low - table.horizontalHeader().height())
    assert table.viewport().height() >= table.rowHeight(0)
