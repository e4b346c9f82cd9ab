"""Interactive least-squares fitting of images: regions, spots and voxels on one JAX trust-region engine.

>>> import napari_imagefit as nif
>>> nif.models["gaussian_2d"].names
('amplitude', 'y', 'x', 'sigma', 'offset')
"""

import lazy_loader

from . import _forked  # noqa: F401

__version__ = "0.1.0.dev0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue": ["models"],
        "engine.noise.camera": ["Camera"],
        "engine.scipy_api.curve_fit": ["CurveFit", "curve_fit"],
        "engine.osipy_api.fitter": ["TrustRegionFitter"],
        "engine.models.model": ["Model"],
        "engine.functions.parameter": ["Parameter"],
        "engine.results.fit_result": ["FitResult"],
        "engine.core.errors": ["FitEngineError", "FitInputError"],
        "engine.core.status": ["Flag", "Status"],
        "imaging.verbs.image": ["fit_image"],
        "imaging.fitting.selection": ["Selection"],
        "imaging.recipes.recipe": ["Recipe"],
        "imaging.spots.detection": ["Detection", "find_spots"],
        "imaging.verbs.spots": ["fit_spots"],
        "imaging.verbs.voxels": ["fit_voxels"],
    },
)
