"""Asking for the name of a file: its ending decides the format, and the dialog shows why a name is refused."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QFileDialog, QGridLayout, QLabel, QMessageBox, QWidget

from ...engine.core.errors import FitInputError
from .forms import in_capitals

Kind = TypeVar("Kind")
LONGEST_FILE_NAME = 80  # letters of the name that is proposed
UNFIT = re.compile(r'[\x00-\x1f/\\:*?"<>|]+')
# What looks like an ending, and not like the number in "shot 2.5".
ENDING_PATTERN = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,8}$")


@dataclass(frozen=True)
class Choice(Generic[Kind]):
    """One format of the list.

    Attributes
    ----------
    title : str
    suffixes : tuple of str
        Names that end so are of this format; the first is given to those without.
    kind
        What is handed back.
    also : str
        An ending that other formats of the list have, too: it is of the one that is chosen.
    """

    title: str
    suffixes: tuple[str, ...]
    kind: Kind
    also: str = ""


class SaveDialog(QFileDialog, Generic[Kind]):
    """Asks for a name until it can be written to.

    Parameters
    ----------
    title, name : str
        Of the window, and of the file that is proposed.
    choices : sequence of Choice
        The first is chosen.
    check : callable
        Raises `FitInputError` where a format cannot hold what is to be saved.
    """

    def __init__(
        self,
        title: str,
        name: str,
        choices: Sequence[Choice[Kind]],
        check: Callable[[Kind], None],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent, title)
        # only Qt's own asks before it closes, and shows a sentence
        self.setOption(QFileDialog.Option.DontUseNativeDialog)
        self.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        self.setFileMode(QFileDialog.FileMode.AnyFile)
        self._choices, self._check = list(choices), check
        self._filters = {f"{one.title} ({' '.join('*' + end for end in one.suffixes)})": one for one in choices}
        self.setNameFilters(list(self._filters))
        self.selectFile(proposed(name))
        self.path, self.kind = Path(), self._choices[0].kind
        endings = ", ".join(dict.fromkeys(one.suffixes[0] for one in choices))
        self.note = QLabel(f"The ending that you type decides the format: {endings}.")
        self.note.setWordWrap(True)
        self.note.setAccessibleName("What is to be said of the name")
        layout = self.layout()
        if isinstance(layout, QGridLayout):
            layout.addWidget(self.note, layout.rowCount(), 0, 1, layout.columnCount())

    def accept(self) -> None:
        """Close with a name that can be written to, otherwise say why not."""
        typed = Path(self.selectedFiles()[0])
        if not typed.name:  # the root
            super().accept()
            return
        try:
            path, one = named(typed, self._choices, self._filters.get(self.selectedNameFilter(), self._choices[0]))
            if typed.is_dir() and path != typed:
                super().accept()  # a folder is entered
                return
            self._check(one.kind)
            check_writable(path)
        except FitInputError as error:
            self.note.setText(f"⚠ {in_capitals(str(error))}")
            return
        if path.exists() and not self.replaces(path):
            return
        self.path, self.kind = path, one.kind
        QDialog.accept(self)

    def replaces(self, path: Path) -> bool:
        """Ask whether what exists is to be replaced."""
        answer = QMessageBox.question(self, self.windowTitle(), f"{path.name} exists. Replace it?")
        return answer == QMessageBox.StandardButton.Yes

    def ask(self) -> tuple[Path, Kind] | None:
        """Show the dialog; returns the file and its format, None if it is dismissed."""
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        found = (self.path, self.kind) if self.exec() and self.path.name else None
        self.deleteLater()
        return found


def named(path: Path, choices: Sequence[Choice[Kind]], chosen: Choice[Kind]) -> tuple[Path, Choice[Kind]]:
    """Return a name with its ending, and the format that this says; the chosen one if none is typed.

    Raises
    ------
    FitInputError
        If the ending is of no format.

    Examples
    --------
    >>> csv, tif = Choice("CSV", (".csv",), "csv"), Choice("TIFF", (".tif", ".ome.tif"), "tif")
    >>> [(str(path), one.kind) for path, one in (named(Path(p), [csv, tif], csv) for p in ("a.ome.tif", "shot 2.5"))]
    [('a.ome.tif', 'tif'), ('shot 2.5.csv', 'csv')]
    """
    name = path.name.lower()
    known = [(end, one) for one in choices for end in one.suffixes if name.endswith(end) and len(name) > len(end)]
    if known:
        return path, max(known, key=lambda found: len(found[0]))[1]
    for one in (chosen, *choices):
        if one.also and name.endswith(one.also):
            return path, one
    if ENDING_PATTERN.search(name):
        ends = ", ".join(dict.fromkeys(end for one in choices for end in one.suffixes))
        raise FitInputError(f"{path.suffix!r} is none of the endings; type one of {ends}, or none")
    return path.with_name(path.name + chosen.suffixes[0]), chosen


def check_writable(path: Path) -> None:
    """Refuse a path that nothing can be written to.

    Raises
    ------
    FitInputError
        One sentence with the reason and the remedy.
    """
    # the longest of the files that are written beside each other
    longest = max(path.name, f"{path.stem}.recipe.json", key=len)
    try:
        if not path.parent.is_dir():
            raise FitInputError(f"the folder {str(path.parent)!r} does not exist; choose another")
        if len(os.fsencode(longest)) > _most_bytes(path.parent):
            raise FitInputError(f"the name {longest[:20]}… is too long here; choose a shorter one")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FitInputError("the name is too long; choose a shorter one") from None
        raise FitInputError(
            f"nothing can be written to {str(path.parent)!r} ({error.strerror or error}); choose another folder"
        ) from None


def _most_bytes(folder: Path) -> int:
    """Return how long names in a folder may be; most systems have 255."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, ValueError):  # Windows
        return 255


def proposed(name: str) -> str:
    """Return a name as a file may have it.

    Examples
    --------
    >>> proposed("a/b: c")
    'a_b_ c'
    """
    return UNFIT.sub("_", name)[:LONGEST_FILE_NAME].strip(" .") or "result"
