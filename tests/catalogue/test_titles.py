"""Every model has a name for people, and a formula in symbols."""

from __future__ import annotations

import re

import pytest

from napari_imagefit import Model, models
from napari_imagefit.catalogue.titles import (
    OWN,
    TITLE_LENGTH,
    TITLES,
    family_of,
    rich_symbol,
    short_title,
    symbol_of,
    symbols_of,
    title_of,
)


def test_each_model_of_the_catalogue_has_its_names() -> None:
    assert set(TITLES) == set(models)
    assert len({title.full for title in TITLES.values()}) == len(TITLES)
    assert len({title.short for title in TITLES.values()}) == len(TITLES)
    for name, model in models.items():
        assert "_" not in title_of(model), name
        assert len(short_title(model)) <= TITLE_LENGTH, name
        assert short_title(model) == TITLES[name].short
        assert family_of(model) != OWN


@pytest.mark.parametrize("name", list(models))
def test_each_formula_is_in_symbols(name: str) -> None:
    text = symbols_of(models[name])
    plain = re.sub(r"<[^>]*>", "", text)
    assert not re.search(r"sigma|tau|gamma|theta|beta|radius|_|\^|\*(?!\))", plain.replace("D*", "D"))
    assert re.sub(r"</?su[bp]>", "", text) == plain, "no other tags, and all closed"
    for parameter in models[name].names:
        assert rich_symbol(parameter) in text or parameter in ("y", "x", "z", "theta")


def test_formulas_read_as_they_are_written_on_paper() -> None:
    assert symbols_of(models["gaussian_2d"]) == "amplitude·exp(−(Δy² + Δx²)/(2 σ²)) + offset"
    assert "Δy²/(2 σ<sub>y</sub>²)" in symbols_of(models["gaussian_2d_elliptic"])
    assert "(t/τ)<sup>β</sup>" in symbols_of(models["stretched_exponential"])
    assert "(Δx/R<sub>x</sub>)², 0)<sup>3/2</sup>" in symbols_of(models["thomas_fermi_2d"])
    assert symbols_of(models["biexponential_decay"]).startswith("A<sub>1</sub>·exp(−t/τ<sub>1</sub>) + A<sub>2</sub>·")
    assert symbols_of(models["ivim"]) == "S<sub>0</sub>·(f·exp(−b·D*) + (1 − f)·exp(−b·D))"


def test_a_model_of_ones_own_has_its_name_and_formula() -> None:
    own = Model.from_expression("a*exp(-(t/tau_1)**b) + c*where(t < 3, 1, t)", ["t"], name="my decay with a long name")
    assert title_of(own) == own.name
    assert short_title(own) == "my decay with…"
    assert family_of(own) == OWN
    assert symbols_of(own) == "a·exp(-(t/τ<sub>1</sub>)<sup>b</sup>) + c·where(t &lt; 3, 1, t)"


def test_a_sum_has_the_names_of_its_parts() -> None:
    total = models["gaussian_1d"] + models["linear"]
    assert title_of(total) == "Gaussian line + Straight line"
    assert short_title(total) == "Gauss line +…"
    assert family_of(total) == OWN


def test_symbols_of_names_that_have_no_letter() -> None:
    assert [symbol_of(name) for name in ("_", "_a", "a_", "amplitude_thermal", "sigma_a_b")] == [
        "_",
        "_a",
        "a_",
        "A_thermal",
        "σ_a_b",
    ]
    assert rich_symbol("a_") == "a_"
    assert rich_symbol("sigma_a_b") == "σ<sub>a b</sub>"
