"""What can be taken hold of in the models of the catalogue: where it lies, and what dragging it sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_imagefit import Model, models
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.models.handles import Centre, Ellipse, Height, Width, ellipses_of, handles_of
from napari_imagefit.engine.models.prediction import predict
from napari_imagefit.imaging.inspection.grips import dragged, grips_of, line_at, outline_of, value_at

# Models of which nothing can be taken hold of, and why.
NOTHING = {
    "plane_2d": "a plane has no place and no width",
    "gaussian_3d": "fitted to spots, whose starts are found for each",
    "gaussian_3d_elliptic": "fitted to spots, whose starts are found for each",
}
# Parameters that no handle sets, and why.
UNSEEN = {
    ("stretched_exponential", "beta"): "a shape, neither a place nor a height",
    ("ivim", "f"): "a share of two parts",
    ("damped_sine", "phase"): "an angle of a curve",
}
# What follows from heights alone in a surface, where no height can be drawn.
IN_DATA_UNITS = "data"
VALUES = {"theta": 0.4, "phase": 0.6, "beta": 0.8, "f": 0.3, "efficiency": 0.9, "frequency": 0.21}
SURFACES = [name for name, model in models.items() if model.ndim == 2 and name not in NOTHING]
CURVES = [name for name, model in models.items() if model.ndim == 1]


def values_for(model: Model) -> dict[str, float]:
    return {name: VALUES.get(name, 2.5 + 0.7 * i) for i, name in enumerate(model.names)}


def names_in(model: Model) -> set[str]:
    found: set[str] = set()
    for handle in handles_of(model):
        if isinstance(handle, Ellipse):
            found |= {*handle.centre, *handle.widths, handle.angle}
        else:
            found.add(handle.parameter)
    return found - {""}


@pytest.mark.parametrize("name", list(models))
def test_every_parameter_that_can_be_seen_can_be_taken_hold_of(name: str) -> None:
    model = models[name]
    if name in NOTHING:
        assert handles_of(model) == ()
        return
    left = {
        parameter.name
        for parameter in model.parameters
        if not (model.ndim == 2 and parameter.unit.startswith(IN_DATA_UNITS)) and (name, parameter.name) not in UNSEEN
    }
    assert names_in(model) == left


@pytest.mark.parametrize("name", SURFACES)
def test_where_a_grip_is_dragged_there_it_is(name: str) -> None:
    model = models[name]
    values = values_for(model)
    for ellipse in ellipses_of(model):
        for grip in grips_of(ellipse, values):
            # along its own direction, so that the grip can follow
            centre = np.array([values[n] for n in ellipse.centre])
            away = np.array(grip.at) - centre
            to = centre + 1.5 * away + ([1.0, -2.0] if grip.what == "centre" else 0)
            if grip.what == "angle":
                to = centre + np.linalg.norm(away) * np.array([math.sin(1.1), math.cos(1.1)])
            changed = values | dragged(grip, values, (float(to[0]), float(to[1])))
            (there,) = [new for new in grips_of(ellipse, changed) if new.what == grip.what]
            np.testing.assert_allclose(there.at, to, rtol=1e-12)


@pytest.mark.parametrize("name", SURFACES)
def test_an_outline_is_a_contour_of_its_surface(name: str) -> None:
    model = models[name]
    values = values_for(model)
    for ellipse in ellipses_of(model):
        others = {n: 0.0 for n in model.names if n.startswith("amplitude_") and ellipse.kind != _kind_of(n)}
        params = np.array([[(values | others)[n]] for n in model.names])
        points = outline_of(ellipse, values, 60)
        along = predict(model, (points[:, 0], points[:, 1]), params, Options())[:, 0]
        assert np.ptp(along) < 1e-9 * (1 + abs(along).max())


def _kind_of(amplitude: str) -> str:
    return {"amplitude_thermal": "sigma", "amplitude_condensate": "radius"}[amplitude]


@pytest.mark.parametrize("name", CURVES)
def test_where_a_line_is_dragged_there_it_is(name: str) -> None:
    model = models[name]
    values, ends = values_for(model), (0.5, 12.0)
    for line in handles_of(model):
        assert isinstance(line, (Centre, Width, Height))
        at = line_at(line, model, values, ends)
        assert math.isfinite(at)
        assert value_at(line, model, values, ends, at) == pytest.approx(values[line.parameter], rel=1e-9)
        new = value_at(line, model, values, ends, at + 0.4)
        assert line_at(line, model, values | {line.parameter: new}, ends) == pytest.approx(at + 0.4, rel=1e-9)


@pytest.mark.parametrize("name", CURVES)
def test_the_height_of_a_curve_is_where_the_curve_is(name: str) -> None:
    model = models[name]
    values, ends = values_for(model), (0.5, 12.0)
    params = np.array([[values[n]] for n in model.names])
    for line in handles_of(model):
        if isinstance(line, Height) and line.at and not line.without:
            place = {"first": ends[0], "last": ends[1]}.get(line.at, values.get(line.at))
            curve = predict(model, (np.array([place], float),), params, Options())[0, 0]
            assert line_at(line, model, values, ends) == pytest.approx(curve, rel=1e-12)


def test_own_models_get_what_their_roles_tell() -> None:
    surface = Model.from_expression("a*exp(-(y-y0)**2/(2*s**2)-(x-x0)**2/(2*w**2))+c", ["y", "x"])
    assert handles_of(surface) == (Ellipse(("y0", "x0"), ("s", "w")),)
    swapped = Model.from_expression("a*exp(-(x-x0)**2/(2*w**2)-(y-y0)**2/(2*w**2))", ["y", "x"])
    assert handles_of(swapped) == (Ellipse(("y0", "x0"), ("w", "w")),)
    tilted = Model.from_expression(
        "a*exp(-((x-x0)*cos(q)+(y-y0)*sin(q))**2/s**2-((y-y0)*cos(q)-(x-x0)*sin(q))**2/w**2)", ["y", "x"]
    )
    assert all(not any(handle.widths) for handle in ellipses_of(tilted)), "which width lies where is not known"
    curve = Model.from_expression("a*exp(-(t-t0)**2/w**2)+c", ["t"])
    assert handles_of(curve) == (Centre("t0"), Width("w", "t0"), Height("a", "t0"), Height("c"))
    assert handles_of(Model.from_expression("a*y+b*x", ["y", "x"])) == ()


def test_the_parts_of_a_sum_have_their_own_names() -> None:
    two = models["gaussian_2d"] + models["plane_2d"] + models["gaussian_2d_rotated"]
    assert ellipses_of(two) == (
        Ellipse(("y_1", "x_1"), ("sigma", "sigma")),
        Ellipse(("y_3", "x_3"), ("sigma_y", "sigma_x"), "theta"),
    )
    peaks = handles_of(models["linear"] + models["gaussian_1d"])
    assert Height("amplitude", "x") in peaks
    assert all(handle != Height("offset") for handle in peaks), "the sum has no second constant"
