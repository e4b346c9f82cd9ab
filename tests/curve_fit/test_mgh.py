"""Moré, Garbow and Hillstrom's problems, by `curve_fit` with its default tolerances."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

import napari_imagefit as nif

from ..problems.mgh import PROBLEMS, Problem

pytestmark = pytest.mark.slow


def test_there_are_all() -> None:
    assert len(PROBLEMS) == 41


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_a_known_minimum_is_reached(problem: Problem) -> None:
    start = np.array(problem.start, float)
    with jax.enable_x64(True):
        at_start = np.asarray(problem.residual(start))
    with warnings.catch_warnings():
        # singular at the solution, some of them, or as many residuals as parameters
        warnings.filterwarnings("ignore", "Covariance of the parameters")
        popt, *_, ier = nif.curve_fit(
            lambda _, *p: problem.residual(p), np.arange(float(at_start.size)), np.zeros(at_start.size), start,
            max_nfev=100 * start.size, full_output=True,
        )  # fmt: skip
    assert ier > 0
    with jax.enable_x64(True):
        residual = np.asarray(problem.residual(popt))
    reached = float(residual @ residual)
    # the minima are published to 6 digits, of which the default tolerances give some 4; a minimum of 0 is approached
    # at a rate, that of the singular problems slowly
    close = [
        abs(reached - minimum) <= 1e-4 * minimum if minimum else reached <= 1e-10 * float(at_start @ at_start)
        for minimum in problem.minima
    ]
    assert any(close), f"{reached} is none of {problem.minima}"
