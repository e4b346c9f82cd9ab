"""Two models of the same voxels: the criteria by hand, who wins, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_imagefit import FitResult, fit_voxels
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.engine.core.options import Criterion
from napari_imagefit.imaging.fitting.model_comparison import compare
from napari_imagefit.imaging.voxels.maps import BOTH, WINNER_COLOURS, comparison_layers

T = np.linspace(0.1, 6, 40)
NOISE = 0.01


@pytest.fixture(scope="module")
def stack() -> np.ndarray:
    """Lines, decays, and a curve of NaN."""
    curves = np.column_stack([2 - 0.2 * T] * 20 + [2 * np.exp(-T / 1.5) + 0.2] * 20 + [np.full(T.size, np.nan)])
    return curves + np.random.default_rng(0).normal(0, NOISE, curves.shape)


@pytest.fixture(scope="module")
def line(stack: np.ndarray) -> FitResult:
    return fit_voxels(stack, "linear", x=T)


@pytest.fixture(scope="module")
def decay(stack: np.ndarray) -> FitResult:
    return fit_voxels(stack, "exponential_decay", x=T)


def test_the_criteria_by_hand(line: FitResult, decay: FitResult) -> None:
    found = compare(line, decay)
    assert found.names == ("linear", "exponential_decay")
    n = T.size
    for place in range(20, 40):
        one, other = (n * np.log(r.chi2[place] / n) for r in (line, decay))
        # two and three parameters, and the noise
        aicc = (other + 8 + 40 / (n - 5)) - (one + 6 + 24 / (n - 4))
        bic = (other + 4 * np.log(n)) - (one + 3 * np.log(n))
        assert found.delta_aicc[place] == pytest.approx(aicc, rel=1e-9)
        assert found.delta_bic[place] == pytest.approx(bic, rel=1e-9)


def test_the_winner(line: FitResult, decay: FitResult) -> None:
    found = compare(line, decay)
    assert (found.winner[20:40] == 2).all()
    # a third parameter takes 4.4 off the χ² of a line in 4 % by chance; 5 of 20 happen once in 1 000 times
    assert (found.winner[:20] == 2).sum() < 5
    assert (found.winner[:20] == 1).sum() >= 5
    assert found.winner[40] == 0
    assert np.isnan(found.delta_aicc[40])
    swapped = compare(decay, line)
    np.testing.assert_array_equal(swapped.delta_aicc, -found.delta_aicc)
    np.testing.assert_array_equal(swapped.winner, np.array([0, 2, 1])[found.winner])
    assert sum(found.counts()) == 41
    assert found.counts()[2] == np.count_nonzero(found.winner == 2)


def test_how_much_decides(line: FitResult, decay: FitResult) -> None:
    strict = compare(line, decay, undecided=1e9)
    both = line.converged & decay.converged
    assert (strict.winner[both] == 0).all()
    assert (compare(line, decay, undecided=0).winner[both] != 0).all()


def test_an_answer_beats_none(stack: np.ndarray, line: FitResult) -> None:
    stopped = fit_voxels(stack, "exponential_decay", x=T, should_stop=lambda: True)
    found = compare(line, stopped)
    assert (found.winner[:40] == 1).all()
    assert np.isnan(found.delta_aicc).all()
    assert (compare(stopped, line).winner[:40] == 2).all()


def test_what_cannot_be_compared(stack: np.ndarray, line: FitResult, decay: FitResult) -> None:
    holes = stack.copy()
    holes[3, 25] = np.nan
    for other, said in (
        (fit_voxels(stack[:, :5], "linear", x=T), "grids of shape"),
        (fit_voxels(holes, "linear", x=T), r"at \(25,\) used 40 and 39 samples"),
        (fit_voxels(stack + np.sin(T)[:, None], "linear", x=T), "different data"),
        (replace(line, known_sigma=True), "different noise"),
        (replace(line, criterion=Criterion("poisson")), "different noise"),
        (replace(line, criterion=Criterion("gaussian", "huber")), "no likelihood"),
    ):
        with pytest.raises(FitInputError, match=said):
            compare(decay, other)
    with pytest.raises(FitInputError, match="undecided=-1"):
        compare(line, decay, undecided=-1)


def test_undecided_voxels_have_a_colour_of_their_own_in_the_layer(line: FitResult, decay: FitResult) -> None:
    """Contours of a better model around one without any would make it that model's."""
    found = compare(line, decay)
    *_, (labels, options, kind) = comparison_layers(line, decay, found)
    assert kind == "labels"
    undecided = found.winner[:40] == 0
    assert 0 < undecided.sum() < 20
    np.testing.assert_array_equal(labels[:40], np.where(undecided, BOTH, found.winner[:40]))
    assert labels[40] == 0, "what has no answer is not compared"
    features = options["features"]
    told = dict(zip(features["better model"], features["voxels"], strict=True))
    assert told["undecided"] == undecided.sum()
    assert told["not compared"] == 1
    assert set(features["index"]) < set(WINNER_COLOURS)
    assert len({WINNER_COLOURS[label] for label in features["index"]}) == 4
