"""Compiled programs of a wide batch: three small programs of the model, and four that serve every model.

    samples ─ level → ─ start → ─ begin → task, state, trial
              samples, trial ─ sums → ─ step → state, trial      until few fits still run
              samples, state ─ ends → ─ finish → covariances

Start, sums and ends are compiled for each model; begin, step and finish for each number of free parameters; level for
each kind of noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..._lazy import LazyModule
from ..core.columns import Table
from ..core.device import computing, find_device
from ..core.options import Criterion, Options, Tolerances
from ..core.programs import Arithmetic, find, obtain, request
from ..core.trees import Tree, tree_map
from ..core.types import Array
from ..functions.evaluation import evaluate
from ..linalg.algebra import JaxAlgebra
from ..linalg.normal_matrix import Dense
from ..models.starts import is_traceable
from ..noise.samples import Samples
from ..solver.covariance import Inverse, invert
from ..solver.trust_region import Expansion, State, Task, Trial, begin, judge, propose, stay
from ..sums.normal_equations import normal_sums
from ..sums.residual_sums import Residuals, residual_sums
from .evaluators import free_sums
from .level import Level
from .problem import Problem
from .starting import find_starts

if TYPE_CHECKING:
    from concurrent.futures import Future

    import jax
    import jax.numpy as jnp
else:
    jax, jnp = LazyModule("jax"), LazyModule("jax.numpy")

# How many fits are started at a time on a CPU: few enough for its cache.
STARTED = 128
# How many fits of a block are worked on together, at least, where few of them need something.
LEAST_TOGETHER = 64
# Numbers of single precision that the shortest vectors in use hold twice.
VECTOR = 8


def rows_of(problem: Problem) -> int:
    """Return the samples of a fit, padded to what a vector holds: more would cost every fit of a batch."""
    if plane_of(problem) is not None:
        return problem.n_samples
    if problem.padded:
        return problem.padded_length
    return -(-problem.n_samples // VECTOR) * VECTOR


def plane_of(problem: Problem) -> tuple[int, int] | None:
    """Return the window ``(h, w)`` that a model sees as an open grid, if it gains from that."""
    # in single precision, whose exponentials are quick, tables take as long; not measured on a GPU
    wanted = problem.model.open_grids and problem.options.dtype == "float64" and not problem.padded
    # logarithms of pixels are quick in long loops only, and a row of a window is short
    wanted = wanted and problem.options.criterion == Criterion()
    wanted = wanted and find_device(problem.options.device).platform == "cpu"
    if not wanted or problem.plane is None or any(c.ndim > 1 for c in problem.coords):
        return None
    height, width = problem.plane
    y, x = (np.asarray(c).reshape(problem.plane) for c in problem.coords)
    return (height, width) if (y == y[:, :1]).all() and (x == x[:1]).all() else None


def leaves(tree: Tree) -> list[Any]:
    """Return the rows of a tree, in order."""
    found: list[Any] = []
    tree_map(found.append, tree)
    return found


class Layout(NamedTuple):
    """Trees of what a step takes, whose rows are here nothing but their types."""

    task: Task
    state: State
    trial: Trial

    @classmethod
    def of(cls, n: int, bounded: bool, norms: bool) -> Layout:
        """Return the layout for so many free parameters."""
        one, whole = np.float64, np.int64
        rows = (one,) * n
        bounds = rows if bounded else ()
        expansion = Expansion(one, rows, Dense.of((one,) * (n * (n + 1) // 2), n))
        return cls(
            Task(bounds, bounds, one, one, rows if norms else None),
            State(rows, expansion, rows, one, one, whole, whole, one, one),
            Trial(rows, rows, rows, one, one, one),
        )


def tree_of(like: Tree, packed: NDArray[Any]) -> Tree:
    """Return a tree whose rows are those of an array, of the types that it is made of."""
    rows = iter(packed)
    return tree_map(lambda kind: next(rows).astype(kind, copy=False), like)


def pack(tree: Tree) -> NDArray[Any]:
    """Return the rows of a tree in NumPy as one array, in double precision."""
    return np.stack([np.asarray(row, np.float64) for row in leaves(tree)])


class Program(NamedTuple):
    """Arguments of `programs.request` for one program."""

    key: tuple[Any, ...]
    function: Callable[..., Any]
    shapes: tuple[Any, ...]
    options: Options
    arithmetic: Arithmetic
    lasts: bool = False

    def request(self) -> Future[Any]:
        """Request compilation in the background."""
        with computing(self.options):
            return request(*self)

    def obtain(self) -> Callable[..., Any]:
        """Compiled if need be."""
        with computing(self.options):
            return find(self.key) or obtain(*self)


class Programs:
    """The programs of a problem for blocks of one width."""

    def __init__(self, problem: Problem, width: int) -> None:
        self.problem, self.width = problem, width
        self.model, self.options = problem.model, problem.options
        self.double = Options(dtype="float64", device=self.options.device)
        self.dtype = np.dtype(self.options.dtype)
        self.rows, self.plane, self.n = rows_of(problem), plane_of(problem), len(problem.free)
        on_cpu = find_device(self.options.device).platform == "cpu"
        self.started = min(width, STARTED) if on_cpu else width
        self.chosen = free_sums(len(self.model.names), problem.free)
        self.layout = Layout.of(self.n, problem.is_bounded, problem.norms is not None)
        self.together = LEAST_TOGETHER if on_cpu else None
        self._obtained: dict[str, Callable[..., Any]] = {}

    @cached_property
    def wanted(self) -> dict[str, Program]:
        """All of them by name, that first which takes longest to compile; `plain` sums where the loss is robust."""
        found = {"step": self._step(), "finish": self._finish(), "start": self._start(), "ends": self._ends()}
        found |= {"sums": self._sums(self.options), "begin": self._begin(), "level": self._level()}
        return found | ({"plain": self._sums(self._linear)} if self._is_robust else {})

    def call(self, name: str, *arguments: Any) -> Any:
        """Return what one of them gives; compiled if need be."""
        if name not in self._obtained:
            self._obtained[name] = self.wanted[name].obtain()
        return self._obtained[name](*arguments)

    @property
    def algebra(self) -> JaxAlgebra:
        """One of its own for each program: they are traced at the same time, and it knows what is being traced."""
        return JaxAlgebra(self.options.dtype, self.together)

    @property
    def _is_robust(self) -> bool:
        return self.options.criterion.is_robust

    @property
    def _linear(self) -> Options:
        return replace(self.options, loss="linear")

    def _samples(self, shape: Callable[[int], tuple[int, int]]) -> Samples:
        """Return the shapes of samples; `shape` is that of so many fits."""
        problem, width = self.problem, self.width

        def array(each: bool) -> Any:
            return jax.ShapeDtypeStruct(shape(width if each else 1), self.dtype)

        def optional(given: Table | None) -> Any:
            return None if given is None else array(given.shape[1] > 1)

        return Samples(
            tuple(array(c.ndim == 2) for c in problem.coords),
            array(True),
            optional(problem.weights),
            optional(problem.shift),
            jax.ShapeDtypeStruct((), self.dtype) if self._is_robust else None,
        )

    def _row(self, double: bool = True, width: int | None = None) -> Any:
        return jax.ShapeDtypeStruct((width or self.width,), np.float64 if double else self.dtype)

    def _table(self, rows: int, double: bool = True, width: int | None = None) -> Any:
        return jax.ShapeDtypeStruct((rows, width or self.width), np.float64 if double else self.dtype)

    def _trees(self) -> Any:
        """Return the shapes of task, state and trial."""
        return tree_map(lambda kind: jax.ShapeDtypeStruct((self.width,), kind), tuple(self.layout))

    def _params(self) -> tuple[Any, ...]:
        return (self._row(double=False),) * len(self.model.names)

    def _level(self) -> Program:
        """Program from samples ``(B, m)``, and how many of each are not padding, to their level, ``(9, B)``."""
        criterion, options = self.options.criterion, self.options

        def function(samples: Samples, lengths: Array) -> Array:
            found = Level.of(criterion, samples, lengths, axis=1)
            return jnp.stack([row.astype(samples.data.dtype) for row in found])

        shapes = (self._samples(self._across), self._row(double=False))
        own = jax.tree.structure(shapes), tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes))
        key = ("wide", "level", criterion.noise, str(criterion.loss), options.dtype, options.device, own)
        return Program(key, function, shapes, options, "reassociated", lasts=True)

    def _of_model(self, what: str, options: Options, function: Any, shapes: tuple[Any, ...]) -> Program:
        arithmetic: Arithmetic = "reassociated" if self.model.reassociate else "as written"
        own = jax.tree.structure(shapes), tuple((s.shape, s.dtype) for s in jax.tree.leaves(shapes))
        key = ("wide", what, self.model.key, options.criterion, arithmetic, options.dtype, options.device, own)
        return Program(key, function, shapes, options, arithmetic)

    def _of_any(self, what: str, function: Any, shapes: tuple[Any, ...], *own: Any) -> Program:
        problem, options = self.problem, self.options
        key = ("wide", what, self.n, problem.is_bounded, problem.norms is None, options.dtype, options.device)
        return Program((*key, self.width, *own), function, shapes, self.double, "loops", lasts=True)

    def _start(self) -> Program:
        """Program from samples ``(B, m)`` and their level to starts, ``(n_params, B)``, always of as many at a time.

        `limits` are starts, NaN where they are to be guessed, lower and upper bounds, ``(3·n_params, B)``; `pieces` is
        how many times as many there are.
        """
        model, options, width = self.model, self.options, self.width
        n, count = len(model.names), self.started
        says = self.problem.says and model.guess_within is not None

        def of_some(samples: Samples, level: Array, limits: Array) -> Array:
            said = limits[:n], limits[n : 2 * n], limits[2 * n :]
            return find_starts(model, options, samples, Level(*level), *said, says=says)

        def of_one(samples: Samples, level: Array, limits: Array) -> Array:
            samples = tree_map(lambda array: array[:, None] if array.ndim else array, samples)
            return of_some(samples, level[:, None], limits[:, None])[:, 0]

        def function(samples: Samples, level: Array, limits: Array, pieces: Array) -> Array:
            own = tree_map(lambda array: array.ndim > 1 and len(array) > 1, samples)
            axes = tree_map(lambda each: 0 if each else None, own)

            def starts_of(i: Array) -> Array:
                def some(array: Array, axis: int) -> Array:
                    return jax.lax.dynamic_slice_in_dim(array, i * count, count, axis)

                rows = tree_map(lambda array, each: some(array, 0) if each else array, samples, own)
                if model.ndim == 1:
                    # running sums are quickest for many fits side by side
                    return of_some(tree_map(lambda array: array.T, rows), some(level, 1), some(limits, 1))
                # and loops of sums where the samples of a fit follow each other
                rows = tree_map(lambda array, each: array if each or not array.ndim else array[0], rows, own)
                return jax.vmap(of_one, (axes, 1, 1), 1)(rows, some(level, 1), some(limits, 1))

            def go_on(i: Array, found: Array) -> Array:
                return jax.lax.dynamic_update_slice_in_dim(found, starts_of(i), i * count, axis=1)

            # others are found on the host
            if not is_traceable(model):
                return limits[:n]
            return jax.lax.fori_loop(0, pieces, go_on, jnp.zeros((n, width), self.dtype))

        samples = self._samples(self._across)
        pieces = jax.ShapeDtypeStruct((), np.int32)
        level, limits = (self._table(rows, double=False) for rows in (len(Level._fields), 3 * n))
        return self._of_model("start within" if says else "start", options, function, (samples, level, limits, pieces))

    def _begin(self) -> Program:
        """Program from levels, starts and bounds of the free parameters to task, state and trial."""
        algebra, criterion, eps, n = self.algebra, self.options.criterion, self.options.eps, self.n

        def one(level: Array, start: Array, lower: Array, upper: Array, norms: Array) -> Any:
            level, size = Level(*level), tuple(norms) if self.problem.norms is not None else None
            bounds = (tuple(lower), tuple(upper)) if self.problem.is_bounded else ((), ())
            task = Task(*bounds, level.rounding(criterion, eps), level.size(criterion, eps), size)
            zero = 0.0 * level.n_used
            blank = Expansion(zero, (zero,) * n, Dense.of((zero,) * (n * (n + 1) // 2), n))
            held = algebra.total([zero, *(algebra.where(h, 1.0, 0.0) for h in task.held)])
            state = begin(algebra, task, tuple(start), blank, level.n_used >= n - held)
            return task, state, stay(state)

        def function(*tables: Array) -> tuple[Task, State, Trial]:
            rows = (tuple(table[i] for i in range(len(table))) for table in tables)
            found: tuple[Task, State, Trial] = algebra.at_once(one, *rows)
            return found

        table = self._table(n)
        shapes = (self._table(len(Level._fields)), table, table, table, table)
        # the level of a robust loss, or of counts, is another
        return self._of_any("begin", function, shapes, criterion.noise, criterion.is_robust)

    def _sums(self, options: Options) -> Program:
        """Program from samples ``(B, m)`` and parameters to cost, gradient and JᵀJ by the free ones."""
        model, plane = self.model, self.plane

        def function(samples: Samples, params: tuple[Array, ...]) -> tuple[Array, ...]:
            return normal_sums(model, options.criterion, samples, params, plane)

        what = "sums" if plane is None else f"sums of {plane}"
        return self._of_model(what, options, function, (self._samples(self._across), self._params()))

    def _across(self, fits: int) -> tuple[int, int]:
        return fits, self.rows

    def _step(self) -> Program:
        """Judge a trial by its sums, and propose the next.

        To state and trial, and the free parameters of the trial in the model's precision if that is another.
        """
        algebra, n = self.algebra, self.n

        def look(
            task: Task, tolerances: Tolerances, limit: Array, state: State, trial: Trial, sums: tuple[Array, ...]
        ) -> State:
            wide = [s.astype(jnp.float64) for s in sums]
            there = Expansion(wide[0], tuple(wide[1 : n + 1]), Dense.of(tuple(wide[n + 1 :]), n))
            if task.lower:
                there = there.without(algebra, task.held)
            return judge(algebra, task, tolerances, limit, state, trial, there)

        def function(task: Task, tolerances: Tolerances, limit: Array, state: State, trial: Trial, sums: Any) -> Any:
            after = algebra.at_once(look, task, tolerances, limit, state, trial, sums)
            following = propose(algebra, task, after)
            x = None if algebra.dtype == np.float64 else tuple(v.astype(algebra.dtype) for v in following.x)
            return after, following, x

        task, state, trial = self._trees()
        number = jax.ShapeDtypeStruct((), np.float64)
        tolerances: Any = Tolerances._make((number,) * len(Tolerances._fields))
        limit = jax.ShapeDtypeStruct((), np.int64)
        sums = (self._row(double=False),) * len(self.chosen)
        return self._of_any("step", function, (task, tolerances, limit, state, trial, sums))

    def _ends(self) -> Program:
        """Program from samples, parameters and the means of the data to the sums over residuals, ``(13, B)``."""
        model, criterion = self.model, self.options.criterion

        def function(samples: Samples, params: tuple[Array, ...], middle: Array) -> Array:
            value = evaluate(model.function, samples.coords, params, across=True)
            return jnp.stack(residual_sums(criterion, samples, value, middle, axis=1))

        shapes = (self._samples(self._across), self._params(), self._row(double=False))
        return self._of_model("ends", self.options, function, shapes)

    def _finish(self) -> Program:
        """Program from ends to the input of `invert`: numbers, then booleans."""
        algebra, criterion, n = self.algebra, self.options.criterion, self.n

        def one(task: Task, state: State, sums: Any, used: Array, plain: Any) -> tuple[Any, Any]:
            matrix = None if plain is None else Dense.of(plain, n)
            found, _ = invert(algebra, criterion, task, state, Residuals(*sums), used, matrix)
            return found[:2], found[2:]

        def function(task: Task, state: State, sums: Array, used: Array, plain: Any) -> tuple[Array, Array]:
            rows = tuple(row.astype(jnp.float64) for row in sums)
            elements = None if plain is None else tuple(row.astype(jnp.float64) for row in plain)
            found = algebra.at_once(one, task, state, rows, used, elements)
            return jnp.stack(leaves(found[0])), jnp.stack(leaves(found[1]))

        task, state, _ = self._trees()
        sums = self._table(len(Residuals._fields), double=False)
        plain = (self._row(double=False),) * (n * (n + 1) // 2) if self._is_robust else None
        shapes = (task, state, sums, self._row(), plain)
        return self._of_any("finish", function, shapes, criterion.noise, criterion.is_robust)

    def inverse(self, numbers: NDArray[Any], holds: NDArray[Any]) -> Inverse:
        """Return what `finish` has found."""
        kinds = Inverse.of_kinds(self.n, np.float64, np.bool_)
        return Inverse(*tree_of(tuple(kinds[:2]), numbers), *tree_of(tuple(kinds[2:]), holds))
