"""docs/models.md says what the catalogue holds."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "make_models.py"


@pytest.mark.skipif(not SCRIPT.exists(), reason="without the documentation's sources")
def test_table_of_models_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python docs/make_models.py"
