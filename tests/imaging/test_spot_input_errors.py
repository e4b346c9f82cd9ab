"""Misuse of points and windows is one sentence that names the value and the remedy, before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_imagefit import fit_spots
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.programs import compiled_programs

from .drawn_spots import NOISY, POINTS, SHAPE


def call(points: Any = POINTS, model: Any = "gaussian_2d", image: Any = NOISY, **wishes: Any) -> Callable[[], object]:
    return lambda: fit_spots(image, points, model, **wishes)


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "no points": (call([]), "empty"),
    "no rows": (call(np.zeros((0, 2))), r"empty \(shape \(0, 2\)\)"),
    "columns": (call(np.zeros((3, 3))), r"\(3, 3\); give one row per point with 2 columns"),
    "one point": (call([3.0, 4.0]), r"shape \(2,\)"),
    "text": (call([["a", "b"]]), "the list of points has type"),
    "ragged": (call([[1, 2], [3]]), "different lengths"),
    "NaN": (call([[1, 2], [3, np.nan]]), r"row 1 of the points is \(3, nan\)"),
    "infinite": (call([[np.inf, 2]]), "row 0"),
    "outside": (call([[1, 2], [-0.6, 4]]), r"row 1 of the points, \(-0.6, 4\), lies outside"),
    "behind": (call([[1, 95.5]]), "along axis 1 its pixels go from 0 to 95, not 95.5"),
    "frame": (call([[0, 1, 2], [4, 1, 2]], image=NOISY[None]), "frame 4 along axis 0.*from 0 to 0"),
    "even": (call(window=10), "window=10 .* such as 11"),
    "none": (call(window=0), "window=0"),
    "fraction": (call(window=9.0), "window=9.0"),
    "one even": (call(window=(9, 8)), r"window=\(9, 8\) .* such as 9"),
    "axes": (call(window=(9, 9, 9)), "3 sizes, but the model 2 axes"),
    "curve": (call(model="exponential_decay"), "use fit_voxels"),
    "flat": (call(model="gaussian_3d"), "2 axes, but model 'gaussian_3d' needs 3"),
    "model": (call(model="gausian_2d"), "did you mean 'gaussian_2d'"),
    "mask shape": (call(mask=np.ones((3, 3), bool)), r"\(3, 3\)"),
    "mask type": (call(mask=np.ones(SHAPE, int)), "int64; give a boolean one"),
    "mask empty": (call(mask=np.zeros(SHAPE, bool)), "selects no pixel"),
    "start shape": (call(init={"x": np.ones(4)}), r"\(4,\)"),
    "start outside": (call(init={"x": 90}, bounds={"x": (0, 50)}), r"90 of 'x' is outside its bounds \[0, 50\]"),
    "sigma": (call(sigma=0), "value 0"),
    "unknown": (call(fixed={"z": 1}), "no parameter 'z'"),
    "complex": (call(image=NOISY * 1j), "complex128"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    fit, pattern = CASES[name]
    before = compiled_programs()
    with pytest.raises(FitInputError, match=pattern) as raised:
        fit()
    message = str(raised.value)
    assert "\n" not in message
    assert not message.endswith(".")
    assert re.search(r"[;:]|use |did you mean", message), message
    assert compiled_programs() == before
