"""Formulas of a single fit as code: whole fits are the same, bit by bit, before and after it was written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.catalogue import models
from napari_imagefit.engine.linalg import straight_line
from napari_imagefit.engine.linalg.algebra import Algebra
from napari_imagefit.engine.linalg.straight_line import CodeAlgebra

ROTATED = models["gaussian_2d_rotated"]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "at a bound": {"bounds": {"sigma_x": (0.5, 4.0)}},
    "beyond a bound at first": {"init": {"sigma_x": 9.0, "sigma_y": 1.0}, "bounds": {"sigma_x": (0.5, 9.5)}},
    "fixed": {"fixed": {"theta": 0.5, "offset": 5.0}},
    "held by equal bounds": {"bounds": {"offset": (5.0, 5.0)}},
    "counts": {"noise": "poisson"},
    "robust": {"loss": "cauchy", "f_scale": 2.0},
    "float32": {"dtype": "float32"},
}


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """Nothing has been written yet, and is from the second fit of a kind on."""
    codes: dict[Any, Any] = {}
    monkeypatch.setattr(straight_line, "WRITE_AFTER", 1)
    monkeypatch.setattr(straight_line, "_ended", {})
    monkeypatch.setattr(straight_line, "_codes", codes)
    return codes


def cloud() -> np.ndarray:
    y, x = np.mgrid[:24.0, :30.0]
    u, v = 0.9 * (x - 14) + 0.5 * (y - 11), 0.9 * (y - 11) - 0.5 * (x - 14)
    counts: np.ndarray = np.random.default_rng(1).poisson(60 * np.exp(-0.5 * (u**2 / 25 + v**2 / 9)) + 5)
    return counts.astype(float)


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_second_fit_of_a_kind_is_the_first_to_the_bit(setting: str, codes: dict[Any, Any]) -> None:
    first = nif.fit_image(cloud(), ROTATED, **SETTINGS[setting])
    assert not codes
    second = nif.fit_image(cloud(), ROTATED, **SETTINGS[setting])
    assert {f.__name__ for of_kind in codes.values() for f in of_kind} >= {"begin", "judge", "propose", "invert"}
    for name in first.params:
        np.testing.assert_array_equal(first.params[name], second.params[name])
    for name in ("covariance", "cost", "status", "flags", "n_iterations", "chi2"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_functions_of_the_user_are_not_kept(codes: dict[Any, Any]) -> None:
    x = np.linspace(0, 4, 40)
    y = 3 * np.exp(-x) + np.random.default_rng(1).normal(0, 0.02, 40)

    def loss(z: Any) -> Any:
        return np.stack([z, np.ones_like(z), np.zeros_like(z)])

    for _ in range(3):
        nif.curve_fit(lambda x, a, b: a * np.exp(-b * x), x, y, p0=[1.0, 2.0], loss=loss)
    assert not codes
    assert not straight_line._ended


def test_a_fit_or_two_do_not_wait_for_code(codes: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(straight_line, "WRITE_AFTER", 3)
    written = []
    for _ in range(5):
        nif.fit_image(cloud(), ROTATED)
        written.append(bool(codes))
    assert written == [False, False, False, True, True]


def test_what_nobody_reads_is_left_out() -> None:
    def formula(algebra: Algebra, a: Any, b: Any) -> Any:
        needless = algebra.sqrt(a)
        del needless
        return a * b + 1.0

    algebra = CodeAlgebra()
    assert algebra.run(formula, 2.0, 3.0) == 7.0
    code = straight_line.written(formula, "float64", straight_line.structure_of((2.0, 3.0)))
    assert "sqrt" not in code.__code__.co_names


def test_a_formula_must_not_ask_for_a_number() -> None:
    def formula(_algebra: Algebra, a: Any) -> Any:
        return a if a > 0 else -a

    with pytest.raises(TypeError, match="must not depend on a number"):
        CodeAlgebra().run(formula, 2.0)
