"""What the tests of the engine share: double precision for direct calls, and a way to run a batch of fits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from napari_imagefit.engine.core.fits import Fits
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.drive.run import iter_fit
from napari_imagefit.engine.models.model import Model

Fit = Callable[..., Fits]


@pytest.fixture
def x64() -> Iterator[None]:
    """Double precision for parts of the engine that are called directly."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def quiet() -> Iterator[None]:
    """As what drives a fit calls the formulas: numbers that are not finite are expected, and sorted out afterwards."""
    with np.errstate(all="ignore"):
        yield


@pytest.fixture(scope="session")
def fit() -> Fit:
    """``fit(model, coords, data, **problem_arguments)``: every keyword of `Options` is one too, and `requested`."""

    def run(model: Model, coords: Any, data: np.ndarray, should_stop: Any = None, **kwargs: Any) -> Fits:
        names = ("ftol", "xtol", "gtol", "max_iterations", "dtype", "noise", "loss", "f_scale")
        options = Options(**{name: kwargs.pop(name) for name in names if name in kwargs})
        requested = kwargs.pop("requested", 0)
        problem = Problem.build(model, coords, data, options=options, **kwargs)
        steps = iter_fit(replace(problem, requested=requested), should_stop)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    return run


@pytest.fixture(scope="session")
def nist_folder() -> Path:
    """NIST's nonlinear reference problems, which are kept beside the project."""
    data = os.environ.get("NAPARI_IMAGEFIT_DATA", Path(__file__).parents[3] / "shared" / "data")
    folder = Path(data) / "nist_strd"
    if not folder.is_dir():
        pytest.skip(f"the NIST StRD files are not here ({folder}); set NAPARI_IMAGEFIT_DATA to their parent folder")
    return folder
