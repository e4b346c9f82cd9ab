"""napari finds the plugin, and what its manifest names exists."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from npe2 import PluginManifest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_distribution("napari-imagefit")


def named_commands(manifest: PluginManifest) -> set[str]:
    """The commands that any contribution refers to, whatever its kind."""

    def walk(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {node["command"]} if isinstance(node.get("command"), str) else set()
            return own.union(*map(walk, node.values()))
        return set().union(*map(walk, node)) if isinstance(node, list) else set()

    return walk(manifest.contributions.model_dump(exclude={"commands"}))


def test_found_by_npe2(manifest: PluginManifest) -> None:
    assert manifest.name == "napari-imagefit"
    assert manifest.contributions.widgets


def test_the_package_holds_the_manifest_itself() -> None:
    """A link would be a line of text in a clone without symbolic links, as git makes them on Windows."""
    packaged, top = ROOT / "src" / "napari_imagefit" / "napari.yaml", ROOT / "napari.yaml"
    assert not packaged.is_symlink()
    assert not top.is_symlink() or top.samefile(packaged), f"{top} is another file; edit {packaged}, and link to it"


def test_every_python_name_can_be_imported(manifest: PluginManifest) -> None:
    for command in manifest.contributions.commands or ():
        module, _, attribute = str(command.python_name).partition(":")
        assert callable(getattr(import_module(module), attribute)), command.python_name


def test_commands_and_their_uses_agree(manifest: PluginManifest) -> None:
    assert {command.id for command in manifest.contributions.commands or ()} == named_commands(manifest)
