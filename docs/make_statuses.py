"""Write the table of statuses in docs/method.md from their definitions; the rest of the page is written by hand.

python docs/make_statuses.py
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_imagefit.engine.core.status import Status

PAGE = Path(__file__).parent / "method.md"
TABLE = re.compile(r"(?<=^## Status\n\n)(\|.*\n)+", re.MULTILINE)


def page() -> str:
    """Return the whole file, with the table as it should be."""
    ordered = sorted(Status, key=lambda status: (status <= 0, abs(status)))
    rows = [f"| {status.value} | {status.message} |\n".replace("| -", "| −") for status in ordered]
    table = "".join(["| code | in words |\n|---|---|\n", *rows])
    text, count = TABLE.subn(lambda _: table, PAGE.read_text(encoding="utf-8"))
    assert count == 1, f"{PAGE} has no table below its heading Status"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
