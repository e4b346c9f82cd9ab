"""Every model is what its formula says, and none is without a test."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from napari_imagefit import models

NAMES = list(models)


def test_every_model_has_a_counterpart_in_numpy(cases: Any) -> None:
    assert set(cases) == set(models), "write the new model in NumPy in tests/catalogue/conftest.py"


@pytest.mark.parametrize("name", NAMES)
def test_values(cases: Any, name: str) -> None:
    case = cases[name]
    for truth in case.truths(5, seed=1):
        with jax.enable_x64(True):
            values = np.asarray(models[name].function(case.coords, *truth))
        # exp of the same argument, differently rounded
        np.testing.assert_allclose(values, case.function(truth, *case.coords), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_derivatives(cases: Any, name: str) -> None:
    case = cases[name]
    truth = case.truths(1, seed=2)[0]
    with jax.enable_x64(True):
        exact = np.asarray(jax.jacfwd(lambda p: models[name].function(case.coords, *p))(truth))
    assert np.isfinite(exact).all()
    for i, value in enumerate(truth):
        h = 1e-6 * max(1.0, abs(value))
        up, down = truth.copy(), truth.copy()
        up[i] += h
        down[i] -= h
        central = (case.function(up, *case.coords) - case.function(down, *case.coords)) / (2 * h)
        # h² of a third derivative; at the edge of a Thomas–Fermi profile it is only √h
        np.testing.assert_allclose(exact[..., i], central, atol=2e-2 if "fermi" in name or "bimodal" in name else 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_description(name: str) -> None:
    model = models[name]
    assert model.formula
    assert model.reference
    for parameter in model.parameters:
        assert parameter.description, parameter.name
        assert parameter.name in model.formula or parameter.name in {"y", "x", "theta"}
