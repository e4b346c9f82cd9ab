"""A model together with the coordinates at which it was observed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..core.errors import FitInputError
from ..core.options import Options
from ..core.validation import float_array
from .model import Model
from .prediction import predict


@dataclass(frozen=True, eq=False)
class BoundModel:
    """A model and its coordinates; `Model.bind` makes one.

    Parameters
    ----------
    model : Model
    coords : tuple of arrays, ``(n_observations,)`` each
        Given in any one shape, kept flat; they cannot be written to.

    Raises
    ------
    FitInputError
        For a wrong number of coordinates, shapes that differ, and coordinates that are not finite.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> bound = models["exponential_decay"].bind([0.0, 1.0, 2.0])
    >>> bound.parameters, bound.n_observations
    (('amplitude', 'tau', 'offset'), 3)
    """

    model: Model
    coords: tuple[NDArray[np.float64], ...]

    def __post_init__(self) -> None:
        name, ndim = self.model.name, self.model.ndim
        if len(self.coords) != ndim:
            raise FitInputError(
                f"model {name!r} takes {ndim} coordinates, but {len(self.coords)} were given; give one array for each"
            )
        arrays = [float_array(c, f"coordinate {i}") for i, c in enumerate(self.coords)]
        for array in arrays:
            if array.ndim == 0 or array.shape != arrays[0].shape:
                shapes = ", ".join(str(a.shape) for a in arrays)
                raise FitInputError(f"the coordinates have shapes {shapes}; give arrays of one shape, not numbers")
            if not np.isfinite(array).all():
                raise FitInputError("the coordinates hold NaN or infinity; give finite numbers")
        flat = tuple(a.flatten() for a in arrays)  # copies: what the caller does with his later changes nothing
        for array in flat:
            array.setflags(write=False)
        object.__setattr__(self, "coords", flat)

    def __repr__(self) -> str:
        return f"<BoundModel {self.model.name}({', '.join(self.parameters)}) at {self.n_observations} coordinates>"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The parameters' names, in order."""
        return self.model.names

    @property
    def n_observations(self) -> int:
        """Number of values at each fit."""
        return int(self.coords[0].size)

    def get_bounds(self) -> dict[str, tuple[float, float]]:
        """Lower and upper bound of each parameter, by name; infinite where there are none."""
        return {p.name: (p.lower, p.upper) for p in self.model.parameters}

    def predict(self, params: ArrayLike, options: Options | None = None) -> NDArray[np.float64]:
        """Return the model's values.

        Parameters
        ----------
        params : array, ``(n_params, n_fits)``
        options : Options, optional
            For another device or precision.

        Returns
        -------
        array, ``(n_observations, n_fits)``
            NaN where a parameter is NaN.

        Raises
        ------
        FitInputError
            If `params` has another shape.

        Examples
        --------
        >>> from napari_imagefit import models
        >>> models["exponential_decay"].bind([0.0, 10.0]).predict([[2.0, 3.0], [10.0, 5.0], [0.0, 1.0]]).round(3)
        array([[2.   , 4.   ],
               [0.736, 1.406]])
        """
        array = float_array(params, "params")
        if array.ndim != 2 or array.shape[0] != len(self.parameters):
            raise FitInputError(
                f"params has shape {array.shape}; give ({len(self.parameters)}, n_fits): {', '.join(self.parameters)}"
            )
        return predict(self.model, self.coords, array, options or Options())


def bind(model: Model, *coords: Any) -> BoundModel:
    """`Model.bind`."""
    return BoundModel(model, coords)
