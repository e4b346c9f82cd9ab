"""What recipes say of one thing, before it is made of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ...engine.core.errors import FitInputError


def check_said(cls: type[Any], said: Any, what: str, such_as: str) -> None:
    """Refuse what is no object, or has names that are no fields of a dataclass.

    Parameters
    ----------
    what : str
        The thing in words, such as ``"the detection in the recipe"``.
    such_as : str
        An example, as JSON.

    Raises
    ------
    FitInputError
        One sentence about the first thing that is wrong.
    """
    if not isinstance(said, dict):
        raise FitInputError(f"{what} is {said!r}; give an object, such as {such_as}")
    known = {f.name for f in fields(cls)}
    for name in said:
        if name not in known:
            raise FitInputError(f"{what} has {name!r}; it may have {', '.join(sorted(known))}")
