from .catalogue import Catalogue
from .engine.camera import Camera as Camera
from .engine.curve_fit import CurveFit as CurveFit
from .engine.curve_fit import curve_fit as curve_fit
from .engine.fitter import TrustRegionFitter as TrustRegionFitter
from .engine.model import Model as Model
from .engine.model import Parameter as Parameter
from .engine.result import FitResult as FitResult
from .engine.status import Flag as Flag
from .engine.status import Status as Status
from .imaging.image import fit_image as fit_image
from .imaging.selection import Selection as Selection
from .imaging.spots import fit_spots as fit_spots
from .imaging.voxels import fit_voxels as fit_voxels

models: Catalogue
