"""Answers the dialog that asks for a file, as a person does: a line of the list, a typed name, Enter."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtWidgets import QLineEdit

from napari_imagefit.gui.widgets.save_dialog import SaveDialog


def answer_save(
    monkeypatch: pytest.MonkeyPatch, path: Path | None, kind: str = "", told: list[str] | None = None
) -> None:
    """The next dialogs are answered so, or dismissed; what a refusal says is told."""

    def exec_(dialog: SaveDialog[object]) -> int:
        if path is None:
            return 0
        chosen = next(one for one in dialog.nameFilters() if one.startswith(kind))
        dialog.selectNameFilter(chosen)
        typed = dialog.findChild(QLineEdit)
        assert typed is not None
        typed.setText(str(path))
        dialog.accept()
        if told is not None:
            told.append(dialog.note.text())
        return dialog.result()

    monkeypatch.setattr(SaveDialog, "exec", exec_)
    monkeypatch.setattr(SaveDialog, "replaces", lambda *_: True)
