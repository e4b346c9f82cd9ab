"""A camera's noise: photoelectrons that are counted, then amplified, shifted and read out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import FitInputError
from ..core.validation import float_array

# Below zero, samples cannot be a camera's: some electrons, for rounding, and so many times the read noise.
FEW, DEVIATIONS = 4.0, 8.0
# Which part of all samples may be so.
IMPOSSIBLE = 0.1


@dataclass(frozen=True, eq=False)
class Camera:
    """Camera that makes data of photoelectrons: ``data = gain·(electrons + read noise) + offset``.

    Given as ``noise=Camera(...)``, data and model are turned into electrons and fitted as counts: to both the variance
    of the read noise is added, which makes them nearly Poisson. Parameters stay in the data's unit. Where pixels differ
    in gain or offset, it is that of a mean pixel: the data, and with them the residuals, are first made to look as if
    all pixels were alike.

    Parameters
    ----------
    gain : number or array
        Data units per electron, above 0. An array gives each pixel its own (sCMOS); it broadcasts to the image.
    offset : number or array
        The data without light, in data units. A model's own ``offset`` comes on top of nothing: it includes this one.
    read_noise : number or array
        Standard deviation of the read noise, in electrons.

    Raises
    ------
    FitInputError
        If a gain is not above 0, a read noise is negative, or a value is not finite.

    See Also
    --------
    napari_imagefit.fit_spots : takes one as `noise`.
    napari_imagefit.fit_image : likewise.
    napari_imagefit.fit_voxels : likewise.

    Notes
    -----
    With the level data (data − offset)/gain = electrons + read noise, ``level + read_noise²`` has the mean and the
    variance of counts at the rate ``electrons + read_noise²``: that is what is fitted.

    References
    ----------
    F. Huang et al., Video-rate nanoscopy using sCMOS camera-specific single-molecule localization algorithms, Nature
    Methods 10 (2013).

    Examples
    --------
    >>> camera = Camera(gain=2.0, offset=100.0, read_noise=1.5)
    >>> camera.sigma([100.0, 900.0]).round(2)
    array([ 3.61, 40.11])
    """

    gain: ArrayLike = 1.0
    offset: ArrayLike = 0.0
    read_noise: ArrayLike = 0.0

    def __post_init__(self) -> None:
        for name in ("gain", "offset", "read_noise"):
            values = float_array(getattr(self, name), f"the camera's {name}")
            if not np.isfinite(values).all():
                raise FitInputError(f"the camera's {name} holds a value that is not finite; give numbers")
            least = values.min()
            if (name == "gain" and least <= 0) or (name == "read_noise" and least < 0):
                raise FitInputError(
                    f"the camera's {name} has the value {least:g}; give "
                    + ("numbers above 0" if name == "gain" else "numbers from 0 on")
                )

    def sigma(self, data: ArrayLike) -> NDArray[np.float64]:
        """Return standard deviations of data, estimated from the data themselves, in their unit: for ``sigma=``.

        √(electrons + read noise²) times the gain, with one electron at least. Weights that follow the data favour
        samples that are low by chance; with few electrons give the camera as noise instead.
        """
        values = float_array(data, "data")
        gain, offset, read = (np.asarray(a, float) for a in (self.gain, self.offset, self.read_noise))
        electrons = np.maximum((values - offset) / gain, 1.0)
        return np.asarray(gain * np.sqrt(electrons + read**2))

    def level(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return data as if every pixel had the mean gain and offset; themselves where all are alike.

        Raises
        ------
        FitInputError
            If an array does not broadcast to the data.
        """
        gain, offset = (np.asarray(a, float) for a in (self.gain, self.offset))
        if gain.size == 1 and offset.size == 1:
            return data
        self.counts(data.shape)
        # of Dask's arrays another one that is computed piece by piece
        levelled: NDArray[Any] = (data - offset) / gain * gain.mean() + offset.mean()
        return levelled

    def counts(self, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and shift, of the data's shape, with which ``scale·level(data) + shift`` is nearly Poisson.

        Raises
        ------
        FitInputError
            If an array does not broadcast to the data.
        """
        gain, offset, read = (np.asarray(a, float) for a in (self.gain, self.offset, self.read_noise))
        try:
            for array in (gain, offset):
                np.broadcast_to(array, shape)
            mean = gain.mean()
            return np.broadcast_to(1 / mean, shape), np.broadcast_to(read**2 - offset.mean() / mean, shape)
        except ValueError:
            shapes = ", ".join(str(a.shape) for a in (gain, offset, read))
            raise FitInputError(
                f"the camera's gain, offset and read noise have shapes {shapes}, which do not broadcast to the data's "
                f"{shape}; give one number or one per pixel"
            ) from None

    def may_have_made(self, data: NDArray[Any]) -> bool:
        """Whether no sample of data, as `level` gives them, is lower than its noise makes it of no light."""
        least = np.fmin.reduce(data, axis=None) if data.size else np.nan
        return not self._electrons(least) < -self._depth()

    def check(self, samples: Iterable[NDArray[Any]]) -> None:
        """Refuse data of which so many lie far below the camera's zero that they cannot be its data.

        Single pixels may be dead, or filled with zeros; a tenth of all is another camera, or another offset.

        Parameters
        ----------
        samples : iterable of arrays
            All that is fitted, as `level` gives it.

        Raises
        ------
        FitInputError
            If they are no data of this camera.
        """
        least, below, total = np.inf, 0, 0
        for part in samples:
            electrons = self._electrons(part[np.isfinite(part)])
            least = min(least, electrons.min(initial=np.inf))
            below += int(np.count_nonzero(electrons < -self._depth()))
            total += electrons.size
        if below > IMPOSSIBLE * total:
            offset, read = float(np.asarray(self.offset, float).mean()), self._usual_read_noise()
            raise FitInputError(
                f"{100 * below / total:.0f} % of the data lie far below the camera's offset {offset:g}, by up to "
                f"{-least:.3g} electrons, which noise of {read:g} electrons does not make; give the offset that the "
                "data have without light"
            )

    def _electrons(self, data: ArrayLike) -> NDArray[np.float64]:
        """Return the electrons of levelled data."""
        gain, offset = (np.asarray(a, float).mean() for a in (self.gain, self.offset))
        return np.asarray((np.asarray(data, float) - offset) / gain, float)

    def _depth(self) -> float:
        """Return how many electrons below zero are too many."""
        return FEW + DEVIATIONS * self._usual_read_noise()

    def _usual_read_noise(self) -> float:
        return float(np.median(np.asarray(self.read_noise, float)))

    def recipe(self) -> dict[str, Any]:
        """Its values, for a recipe."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in ("gain", "offset", "read_noise")}
