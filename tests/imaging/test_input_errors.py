"""Misuse is one sentence that names the value and the remedy, before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from napari_imagefit import FitInputError, fit_image, fit_spots, fit_voxels
from napari_imagefit.engine.core.programs import compiled_programs

T = np.linspace(0, 5, 32)
STACK = np.exp(-T)[:, None] * np.ones(3)
IMAGE = np.ones((16, 18))


def voxels(**kwargs: Any) -> Callable[[], object]:
    return lambda: fit_voxels(STACK, "exponential_decay", **{"x": T} | kwargs)


def image(**kwargs: Any) -> Callable[[], object]:
    return lambda: fit_image(IMAGE, "gaussian_2d", **kwargs)


def spots(**kwargs: Any) -> Callable[[], object]:
    return lambda: fit_spots(IMAGE, [[8, 9]], "gaussian_2d", **kwargs)


class Tensor:
    """What PyTorch does where a gradient is wanted."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


CASES: dict[str, tuple[Callable[[], object], str]] = {
    "unknown model": (lambda: fit_voxels(STACK, "exponental_decay"), "did you mean 'exponential_decay'"),
    "no model": (lambda: fit_voxels(STACK, 3), "choose one of"),  # type: ignore[arg-type]
    "curve for an image": (lambda: fit_image(IMAGE, "exponential_decay"), "use fit_voxels"),
    "surface for voxels": (lambda: fit_voxels(STACK, "gaussian_2d"), "use fit_image"),
    "too few axes": (lambda: fit_image(T, "gaussian_2d"), "1 axes"),
    "empty": (lambda: fit_image(IMAGE[:0], "gaussian_2d"), "empty"),
    "complex": (lambda: fit_image(IMAGE * 1j, "gaussian_2d"), "complex128"),
    "text": (lambda: fit_image("abc", "gaussian_2d"), "real numbers"),
    "objects": (lambda: fit_voxels(STACK.astype(object), "exponential_decay"), "object"),
    "times": (lambda: fit_voxels((STACK * 100).astype("m8[s]"), "exponential_decay"), "timedelta"),
    "axis": (voxels(axis=2), "axis 2"),
    "x shape": (voxels(x=T[:5]), r"\(5,\)"),
    "x NaN": (voxels(x=np.where(T > 3, np.nan, T)), "NaN"),
    "x text": (voxels(x=["a"] * 32), "x"),
    "axis of another kind": (voxels(axis=1.0), "axis must be a whole number, got 1.0"),
    "axis as text": (voxels(axis="0"), "axis must be a whole number, got '0'"),
    "axis in a list": (voxels(axis=[0]), "axis must be a whole number"),
    "no selection": (voxels(select={}), "select must be a Selection, got {}"),
    "a list for a model": (lambda: fit_voxels(STACK, []), "no model"),  # type: ignore[arg-type]
    "a tensor": (lambda: fit_voxels(Tensor(), "exponential_decay"), "requires grad. Give one in the computer's memory"),
    "progress": (voxels(progress=5), "progress must be a function"),
    "progress without arguments": (image(progress=lambda: None), "progress must be .* got one with the arguments"),
    "should_stop": (image(should_stop="x"), "should_stop must be a function"),
    "should_stop with an argument": (voxels(should_stop=lambda _: True), r"called as should_stop\(\)"),
    "should_stop of many minds": (voxels(should_stop=lambda: np.array([True, False])), "must return True or False"),
    "loss without an argument": (voxels(loss=lambda: 1), r"called as loss\(z\)"),
    "loss of one row": (voxels(loss=lambda z: z), "loss must return three rows"),
    "loss in an array": (voxels(loss=np.array(["linear"])), "loss=array"),
    "coordinates in an iterator": (image(coords=iter((T, T))), "coords must be a list"),
    "coordinates": (image(coords=5), "coords must be a list of one array for each axis, got 5"),
    "sigma too small": (voxels(sigma=5e-324), "too large a number"),
    "negative counts of spots": (
        lambda: fit_spots(-IMAGE, [[8, 9]], "gaussian_2d", noise="poisson"),
        "the data hold -1",
    ),
    "negative magnitudes of spots": (
        lambda: fit_spots(-IMAGE, [[8, 9]], "gaussian_2d", noise="rician", sigma=1.0),
        "takes magnitudes from 0 on",
    ),
    "window larger than memory": (spots(window=10**9 + 1), "1000000002000000001 pixels"),
    "window larger than numbers": (spots(window=2**63 + 1), "pixels"),
    "mask shape": (voxels(mask=np.ones(4, bool)), r"\(4,\)"),
    "mask empty": (voxels(mask=np.zeros(3, bool)), "selects no voxel"),
    "mask of floats": (voxels(mask=np.array([np.nan, 1, 0])), "float"),
    "image mask shape": (image(mask=np.ones((3, 3), bool)), r"\(3, 3\)"),
    "image mask empty": (image(mask=np.zeros(IMAGE.shape, bool)), "selects no pixel"),
    "image mask of floats": (image(mask=IMAGE), "float64"),
    "no label": (image(mask=-np.ones(IMAGE.shape, int)), "selects no pixel"),
    "one coordinate": (image(coords=(np.arange(16),)), "one per axis"),
    "coordinates shape": (image(coords=(np.arange(3), np.arange(18))), r"\(3,\)"),
    "coordinates NaN": (image(coords=(np.full(16, np.nan), np.arange(18))), "NaN"),
    "coordinates text": (image(coords=("a", "b")), "coordinates"),
    "sigma zero": (voxels(sigma=0), "value 0"),
    "sigma negative": (voxels(sigma=[-1.5, -1, -1]), "-1.5"),
    "sigma shape": (voxels(sigma=np.ones(5)), r"\(5,\)"),
    "sigma text": (voxels(sigma="a"), "sigma"),
    "sigma of spots complex": (spots(sigma=1j), "sigma has type complex128"),
    "sigma of spots ragged": (spots(sigma=(1, (2, 3))), "sigma has rows of different lengths"),
    "sigma of spots shape": (spots(sigma=range(2)), r"sigma has shape \(2,\), which does not broadcast"),
    "window an array without axes": (spots(window=np.array(9.0)), "window=array"),
    "coordinates an array without axes": (image(coords=np.array(5)), "coords must be a list of one array"),
    "unknown start": (voxels(init={"taau": 1}), "no parameter 'taau'"),
    "unknown bound": (voxels(bounds={"taau": (0, 1)}), "no parameter 'taau'"),
    "unknown fixed": (voxels(fixed={"taau": 1}), "no parameter 'taau'"),
    "start outside": (voxels(init={"tau": -1}), "-1 of 'tau'"),
    "start NaN": (voxels(init={"tau": np.nan}), "'tau'"),
    "start text": (voxels(init={"tau": "x"}), "'x'"),
    "start shape": (voxels(init={"tau": np.ones(4)}), r"\(4,\)"),
    "start ragged": (voxels(init={"tau": [1, [2, 3]]}), "'tau'"),
    "fixed NaN": (voxels(fixed={"tau": np.nan}), "'tau'"),
    "fixed outside": (voxels(fixed={"tau": -3.0}), r"-3 of 'tau' is outside of what the model takes, \[0, inf\]"),
    "fixed and start": (voxels(fixed={"tau": 1}, init={"tau": 1}), "one or the other"),
    "all fixed": (voxels(fixed={"tau": 1, "amplitude": 1, "offset": 0}), "at least one free"),
    "bounds reversed": (voxels(bounds={"tau": (5, 1)}), "5 of 'tau'"),
    "bounds of three": (voxels(bounds={"tau": (0, 1, 2)}), "lower, upper"),
    "bounds of one": (voxels(bounds={"tau": 3}), "lower, upper"),
    "bound NaN": (voxels(bounds={"tau": (np.nan, 1)}), "NaN"),
    "bounds infinite alike": (voxels(bounds={"tau": (np.inf, np.inf)}), "infinite"),
    "ftol": (voxels(ftol=-1), "ftol=-1"),
    "xtol": (voxels(xtol=1.5), "xtol=1.5"),
    "gtol": (voxels(gtol=np.nan), "gtol=nan"),
    "ftol text": (voxels(ftol="small"), "ftol"),
    "ftol None": (voxels(ftol=None), "ftol"),
    "max_iterations": (voxels(max_iterations=0), "max_iterations must be a positive integer, got 0"),
    "max_iterations fraction": (voxels(max_iterations=2.5), "max_iterations must be a positive integer, got 2.5"),
    "dtype": (voxels(dtype="float16"), "float16"),
    "device": (voxels(device="abacus"), "abacus"),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    call, pattern = CASES[name]
    before = compiled_programs()
    with pytest.raises(FitInputError, match=pattern) as raised:
        call()
    message = str(raised.value)
    # one sentence for people: no line break, no full stop, and a remedy after the problem
    assert "\n" not in message
    assert not message.endswith(".")
    assert re.search(r"[;:]|use |did you mean", message), message
    assert compiled_programs() == before


def test_wishes_for_a_later_region_are_checked_before_the_first_is_fitted() -> None:
    labels = np.ones(IMAGE.shape, int)
    labels[:6] = 2
    called: list[int] = []
    with pytest.raises(FitInputError, match="-1 of 'sigma'"):
        fit_image(
            IMAGE, "gaussian_2d", mask=labels, init={"sigma": np.array([-1, -1.0])},
            progress=lambda done, _total: called.append(done),
        )  # fmt: skip
    assert not called


def test_a_window_may_be_an_array_without_axes() -> None:
    y, x = np.mgrid[0:16, 0:18]
    spot = np.exp(-((y - 8.2) ** 2 + (x - 9.1) ** 2) / 4)
    one, other = (fit_spots(spot, [[8, 9]], "gaussian_2d", window=window) for window in (9, np.array(9)))
    assert one.params["sigma"].tobytes() == other.params["sigma"].tobytes()
