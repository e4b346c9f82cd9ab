"""What a user installs holds the manifest, although it is a symbolic link in the repository."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]


# build makes an sdist and from it the wheel, unless it is asked for the wheel alone
@pytest.mark.slow
@pytest.mark.parametrize("options", [["--wheel"], []], ids=["from the repository", "from the sdist"])
def test_wheel_holds_the_manifest(options: list[str], tmp_path: Path) -> None:
    # without isolation, because hatchling is in the test extra: no network is needed
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    installed = tmp_path / "installed"
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(installed)

    assert PluginManifest.from_file(installed / "napari_imagefit" / "napari.yaml").name == "napari-imagefit"
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "napari-imagefit = napari_imagefit:napari.yaml" in entry_points.read_text(encoding="utf-8")
    assert (installed / "napari_imagefit" / "py.typed").is_file()


def test_few_packages_are_required() -> None:
    """NLSQ pulls in 47; each of ours has its sentence in docs/dependencies.md."""
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[<>=!~\[; ]", text)[0] for text in required]
    explained = (ROOT / "docs" / "dependencies.md").read_text()
    assert len(names) <= 16
    assert [name for name in names if f"| {name} |" not in explained] == []
