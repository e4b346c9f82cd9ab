"""Help pages open from the window, lead to each other, and need no network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QUrl

from napari_imagefit.gui.widgets import help as help_pages
from napari_imagefit.gui.widgets.help import TOPICS, HelpWindow, help_button, pages, show_help


@pytest.fixture
def window(qtbot: Any) -> HelpWindow:
    found = show_help()
    qtbot.addWidget(found)
    return found


def test_every_topic_has_its_page_and_heading(window: HelpWindow) -> None:
    for topic, (page, heading) in TOPICS.items():
        text = (pages() / page).read_text(encoding="utf-8")
        assert not heading or re.search(rf"^#+ {heading}$", text, re.MULTILINE), topic
        assert show_help(topic) is window
        assert window.browser.source().fileName() == page
        assert text.splitlines()[0].removeprefix("# ") in window.browser.toPlainText()


def test_links_lead_on_and_back(window: HelpWindow) -> None:
    window.browser.setSource(window.browser.source().resolved(QUrl("flags.md")))
    assert "How a fit ended" in window.browser.toPlainText()
    window.back.click()
    assert window.browser.toPlainText().startswith("The widget")
    assert window.forward.isEnabled()
    window.browser.setSource(window.browser.source().resolved(QUrl("nowhere.md")))
    assert "nowhere.md is not among the help pages" in window.browser.toPlainText()
    window.contents.click()
    assert window.browser.toPlainText().startswith("The widget")


def test_a_heading_is_scrolled_to(window: HelpWindow, qtbot: Any) -> None:
    window.resize(400, 200)
    window.show()
    qtbot.wait(1)
    assert window.browser.verticalScrollBar().value() == 0
    show_help("export")
    assert window.browser.verticalScrollBar().value() > 100


def test_pictures_that_are_not_installed_are_told_in_words(
    window: HelpWindow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "widget.md").write_text("# Page\n\n![What is seen](images/none.png)\n")
    monkeypatch.setattr(help_pages, "FOLDERS", (tmp_path,))
    show_help()
    assert "What is seen" in window.browser.toPlainText()


def test_a_button_opens_its_page(qtbot: Any) -> None:
    button = help_button("voxels")
    qtbot.addWidget(button)
    button.click()
    window = HelpWindow.shown
    assert window is not None
    assert "Maps of voxels" in window.browser.toPlainText()
    assert button.toolTip()
    assert button.accessibleName() == "Help on voxels"
    window.close()
    qtbot.waitUntil(lambda: HelpWindow.shown is None)
