"""A camera's noise: photoelectrons that are counted, then amplified, shifted and read out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import FitInputError
from ..core.validation import float_array


@dataclass(frozen=True, eq=False)
class Camera:
    """How a camera makes data of photoelectrons: ``data = gain·(electrons + read noise) + offset``.

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
        """Standard deviations of data, estimated from the data themselves, in their unit: for ``sigma=``.

        √(electrons + read noise²) times the gain, with one electron at least. Weights that follow the data favour
        samples that are low by chance; with few electrons give the camera as noise instead.
        """
        values = float_array(data, "data")
        gain, offset, read = (np.asarray(a, float) for a in (self.gain, self.offset, self.read_noise))
        electrons = np.maximum((values - offset) / gain, 1.0)
        return np.asarray(gain * np.sqrt(electrons + read**2))

    def level(self, data: NDArray[Any]) -> NDArray[Any]:
        """Data as if every pixel had the mean gain and offset; themselves where all are alike.

        Raises
        ------
        FitInputError
            If an array does not broadcast to the data.
        """
        gain, offset = (np.asarray(a, float) for a in (self.gain, self.offset))
        if gain.size == 1 and offset.size == 1:
            return data
        self.counts(data.shape)
        return np.asarray((data - offset) / gain * gain.mean() + offset.mean())

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

    def recipe(self) -> dict[str, Any]:
        """Its values, for a recipe."""
        return {name: np.asarray(getattr(self, name)).tolist() for name in ("gain", "offset", "read_noise")}
