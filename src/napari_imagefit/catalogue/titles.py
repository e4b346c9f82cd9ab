"""Names of models and parameters on screen: titles, families, and formulas in readable symbols."""

from __future__ import annotations

import html
import re
from typing import NamedTuple

from ..engine.models.model import Model

OWN = "Own models"
TITLE_LENGTH = 14  # characters of a short title, which stands in the names of layers


class Title(NamedTuple):
    """A model's names for people.

    Attributes
    ----------
    full : str
    short : str
        At most `TITLE_LENGTH` characters.
    family : str
        The heading under which a menu lists it.
    """

    full: str
    short: str
    family: str


PEAKS = "Peaks and spots"
CLOUDS = "Atom clouds"
FLAT = "Background"
SPOTS_3D = "Spots in volumes"
DECAYS = "Decays"
RELAXATION = "Recovery and diffusion"
SPECTRAL_LINES = "Spectral lines"
OTHER = "Other curves"

TITLES = {
    "gaussian_2d": Title("Gaussian, round", "Gaussian", PEAKS),
    "gaussian_2d_elliptic": Title("Gaussian, elliptic", "Gauss ellip.", PEAKS),
    "gaussian_2d_rotated": Title("Gaussian, rotated", "Gauss rotated", PEAKS),
    "lorentzian_2d": Title("Lorentzian, round", "Lorentzian", PEAKS),
    "airy_2d": Title("Airy disk", "Airy", PEAKS),
    "plane_2d": Title("Plane", "Plane", FLAT),
    "thomas_fermi_2d": Title("Thomas–Fermi condensate", "Thomas–Fermi", CLOUDS),
    "parabola_2d": Title("Thomas–Fermi, flat gas", "TF flat gas", CLOUDS),
    "bimodal_2d": Title("Bimodal: thermal + condensate", "Bimodal", CLOUDS),
    "gaussian_3d": Title("Gaussian 3-D, round", "Gauss 3-D", SPOTS_3D),
    "gaussian_3d_elliptic": Title("Gaussian 3-D, elliptic", "Gauss 3-D el.", SPOTS_3D),
    "exponential_decay": Title("Exponential decay", "Exp. decay", DECAYS),
    "biexponential_decay": Title("Exponential decay, two parts", "Biexponential", DECAYS),
    "stretched_exponential": Title("Exponential decay, stretched", "Stretched exp.", DECAYS),
    "inversion_recovery": Title("Inversion recovery (T₁)", "Inversion rec.", RELAXATION),
    "saturation_recovery": Title("Saturation recovery (T₁)", "Saturat. rec.", RELAXATION),
    "exponential_recovery": Title("Exponential recovery (FRAP)", "Exp. recovery", RELAXATION),
    "ivim": Title("Diffusion and perfusion (IVIM)", "IVIM", RELAXATION),
    "gaussian_1d": Title("Gaussian line", "Gauss line", SPECTRAL_LINES),
    "lorentzian_1d": Title("Lorentzian line", "Lorentz line", SPECTRAL_LINES),
    "voigt_1d": Title("Voigt line", "Voigt", SPECTRAL_LINES),
    "damped_sine": Title("Damped oscillation", "Damped osc.", OTHER),
    "linear": Title("Straight line", "Line", OTHER),
}

# Words stay words, which need no learning; what everybody writes as a letter is one, and so is what has an index.
PARAMETER_LETTERS = {
    "sigma": "σ",
    "tau": "τ",
    "gamma": "γ",
    "theta": "θ",
    "beta": "β",
    "radius": "R",
    "s0": "S_0",
    "t1": "T_1",
    "d": "D",
    "d_star": "D*",
}
INDEXED = PARAMETER_LETTERS | {"amplitude": "A"}
WORD = re.compile(r"[^\W\d]\w*")


def title_of(model: Model) -> str:
    """Return a model's name for people; its own name where the catalogue has none, part by part of a sum.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> title_of(models["gaussian_2d_elliptic"])
    'Gaussian, elliptic'
    """
    return " + ".join(TITLES[part].full if part in TITLES else part for part in model.name.split(" + "))


def short_title(model: Model) -> str:
    """Return a name of at most 14 characters, for the names of layers.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> short_title(models["gaussian_2d_elliptic"])
    'Gauss ellip.'
    """
    text = " + ".join(TITLES[part].short if part in TITLES else part for part in model.name.split(" + "))
    return text if len(text) <= TITLE_LENGTH else f"{text[: TITLE_LENGTH - 1].rstrip()}…"


def family_of(model: Model) -> str:
    """Return the heading under which a model is listed.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> family_of(models["bimodal_2d"])
    'Atom clouds'
    """
    return TITLES[model.name].family if model.name in TITLES else OWN


def symbol_of(name: str) -> str:
    """Return a parameter as a sentence or a field has it: Greek letters for their names, words as they are.

    Examples
    --------
    >>> [symbol_of(name) for name in ("sigma_y", "tau", "amplitude", "amplitude_1", "d_star")]
    ['σ_y', 'τ', 'amplitude', 'A_1', 'D*']
    """
    if name in PARAMETER_LETTERS:
        return PARAMETER_LETTERS[name]
    head, line, index = name.partition("_")
    return INDEXED.get(head, head) + line + index if index else name


def rich_symbol(name: str) -> str:
    """Return a parameter as rich text, with its index below the line.

    Examples
    --------
    >>> rich_symbol("sigma_y"), rich_symbol("slope_x")
    ('σ<sub>y</sub>', 'slope<sub>x</sub>')
    """
    head, line, index = symbol_of(name).partition("_")
    if not (head and line and index):
        return html.escape(head + line + index)
    return f"{html.escape(head)}<sub>{html.escape(index.replace('_', ' '))}</sub>"


def symbols_of(model: Model) -> str:
    """Return a model's formula as rich text, its parameters as their symbols; its name where it has no formula.

    Examples
    --------
    >>> from napari_imagefit import models
    >>> symbols_of(models["exponential_decay"])
    'amplitude·exp(−t/τ) + offset'
    """
    names = set(model.names)

    def symbol(found: re.Match[str]) -> str:
        return rich_symbol(found[0]) if found[0] in names else found[0]

    text = html.escape(model.formula or model.name, quote=False).replace("**", "^").replace("*", "·")
    text = re.sub(r"(?<=\w)(?=[²³⁴])", "\0", text)  # a power is no part of the name that it stands at
    text = WORD.sub(symbol, text).replace("\0", "")
    text = re.sub(r"\^\(([^()]*)\)", r"<sup>\1</sup>", text)
    return re.sub(r"\^([^\W_]+(?:<sub>\w+</sub>)?)", r"<sup>\1</sup>", text)
