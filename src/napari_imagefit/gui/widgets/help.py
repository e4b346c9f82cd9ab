"""Help pages: the documentation, in a window of its own and without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QColor, QKeySequence, QPalette, QShortcut, QTextCharFormat, QTextCursor, QTextDocument
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QPushButton,
    QTextBrowser,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from .theme import readable

# in the wheel beside the code, in a checkout beside its folder; see hatch_build.py
FOLDERS = (Path(__file__).parents[2] / "docs", Path(__file__).parents[4] / "docs")
FIRST_PAGE = "widget.md"
# Which page and heading a "?" leads to.
TOPICS = {
    "data": ("widget.md", "Data"),
    "model": ("models.md", ""),
    "results": ("widget.md", "Results"),
    "export": ("widget.md", "Files"),
    "regions": ("widget.md", "Regions"),
    "spots": ("spots_walkthrough.md", ""),
    "voxels": ("voxels.md", ""),
    "flags": ("flags.md", ""),
}
LINK = QColor("#3d94ff")
PICTURE_LINK = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")


def pages() -> Path:
    """Return the folder of the help pages.

    Raises
    ------
    FileNotFoundError
        If they were not installed.
    """
    for folder in FOLDERS:
        if (folder / FIRST_PAGE).is_file():
            return folder
    raise FileNotFoundError(
        f"the help pages are neither in {FOLDERS[0]} nor in {FOLDERS[1]}; install the package again"
    )


class HelpBrowser(QTextBrowser):
    """Shows pages in Markdown; links between them work, those to the web open in the user's browser."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setOpenExternalLinks(True)
        self.setAccessibleName("Help page")
        self.setFrameShape(QTextBrowser.Shape.NoFrame)

    def loadResource(self, kind: int, name: QUrl) -> Any:
        """Return a page without pictures that were not installed."""
        path = Path(self.source().resolved(name).toLocalFile())
        if kind != QTextDocument.ResourceType.MarkdownResource.value:
            return super().loadResource(kind, name)
        if not path.is_file():
            return f"# Not here\n\n`{path.name}` is not among the help pages; it is in the project's repository."
        text = path.read_text(encoding="utf-8")
        return PICTURE_LINK.sub(lambda found: found[0] if (path.parent / found[2]).is_file() else f"*{found[1]}*", text)

    def doSetSource(
        self, name: QUrl, kind: QTextDocument.ResourceType = QTextDocument.ResourceType.UnknownResource
    ) -> None:
        """Show a page, and the heading that the link names."""
        fragment = name.fragment()
        if name.path().endswith((".md", "/")) or not name.path():
            kind = QTextDocument.ResourceType.MarkdownResource
        plain = QUrl(name)
        plain.setFragment("")
        super().doSetSource(plain if name.path() else self.source(), kind)
        self._colour_links()
        self._go_to(fragment)

    def _colour_links(self) -> None:
        """Draw links in a colour of the theme: Qt makes them as dark a blue on black as on white."""
        palette = self.palette()
        text, base = palette.color(QPalette.ColorRole.Text), palette.color(QPalette.ColorRole.Base)
        form = QTextCharFormat()
        form.setForeground(readable(LINK, text, base))
        block = self.document().begin()
        while block.isValid():
            pieces = block.begin()
            while not pieces.atEnd():
                piece = pieces.fragment()
                if piece.charFormat().isAnchor():
                    cursor = QTextCursor(self.document())
                    cursor.setPosition(piece.position())
                    cursor.setPosition(piece.position() + piece.length(), QTextCursor.MoveMode.KeepAnchor)
                    cursor.mergeCharFormat(form)
                pieces += 1  # type: ignore[operator]
            block = block.next()

    def _go_to(self, heading: str) -> None:
        """Scroll to a heading, named by its words or as links on the web name it; without one to the top."""
        block = self.document().begin()
        while heading and block.isValid():
            if block.blockFormat().headingLevel() and heading in (block.text(), _slug(block.text())):
                place = self.document().documentLayout().blockBoundingRect(block).top()
                self.verticalScrollBar().setValue(round(place))
                return
            block = block.next()
        self.moveCursor(QTextCursor.MoveOperation.Start)


class HelpWindow(QDialog):
    """One window for all help pages."""

    shown: ClassVar[HelpWindow | None] = None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Help: Image Fit")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        # napari ends with its own windows, whatever page is open
        self.setAttribute(Qt.WidgetAttribute.WA_QuitOnClose, False)
        self.resize(760, 640)
        self.browser = HelpBrowser()
        self.back, self.forward, self.contents = QPushButton("&Back"), QPushButton("For&ward"), QPushButton("&Contents")
        self.back.setToolTip("The page before (Alt+B)")
        self.forward.setToolTip("The page from which you went back (Alt+W)")
        self.contents.setToolTip("The page on the widget, which leads to all others (Alt+C)")
        row, layout = QHBoxLayout(), QVBoxLayout(self)
        for button in (self.back, self.forward, self.contents):
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch()
        layout.addLayout(row)
        layout.addWidget(self.browser)
        self.back.clicked.connect(self.browser.backward)
        self.forward.clicked.connect(self.browser.forward)
        self.contents.clicked.connect(lambda: self.open(FIRST_PAGE, ""))
        self.browser.backwardAvailable.connect(self.back.setEnabled)
        self.browser.forwardAvailable.connect(self.forward.setEnabled)
        self.back.setEnabled(False)
        self.forward.setEnabled(False)
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)

    def open(self, page: str, heading: str) -> None:
        """Show a page."""
        url = QUrl.fromLocalFile(str(pages() / page))
        url.setFragment(heading)
        self.browser.setSource(url, QTextDocument.ResourceType.MarkdownResource)


def show_help(topic: str = "", parent: QWidget | None = None) -> HelpWindow:
    """Show the page on a topic of `TOPICS`; the window stays, and is used again."""
    page, heading = TOPICS.get(topic, (FIRST_PAGE, ""))
    window = HelpWindow.shown
    if window is None:
        window = HelpWindow.shown = HelpWindow(parent.window() if parent is not None else QApplication.activeWindow())
        window.destroyed.connect(_forget)
    window.open(page, heading)
    window.show()
    window.raise_()
    return window


def _forget() -> None:
    HelpWindow.shown = None


def help_button(topic: str) -> QToolButton:
    """Return a "?" that opens the page on a topic."""
    button = QToolButton()
    button.setText("?")
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    button.setToolTip(f"Help on {topic}: opens its page, without a network")
    button.setAccessibleName(f"Help on {topic}")
    button.clicked.connect(lambda: show_help(topic, button))
    return button


def _slug(heading: str) -> str:
    """Return a heading as links name it: small letters, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
