"""What a user installs holds what it should, also out of a clone without symbolic links."""

from __future__ import annotations

import ast
import posixpath
import re
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]


# bytes, beyond which a file that is no picture of the documentation does not belong here
LARGEST_FILE = 300_000


def misfits(files: dict[str, bytes]) -> list[str]:
    """Files that are too large, or binary, by name, and are no picture of the documentation."""
    others = {name: content for name, content in files.items() if not re.search(r"docs/images/\w+\.(png|gif)$", name)}
    return sorted(name for name, content in others.items() if len(content) > LARGEST_FILE or b"\0" in content)


def test_nothing_in_the_repository_that_does_not_belong() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no checkout of the repository")
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    assert len(names) > 100
    assert not misfits({name: (ROOT / name).read_bytes() for name in names})
    assert misfits(
        {"docs/images/a.png": b"\0", "docs/images/b.gif": b"\0", "a.whl": b"\0", "b.json": b"1" * 300_001}
    ) == ["a.whl", "b.json"]


def build(source: Path, *options: str) -> None:
    # without isolation, because hatchling is in the test extra: no network is needed
    command = [sys.executable, "-m", "build", "--no-isolation", *options]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_wheel(wheel: Path, installed: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert PluginManifest.from_file(installed / "napari_imagefit" / "napari.yaml").name == "napari-imagefit"
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "napari-imagefit = napari_imagefit:napari.yaml" in entry_points.read_text(encoding="utf-8")
    assert (installed / "napari_imagefit" / "py.typed").is_file()
    assert (installed / "napari_imagefit" / "docs" / "widget.md").is_file(), "the help pages"


def missing_links(files: dict[str, bytes]) -> list[str]:
    """What the pages among these files link to, pictures too, and is not among them."""
    found = []
    for name, content in files.items():
        if name.endswith(".md"):
            targets = re.findall(r"\]\(([^)#\s]+)", content.decode())
            paths = [posixpath.normpath(posixpath.join(posixpath.dirname(name), to)) for to in targets if ":" not in to]
            found += [f"{name}: {path}" for path in paths if path not in files]
    return found


# build makes an sdist and from it the wheel, unless it is asked for the wheel alone
@pytest.mark.slow
def test_sdist_and_wheel(tmp_path: Path) -> None:
    build(ROOT, "--outdir", str(tmp_path))
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}  # type: ignore[union-attr]
    assert len(files) > 100
    assert not misfits(files)
    assert not missing_links(files)
    assert missing_links({"a/b.md": b"[c](../c.md#d) ![e](e.png)", "c.md": b""}) == ["a/b.md: a/e.png"]
    (wheel,) = tmp_path.glob("*.whl")
    check_wheel(wheel, tmp_path / "installed")


@pytest.mark.slow
def test_wheel_of_a_clone_without_symbolic_links(tmp_path: Path) -> None:
    """Git's usual state on Windows."""
    clone = tmp_path / "clone"
    command = ["git", "-c", "core.symlinks=false", "clone", "--quiet", str(ROOT), str(clone)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this is no checkout of the repository")
    assert not [path for path in clone.rglob("*") if path.is_symlink()]
    build(clone, "--wheel", "--outdir", str(tmp_path))
    (wheel,) = tmp_path.glob("*.whl")
    check_wheel(wheel, tmp_path / "installed")


def names_in(requirements: list[str]) -> set[str]:
    """Of distributions, as they are compared."""
    return {re.split(r"[<>=!~\[; ]", text)[0].lower().replace("_", "-") for text in requirements}


def test_few_packages_are_required() -> None:
    """NLSQ pulls in 47; each of ours has its sentence in docs/dependencies.md."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = names_in(project["dependencies"])
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    assert len(required) <= 12
    optional = names_in(project["optional-dependencies"]["export"] + project["optional-dependencies"]["cluster"])
    assert [name for name in required | optional if f"| {name} |" not in explained] == []


# What a module is called where it is not as its distribution.
DISTRIBUTIONS = {"skimage": "scikit-image", "lazy_loader": "lazy-loader"}
# What comes only with something that is there when it is imported: a Dask array, typer.
ALONG = {"dask", "cloudpickle", "rich"}


def imports_of(file: Path) -> set[str]:
    """The distributions that the imports in a file ask for, those within functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).partition(".")[0])
    return {DISTRIBUTIONS.get(name, name) for name in found - set(sys.stdlib_module_names) - ALONG}


def test_each_import_has_its_sentence() -> None:
    """A package that the code imports is a row of docs/dependencies.md, or stands in the row of what brings it."""
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    rows = [line for line in explained.splitlines() if line.startswith("| ")]
    package = ROOT / "src" / "napari_imagefit"
    imported = set().union(*(imports_of(file) for file in package.rglob("*.py"))) - {"napari_imagefit"} | ALONG
    assert imported - {name for name in imported for row in rows if name in row} == set()


def test_what_is_imported_is_required() -> None:
    """By us; for what the window imports it is enough that napari requires it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = names_in(project["dependencies"])
    of_napari = names_in([text for text in metadata.requires("napari") or [] if "extra ==" not in text])
    package = ROOT / "src" / "napari_imagefit"
    missing = {}
    for file in package.rglob("*.py"):
        there = ours | of_napari if file.is_relative_to(package / "gui") else ours
        missing |= {str(file.relative_to(package)): rest for rest in [imports_of(file) - there] if rest}
    assert missing == {}
