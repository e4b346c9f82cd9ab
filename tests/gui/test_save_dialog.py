"""The dialog that asks for a file: the ending that is typed decides, and a name that is refused keeps it open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QLineEdit

from napari_imagefit import FitInputError
from napari_imagefit.gui.widgets.save_dialog import Choice, SaveDialog, check_writable, named, proposed

CHOICES = [
    Choice("Own table", (".spots.csv",), "own", ".csv"),
    Choice("Picasso", ("_locs.csv",), "picasso", ".csv"),
    Choice("Pictures", (".ome.tif", ".tif"), "tiff"),
]


@pytest.mark.parametrize(
    ("typed", "chosen", "name", "kind"),
    [
        ("a", 0, "a.spots.csv", "own"),
        ("a", 2, "a.ome.tif", "tiff"),
        ("a_locs.csv", 0, "a_locs.csv", "picasso"),
        ("A_LOCS.CSV", 2, "A_LOCS.CSV", "picasso"),
        ("a.csv", 1, "a.csv", "picasso"),
        ("a.csv", 2, "a.csv", "own"),
        ("a.tif", 0, "a.tif", "tiff"),
        ("shot 2.5", 0, "shot 2.5.spots.csv", "own"),
    ],
)
def test_the_ending_decides(typed: str, chosen: int, name: str, kind: str) -> None:
    path, one = named(Path(typed), CHOICES, CHOICES[chosen])
    assert (path.name, one.kind) == (name, kind)


def test_an_ending_of_no_format_is_refused() -> None:
    with pytest.raises(FitInputError, match=r"'\.foo' is none of the endings; type one of \.spots\.csv, _locs\.csv"):
        named(Path("a.foo"), CHOICES, CHOICES[0])


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FitInputError, match="does not exist; choose another"):
        check_writable(tmp_path / "none" / "a.csv")
    # the file would fit, the recipe beside it does not
    for length in (250, 300, 5000):
        with pytest.raises(FitInputError, match="too long"):
            check_writable(tmp_path / f"{'a' * length}.csv")
    if Path("/proc/self").is_dir():
        with pytest.raises(FitInputError, match="nothing can be written to '/proc/self'"):
            check_writable(Path("/proc/self/a.csv"))


def test_a_refusal_is_told_in_the_dialog_which_stays(qtbot: Any, tmp_path: Path) -> None:
    def check(kind: str) -> None:
        if kind == "tiff":
            raise FitInputError("the layer is rotated; choose a table")

    dialog: SaveDialog[str] = SaveDialog("Export", "x" * 500, CHOICES, check)
    qtbot.addWidget(dialog)
    dialog.show()
    typed = dialog.findChild(QLineEdit)
    assert typed is not None
    assert len(typed.text()) <= 80
    assert ".spots.csv, _locs.csv, .ome.tif" in dialog.note.text()
    for name, sentence in (
        ("a.foo", "⚠ '.foo' is none of the endings"),
        ("a.tif", "⚠ The layer is rotated; choose a table."),
        ("nowhere/a.csv", "⚠ The folder"),
        ("a" * 250, "⚠ The name aaaaaaaaaaaaaaaaaaaa… is too long here"),
    ):
        typed.setText(str(tmp_path / name))
        dialog.accept()
        assert dialog.isVisible()
        assert dialog.note.text().startswith(sentence)
    for folder in (str(tmp_path), tmp_path.anchor):
        typed.setText(folder)
        dialog.accept()
        assert dialog.isVisible()
        assert dialog.directory().absolutePath() == Path(folder).as_posix()
    typed.setText(str(tmp_path / "a_locs.csv"))
    dialog.accept()
    assert not dialog.isVisible()
    assert (dialog.path, dialog.kind) == (tmp_path / "a_locs.csv", "picasso")


def test_what_exists_is_replaced_only_if_that_is_wanted(
    qtbot: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.spots.csv").write_text("")
    dialog: SaveDialog[str] = SaveDialog("Export", "a", CHOICES, lambda _: None)
    qtbot.addWidget(dialog)
    asked: list[str] = []
    monkeypatch.setattr(dialog, "replaces", lambda path: asked.append(path.name) or len(asked) > 1)
    typed = dialog.findChild(QLineEdit)
    assert typed is not None
    typed.setText(str(tmp_path / "a"))
    dialog.accept()
    assert not dialog.path.name
    dialog.accept()
    assert dialog.path == tmp_path / "a.spots.csv"
    assert asked == ["a.spots.csv"] * 2


def test_names_that_are_proposed() -> None:
    assert proposed("") == "result"
    assert proposed("../..") == "_"
    assert len(proposed("ä" * 120)) == 80
