"""The eigenvalue solver against NumPy's, and the reason why it exists: fits in several threads do not wait for ever."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from napari_imagefit.engine.linalg.jacobi_eigen import BLOCK, eigen

Floats = NDArray[np.float64]
EPS = np.finfo(float).eps
solve = jax.jit(eigen)


@pytest.fixture(autouse=True)
def _double(x64: None) -> None:
    """Everything here in double precision."""


def run(matrices: Floats) -> tuple[Floats, Floats]:
    """Values ``(B, n)`` and vectors ``(B, n, n)`` of ``(B, n, n)``."""
    values, vectors = solve(jnp.asarray(np.moveaxis(matrices, 0, -1)))
    return np.asarray(values).T, np.moveaxis(np.asarray(vectors), -1, 0)


def make(kind: str, n: int, count: int, rng: np.random.Generator) -> Floats:
    """Gram matrices ``(B, n, n)``; those of fits are scaled to a unit diagonal, or nearly."""
    factors = rng.normal(size=(count, n + 3, n))
    if kind == "graded":
        factors *= np.geomspace(1, 1e-6, n)  # the matrix from 1 to 1e-12
    if kind == "singular":
        factors[:, :, -1] = factors[:, :, 0]
    if kind == "close":
        factors = np.eye(n + 3, n) + 1e-7 * factors
    matrices = np.einsum("bki,bkj->bij", factors, factors)
    if kind == "zero":
        matrices *= 0
    if kind == "identity":
        matrices = np.broadcast_to(np.eye(n), matrices.shape).copy()
    if kind == "ones":
        matrices = np.ones_like(matrices)
    return matrices


def check(matrices: Floats) -> None:
    """Values as NumPy's, vectors orthonormal, and A = VΛVᵀ.

    All within n²·50 ε of the largest eigenvalue: a Jacobi solver stops at off-diagonals of 4 ε, n² of them, and each of
    about 5n(n − 1)/2 rotations rounds each element a few times.
    """
    n = matrices.shape[1]
    values, vectors = run(matrices)
    assert np.isfinite(values).all()
    assert np.isfinite(vectors).all()
    assert (values >= 0).all()
    expected = np.maximum(np.linalg.eigvalsh(matrices), 0)
    allowed = 50 * n * n * EPS
    largest = np.maximum(expected[:, -1:], np.finfo(float).tiny)
    assert (np.abs(np.sort(values) - expected) <= allowed * largest).all()
    gram = np.einsum("bki,bkj->bij", vectors, vectors)
    assert np.abs(gram - np.eye(n)).max() <= allowed
    again = np.einsum("bik,bk,bjk->bij", vectors, values, vectors)
    assert (np.abs(again - matrices) <= allowed * largest[:, :, None]).all()


KINDS = ("random", "graded", "singular", "close", "zero", "identity", "ones")


@pytest.mark.parametrize("n", range(1, 11))
def test_every_size_and_kind(n: int) -> None:
    """All kinds in one block, so that easy ones wait for hard ones."""
    rng = np.random.default_rng(n)
    check(np.concatenate([make(kind, n, 9, rng) for kind in KINDS]))


@pytest.mark.parametrize("count", [1, 7, 128, 2048])
def test_every_width(count: int) -> None:
    rng = np.random.default_rng(count)
    check(np.concatenate([make(kind, 4, -(-count // len(KINDS)), rng) for kind in KINDS])[:count])


def test_width_that_is_no_multiple_of_a_block() -> None:
    check(make("random", 4, BLOCK + 1, np.random.default_rng(0)))


def test_small_eigenvalues_of_graded_matrices() -> None:
    """A graded matrix, 1 to 1e-12: the smallest value is right within ε of the largest, not better, not worse."""
    matrices = make("graded", 4, 128, np.random.default_rng(1))
    scale = 1 / np.sqrt(np.einsum("bii->bi", matrices))
    scaled = scale[:, :, None] * matrices * scale[:, None]
    values, _ = run(scaled)
    # scaled to a unit diagonal, as a fit does it, nothing small is lost: well above 16·50·ε/1e-3 relatively
    expected = np.linalg.eigvalsh(scaled)
    assert (expected[:, 0] > 1e-4).all()
    np.testing.assert_allclose(np.sort(values), expected, rtol=1e-9)


def test_neighbours_change_no_bit() -> None:
    """A matrix among easy, hard and broken ones, elsewhere in a block, and in another block of the same width."""
    rng = np.random.default_rng(3)
    mine = make("random", 5, 1, rng)[0]
    results = []
    for place, kind in ((0, "identity"), (77, "graded"), (BLOCK - 1, "ones"), (BLOCK + 5, "random"), (3, "zero")):
        block = make(kind, 5, 2 * BLOCK, rng)
        block[place] = mine
        values, vectors = run(block)
        results.append((values[place], vectors[place]))
    block[:] = np.nan  # even those that have no answer
    block[9] = mine
    values, vectors = run(block)
    results.append((values[9], vectors[9]))
    for values, vectors in results[1:]:
        np.testing.assert_array_equal(values, results[0][0])
        np.testing.assert_array_equal(vectors, results[0][1])


def test_single_precision() -> None:
    matrices = make("random", 4, 128, np.random.default_rng(4)).astype(np.float32)
    values, _ = solve(jnp.asarray(np.moveaxis(matrices, 0, -1)))
    assert values.dtype == jnp.float32
    expected = np.linalg.eigvalsh(matrices.astype(float))
    # as `check`, with the ε of single precision
    assert np.abs(np.sort(np.asarray(values).T) - expected).max() <= 50 * 16 * np.finfo(np.float32).eps * expected.max()


THREADS = """
import threading
import numpy as np
import napari_imagefit as nif

t = np.linspace(0, 5, 32)
rng = np.random.default_rng(0)
stack = 2 * np.exp(-t[:, None] / rng.uniform(0.5, 2, 4096)) + 0.3 + rng.normal(0, 0.03, (32, 4096))
first = nif.fit_voxels(stack, "exponential_decay", x=t)
right = []

def work():
    for _ in range(4):
        again = nif.fit_voxels(stack, "exponential_decay", x=t)
        right.append(np.array_equal(again.params["tau"], first.params["tau"]))

threads = [threading.Thread(target=work) for _ in range({count})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert right == [True] * (4 * {count}), right
print("done")
"""


@pytest.mark.parametrize("count", [2, 4])
def test_fits_in_several_threads_end(count: int) -> None:
    """In a process of their own, which can be ended if they wait for each other: XLA's waiting cannot be interrupted.

    Alone they take less than 10 s.
    """
    done = subprocess.run(
        [sys.executable, "-c", THREADS.replace("{count}", str(count))],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"
