"""Pages that are written from registries are up to date: docs/flags.md, docs/formats.md, statuses in docs/method.md."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from napari_imagefit import Flag, Status

DOCS = Path(__file__).parents[1] / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="without the documentation's sources")


def made_by(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return made_by("make_flags")


@pytest.mark.parametrize("name", ["make_flags", "make_formats", "make_statuses"])
def test_page_is_up_to_date(name: str) -> None:
    script = made_by(name)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), f"run python docs/{name}.py"


def test_nothing_is_missing(script: ModuleType) -> None:
    """Each has a line in its table with its number, and each flag a section with its explanation."""
    lines = script.page().splitlines()
    for member in (*Status, *Flag):
        code = str(member.value).replace("-", "−")
        assert f"| {code} | `{member.name}` | {member.message} |" in lines
    for flag in Flag:
        assert flag.explanation
        place = lines.index(f"### `{flag.name}`")
        assert flag.explanation in lines[place + 2]
        assert flag.message[1:] in lines[place + 2]


def test_every_message_is_a_sentence_of_its_own() -> None:
    messages = [member.message for member in (*Status, *Flag)]
    assert len(set(messages)) == len(messages)
    assert all(message and not message.endswith(".") for message in messages)
