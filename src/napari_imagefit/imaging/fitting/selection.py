"""Selection of the samples of a stack of curves that count, and of the curves that are fitted at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...engine.core.errors import FitInputError
from ...engine.core.validation import float_array, real_array
from .argument_checks import check_said


@dataclass(frozen=True)
class Selection:
    """The samples that count, the same for every voxel and for the mean of many. Raises `FitInputError`.

    Parameters
    ----------
    skip_first, skip_last : int
        Samples that do not count at the beginning and the end of each curve, such as a first echo.
    exclude : sequence of (float, float)
        Ranges of the coordinate, both ends included, whose samples do not count.
    noise_floor : float, optional
        Samples below it, in the unit of the data, do not count.
    saturation : float, optional
        Samples at or above it do not count.
    min_signal : float, optional
        Curves whose largest sample that counts is below it are not fitted: they get `Status.NOT_FITTED`.

    See Also
    --------
    napari_imagefit.fit_voxels : takes one as `select`.

    Notes
    -----
    Samples that do not count are left out of the fit, and counted in `FitResult.n_left_out`.

    Examples
    --------
    >>> first_echo = Selection(skip_first=1, saturation=4095)
    >>> first_echo.usable(np.array([[9, 9], [8, 4095], [7, 7]]), [10, 20, 30])
    array([[False, False],
           [ True, False],
           [ True,  True]])
    """

    skip_first: int = 0
    skip_last: int = 0
    exclude: tuple[tuple[float, float], ...] = ()
    noise_floor: float | None = None
    saturation: float | None = None
    min_signal: float | None = None

    def __post_init__(self) -> None:
        for name in ("skip_first", "skip_last"):
            value = getattr(self, name)
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise FitInputError(f"{name} is {value!r}; give a number of samples from 0 on")
        for name in ("noise_floor", "saturation", "min_signal"):
            value = getattr(self, name)
            if value is not None and not _is_finite(value):
                raise FitInputError(f"{name} is {value!r}; give a number in the data's unit, or None")
        if not isinstance(self.exclude, Sequence) or isinstance(self.exclude, str):
            raise FitInputError(f"exclude is {self.exclude!r}; give a list of ranges (low, high) of the coordinate")
        ranges = []
        for pair in self.exclude:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(map(_is_number, pair)):
                raise FitInputError(f"exclude holds {pair!r}; give ranges (low, high) of the coordinate")
            low, high = (float(end) for end in pair)
            if not low <= high:
                raise FitInputError(f"the excluded range from {low:g} to {high:g} runs backwards; exchange its ends")
            ranges.append((low, high))
        object.__setattr__(self, "exclude", tuple(ranges))
        low_end, high_end = self.noise_floor, self.saturation
        if low_end is not None and high_end is not None and not low_end < high_end:
            raise FitInputError(
                f"noise_floor={low_end:g} is not below saturation={high_end:g}, so that no sample would count; "
                "move one of them"
            )

    def by_place(self) -> Self:
        """Return the selection by position, without that by value: for the mean of many curves, for example."""
        return replace(self, noise_floor=None, saturation=None, min_signal=None)

    def by_value(self) -> Self:
        """Return the selection by value, without that by position."""
        return replace(self, skip_first=0, skip_last=0, exclude=())

    def samples(self, x: ArrayLike) -> NDArray[np.bool_]:
        """Return which samples count by their position, whatever their values, ``(n,)``.

        Raises
        ------
        FitInputError
            If none does.
        """
        x = float_array(x, "x")
        kept = np.ones(x.size, bool)
        kept[: self.skip_first] = False
        kept[max(0, x.size - self.skip_last) :] = False
        for low, high in self.exclude:
            kept &= ~((x >= low) & (x <= high))
        if x.size and not kept.any():
            raise FitInputError(
                f"of {x.size} samples none is left: skipped are the first {self.skip_first} and the last "
                f"{self.skip_last}, excluded {_ranges(self.exclude)}; leave some"
            )
        return kept

    def usable(self, data: ArrayLike, x: ArrayLike | None = None, axis: int = 0) -> NDArray[np.bool_]:
        """Return which samples count, of the data's shape.

        Parameters
        ----------
        data : array
            A NumPy array of curves along `axis`. NaN and infinite samples do not count.
        x : array, ``(n,)``, optional
            The coordinate along the axis; indices if not given.
        """
        values = real_array(data, "the data")
        places = self.samples(np.arange(values.shape[axis]) if x is None else x)
        along = [1] * values.ndim
        along[axis] = places.size
        counts: NDArray[np.bool_] = places.reshape(along) & np.isfinite(values)
        if self.noise_floor is not None:
            counts &= values >= self.noise_floor
        if self.saturation is not None:
            counts &= values < self.saturation
        return counts

    def apply(
        self, data: ArrayLike, x: ArrayLike | None = None, axis: int = 0
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the data with NaN where a sample does not count, and which curves are to be fitted.

        Integers become floating-point numbers that hold them exactly. Curves of which no sample counts are to be
        fitted, too, and gets `Status.TOO_FEW_SAMPLES`.

        Returns
        -------
        data : floating-point array, of the data's shape
        chosen : boolean array, of the data's shape without `axis`
        """
        values = real_array(data, "the data")
        counts = self.usable(values, x, axis)
        # as fine as the data, and no finer
        selected = values.astype(np.result_type(values.dtype, np.float32))
        selected[~counts] = np.nan
        chosen = np.ones(np.delete(values.shape, axis % values.ndim), bool)
        if self.min_signal is not None:
            largest = np.where(counts, selected, -np.inf).max(axis=axis, initial=-np.inf)
            chosen = (largest >= self.min_signal) | (largest == -np.inf)
        return selected, chosen

    def recipe(self) -> dict[str, Any]:
        """Return the settings as JSON, without defaults."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if "exclude" in said:
            said["exclude"] = [[_plain(end) for end in pair] for pair in self.exclude]
        return said

    @classmethod
    def of_recipe(cls, said: Any) -> Self:
        """Return the selection that `recipe` describes.

        Raises
        ------
        FitInputError
            One sentence about the first thing that is wrong.
        """
        check_said(cls, said, "select in the recipe", '{"skip_first": 1}')
        ranges = said.get("exclude", [])
        if isinstance(ranges, list):
            words = ("inf", "-inf")
            said = said | {
                "exclude": [
                    [float(end) if end in words else end for end in pair] if isinstance(pair, list) else pair
                    for pair in ranges
                ]
            }
        return cls(**said)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return _is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _ranges(pairs: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{low:g} to {high:g}" for low, high in pairs) or "nothing"
