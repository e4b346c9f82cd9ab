"""What a result says of itself: JSON, a table, layers that napari takes, progress."""

from __future__ import annotations

import json
import threading
from dataclasses import fields
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_imagefit import FitResult, Status, fit_image, fit_spots, fit_voxels

T = np.linspace(0, 5, 32)
Y, X = np.mgrid[:24.0, :28.0]


def image_result(kind: str) -> FitResult:
    rng = np.random.default_rng(0)
    image = 5 * np.exp(-0.5 * ((Y - 11) ** 2 + (X - 13) ** 2) / 9) + rng.normal(0, 0.1, (2, 24, 28))
    labels = np.zeros(X.shape, int)
    labels[2:20, 3:14], labels[2:20, 14:25], labels[0, 0] = 1, 2, 3
    if kind == "one frame":
        return fit_image(image[0], "gaussian_2d")
    if kind == "labels":
        return fit_image(image, "gaussian_2d", mask=labels, sigma=0.1)
    if kind == "hopeless":
        return fit_image(np.full((2, 24, 28), np.nan), "gaussian_2d")
    if kind == "counts":
        return fit_image((image * 10 + 5).astype(np.uint8), "gaussian_2d", init={"x": np.array([12, 13])})
    return fit_image(image, "gaussian_2d", bounds={"sigma": (0, np.inf)}, fixed={"y": 11})


def voxel_result(kind: str) -> FitResult:
    rng = np.random.default_rng(0)
    stack = 2 * np.exp(-T[:, None, None]) + rng.normal(0, 0.05, (32, 2, 4))
    if kind == "hopeless voxels":
        stack[:] = np.nan
    return fit_voxels(stack, "exponential_decay", x=T, mask=np.arange(8).reshape(2, 4) > 2, bounds={"tau": (0, 9)})


KINDS = ["one frame", "frames", "labels", "hopeless", "counts", "voxels", "hopeless voxels"]


@pytest.fixture(scope="module", params=KINDS)
def result(request: pytest.FixtureRequest) -> FitResult:
    return voxel_result(request.param) if "voxels" in request.param else image_result(request.param)


def test_recipe_is_json(result: FitResult) -> None:
    recipe = json.loads(json.dumps(result.recipe(), allow_nan=False))
    assert recipe["model"] == result.model.name
    assert recipe["verb"] in {"fit_image", "fit_voxels"}


def test_table_has_a_row_for_each_fit(result: FitResult) -> None:
    table = result.to_dataframe()
    assert len(table) == result.status.size
    for name in result.model.names:
        np.testing.assert_array_equal(table[name], result.params[name].ravel())
        np.testing.assert_array_equal(table[f"{name}_stderr"], result.stderr[name].ravel())
    assert table["message"].tolist() == [Status(int(s)).message for s in result.status.ravel()]


def test_summary_names_the_model(result: FitResult) -> None:
    assert result.summary().startswith(result.model.name)


def test_layers_can_be_added_to_a_viewer(result: FitResult) -> None:
    layers = pytest.importorskip("napari.layers")
    components = pytest.importorskip("napari.components")
    viewer = components.ViewerModel()
    for data, options, kind in result.to_layers():
        viewer.add_layer(layers.Layer.create(data, options, kind))
    names = [layer.name for layer in viewer.layers]
    assert len(set(names)) == len(names)
    roles = [layer.metadata["napari_imagefit"]["role"] for layer in viewer.layers]
    assert len(set(roles)) == len(roles)
    assert {"fitted", "residual"} <= set(roles)


def test_residual_is_data_minus_fitted(result: FitResult) -> None:
    data = result.source.image if hasattr(result.source, "image") else result.source.stack  # type: ignore[attr-defined]
    fitted, residual = result.fitted(), result.residual()
    good = np.isfinite(fitted) & np.isfinite(data)
    np.testing.assert_array_equal(residual[good], (data - fitted)[good])
    assert np.isnan(residual[~good]).all()


def test_progress_grows_to_the_total() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(24 * 28).reshape(24, 28) // 96 + 1
    image = rng.normal(size=(3, 24, 28))
    seen: list[tuple[int, int]] = []
    fit_image(image, "gaussian_2d", mask=labels, progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert {total for _, total in seen} == {21}
    assert done == sorted(done)
    assert done[-1] == 21
    assert threading.current_thread() is threading.main_thread()


def test_should_stop_returns_what_there_is() -> None:
    rng = np.random.default_rng(0)
    # so many chunks that some have not begun
    stack = 2 * np.exp(-T[:, None]) + rng.normal(0, 0.05, (32, 400_000))
    done = 0

    def note(fits: int, _total: int) -> None:
        nonlocal done
        done = fits

    result = fit_voxels(
        stack, "exponential_decay", x=T, progress=note, should_stop=lambda: done > 10_000, init={"tau": 2}
    )
    stopped = result.status == Status.STOPPED
    assert stopped[-8192:].all()
    # some of the first still waited for others to be fitted with
    assert (result.converged | stopped)[:8192].all()
    assert result.converged[:8192].mean() > 0.8
    assert np.isfinite(result.cost[:8192]).all()
    # what was never begun has no answer, and certainly not its start
    assert np.isnan(result.params["tau"][-8192:]).all()
    assert np.isnan(result.cost[-8192:]).all()
    assert np.isnan(result.fitted()[:, -8192:]).all()


def test_nothing_more_is_begun_once_stopped() -> None:
    image = np.random.default_rng(0).normal(size=(24, 28))
    labels = np.zeros((24, 28), int)
    labels[0, :5], labels[1:4, :10], labels[4:12], labels[12:] = 1, 2, 3, 4
    seen: list[int] = []
    result = fit_image(
        image, "gaussian_2d", mask=labels, should_stop=lambda: True, progress=lambda done, _: seen.append(done)
    )
    assert (result.status == Status.STOPPED).all()
    for name in result.params:
        assert np.isnan(result.params[name]).all()
    assert np.isnan(result.cost).all()
    assert np.isnan(result.fitted()).all()


@pytest.mark.parametrize("lazily", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize("verb", ["image", "spots", "voxels"])
def test_what_was_fitted_is_nan_where_there_is_no_answer(verb: str, lazily: bool) -> None:
    """Data that do not vary determine nothing: a fit to them ends somewhere, but that is no answer."""
    image = 5 * np.exp(-0.5 * ((Y - 11) ** 2 + (X - 13) ** 2) / 9)
    data = np.stack([image + 0.1 * np.sin(Y * X), np.full(image.shape, 3.0)])
    if verb == "voxels":
        data = np.stack([2 * np.exp(-T) + 0.01 * np.sin(9 * T), np.full(T.size, 3.0)], axis=1)
    given: Any = da.from_array(data, chunks=data.shape) if lazily else data
    if verb == "voxels":
        result = fit_voxels(given, "exponential_decay", x=T)
        fitted, residual = (np.asarray(values).T for values in (result.fitted(), result.residual()))
    else:
        points = np.array([[0, 11, 13], [1, 11, 13]])
        result = fit_image(given, "gaussian_2d") if verb == "image" else fit_spots(given, points, "gaussian_2d")
        fitted, residual = np.asarray(result.fitted()), np.asarray(result.residual())
    assert (np.asarray(result.status) == Status.SINGULAR).tolist() == [False, True]
    for values in (fitted, residual):
        assert np.isfinite(values[0]).all()
        assert np.isnan(values[1]).all()
    # it can still be looked up where it has ended
    assert np.isfinite(np.asarray(result.solution[result.model.names[0]])).all()


def test_a_result_is_about_what_was_said_then() -> None:
    stack = 2 * np.exp(-T[:, None]) * np.ones(3) + 0.1 + np.random.default_rng(0).normal(0, 0.02, (32, 3))
    init, low, fixed, tied = np.full(3, 1.5), np.zeros(3), {"offset": 0.1}, {"amplitude": "2"}
    bounds = {"tau": (low, 9.0)}
    result = fit_voxels(stack, "exponential_decay", x=T, init={"tau": init}, bounds=bounds, fixed=fixed, tied=tied)
    before, layers = result.recipe(), [name for _, name, _ in result.to_layers()]
    fixed["tau"], bounds["tau"], tied["amplitude"] = 7.0, (-1.0, 1.0), "3"
    init[:], low[:] = 8.0, 2.0
    assert result.recipe() == before
    assert [name["name"] for name in layers] == [look["name"] for _, look, _ in result.to_layers()]
    assert before["init"]["tau"] == [1.5] * 3


def test_layers_of_a_result_have_one_recipe() -> None:
    result = voxel_result("voxels")
    found = {id(look["metadata"]["napari_imagefit"]["recipe"]) for _, look, _ in result.to_layers()}
    assert len(found) == 1
    # what was made of it is no part of the result
    assert list(vars(result)) == [field.name for field in fields(result)]
