"""What is compiled and when, how it is kept, and who waits for it; threads do not mix."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from napari_imagefit import FitResult, Model, Parameter, Status, fit_image, fit_voxels, models
from napari_imagefit.engine.core import programs
from napari_imagefit.engine.core.device import computing
from napari_imagefit.engine.core.options import Options
from napari_imagefit.engine.core.programs import compiled_programs, kept_programs
from napari_imagefit.engine.drive.problem import Problem
from napari_imagefit.engine.drive.run import WIDE_FROM, iter_fit
from napari_imagefit.engine.drive.wide_programs import Programs
from napari_imagefit.engine.linalg.algebra import JaxAlgebra
from napari_imagefit.engine.models.ties import Ties
from napari_imagefit.engine.noise.samples import bucket
from napari_imagefit.engine.shared.joint_fit import iter_fit_shared
from napari_imagefit.imaging.voxels.voxel_fits import VoxelRequest

T = np.linspace(0, 5, 32)


def stack(seed: int, fits: int = 8) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(1, 3, fits) * np.exp(-T[:, None] / rng.uniform(0.5, 2, fits)) + rng.normal(0, 0.05, (32, fits))


def new_formula(number: int) -> Model:
    """A model that nobody has compiled: its constant is its own."""
    return Model.from_expression(
        f"a*exp(-t/tau) + {number + 0.25}", ["t"], bounds={"tau": (0.01, 50)}, init={"a": 2.0, "tau": 1.0}
    )


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of its own with room for three."""
    monkeypatch.setattr(programs, "_programs", type(programs._programs)())
    monkeypatch.setattr(programs, "MOST_PROGRAMS", 3)


@pytest.mark.slow
def test_fifty_regions_share_a_few_programs() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :200]
    image = np.exp(-((y - 100) ** 2 + (x - 100) ** 2) / 2000) + rng.normal(0, 0.01, (200, 200))
    before = compiled_programs()
    for _ in range(50):
        height, width = rng.integers(20, 120, 2)
        mask = np.zeros(image.shape, bool)
        mask[90 - height // 2 : 90 + height // 2, 100 - width // 2 : 100 + width // 2] = True
        result = fit_image(image, "gaussian_2d", mask=mask)
        assert result.converged.all()
        result.residual()
    # 400 to 14 400 pixels are padded to six powers of two from 512 to 16 384, of each of which sums alone are compiled
    assert compiled_programs() - before <= 6


def test_a_hundred_sizes_of_one_bucket_compile_nothing_new() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    image = np.exp(-((y - 15) ** 2 + (x - 16) ** 2) / 40) + rng.normal(0, 0.01, (32, 32))
    sizes = [(h, w) for h in range(23, 33) for w in range(23, 33) if bucket(h * w) == 1024]
    assert len({h * w for h, w in sizes}) > 30
    fit_image(image, "gaussian_2d")
    before = compiled_programs()
    for h, w in sizes:
        assert fit_image(image[:h, :w], "gaussian_2d").converged.all()
    assert compiled_programs() == before


def test_a_second_call_of_like_size_compiles_nothing() -> None:
    fit_voxels(stack(0), "exponential_decay", x=T)
    before = compiled_programs()
    fit_voxels(stack(1, 7), "exponential_decay", x=T * 3)
    fit_voxels(stack(2, 5), "exponential_decay", x=T, bounds={"tau": (0.1, 9)}, init={"tau": 1}, max_iterations=7)
    assert compiled_programs() == before


@pytest.mark.parametrize(
    "how",
    [
        {"fixed": {"offset": 0.0}},
        {"fixed": {"offset": 0.0, "tau": 1.0}},
        {"bounds": {"tau": (0.5, 1.5), "offset": (-1, 1)}},
        {"fixed": {"tau": np.linspace(0.5, 2, 8)}},
        {"bounds": {"amplitude": (np.zeros(8), np.full(8, 2.0))}},
        {"init": {"tau": np.linspace(0.5, 2, 8)}},
    ],
    ids=str,
)
def test_fixing_bounding_and_starting_compile_nothing(how: dict[str, Any]) -> None:
    data = stack(0)
    fit_voxels(data, "exponential_decay", x=T)
    before = compiled_programs()
    fit_voxels(data, "exponential_decay", x=T, **how)
    assert compiled_programs() == before


def test_a_wide_batch_compiles_nothing_of_the_model_for_another_number_of_free_parameters() -> None:
    """What does not belong to the model serves every model."""
    data = stack(0, WIDE_FROM)
    fit_voxels(data, "exponential_decay", x=T)
    known = set(programs._programs)
    fit_voxels(data[:, ::-1] + 1, "exponential_decay", x=T, fixed={"offset": 1.0})
    fit_voxels(data, "exponential_decay", x=T, bounds={"tau": (0.1, 9.0), "offset": (-1, 1)})
    fit_voxels(data, "exponential_decay", x=T, init={"tau": np.linspace(1, 2, WIDE_FROM)})
    assert {key[1] for key in set(programs._programs) - known} <= {"begin", "step", "finish"}
    known = set(programs._programs)
    other = Model.from_expression(
        "a*exp(-t/tau)*0.5 + c", ["t"], bounds={"tau": (0.01, 50)}, init={"a": 2.0, "tau": 1.0}
    )
    fit_voxels(data, other, x=T)
    assert sorted(key[1] for key in set(programs._programs) - known) == ["ends", "start", "sums"]


def test_equal_expressions_compile_once() -> None:
    first = fit_voxels(stack(0), new_formula(1), x=T)
    before = compiled_programs()
    again = fit_voxels(stack(0), new_formula(1), x=T)
    np.testing.assert_array_equal(again.params["tau"], first.params["tau"])
    assert compiled_programs() == before
    # sums and ties of equal models are equal, too
    sums = [new_formula(1) + models["linear"] for _ in range(2)]
    tied = [Ties.of(models["exponential_decay"], {"offset": "amplitude/10"}).model for _ in range(2)]
    fit_voxels(stack(0), sums[0], x=T)
    fit_voxels(stack(0), tied[0], x=T)
    assert compiled_programs() > before
    before = compiled_programs()
    fit_voxels(stack(0), sums[1], x=T)
    fit_voxels(stack(0), tied[1], x=T)
    assert compiled_programs() == before
    # another constant is another model
    fit_voxels(stack(0), new_formula(2), x=T)
    assert compiled_programs() > before


def test_users_models_count_by_identity() -> None:
    def make(factor: float) -> Model:
        def guess(_c: Any, d: Any, _w: Any) -> Any:
            return jnp.ones((2, d.shape[1]))

        parameters = [Parameter("a"), Parameter("tau", lower=0.01)]
        return Model("mine", lambda c, a, tau: factor * a * jnp.exp(-c[0] / tau), parameters, 1, guess)

    one, other = make(1.0), make(2.0)
    found = [fit_voxels(stack(0), model, x=T).params["a"] for model in (one, other, one)]
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], 2 * found[1], rtol=1e-6)


@pytest.mark.usefixtures("few_kept")
def test_the_store_is_bounded() -> None:
    found = [fit_voxels(stack(0), new_formula(10 + k), x=T) for k in range(6)]
    assert kept_programs() <= 3
    before = compiled_programs()
    # the last is there; the first has gone, and is compiled again
    fit_voxels(stack(0), new_formula(15), x=T)
    assert compiled_programs() == before
    again = fit_voxels(stack(0), new_formula(10), x=T)
    assert compiled_programs() == before + 1
    np.testing.assert_array_equal(again.params["tau"], found[0].params["tau"])


@pytest.mark.usefixtures("few_kept")
def test_what_is_used_stays() -> None:
    fit_voxels(stack(0), new_formula(20), x=T)
    for k in range(21, 26):
        fit_voxels(stack(0), new_formula(k), x=T)
        before = compiled_programs()
        fit_voxels(stack(0), new_formula(20), x=T)
        assert compiled_programs() == before


@pytest.mark.usefixtures("few_kept")
def test_the_size_of_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_PROGRAMS", 100)
    monkeypatch.setattr(programs, "_size", lambda _program: 400)
    monkeypatch.setattr(programs, "PROGRAM_BYTES", 1000)
    for k in range(30, 34):
        fit_voxels(stack(0), new_formula(k), x=T)
    wait_for_compilers()
    assert kept_programs() == 2
    # one that is larger than the store is kept as long as no other is wanted
    monkeypatch.setattr(programs, "_size", lambda _program: 5000)
    fit_voxels(stack(0), new_formula(34), x=T)
    wait_for_compilers()
    assert kept_programs() == 1


def wait_for_compilers() -> None:
    """Wait until they have done what no fit waits for: the size of a program is known after it is there."""
    until = time.monotonic() + 10
    while programs.is_compiling() and time.monotonic() < until:
        time.sleep(0.01)


def test_how_large_a_program_is_can_be_known() -> None:
    fit_voxels(stack(0), new_formula(41), x=T)
    wait_for_compilers()
    assert all(1_000 < size < 10_000_000 for _, size in programs._programs.values())


def asked(key: Any, function: Callable[..., Any]) -> Any:
    with computing(Options()):
        return programs.request(key, function, (jax.ShapeDtypeStruct((3,), np.float64),), Options(), "plain")


def test_what_several_want_is_compiled_once() -> None:
    traced = []

    def function(x: Any) -> Any:
        traced.append(x)
        time.sleep(0.1)
        return 2 * x

    before = compiled_programs()
    futures = [asked(("test", "once"), function) for _ in range(5)]
    found = [future.result() for future in futures]
    assert all(one is found[0] for one in found)
    assert len(traced) == 1
    assert compiled_programs() == before + 1
    assert asked(("test", "once"), function).result() is found[0]


def test_a_failure_is_told_and_not_kept() -> None:
    def broken(_x: Any) -> Any:
        raise ZeroDivisionError("of the user's")

    for _ in range(2):
        with pytest.raises(ZeroDivisionError, match="of the user's"):
            asked(("test", "broken"), broken).result()
    with computing(Options()):
        program = asked(("test", "broken"), lambda x: 3 * x).result()
        np.testing.assert_array_equal(program(np.ones(3)), 3)


def test_options_that_xla_does_not_know_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_refused", set())
    options = programs.OPTIONS["reassociated"] | {"xla_no_such_option_at_all": True}
    monkeypatch.setitem(programs.OPTIONS, "reassociated", options)
    result = fit_voxels(stack(0), new_formula(40), x=T)
    assert "xla_no_such_option_at_all" in programs._refused
    assert result.converged.all()
    # the others are not given up
    assert not programs._refused & set(programs.REASSOCIATE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_settings_are_left_alone(dtype: str) -> None:
    assert not jax.config.jax_enable_x64
    fit_voxels(stack(0), "exponential_decay", x=T, dtype=dtype)
    assert jnp.ones(1).dtype == jnp.float32
    steps = VoxelRequest(models["exponential_decay"], x=T).steps(stack(0))
    next(steps)
    assert jnp.ones(1).dtype == jnp.float32
    steps.close()
    assert jnp.ones(1).dtype == jnp.float32
    with jax.enable_x64(True):
        fit_voxels(stack(0), "exponential_decay", x=T, dtype=dtype)
        assert jnp.ones(1).dtype == jnp.float64


def test_two_threads_at_once_give_what_one_gives() -> None:
    def run(seed: int) -> FitResult:
        return fit_voxels(stack(seed), "exponential_decay", x=T, dtype="float32" if seed % 2 else "float64")

    alone = [run(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, range(8)))
    for one, other in zip(alone, together, strict=True):
        for name in one.params:
            np.testing.assert_array_equal(one.params[name], other.params[name])


@pytest.fixture
def slow_compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Compiling takes as long as the test; the event tells that it has begun."""
    finished, started = threading.Event(), threading.Event()
    compile_lowered = programs.compile_lowered

    def waiting(*arguments: Any) -> Any:
        started.set()
        finished.wait(5)
        return compile_lowered(*arguments)

    monkeypatch.setattr(programs, "compile_lowered", waiting)
    yield started
    finished.set()
    for future in list(programs._compiling.values()):
        future.exception()


KINDS = {"few": 8, "a large fit": 1, "a compiled batch": 600, "shared": 9}


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_waits_for_a_compiler_that_is_to_stop(kind: str, slow_compiler: threading.Event) -> None:
    model, coords, data = new_formula(100 + len(kind)), (T,), stack(0, KINDS[kind])
    if kind == "a large fit":
        t = np.linspace(0, 5, 70_000)
        coords, data = (t,), (2 * np.exp(-t) + 1)[:, None]
    problem = Problem.build(model, coords, data)
    stop: list[float] = []

    def should_stop() -> bool:
        return bool(stop)

    steps = iter_fit_shared(problem, ["tau"], should_stop) if kind == "shared" else iter_fit(problem, should_stop)
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            fits = end.value
            break
        if slow_compiler.is_set() and not stop:
            stop.append(time.perf_counter())
    assert time.perf_counter() - stop[0] < 0.3
    assert (fits.status == Status.STOPPED).all()
    assert np.isnan(fits.params).all()
    assert any(progress.compiling for progress in seen)


def test_what_was_under_way_is_there_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_lowered, calls = programs.compile_lowered, []

    def slow(*arguments: Any) -> Any:
        calls.append(0)
        time.sleep(0.5)
        return compile_lowered(*arguments)

    monkeypatch.setattr(programs, "compile_lowered", slow)
    model = new_formula(200)
    stopped = fit_voxels(stack(0), model, x=T, should_stop=lambda: bool(calls))
    assert (stopped.status == Status.STOPPED).all()
    result = fit_voxels(stack(0), model, x=T)
    assert result.converged.all()
    assert len(calls) == 1


def test_programs_that_are_traced_side_by_side_are_those_traced_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one was about was once taken for the other's: it took two or three times as long, and was kept on disk."""
    problem = Problem.build(models["gaussian_2d"], np.indices((11, 11)).reshape(2, -1) * 1.0, np.ones((121, 512)))
    names = ("step", "finish", "begin")

    def trace(name: str, wanted: dict[str, Any]) -> int:
        with computing(wanted[name].options):
            return len(jax.make_jaxpr(wanted[name].function)(*wanted[name].shapes).pretty_print())

    alone = {name: trace(name, Programs(problem, 512).wanted) for name in names}
    together, whole, met = Programs(problem, 512).wanted, JaxAlgebra._in_one_loop, threading.Barrier(len(names))

    def one_loop(self: JaxAlgebra, function: Any, twice: Any, args: Any) -> Any:
        def meet(*given: Any) -> Any:
            # each is in the middle of its first loop
            if not getattr(here, "met", False):
                here.met = True
                met.wait(20)
            return function(*given)

        return whole(self, meet, twice, args)

    here = threading.local()
    monkeypatch.setattr(JaxAlgebra, "_in_one_loop", one_loop)
    with ThreadPoolExecutor(len(names)) as threads:
        found = dict(zip(names, threads.map(trace, names, [together] * len(names)), strict=True))
    assert found == alone
