"""Processes, platforms, NumPy's global state and JAX's traces around a fit."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import napari_imagefit as nif
from napari_imagefit.imaging.spots.detection import Detection, find_spots

T = np.linspace(0, 3, 16)
DATA = np.array([1.0, 2.0, 3.0]) * np.exp(-T[:, None] / np.array([0.5, 0.8, 1.2])) + 0.1
PLANE = 9 * np.exp(-((np.mgrid[:15, :15] - 7.2) ** 2).sum(0) / 8) + 1
HEAD = """
import os, sys, warnings
import numpy as np
import napari_imagefit as nif
warnings.simplefilter("ignore")
T = np.linspace(0, 3, 16)
DATA = np.array([1.0, 2.0, 3.0]) * np.exp(-T[:, None] / np.array([0.5, 0.8, 1.2])) + 0.1
def fit(**how): return nif.fit_voxels(DATA, "exponential_decay", x=T, **how).params["tau"].tolist()
def fit_in_numpy(): return nif.curve_fit(lambda t, a, k: a * np.exp(-k * t), T, 2 * np.exp(-T), p0=[1.0, 2.0])[0]
def told(call):
    try: return call()
    except nif.FitInputError as error: return str(error)
def in_child(call):
    '''What it prints in a forked child, which does not wait for ever.'''
    import signal
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(90)
        try: text = repr(call())
        except BaseException as error: text = f"{type(error).__name__}: {error}"
        os.write(write, text.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said: text = said.read()
    os.waitpid(child, 0)
    return text
"""


def run(code: str, seconds: float = 400, **environment: str) -> str:
    """What a process of its own writes, whose children end with it."""
    known = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    found = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(code)],
        env={**known, "JAX_PLATFORMS": "cpu", **environment},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_after_a_fit() -> None:
    """What JAX would wait for ever for is refused at once; what NumPy does alone, and a child's own start, work."""
    lines = run(
        """
        assert in_child(fit) == repr(fit())
        result = nif.fit_voxels(DATA, "exponential_decay", x=T)
        own = nif.Model.from_expression("a*exp(-t/tau)", coords=["t"])
        import jax.numpy as jnp
        print(in_child(fit))
        print(in_child(lambda: nif.fit_image(np.ones((300, 300)), "gaussian_2d")))
        print(in_child(lambda: nif.TrustRegionFitter().fit_batch(own.bind(T), DATA)))
        print(in_child(lambda: nif.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), T, DATA[:, 0], p0=[1.0, 1.0])))
        print(in_child(lambda: fit_in_numpy().round(6)))
        print(in_child(lambda: result.fitted().shape))
        assert fit() == result.params["tau"].tolist()
        """
    ).splitlines()
    for line in lines[:4]:
        assert line.startswith("FitInputError: this process was forked")
        assert "'spawn'" in line
    assert lines[4:] == ["array([2., 1.])", "(16, 3)"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_after_the_user_has_used_jax() -> None:
    said = run(
        """
        import jax.numpy as jnp
        float(jnp.ones(3).sum())
        print(in_child(fit))
        """
    )
    assert said.startswith("FitInputError: this process was forked")


@pytest.mark.parametrize("name", ["nonsense", "cuda"])
def test_platform_that_is_not_there(name: str) -> None:
    """One sentence with the remedy; what NumPy does alone works."""
    if name == "cuda" and jax.default_backend() == "gpu":
        pytest.skip("it is there")
    lines = run(
        """
        import jax.numpy as jnp
        own = nif.Model("own", lambda c, a, k: a * jnp.exp(-k * c[0]), [nif.Parameter("a"), nif.Parameter("k")], 1,
            lambda _c, d, _w: jnp.stack([d[0], jnp.ones(d.shape[1])]))
        print(told(fit))
        print(told(lambda: fit(device="cpu")))
        print(told(lambda: nif.fit_voxels(DATA, own, x=T)))
        print(told(lambda: nif.fit_image(np.ones((300, 300)), "gaussian_2d")))
        print(told(lambda: nif.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), T, DATA[:, 0], p0=[1.0, 1.0])))
        print(told(lambda: own.bind(T).predict([[1.0], [2.0]])))
        print(fit_in_numpy().round(6))
        """,
        JAX_PLATFORMS=name,
    ).splitlines()
    assert len(lines) == 7
    for line in lines[:6]:
        assert line.startswith(f"JAX_PLATFORMS is '{name}', of which JAX finds none here; set it to 'cpu'")
    assert lines[6] == "[2. 1.]"


def test_settings_of_the_environment_and_another_device() -> None:
    usual = run("print(fit())")
    several = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "JAX_DEBUG_NANS": "1", "JAX_DISABLE_JIT": "1"}
    assert (
        run(
            """
            import jax
            with jax.default_device(jax.devices()[2]):
                print(fit())
            """,
            JAX_NUMPY_RANK_PROMOTION="raise",
            **several,
        )
        == usual
    )


def test_states_of_numpy_while_everything_is_loaded() -> None:
    """Tables that modules make, and modules that draw numbers, when they are first used."""
    assert (
        run(
            """
            import random
            random.seed(1)
            np.random.seed(1)
            before, other = np.random.get_state()[1].tolist(), random.getstate()
            np.seterr(all="raise")
            warnings.simplefilter("error")
            fit()
            nif.fit_image(np.exp(-((np.mgrid[:9, :9] - 4.2) ** 2).sum(0)), "gaussian_2d")
            assert np.random.get_state()[1].tolist() == before
            assert random.getstate() == other
            print("ok")
            """
        )
        == "ok"
    )


def test_results_are_read_whatever_numpy_is_to_raise() -> None:
    data = DATA.copy()
    data[:, 0], data[3, 1], data[:, 2] = np.nan, 1e300, 0
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        result = nif.fit_voxels(data, "exponential_decay", x=T)
        assert len(result.to_dataframe()) == 3
        assert result.summary()
        assert result.fitted().shape == result.residual().shape == data.shape
        assert [result.aicc, result.bic, result.r2, result.reduced_chi2]
        assert result.to_layers()


def test_callbacks_have_the_settings_of_their_caller() -> None:
    seen = []

    def stop() -> bool:
        seen.append(np.geterr()["over"])
        return False

    with np.errstate(over="raise"), jax.debug_nans(True):
        nif.fit_voxels(
            DATA,
            "exponential_decay",
            x=T,
            should_stop=stop,
            progress=lambda *_: seen.append((np.geterr()["over"], jax.config.jax_debug_nans)),
        )
    assert set(seen) == {"raise", ("raise", True)}


class Foreign:
    """A model of osipy's, written with JAX and of mixed ranks."""

    parameters = ("a", "tau")

    def get_bounds(self) -> dict[str, tuple[float, float]]:
        return {"a": (0.0, 100.0), "tau": (0.05, 20.0)}

    def get_initial_guess_batch(self, observed: Any, xp: Any) -> Any:
        return jnp.stack([observed[0], jnp.ones(observed.shape[1])])

    def predict_array_batch(self, params: Any, xp: Any) -> Any:
        return params[0] * jnp.exp(-T[:, None] / params[1]) + 0.1


@pytest.mark.parametrize(
    "setting",
    [
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: jax.transfer_guard("disallow_explicit"),
        lambda: jax.debug_nans(True),
    ],
    ids=["rank promotion", "transfer guard", "debug_nans"],
)
def test_foreign_models_under_settings(setting: Callable[[], Any]) -> None:
    usual = nif.TrustRegionFitter().fit_batch(Foreign(), DATA)[0]
    with setting():
        found = nif.TrustRegionFitter().fit_batch(Foreign(), DATA)[0]
    np.testing.assert_array_equal(found, usual)


def _voxels(**what: Any) -> object:
    return nif.fit_voxels(**{"stack": DATA, "model": "exponential_decay", "x": T, **what})


def _curve(y: Any = DATA[:, 0], f: Any = lambda t, a, k: a * jnp.exp(-k * t), x: Any = T, **what: Any) -> object:
    return nif.curve_fit(f, x, y, **{"p0": [1.0, 1.0], **what})


def _own(constant: Any) -> nif.Model:
    parameters = [nif.Parameter("a"), nif.Parameter("k")]
    return nif.Model("own", lambda c, a, k: a * jnp.exp(-k * c[0]) + constant, parameters, 1, lambda _c, d, _w: d[:2])


TRACED: dict[str, tuple[Callable[[Any], object], Any]] = {
    "data": (lambda a: _voxels(stack=a), DATA),
    "rows of data": (lambda a: _voxels(stack=[a] * 16), DATA[0]),
    "x": (lambda a: _voxels(x=a), T),
    "mask of voxels": (lambda a: _voxels(mask=a), np.ones(3, bool)),
    "start": (lambda a: _voxels(init={"tau": a}), 1.0),
    "bound": (lambda a: _voxels(bounds={"tau": (a, 3)}), 0.1),
    "sigma": (lambda a: _voxels(sigma=a), 0.1),
    "model": (lambda a: _voxels(model=_own(a)), 0.1),
    "image": (lambda a: nif.fit_image(a, "gaussian_2d"), PLANE),
    "mask of an image": (lambda a: nif.fit_image(PLANE, "gaussian_2d", mask=a), PLANE > 1),
    "points": (lambda a: nif.fit_spots(PLANE, a, "gaussian_2d"), [[7.0, 7.0]]),
    "mask of spots": (lambda a: nif.fit_spots(PLANE, [[7, 7]], "gaussian_2d", mask=a), PLANE > 1),
    "spots": (lambda a: find_spots(PLANE, Detection(), mask=a), PLANE > 1),
    "xdata": (lambda a: _curve(x=a), T),
    "ydata": (lambda a: _curve(a), DATA[:, 0]),
    "p0": (lambda a: _curve(p0=[a, a]), 1.0),
    "bounds of curve_fit": (lambda a: _curve(bounds=(a, [9.0, 9.0])), np.zeros(2)),
    "sigma of curve_fit": (lambda a: _curve(sigma=a), np.ones(16)),
    "tolerance": (lambda a: _curve(ftol=a), 1e-8),
    "evaluations": (lambda a: _curve(max_nfev=a), 100),
    "function of JAX": (lambda a: _curve(f=lambda t, b, k: b * jnp.exp(-k * t) * a), 1.0),
    "function of NumPy": (lambda a: _curve(f=lambda t, b, k: b * np.exp(-k * t) * a), 1.0),
    "osipy": (lambda a: nif.TrustRegionFitter().fit_batch(Foreign(), a), DATA),
    "mask of osipy": (lambda a: nif.TrustRegionFitter().fit_image(Foreign(), DATA.T, mask=a), np.ones(3, bool)),
}


@pytest.mark.parametrize("what", TRACED)
def test_what_is_traced_is_refused(what: str) -> None:
    """One sentence, inside of jit and inside of grad."""
    call, value = TRACED[what]
    ways: list[Callable[[], object]] = [lambda: jax.jit(lambda a: (call(a), 0.0)[1])(value)]
    if np.asarray(value).dtype.kind == "f":
        ways.append(lambda: jax.grad(lambda a: (call(a), jnp.sum(a))[1])(jnp.asarray(value)))
    for way in ways:
        with pytest.raises(nif.FitInputError, match=r"JAX is tracing|is not a tolerance") as told:
            way()
        assert "\n" not in str(told.value)


def test_arrays_of_jax_are_read_under_any_guard() -> None:
    stack, x = jnp.asarray(DATA), jnp.asarray(T)
    usual = nif.fit_voxels(stack, "exponential_decay", x=x).params["tau"]
    with jax.transfer_guard("disallow_explicit"):
        np.testing.assert_array_equal(nif.fit_voxels(stack, "exponential_decay", x=x).params["tau"], usual)
