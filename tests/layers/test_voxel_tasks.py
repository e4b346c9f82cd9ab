"""What can be done with voxels once they are fitted, and the layers that come of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_imagefit import Selection, Status, fit_voxels, models
from napari_imagefit.engine.core.errors import FitInputError
from napari_imagefit.imaging.fitting.status_labels import reason_labels
from napari_imagefit.layers.geometry.output_layers import put, remove_stale, role, role_of, shown_roles
from napari_imagefit.layers.geometry.transforms import to_data
from napari_imagefit.layers.inspection.reasons import go_to, statements_of
from napari_imagefit.layers.inspection.state_counts import remarks_of, state_of
from napari_imagefit.layers.request import fit_request as requests
from napari_imagefit.layers.request.choices import Row
from napari_imagefit.layers.request.fit_request import Outcome, Request, Showing, answer
from napari_imagefit.layers.tasks.result_layers import make_more, what_can_be_shown
from napari_imagefit.layers.tasks.run_fit import run_any
from napari_imagefit.layers.tasks.voxel_tasks import (
    add_map,
    check_expression,
    compare_with,
    refit,
    refit_painted,
    run_mean,
    run_voxels,
)

from .voxel_help import DECAY, STACK, T, decays, drive, fit_of, request_for


def show(viewer: ViewerModel, outcome: Outcome) -> dict[str, Any]:
    shown = {}
    for output in outcome.outputs:
        layer = shown[role(output.data)] = put(viewer.layers, output)
        if layer is output.layer:
            layer.visible = output.visible  # as the session does, a turn later
    if outcome.complete:
        remove_stale(viewer.layers, outcome.request.group, shown)
    return shown


@pytest.fixture
def image() -> Image:
    return decays()


@pytest.fixture
def fitted(image: Image) -> Outcome:
    return fit_of(image)


def test_the_map_of_an_expression(fitted: Outcome) -> None:
    viewer = ViewerModel()
    show(viewer, fitted)
    outcome, _ = drive(add_map(fitted, "1/tau"))
    assert not outcome.complete
    shown = show(viewer, outcome)
    assert set(shown) == {"derived:1/tau"}
    assert what_can_be_shown(outcome)["derived_stderr:1/tau"] == "error of 1/tau"
    layer = shown["derived:1/tau"]
    (error,) = (output.data[0] for output in make_more(outcome, ["derived_stderr:1/tau"]))
    assert layer.name == "decays · Exp. decay · 1/tau [1/ms]"
    assert fitted.result is not None
    tau, sigma = fitted.result.params["tau"], fitted.result.stderr["tau"]
    np.testing.assert_allclose(layer.data, 1 / tau, rtol=1e-12)
    np.testing.assert_allclose(error, sigma / tau**2, rtol=1e-9)
    assert np.isnan(layer.data[0, 0])
    np.testing.assert_array_equal(layer.scale, [2, 2])
    # the next fit makes it again, and a fit of a model without tau does not
    again, _ = drive(run_any(outcome.request))
    assert "derived:1/tau" in show(viewer, again)
    other, _ = drive(run_any(replace(outcome.request, model=models["linear"], settings=_linear(outcome.request))))
    assert "derived:1/tau" not in show(viewer, other)
    assert not [a for a in viewer.layers if "1/tau" in a.name and role_of(a, other.request.group)]


def test_an_expression_without_any_value_makes_no_map(fitted: Outcome) -> None:
    with pytest.raises(FitInputError, match=r"'log\(-tau\)' has no finite value in any voxel, so that no map was made"):
        drive(add_map(fitted, "log(-tau)"))


def _linear(request: Request) -> dict[str, Any]:
    return replace(request.settings, bounds={})


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        ("", "Type an expression of the parameters amplitude, tau, offset"),
        ("1/tauu", "has 'tauu', which is no parameter; use amplitude, tau, offset"),
        ("__import__('os')", "__import__"),
    ],
)
def test_expressions_that_make_no_map(fitted: Outcome, expression: str, sentence: str) -> None:
    with pytest.raises(FitInputError, match=sentence):
        check_expression(fitted, expression)


def test_refit_and_reasons(image: Image) -> None:
    hopeless = np.where(np.arange(63).reshape(7, 9) % 5 == 1, 1e-4, 3.0)
    starts = Image(hopeless, name="starts", scale=(2, 2), units=("um", "um"))
    request = request_for(image, Row("tau", starts))
    limited = replace(request.settings, options=replace(request.options, max_iterations=8))
    first, _ = drive(run_any(replace(request, settings=limited)))
    assert first.result is not None
    reasons = {said.words: said for said in statements_of(first.result)}
    failed = int(np.count_nonzero(~first.result.converged[0, 1:]) + np.count_nonzero(~first.result.converged[1:]))
    assert failed > 10
    counts, remarked = state_of(first.result), {said.words for said in remarks_of(first.result)}
    assert counts.converged + counts.failed == 63
    assert counts.failed == failed + 1
    assert sum(said.fits for words, said in reasons.items() if words not in remarked) == 63
    few = reasons[Status.TOO_FEW_SAMPLES.message]
    assert few.places.tolist() == [0]
    assert np.argwhere(reason_labels(first.result) == few.label).tolist() == [[0, 0]]
    again, _ = drive(refit(replace(first, request=replace(first.request, chosen_roles={"attempt": True}))))
    assert again.result is not None
    assert again.history == (("refit", None),)
    assert f"voxels fitted again: {failed} more converged" in again.note
    free = fit_voxels(image.data, DECAY, x=T)
    np.testing.assert_allclose(again.result.params["tau"], free.params["tau"], rtol=1e-6)
    attempt = next(output.data[0] for output in again.outputs if role(output.data) == "attempt")
    np.testing.assert_array_equal(attempt > 0, again.result.attempt > 0)


def test_painted_voxels_are_fitted_again_or_left_out(fitted: Outcome) -> None:
    assert fitted.result is not None
    again, left = np.zeros((2, 7, 9), bool)
    again[2, 2], left[4, 4:6] = True, True
    outcome, _ = drive(refit_painted(fitted, again, left))
    assert outcome.result is not None
    assert (outcome.result.status[4, 4:6] == Status.NOT_FITTED).all()
    assert np.isnan(outcome.result.params["tau"][4, 4:6]).all()
    assert np.isfinite(fitted.result.params["tau"][4, 4:6]).all(), "the earlier result stays as it is"
    np.testing.assert_allclose(outcome.result.params["tau"][2, 2], fitted.result.params["tau"][2, 2], rtol=1e-6)
    assert [step for step, _ in outcome.history] == ["leave_out", "refit"]
    only, _ = drive(refit_painted(fitted, np.zeros_like(again), left))
    assert only.note == "2 voxels left out."


def test_a_comparison_of_two_models(fitted: Outcome) -> None:
    viewer = ViewerModel()
    show(viewer, fitted)
    outcome, _ = drive(compare_with(fitted, models["linear"]))
    shown = show(viewer, outcome)
    winner = shown["comparison:winner"]
    # an exponential with an offset is no line: AICc leaves no doubt
    assert (winner.data == np.where(np.arange(63).reshape(7, 9) > 0, 1, 0)).all()
    assert list(winner.features["better model"]) == ["not compared", "Exponential decay", "Straight line", "undecided"]
    assert list(winner.features["voxels"]) == [1, 62, 0, 0]
    assert (
        "Exponential decay is better in 62, Straight line in 0 of 63 voxels; undecided in 0, no answer in 1."
        in outcome.note
    )
    line = fit_voxels(fitted.request.data, "linear", x=T)
    assert fitted.result is not None
    assert set(shown) == {"comparison:winner"}
    assert shown["comparison:winner"].contour == 1
    assert what_can_be_shown(outcome)["comparison:ΔAICc"] == "ΔAICc (Exp. decay − Line)"
    (delta,) = make_more(outcome, ["comparison:ΔAICc"])
    np.testing.assert_allclose(delta.data[0], line.aicc - fitted.result.aicc, rtol=1e-9)
    assert (delta.data[0][0, 1:] > 0).all()


def test_a_large_map_fills_in_and_goes_on_where_it_was_stopped(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MANY_VALUES", 1000)
    monkeypatch.setattr("napari_imagefit.layers.tasks.voxel_tasks.BETWEEN", 0.0)
    monkeypatch.setattr("napari_imagefit.imaging.voxels.coarse_to_fine.BETWEEN", 0.0)
    monkeypatch.setattr("napari_imagefit.imaging.voxels.coarse_to_fine.SHARE", 1e9)
    monkeypatch.setattr("napari_imagefit.imaging.voxels.coarse_to_fine.FEWEST", 4)
    monkeypatch.setattr("napari_imagefit.imaging.voxels.coarse_to_fine.BATCH_VALUES", 64)
    request = replace(request_for(image), chosen_roles={"param:offset": True})
    assert request.coarse_to_fine
    viewer = ViewerModel()
    seen: list[int] = []

    steps = run_any(request, lambda: len(seen) >= 2)
    while True:
        try:
            progress = next(steps)
        except StopIteration as end:
            stopped: Outcome = end.value
            break
        if isinstance(progress, Showing):
            shown = {role(output.data): put(viewer.layers, output) for output in progress.outputs}
            assert set(shown) == {"param:tau", "param:offset"}, "what is looked at, and what was asked for"
            assert shown["param:tau"].name == "decays · Exp. decay · τ [ms] (so far)"
            # blocks of the coarse grid's values, then smaller ones
            seen.append(np.unique(shown["param:tau"].data[1:]).size)
    assert 1 < seen[0] < seen[1] < 54
    assert stopped.result is not None
    left = stopped.result.status == Status.STOPPED
    assert left.any()
    assert np.isnan(stopped.result.params["tau"][left]).all()
    tau = show(viewer, stopped)["param:tau"]
    status = next(layer for layer in viewer.layers if role_of(layer, request.group) == "status")
    assert status.visible
    assert (status.data[left] == 6).all()

    stopped = replace(stopped, request=replace(request, shown=shown_roles(viewer.layers, request.group)))
    done, _ = drive(run_voxels(stopped.request, None, stopped))
    assert show(viewer, done)["param:tau"] is tau
    assert done.result is not None
    before = ~left
    np.testing.assert_array_equal(done.result.params["tau"][before], stopped.result.params["tau"][before])
    free = fit_voxels(image.data, DECAY, x=T)
    np.testing.assert_allclose(done.result.params["tau"], free.params["tau"], rtol=1e-6)


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_going_to_a_voxel(ndisplay: int) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 8, 9)), scale=(1000, 1, 1), units=("nm", "um", "um"))
    layer = viewer.add_labels(
        np.zeros((5, 8, 9), int), scale=(1, 0.5, 0.5), translate=(0, 2, 0), units=("um", "um", "um")
    )
    viewer.dims.ndisplay = ndisplay
    viewer.scene.camera.zoom *= 100
    go_to(viewer, layer, (3, 4, 6))
    # what is in the middle of the view is that voxel, in whatever units the viewer draws
    middle = np.array(viewer.dims.point)
    shown = list(viewer.dims.displayed)
    middle[shown] = np.array(viewer.scene.camera.center)[-len(shown) :]
    np.testing.assert_allclose(to_data(layer, middle, viewer.dims.units), (3, 4, 6), atol=1e-9)


def test_what_is_on_screen_is_gone_to_without_moving_the_view() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 8, 9)), scale=(1, 0.5, 0.5))
    viewer.reset_view()
    before = viewer.scene.camera.center
    go_to(viewer, layer, (3, 7, 0))
    assert viewer.scene.camera.center == before
    assert viewer.dims.point[0] == 3
    # a fit of curves along the first axis has no place there
    go_to(viewer, layer, (0, 7, 0), still=0)
    assert viewer.dims.point[0] == 3
    viewer.scene.camera.zoom *= 4
    go_to(viewer, layer, (3, 7, 0))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (3.5, 0))


def test_a_mistake_found_while_fitting_is_a_refusal(image: Image) -> None:
    image.data = np.full(image.data.shape, np.nan)
    outcome, _ = drive(run_any(request_for(image)))
    assert outcome.refusal == "All values of 'decays' are NaN or infinite; choose another layer."
    expression = answer(outcome.request, add_map(replace(outcome, result=fit_voxels(STACK, "linear")), "tau"))
    refused, _ = drive(expression)
    assert "tau" in refused.refusal


@pytest.mark.parametrize("use", ["start", "bounds"])
def test_a_map_near_its_mean_curve(image: Image, use: Any) -> None:
    select = Selection(skip_first=2)
    request = request_for(image, select=select, mean=use, factor=1.2)
    only, _ = drive(run_mean(request))
    assert only.mean is not None
    assert only.result is None
    np.testing.assert_array_equal(np.isfinite(only.mean.values), T >= 2)
    curve = np.nanmean(np.where(np.arange(63).reshape(7, 9) > 0, STACK, np.nan), axis=(1, 2))
    np.testing.assert_allclose(only.mean.values[2:], curve[2:], rtol=1e-12)
    assert (only.mean.n[2:] == 62).all()

    outcome, _ = drive(run_any(request))
    assert outcome.result is not None
    assert outcome.mean is not None
    mean = float(outcome.mean.result.params["tau"])
    assert mean == float(only.mean.result.params["tau"])
    tau, start = outcome.result.params["tau"], outcome.result.start["tau"]
    np.testing.assert_allclose(start.ravel()[1:], mean, rtol=1e-12)
    if use == "bounds":
        np.testing.assert_allclose(np.nanmin(tau), mean / 1.2, rtol=1e-9)
        np.testing.assert_allclose(np.nanmax(tau), mean * 1.2, rtol=1e-9)
    else:
        free = fit_voxels(image.data, DECAY, x=T, select=select)
        np.testing.assert_allclose(tau, free.params["tau"], rtol=1e-5)


def test_a_mean_curve_without_an_answer_starts_nothing(image: Image) -> None:
    image.data = np.full(image.data.shape, 3.0)
    outcome, _ = drive(run_any(request_for(image, mean="start")))
    assert outcome.refusal.startswith("The region's mean curve gives no start for the map (")
