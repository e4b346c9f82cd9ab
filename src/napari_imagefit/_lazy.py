"""Modules that load when they are first used.

``lazy_loader.load`` cannot defer ``jax.numpy``: it imports the parent package to find a submodule.
"""

from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType

import numpy as np

from ._ending import Background, is_ending

_background = Background(1, "importing")
_importing = threading.RLock()
_imported: dict[str, ModuleType] = {}


def imported(name: str) -> ModuleType:
    """Import a module, one thread at a time.

    Where modules import each other, as those of JAX do, two threads that begin at different ones would meet halves of
    them: Python lets one go on rather than have both wait. Never in the main thread, where Ctrl-C is raised: JAX
    cannot be imported again after it was broken off, and where it collects garbage the exception is lost.
    """
    if name not in _imported:
        if threading.current_thread() is threading.main_thread() and not is_ending():
            _background.submit(_import, name).result()
        else:
            _import(name)
    return _imported[name]


def _import(name: str) -> None:
    with _importing:
        # JAX draws numbers from NumPy's global generator while it is imported
        drawn = np.random.get_state()  # noqa: NPY002 - it is about the old one
        try:
            with np.errstate(all="ignore"):
                _imported[name] = importlib.import_module(name)
        finally:
            np.random.set_state(drawn)  # noqa: NPY002


def is_imported(module: ModuleType) -> bool:
    """Whether the module of a `LazyModule` is imported already."""
    found = sys.modules.get(module.__name__)
    return found is not None and not getattr(found.__spec__, "_initializing", False)


class LazyModule(ModuleType):
    """A module that is imported when one of its attributes is first used."""

    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):
            # inspect and doctest look up dunders of every module, which must not load anything
            raise AttributeError(attribute)
        found = getattr(imported(self.__name__), attribute)
        # the next time it is found without a call
        setattr(self, attribute, found)
        return found
