"""A phantom with trouble in it: decays of known truth at three noise levels, and blocks that no fit can explain."""

from __future__ import annotations

import numpy as np

from ...engine.core.errors import FitInputError
from .simulate import Axis, Simulated, simulate

# Labels of the phantom. Noise levels are standard deviations of the noise, of signals of 500 to 1 500.
LEVELS = {1: 5.0, 2: 20.0, 3: 50.0}
BLOCK_LABELS = {"nan": 4, "zeros": 5, "saturated": 6, "two components": 7}
CEILING = 4095.0


def troubled_phantom(shape: tuple[int, int] = (256, 256), echoes: int = 32, seed: int = 2026) -> Simulated:
    """Exponential decays in three bands of growing noise, and a row of four blocks across the lowest noise.

    In the blocks are: NaN; zeros, without any noise, as a masked background has them; signals so strong that the first
    echoes are cut at `CEILING`; and the sum of two decays, which is another model.

    Parameters
    ----------
    shape : (int, int)
        Voxels along y and x; at least 48 × 48.
    echoes : int
        Every 8 ms, the first after 8 ms.
    seed : int

    Returns
    -------
    Simulated
        Signal ``(echo, Y, X)`` of `exponential_decay`, truth ``(Y, X)``, `labels` those of `LEVELS` and `BLOCK_LABELS`.
        In the blocks the truth is NaN, but for the saturated one, where it is what a fit of the other echoes can find.
        `sigma` is ``(Y, X)``.

    Raises
    ------
    FitInputError
        If it is too small.

    Examples
    --------
    >>> phantom = troubled_phantom((48, 48))
    >>> phantom.data.shape, [int((phantom.labels == label).sum()) for label in BLOCK_LABELS.values()]
    ((32, 48, 48), [36, 36, 36, 36])
    """
    if min(shape) < 48 or echoes < 4:
        raise FitInputError(
            f"a phantom of {shape} voxels and {echoes} echoes has no room for blocks; take 48 × 48 and 4, or more"
        )
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    labels = np.where(y < 0.4, 1, np.where(y < 0.7, 2, 3)).astype(np.uint8)
    side = max(2, shape[0] // 8)
    top = shape[0] // 8
    for place, label in enumerate(BLOCK_LABELS.values()):
        left = shape[1] // 16 + place * (shape[1] // 4)
        labels[top : top + side, left : left + side] = label
    saturated, other = labels == BLOCK_LABELS["saturated"], labels == BLOCK_LABELS["two components"]

    amplitude = np.where(saturated, 8000, 1000 + 400 * np.sin(7 * x + 2 * y))
    tau = np.where(other, 200, 65 + 40 * np.cos(5 * y - 3 * x))
    truth = {"amplitude": amplitude, "tau": tau, "offset": 20 + 20 * x}
    times = 8.0 + 8.0 * np.arange(echoes)
    clean = np.moveaxis(simulate("exponential_decay", (times,), truth), -1, 0)
    short = simulate("exponential_decay", (times,), {"amplitude": 1000, "tau": 25, "offset": 0})
    clean[:, other] += short[:, None]
    sigma = np.full(shape, LEVELS[1])
    for label, level in LEVELS.items():
        sigma[labels == label] = level
    data = clean + sigma * rng.standard_normal(clean.shape)
    data[:, saturated] = np.minimum(data[:, saturated], CEILING)
    data[:, labels == BLOCK_LABELS["nan"]] = np.nan
    data[:, labels == BLOCK_LABELS["zeros"]] = 0
    unexplained = np.isin(labels, [BLOCK_LABELS["nan"], BLOCK_LABELS["zeros"], BLOCK_LABELS["two components"]])
    return Simulated(
        data.astype(np.float32),
        "exponential_decay",
        {name: np.where(unexplained, np.nan, values) for name, values in truth.items()},
        sigma,
        (Axis("echo", 8.0, 8.0, "ms"), Axis("y"), Axis("x")),
        labels,
    )
