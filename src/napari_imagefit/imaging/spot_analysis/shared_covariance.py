"""Covariances of fits that have parameters in common, where the noise is not what the fit took it to be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...engine.core.types import Floats

# What is a smaller part of a sum is its rounding.
TELLS = 1e-9


def covariance_in_common(inverse: Floats, curvature: Floats, scatter: Floats, shared: Sequence[int]) -> Floats:
    """Each fit's block of ``A⁻¹ M A⁻¹``, A the curvature of all fits together, M the scatter of its gradient.

    With δ the error, g a fit's gradient, o its own parameters and s the shared ones: ``δ_s = S⁻¹ Σ(g_s − Kᵀ g_o)`` and
    ``δ_o = A_oo⁻¹ g_o − K δ_s``, where ``K = A_oo⁻¹ A_os`` and ``S = Σ(A_ss − A_so K)``; the gradients of two fits have
    nothing to do with each other.

    Parameters
    ----------
    inverse : ndarray, ``(n, p, p)``
        Of each fit's curvature by its own free parameters; a fit that has a NaN in it is left out.
    curvature, scatter : ndarray, ``(n, p, p)``
        JᵀJ and JᵀVJ, 0 for what is neither free nor shared.
    shared : sequence of int
        Which of the parameters all fits have in common.

    Returns
    -------
    ndarray, ``(n, p, p)``
        NaN for fits that were left out, and of shared parameters where the fits do not distinguish one from the other.
    """
    common = np.asarray(shared)
    own = np.setdiff1d(np.arange(inverse.shape[1]), common)
    active = np.isfinite(inverse).all(axis=(1, 2))
    solved = inverse[active][:, own[:, None], own]
    bread, meat = curvature[active], scatter[active]
    reach = solved @ bread[:, own[:, None], common]  # K
    meat_own, meat_cross = meat[:, own[:, None], own], meat[:, own[:, None], common]
    turned = np.swapaxes(reach, 1, 2)
    crossed = turned @ meat_cross
    together = bread[:, common[:, None], common] - bread[:, common[:, None], own] @ reach
    spread = meat[:, common[:, None], common] - crossed - np.swapaxes(crossed, 1, 2) + turned @ meat_own @ reach
    # information of a fit on the shared ones beyond its own: of some nothing but rounding
    all_of_it = np.einsum("nkk->nk", bread[:, common[:, None], common])
    tells = (np.einsum("nkk->nk", together) > TELLS * all_of_it).any(axis=1)
    together, spread = together[tells], spread[tells]
    sums, outward = together.sum(axis=0), np.zeros((len(common), len(common)))
    units = np.sqrt(np.outer(np.diag(sums), np.diag(sums)))
    known = bool(tells.any()) and np.linalg.cond(sums / units) * TELLS < 1
    if known:
        outward = np.linalg.inv(sums / units) / units  # S⁻¹
    of_common = outward @ spread.sum(axis=0) @ outward

    with_common = solved @ (meat_cross - meat_own @ reach) @ outward
    back = with_common @ turned
    covariance = np.full(inverse.shape, np.nan)
    block = np.empty((len(solved), *inverse.shape[1:]))
    block[:, own[:, None], own] = (
        solved @ meat_own @ solved - back - np.swapaxes(back, 1, 2) + reach @ of_common @ turned
    )
    mixed = with_common - reach @ of_common
    block[:, own[:, None], common] = mixed
    block[:, common[:, None], own] = np.swapaxes(mixed, 1, 2)
    block[:, common[:, None], common] = of_common
    if not known:
        block[:, common] = block[:, :, common] = np.nan
    covariance[active] = block
    return covariance
