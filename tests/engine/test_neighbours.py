"""One bad fit never moves another, and neither does the order or the company of fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit.catalogue import models
from napari_imagefit.engine.core.columns import Columns
from napari_imagefit.engine.core.fits import Fits
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.status import Status
from napari_imagefit.engine.drive import run, wide
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.functions.parameter import Parameter
from napari_imagefit.engine.models.model import Model

M, FITS = 32, 8
T = np.linspace(0, 4, M)
DECAY = Model(
    "decay",
    lambda c, a, k, b: a * jnp.exp(-k * c[0]) + b,
    [Parameter("a"), Parameter("k", lower=0, upper=2), Parameter("b")],
    1,
    lambda _c, d, _w: jnp.ones((3, d.shape[1])),
)
ARRAYS = ("params", "solution", "start", "at_bound")
ROWS = ("covariance", "status", "flags", "cost", "n_used", "n_left_out", "n_iterations", "spread", "chi2", "squares")


def same(one: Fits, other: Fits, places: Any, other_places: Any) -> None:
    """Bit for bit."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name)[:, places], getattr(other, name)[:, other_places], name)
    for name in ROWS:
        np.testing.assert_array_equal(getattr(one, name)[places], getattr(other, name)[other_places], name)


@pytest.fixture
def data() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(1, 3, FITS) * np.exp(-rng.uniform(0.3, 1.8, FITS) * T[:, None]) + rng.normal(0, 0.1, (M, FITS))


BAD = {
    "nan": np.full(M, np.nan),
    "inf": np.full(M, np.inf),
    "zero": np.zeros(M),
    "constant": np.full(M, 7.3),
    "huge": np.full(M, 1e300),
    "alternating": 1e300 * (-1.0) ** np.arange(M),
    "tiny": np.full(M, 1e-300),
    "one sample": np.r_[1.0, np.full(M - 1, np.nan)],
}


@pytest.mark.parametrize("model", [DECAY, models["exponential_decay"]], ids=["decay", "exponential_decay"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_neighbour_changes_nothing(fit: Any, data: np.ndarray, model: Model, kind: str) -> None:
    before = fit(model, (T,), data)
    spoilt = data.copy()
    spoilt[:, 3] = BAD[kind]
    after = fit(model, (T,), spoilt)
    others = np.delete(np.arange(FITS), 3)
    same(before, after, others, others)
    assert (before.status > 0).all()


def test_a_hopeless_start_changes_nothing(fit: Any, data: np.ndarray) -> None:
    start = np.ones(FITS)
    before = fit(DECAY, (T,), data, init={"a": start})
    start[5] = 1e200
    after = fit(DECAY, (T,), data, init={"a": start})
    others = np.delete(np.arange(FITS), 5)
    same(before, after, others, others)


def test_order_does_not_matter(fit: Any, data: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(FITS)
    same(fit(DECAY, (T,), data), fit(DECAY, (T,), data[:, order]), order, np.arange(FITS))


@pytest.mark.parametrize("model", [DECAY, models["exponential_decay"]], ids=["decay", "exponential_decay"])
def test_chunks_do_not_matter(fit: Any, data: np.ndarray, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    together = fit(model, (T,), data)
    for most in (1, 3, 5):
        # more than one chunk, the last of which is hardly filled
        monkeypatch.setattr(run, "MOST_TOGETHER", most)
        same(fit(model, (T,), data), together, np.arange(FITS), np.arange(FITS))
    one = fit(model, (T,), data[:, 2:3])
    same(together, one, np.array([2]), np.array([0]))


@pytest.mark.parametrize("what", ["bounds", "fixed"])
def test_the_bounds_of_others_do_not_matter(fit: Any, data: np.ndarray, what: str) -> None:
    # of each fit alone, all of them coincide; of all together, some do, or all of them
    lower, upper = np.full(FITS, 0.1), np.full(FITS, 1.9)
    lower[::2] = upper[::2] = 1.0

    def said(part: slice) -> dict[str, Any]:
        return (
            {"fixed": {"k": np.ones(FITS)[part]}} if what == "fixed" else {"bounds": {"k": (lower[part], upper[part])}}
        )

    together = fit(DECAY, (T,), data, **said(slice(None)))
    for k in range(FITS):
        alone = fit(DECAY, (T,), data[:, k : k + 1], **said(slice(k, k + 1)))
        same(together, alone, np.array([k]), np.array([0]))
    even = fit(DECAY, (T,), data[:, ::2], **said(slice(None, None, 2)))
    same(together, even, np.arange(0, FITS, 2), np.arange(FITS // 2))
    assert (together.params[1, ::2] == 1).all()
    assert (together.status > 0).all()


@pytest.mark.parametrize(("count", "requested"), [(8, 8), (300, run.WIDE_FROM)])
def test_bounds_that_only_others_have_do_not_matter(fit: Any, data: np.ndarray, count: int, requested: int) -> None:
    """Of each second fit bounds are infinite: those alone have none at all."""
    free = Model("free", DECAY.function, [Parameter(name) for name in "akb"], 1, DECAY.guess)
    data = np.tile(data, count // FITS + 1)[:, :count]
    upper = np.where(np.arange(count) % 2, 0.8, np.inf)
    lower = np.where(np.arange(count) % 2, 0.1, -np.inf)
    together = fit(free, (T,), data, bounds={"k": (lower, upper)}, requested=requested)
    even = fit(free, (T,), data[:, ::2], bounds={"k": (lower[::2], upper[::2])}, requested=requested)
    same(together, even, np.arange(0, count, 2), np.arange((count + 1) // 2))
    assert (together.at_bound[1, 1::2] == 1).any()


@pytest.mark.parametrize("noise", ["poisson", "huber"])
def test_other_costs_have_no_neighbours_either(fit: Any, data: np.ndarray, noise: str) -> None:
    said = {"noise": "poisson"} if noise == "poisson" else {"loss": "huber", "f_scale": 0.1}
    data = np.abs(data)
    before = fit(models["exponential_decay"], (T,), data, **said)
    spoilt = np.concatenate([data, np.full((M, 1), np.nan), np.full((M, 1), 1e300), data[:, :1]], axis=1)
    after = fit(models["exponential_decay"], (T,), spoilt, **said)
    same(before, after, np.arange(FITS), np.arange(FITS))
    same(before, after, np.array([0]), np.array([FITS + 2]))


Y, X = (a.ravel() for a in np.mgrid[:9.0, :9.0])
COUNTS = (1, 2, 7, 16, 17, 255, 256)


def curves(count: int) -> tuple[Model, tuple[np.ndarray, ...], np.ndarray]:
    """Decays: good ones, noise alone, constants, gaps, and those that have no answer."""
    rng = np.random.default_rng(5)
    data = rng.uniform(1, 3, count) * np.exp(-rng.uniform(0.3, 1.8, count) * T[:, None]) + 0.3
    data[:, 3::11] = 0.3
    data += rng.normal(0, 0.1, data.shape)
    data[:, 5::13] = 7.3
    data[rng.random(data.shape) < 0.03] = np.nan
    data[:, 8::17] = np.nan
    data[2:, 9::19] = np.inf
    data[:, 10::23] *= 1e200
    return models["exponential_decay"], (T,), data


def spots(count: int) -> tuple[Model, tuple[np.ndarray, ...], np.ndarray]:
    """Windows with a spot, some of which are empty, cut or not there."""
    rng = np.random.default_rng(6)
    y, x = rng.uniform(3, 5, (2, count))
    peaks = np.exp(-0.5 * ((Y[:, None] - y) ** 2 + (X[:, None] - x) ** 2) / 1.4**2) * rng.uniform(20, 200, count) + 5
    data = rng.poisson(peaks).astype(float)
    data[:, 4::15] = rng.poisson(5, data[:, 4::15].shape)
    data[:27, 7::9] = np.nan
    data[:, 2::31] = 0
    return models["gaussian_2d"], (Y, X), data


def own_model(count: int) -> tuple[Model, tuple[np.ndarray, ...], np.ndarray]:
    """A user's model, whose guess is plain NumPy."""
    _, _, data = curves(count)

    def guess(_c: Any, d: Any, _w: Any) -> Any:
        return np.stack([np.asarray(d).max(axis=0), np.ones(d.shape[1]), np.zeros(d.shape[1])])

    return replace(DECAY, name="own", guess=guess), (T,), data


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "curves": (curves, {}),
    "curves in single precision": (curves, {"dtype": "float32"}),
    "robust curves": (curves, {"loss": "cauchy", "f_scale": 0.2}),
    "counted spots": (spots, {"noise": "poisson"}),
    "spots": (spots, {}),
    "windows of spots": (spots, {"plane": (9, 9)}),
    "spots in single precision": (spots, {"dtype": "float32", "noise": "poisson"}),
    "a model of one's own": (own_model, {}),
}
MODELS: dict[tuple[str, int], Any] = {}


def some(*fast: str) -> list[Any]:
    """All cases, of which but these take long."""
    return [case if case in fast else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


def problem(case: str, count: int) -> Problem:
    """The same model for the same case, so that nothing is compiled twice."""
    make, how = CASES[case]
    if (case, count) not in MODELS:
        MODELS[case, count] = make(count)
    model, coords, data = MODELS[case, count]
    options = Options(**{name: value for name, value in how.items() if name != "plane"})
    return replace(Problem.build(model, coords, data, options=options, plane=how.get("plane")), requested=count)


def solve(whole: Problem, which: Any) -> Fits:
    data = whole.data if which is None else whole.data[:, which]
    steps = run.iter_fit(replace(whole, data=data))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", some("curves", "curves in single precision", "counted spots"))
def test_any_company_in_numpy(case: str) -> None:
    """Few fits: any number of them, in any order, at any place."""
    whole = problem(case, max(COUNTS))
    assert not run.is_wide(whole)
    every = np.arange(max(COUNTS))
    together = solve(whole, every)
    assert {int(s) > 0 for s in together.status} == {True, False}
    rng = np.random.default_rng(0)
    for count in COUNTS:
        for which in (every[:count], rng.permutation(every)[:count], every[::-1][:count]):
            same(solve(whole, which), together, np.arange(count), which)
    # one by one: what has an answer, and what has none
    for i in (*range(12), 200):
        same(solve(whole, np.array([i])), together, np.array([0]), np.array([i]))


@pytest.mark.parametrize("case", some("curves", "windows of spots"))
@pytest.mark.parametrize("count", [257, 1000, pytest.param(5000, marks=pytest.mark.slow)])
def test_any_company_in_a_compiled_batch(case: str, count: int) -> None:
    whole = replace(problem(case, count), requested=run.WIDE_FROM)
    assert run.is_wide(whole)
    every = np.arange(count)
    together = solve(whole, every)
    assert (together.status != Status.STOPPED).all()
    assert {int(s) > 0 for s in together.status} == {True, False}
    rng = np.random.default_rng(0)
    order = rng.permutation(every)
    for which in (order, every[::-1], order[: count // 2], order[:17], every[:1], every[-2:], np.repeat(every[:40], 9)):
        same(solve(whole, which), together, np.arange(which.size), which)
    # a piece of the request is fitted in the same way, however small it is
    assert run.is_wide(replace(whole, data=whole.data[:, :1]))


@pytest.mark.slow
@pytest.mark.parametrize("case", ["curves", "counted spots", "curves in single precision"])
def test_several_blocks_and_what_waits_between_them(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are left early, so that most fits wait for another."""
    monkeypatch.setattr(wide, "FEW_RUNNING", 2)
    count = 4 * wide.MOST + 100
    whole = problem(case, count)
    together = solve(whole, np.arange(count))
    assert (together.status != Status.STOPPED).all()
    order = np.random.default_rng(0).permutation(count)
    same(solve(whole, order), together, np.arange(count), order)
    same(solve(whole, order[:999]), together, np.arange(999), order[:999])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["curves", "curves in single precision"])
@pytest.mark.parametrize("count", [65_536, 2_000_000])
def test_as_many_as_a_stack_has(case: str, count: int) -> None:
    """The same curves again and again, at every edge of a block, of a portion and of the batch."""
    few = 997
    whole = replace(problem(case, few), requested=count)
    data = Columns((M, count), lambda places: whole.data[:, places % few])
    together, once = solve(replace(whole, data=data), None), solve(whole, np.arange(few))
    assert {int(s) > 0 for s in once.status} == {True, False}
    same(together, once, np.arange(count), np.arange(count) % few)
