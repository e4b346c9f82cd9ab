"""Write the list of statuses and flags, docs/flags.md, from their definitions.

python docs/make_flags.py
"""

from __future__ import annotations

from pathlib import Path

from napari_imagefit.engine.core.status import Flag, Status

PAGE = Path(__file__).parent / "flags.md"
HEAD = """# How a fit ended, and what to remark on it

Written by `docs/make_flags.py` from `Status` and `Flag`; change them there.

Every fit of a result has one status, in `result.status`, and any number of flags, in `result.flags`.
"""
STATUS = """
## Statuses

Above 0 the fit converged, and has an answer. At 0 it has one, but not the best. Below 0 its parameters and errors are
NaN, except that a fit which was stopped keeps what it had got to. `Status(code).message` is the sentence here.

"""
FLAGS = """
## Flags

A flag is a remark on a fit; 0 means that there is none to make. Several add up: 33 is 32 + 1.
`[flag.message for flag in nif.Flag(33)]` lists them, and `result.flags & nif.Flag.AT_LOWER` finds the fits that have
one.

| bit | flag | |
|---|---|---|
"""


def page() -> str:
    """The whole file."""
    ordered = sorted(Status, key=lambda status: (status <= 0, abs(status)))
    statuses = [row(status.value, status.name, status.message) for status in ordered]
    flags = [row(flag.value, flag.name, flag.message) for flag in Flag]
    table = "| code | status | |\n|---|---|---|\n"
    return "".join([HEAD, STATUS, table, *statuses, FLAGS, *flags, *(section(flag) for flag in Flag)])


def row(value: int, name: str | None, message: str) -> str:
    """One line of a table."""
    return f"| {value} | `{name}` | {cell(message)} |\n".replace("| -", "| −")


def cell(text: str) -> str:
    """A bar would end the cell."""
    return text.replace("|", r"\|")


def section(flag: Flag) -> str:
    """What a flag means, and what to do about it."""
    return f"\n### `{flag.name}`\n\n{flag.message[0].upper()}{flag.message[1:]}. {flag.explanation}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
