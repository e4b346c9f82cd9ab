"""The models that can be fitted, by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from ..engine.core.errors import FitInputError
from ..engine.models.model import Model
from .biexponential import biexponential_decay
from .clouds import bimodal_2d, parabola_2d, thomas_fermi_2d
from .curves import damped_sine, exponential_decay, linear
from .peaks import gaussian_1d, lorentzian_1d, voigt_1d
from .relaxation import (
    exponential_recovery,
    inversion_recovery,
    ivim,
    saturation_recovery,
    stretched_exponential,
)
from .surfaces import airy_2d, gaussian_2d, gaussian_2d_elliptic, gaussian_2d_rotated, lorentzian_2d, plane_2d
from .volumes import gaussian_3d, gaussian_3d_elliptic


class Catalogue(Mapping[str, Model]):
    """Models by name, in the order in which a menu shows them.

    See Also
    --------
    napari_imagefit.Model : what they are, and how to write another.
    napari_imagefit.Model.from_expression : makes one from a formula.

    Notes
    -----
    `docs/models.md` shows them all, with formulas and references.

    Examples
    --------
    >>> models["exponential_decay"].names
    ('amplitude', 'tau', 'offset')
    """

    def __init__(self, *models: Model) -> None:
        self._models = {model.name: model for model in models}

    def __getitem__(self, name: str) -> Model:
        if name not in self._models:
            raise KeyError(self._unknown(name))
        return self._models[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, model: str | Model) -> Model:
        """Return a model by name, or the model itself.

        Raises
        ------
        FitInputError
            If there is no model of that name.
        """
        if isinstance(model, Model):
            return model
        if isinstance(model, str) and model in self._models:
            return self._models[model]
        raise FitInputError(self._unknown(model))

    def _unknown(self, model: object) -> str:
        near = difflib.get_close_matches(str(model), self._models, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(self)}"
        return f"there is no model {model!r}; {hint}"


models = Catalogue(
    gaussian_2d,
    gaussian_2d_elliptic,
    gaussian_2d_rotated,
    lorentzian_2d,
    airy_2d,
    plane_2d,
    thomas_fermi_2d,
    parabola_2d,
    bimodal_2d,
    gaussian_3d,
    gaussian_3d_elliptic,
    exponential_decay,
    biexponential_decay,
    stretched_exponential,
    inversion_recovery,
    saturation_recovery,
    exponential_recovery,
    ivim,
    gaussian_1d,
    lorentzian_1d,
    voigt_1d,
    damped_sine,
    linear,
)
