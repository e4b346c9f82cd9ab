"""The phantom with trouble in it: what is found is right and known how well, and what is wrong is named.

Tolerances: a fraction of N pulls (estimate − truth)/stderr may differ from the expected one by 4 standard deviations of
the binomial distribution, their mean from 0 by 4/√N and 0.05: an estimate that is not linear in the data has a bias of
the order of stderr².
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import napari_imagefit as nif
from napari_imagefit.imaging.fitting.status_labels import REASONS, REMARKS, reason_labels, reasons
from napari_imagefit.imaging.simulation.phantom import BLOCK_LABELS, CEILING, LEVELS, troubled_phantom
from napari_imagefit.imaging.simulation.simulate import Simulated

NAMES = nif.models["exponential_decay"].names
REMARK = {remark.flag: remark.label for remark in REMARKS}
TROUBLE = {
    "nan": {REASONS[nif.Status.TOO_FEW_SAMPLES][0]},
    "zeros": {REASONS[nif.Status.SINGULAR][0]},
    "saturated": {REMARK[nif.Flag.SATURATED]},
    "two components": {REMARK[nif.Flag.LARGE_CHI2], REMARK[nif.Flag.STRUCTURED_RESIDUAL]},
}


def fit(phantom: Simulated, **how: Any) -> nif.FitResult:
    return nif.fit_voxels(phantom.data, phantom.model, x=phantom.coordinates(0), **how)


def check_pulls(result: nif.FitResult, phantom: Simulated, where: Any, distribution: Any) -> None:
    n = np.count_nonzero(where)
    for name in NAMES:
        pulls = (result.params[name] - phantom.truth[name])[where] / result.stderr[name][where]
        assert np.isfinite(pulls).all(), name
        assert abs(pulls.mean()) <= 4 / np.sqrt(n) + 0.05, (name, pulls.mean())
        for k in (1, 2):
            expected = 1 - 2 * distribution.sf(k)
            found = np.mean(np.abs(pulls) <= k)
            assert abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / n), (name, k, found, expected)


def check_names(result: nif.FitResult, phantom: Simulated) -> None:
    """Each block's label says what is wrong with it, in all of its voxels; false alarms are rare."""
    assert phantom.labels is not None
    labels = reason_labels(result)
    for block, wanted in TROUBLE.items():
        named = np.isin(labels[phantom.labels == BLOCK_LABELS[block]], list(wanted))
        assert named.all(), (block, named.mean())
    good = np.isin(phantom.labels, list(LEVELS))
    # two kinds of remarks, each raised by chance in at most 1 of 1 000
    assert np.mean(labels[good] != 1) < 0.003


def step_left(result: nif.FitResult, phantom: Simulated, where: Any) -> Any:
    """Return the Gauss–Newton step from the answers in units of their errors, derivatives written by hand."""
    amplitude, tau, offset = (result.params[name][where][:, None] for name in NAMES)
    x = phantom.coordinates(0)
    falling = np.exp(-x / tau)
    residual = amplitude * falling + offset - phantom.data[:, where].T
    slopes = np.stack([falling, amplitude * falling * x / tau**2, np.ones_like(falling)], axis=-1)
    step = (np.linalg.pinv(slopes) @ residual[..., None])[..., 0]
    return np.abs(step) / np.stack([result.stderr[name][where] for name in NAMES], axis=-1)


def check_answers(result: nif.FitResult, phantom: Simulated) -> None:
    """No start and no zero is presented as a result."""
    for name in NAMES:
        answered = np.isfinite(result.params[name])
        np.testing.assert_array_equal(answered, result.converged)
        assert np.isnan(result.stderr[name][~result.converged]).all()
        # but a start that is the minimum: a whole step from there is below 1e-5 of its error
        unmoved = answered & (result.params[name] == result.start[name])
        assert (step_left(result, phantom, unmoved) < 1e-5).all()
        assert (result.n_iterations[unmoved] <= 1).all()
        assert np.count_nonzero(unmoved) < 0.02 * np.count_nonzero(answered)
        assert (result.params[name][answered] != 0).all()
    assert np.isnan(result.fitted()[:, ~result.converged]).all()


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False], ids=["sigma known", "sigma estimated"])
def test_a_large_phantom(known: bool) -> None:
    phantom = troubled_phantom()
    assert phantom.labels is not None
    assert phantom.data.shape == (32, 256, 256)
    result = fit(phantom, sigma=phantom.sigma if known else None)
    check_answers(result, phantom)
    # without σ too
    check_names(result, phantom)
    for label in LEVELS:
        where = phantom.labels == label
        assert result.converged[where].all()
        check_pulls(result, phantom, where, stats.norm if known else stats.t(29))


@pytest.mark.slow
def test_saturated_echoes_can_be_left_out() -> None:
    phantom = troubled_phantom((128, 128))
    result = fit(phantom, sigma=phantom.sigma, select=nif.Selection(saturation=CEILING))
    block = phantom.labels == BLOCK_LABELS["saturated"]
    assert (result.n_left_out[block] >= 2).all()
    assert (result.flags[block] & nif.Flag.MASKED_SAMPLES).all()
    # as chance has it
    assert np.mean(reason_labels(result)[block] == 1) > 0.98
    check_pulls(result, phantom, block, stats.norm)


def test_a_small_phantom_says_what_is_wrong_with_it() -> None:
    phantom = troubled_phantom((48, 48))
    result = fit(phantom, sigma=phantom.sigma)
    check_answers(result, phantom)
    check_names(result, phantom)
    layer = next(layer for layer in result.to_layers() if layer[1]["metadata"]["napari_imagefit"]["role"] == "status")
    labels, options, kind = layer
    assert kind == "labels"
    assert options["visible"]
    np.testing.assert_array_equal(labels, reason_labels(result))
    table = dict(zip(options["features"]["index"], options["features"]["fits"], strict=True))
    words = dict(zip(options["features"]["index"], options["features"]["reason"], strict=True))
    assert sum(table.values()) == labels.size
    for label, count in table.items():
        assert count == np.count_nonzero(labels == label)
        assert label in options["colormap"]
    assert words[REMARK[nif.Flag.LARGE_CHI2]] == "converged, but the residuals are larger than the noise"
    # every reason has a colour of its own
    colours = [colour for label, colour in options["colormap"].items() if label is not None and label > 1]
    assert len(set(colours)) == len(colours) == len(REASONS) + len(REMARKS)


def test_remarks_in_their_order() -> None:
    """A bound, nothing known of a parameter, and neither."""
    t = np.linspace(0, 5, 32)
    decay = 3 * np.exp(-t / 1.2) + np.random.default_rng(0).normal(0, 0.05, (4, 32))
    decay[1] = np.random.default_rng(1).normal(0, 0.05, 32)
    bounds = {"tau": (0.0, np.array([9.0, 9.0, 0.5, 9.0]))}
    result = nif.fit_voxels(decay, "exponential_decay", x=t, axis=1, bounds=bounds)
    labels = reason_labels(result)
    assert labels[0] == labels[3] == 1
    assert labels[2] in (REMARK[nif.Flag.AT_LOWER | nif.Flag.AT_UPPER], REMARK[nif.Flag.STRUCTURED_RESIDUAL])
    assert labels[1] != 1
    assert sum(reason.fits for reason in reasons(result)) == 4
    assert sum(reason.fits for reason in reasons(result, remarks=False)) == 4


def test_a_phantom_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="48"):
        troubled_phantom((16, 16))
