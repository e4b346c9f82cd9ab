"""Pictures of the window."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.gui.demo import picture


@pytest.mark.usefixtures("qtbot")
def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    def screenshot(path: str, **_: Any) -> None:
        Path(path).write_text("half")
        if full:
            raise OSError(28, "No space left on device")

    viewer: Any = SimpleNamespace(screenshot=screenshot)
    full = False
    picture(viewer, tmp_path / "demo.png")
    (tmp_path / "demo.png").write_text("old")
    full = True
    with pytest.raises(FitInputError, match=r"demo\.png' cannot be written: No space left on device"):
        picture(viewer, tmp_path / "demo.png")
    assert os.listdir(tmp_path) == ["demo.png"]
    assert (tmp_path / "demo.png").read_text() == "old"
