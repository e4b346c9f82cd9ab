"""Everything that differs in how it is computed, fitted on two devices and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from . import peers, report
from .gpu_plan import PRECISIONS, Job, Plan
from .problems import ECHOES, Key, problem

# of a standard error; and units in the last place, below which a difference is rounding whatever the error
TOLERANCES = {"float64": 1e-5, "float32": 1e-2}
UNITS = 4

# From a device and a precision to a result, with data that are nudged or not.
Fit = Callable[[str, str, bool], Any]


def nudge(data: Any, dtype: str, wanted: bool) -> Any:
    """Data that differ in the last digit of the precision."""
    if not wanted:
        return data
    signs = np.random.default_rng(1).integers(-1, 2, data.shape)
    return data * (1 + np.finfo(dtype).eps * signs)


def _user_model() -> Any:
    """As someone writes it who knows nothing of the engine, with a constant that would promote single precision."""
    import jax.numpy as jnp

    import napari_imagefit as nif

    def function(coords: Any, height: Any, rate: Any, power: Any, floor: Any) -> Any:
        return height * jnp.exp(-((coords[0] * rate) ** power)) * jnp.array(1.0) + floor

    def guess(coords: Any, data: Any, weights: Any) -> Any:
        low = np.where(weights > 0, data, np.inf).min(axis=0)
        ones = np.ones_like(low)
        return np.stack([data.max(axis=0) - low, ones / coords[0].mean(), ones, low])

    names = ("height", "rate", "power", "floor")
    parameters = [
        nif.Parameter(name, lower=low, upper=high)
        for name, low, high in zip(names, (0, 1e-3, 0.3, -1e4), (1e5, 1.0, 3.0, 1e4), strict=True)
    ]
    return nif.Model("stretched", function, parameters, 1, guess, "height·exp(−(rate·t)^power) + floor", "none")


def parity_fits(plan: Plan, folder: Path) -> dict[str, Fit]:
    """Everything that differs in how it is computed."""
    import napari_imagefit as nif

    image = np.array(problem(Key("images", plan.side**2), folder).data)
    decays = problem(Key("voxels", plan.voxels), folder)
    stack = np.array(decays.data, dtype=float)
    outliers = stack.copy()
    outliers[::7, ::3] += 400.0
    alike = np.array(stack - decays.truth[2] + 30.0)[:, :400]
    spots = problem(Key("spots_lsq", plan.spots), folder)
    user = _user_model()
    smooth = 900 * np.exp(-((ECHOES[:, None] * np.linspace(0.01, 0.03, plan.voxels)) ** 0.9)) + 50
    smooth += np.random.default_rng(2).normal(0, 5, smooth.shape)

    def voxels(data: Any, model: Any = "exponential_decay", **wishes: Any) -> Fit:
        def fit(device: str, dtype: Any, nudged: bool) -> Any:
            return nif.fit_voxels(nudge(data, dtype, nudged), model, x=ECHOES, device=device, dtype=dtype, **wishes)

        return fit

    def windows(which: str) -> Fit:
        def fit(device: str, dtype: Any, nudged: bool) -> Any:
            peer: Any = peers.make(which)
            peer.device, peer.dtype = device, dtype
            peer.load(type(spots)(spots.key, nudge(np.array(spots.data, dtype=float), dtype, nudged), *starts))
            return peer.fit()

        starts = spots.start, spots.truth
        return fit

    def large(device: str, dtype: Any, nudged: bool) -> Any:
        return nif.fit_image(nudge(image, dtype, nudged), "gaussian_2d_rotated", device=device, dtype=dtype)

    return {
        f"image {plan.side}²": large,
        "3 decays": voxels(stack[:, :3]),
        f"{plan.voxels} decays": voxels(stack),
        f"{plan.spots} spots": windows("imagefit:Spots"),
        f"{plan.spots} spots, Poisson": windows("imagefit:PoissonSpots"),
        f"{plan.voxels} decays, soft_l1": voxels(outliers, loss="soft_l1", f_scale=8.0),
        f"{plan.voxels} decays, bounds": voxels(stack, bounds={"tau": (30.0, 90.0), "offset": (0.0, 200.0)}),
        "400 decays, shared offset": voxels(alike, shared=("offset",)),
        f"{plan.voxels} curves, a user's model": voxels(smooth, user),
    }


def parity(plan: Plan, folder: Path) -> Iterator[Job]:
    """One row for each fit and precision."""
    from napari_imagefit.engine.core.programs import compiled_programs

    def check(fit: Fit, dtype: str) -> list[str]:
        before = compiled_programs()
        begun = time.perf_counter()
        here = fit(plan.devices[0], dtype, plan.nudged)
        seconds = time.perf_counter() - begun
        programs = compiled_programs() - before
        begun = time.perf_counter()
        there = fit(plan.devices[1], dtype, False)
        reference = time.perf_counter() - begun
        times = [report.seconds(seconds), report.seconds(reference)]
        return [*compared(here, there, dtype), report.number(programs), *times]

    for name, fit in parity_fits(plan, folder).items():
        for dtype in PRECISIONS:
            yield [name, dtype], partial(check, fit, dtype)


def compared(here: Any, there: Any, dtype: str) -> list[str]:
    """How many answers there are, how far they differ in standard errors, how many statuses do, and a verdict."""
    answered = (here.status > 0) & (there.status > 0)
    apart = np.zeros(answered.shape)
    for name in here.model.names:
        one, other, error = here.params[name], there.params[name], there.stderr[name]
        with np.errstate(all="ignore"):
            distance = np.abs(one - other)
            rounding = UNITS * np.spacing(np.abs(other).astype(dtype)).astype(float)
            distance = np.where(distance <= rounding, 0.0, distance / error)
        # what is fixed, or at a bound, has no error
        known = answered & np.isfinite(distance) & (error > 0)
        apart = np.where(known, np.maximum(apart, distance), apart)
    beyond = int(np.count_nonzero(apart > TOLERANCES[dtype]))
    different = int(np.count_nonzero((here.status > 0) != (there.status > 0)))
    bounds = sum(int(np.count_nonzero(here.at_bound[n] != there.at_bound[n])) for n in here.model.names)
    holds = not beyond and not different and not bounds and bool(answered.any())
    return [
        report.number(np.count_nonzero(answered)),
        f"{np.max(apart, initial=0.0):.1e}",
        report.number(beyond),
        report.number(different + bounds),
        "holds" if holds else "**does not hold**",
    ]
