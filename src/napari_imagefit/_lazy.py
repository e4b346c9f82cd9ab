"""Modules that load when they are first used.

``lazy_loader.load`` cannot defer ``jax.numpy``: it imports the parent package to find a submodule.
"""

from __future__ import annotations

import importlib
import threading
from types import ModuleType

_importing = threading.RLock()
_imported: dict[str, ModuleType] = {}


def imported(name: str) -> ModuleType:
    """Import a module, one thread at a time.

    Where modules import each other, as those of JAX do, two threads that begin at different ones would meet halves of
    them: Python lets one go on rather than have both wait for ever.
    """
    if name not in _imported:
        with _importing:
            _imported[name] = importlib.import_module(name)
    return _imported[name]


class LazyModule(ModuleType):
    """Stands for a module until one of its attributes is asked for."""

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):
            # inspect and doctest ask every module for dunders; that must not load anything
            raise AttributeError(attribute)
        return getattr(imported(self.__name__), attribute)
