"""Trees of tuples, named or not, whose leaves are arrays, numbers or None."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Tree = Any


def tree_map(function: Callable[..., Any], *trees: Tree) -> Tree:
    """Apply a function to the arrays of trees of tuples; None stays."""
    first = trees[0]
    if first is None:
        return None
    if isinstance(first, tuple):
        parts = [tree_map(function, *some) for some in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    return function(*trees)
