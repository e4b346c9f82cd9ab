"""Who may import what, and how large files may be. The rules of packages are in pyproject.toml; here they are tried."""

from __future__ import annotations

import ast
import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import napari_imagefit

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
FILES = sorted((SOURCE / "napari_imagefit").rglob("*.py"))
PYTHON_FOLDERS = ("src", "tests", "benchmarks", "docs", "tools")
MOST_LINES = 400
# modules that import one another, in a circle or several
MOST_IN_CIRCLES = 5
QT = {"PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "superqt"}
NAPARI = {"magicgui", "napari", "vispy"}
# Packages whose docstrings begin with an imperative verb or a noun phrase, and words that begin neither.
PLAIN_PACKAGES = ("engine", "catalogue", "imaging", "layers", "gui", "command_line")
NO_BEGINNINGS = {"as", "from", "have", "how", "it", "let", "of", "that", "those", "what", "whatever", "where", "which"}
NO_BEGINNINGS |= {"who", "whoever", "whose", "why", "at", "between", "by", "for", "if", "in", "never", "not", "only"}
NO_BEGINNINGS |= {"than", "there", "under", "with", "without"}

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


def test_the_dock_opens_without_what_only_fits_need() -> None:
    """Imports hold the window up for seconds: these come in the background, or with the first plot."""
    assert not imported_by("import napari_imagefit.gui.widget") & {"jax", "jaxlib", "pandas", "pyqtgraph"}


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


@pytest.mark.parametrize("name", napari_imagefit.__all__)
def test_public_names_lead_on(name: str) -> None:
    thing = getattr(napari_imagefit, name)
    text = inspect.getdoc(thing if inspect.isclass(thing) or inspect.isfunction(thing) else type(thing)) or ""
    assert "\nSee Also\n--------\n" in text
    assert "\nNotes\n-----\n" in text


def test_no_file_is_long() -> None:
    files = [*ROOT.glob("*.py"), *(file for folder in PYTHON_FOLDERS for file in (ROOT / folder).rglob("*.py"))]
    assert set(FILES) < set(files)
    lines = {str(file.relative_to(ROOT)): file.read_text("utf-8").count("\n") for file in files}
    assert {file for file, count in lines.items() if count > MOST_LINES} == set()


def beginnings_of(file: Path) -> Iterator[tuple[str, str]]:
    """Name and first word of every docstring."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            words = (ast.get_docstring(node) or "").split()
            if words:
                yield getattr(node, "name", "module"), words[0].strip("`*.,:;").lower()


@pytest.mark.parametrize("package", PLAIN_PACKAGES)
def test_docstrings_begin_with_a_verb_or_a_noun(package: str) -> None:
    files = sorted((SOURCE / "napari_imagefit" / package).rglob("*.py"))
    assert files
    found = {
        f"{file.relative_to(SOURCE)}: {name} begins with {word!r}"
        for file in files
        for name, word in beginnings_of(file)
        if word in NO_BEGINNINGS
    }
    assert found == set()


def module_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def runs(node: ast.AST) -> Iterator[ast.AST]:
    """All that can be executed: what functions do too, but nothing that is for type checkers only."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and child in node.body:
            continue
        yield from runs(child)


def imports_of(file: Path, modules: set[str]) -> set[str]:
    name, found = module_of(file), set()
    package = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    for node in runs(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {inner if (inner := f"{base}.{alias.name}") in modules else base for alias in node.names}
    return found & modules - {name}


def reached_from(module: str, imports: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def test_few_modules_import_one_another() -> None:
    """Deferred imports count: they keep a circle from failing, not from being one."""
    modules = {module_of(file) for file in FILES}
    imports = {module_of(file): imports_of(file, modules) for file in FILES}
    assert "napari_imagefit.engine.models.model_sum" in imports["napari_imagefit.engine.models.model"]
    reached = {module: reached_from(module, imports) for module in modules}
    circles = {frozenset(other for other in reached[m] if m in reached[other]) for m in modules if m in reached[m]}
    assert {circle for circle in circles if len(circle) > MOST_IN_CIRCLES} == set()
