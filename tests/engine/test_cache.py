"""Programs on disk: used again by a new process, never trusted blindly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.engine.core import cache, programs

T = np.linspace(0, 5, 24)
DATA = 3 * np.exp(-T[:, None] / np.array([0.7, 1.1, 2.0])) + 0.2 + np.random.default_rng(0).normal(0, 0.01, (24, 3))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "programs"))
    forget()
    return tmp_path / "programs"


def forget() -> None:
    """As in a new process."""
    with programs._lock:
        programs._programs.clear()


def files(place: Path) -> list[Path]:
    # what has been handed to the writer is written
    cache._writer().submit(lambda: None).result()
    return sorted(place.iterdir()) if place.exists() else []


def fit(model: Any = "exponential_decay") -> nif.FitResult:
    return nif.fit_voxels(DATA, model, x=T)


def no_compiler(*_: Any) -> Any:
    raise AssertionError("compiled again")


def test_a_new_process_need_not_compile(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fit()
    assert len(files(place)) == 3
    assert place.stat().st_mode & 0o077 == 0
    forget()
    monkeypatch.setattr(programs, "_compile", no_compiler)
    after = fit()
    for name in before.params:
        np.testing.assert_array_equal(after.params[name], before.params[name])
        np.testing.assert_array_equal(after.stderr[name], before.stderr[name])


def test_what_cannot_be_read_is_compiled_again(place: Path) -> None:
    before = fit()
    for file in files(place):
        file.write_bytes(file.read_bytes()[:100])
    forget()
    after = fit()
    np.testing.assert_array_equal(after.params["tau"], before.params["tau"])
    assert all(file.stat().st_size > 100 for file in files(place))


def test_models_of_others_are_not_kept(place: Path) -> None:
    own = nif.Model(
        "exponential_decay",
        lambda coords, a, tau: a * jnp.exp(-coords[0] / tau),
        [nif.Parameter("a"), nif.Parameter("tau", lower=0)],
        1,
        lambda _coords, data, _weights: jnp.ones((2, data.shape[1])),
    )
    fit(own)
    assert not files(place)


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.VARIABLE, "off")
    assert cache.folder() is None
    monkeypatch.delenv(cache.VARIABLE)
    found = cache.folder()
    assert found is not None
    assert "napari_imagefit" in str(found)


def test_the_oldest_are_removed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit()
    sizes = [file.stat().st_size for file in files(place)]
    monkeypatch.setattr(cache, "MOST_BYTES", max(sizes) + min(sizes) // 2)
    forget()
    nif.fit_voxels(DATA[:12], "exponential_decay", x=T[:12])
    assert sum(file.stat().st_size for file in files(place)) <= cache.MOST_BYTES
