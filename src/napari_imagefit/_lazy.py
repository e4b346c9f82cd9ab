"""Modules that load when they are first used.

``lazy_loader.load`` cannot defer ``jax.numpy``: it imports the parent package to find a submodule.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class LazyModule(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):
            # inspect and doctest ask every module for dunders; that must not load anything
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self.__name__), attribute)
