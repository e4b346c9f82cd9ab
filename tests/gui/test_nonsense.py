"""Nonsense typed into every field: nothing breaks, nothing grows, nothing hangs, and somebody says what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtTest import QTest

from . import dock_driver as hands
from .save_help import answer_save

NONSENSE = ("nan", "inf", "1e999", "", "x" * 300, "🙂" * 3, "−5", "1,5", " 3 ", "0x10")
# what no field can take: it stays out, or there is a sentence
REFUSED = ("x" * 300, "🙂" * 3)
HELD_UP = 2.0  # s
LONG = "long" * 30
JOBS = {"Region": "gaussian_2d", "Spots": "gaussian_2d", "Voxels": "exponential_decay"}


def data_for(job: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    if job == "Voxels":
        t = np.arange(8.0)[:, None, None]
        return 5 * np.exp(-t / np.linspace(2, 6, 48).reshape(1, 6, 8)) + rng.normal(0, 0.05, (8, 6, 8))
    y, x = np.mgrid[:48, :56]
    blobs = sum(90 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 6) for cy, cx in ((14, 14), (16, 40), (36, 28)))
    return blobs + rng.normal(10, 1, y.shape)


@pytest.fixture
def wrong() -> Iterator[list[str]]:
    """What napari has notified of since it was last cleared: every exception and warning among it."""
    told: list[str] = []

    def remember(note: Any) -> None:
        if note.severity.value in ("error", "warning"):
            told.append(f"{note.severity.value}: {note.message}")

    notification_manager.notification_ready.connect(remember)
    yield told
    notification_manager.notification_ready.disconnect(remember)


def fitted(make_napari_viewer: Callable[..., Any], job: str, name: str = "image") -> tuple[Any, Any]:
    """A window after a fit of that job, with everything in it opened."""
    # not strict: napari itself leaves menus behind
    viewer = make_napari_viewer(strict_qt=False, show=True)
    viewer.window.resize(1280, 720)
    widget = hands.open_dock(viewer)
    viewer.add_image(data_for(job), name=name)
    hands.choose_job(widget, job)
    hands.choose_model(widget, JOBS[job])
    if job == "Spots":
        viewer.add_points([[14, 14], [16, 40], [36, 28]], name="spots")
        hands.settle()
    hands.fit(widget)
    assert "converged" in widget.message.text(), widget.message.text()
    if len(hands.docked(viewer)) < 2:
        hands.open_dock(viewer, "Inspect fits")
    hands.use_everything(viewer)
    return viewer, widget


def own_time() -> float:
    """Seconds, less those in which other programs had the core."""
    return time.monotonic() - hands.waited_for_a_core()


def read(viewer: Any) -> set[str]:
    return set().union(*(hands.sentences(widget) for widget in hands.docked(viewer)))


def is_said(viewer: Any, widget: Any, field: Any, text: str, before: set[str]) -> bool:
    """Whether the text stayed out, or there is a sentence on it, at the latest when Fit is clicked."""
    if hands.text_in(field) != text:
        return True
    if read(viewer) - before:
        return True
    hands.press_fit(widget)
    said = bool(read(viewer) - before)
    hands.press_cancel(widget)
    return said


def type_all(viewer: Any, widget: Any, dock: Any, wrong: list[str]) -> list[str]:
    """Type all nonsense into all fields of a dock; returns what was not as it should be."""
    bad: list[str] = []
    names = [hands.field_name(field) for field in hands.fields(dock)]
    assert names, f"nothing to type into in {type(dock).__name__}"
    for at, name in enumerate(names):
        for text in NONSENSE:
            now = hands.fields(dock)
            if at >= len(now) or hands.field_name(now[at]) != name:
                break
            where = f"{text[:12]!r} in {name} of {type(dock).__name__}"
            before, wide, begun = read(viewer), hands.widths(viewer), own_time()
            wrong.clear()
            hands.type_into(now[at], text)
            QTest.qWait(60)
            hands.settle(2)
            if own_time() - begun > HELD_UP:
                bad.append(f"held up for {own_time() - begun:.1f} s by {where}")
            if hands.widths(viewer) != wide:
                bad.append(f"{wide} became {hands.widths(viewer)} by {where}")
            if text in REFUSED and not is_said(viewer, widget, now[at], text, before):
                bad.append(f"nothing is said of {where}")
            bad += [f"{what} by {where}" for what in wrong]
        now = hands.fields(dock)
        if at < len(now) and hands.field_name(now[at]) == name:
            hands.type_into(now[at], "")
    return bad


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_nonsense_in_every_field(make_napari_viewer: Callable[..., Any], wrong: list[str], job: str) -> None:
    viewer, widget = fitted(make_napari_viewer, job)
    bad: list[str] = []
    for dock in hands.docked(viewer):
        hands.raise_dock(dock)
        if hands.fields(dock):
            bad += type_all(viewer, widget, dock, wrong)
    hands.press_cancel(widget)
    hands.wait(lambda: not widget.session.running, "nothing is under way")
    assert not bad, "\n".join(bad)


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_names_of_120_letters(
    make_napari_viewer: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wrong: list[str],
    job: str,
) -> None:
    viewer, widget = fitted(make_napari_viewer, job, "short")
    hands.raise_dock(widget)
    wide = hands.widths(viewer)
    viewer.layers["short"].name = LONG
    hands.settle()
    assert hands.widths(viewer) == wide
    hands.fit(widget)
    assert hands.widths(viewer) == wide
    assert "converged" in widget.message.text(), widget.message.text()

    folder = tmp_path / LONG
    folder.mkdir()
    wanted = folder / f"{LONG}.csv"
    answer_save(monkeypatch, wanted)
    hands.press_export(widget)
    hands.wait(lambda: wanted.exists() and "Export" in widget.message.text(), "the table is written")
    assert hands.widths(viewer) == wide
    assert not wrong
