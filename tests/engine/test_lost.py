"""Fits that got lost where the model no longer depends on a parameter are no answers."""

from __future__ import annotations

import numpy as np

from napari_imagefit import Status, fit_voxels


def test_a_fit_that_cannot_leave_its_start_is_no_answer() -> None:
    """Steps shrink to nothing along parameters on which the model hardly depends, while the cost still falls."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 5, 32)
    spikes = rng.normal(0, 0.01, (32, 100))
    spikes[31] += 1
    result = fit_voxels(spikes, "gaussian_1d", x=x)
    level = ((spikes - spikes[:31].mean(axis=0)) ** 2)[:31].sum(axis=0) / 2
    # an amplitude and an offset alone leave the noise of the others
    assert (result.cost[result.converged] < 1.01 * level[result.converged]).all()
    t = np.linspace(0, 160, 32)
    decay = 100 * np.exp(-t / 40) + 5 + rng.normal(0, 1, 32)
    stuck = fit_voxels(decay, "exponential_decay", x=t, init={"tau": 0.1})
    assert stuck.status == Status.SINGULAR
    assert np.isnan(stuck.params["amplitude"])


def test_what_has_gone_to_infinity_is_not_at_its_lower_bound() -> None:
    t = np.linspace(0, 160, 32)
    decay = 100 * np.exp(-t / 40) + 5 + np.random.default_rng(0).normal(0, 1, 32)
    gone = fit_voxels(decay, "exponential_decay", x=t, init={"amplitude": 50, "tau": 0.1, "offset": 0})
    assert gone.at_bound["tau"] == 0
    assert not gone.converged
