"""Who may import what. The rules stand in pyproject.toml; here they are tried."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QT = {"PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "superqt"}
NAPARI = {"magicgui", "napari", "vispy"}

REPORT = """
import json, os, sys
before = dict(os.environ)
{code}
print(json.dumps([sorted({{name.partition(".")[0] for name in sys.modules}}), before == dict(os.environ)]))
"""

IMPORT_ALL = """
import importlib, pkgutil
package = importlib.import_module("{package}")
for module in pkgutil.walk_packages(package.__path__, "{package}."):
    importlib.import_module(module.name)
"""


def imported_by(code: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after ``code``, which may not touch os.environ."""
    script = REPORT.format(code=code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, environment_kept = json.loads(done.stdout.splitlines()[-1])
    assert environment_kept, "os.environ was changed"
    return set(loaded)


@pytest.mark.parametrize("name", ["", ".engine", ".catalogue", ".imaging"])
def test_importing_is_light(name: str) -> None:
    assert not imported_by(f"import napari_imagefit{name}") & ({"jax", "jaxlib"} | NAPARI | QT)


@pytest.mark.parametrize("package", ["engine", "catalogue", "imaging"])
def test_computing_needs_neither_napari_nor_qt(package: str) -> None:
    assert not imported_by(IMPORT_ALL.format(package=f"napari_imagefit.{package}")) & (NAPARI | QT)


def test_layers_need_no_qt() -> None:
    assert not imported_by(IMPORT_ALL.format(package="napari_imagefit.layers")) & QT


def test_imports_go_one_way() -> None:
    command = shutil.which("lint-imports", path=Path(sys.executable).parent)
    if command is None:
        pytest.skip("import-linter is not installed")
    arguments = [command, "--no-logo", "--no-cache"]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
