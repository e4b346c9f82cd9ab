from .catalogue import Catalogue
from .engine.core.errors import FitEngineError as FitEngineError
from .engine.core.errors import FitInputError as FitInputError
from .engine.core.status import Flag as Flag
from .engine.core.status import Status as Status
from .engine.functions.parameter import Parameter as Parameter
from .engine.models.model import Model as Model
from .engine.noise.camera import Camera as Camera
from .engine.osipy_api.fitter import TrustRegionFitter as TrustRegionFitter
from .engine.results.fit_result import FitResult as FitResult
from .engine.scipy_api.curve_fit import CurveFit as CurveFit
from .engine.scipy_api.curve_fit import curve_fit as curve_fit
from .imaging.fitting.selection import Selection as Selection
from .imaging.recipes.recipe import Recipe as Recipe
from .imaging.spots.detection import Detection as Detection
from .imaging.spots.detection import find_spots as find_spots
from .imaging.verbs.image import fit_image as fit_image
from .imaging.verbs.spots import fit_spots as fit_spots
from .imaging.verbs.voxels import fit_voxels as fit_voxels

models: Catalogue
