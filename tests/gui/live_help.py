"""What the tests of Live share: clouds, and changes after which a fit is waited for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtTest import QTest

from napari_imagefit.gui.widget import ImageFitWidget

from .pointer import LEFT, until

PATIENCE = 60_000  # ms; a loaded machine is no reason to pause


def clouds(frames: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:60, 0:70]
    rng = np.random.default_rng(11)
    centre = 3.0 * np.arange(frames)[:, None, None]
    return 5 + 20 * np.exp(-((y - 25 - centre) ** 2 / 50 + (x - 34) ** 2 / 90)) + rng.normal(0, 0.5, (frames, 60, 70))


def rectangle(top: float, left: float, bottom: float, right: float) -> np.ndarray:
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)])


def follow(widget: ImageFitWidget) -> None:
    QTest.mouseClick(widget.fit_bar.live, LEFT)
    at_rest(widget)


def at_rest(widget: ImageFitWidget) -> None:
    """Wait until everything has come to its end."""
    until(lambda: not widget.live.busy and not widget.session.running, "the hand has stopped")


def refitted(widget: ImageFitWidget, change: Callable[[], object]) -> None:
    """Change something, and wait for the fit that follows from it."""
    before = widget.live.refits
    change()
    until(lambda: widget.live.refits > before, "a fit follows")
    at_rest(widget)


def numbers(widget: ImageFitWidget) -> dict[str, np.ndarray]:
    outcome = widget.follow_ups.outcome
    assert outcome is not None
    assert outcome.result is not None
    result = outcome.result
    found = {
        f"{name} {what}": values for what in ("params", "stderr") for name, values in getattr(result, what).items()
    }
    return found | {"cost": result.cost, "flags": result.flags}


def of_a_click(widget: ImageFitWidget) -> dict[str, np.ndarray]:
    """What Fit gives for the same settings, in the frame on screen."""
    widget.live.set_on(False)
    widget.fit_bar.set_frames("current")
    widget.fit()
    until(lambda: not widget.session.running, "the fit is done")
    return numbers(widget)
