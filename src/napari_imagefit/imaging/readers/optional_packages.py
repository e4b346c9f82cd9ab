"""Packages that single features need and that need not be installed: imported where used, with the remedy if absent."""

from __future__ import annotations

import importlib
from typing import Any

from ...engine.core.errors import FitInputError

# What brings them, as a shell takes it.
PIP = {
    "zarr": '"napari-imagefit[export]"',
    "nibabel": '"napari-imagefit[export]"',
    "distributed": '"napari-imagefit[cluster]"',
    "h5py": "h5py",
    "pyarrow": "pyarrow",
    "tifffile": "tifffile",
}


def need(module: str, what: str, instead: str = "") -> Any:
    """Return a module that one feature needs, and that need not be installed.

    Raises
    ------
    FitInputError
        If it is missing; it names the command that installs it, and what can be done instead.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        remedy = f"pip install {PIP[module]}" + (f", or {instead}" if instead else "")
        raise FitInputError(f"{what} needs {module}, which is not installed; run: {remedy}") from None
