"""Asking where a result is to be saved, and as what."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from ..layers.request import Outcome


def export(parent: QWidget, outcome: Outcome) -> str:
    raise NotImplementedError
