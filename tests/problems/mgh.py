"""The 35 problems of Moré, Garbow and Hillstrom, "Testing unconstrained optimization software" (ACM TOMS 7, 1981).

Numbered and in the order of the paper. Where n or m may vary, they are those of the paper's own runs or small ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

exp, sin, cos, sqrt, stack = jnp.exp, jnp.sin, jnp.cos, np.sqrt, jnp.stack


@dataclass(frozen=True)
class Problem:
    """``residual(params)`` of shape (m,), whose sum of squares has the known ``minima``, lowest first."""

    name: str
    residual: Callable[[Any], Any]
    start: tuple[float, ...]
    # local ones too; as the paper has them, to 6 digits
    minima: tuple[float, ...] = (0.0,)


def count(m: int, first: int = 1) -> Any:
    """1, 2, … m, in the precision that JAX computes in."""
    return jnp.arange(first, first + m, dtype=float)


# 1
def rosenbrock(p: Any) -> Any:
    return stack([10 * (p[1] - p[0] ** 2), 1 - p[0]])


# 2
def freudenstein_roth(p: Any) -> Any:
    first = -13 + p[0] + ((5 - p[1]) * p[1] - 2) * p[1]
    return stack([first, -29 + p[0] + ((p[1] + 1) * p[1] - 14) * p[1]])


# 3
def powell_badly_scaled(p: Any) -> Any:
    return stack([1e4 * p[0] * p[1] - 1, exp(-p[0]) + exp(-p[1]) - 1.0001])


# 4
def brown_badly_scaled(p: Any) -> Any:
    return stack([p[0] - 1e6, p[1] - 2e-6, p[0] * p[1] - 2])


# 5
def beale(p: Any) -> Any:
    return stack([y - p[0] * (1 - p[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


# 6
def jennrich_sampson(p: Any) -> Any:
    i = count(10)
    return 2 + 2 * i - (exp(i * p[0]) + exp(i * p[1]))


# 7
def helical_valley(p: Any) -> Any:
    # the turn of (p0, p1) from −1/4 to 3/4, cut where p0 = 0 and p1 < 0
    turn = jnp.arctan2(-p[0], p[1]) / (2 * np.pi) + 0.25
    return stack([10 * (p[2] - 10 * turn), 10 * (jnp.sqrt(p[0] ** 2 + p[1] ** 2) - 1), p[2]])


# 8
BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(p: Any) -> Any:
    u = count(15)
    v = 16 - u
    return BARD - (p[0] + u / (v * p[1] + jnp.minimum(u, v) * p[2]))


# 9
HALF = [0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521]
GAUSSIAN = np.array([*HALF, 0.3989, *HALF[::-1]])


def gaussian(p: Any) -> Any:
    t = (8 - count(15)) / 2
    return p[0] * exp(-p[1] * (t - p[2]) ** 2 / 2) - GAUSSIAN


# 10
MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872], float
)


def meyer(p: Any) -> Any:
    return p[0] * exp(p[1] / (45 + 5 * count(16) + p[2])) - MEYER


# 11, without the misprint of the paper, which has yᵢmi for yᵢ −
def gulf(p: Any) -> Any:
    t = count(99) / 100
    y = 25 + (-50 * jnp.log(t)) ** (2 / 3)
    return exp(-(jnp.abs(y - p[1]) ** p[2]) / p[0]) - t


# 12
def box(p: Any) -> Any:
    t = count(10) / 10
    return exp(-t * p[0]) - exp(-t * p[1]) - p[2] * (exp(-t) - exp(-10 * t))


# 13
def powell_singular(p: Any) -> Any:
    return stack(
        [p[0] + 10 * p[1], sqrt(5) * (p[2] - p[3]), (p[1] - 2 * p[2]) ** 2, sqrt(10) * (p[0] - p[3]) ** 2],
    )


# 14
def wood(p: Any) -> Any:
    first, second = [10 * (p[1] - p[0] ** 2), 1 - p[0]], [sqrt(90) * (p[3] - p[2] ** 2), 1 - p[2]]
    return stack([*first, *second, sqrt(10) * (p[1] + p[3] - 2), (p[1] - p[3]) / sqrt(10)])


# 15
KOWALIK_X = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])


def kowalik_osborne(p: Any) -> Any:
    u = KOWALIK_X
    return KOWALIK_Y - p[0] * (u**2 + u * p[1]) / (u**2 + u * p[2] + p[3])


# 16
def brown_dennis(p: Any) -> Any:
    t = count(20) / 5
    return (p[0] + t * p[1] - exp(t)) ** 2 + (p[2] + p[3] * sin(t) - cos(t)) ** 2


# 17
OSBORNE_1 = np.array(
    [
        0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751,
        0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490,
        0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406,
    ]
)  # fmt: skip


def osborne_1(p: Any) -> Any:
    t = 10 * count(33, first=0)
    return OSBORNE_1 - (p[0] + p[1] * exp(-t * p[3]) + p[2] * exp(-t * p[4]))


# 18
def biggs(p: Any) -> Any:
    t = count(13) / 10
    y = exp(-t) - 5 * exp(-10 * t) + 3 * exp(-4 * t)
    return p[2] * exp(-t * p[0]) - p[3] * exp(-t * p[1]) + p[5] * exp(-t * p[4]) - y


# 19
OSBORNE_2 = np.array(
    [
        1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608,
        0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661,
        0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428,
        0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559,
        0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054,
    ]
)  # fmt: skip


def osborne_2(p: Any) -> Any:
    t = count(65, first=0) / 10
    peaks = sum(p[i] * exp(-((t - p[i + 7]) ** 2) * p[i + 4]) for i in (1, 2, 3))
    return OSBORNE_2 - (p[0] * exp(-t * p[4]) + peaks)


# 20
def watson(p: Any) -> Any:
    p = jnp.asarray(p)
    j = np.arange(len(p))
    t = (np.arange(1, 30) / 29)[:, None]
    slope = (j[1:] * t ** j[:-1]) @ p[1:]
    return jnp.concatenate([slope - (t**j @ p) ** 2 - 1, stack([p[0], p[1] - p[0] ** 2 - 1])])


# 21
def extended_rosenbrock(p: Any) -> Any:
    return jnp.concatenate([rosenbrock(p[i : i + 2]) for i in range(0, len(p), 2)])


# 22
def extended_powell(p: Any) -> Any:
    return jnp.concatenate([powell_singular(p[i : i + 4]) for i in range(0, len(p), 4)])


# 23
def penalty_1(p: Any) -> Any:
    p = jnp.asarray(p)
    return jnp.append(sqrt(1e-5) * (p - 1), (p**2).sum() - 0.25)


# 24
def penalty_2(p: Any) -> Any:
    p = jnp.asarray(p)
    n = len(p)
    i = np.arange(2, n + 1)
    pairs = exp(p[1:] / 10) + exp(p[:-1] / 10) - np.exp(i / 10) - np.exp((i - 1) / 10)
    singles = exp(p[1:] / 10) - np.exp(-1 / 10)
    ends = stack([p[0] - 0.2, np.arange(n, 0, -1.0) @ p**2 - 1])
    return jnp.concatenate([ends[:1], sqrt(1e-5) * pairs, sqrt(1e-5) * singles, ends[1:]])


# 25
def variably_dimensioned(p: Any) -> Any:
    p = jnp.asarray(p)
    total = count(len(p)) @ (p - 1)
    return jnp.concatenate([p - 1, stack([total, total**2])])


# 26
def trigonometric(p: Any) -> Any:
    p = jnp.asarray(p)
    return len(p) - cos(p).sum() + count(len(p)) * (1 - cos(p)) - sin(p)


# 27
def brown_almost_linear(p: Any) -> Any:
    p = jnp.asarray(p)
    return jnp.append(p[:-1] + p.sum() - (len(p) + 1), jnp.prod(p) - 1)


def inner(n: int) -> Any:
    """The n points that divide 0 … 1 into n + 1 equal parts."""
    return np.arange(1, n + 1) / (n + 1)


# 28
def boundary_value(p: Any) -> Any:
    p, t = jnp.asarray(p), inner(len(p))
    around = jnp.pad(p, 1)
    return 2 * p - around[:-2] - around[2:] + (p + t + 1) ** 3 / (2 * (len(p) + 1) ** 2)


# 29
def integral_equation(p: Any) -> Any:
    p, t = jnp.asarray(p), inner(len(p))
    kernel = np.where(t <= t[:, None], (1 - t[:, None]) * t, t[:, None] * (1 - t))
    return p + kernel @ (p + t + 1) ** 3 / (2 * (len(p) + 1))


# 30
def broyden_tridiagonal(p: Any) -> Any:
    p = jnp.asarray(p)
    around = jnp.pad(p, 1)
    return (3 - 2 * p) * p - around[:-2] - 2 * around[2:] + 1


# 31
def broyden_banded(p: Any) -> Any:
    p = jnp.asarray(p)
    near = np.tri(len(p), k=1) - np.tri(len(p), k=-6) - np.eye(len(p))
    return p * (2 + 5 * p**2) + 1 - near @ (p * (1 + p))


# 32
def linear_full_rank(p: Any, m: int) -> Any:
    p = jnp.asarray(p)
    return jnp.pad(p, (0, m - len(p))) - 2 * p.sum() / m - 1


# 33
def linear_rank_1(p: Any, m: int) -> Any:
    p = jnp.asarray(p)
    return count(m) * (count(len(p)) @ p) - 1


# 34
def linear_rank_1_with_zeros(p: Any, m: int) -> Any:
    total = count(len(p) - 2, first=2) @ jnp.asarray(p)[1:-1]
    return jnp.append(count(m - 1, first=0) * total, 0.0) - 1


# 35
def chebyquad(p: Any) -> Any:
    p = jnp.asarray(p)
    below, now, means = jnp.ones_like(p), 2 * p - 1, []
    for i in range(1, len(p) + 1):
        means.append(now.mean() + (1 / (i**2 - 1) if i % 2 == 0 else 0))
        below, now = now, 2 * (2 * p - 1) * now - below
    return stack(means)


def sized(name: str, residual: Callable[[Any], Any], start: Iterable[float], *minima: float) -> Problem:
    """One size of a problem that has several."""
    values = tuple(map(float, start))
    return Problem(f"{name}, n = {len(values)}", residual, values, minima or (0.0,))


ROWS = 10

PROBLEMS = (
    Problem("Rosenbrock", rosenbrock, (-1.2, 1)),
    Problem("Freudenstein and Roth", freudenstein_roth, (0.5, -2), (0, 48.9842)),
    Problem("Powell badly scaled", powell_badly_scaled, (0, 1)),
    Problem("Brown badly scaled", brown_badly_scaled, (1, 1)),
    Problem("Beale", beale, (1, 1)),
    Problem("Jennrich and Sampson", jennrich_sampson, (0.3, 0.4), (124.362,)),
    Problem("helical valley", helical_valley, (-1, 0, 0)),
    Problem("Bard", bard, (1, 1, 1), (8.21487e-3, 17.4286)),
    Problem("Gaussian", gaussian, (0.4, 1, 0), (1.12793e-8,)),
    Problem("Meyer", meyer, (0.02, 4000, 250), (87.9458,)),
    Problem("Gulf", gulf, (5, 2.5, 0.15)),
    Problem("Box, three-dimensional", box, (0, 10, 20)),
    Problem("Powell singular", powell_singular, (3, -1, 0, 1)),
    Problem("Wood", wood, (-3, -1, -3, -1)),
    Problem("Kowalik and Osborne", kowalik_osborne, (0.25, 0.39, 0.415, 0.39), (3.07505e-4, 1.02734e-3)),
    Problem("Brown and Dennis", brown_dennis, (25, 5, -5, -1), (85822.2,)),
    Problem("Osborne 1", osborne_1, (0.5, 1.5, -1, 0.01, 0.02), (5.46489e-5,)),
    Problem("Biggs EXP6", biggs, (1, 2, 1, 1, 1, 1), (0, 5.65565e-3)),
    Problem("Osborne 2", osborne_2, (1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5), (4.01377e-2,)),
    sized("Watson", watson, [0] * 6, 2.28767e-3),
    sized("Watson", watson, [0] * 9, 1.39976e-6),
    sized("Watson", watson, [0] * 12, 4.72238e-10),
    sized("extended Rosenbrock", extended_rosenbrock, [-1.2, 1] * 5),
    sized("extended Powell singular", extended_powell, [3, -1, 0, 1] * 3),
    sized("penalty I", penalty_1, range(1, 5), 2.24997e-5),
    sized("penalty I", penalty_1, range(1, 11), 7.08765e-5),
    sized("penalty II", penalty_2, [0.5] * 4, 9.37629e-6),
    sized("penalty II", penalty_2, [0.5] * 10, 2.93660e-4),
    sized("variably dimensioned", variably_dimensioned, 1 - np.arange(1, 11) / 10),
    sized("trigonometric", trigonometric, [0.1] * 10, 0, 2.79506e-5),
    sized("Brown almost-linear", brown_almost_linear, [0.5] * 10, 0, 1),
    sized("discrete boundary value", boundary_value, inner(10) * (inner(10) - 1)),
    sized("discrete integral equation", integral_equation, inner(10) * (inner(10) - 1)),
    sized("Broyden tridiagonal", broyden_tridiagonal, [-1] * 10),
    sized("Broyden banded", broyden_banded, [-1] * 10),
    sized("linear, full rank", partial(linear_full_rank, m=ROWS), [1] * 5, ROWS - 5),
    sized("linear, rank 1", partial(linear_rank_1, m=ROWS), [1] * 5, ROWS * (ROWS - 1) / (4 * ROWS + 2)),
    sized(
        "linear, rank 1 with zeros", partial(linear_rank_1_with_zeros, m=ROWS), [1] * 5,
        (ROWS**2 + 3 * ROWS - 6) / (4 * ROWS - 6),
    ),
    sized("Chebyquad", chebyquad, inner(8), 3.51687e-3),
    sized("Chebyquad", chebyquad, inner(9)),
    sized("Chebyquad", chebyquad, inner(10), 4.77271e-3, 6.50395e-3),
)  # fmt: skip
