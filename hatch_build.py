"""Puts the help pages into the wheel; an editable installation reads them where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Of those who develop the program: not for its window.
NOT_HELP = {"architecture.md", "dependencies.md", "osipy.md"}


class HelpPages(BuildHookInterface):
    """Adds ``docs/*.md`` as ``napari_imagefit/docs``."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the help pages to the files of a wheel; raise where there are none."""
        if version == "editable":
            return
        pages = sorted(page for page in (Path(self.root) / "docs").glob("*.md") if page.name not in NOT_HELP)
        if not pages:
            raise FileNotFoundError(f"there are no help pages in {Path(self.root) / 'docs'}")
        for page in pages:
            build_data["force_include"][str(page)] = f"napari_imagefit/docs/{page.name}"
