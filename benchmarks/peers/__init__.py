"""The peers by section. The first of each is what the others are compared with."""

from __future__ import annotations

from importlib import import_module

from .base import Peer

SECTIONS: dict[str, tuple[str, ...]] = {
    "images": (
        "imagefit:FitImage",
        "imagefit:CurveFit",
        "scipy_peer:ImageTrf",
        "scipy_peer:ImageLm",
        "jaxfit_peer:Image",
        "nlsq_peer:Image",
        "gpufit_peer:GpufitImage",
    ),
    "voxels": (
        "imagefit:Voxels",
        "imagefit:VoxelsFromStarts",
        "imagefit:Voxels32",
        "osipy_peer:Analytic",
        "osipy_peer:Numeric",
        "scipy_peer:VoxelsTrf",
        "scipy_peer:VoxelsLm",
    ),
    "spots_lsq": (
        "imagefit:Spots",
        "imagefit:SpotsFromStarts",
        "imagefit:Spots32",
        "imagefit:Windows",
        "picasso_peer:Lq",
        "picasso_peer:LqLoose",
        "picasso_peer:Lsq",
        "picasso_peer:LsqCuda",
        "gpufit_peer:CpufitLsq",
        "gpufit_peer:GpufitLsq",
        "scipy_peer:SpotsLm",
    ),
    "spots_mle": (
        "imagefit:PoissonSpots",
        "imagefit:PoissonSpotsFromStarts",
        "imagefit:PoissonSpots32",
        "imagefit:PoissonWindows",
        "picasso_peer:Mle",
        "picasso_peer:LmMle",
        "picasso_peer:LmMleCuda",
        "gpufit_peer:CpufitMle",
        "gpufit_peer:GpufitMle",
    ),
}


def make(which: str) -> Peer:
    """The peer named ``"module:Class"``."""
    module, name = which.split(":")
    peer = getattr(import_module(f"{__name__}.{module}"), name)()
    assert isinstance(peer, Peer)
    return peer
